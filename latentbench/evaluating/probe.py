"""A model is tried on a few samples before anything else is done.

Four samples tell whether it can be called at all, with what, and whether two calls agree; some dozens whether what comes
back is likely to be what it is taken for. What cannot be measured is refused here, before a judge is trained; what looks
wrong is warned about and stays as a note with what is measured.
"""

from __future__ import annotations

import contextlib
import warnings

import torch
from torch import Tensor

from latentbench import machine
from latentbench.core import Posterior
from latentbench.evaluating import outputs
from latentbench.evaluating.callables import CALLS, Callables
from latentbench.evaluating.calling import LARGEST_BATCH, in_batches, shape_of
from latentbench.measuring.cost_of_a_call import peak_memory
from latentbench.measuring.scoring import codebook_of, own_prior
from latentbench.randomness import randn, seeded
from latentbench.records import Reason

PROBED = 4
"""Samples of the first call."""
LOOKED = 64
"""Samples by which it is told whether what comes back is likely to be what it is taken for."""
SAME = 1e-4
"""Two calls agree where they differ by no more than this share of the largest value: kernels may round anew."""
OUTSIDE = 0.05
"""How far beyond the range of the data decoded values may reach, as a share of it, before it is said."""
SHARE = 8
"""What part of the memory a call may take, one in so many."""


def probe(model: Callables, device: torch.device) -> None:
    """Find out how a model is called and what it returns. Raises ValueError, one line, for one that cannot be measured."""
    test = model.given.dataset.test
    if model.conditional:
        _need_labels(model)
    with model.held(), torch.no_grad():
        first = slice(min(PROBED, model.batch))
        x, y = test.x[first].to(device), () if test.y is None else (test.y[first].to(device),)
        y = y if model.conditional else ()
        z = _try_encode(model, x, y)
        _try_decode(model, z, y)
        _try_density(model, x, z)
        _try_prior(model, z)
        _fit_memory(model, x, z, y, device)
        some = test.x[:LOOKED].to(device)
        _look(model, some, test.y[:LOOKED].to(device) if y and test.y is not None else None)
    _note_modules(model)


def _need_labels(model: Callables) -> None:
    """Raise ValueError where samples of a conditional model have no label."""
    given = model.given
    for name, split in (("y_test", given.dataset.test), ("y_train", given.trained_on)):
        if split is None:
            continue
        if split.y is None:
            raise ValueError(f"conditional: decode takes labels, and {name} was not given")
        if missing := int((split.y < 0).sum()):
            raise ValueError(f"conditional: decode takes labels, and {missing} samples of {name} have none")


def warn(model: Callables, reason: Reason) -> None:
    """Keep a note, and warn of it."""
    if reason.code not in model.notes:
        warnings.warn(str(reason), stacklevel=6)
    model.note(reason)


def _note_modules(model: Callables) -> None:
    if model.steady.trained:
        model.note(
            Reason.of(
                "model.was_training", "the module was in training mode; it was measured in eval mode and put back"
            )
        )
    note_changes(model)
    if model.conditional:
        model.note(
            Reason.of(
                "model.conditional",
                "the decoder takes labels: reconstructions have their own, draws from the prior have labels drawn from the "
                "training labels, a point between codes has that of the nearest code",
            )
        )


def note_changes(model: Callables) -> None:
    """Warn of a module that changed itself while it was called."""
    if changed := model.steady.changed:
        reason = Reason.of(
            "model.changes_itself",
            "the module changes itself when it is called: {names}; this was put back",
            names=", ".join(changed[:4]),
        )
        warn(model, reason)


def _try_encode(model: Callables, x: Tensor, y: tuple[Tensor, ...]) -> Tensor:
    """Codes (k, d) of the first samples; how ``encode`` is called, and whether two calls agree, is known afterwards."""
    sent = model.sent(x, *(y if model.encodes_labels else ()))
    out = model.encoder.settle(*sent)
    parts = outputs.read_code(out, model.words, len(x))
    first = model.flat(parts, x)
    second = model.understood(model.encoder(*sent), x)
    if not agree(first.mu, second.mu):
        model.draws = parts.spread is None or parts.drawn
        _note_draws(model, bool(parts.named))
    elif len(x) > 1 and not model.fixed:
        alone = model.understood(model.encoder(*(s[: len(x) // 2] for s in sent)), x[: len(x) // 2])
        if not agree(first.mu[: len(x) // 2], alone.mu):
            reason = Reason.of(
                "model.batch_dependent",
                "encode gives a sample another code in another batch: it hangs on what else is encoded with it",
            )
            warn(model, reason)
    mean = outputs.to_tensor("encode", parts.mean)
    if not mean.is_floating_point():
        reason = Reason.of(
            "model.integer_codes",
            "encode returned {dtype}: points between codes are handed to decode as float32",
            dtype=str(mean.dtype).removeprefix("torch."),
        )
        warn(model, reason)
    return first.mu


def _note_draws(model: Callables, named: bool) -> None:
    if model.draws:
        reason = Reason.of(
            "model.encoder_draws",
            "encode returns another code at each call; the mean of {calls} calls stands for the posterior mean",
            calls=CALLS,
        )
        model.note(reason)
    elif named:
        model.note(Reason.of("model.encoder_noisy", "encode returns another mean at each call; one call was taken"))
    else:
        reason = Reason.of(
            "model.mean_changes",
            "the first value that encode returns changes from call to call: where it is a draw and no mean, say "
            "posterior='sample,log_var'",
        )
        warn(model, reason)


def _try_decode(model: Callables, z: Tensor, y: tuple[Tensor, ...]) -> None:
    labels = [model.labels(part) for part in y]
    first = model.raw(model.decoder.settle(model.code(z), *labels), z)
    try:
        samples = model.handed.from_user(first)
    except ValueError as error:
        raise ValueError(f"{error} (decode was given {shape_of(model.code(z))})") from error
    if not bool(torch.isfinite(samples).all()):
        raise ValueError(f"decode returned values that are not finite (given {shape_of(model.code(z))})")
    if not agree(first, model.raw(model.decoder(model.code(z), *labels), z)):
        model.note(Reason.of("model.decoder_draws", "decode returns another sample at each call for the same code"))


def _try_density(model: Callables, x: Tensor, z: Tensor) -> None:
    if model.density is not None:
        model.densities(model.density.settle(*model.sent(x), model.code(z)), z)


def _try_prior(model: Callables, z: Tensor) -> None:
    """Draw from the prior of the model's own, where it has one. Raises ValueError where that gives no latent points."""
    if own := own_prior(model):
        drawn = own.draw(randn(z.shape, seeded(model.seed, "probe"), z), seeded(model.seed, "choices"))
        if own.log_prob is not None:
            own.log_prob(drawn)
    elif model.has_other_prior:
        reason = Reason.of(
            "model.prior_unused",
            "the model has a prior that is no function of noise and a generator: it is measured as if trained with N(0, I)",
        )
        warn(model, reason)
    if (codebook := codebook_of(model)) and not agree(codebook.points(codebook.codes(z)), z):
        raise ValueError("discrete_codes: the points of the codes of what encode returned are not what it returned")


def agree(a: Tensor, b: Tensor) -> bool:
    """Whether two calls gave the same."""
    return bool((a - b).abs().max() <= SAME * a.abs().max()) if a.numel() else True


def _fit_memory(model: Callables, x: Tensor, z: Tensor, y: tuple[Tensor, ...], device: torch.device) -> None:
    """Fewer samples a call where so many would take more than a part of the memory, as the first few foretell."""
    if model.fixed:
        return
    labels = y[0] if y else None
    # Not every model lets its operators be watched; then memory that runs out is what tells.
    with contextlib.suppress(Exception):
        most = max(
            peak_memory(lambda: model.encode(x, labels), device), peak_memory(lambda: model.decode(z, labels), device)
        )
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else machine.memory()
        model.batch = max(1, min(LARGEST_BATCH, free // SHARE * len(x) // max(1, most)))


def _look(model: Callables, x: Tensor, y: Tensor | None) -> None:
    """Warn of codes and samples that are not likely to be what they are taken for."""
    posterior = model.encode(x, y)
    mu = posterior.mu
    model.mark = [round(float(v), 3) for v in mu[:PROBED, :PROBED].flatten()]
    raw = _raw(model, mu, y)
    samples = model.handed.from_user(raw)
    if len(x) < 2 or agree(x, x[:1].expand_as(x)):
        return
    if agree(mu, mu[:1].expand_as(mu)):
        reason = Reason.of("model.encode_constant", "encode returned the same code for each of {n} samples", n=len(x))
        warn(model, reason)
    elif agree(samples, samples[:1].expand_as(samples)):
        reason = Reason.of(
            "model.decode_constant", "decode returned the same sample for each of {n} different codes", n=len(x)
        )
        warn(model, reason)
    _look_at_range(model, raw)
    _look_at_width(model, x, y, posterior, samples)


def _raw(model: Callables, z: Tensor, y: Tensor | None) -> Tensor:
    def call(z: Tensor, *y: Tensor) -> Tensor:
        return model.raw(model.decoder(model.code(z), *map(model.labels, y)), z)

    return torch.cat(in_batches(call, model.batch, not model.fixed, *((z,) if y is None else (z, y)))[0])


def _look_at_range(model: Callables, raw: Tensor) -> None:
    beyond = model.handed.outside(raw)
    if beyond > OUTSIDE:
        reason = Reason.of(
            "model.outside_range",
            "decode returned values from {low:.3g} to {high:.3g}, {beyond:.0%} of the range of the data beyond it: give "
            "back the range that was handed over, or say range=(lowest, highest)",
            beyond=beyond,
            low=float(raw.min()),
            high=float(raw.max()),
        )
        warn(model, reason)
    elif text := model.handed.doubt(raw):
        warn(model, Reason(text, "model.doubtful_range"))


def _look_at_width(model: Callables, x: Tensor, y: Tensor | None, posterior: Posterior, x_hat: Tensor) -> None:
    """Whether the second of two unnamed values can be a log-variance: a draw with it must still tell of its sample."""
    second = posterior.log_var
    if second is None or model.named:
        return
    noise = randn(posterior.mu.shape, seeded(model.seed, "width"), posterior.mu)

    def error(sd: Tensor) -> float:
        return _distance(model.handed.from_user(_raw(model, posterior.mu + sd * noise, y)), x)

    as_log_var = error((0.5 * second).exp())
    if bool((second > 0).all()) and error(second) < as_log_var:
        sigma = Reason.of(
            "model.looks_like_sigma",
            "the second value that encode returns looks like sigma: its draws fit better than those of a log-variance; "
            "say posterior='mean,std' (or 'mean,var')",
        )
        warn(model, sigma)
        return
    mean = _distance(x.mean(0, keepdim=True).expand_as(x), x)
    if _distance(x_hat, x) < mean / 2 and as_log_var >= mean:
        unlikely = Reason.of(
            "model.unlikely_log_var",
            "the second value that encode returns is no likely log-variance: its draws decode to samples that are no "
            "nearer to their own than the mean is (squared distance {error:.3g} against {mean:.3g}); where it is another "
            "level of latents or a standard deviation, say posterior='mean,-' or posterior='mean,std'",
            error=as_log_var,
            mean=mean,
        )
        warn(model, unlikely)


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).square().mean())

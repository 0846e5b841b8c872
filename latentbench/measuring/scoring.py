"""Encode and score: one model's view of the data, and every metric's word on it as a Record.

A metric that fails becomes a record that says so, not a crash; one whose needs are not met is skipped with the reason;
a value that is not a finite number is a failure, never a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from latentbench.core import (
    LABELS,
    LIKELIHOOD,
    LOG_VAR,
    TRAIN,
    TRAIN_LABELS,
    WIDTHS,
    Codebook,
    Dataset,
    Encoding,
    Judge,
    Likelihood,
    Metric,
    Prior,
    Split,
    Undefined,
    Value,
)
from latentbench.files.record_types import LARGEST
from latentbench.metrics.code_prior import autoregressive_prior
from latentbench.randomness import seeded
from latentbench.records import OWN, SELF_CHECK, Reason, Record, anchor_role

CHUNK = 4096


@torch.inference_mode()
def encode(
    model: Any,
    dataset: Dataset,
    seed: int,
    device: torch.device,
    judge: Judge | None = None,
    missing: Mapping[str, str] | None = None,
) -> Encoding:
    """The model's Encoding of the test split, its ``train`` the same model's Encoding of the training split; both hold
    the images of the validation split. A model that says of itself that it is ``conditional`` is called with labels:
    ``encode(x, y)`` and ``decode(z, y)``."""
    conditional = getattr(model, "conditional", False)
    known: list[tuple[Tensor, Tensor]] = []

    def decode(z: Tensor, *labels: Tensor) -> Tensor:
        if conditional and not labels:
            labels = (_nearest_label(known, z),)
        with torch.set_grad_enabled(z.requires_grad):  # not inference_mode: a metric may differentiate by z, in any way
            out: Tensor = model.decode(z, *labels)
        return out

    def log_prob(x: Tensor, z: Tensor) -> Tensor:
        with torch.inference_mode():
            out: Tensor = model.log_likelihood(x, z)
        return out

    has_density = getattr(model, "log_likelihood", None) is not None
    likelihood = Likelihood(getattr(model, "likelihood", ""), log_prob) if has_density else None
    validation, prior = dataset.val.x.to(device), own_prior(model)
    codebook = codebook_of(model)

    def view(split: Split, name: str, train: Encoding | None) -> Encoding:
        x = split.x.to(device)
        y = () if split.y is None or not conditional else (split.y.to(device),)
        parts = [model.encode(*part) for part in zip(*(given.split(CHUNK) for given in (x, *y)), strict=True)]
        posterior = type(parts[0])(*(None if c[0] is None else torch.cat(c) for c in zip(*parts, strict=True)))
        mu, family = posterior.mu, getattr(posterior, "family", "")
        known.extend((mu, labels) for labels in y)
        pairs = zip(*(given.split(CHUNK) for given in (mu, *y)), strict=True)
        made = Encoding(
            split=name,
            x=x,
            mu=mu,
            log_var=posterior.log_var,
            z=posterior.sample(seeded(seed, f"posterior of {name}")),
            x_hat=torch.cat([decode(*pair) for pair in pairs]),
            labels=None if split.y is None else split.y.to(device),
            decode=decode,
            train=train,
            validation=validation,
            judge=judge,
            seed=seed,
            missing={**(missing or {}), **({LOG_VAR.name: WIDTHS.reason} if family else {})},
            likelihood=likelihood,
            factors=split.factors,
            truth=dataset.truth,
            stream=dataset.stream if name == "train" else None,
            whole=dataset.whole.get(name, 0),
            given_space=dataset.space,
            codes=None if codebook is None else torch.cat([codebook.codes(part) for part in mu.split(CHUNK)]),
            codebook=codebook,
            decode_labelled=decode if conditional else None,
            latent_shape=tuple(getattr(model, "latent_shape", None) or ()),
            latent_channels=getattr(model, "latent_channels", 0),
            prior=prior,
            family=family,
        )
        return made if codebook is None else replace(made, prior=autoregressive_prior(made))

    train = view(dataset.train, "train", None)
    return view(dataset.test, "test", replace(train, train=train))


def codebook_of(model: Any) -> Codebook | None:
    """What the codes of a model are, of one whose latent is discrete."""
    make = getattr(model, "discrete_codes", None)
    made = make() if callable(make) else None
    return made if isinstance(made, Codebook) else None


def own_prior(model: Any) -> Prior | None:
    """The prior that a model says it was trained with, None: N(0, I). Its draws and densities are held to their shapes and
    to finite numbers: ValueError, one line, for others."""
    if not callable(getattr(model, "prior", None)):
        return None

    def draw(noise: Tensor, generator: torch.Generator) -> Tensor:
        with torch.inference_mode():
            return _sound("prior", model.prior(noise, generator), noise.shape)

    def log_prob(z: Tensor) -> Tensor:
        with torch.inference_mode():
            return _sound("log_prior", model.log_prior(z), z.shape[:1])

    return Prior(draw, log_prob if callable(getattr(model, "log_prior", None)) else None)


def _sound(method: str, out: Any, shape: torch.Size) -> Tensor:
    """What a method of a model's prior gave, refused where it is not a tensor of ``shape`` with finite numbers."""
    if not isinstance(out, Tensor):
        raise ValueError(f"the model's {method}() gave {type(out).__name__}, expected a tensor of shape {tuple(shape)}")
    if out.shape != shape:
        raise ValueError(f"the model's {method}() gave shape {tuple(out.shape)}, expected {tuple(shape)}")
    if not bool(torch.isfinite(out).all()):
        lost = int((~torch.isfinite(out)).sum())
        raise ValueError(f"the model's {method}() gave {lost} of {out.numel()} numbers that are not finite")
    return out


def _nearest_label(known: Sequence[tuple[Tensor, Tensor]], z: Tensor) -> Tensor:
    """The labels (m,) of the codes nearest to latent points (m, d), among codes (n, d) with labels (n,)."""
    codes, labels = (torch.cat(column) for column in zip(*known, strict=True))
    with torch.no_grad():
        found = [torch.cdist(part.detach().float(), codes.float()).argmin(1) for part in z.split(CHUNK // 4)]
    return labels[torch.cat(found)]


def declared(metric: Metric) -> dict[str, Any]:
    """The fields of a Record that a metric's declaration fills."""
    return {
        "metric": metric.name,
        "metric_params": dict(metric.params),
        "unit": metric.unit,
        "better": metric.better,
        "target": metric.target,
        "bounds": metric.bounds,
    }


def score(encoding: Encoding, metrics: Iterable[Metric], row: Record) -> list[Record]:
    """One record for each metric and split it is measured on; ``row`` holds what they share (model, seed, ...)."""
    out = []
    for metric in metrics:
        for split in metric.splits:
            view = encoding if split == encoding.split else encoding.train
            base = replace(row, split=split, **declared(metric))
            if view is None or split != view.split:
                out.append(replace(base, status="skipped", reason=encoding.lack(TRAIN)))
            else:
                out.append(_score(view, metric, base))
    return out


def _score(view: Encoding, metric: Metric, base: Record) -> Record:
    if absent := view.absent(metric.needs):
        return replace(base, status="skipped", reason=absent)
    try:
        with torch.no_grad():
            result = metric.compute(_seen_by(metric, view), **metric.params)
    except Undefined as undefined:
        return replace(base, status="skipped", reason=undefined.reason)
    except Exception as error:  # whatever a user's decoder raises is a result of measuring it
        return replace(base, status="failed", reason=caught(error))
    value, samples, detail = result if isinstance(result, Value) else (result, None, {})
    if not abs(value) <= LARGEST:  # also nan; of a larger one not even the square can be told
        reason = Reason.of("failed.not_finite", "the value is {value}, not a finite number", value=value)
        return replace(base, status="failed", reason=reason)
    finite = None if samples is None or not all(map(math.isfinite, samples)) else tuple(map(float, samples))
    extras = _sampled(view, metric) | _whose(view, metric)
    return replace(base, value=float(value), samples=finite, detail={**_finite(detail), **extras})


def _finite(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Details as a record can hold them: an entry in which a number is not finite is left out, and named."""
    lost = [name for name, value in detail.items() if not _is_finite(value)]
    kept = {name: value for name, value in detail.items() if name not in lost}
    return kept | ({"not_finite": lost} if lost else {})


def _is_finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _seen_by(metric: Metric, view: Encoding) -> Encoding:
    """What a metric sees of an encoding: one that asks for labels, the images that have one."""
    return view.labelled() if metric.needs & {LABELS, TRAIN_LABELS} else view


def _sampled(view: Encoding, metric: Metric) -> dict[str, Any]:
    """What a record says of the images it was measured on where these are samples: how many of how many. Of training
    images only where the metric asks for them and does not itself go through all that are streamed."""
    views = {view.split: view}
    if view.train is not None and metric.needs & {TRAIN, TRAIN_LABELS} and not metric.every_image:
        views["train"] = view.train
    sampled = {name: [len(v.x), v.whole] for name, v in views.items() if v.whole}
    return {"sampled": sampled} if sampled else {}


def _whose(view: Encoding, metric: Metric) -> dict[str, Any]:
    """What a record says of the prior it is about where that is not N(0, I)."""
    return {"prior": OWN} if metric.under_prior and view.prior is not None else {}


def failed(metrics: Iterable[Metric], row: Record, reason: str) -> list[Record]:
    """The records of a cell that has no model: every metric failed for the same reason."""
    return [
        replace(row, split=split, status="failed", reason=reason, **declared(metric))
        for metric in metrics
        for split in metric.splits
    ]


def references(encoding: Encoding, metrics: Iterable[Metric], row: Record) -> list[Record]:
    """What each metric reads on the run's own real images and on junk: its ceilings, floors and null values, and
    whether it passes its self-check on them."""
    out = []
    for metric in metrics:
        if metric.references is None or encoding.absent(metric.needs - {LOG_VAR, LIKELIHOOD}):
            continue
        base = replace(row, split="test", **declared(metric))
        try:
            with torch.no_grad():
                anchors = metric.references(_seen_by(metric, encoding), **metric.params)
            roles = {name: anchor_role(name) for name in anchors}
            why = faults(metric, anchors)
        except Undefined:
            continue
        except Exception as error:  # a metric that cannot read its own anchors is not to be believed
            anchors, roles, why = {}, {}, [caught(error)]
        finite = {name: float(v) for name, v in anchors.items() if math.isfinite(v)}
        out += [replace(base, model=name, role=roles[name], value=v) for name, v in finite.items()]
        check = replace(
            base, model=SELF_CHECK, role="check", unit="passed", better="none", target=None, bounds=(0.0, 1.0)
        )
        out.append(replace(check, value=0.0 if why else 1.0, detail={"why": why} if why else {}))
    return out


def faults(metric: Metric, anchors: Mapping[str, float]) -> list[str]:
    """Why a metric is not to be believed on this data, one sentence a fault; empty where it passes its self-check: every
    anchor is a finite number within the metric's bounds and its expected range, and no floor is as good as a ceiling."""
    low, high = metric.bounds
    out = []
    for name, value in anchors.items():
        if not math.isfinite(value):
            out.append(f"{name} is {value}")
        elif (low is not None and value < low) or (high is not None and value > high):
            out.append(f"{name} is {value:.4g}, outside the bounds {low} to {high}")
        elif name in metric.expects and not metric.expects[name][0] <= value <= metric.expects[name][1]:
            least, most = metric.expects[name]
            out.append(f"{name} is {value:.4g}, expected {least:.4g} to {most:.4g}")
    if metric.better == "none":
        return out
    goodness = {name: _goodness(metric, value) for name, value in anchors.items() if math.isfinite(value)}
    for floor in (n for n in goodness if anchor_role(n) == "floor"):
        for ceiling in (n for n in goodness if anchor_role(n) == "ceiling"):
            if goodness[floor] >= goodness[ceiling]:
                out.append(f"{floor} ({anchors[floor]:.4g}) is as good as {ceiling} ({anchors[ceiling]:.4g})")
    return out


def _goodness(metric: Metric, value: float) -> float:
    if metric.better == "target" and metric.target is not None:
        return -abs(value - metric.target)
    return value if metric.better == "higher" else -value


def caught(error: BaseException) -> Reason:
    """What an exception says, in one line, as the reason of a failure."""
    text = " ".join(str(error).split())
    return Reason.raised(f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__)

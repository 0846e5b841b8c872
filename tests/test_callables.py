"""How a user's callables are called and what is made of what they return: each wrong number that was once given without a
word now is the right one, a warning or a refusal."""

from __future__ import annotations

import random
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, LogNormal, MultivariateNormal, Normal

import latentbench as lb
from latentbench.evaluating import outputs, probe
from latentbench.randomness import seeded
from latentbench.run_folder import RunFiles
from latentbench.run_info import find_run_info

X = torch.rand(48, 1, 4, 4, generator=seeded(0, "callables"))
SIGMA = 0.1


def mean(x):
    return x.flatten(1)[:, :4]


def spread_out(z):
    return z.repeat(1, 4)


def evaluate(encode=mean, decode=spread_out, metrics="mse", **more):
    return lb.evaluate(encode, decode, X, metrics=metrics, **more)


def about(result, name="mine"):
    return find_run_info(result.records).models[name]


def notes(result, name="mine"):
    return {note["code"]: note for note in about(result, name).get("notes", ())}


KL = float((0.5 * (mean(X) ** 2 + SIGMA**2 - 1 - np.log(SIGMA**2))).sum(1).mean())
"""Of N(mu, SIGMA^2) from N(0, 1), by hand."""


def wide(x, value):
    return torch.full_like(mean(x), value)


NAMED = {
    "log_var": lambda x: {"mu": mean(x), "log_var": wide(x, 2 * np.log(SIGMA))},
    "pythae": lambda x: {"embedding": mean(x), "log_covariance": wide(x, 2 * np.log(SIGMA))},
    "std": lambda x: SimpleNamespace(loc=mean(x), scale=wide(x, SIGMA)),
    "var": lambda x: SimpleNamespace(mean=mean(x), variance=wide(x, SIGMA**2)),
    "latent_dist": lambda x: SimpleNamespace(latent_dist=SimpleNamespace(mean=mean(x), logvar=wide(x, 2 * np.log(SIGMA)))),
    "Normal": lambda x: Normal(mean(x), SIGMA),
    "Independent": lambda x: Independent(Normal(mean(x), SIGMA), 1),
    "MultivariateNormal": lambda x: MultivariateNormal(mean(x), torch.diag_embed(wide(x, SIGMA**2))),
    "tuple": lambda x: (mean(x), wide(x, 2 * np.log(SIGMA))),
    "one number a sample": lambda x: (mean(x), torch.full((len(x), 1), 2 * np.log(SIGMA))),
    "numpy": lambda x: (mean(x).numpy(), wide(x, 2 * np.log(SIGMA)).numpy()),
}  # fmt: skip


@pytest.mark.parametrize("form", NAMED)
def test_the_name_decides_what_a_number_is(form):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(NAMED[form], metrics="kl").value("kl") == pytest.approx(KL, rel=1e-5)


@pytest.mark.parametrize(
    ("posterior", "encode"),
    [
        ("mean,std", lambda x: (mean(x), wide(x, SIGMA))),
        ("mean,var", lambda x: (mean(x), wide(x, SIGMA**2))),
        ("log_var,mean", lambda x: (wide(x, 2 * np.log(SIGMA)), mean(x))),
        ("-,mean,log_var", lambda x: (torch.randn(len(x), 4), mean(x), wide(x, 2 * np.log(SIGMA)))),
        ("mean,std,-", lambda x: [mean(x), wide(x, SIGMA), None]),
    ],
)
def test_the_parts_of_a_tuple_are_named_by_the_caller(posterior, encode):
    assert evaluate(encode, metrics="kl", posterior=posterior).value("kl") == pytest.approx(KL, rel=1e-5)


@pytest.mark.parametrize(
    ("posterior", "said"),
    [
        ("mean,stdd", "unknown posterior 'stdd'; did you mean 'std'"),
        ("std", "one of them mean or sample"),
        ("mean,std,var", "at most one of"),
        ("mean,mean", "not allowed"),
    ],
)
def test_a_posterior_that_is_none_is_refused(posterior, said):
    with pytest.raises(ValueError, match=said):
        evaluate(posterior=posterior)


def test_sigma_given_as_log_variance_is_warned_about():
    with pytest.warns(UserWarning, match=r"looks like sigma.*posterior='mean,std'"):
        result = evaluate(lambda x: (mean(x), wide(x, SIGMA)), metrics="kl")
    assert "model.looks_like_sigma" in notes(result)
    assert result.value("kl") < 1


def test_two_levels_of_latents_are_refused_or_warned_about():
    with pytest.raises(ValueError, match="two levels"):
        evaluate(lambda x: (mean(x), mean(x)[:, :2]))
    for levels in (lambda x: [mean(x), mean(x)], lambda x: (mean(x), mean(x), mean(x))):
        with pytest.raises(ValueError, match=r"several levels.*accepted: z; a tuple"):
            evaluate(levels)
    with pytest.warns(UserWarning, match="no likely log-variance"):
        evaluate(lambda x: (x.flatten(1) - 0.5, x.flatten(1).flip(1) - 0.5), lambda z: z + 0.5)


@pytest.mark.parametrize(
    ("encode", "said"),
    [
        (lambda x: LogNormal(mean(x), 1.0), "distribution LogNormal"),
        (lambda x: MultivariateNormal(mean(x), torch.full((4, 4), 0.5) + torch.eye(4)), "correlated dimensions"),
        (lambda x: None, "None .is a return missing"),
        (lambda x: {"codes": mean(x)}, "a dict with codes; accepted"),
        (lambda x: mean(x)[:-1], "3 codes for 4 samples"),
        (lambda x: mean(x).sum(), "one number for 4 samples"),
        (lambda x: mean(x) / 0, "not finite"),
        (lambda x: mean(x).to(torch.complex64), "complex"),
        (lambda x: np.array([None] * len(x)), "dtype object"),
        (lambda x: Normal(mean(x), 1.0).sample, "accepted"),
        (lambda x: SimpleNamespace(mean=mean(x), std=-mean(x)), "standard deviation below 0"),
        (lambda x: mean(x)[:, :0], "no dimension"),
    ],
)
def test_what_is_no_posterior_is_refused_before_anything_else_is_done(encode, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        evaluate(encode, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "decode",
    [
        lambda z: (z.repeat(1, 4), z),
        lambda z: {"reconstruction": z.repeat(1, 4)},
        lambda z: SimpleNamespace(sample=z.repeat(1, 4)),
        lambda z: Normal(z.repeat(1, 4), 1.0),
        lambda z: SimpleNamespace(sample=lambda: 0, recon_x=z.repeat(1, 4)),
        lambda z: z.repeat(1, 4).tolist(),
    ],
)
def test_decode_may_return_what_encode_may(decode):
    assert evaluate(decode=decode).value("mse") == evaluate().value("mse")


@pytest.mark.parametrize(
    ("decode", "said"),
    [
        (lambda z: z.repeat(1, 4)[:1], r"1 samples for 4 codes \(given float32 \(4, 4\)\)"),
        (lambda z: z.repeat(1, 3), r"decode was given float32 \(4, 4\)"),
        (lambda z: z.repeat(1, 4) / 0, "not finite"),
        (lambda z: None, "decode returned None"),
    ],
)
def test_what_is_no_sample_is_refused(decode, said):
    with pytest.raises(ValueError, match=said):
        evaluate(decode=decode)


def test_a_list_of_rows_is_no_list_of_levels():
    rows = [np.zeros(4), np.ones(4), np.ones(4), np.ones(4)]
    for many in (rows, [row.tolist() for row in rows], [torch.from_numpy(row) for row in rows]):
        assert outputs.to_tensor("encode", outputs.read_code(many, (), 4).mean).shape == (4, 4)
    with pytest.raises(ValueError, match="several levels"):
        outputs.read_code([np.zeros((4, 2))] * 4, (), 4)


def test_latents_of_any_shape_come_back_in_it():
    pool, up = nn.AvgPool2d(2), nn.Upsample(scale_factor=2)
    found = evaluate(pool, up)
    assert found.value("mse") == pytest.approx(float((up(pool(X)) - X).square().mean()), rel=1e-5)
    assert about(found)["latent_shape"] == [1, 2, 2]
    assert {r.latent_dim for r in found.records if r.metric == "mse"} == {4}
    spatial = evaluate(lambda x: (pool(x), torch.full((len(x), 1), -3.0)), up, "kl").value("kl")
    flat = evaluate(
        lambda x: (pool(x).flatten(1), torch.full((len(x), 4), -3.0)), lambda z: up(z.view(-1, 1, 2, 2)), "kl"
    )
    assert spatial == pytest.approx(flat.value("kl"), rel=1e-6)
    one = evaluate(lambda x: x.flatten(1).mean(1), lambda z: z[:, None].repeat(1, 16))
    assert one.value("mse") == pytest.approx(float((X - X.mean((1, 2, 3), keepdim=True)).square().mean()), rel=1e-5)


def test_the_users_own_error_is_shown():
    def encode(x):
        raise KeyError("no such layer")

    with pytest.raises(
        ValueError, match=r"encode raised KeyError: 'no such layer' at .*test_callables.py:\d+"
    ) as caught:
        evaluate(encode)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(
        ValueError, match=r"encode raised RuntimeError: mat1 and mat2.*given float32 \(4, 1, 4, 4\)"
    ) as caught:
        evaluate(nn.Linear(3, 4))
    assert "numpy" not in str(caught.value)


def test_functions_of_arrays_are_found_out_once():
    seen = []

    def encode(x):
        seen.append(type(x))
        return np.ascontiguousarray(x.reshape(len(x), -1)[:, :4].astype(np.float64))

    def decode(z):
        assert z.dtype == np.float64
        return np.tile(z, (1, 4))

    found = evaluate(encode, decode)
    assert found.value("mse") == pytest.approx(evaluate().value("mse"), rel=1e-6)
    assert seen[0] is torch.Tensor
    assert set(seen[1:]) == {np.ndarray}
    assert (about(found)["encode_gets"], about(found)["decode_gets"]) == ("arrays", "arrays")


def test_nothing_a_function_writes_reaches_anybody():
    buffer = torch.empty(512, 4)

    def encode(x):
        codes = buffer[: len(x)]
        codes.copy_(x.flatten(1)[:, :4])
        x.fill_(7.0)
        return codes

    def decode(z):
        out = z.repeat(1, 4)
        z.fill_(7.0)
        return out

    given = X.clone()
    found = evaluate(encode, decode, batch_size=5)
    assert found.value("mse") == evaluate().value("mse")
    assert torch.equal(given, X)


def test_a_module_in_training_mode_is_measured_in_eval_mode_and_put_back():
    norm = nn.BatchNorm1d(16)
    norm.running_mean += 0.25
    model = nn.Sequential(nn.Flatten(), norm, nn.Dropout(0.5))
    model[2].eval()
    model.train()
    model[2].training = False
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for encode in (model, lambda x: model(x), model.forward):
        found = evaluate(encode, lambda z: z)
        expected = ((X.flatten(1) - 0.25) / (1 + norm.eps) ** 0.5 - X.flatten(1)).square().mean()
        assert found.value("mse") == pytest.approx(float(expected), rel=1e-4)
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        assert [m.training for m in model] == [True, True, False]
        assert "model.was_training" in notes(found)


def test_a_module_that_changes_itself_is_said_and_put_back():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls = self.calls + 1
            return mean(x)

    model = Counting()
    with pytest.warns(UserWarning, match="the module changes itself when it is called: calls"):
        found = evaluate(model)
    assert float(model.calls) == 0
    assert "model.changes_itself" in notes(found)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_module_is_given_its_own_dtype(dtype):
    encode, decode = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).to(dtype), nn.Linear(3, 16).to(dtype)
    with torch.no_grad():
        expected = (decode(encode(X.to(dtype))).float() - X.flatten(1)).square().mean()
    assert evaluate(encode, decode).value("mse") == pytest.approx(float(expected), rel=1e-5)
    assert about(evaluate(encode, decode))["parameters"] == 16 * 3 + 3 + 3 * 16 + 16


def test_an_encoder_that_draws_is_said_and_averaged_and_draws_nothing_of_the_users():
    def encode(x):
        noise = torch.randn(len(x), 4) + torch.from_numpy(np.random.randn(len(x), 4)).float() + 0 * random.gauss(0, 1)  # noqa: NPY002
        return mean(x) + noise

    torch.manual_seed(3)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    found, again = evaluate(encode), evaluate(encode)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2] == random.getstate()
    assert found.value("mse") == again.value("mse")
    assert notes(found)["model.encoder_draws"]["values"] == {"calls": 8}
    exact = evaluate().value("mse")
    assert found.value("mse") - exact == pytest.approx(2 / 8, rel=0.4)  # two variances of 1, over the mean of 8 calls
    with pytest.warns(UserWarning, match="posterior='sample,log_var'"):
        evaluate(lambda x: (encode(x), wide(x, -3.0)), metrics="kl")
    drawn = evaluate(lambda x: mean(x), lambda z: spread_out(z) + torch.randn(len(z), 16))
    assert "model.decoder_draws" in notes(drawn)


@pytest.mark.parametrize(
    ("encode", "decode", "code"),
    [
        (mean, lambda z: torch.zeros(len(z), 16), "model.decode_constant"),
        (lambda x: torch.ones(len(x), 2), lambda z: z.repeat(1, 8), "model.encode_constant"),
        (lambda x: mean(x) - mean(x).mean(0), spread_out, "model.batch_dependent"),
        (lambda x: (mean(x) * 9).long(), lambda z: z.float().repeat(1, 4), "model.integer_codes"),
    ],
)
def test_what_looks_wrong_is_warned_about(encode, decode, code):
    with pytest.warns(UserWarning):  # noqa: PT030 - which one, the code says
        found = evaluate(encode, decode)
    assert code in notes(found)


def test_batches_are_no_larger_than_asked_and_shrink_where_memory_ends():
    sizes = []

    def decode(z):
        sizes.append(len(z))
        if len(z) > 10:
            raise RuntimeError("out of memory")
        return spread_out(z)

    found = evaluate(decode=decode)
    assert found.value("mse") == evaluate().value("mse")
    assert about(found)["batch_size"] <= 10
    sizes.clear()
    evaluate(decode=decode, batch_size=3)
    assert max(sizes) == 3
    with pytest.raises(ValueError, match="out of memory"):
        evaluate(decode=decode, batch_size=20)
    for size in (0, 2.5, True):
        with pytest.raises(ValueError, match="batch_size"):
            evaluate(batch_size=size)


def test_labels_travel_with_a_conditional_model(tmp_path):
    """The code knows nothing, the label everything: reconstructions are right only with each sample's own label."""
    y = torch.arange(len(X)) % 3
    x = (y / 4.0).view(-1, 1, 1, 1).expand(-1, 1, 4, 4) + 0.1 * X
    seen = []

    def decode(z, label):
        seen.append(label.clone())
        return (label / 4.0).view(-1, 1).expand(-1, 16) + 0.1 * z.repeat(1, 4)

    def encode(x, label):
        return (x.flatten(1)[:, :4] - (label / 4.0).view(-1, 1)) * 10

    found = lb.evaluate(encode, decode, x, y, x, y, metrics="mse,memorisation,path.tortuosity", conditional=True)
    expected = (0.1 * (spread_out(mean(X)) - X.flatten(1))).square().mean()
    assert found.value("mse") == pytest.approx(float(expected), rel=1e-4)
    draws = torch.cat([s for s in seen if len(s) > 100])
    assert torch.bincount(draws, minlength=3).min() > len(draws) / 4
    assert "model.conditional" in notes(found)
    with pytest.raises(ValueError, match="conditional: decode takes labels"):
        evaluate(encode, decode, conditional=True)


def models(shift=0.0):
    """The same model three times, a little apart, as seeds."""
    return [(lambda x, s=s: mean(x) + s, lambda z, s=s: spread_out(z - s) + shift + s) for s in (0.0, 0.01, 0.02)]


def test_models_and_seeds_stand_side_by_side(tmp_path):
    given = {"x_test": X, "x_train": X, "metrics": "mse,r2", "out": tmp_path / "out"}
    found = lb.evaluate({"near": models(), "far": models(0.3)}, **given)
    rows = [r for r in found.records if (r.metric, r.split) == ("mse", "test") and r.is_model]
    assert [(r.model, r.seed) for r in rows] == [(m, s) for m in ("near", "far") for s in range(3)]
    finding = found.findings.query("metric == 'mse'").iloc[0]
    assert finding["low"] < finding["difference"] < finding["high"]
    linear = [r for r in found.records if r.role == "baseline"]
    assert {(r.model, r.metric, r.latent_dim, r.seed) for r in linear} == {
        ("baseline:pca", "mse", 4, None),
        ("baseline:pca", "r2", 4, None),
    }
    assert found.value("mse", model="near") > next(r.value for r in linear if r.metric == "mse")
    assert RunFiles(tmp_path / "out").read_state().status == "finished"
    alone = [r.seed for r in lb.evaluate(models(), x_test=X, metrics="mse", name="near", seed=5).records if r.seed]
    assert set(alone) == {5, 6, 7}
    page = found.report.read_text("utf-8")
    assert "near" in page
    assert "3 seeds" in page


def test_what_was_noticed_stands_on_the_page(tmp_path):
    found = evaluate(lambda x: mean(x) + torch.randn(len(x), 4), out=tmp_path / "en")
    sentence = "encode returns another code at each call; the mean of 8 calls stands for the posterior mean"
    assert sentence in found.report.read_text("utf-8")
    translated = evaluate(lambda x: mean(x) + torch.randn(len(x), 4), out=tmp_path / "zh", lang="zh")
    assert sentence not in translated.report.read_text("utf-8")


MANY = torch.cat([X[:-1], X[:-1], X[-1:]])
"""So many that the last one is seen by no probe."""


def breaking(x):
    if any(torch.equal(one, X[-1]) for one in x):
        raise RuntimeError("a broken sample")
    return mean(x)


def test_a_model_that_fails_later_costs_the_others_nothing(tmp_path):
    pair = {"good": (mean, spread_out), "bad": (breaking, spread_out)}
    for order in (pair, dict(reversed(pair.items()))):
        with pytest.warns(
            UserWarning, match=r"'bad' \(seed 0\) could not be measured: encode raised .*a broken sample"
        ):
            found = lb.evaluate(order, x_test=MANY, metrics="mse")
        by = {r.model: r for r in found.records if (r.metric, r.split) == ("mse", "test") and r.is_model}
        assert (by["good"].status, by["bad"].status) == ("ok", "failed")
        assert "a broken sample" in by["bad"].reason
    with (
        pytest.warns(UserWarning, match="could not be measured"),
        pytest.raises(ValueError, match="a broken sample"),
    ):
        lb.evaluate(breaking, spread_out, MANY, metrics="mse", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_picture_that_fails_loses_nothing(tmp_path, monkeypatch):
    from latentbench.measuring import artifacts

    def broken(*given):
        raise RuntimeError("no ink")

    monkeypatch.setitem(artifacts.ROLES, "strips", broken)
    found = evaluate(out=tmp_path / "out")
    assert next(r for r in found.records if r.metric == "strips").status == "failed"
    assert found.value("mse") == evaluate().value("mse")
    assert found.report.exists()


def test_a_kill_in_the_middle_leaves_what_was_measured(tmp_path):
    calls = []

    def encode(x):
        calls.append(len(x))
        if len(calls) > 6:  # past its probe
            raise KeyboardInterrupt
        return mean(x)

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        lb.evaluate({"first": (mean, spread_out), "second": (encode, spread_out)}, x_test=X, metrics="mse", out=out)
    files = RunFiles(out)
    assert files.read_state().status == "unfinished"
    rows = files.read_records("test")
    assert [r.model for r in rows if (r.metric, r.split) == ("mse", "test") and r.is_model] == ["first"]
    with pytest.raises(ValueError, match=r"out: .* stopped before it was finished"):
        evaluate(out=out)


def test_decoded_values_far_outside_the_range_are_warned_about():
    model = SimpleNamespace(notes={}, handed=SimpleNamespace(outside=lambda out: 0.3), note=lambda reason: None)
    with pytest.warns(UserWarning, match="30% of the range of the data beyond it"):
        probe._look_at_range(model, X)


def test_progress_in_a_notebook_and_in_silence(monkeypatch):
    said = []
    handle = SimpleNamespace(update=said.append)
    shell = type("ZMQInteractiveShell", (), {"kernel": True})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    shown = SimpleNamespace(Pretty=str, display=lambda text, display_id: handle)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    evaluate()
    assert said == [
        "1 of 3: mine (seed 0) is tried",
        "2 of 3: judge is trained",
        "3 of 3: mine (seed 0) is measured",
        "1 of 1 models measured",
    ]
    evaluate(quiet=True)
    assert len(said) == 4

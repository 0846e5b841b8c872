"""Walking through a latent space: the decoder as plain numbers, what is kept beside it, and the section that shows it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_run import Synthetic, build
from test_report import prose, section
from torch import nn

import latentbench as lb
from latentbench import artifact_schema, records, report
from latentbench.core import Encoding
from latentbench.measuring import artifacts
from latentbench.measuring.explorer import COARSE, GRID, NUMBERS
from latentbench.measuring.plain_decoder import FUNCTIONS, chains, plain
from latentbench.metrics.samplers import fitted
from latentbench.models.ae import Autoencoder
from latentbench.models.vae import VariationalAutoencoder
from latentbench.randomness import randn, seeded
from latentbench.report.sections import explorer as shown
from latentbench.spaces.vector import Vector

MODULES = {
    "identity": nn.Identity(), "relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(0.2), "elu": nn.ELU(0.7), "selu": nn.SELU(),
    "silu": nn.SiLU(), "gelu": nn.GELU(), "gelu_tanh": nn.GELU("tanh"), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(),
    "softplus": nn.Softplus(2.0),
}  # fmt: skip


def normal(*shape: int, word: str = "x") -> torch.Tensor:
    return randn(shape, seeded(0, word), torch.zeros(1))


def encoding(model, x, *, train=True, **fields) -> Encoding:
    with torch.no_grad():
        posterior = model.encode(x)
        z = posterior.sample(seeded(0, "z"))
        whole = Encoding(
            "test", x, posterior.mu, z, model.decode(posterior.mu), posterior.log_var, decode=model.decode, **fields
        )
    return replace(whole, train=replace(whole, split="train")) if train else whole


def spread_out(model, d: int, seed: int = 0):
    """A model whose weights are as large as training makes them, so that the sigmoid is used to its ends."""
    generator = seeded(seed, "weights")
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2.0).add_(0.02 * randn(p.shape, generator, p))
    return model.eval()


@pytest.mark.parametrize("kind", [Autoencoder, VariationalAutoencoder])
@pytest.mark.parametrize(("shape", "d"), [((1, 8, 8), 8), ((1, 28, 28), 16)])
def test_the_kept_decoder_is_the_model_s(kind, shape, d):
    model = spread_out(kind(shape, d), d)
    points = 2 * normal(1000, d)
    found = chains([model], d, math.prod(shape))
    kept = plain(found, model.decode, points[:64], 1.0)
    own = model.decode(points).flatten(1).double()
    assert own.std() > 0.1
    assert (kept.decode(points) - own).abs().max() < 1e-3
    assert kept.output == ("sigmoid", 1.0, 0.0)
    assert [name for name, _ in kept.activations] == ["relu", "relu", "identity"]
    assert kept.weight.dtype == np.int16


def test_every_activation_that_is_declared_is_known_and_exact():
    assert tuple(FUNCTIONS) == artifact_schema.ACTIVATIONS == tuple(MODULES)
    for name, module in MODULES.items():
        network = nn.Sequential(nn.Linear(3, 20), module, nn.Dropout(), nn.Linear(20, 6)).eval()
        points = 4 * normal(200, 3)
        kept = plain(chains([network], 3, 6), network, points, 1.0)
        assert kept.activations[0][0] == name
        assert (kept.decode(points) - network(points).double()).abs().max() < 1e-3


@pytest.mark.parametrize("depth", [0, 1])
def test_a_decoder_of_vectors_ends_without_a_sigmoid(depth):
    model = VariationalAutoencoder((13,), 4, depth=depth, width=32).eval()
    kept = plain(chains([model], 4, 13), model.decode, normal(50, 4), 6.0)
    assert len(kept.activations) == depth + 1
    assert kept.output == ("identity", 1.0, 0.0)


@pytest.mark.parametrize(("network", "decode"), [
    (nn.Sequential(nn.Linear(3, 8), nn.Softmax(1), nn.Linear(8, 6)), None),
    (nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 6)), None),
    (nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Tanh(), nn.Linear(8, 6)), None),
    (nn.Sequential(nn.ReLU(), nn.Linear(3, 6)), None),
    (nn.Sequential(nn.Linear(3, 8), nn.Softplus(1.0, 5.0), nn.Linear(8, 6)), None),
    (nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6)), lambda f: lambda z: f(z) ** 2),
    (nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6)), lambda f: lambda z: f(z) + 0.01),
    (nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6)), lambda f: lambda z: f(z) * float("nan")),
    (nn.Sequential(nn.Linear(3, 8), nn.Linear(7, 6)), None),
])  # fmt: skip
def test_what_is_no_chain_or_decodes_otherwise_is_refused(network, decode):
    network = network.eval()
    function = decode(network) if decode else (network if network[-1].in_features != 7 else None)
    found = chains([network], 3, 6)
    assert not found or plain(found, function, normal(40, 3), 1.0) is None


def test_a_chain_of_a_user_s_own_is_found_by_what_it_decodes():
    """Of two chains of the same sizes the one that decodes; an output that is scaled to the range of images."""

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.other = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 6))
            self.mine = nn.Sequential(
                nn.Linear(3, 8), nn.Sequential(nn.SiLU(), nn.Linear(8, 6)), nn.Tanh(), nn.Unflatten(1, (1, 2, 3))
            )

        def decode(self, z):
            return (self.mine(z) + 1) / 2

    own = Own().eval()
    kept = plain(chains([own], 3, 6), own.decode, normal(40, 3), 1.0)
    assert kept.output == ("identity", 0.5, 0.5)
    assert [name for name, _ in kept.activations] == ["silu", "tanh"]


def test_what_is_kept_beside_the_decoder():
    model = spread_out(VariationalAutoencoder((1, 8, 8), 6), 6)
    e = encoding(model, normal(120, 1, 8, 8).sigmoid())
    arrays, detail = artifacts.explorer(e, [model])
    artifact_schema.check("explorer", arrays)
    assert (arrays["index"] == np.arange(120)).all()
    np.testing.assert_allclose(arrays["codes"], e.mu.numpy(), rtol=1e-6)
    np.testing.assert_allclose(arrays["spread"], e.mu.numpy().std(0), rtol=1e-4)
    kl = arrays["kl"][arrays["order"]]
    assert len(kl) > 0
    assert (np.diff(kl) <= 0).all()
    a, b = detail["dims"]
    assert [a, b] == arrays["order"][:2].tolist()
    z = arrays["mean"].copy()
    z[a] += detail["steps"][3] * arrays["spread"][a]
    z[b] += detail["steps"][11] * arrays["spread"][b]
    frame = artifacts._arrays(e, {"grid": model.decode(torch.from_numpy(z)[None])})["grid"][0]
    assert np.abs(arrays["grid"][GRID - 1 - 11, 3].astype(int) - frame).max() <= 1
    for sampler in ("gaussian", "mixture"):
        np.testing.assert_allclose(
            arrays[f"{sampler}_root"], e.once(fitted, sampler=sampler).root, rtol=1e-5, atol=1e-7
        )
    apart = torch.cdist(e.mu.double(), e.mu.double()).fill_diagonal_(math.inf).amin(1)
    assert detail["radius"] == pytest.approx(float(apart.quantile(0.99)), rel=1e-4)
    again, _ = artifacts.explorer(encoding(model, e.x), [model])
    assert all((arrays[k] == again[k]).all() for k in arrays)


def test_without_training_codes_there_is_no_fitted_sampler():
    model = Autoencoder((1, 8, 8), 3).eval()
    arrays, detail = artifacts.explorer(encoding(model, normal(30, 1, 8, 8).sigmoid(), train=False), [model])
    assert not [name for name in arrays if name.startswith(artifact_schema.SAMPLERS)]
    assert "kl" not in arrays
    assert detail["weights"] == len(arrays["weight"])


def test_of_a_decoder_that_is_too_large_or_no_chain_there_is_a_grid():
    x = normal(20, 1, 28, 28).sigmoid()
    large = Autoencoder((1, 28, 28), 4, width=600).eval()
    arrays, detail = artifacts.explorer(encoding(large, x, train=False), [large])
    assert "weight" not in arrays
    assert detail["weights"] > artifact_schema.DECODER_WEIGHTS
    conv = Autoencoder((1, 28, 28), 4, net="conv").eval()
    arrays, detail = artifacts.explorer(encoding(conv, x, train=False), [conv])
    assert "weight" not in arrays
    assert "weights" not in detail
    assert arrays["grid"].shape == (GRID, GRID, 28, 28)


def test_the_grid_of_large_images_is_coarse_and_averaged_down_in_the_page(tmp_path):
    model = Autoencoder((3, 80, 80), 4, net="conv", depth=1, width=4).eval()
    arrays, detail = artifacts.explorer(encoding(model, normal(10, 3, 80, 80).sigmoid(), train=False), [model])
    assert arrays["grid"].shape == (COARSE, COARSE, 80, 80, 3)
    assert detail["steps"][COARSE // 2] == 0
    large = np.arange(200 * 100).reshape(1, 1, 200, 100) % 251
    small = shown._reduced(large.astype(np.uint8))
    assert small.shape == (1, 1, 66, 33)
    assert small[0, 0, 0, 0] == round(large[0, 0, :3, :3].mean())


def test_dimensions_that_are_not_active_are_not_walked_along():
    model = Autoencoder((1, 8, 8), 3).eval()
    e = encoding(model, normal(40, 1, 8, 8).sigmoid(), train=False)
    one = replace(e, mu=e.mu * torch.tensor([0.0, 1.0, 0.0]))
    arrays, detail = artifacts.explorer(one)
    assert detail["dims"] == [1]
    assert arrays["grid"].shape[:2] == (1, GRID)
    arrays, detail = artifacts.explorer(replace(e, mu=torch.zeros_like(e.mu)))
    assert detail["dims"] == []
    assert arrays["grid"].shape[:2] == (1, 1)


def test_a_wide_latent_keeps_few_codes_and_no_covariances():
    model = Autoencoder((1, 8, 8), 3000, depth=0).eval()
    arrays, _ = artifacts.explorer(encoding(model, normal(300, 1, 8, 8).sigmoid()), [model])
    assert arrays["codes"].size <= NUMBERS
    assert "gaussian_root" not in arrays


def test_values_of_vectors_are_kept_with_their_names():
    names = tuple(f"c{k}" for k in range(5))
    model = VariationalAutoencoder((5,), 2).eval()
    arrays, detail = artifacts.explorer(
        encoding(model, normal(30, 5), train=False, given_space=Vector((5,), names)), [model]
    )
    assert arrays["x"].shape == (30, 5)
    assert (detail["columns"], detail["low"], detail["high"]) == (list(names), -3.0, 3.0)


def test_modules_of_evaluated_functions_are_looked_through(tmp_path):
    x = normal(60, 1, 4, 4).sigmoid()
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    decoder = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 16), nn.Sigmoid(), nn.Unflatten(1, (1, 4, 4)))
    contenders = {
        "live": (encoder, decoder),
        "grid": (encoder, lambda z: z.repeat(1, 6)[:, :16].view(-1, 1, 4, 4).sigmoid()),
    }
    lb.evaluate(contenders, x_test=x, metrics=["mse"], out=tmp_path / "run")
    rows = {r.model: r for r in records.read(tmp_path / "run" / "records.jsonl") if r.metric == "explorer"}
    assert {m: "activations" in r.detail for m, r in rows.items()} == {"live": True, "grid": False}


# the section


def data_of(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" class="explorer-data">(.*?)</script>', text, re.S)[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("runs") / "demo", Synthetic(seeds=2, models=("ae", "vae", "vae:beta=4")))


def changed(folder, model, arrays=lambda a: a, detail=lambda d: d):
    """Rewrite a model's explorer artifact and its record."""
    rows = records.read(folder / "records.jsonl")
    for k, r in enumerate(rows):
        if r.kind == "artifact" and r.metric == "explorer" and r.model == model:
            with np.load(folder / r.path) as held:
                new = arrays(dict(held))
            np.savez_compressed(folder / r.path, **new)
            rows[k] = replace(r, detail=detail(dict(r.detail)), sha256=records.file_digest(folder / r.path))
    records.write(folder / "records.jsonl", rows)


def test_the_page_carries_decoders_codes_and_originals(folder):
    text = report.render([folder]).read_text("utf-8")
    data = data_of(text)
    assert [m["label"] for m in data["models"]] == ["ae", "vae", "vae:beta=4"]
    assert all(m["weight"] for m in data["models"])
    assert data["models"][0]["kl"] is None
    assert list(data["models"][1]["samplers"]) == ["gaussian"]
    assert data["runs"][0]["sheet"].startswith("data:image/webp")
    assert "stands in" not in prose(section(text, "explorer"))
    assert "Seed 0." in prose(section(text, "explorer"))


def test_decoders_beyond_the_budget_are_grids_and_the_page_says_so(folder, monkeypatch, tmp_path):
    one = 8 * 4 + 4 * 64
    monkeypatch.setattr(shown, "BUDGET", 2 * one)
    text = report.render([folder], tmp_path / "x.html").read_text("utf-8")
    assert ["weight" in m for m in data_of(text)["models"]] == [True, True, False]
    assert "This page carries no more decoders: a grid of decoded points stands in for that of vae:beta=4." in prose(
        text
    )


@pytest.mark.parametrize(("detail", "sentence"), [
    ({"weights": 900_000}, "The decoder of vae has 900 000 weights, more than a page carries (400 000): a grid"),
    ({"weights": 300}, "The decoder of vae is no chain of linear layers that a page can compute: a grid"),
    ({}, "The decoder of vae is no chain of linear layers that a page can compute: a grid"),
])  # fmt: skip
def test_why_a_decoder_is_a_grid(tmp_path, detail, sentence):
    folder = build(tmp_path / "run", Synthetic(seeds=2))
    lost = ("weight", "scale", "bias", "sizes")
    changed(
        folder, "vae", lambda a: {k: v for k, v in a.items() if k not in lost},
        lambda d: {k: v for k, v in d.items() if k not in ("weights", "activations", "output")} | detail,
    )  # fmt: skip
    text = report.render([folder]).read_text("utf-8")
    assert sentence in prose(text)
    ae, vae = data_of(text)["models"]
    assert "weight" in ae
    assert "weight" not in vae
    assert vae["frames"].startswith("data:image/webp")


def test_a_function_of_later_is_not_computed(tmp_path):
    folder = build(tmp_path / "run", Synthetic(seeds=2))
    changed(folder, "ae", detail=lambda d: d | {"activations": [["mish", 0.0], ["identity", 0.0]]})
    assert "weight" not in data_of(report.render([folder]).read_text("utf-8"))["models"][0]


@pytest.mark.parametrize("arrays", [
    lambda a: a | {"weight": a["weight"][:-1]},
    lambda a: a | {"order": a["order"] + 5},
    lambda a: a | {"codes": a["codes"][:, :3]},
    lambda a: a | {"spread": a["spread"][:2]},
])  # fmt: skip
def test_arrays_that_do_not_fit_are_a_sentence(tmp_path, arrays):
    folder = build(tmp_path / "run", Synthetic(seeds=2))
    changed(folder, "ae", arrays)
    text = report.render([folder]).read_text("utf-8")
    assert "Not drawn: the" in prose(section(text, "explorer"))
    assert [m["label"] for m in data_of(text)["models"]] == ["vae"]


def test_a_run_of_before_says_that_it_has_none(tmp_path):
    folder = build(tmp_path / "run", Synthetic(seeds=2, without=frozenset(["explorer"])))
    text = section(report.render([folder]).read_text("utf-8"), "explorer")
    assert "Not drawn: this run recorded no explorer of ae." in prose(text)
    assert "explorer-data" not in text
    assert "slider" not in prose(text)


def test_without_the_data_the_codes_are_still_walked(tmp_path):
    folder = build(tmp_path / "run", Synthetic(seeds=2, without=frozenset(["data"])))
    assert data_of(report.render([folder]).read_text("utf-8"))["runs"] == [{"index": []}]


def test_the_click_on_a_map_is_spoken_of_where_there_is_one(tmp_path, folder):
    there = "A click on a map starts at"
    assert there in prose(report.render([folder]).read_text("utf-8"))
    for spec in (Synthetic(seeds=2, without=frozenset(["map"])), Synthetic(seeds=2, latent_dim=2)):
        path = build(tmp_path / f"run{spec.latent_dim}", spec)
        assert there not in prose(section(report.render([path]).read_text("utf-8"), "explorer"))


def test_the_section_is_short(folder):
    bare = re.sub(
        r"<script.*?</script>", " ", section(report.render([folder]).read_text("utf-8"), "explorer"), flags=re.S
    )
    assert len(prose(bare).split()) <= 350


def test_numbers_in_sixteen_bits_come_back():
    rows = np.random.default_rng(0).normal(0, 3, (5, 40))
    rows[2] = 0
    held = shown._packed(rows)
    import base64

    steps = np.frombuffer(base64.b64decode(held["steps"]), "<i2").reshape(5, 40)
    scale = np.frombuffer(base64.b64decode(held["scale"]), "<f4")
    assert np.abs(steps * scale[:, None] - rows).max() < 2e-4

"""Models that once won unjustly, beside an honest autoencoder and an honest VAE: three seeds each, as one run's records.

Each cheat wears the honest VAE's encoder (one its autoencoder's), so what is measured of codes alone is as good as honest:
it cheats in what it decodes to. ``CHEATS`` says of each which questions it is bad at: there no answer may be yes, and no
finding may call it better without a caveat.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from cheats import once_trained
from torch import Tensor

import latentbench as lb
from latentbench import catalog
from latentbench.config import make_run
from latentbench.core import Dataset, Posterior
from latentbench.measuring import scoring
from latentbench.measuring.baselines import ANCHOR, BASELINES
from latentbench.randomness import randn, seeded
from latentbench.records import JUDGE, Record
from latentbench.training.fit import Plan, fit, initialise

SEEDS = (0, 1, 2)
SIGMA = 0.3
"""The width that a whitened autoencoder gives out as its own."""
CPU = torch.device("cpu")

Decode = Callable[[Tensor], Tensor]


class Model(NamedTuple):
    """What is measured: images (n, c, h, w) -> Posterior, codes (n, d) -> images."""

    encode: Callable[[Tensor], Posterior]
    decode: Decode
    decoder_variance: float | None = None
    likelihood: str = ""


class Honest(NamedTuple):
    """One seed's trained models, and the data and seed they were trained with."""

    ae: Model
    vae: Model
    dataset: Dataset
    seed: int


class Field(NamedTuple):
    """Where cheats compete: data, the honest models' width and their epochs (2,000 steps and more)."""

    load: Callable[[], Dataset]
    width: int
    epochs: int
    latent_dim: int = 8


DIGITS = Field(lambda: lb.load_dataset("digits"), 128, 130)
LINES = Field(lambda: lb.load_dataset("lines"), 256, 45, 16)
MNIST = Field(lambda: lb.load_dataset("mnist", os.environ["LATENTBENCH_DATA"]), 256, 4, 16)


@cache
def honest(field: Field, seed: int) -> Honest:
    """Both models trained, the same way as a run trains them."""
    dataset = field.load()
    run = make_run({"latent_dim": field.latent_dim, "width": field.width, "epochs": field.epochs, "batch_size": 64})

    def trained(name: str) -> Model:
        model = initialise(lambda: catalog.resolve_model(name, run).build(dataset.shape), seed)
        fit(model, dataset.train.x, dataset.val.x, Plan(field.epochs, 0, 64, 1e-3), seed)
        return Model(*map(torch.no_grad(), (model.encode, model.decode)))

    return Honest(trained("ae"), trained("vae"), dataset, seed)


def nearest(z: Tensor, codes: Tensor) -> Tensor:
    return torch.cdist(z.double(), codes.double()).argmin(1)


def table(given: Honest, images: Tensor, noise: float = 0.0) -> Model:
    """A table of images: the one whose code lies nearest, with fresh pixel noise."""
    codes, draws = given.vae.encode(images).mu, seeded(given.seed, "pixel noise")

    def decode(z: Tensor) -> Tensor:
        out = images[nearest(z, codes)]
        return (out + noise * randn(out.shape, draws, out)).clamp(0, 1) if noise else out

    return Model(given.vae.encode, decode)


def prototypes(given: Honest) -> Model:
    """Ten images, each class's mean code decoded."""
    codes, y = given.vae.encode(given.dataset.train.x).mu, given.dataset.train.y
    means = torch.stack([codes[y == c].mean(0) for c in y.unique()])
    return Model(given.vae.encode, lambda z: given.vae.decode(means[nearest(z, means)]))


def half_and_half(given: Honest) -> Model:
    """A table, one half of it training and the other validation images."""
    val = given.dataset.val.x
    half = len(val) // 2
    return table(given, torch.cat([given.dataset.train.x[:half], val[:half]]))


def snapped(given: Honest) -> Model:
    """The nearest training code decoded."""
    codes = given.vae.encode(given.dataset.train.x).mu
    return Model(given.vae.encode, lambda z: given.vae.decode(codes[nearest(z, codes)]))


def dropped(given: Honest) -> Model:
    """Half of the classes are never drawn: where a code lies nearest to one of theirs, the nearest other is decoded."""
    codes, y = given.vae.encode(given.dataset.train.x).mu, given.dataset.train.y
    kept = y < (int(y.max()) + 1) // 2
    some = codes[kept]

    def decode(z: Tensor) -> Tensor:
        near = kept[nearest(z, codes)]
        return given.vae.decode(torch.where(near[:, None], z, some[nearest(z, some)]))

    return Model(given.vae.encode, decode)


def noisy_codes(given: Honest) -> Model:
    """Noise at the exact codes of images, where reconstructions and the ends of paths are, and nowhere else."""
    data = given.dataset
    codes = torch.cat([given.vae.encode(split.x).mu for split in (data.train, data.val, data.test)])
    draws = seeded(given.seed, "noise at codes")

    def decode(z: Tensor) -> Tensor:
        out = given.vae.decode(z)
        at = (torch.cdist(z.double(), codes.double()).amin(1) < 1e-6)[:, None, None, None]
        return torch.where(at, (out + 0.25 * randn(out.shape, draws, out)).clamp(0, 1), out)

    return Model(given.vae.encode, decode)


def invented_sigma(given: Honest) -> Model:
    """A whitened autoencoder that claims a sigma which its decoder never saw: the codes' variance is 1, as it should be."""
    codes = given.ae.encode(given.dataset.train.x).mu.double()
    mean, shrunk = codes.mean(0), math.sqrt(1 - SIGMA**2)
    value, vector = torch.linalg.eigh((codes - mean).T @ (codes - mean) / len(codes))
    root = value.clamp(min=1e-9).sqrt()

    def encode(x: Tensor) -> Posterior:
        mu = ((given.ae.encode(x).mu.double() - mean) @ vector / root * shrunk).to(x)
        return Posterior(mu, torch.full_like(mu, 2 * math.log(SIGMA)))

    return Model(encode, lambda z: given.ae.decode(((z.double() / shrunk * root) @ vector.T + mean).to(z)))


class Cheat(NamedTuple):
    """How it is made from honest models, and the questions it is bad at."""

    make: Callable[[Honest], Model]
    bad: tuple[str, ...]


CHEATS: dict[str, Cheat] = {
    "prototypes": Cheat(prototypes, ("continuous", "complete")),
    "validation-table": Cheat(lambda h: table(h, h.dataset.val.x), ("continuous", "complete")),
    "half-and-half": Cheat(half_and_half, ("continuous", "complete")),
    "snapped": Cheat(snapped, ("continuous", "complete")),
    "dropped": Cheat(dropped, ("continuous", "complete")),
    "noisy-table": Cheat(lambda h: table(h, h.dataset.val.x, 0.02), ("continuous", "complete")),
    "noisy-codes": Cheat(noisy_codes, ("continuous", "reconstructs")),
    "invented-sigma": Cheat(invented_sigma, ("posterior",)),
}
HONEST: dict[str, Callable[[Honest], Model]] = {"ae": lambda h: h.ae, "vae": lambda h: h.vae}
WANTED = (
    "r2", "r2.draw", "path.jump", "path.refinement", "path.validity_gain", "path.validity_gain.real", "validity.normal",
    "validity.mixture", "coverage", "density", "valid_label_tv", "uniqueness", "novelty", "memorisation", "kl",
    "kl.mean_part", "punctual_index", "active_units", "variance_law",
)  # fmt: skip
"""What the answers rest on, and what else a cheat may lead in."""


def _metrics() -> list[Any]:
    return list(catalog.find_metrics(WANTED).values())


@cache
def records_of(name: str, field: Field = DIGITS) -> tuple[Record, ...]:
    """Three seeds of one model, cheat or honest."""
    make = HONEST[name] if name in HONEST else CHEATS[name].make
    out: list[Record] = []
    for seed in SEEDS:
        given = honest(field, seed)
        row = Record(dataset=given.dataset.name, model=name, latent_dim=field.latent_dim, seed=seed)
        judge = once_trained(given.dataset)
        out += scoring.score(scoring.encode(make(given), given.dataset, seed, CPU, judge, {}), _metrics(), row)
    return tuple(out)


@cache
def anchors(field: Field = DIGITS) -> tuple[Record, ...]:
    """Baselines, ceilings, floors and the judge's own check."""
    dataset = field.load()
    judge, row = once_trained(dataset), Record(dataset=dataset.name, latent_dim=field.latent_dim)
    out = list(judge.records(Record(dataset=dataset.name, model=JUDGE, role="judge")))
    for name, kind in BASELINES.items():
        encoding = scoring.encode(kind(dataset.train.x, field.latent_dim), dataset, 0, CPU, judge, {})
        out += scoring.score(encoding, _metrics(), Record(**{**vars(row), "model": name, "role": "baseline"}))
        if name == ANCHOR:
            out += scoring.references(encoding, _metrics(), row)
    return tuple(out)


def contest(*names: str, field: Field = DIGITS) -> list[Record]:
    """The records of some models as of one run, with its anchors."""
    return [*anchors(field), *(r for name in names for r in records_of(name, field))]

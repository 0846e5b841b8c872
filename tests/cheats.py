"""Models that cheat, each as two callables, and the disguises they may wear: a turned latent, a stretched one, both.

A disguise is an invertible linear map ``z -> (z Q) * s`` of the latent, Q orthogonal, s > 0, that the decoder undoes
first: the model is the same model, told in other coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

import latentbench as lb
from latentbench.catalog import metrics
from latentbench.core import Dataset
from latentbench.datasets import digits
from latentbench.evaluating import evaluate as evaluating
from latentbench.measuring.baselines import PrincipalComponents
from latentbench.measuring.judge import CalibratedJudge, train_judge
from latentbench.randomness import seeded
from latentbench.testing.reparametrise import stretch as stretched
from latentbench.testing.reparametrise import turn as turned

DATA = digits.load("", "", 0)
X = DATA.train.x
GIVEN = {"x_test": DATA.test.x, "y_test": DATA.test.y, "x_train": X, "y_train": DATA.train.y}
DISGUISES = {"as it is": (False, False), "turned": (True, False), "stretched": (False, True), "both": (True, True)}
FAMILIES = ("path.", "midpoint.", "validity.", "memorisation", "data_copying")
SINGLE = ("mse", "r2", "active_units", "punctual_index")
WANTED = [n for n in metrics() if n.startswith(FAMILIES) or n in SINGLE]
VALIDITIES = ("validity.normal", "validity.gaussian", "validity.mixture")

Encode = Callable[[Tensor], Any]
Decode = Callable[[Tensor], Tensor]


class Cheat(NamedTuple):
    """A model: ``encode`` gives codes (n, d) or (mu, log_var), ``decode`` images."""

    encode: Encode
    decode: Decode


@cache
def principal(d: int) -> PrincipalComponents:
    return PrincipalComponents(X, d)


def honest(d: int = 8) -> Cheat:
    """Principal components: no cheat."""
    return Cheat(lambda x: principal(d).encode(x).mu, principal(d).decode)


def identity() -> Cheat:
    """The image is its own code."""
    return Cheat(lambda x: x.flatten(1), lambda z: z.view(-1, *DATA.shape))


def lookup(d: int) -> Cheat:
    """The training image whose stored code, its first d principal components, is nearest."""
    stored = principal(d).encode(X).mu
    return Cheat(honest(d).encode, lambda z: X[torch.cdist(z, stored).argmin(1)])


def scrambled(d: int) -> Cheat:
    """A lookup table made to please: its stored codes are draws of N(0, I), dealt out at random."""
    stored, images = torch.randn(len(X), d, generator=seeded(0, "stored codes")), X.flatten(1)
    return Cheat(
        lambda x: stored[torch.cdist(x.flatten(1), images).argmin(1)],
        lambda z: X[torch.cdist(z, stored).argmin(1)],
    )


def mean_image(z: Tensor) -> Tensor:
    return X.mean(0).expand(len(z), *DATA.shape)


def constant() -> Cheat:
    """Codes with something to say, and a decoder that does not listen."""
    return Cheat(honest().encode, mean_image)


def noise() -> Cheat:
    """Fresh uniform noise at every call."""
    draws = seeded(0, "noise decoder")
    return Cheat(honest().encode, lambda z: torch.rand((len(z), *DATA.shape), generator=draws))


def punctual() -> Cheat:
    """A variance so small that it is none."""
    return Cheat(lambda x: (principal(8).encode(x).mu, torch.full((len(x), 8), -14.0)), principal(8).decode)


def collapsed(left: float = 0.0) -> Cheat:
    """Every posterior is the prior; ``left``: what is left of the means."""
    return Cheat(lambda x: (left * principal(8).encode(x).mu, torch.zeros(len(x), 8)), mean_image)


CHEATS: dict[str, Callable[[], Cheat]] = {
    "pca": honest,
    "identity": identity,
    "lookup": lambda: lookup(2),
    "lookup of d = 8": lambda: lookup(8),
    "scrambled lookup of d = 8": lambda: scrambled(8),
    "constant": constant,
    "noise": noise,
    "punctual": punctual,
    "collapsed": collapsed,
    "nearly collapsed": lambda: collapsed(1e-3),
}


def disguised(cheat: Cheat, turn: bool, stretch: bool) -> Cheat:
    """The same model with a latent turned at random and stretched along each axis by 1/10 to 10."""

    def coordinates(d: int) -> tuple[Tensor, Tensor]:
        one = torch.eye(d, dtype=torch.float64)
        return (turned(d) if turn else one), (stretched(d) if stretch else one.diagonal())

    def encode(x: Tensor) -> Any:
        out = cheat.encode(x)
        mu, log_var = out if isinstance(out, tuple) else (out, None)
        q, s = coordinates(mu.shape[1])
        moved = (mu.double() @ q * s).to(mu)
        # One variance for all dimensions stays diagonal when turned.
        return moved if log_var is None else (moved, (log_var.double() + 2 * s.log()).to(mu))

    def decode(z: Tensor) -> Tensor:
        q, s = coordinates(z.shape[1])
        return cheat.decode((z.double() / s @ q.T).to(z))

    return Cheat(encode, decode)


JUDGES: dict[tuple[str, int], CalibratedJudge] = {}


def once_trained(dataset: Dataset, seed: int = 0) -> CalibratedJudge:
    """`train_judge`, but once for each dataset and seed."""
    key = (dataset.sha256, seed)
    if key not in JUDGES:
        JUDGES[key] = train_judge(dataset, seed)
    return JUDGES[key]


def honest_white(d: int) -> Cheat:
    """Principal components told in units of their standard deviations: N(0, I) is then where the codes lie."""
    sd = principal(d).encode(X).mu.std(0)
    return Cheat(lambda x: principal(d).encode(x).mu / sd, lambda z: principal(d).decode(z * sd))


def measured(cheat: Cheat, name: str, wanted: list[str] | None = None) -> lb.Result:
    """`lb.evaluate` on digits with the judge that all tests share."""
    before, evaluating.train_judge = evaluating.train_judge, once_trained
    try:
        return lb.evaluate(*cheat, **GIVEN, metrics=wanted, name=name)
    finally:
        evaluating.train_judge = before


@cache
def evaluated(name: str, disguise: str = "as it is", every: bool = False) -> lb.Result:
    """What `lb.evaluate` says of a cheat; ``every``: by all metrics."""
    return measured(disguised(CHEATS[name](), *DISGUISES[disguise]), name, None if every else WANTED)

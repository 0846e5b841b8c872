"""A judge's self-check, on the test split: what it passes of real images (the ceiling) and of every kind of junk, how
often it names the class, and why it may not be used.

It is refused where one of three things holds:

- it knows no classes: the 99 % lower bound (Clopper & Pearson 1934, one-sided) of its accuracy is not above the share of
  the largest class, which who always says that class has;
- it passes fewer than half of the real images: what is left of the others measures its caution;
- it passes more than 5 % of a floor.

What it passes of other kinds refuses nobody. It is recorded and said as it is: of the kinds that were tried, those shown
to its training apart from those never shown. No more can be said: images found by climbing the gradient of a judge's
confidence are noise to the eye, and any classifier passes them (96 % of them, where this was tried). A decoder that was
trained against the judge can do that; nothing here shows it, but that its draws lie far from every real image in pixels
(``far`` in the records of ``validity``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from latentbench.core import Dataset, Verdict
from latentbench.randomness import seeded
from latentbench.records import JUNK_LIMIT, LEAST_REAL, Reason, Record
from latentbench.spaces import junk

CONFIDENCE = 0.99
"""Confidence of the lower bound of accuracy."""
TRIED, FEWEST_TRIED = 1000, 200
"""Samples of each kind that are tried: as many as there are test samples, but at most and at least so many. Of 36 rows a share
of 5 % is one or two."""
KNOWN = 5000
"""Training images that kinds made from none in particular are held against."""
ACCURACY, PASS, REAL = "judge.accuracy", "judge.pass.", "judge.pass.real"
SHOWN, UNSEEN = "judge.junk_shown", "judge.junk_unseen"
NO_JUNK = Reason.of("judge.kind_is_real", "what is made of this kind are real images of this data: no junk here")


class Check(NamedTuple):
    """One thing that was measured of a judge, a share in [0, 1]; None where there is nothing to measure it on."""

    value: float | None
    detail: Mapping[str, Any] = {}


Checks = Mapping[str, Check]
"""By the name of their metric: ``judge.accuracy`` (detail: ``lower``, its bound, and ``largest class``, the share it must be
above), ``judge.pass.real``, ``judge.pass.KIND`` (detail: ``shown``, ``floor``, ``images``: how many, and
``withdrawn`` where it was), ``judge.junk_shown``
and ``judge.junk_unseen``: the largest share of a kind that was, or never was, shown to training (detail: kind -> share)."""


def self_check(
    judge: Callable[[Tensor], Verdict],
    dataset: Dataset,
    seed: int,
    kinds: Sequence[junk.Kind] | None = None,
    withdrawn: Collection[str] = (),
) -> dict[str, Check]:
    """What ``judge`` makes of the test split and of junk made from it, of the ``kinds`` (None: the space's). ``withdrawn``: the kinds that its training was shown
    for a while only."""
    test = dataset.test
    verdict = judge(test.x)
    assert test.y is not None
    right, n = int((verdict.label == test.y).sum()), len(test.y)
    largest = int(torch.bincount(test.y).max()) / n
    detail = {"lower": lower_bound(right, n), "largest class": largest, "images": n}
    checks = {ACCURACY: Check(right / n, detail), REAL: Check(float(verdict.valid.double().mean()), {"images": n})}
    apart = junk.apart(dataset.train.x)
    known = dataset.train.x[torch.randperm(len(dataset.train.x), generator=seeded(seed, "judge self-check"))[:KNOWN]]
    for kind in dataset.space.junk if kinds is None else kinds:
        x = kind.tried(
            test.x, min(TRIED, max(n, FEWEST_TRIED)), seeded(seed, f"judge self-check {kind.name}"), apart, known
        )
        passed = float(judge(x).valid.double().mean()) if len(x) else None
        about = {"shown": kind.shown, "floor": kind.floor, "images": len(x)}
        checks[f"{PASS}{kind.name}"] = Check(passed, about | ({"withdrawn": True} if kind.name in withdrawn else {}))
    return checks | {name: _largest(checks, shown) for name, shown in ((SHOWN, True), (UNSEEN, False))}


def _largest(checks: Checks, shown: bool) -> Check:
    """The largest share passed of the kinds that were, or were not, shown to training, and all of them."""
    of = {
        name.removeprefix(PASS): check.value
        for name, check in checks.items()
        if check.detail.get("shown") is shown and check.value is not None
    }
    return Check(max(of.values(), default=None), of)


def lower_bound(right: int, n: int) -> float:
    """One-sided `CONFIDENCE` lower bound of a share of which ``right`` of ``n`` were seen (Clopper & Pearson 1934)."""
    from scipy.stats import binomtest

    return float(binomtest(right, n, alternative="greater").proportion_ci(CONFIDENCE).low)


def refusal(checks: Checks) -> str:
    """Why the judge of these ``checks`` may not be used, as a `Reason`; empty where it may."""
    accuracy, real = checks[ACCURACY], checks[REAL].value
    assert accuracy.value is not None
    assert real is not None
    if accuracy.detail["lower"] <= accuracy.detail["largest class"]:
        return Reason.of(
            "judge.at_chance",
            "the judge's self-check failed: it tells no classes apart (accuracy {accuracy:.1%}, at least {lower:.1%} at "
            "99% confidence; always to say the largest class is right in {share:.1%})",
            accuracy=accuracy.value,
            lower=accuracy.detail["lower"],
            share=accuracy.detail["largest class"],
        )
    if real < LEAST_REAL:
        return Reason.of(
            "judge.refuses_real",
            "the judge's self-check failed: it passes only {share:.1%} of real images (at least {least:.0%})",
            share=real,
            least=LEAST_REAL,
        )
    floors = {n.removeprefix(PASS): c.value for n, c in checks.items() if c.detail.get("floor") and c.value is not None}
    worst = max(floors, key=lambda k: floors[k], default="")
    return _passes(worst, floors[worst]) if worst and floors[worst] > JUNK_LIMIT else ""


def _passes(kind: str, share: float) -> Reason:
    """The reason that a floor is passed. Each of those that spaces here have has a sentence of its own: in other languages its name
    alone would not do."""
    values = {"share": share, "most": JUNK_LIMIT}
    reasons = {
        "noise": Reason.of(
            "judge.passes_noise",
            "the judge's self-check failed: it passes {share:.1%} of noise (at most {most:.0%})",
            **values,
        ),
        "gaussian_noise": Reason.of(
            "judge.passes_gaussian_noise",
            "the judge's self-check failed: it passes {share:.1%} of gaussian_noise (at most {most:.0%})",
            **values,
        ),
        "shuffle": Reason.of(
            "judge.passes_shuffle",
            "the judge's self-check failed: it passes {share:.1%} of shuffle (at most {most:.0%})",
            **values,
        ),
        "mean": Reason.of(
            "judge.passes_mean",
            "the judge's self-check failed: it passes {share:.1%} of mean (at most {most:.0%})",
            **values,
        ),
        "black": Reason.of(
            "judge.passes_black",
            "the judge's self-check failed: it passes a black image",
        ),
        "white": Reason.of(
            "judge.passes_white",
            "the judge's self-check failed: it passes a white image",
        ),
        "flat": Reason.of(
            "judge.passes_flat",
            "the judge's self-check failed: it passes {share:.1%} of series that never change (at most {most:.0%})",
            **values,
        ),
        "constant": Reason.of(
            "judge.passes_constant",
            "the judge's self-check failed: it passes {share:.1%} of images of one grey (at most {most:.0%})",
            **values,
        ),
    }
    other = Reason.of(
        "judge.passes_floor",
        "the judge's self-check failed: it passes {share:.1%} of the floor {kind} (at most {most:.0%})",
        **values,
        kind=kind,
    )
    return reasons.get(kind, other)


def rows(checks: Checks, row: Record) -> list[Record]:
    """What the self-check measured, a record each; ``row`` holds what they share (the judge's name, the data)."""
    shared = replace(row, split="test", unit="share", bounds=(0.0, 1.0))
    out = []
    for name, check in checks.items():
        one = replace(
            shared, metric=name, better="higher" if name in (ACCURACY, REAL) else "lower", detail=check.detail
        )
        absent = check.value is None
        out.append(replace(one, status="skipped", reason=NO_JUNK) if absent else replace(one, value=check.value))
    return out

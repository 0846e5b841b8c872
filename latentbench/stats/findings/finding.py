"""The two nouns of what a run's records say: a *finding* (two models, one metric) and an *answer* (one model, one
question), with their vocabularies. Both are data: whoever words or draws them decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FindingVerdict = Literal["better", "worse", "equivalent", "not told apart", "not comparable"]
"""What a comparison comes to. ``equivalent``: the interval lies within the least difference that matters; one that
contains 0 and reaches beyond it only says ``not told apart``."""

Word = Literal["yes", "partly", "no", "not told", "not asked"]
"""What a question about one model is answered with; ``not asked``: it has no meaning for the model."""

QUESTIONS, OTHER = ("continuous", "complete", "posterior", "cost", "how sure"), "other"
"""What a metric's findings are filed under; ``other`` where none of them rests on it."""

ASKED = ("continuous", "complete", "reconstructs", "posterior")
"""The questions that every model gets an `Answer` to."""

CAVEATS = {
    "collapsed": "one of the two collapsed: whatever goes in, what comes out does not depend on it",
    "copies": "one of the two gives its training images back",
    "nothing valid": "hardly any draw of the one that scores better is valid, so where its codes lie is worth nothing",
    "mostly collapsed": "most latent dimensions of one of the two are not active",
    "uninformative": "the codes of one of the two explain less than a fifth of the images' variance",
    "repeats": "the draws of one of the two repeat one another more than real images do",
    "copies in part": "more than half of the draws of one of the two are copies of images it has seen",
    "classes missing": "classes are missing among the valid draws of one of the two",
    "suspicious validity": "the judge accepts more draws of one of the two than real images",
    "far in pixels": "valid draws of one of the two lie farther from every image than real images do",
    "crowded": "draws of one of the two crowd in the middle of the real images",
    "jumps": "paths of one of the two snap: finer steps do not make the largest one smaller",
    "uneven": "single steps of one of the two take much of the way between two images",
    "few codes": "one of the two uses less than a tenth of its codebook",
    "invented sigma": "the decoder of one of the two was not trained with the sigma it is said to have",
    "worse than PCA": "one of the two reconstructs worse than PCA of the same size",
    "undertrained": "training of one of the two ended while it was still getting better, or after fewer than 2,000 steps",
    "duplicates": "test images also stand in training or validation",
    "failed": "one of the two has no value because it failed",
    "skipped": "one of the two has no value because the metric was skipped",
    "no judge": "one of the two has no value because there is no judge",
    "no labels": "one of the two has no value because the data has no labels",
    "judge refused": "one of the two has no value because the judge failed its self-check",
    "self-check failed": "the metric failed its self-check on this data",
    "other likelihood": "the values are nats of different likelihoods, which have no common scale",
    "no direction": "the metric has no direction: more of it is neither better nor worse",
    "no seed in common": "the two share no seed, so nothing is paired",
    "one seed": "one shared seed allows no interval",
    "unsteady timing": "the timings cannot rank: they spread too widely, or other work ran beside them",
    "approximate": "an interval of the two may cover less than 95 %",
    "borderline": "the exact sign-flip test does not follow the interval",
    "blur": "the straighter of the two is also the worse at reconstructing",
    "second judge differs": "a second judge, trained apart, does not say the same",
    "one side only": "only one of the two was measured",
    "some launches only": "it did not run in every launch",
    "fails more": "the subject failed at more seeds than its rival, and what is left of it would flatter it",
    "protocol differs": "the two were measured in different ways: parameters, split, latent size, unit, direction or target",
    "machine differs": "the two were timed on different machines, or on ones that are not recorded",
    "judge differs": "the two were judged by different judges, of which each sets another level",
    "zero time": "a time of 0 has no ratio",
    "reference moved": "the machine did not treat the two alike: a workload that is the same on both sides changed too",
    "one value": "a single value on a side allows no interval",
    "at the threshold": "they differ, and the interval does not tell whether by more than the threshold",
    "wide": "the interval reaches beyond the threshold, and no difference at all is possible too",
}
"""Every caveat a finding may carry, with its meaning; from ``one side only`` on those of two sides of one model."""


@dataclass(frozen=True)
class Finding:
    """What one metric says of two models on held-out images, or of one model on two sides: two runs, two revisions.

    ``subject`` is compared with ``rival``. ``difference`` is subject minus rival, over seeds the mean of paired
    differences with its 95 % t-interval ``low`` to ``high`` and the two-sided ``p`` of the paired t-test, in the unit
    of the metric; of a metric with a target it is the difference of the two distances to it. All four are None where
    there is nothing to subtract, the last three also with one shared seed. ``n`` counts the seeds behind it. ``caveats``
    are codes of `CAVEATS`, in their order, empty where there are none.

    A difference is read against a ``threshold``, the least one worth a verdict, in the unit of the metric, with p
    ``adjusted`` (Holm): of two models for all headline claims of the page where a headline rests on the metric, else for
    all pairs in all metrics; of two sides of one model for all claims of the comparison. ``reason`` says in English why two
    sides are not told apart or not comparable; two models of a run have none.
    """

    question: str
    subject: str
    rival: str
    metric: str
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    verdict: FindingVerdict
    caveats: tuple[str, ...] = ()
    n: int = 0
    dataset: str = ""
    latent_dim: int | None = None
    run: str = ""
    adjusted: float | None = None
    threshold: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """One model's answer to one question of `ASKED`, with the ``reasons`` for anything but a bare yes as codes; the
    rules stand in `latentbench.stats.findings.answers`."""

    model: str
    question: str
    answer: Word
    reasons: tuple[str, ...] = ()
    dataset: str = ""
    latent_dim: int | None = None
    run: str = ""


FINDING_COLUMNS = tuple(
    "question subject rival metric difference low high p adjusted threshold verdict caveats".split()
)
"""Columns of the table of findings, in order."""
ANSWER_COLUMNS = ("model", "question", "answer")
"""Columns of the table of answers, in order."""

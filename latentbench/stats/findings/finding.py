"""The two nouns of what a run's records say: a *finding* (two models, one metric) and an *answer* (one model, one
question), with their vocabularies. Both are data: whoever words or draws them decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FindingVerdict = Literal["better", "worse", "equivalent", "not told apart", "not comparable"]
"""What a comparison comes to. ``equivalent`` is a word that no rule yields yet: an interval that contains 0 only says
``not told apart``."""

Word = Literal["yes", "partly", "no", "not told"]
"""What a question about one model is answered with."""

QUESTIONS = ("continuous", "complete", "posterior", "cost", "how sure")
"""What a metric's findings are filed under; ``other`` where none of them rests on it."""

ASKED = ("continuous", "complete", "reconstructs", "posterior")
"""The questions that every model gets an `Answer` to."""

CAVEATS = {
    "collapsed": "one of the two collapsed: whatever goes in, what comes out does not depend on it",
    "copies": "one of the two gives its training images back",
    "undertrained": "training of one of the two was still getting better when its epochs ran out",
    "failed": "one of the two has no value because it failed",
    "skipped": "one of the two has no value because the metric was skipped",
    "no judge": "one of the two has no value because there is no judge",
    "judge refused": "one of the two has no value because the judge failed its self-check",
    "self-check failed": "the metric failed its self-check on this data",
    "other likelihood": "the values are nats of different likelihoods, which have no common scale",
    "no direction": "the metric has no direction: more of it is neither better nor worse",
    "no seed in common": "the two share no seed, so nothing is paired",
    "one seed": "one shared seed allows no interval",
    "unsteady timing": "the timings spread too widely to rank by",
    "approximate": "an interval of the two may cover less than 95 %",
    "borderline": "the exact sign-flip test does not follow the interval",
    "blur": "the straighter of the two is also the worse at reconstructing",
    "second judge differs": "a second judge, trained apart, does not say the same",
}
"""Every caveat a finding may carry, with its meaning."""


@dataclass(frozen=True)
class Finding:
    """What one metric says of two models on held-out images.

    ``subject`` is compared with ``rival``. ``difference`` is subject minus rival, over seeds the mean of paired
    differences with its 95 % t-interval ``low`` to ``high`` and the two-sided ``p`` of the paired t-test, in the unit
    of the metric; of a metric with a target it is the difference of the two distances to it. All four are None where
    there is nothing to subtract, the last three also with one shared seed. ``n`` counts the seeds behind it. ``caveats``
    are codes of `CAVEATS`, in their order, empty where there are none.
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


FINDING_COLUMNS = tuple("question subject rival metric difference low high p verdict caveats".split())
"""Columns of the table of findings, in order."""
ANSWER_COLUMNS = ("model", "question", "answer")
"""Columns of the table of answers, in order."""

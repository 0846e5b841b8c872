"""Four questions about one model, each answered ``yes``, ``partly``, ``no`` or ``not told``.

The answers are derived from what the sentences decide, and lean to the careful side: a yes takes every part of it to
be measured, over two seeds or more, with the whole 95 % interval on its side. In this order, whatever the question:

    no          the model collapsed, or copies its training images (also with one seed: one is enough to see either)
    not told    whether it collapsed (R²) or, for ``continuous`` and ``complete``, whether it copies (memorisation) was
                not measured: a constant valid image or a lookup table would pass everything else
    not told    a part was skipped, failed, or failed its self-check, or there is one seed

Then, by question:

    continuous    rests on ``path.validity_gain``, what the judge accepts on a path beyond a cross-fade of its ends.
                  yes: above 0, also between images of two classes alone where that was noted (``partly`` where only the
                  whole is); no: below 0; not told: the interval contains 0
    complete      rests on two shares. What the judge accepts of draws from N(0, I), between junk (0) and real images (1):
                  yes from `MOST` on, no up to `HALF`. What of N(0, I) is no hole: the same limits. The worse of the two
                  is the answer; partly between the limits, not told where an interval reaches across `HALF`. A yes
                  becomes ``partly`` where the draws crowd or their classes are nearer to one class than to the data's
                  (``valid_label_tv`` of `HALF` or more), and ``not told`` where a second judge would not say yes
    reconstructs  rests on R² beside PCA of the same size. yes: above PCA; partly: above the mean image (0) but below
                  PCA, or not told apart from it; not told: the interval contains 0. A model below the mean image has
                  collapsed
    posterior     rests on the diagnosis. yes: regular; partly: regular in the mean, but not in every dimension of every
                  seed; no: punctual, far apart or both
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

from latentbench.records import Record
from latentbench.stats.cells import Cell, Interval, t_interval
from latentbench.stats.findings.complete import crowds
from latentbench.stats.findings.continuous import gain_between_classes
from latentbench.stats.findings.cost import beyond
from latentbench.stats.findings.diagnosis import diagnosis, dimensions_by_seed
from latentbench.stats.findings.finding import Answer, Word
from latentbench.stats.findings.table import Table, tables

MOST, HALF = 0.9, 0.5
"""Shares of what is possible from which on a part of completeness is had, and up to which it is not."""


class Reply(NamedTuple):
    """An answer and its reasons, before it is known whose."""

    answer: Word
    reasons: tuple[str, ...] = ()


def answers(records: Sequence[Record]) -> list[Answer]:
    """Every model's answers to the questions of `latentbench.stats.findings.finding.ASKED`, table by table."""
    out = []
    for table in tables(records):
        for model in table.models:
            for question, rule in RULES.items():
                answer, reasons = _cheat(table, model) or rule(table, model)
                once = tuple(dict.fromkeys(reasons))
                out.append(Answer(model, question, answer, once, table.dataset, table.latent_dim, table.run))
    return out


def _cheat(table: Table, model: str) -> Reply | None:
    """No, whatever is asked, of a model whose images do not depend on its codes or are its training images."""
    codes: dict[str, Container[str]] = {"collapsed": table.collapse, "copies": table.copies}
    reasons = tuple(code for code, which in codes.items() if model in which)
    return Reply("no", reasons) if reasons else None


def _continuous(table: Table, model: str) -> Reply:
    gain = table.by.get((model, "path.validity_gain"))
    if lacking := (*_unknown(table, model, copies=True), *_lacking(gain, "path.validity_gain")):
        return Reply("not told", lacking)
    assert gain is not None
    assert gain.interval is not None
    if gain.interval.side <= 0:
        return (
            Reply("no", ("less valid than a cross-fade",))
            if gain.interval.side
            else Reply("not told", ("not told apart",))
        )
    apart = gain_between_classes(gain)
    return Reply("yes") if apart is None or apart.side > 0 else Reply("partly", ("not between classes",))


def _complete(table: Table, model: str) -> Reply:
    valid, hole = (table.by.get((model, metric)) for metric in ("validity.normal", "hole"))
    lacking = (*_unknown(table, model, copies=True), *_lacking(valid, "validity.normal"), *_lacking(hole, "hole"))
    real, junk = table.reference("validity.normal", "ceiling:real"), table.floor("validity.normal")
    if real is None or real <= (junk or 0.0):
        lacking += ("no ceiling",)
    if lacking:
        return Reply("not told", lacking)
    assert valid is not None
    assert hole is not None
    assert real is not None
    shares = {
        "validity": _share(valid, junk or 0.0, real),
        "holes": t_interval([1 - v for v in hole.values.values()]),
    }
    parts = {name: _between(i) for name, i in shares.items()}
    worst = next(a for a in ("no", "not told", "partly", "yes") if a in parts.values())
    if worst != "yes":
        return Reply(
            parts[next(n for n, a in parts.items() if a == worst)], tuple(n for n, a in parts.items() if a != "yes")
        )
    return _doubts(table, model, junk or 0.0, real)


def _doubts(table: Table, model: str, junk: float, real: float) -> Reply:
    """What takes a yes back: a second judge, one class for all, a crowd in the middle."""
    second = table.by.get((model, "validity.normal.second_judge"))
    accepted = table.get("judge:second", "judge.pass.real")
    if second is not None and second.interval is not None:
        ceiling = accepted.mean if accepted else real
        if _between(_share(second, junk, max(ceiling, junk + 1e-9))) != "yes":
            return Reply("not told", ("second judge differs",))
    classes = table.get(model, "valid_label_tv")
    doubts = {
        "crowded": crowds(table.by.get((model, "density"))),
        "classes missing": classes is not None and classes.mean >= HALF,
    }
    reasons = tuple(code for code, holds in doubts.items() if holds)
    return Reply("partly", reasons) if reasons else Reply("yes")


def _reconstructs(table: Table, model: str) -> Reply:
    r2, pca = table.by.get((model, "r2")), table.reference("r2", "baseline:pca")
    if lacking := (*_unknown(table, model), *_lacking(r2, "r2"), *(("no baseline",) if pca is None else ())):
        return Reply("not told", lacking)
    assert r2 is not None
    assert r2.interval is not None
    beside_pca = beyond(r2, pca)
    if r2.interval.side <= 0 or beside_pca is None:
        return Reply("not told", ("not told apart from the mean image",))
    if beside_pca.side > 0:
        return Reply("yes")
    return Reply("partly", ("below PCA" if beside_pca.side else "not told apart from PCA",))


def _posterior(table: Table, model: str) -> Reply:
    index, nats = (table.by.get((model, metric)) for metric in ("punctual_index", "kl.mean_part"))
    overall = diagnosis(table, model)
    if overall in ("regular", "unknown"):
        lacking = (*_unknown(table, model), *_lacking(index, "punctual_index"), *_lacking(nats, "kl.mean_part"))
    else:
        # A flaw that was measured stands, whatever else was not: the codes of an autoencoder have no KL.
        lacking = tuple(code for c in (index, nats) if c and c.interval for code in _lacking(c, c.metric))
    if lacking:
        return Reply("not told", lacking)
    if overall != "regular":
        return Reply("no", tuple(overall.split(" and ")))
    mixed = {kind for count in dimensions_by_seed(table, model).values() for kind in count} - {"regular"}
    return Reply("partly", tuple(f"{kind} dimensions" for kind in sorted(mixed))) if mixed else Reply("yes")


RULES: dict[str, Callable[[Table, str], Reply]] = {
    "continuous": _continuous,
    "complete": _complete,
    "reconstructs": _reconstructs,
    "posterior": _posterior,
}


def _unknown(table: Table, model: str, copies: bool = False) -> tuple[str, ...]:
    """What must be known before a yes and is not: whether the model collapsed, and whether it copies."""
    out = [] if table.get(model, "r2") else ["collapse unknown"]
    if copies and not table.get(model, "memorisation"):
        out.append("copying unknown")
    return tuple(out)


def _lacking(cell: Cell | None, metric: str) -> tuple[str, ...]:
    """Why a metric says nothing of a model; empty where it says something."""
    if cell is None or cell.interval is None:
        return (f"no {metric}",)
    if cell.unproven:
        return ("self-check failed",)
    return ("one seed",) if cell.interval.n < 2 else ()


def _share(cell: Cell, bottom: float, top: float) -> Interval:
    """A model's values between two anchors, 0 at the ``bottom`` and 1 at the ``top``, over seeds."""
    return t_interval([(v - bottom) / (top - bottom) for v in cell.values.values()])


def _between(i: Interval) -> Word:
    """Where an interval lies beside `HALF` and `MOST`."""
    if i.low is None or i.high is None:
        return "not told"
    if i.high <= HALF:
        return "no"
    if i.low < HALF:
        return "not told"
    return "yes" if i.low >= MOST else "partly"

"""How sure is that? Seeds, split and judge that the answers are conditional on, and what failed on the way."""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.records import Record
from latentbench.report import words
from latentbench.report.measured import Table, untold
from latentbench.report.verdict.claims import Verdict, decided
from latentbench.stats import Cell, sign_flip

JUNK = 0.05
"""Share of a kind of junk that a judge may accept and still pass its self-check."""
CLAIM = 0.05
"""Error a claim allows itself: one minus the confidence of its interval."""


def sure(table: Table, records: Sequence[Record]) -> Verdict:
    """What stands behind the other answers."""
    n = table.seeds
    judged = any(table.row(m, collapsed=True) for m in ("validity.normal", "path.validity_gain"))
    judge = "one judge" if judged else "no judge"
    if n >= 2:
        headline = f"{n} seeds, one split of the data and {judge}, {table.where}."
    else:
        headline = f"Not at all yet: one seed gives no interval, so nothing is a claim, {table.where}."
    sentences = [*_judge(table), *_second(table), *_failures(table)]
    if lost := untold(records, table):
        sentences.append(f"Nothing is known of {words.listed(lost)}: no value was recorded.")
    if n >= 2:
        sentences += _intervals(n)
    return Verdict(
        "how sure", f"How sure? {headline}", tuple(sentences), ("judge.accuracy", "validity.normal.second_judge")
    )


def _intervals(n: int) -> list[str]:
    out = [
        "Intervals are 95 % t-intervals, those of differences between equal seeds, each for one comparison on its own; "
        "they tell how much the training seed matters, not what other data or another judge would give."
    ]
    least = sign_flip([1.0] * n)
    if least > CLAIM:
        out.append(
            f"The exact sign-flip test, which needs no normal distribution, cannot fall below p = {least:.2g} with {n} "
            "seeds: 6 are the least for one claim at 5 %."
        )
    return out


def _judge(table: Table) -> list[str]:
    """Whether the judge may be believed."""
    kinds = ("noise", "shuffle", "mean")
    junk = {k: i.mean for k in kinds if (i := table.get("judge", f"judge.pass.{k}"))}
    if not junk:
        refused = "" if table.row("validity.normal", collapsed=True) else table.why("validity.normal")
        return [f"No judge said what is valid: {refused}."] if "judge" in refused or "label" in refused else []
    real, accuracy = (table.get("judge", f"judge.{k}") for k in ("pass.real", "accuracy"))
    does = f" It accepts {words.percent(real.mean)} of real held-out images." if real else ""
    able = f" It tells their classes apart with accuracy {words.number(accuracy.mean)}." if accuracy else ""
    worst = max(junk, key=lambda k: junk[k])
    share, most = words.percent(junk[worst]), f"{JUNK:.0%}".replace("%", " %")
    if junk[worst] > JUNK:
        name = words.reference(f"floor:{worst}")
        return [
            f"The judge failed its self-check: of {name} it accepts {share}, at most {most} are allowed, so every measure "
            f"that needs it is skipped.{does}{able}"
        ]
    return [
        f"The judge passed its self-check: of any kind of junk it accepts at most {share} (allowed: {most}).{does}{able}"
    ]


def _second(table: Table) -> list[str]:
    """Whether a second judge, trained apart, tells the models apart in the same way."""
    mine = table.row("validity.normal")
    theirs = {c.model: c for c in table.row("validity.normal.second_judge")}
    if not mine or mine[0].model not in theirs:
        return []
    first = mine[0]
    agree = {
        c.model: decided(first, c) == decided(theirs[first.model], theirs[c.model])
        for c in mine[1:]
        if c.model in theirs
    }
    out = []
    if same := [m for m, yes in agree.items() if yes]:
        out.append(
            f"A second judge, trained apart, says the same of {words.listed([first.model, *same])} under N(0, I)."
        )
    if other := [m for m, yes in agree.items() if not yes]:
        out.append(
            f"A second judge, trained apart, does not say the same of {words.listed(other)} against {first.model} under "
            "N(0, I): that verdict hangs on the judge."
        )
    return out


def _failures(table: Table) -> list[str]:
    """What failed, one sentence a model and reason."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in table.cells:
        if cell.failed and cell.model in table.models:
            found.setdefault((cell.model, cell.reason), []).append(cell)
    out = []
    for (model, reason), cells in found.items():
        worst = max(cells, key=lambda c: c.failed)
        names = list(dict.fromkeys(c.metric for c in cells))
        what = "" if len(names) > 3 else f" in {words.listed(names)}"
        total = worst.failed + worst.skipped + len(worst.values)
        at = f" at {worst.failed} of {total} seeds" if total > 1 else ""
        out.append(f"{model} failed{what}{at}: {reason or 'no reason recorded'}.")
    return out

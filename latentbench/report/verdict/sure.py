"""How sure is that? Seeds, split and judge that the answers are conditional on, and what failed on the way."""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.records import Record
from latentbench.report.measured import Table, untold
from latentbench.report.verdict.claims import Verdict, decided
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Cell, sign_flip

JUNK = 0.05
"""Share of a kind of junk that a judge may accept and still pass its self-check."""
CLAIM = 0.05
"""Error a claim allows itself: one minus the confidence of its interval."""


def sure(table: Table, records: Sequence[Record]) -> Verdict:
    """What stands behind the other answers."""
    n = table.seeds
    judged = any(table.row(m, collapsed=True) for m in ("validity.normal", "path.validity_gain"))
    if n >= 2:
        judge = say("one judge") if judged else say("no judge")
        headline = say("{n} seeds, one split of the data and {judge}, {where}.", n=n, judge=judge, where=table.where)
    else:
        text = marked("Not at all yet: one seed gives no interval, so nothing is a claim, {where}.")
        headline = say(text, where=table.where)
    sentences = [*_judge(table), *_second(table), *_failures(table)]
    if lost := untold(records, table):
        sentences.append(say("Nothing is known of {models}: no value was recorded.", models=words.listed(lost)))
    if n >= 2:
        sentences += _intervals(n)
    return Verdict(
        "how sure",
        say("How sure? {answer}", answer=headline),
        tuple(sentences),
        ("judge.accuracy", "validity.normal.second_judge"),
    )


def _intervals(n: int) -> list[str]:
    out = [
        say(
            "Intervals are 95 % t-intervals, those of differences between equal seeds, each for one comparison on its own; "
            "they tell how much the training seed matters, not what other data or another judge would give."
        )
    ]
    least = sign_flip([1.0] * n)
    if least > CLAIM:
        out.append(
            say(
                "The exact sign-flip test, which needs no normal distribution, cannot fall below p = {least} with {n} "
                "seeds: 6 are the least for one claim at 5 %.",
                least=f"{least:.2g}",
                n=n,
            )
        )
    return out


def _judge(table: Table) -> list[str]:
    """Whether the judge may be believed."""
    kinds = ("noise", "shuffle", "mean")
    junk = {k: i.mean for k in kinds if (i := table.get("judge", f"judge.pass.{k}"))}
    if not junk:
        return _unjudged(table)
    real, accuracy = (table.get("judge", f"judge.{k}") for k in ("pass.real", "accuracy"))
    does = say(" It accepts {share} of real held-out images.", share=words.percent(real.mean)) if real else ""
    text = marked(" It tells their classes apart with accuracy {accuracy}.")
    able = say(text, accuracy=words.number(accuracy.mean)) if accuracy else ""
    worst = max(junk, key=lambda k: junk[k])
    share, most = words.percent(junk[worst]), f"{JUNK:.0%}".replace("%", " %")
    if junk[worst] > JUNK:
        told = say(
            "The judge failed its self-check: of {junk} it accepts {share}, at most {most} are allowed, so every measure "
            "that needs it is skipped.",
            junk=words.reference(f"floor:{worst}"),
            share=share,
            most=most,
        )
    else:
        told = say(
            "The judge passed its self-check: of any kind of junk it accepts at most {share} (allowed: {most}).",
            share=share,
            most=most,
        )
    return [told + does + able]


def _unjudged(table: Table) -> list[str]:
    """Why there was no judge, where a record tells."""
    cells = [] if table.row("validity.normal", collapsed=True) else table.cells
    reasons = {c.reason for c in cells if c.metric == "validity.normal" and c.model in table.models}
    if not any("judge" in r or "label" in r for r in reasons):
        return []
    return [say("No judge said what is valid: {why}.", why=table.why("validity.normal"))]


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
        text = marked("A second judge, trained apart, says the same of {models} under N(0, I).")
        out.append(say(text, models=words.listed([first.model, *same])))
    if other := [m for m, yes in agree.items() if not yes]:
        out.append(
            say(
                "A second judge, trained apart, does not say the same of {models} against {first} under N(0, I): that "
                "verdict hangs on the judge.",
                models=words.listed(other),
                first=first.model,
            )
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
        what = "" if len(names) > 3 else say(" in {metrics}", metrics=words.listed(names))
        total = worst.failed + worst.skipped + len(worst.values)
        at = say(" at {some} of {n} seeds", some=worst.failed, n=total) if total > 1 else ""
        out.append(say("{model} failed{what}{at}: {why}.", model=model, what=what, at=at, why=words.reason(reason)))
    return out

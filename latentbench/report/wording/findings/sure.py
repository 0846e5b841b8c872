"""How sure is that? Seeds, split and judge that the answers are conditional on, and what failed on the way."""

from __future__ import annotations

from latentbench.records import JUNK_LIMIT
from latentbench.report.wording import words
from latentbench.report.wording.findings.claims import Statement
from latentbench.report.wording.findings.tables import reasons, where
from latentbench.report.wording.intervals import NAMED
from latentbench.report.wording.language import marked, plural, say
from latentbench.stats.findings.sure import Certainty, Failure, JudgeCheck
from latentbench.stats.findings.table import STEPS, Table

METRICS = ("judge.accuracy", "validity.normal.second_judge", "validity.prior.second_judge")


def sure(certainty: Certainty) -> Statement:
    """What stands behind the other answers."""
    n, place = certainty.seeds, where(certainty.table)
    if n >= 2:
        judge = say("one judge") if certainty.judged else say("no judge")
        headline = (
            say("{n} seeds on {splits} splits of the data, each with {judge}, {where}.",
                n=n, splits=certainty.splits, judge=judge, where=place)
            if certainty.splits
            else say("{n} seeds, one split of the data and {judge}, {where}.", n=n, judge=judge, where=place)
        )  # fmt: skip
    else:
        text = marked("Not at all yet: one seed gives no interval, so nothing is a claim, {where}.")
        headline = say(text, where=place)
    out = [_judge(certainty.judge)] if certainty.judge else []
    if certainty.unjudged:
        out.append(say("No judge said what is valid: {why}.", why=reasons(certainty.unjudged)))
    out += [*_second(certainty), *map(_failure, certainty.failures)]
    if certainty.lost:
        out.append(
            say("Nothing is known of {models}: no value was recorded.", models=words.listed(list(certainty.lost)))
        )
    out += _data_and_training(certainty.table)
    if n >= 2:
        out += _intervals(certainty)
    return Statement("how sure", say("How sure? {answer}", answer=headline), tuple(out), METRICS)


def _data_and_training(table: Table) -> list[str]:
    """What makes the numbers say something else than they seem to: test images that were seen, training cut short."""
    out = []
    if copies := table.duplicates:
        out.append(
            plural(
                "{n} test image also stands in training ({train}) or validation ({val}), so it is not held out; "
                "run with --dedupe to leave copies out.",
                "{n} test images also stand in training ({train}) or validation ({val}), so they are not held out; "
                "run with --dedupe to leave copies out.",
                copies.seen,
                train=copies.in_train,
                val=copies.in_val,
            )
        )
    if short := [m for m in table.models if m in table.undertrained]:
        text = marked(
            "Undertrained: {models} (the validation loss still fell when training ended, or fewer than {least} steps were "
            "made); numbers describe the training, not the model."
        )
        out.append(say(text, models=words.listed(short), least=words.number(STEPS)))
    return out


def _cover(splits: int) -> list[str]:
    """What the intervals cover, and what the levels hold for."""
    if splits:
        return [
            say(
                "Intervals are 95 % t-intervals over the means of {n} random splits of the data, paired by seed for differences, "
                "each for one comparison; they cover the split, its judge and the training seed, not other data.",
                n=splits,
            )
        ]
    return [
        say(
            "Intervals are 95 % t-intervals, paired by seed for differences, each for one comparison; they cover the training "
            "seed, not other data or another judge."
        ),
        say(
            "Levels hold for this split of the data: over three splits of digits they moved by about five half-widths, signs "
            "of differences did not change; --splits 3 covers it."
        ),
    ]


def _intervals(certainty: Certainty) -> list[str]:
    out = _cover(certainty.splits)
    if certainty.claims:
        out.append(
            say(
                "Better, worse, higher and lower: p, adjusted for all claims of the page (Holm: {headline} of the headlines, "
                "{every} in all), is at most 5 %, and the difference exceeds the least that matters; seeds needed are for 80 % "
                "power.",
                headline=certainty.claims[0],
                every=certainty.claims[1],
            )
        )
    if certainty.least_p is not None:
        out.append(
            say(
                "The exact sign-flip test, which needs no normal distribution, cannot fall below p = {least} with {n} "
                "seeds: 6 are the least for one claim at 5 %.",
                least=f"{certainty.least_p:.2g}",
                n=certainty.splits or certainty.seeds,
            )
        )
    return out


def _judge(judge: JudgeCheck) -> str:
    """Whether the judge may be believed."""
    does = (
        say(" It accepts {share} of real held-out images.", share=words.percent(judge.real.mean)) if judge.real else ""
    )
    text = marked(" It tells their classes apart with accuracy {accuracy}.")
    able = say(text, accuracy=words.number(judge.accuracy.mean)) if judge.accuracy else ""
    return (_failed(judge) if judge.failing else _passed(judge)) + does + able


def _failed(judge: JudgeCheck) -> str:
    """Why the judge is not used."""
    if judge.failing == "chance" and judge.largest is not None:
        return say(
            "The judge failed its self-check: it tells the classes apart no better than always to say the largest one, which "
            "is right in {share}, so every measure that needs it is skipped.",
            share=words.percent(judge.largest),
        )
    if judge.failing == "real":
        return say(
            "The judge failed its self-check: it refuses more than half of the real held-out images, so every measure that "
            "needs it is skipped."
        )
    return say(
        "The judge failed its self-check: of {junk} it accepts {share}, at most {most} are allowed, so every measure "
        "that needs it is skipped.",
        junk=words.reference(f"floor:{judge.floors.worst}"),
        share=words.percent(judge.floors.share),
        most=_most(),
    )


def _passed(judge: JudgeCheck) -> str:
    """What junk the judge accepts, none of it too much."""
    text = marked(
        "The judge passed its self-check: it accepts at most {share} of each of the {n} kinds of junk that any judge must refuse "
        "(allowed: {most})."
    )
    out = say(text, n=judge.floors.kinds, share=words.percent(judge.floors.share), most=_most())
    if judge.shown is None or judge.unseen is None:
        return out
    return out + say(
        " Of {shown} kinds shown to its training it accepts at most {share} ({kind}), of {unseen} never shown at most {other} "
        "({worst}).",
        shown=judge.shown.kinds,
        share=words.percent(judge.shown.share),
        kind=words.junk(judge.shown.worst),
        unseen=judge.unseen.kinds,
        other=words.percent(judge.unseen.share),
        worst=words.junk(judge.unseen.worst),
    )


def _most() -> str:
    return f"{JUNK_LIMIT:.0%}".replace("%", " %")


def _second(certainty: Certainty) -> list[str]:
    """Whether a second judge, trained apart, tells the models apart in the same way."""
    out = []
    if same := [m for m, agrees in certainty.second.items() if agrees]:
        text = marked(
            "An independently trained second judge agrees on {models}, each under the prior it was trained with."
            if certainty.table.own_priors
            else "An independently trained second judge agrees on {models} under N(0, I)."
        )
        out.append(say(text, models=words.listed([certainty.first, *same])))
    if other := [m for m, agrees in certainty.second.items() if not agrees]:
        text = marked(
            "An independently trained second judge does not agree on {models} against {first}, each under the prior it was "
            "trained with: that verdict hangs on the judge."
            if certainty.table.own_priors
            else "An independently trained second judge does not agree on {models} against {first} under N(0, I): that verdict "
            "hangs on the judge."
        )
        out.append(
            say(
                text,
                models=words.listed(other),
                first=certainty.first,
            )
        )
    return out


def second_opinion(certainty: Certainty) -> list[str]:
    """Whether a second judge agrees, in a clause; nothing where there was none."""
    if not certainty.second:
        return []
    if other := [m for m, agrees in certainty.second.items() if not agrees]:
        text = marked("an independently trained second judge does not agree on {models}")
        return [say(text, models=words.listed(other) if len(other) <= NAMED else say("{n} models", n=len(other)))]
    return [say("an independently trained second judge agrees")]


def _failure(failure: Failure) -> str:
    """What failed, one sentence a model and reason."""
    metrics = list(failure.metrics)
    what = "" if len(metrics) > 3 else say(" in {metrics}", metrics=words.listed(metrics))
    at = say(" at {some} of {n} seeds", some=failure.seeds, n=failure.of) if failure.of > 1 else ""
    why = words.reason(failure.reason)
    return say("{model} failed{what}{at}: {why}.", model=failure.model, what=what, at=at, why=why)

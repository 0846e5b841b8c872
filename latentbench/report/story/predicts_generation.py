"""What predicts how well a second stage draws? The story of the study ``predicts-generation``, in words and drawings; what is
decided stands in `latentbench.stats.findings.prediction`.

Five expectations of the literature are put to the run, each a measure or two with the sign that it should have. Beside them
stands every measure that the run took, those that predict nothing no smaller than those that do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from latentbench.report.columns import Column
from latentbench.report.folder import RunFolder
from latentbench.report.story.evidence import Part, heading, noun, value_of, verdict
from latentbench.report.story.forest import Row, forest
from latentbench.report.story.nouns import Figure, Rung, Story, StoryClaim, made_together
from latentbench.report.story.run_view import RunView
from latentbench.report.story.trade_off_map import BESIDE, MapPoint, trade_off_map
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Interval
from latentbench.stats.findings.evidence import Measured
from latentbench.stats.findings.prediction import (
    FEWEST,
    MOST,
    TARGET,
    WEAK,
    Prediction,
    left_out,
    prediction,
    predictions,
)

TITLE = marked("Which measures predict what a second stage reaches?")


class Expected(NamedTuple):
    """A claim: its key, title and short form, what is expected and why, and the measures with the sign of their correlation."""

    key: str
    title: str
    short: str
    meaning: str
    signs: tuple[tuple[str, int], ...]


EXPECTED = (
    Expected(
        "a",
        marked("Better reconstruction predicts better draws of a second stage."),
        marked("reconstruction predicts"),
        marked(
            "What the decoder cannot give back it cannot draw either. But codes that keep every detail may lie so that no flow "
            "learns them."
        ),
        (("r2", 1), ("judge_frechet.reconstruction", -1)),
    ),
    Expected(
        "b",
        marked("A space that N(0, I) already fills is one that a flow fills well."),
        marked("a filled prior predicts"),
        marked("Where draws from N(0, I) are valid, the flow has next to nothing to learn."),
        (("validity.normal", 1), ("hole", -1)),
    ),
    Expected(
        "c",
        marked("Valid midpoints between neighbours predict it."),
        marked("midpoints of neighbours predict"),
        marked(
            "A flow's draws lie between codes. If what lies halfway to the nearest code is valid, so should they be (after Xu et "
            "al. 2026)."
        ),
        (("neighbour.validity", 1), ("neighbour.frechet", -1)),
    ),
    Expected(
        "d",
        marked("The less the class leaves open, the better a flow draws."),
        marked("order of the classes predicts"),
        marked(
            "What class and place leave open of a flow's velocity (viv) no network can learn: the less, the better (after Zhong et "
            "al. 2026, of flows that are told the class; these here are not). viv is not to be compared between latent sizes: look at "
            "what is left with the size held fixed."
        ),
        (("latent.viv", -1), ("latent.neighbour_labels", 1)),
    ),
    Expected(
        "e",
        marked("The fewer dimensions are in use, the better a flow draws."),
        marked("few dimensions predict"),
        marked("A flow of one size has to fill what the codes fill; the fewer directions, the easier."),
        (("latent.effective_rank", -1), ("intrinsic_dim.twonn", -1)),
    ),
)
SAYS = marked({
    "predicts": "Told to predict it (adjusted for all {n} measures tried, Holm, 5 %): {measures}.",
    "weak": "At most weakly (whole interval within ±{weak}): {measures}.",
    "not told": "Not told by these spaces: {measures}.",
})  # fmt: skip


def tell(run: RunFolder, columns: Sequence[Column]) -> Story:
    """The story of one run of the study."""
    view = RunView(run, columns, run.models)
    every = predictions(view.m, run.models)
    made = [_shown(view, claim) for claim in claims(view.m, run.models)]
    lead = [
        say(
            "{n} latent spaces on {data}; in each a small flow is trained on the codes, and the judge says what share of its "
            "draws is valid. Rank correlation over spaces: of two spaces, does the one that scores higher let the flow draw "
            "better?",
            n=_spaces(view.m, run.models),
            data=run.dataset,
        )
    ]
    if made:
        lead.append(
            say(
                "The claims come from the literature and are adjusted for one another; the lists below, for all measures tried: a "
                "measure may decide a claim and not stand out among all."
            )
        )
    answer = _answer(every, left_out(view.m, run.models, every))
    headers = [
        say("model"),
        say("latent size"),
        say("valid, flow"),
        "R²",
        say("valid N(0, I)"),
        say("neighbour midpoints"),
    ]
    ladder = [_rung(view, column) for model in run.models if (column := view.columns.get(model))]
    stand = heading([c.verdict for c in made]) if made else say("nothing is told")
    return Story(
        say(TITLE),
        stand,
        [*lead, *answer],
        headers,
        ladder,
        made,
        closing=[answer[0], *answer[len(SAYS) :][-1:]],
        chart=_chart(view.m, every),
    )


def claims(m: Measured, models: Sequence[str]) -> list[StoryClaim]:
    """The expectations whose measures were taken, with their verdicts, from what was measured alone."""
    return made_together([claim for e in EXPECTED if (claim := _claim(m, e, models)) is not None])


def _claim(m: Measured, expected: Expected, models: Sequence[str]) -> StoryClaim | None:
    parts = [
        _part(m, found, sign) for metric, sign in expected.signs if (found := prediction(m, metric, models)) is not None
    ]
    if not parts:
        return None
    title, short, meaning = say(expected.title), say(expected.short), [say(expected.meaning)]
    return StoryClaim(expected.key, title, short, meaning, parts, list(models), verdict(parts))


def _part(m: Measured, found: Prediction, sign: int) -> Part:
    """The correlation has the sign that was expected."""
    text = (
        marked("rank correlation of {noun} with the flow's valid draws, above 0")
        if sign > 0
        else marked("rank correlation of {noun} with the flow's valid draws, below 0")
    )
    low, high = found.rho.low or 0.0, found.rho.high or 0.0
    side = 1 if low > 0 else -1 if high < 0 else 0
    return Part(say(text, noun=noun(found.metric, m)), _in_full(found), side * sign, found.metric, found.p, _rho(found))


def _rho(found: Prediction) -> str:
    rho = found.rho
    return say(
        "{rho} [{low}, {high}]",
        rho=words.number(rho.mean, 2), low=words.number(rho.low or 0.0, 2), high=words.number(rho.high or 0.0, 2),
    )  # fmt: skip


def _in_full(found: Prediction) -> str:
    """The correlation, of how many spaces, and what is left of it where what may stand behind it is held fixed or left out."""
    return say(
        "{rho} over {n} spaces; latent size held fixed: {partial}; least without one kind of model: {without}",
        rho=_rho(found), n=found.rho.n, partial=words.number(found.partial, 2), without=words.number(found.without, 2),
    )  # fmt: skip


def _spaces(m: Measured, models: Sequence[str]) -> int:
    return sum(m.cell(model, TARGET) is not None for model in models)


def _answer(every: Sequence[Prediction], untried: Sequence[str]) -> list[str]:
    """What predicts, what does so at most weakly, and what is not told, each with its numbers; then what all of it hangs on."""
    if not every:
        return [
            say(
                "Nothing is told: fewer than {n} spaces have both a flow and a measure, or the flow does the same in most.",
                n=FEWEST,
            )
        ]
    out = []
    for says, text in SAYS.items():
        named = [_named(f) for f in every if f.says == says]
        listed = words.commas(named) if named else say("none")
        out.append(say(text, n=len(every), weak=words.tidy(WEAK), measures=listed))
    out[0] = say(" ").join([out[0], *_left_of(every)])
    if untried:
        out.append(
            say(
                "Not tried, for fewer than {most} of the spaces have them or all have the same: {measures}.",
                most=words.percent(MOST),
                measures=words.commas(untried),
            )
        )
    out.append(
        say(
            "The spaces are variants of a few kinds, of which the p-values take each for one of its own, and the flow is one small "
            "network: about others this says nothing. One judge scores the flow's draws and all other images: measures that rest "
            "on it share its word with what they predict."
        )
    )
    return out


def _left_of(every: Sequence[Prediction]) -> list[str]:
    """What the numbers in brackets are, and of which measures that predict they are less than half of what stands before."""
    out = [
        say(
            "In brackets, what is left: with the latent size held fixed; and, at the least, without the spaces of one kind of model."
        )
    ]
    if leaning := [f.metric for f in every if f.says == "predicts" and _leans(f)]:
        out.append(
            say(
                "Size or one kind makes more than half of it: {measures}. Such a measure may say no more than that.",
                measures=words.commas(leaning),
            )
        )
    return out


def _named(found: Prediction) -> str:
    """A correlation with what is left of it: ``hole -0.62 (-0.50; -0.41)``."""
    rho, partial, without = (words.number(v, 2) for v in (found.rho.mean, found.partial, found.without))
    return say("{metric} {rho} ({partial}; {without})", metric=found.metric, rho=rho, partial=partial, without=without)


def _leans(found: Prediction) -> bool:
    """Less than half of a correlation is left with the latent size held fixed, or without one kind of model."""
    return any(left is not None and left / found.rho.mean < 0.5 for left in (found.partial, found.without))


def _chart(m: Measured, every: Sequence[Prediction]) -> Figure | None:
    rows = [Row(f.metric, f.rho, f.says == "predicts") for f in every]
    label = say("Rank correlation of {n} measures with the flow's valid draws", n=len(rows))
    drawn = forest(rows, say("rank correlation with the flow's valid draws"), label)
    if not drawn:
        return None
    return Figure(
        drawn,
        say(
            "Lines: 95 % intervals, bootstrap over spaces and over the seeds within each, approximate. Filled: told to differ from "
            "0 (permutation of the spaces; all {n} together, adjusted by Holm, at 5 %).",
            n=len(rows),
        ),
    )


def _rung(view: RunView, column: Column) -> Rung:
    m, model = view.m, column.model
    shown = [
        value_of(cell) if (cell := m.cell(model, metric)) else "–"
        for metric in (TARGET, "r2", "validity.normal", "neighbour.validity")
    ]
    return Rung(column, f"d = {view.run.latent_dim_of(model)}", shown)


def _shown(view: RunView, claim: StoryClaim) -> StoryClaim:
    """A claim with the spaces in the plane of each of its measures and of what the flow reached."""
    drawn = [figure for part in claim.parts if (figure := _plane(view, part.metric)) is not None]
    return claim._replace(pictures=drawn, columns="halves", thumb=None)


def _plane(view: RunView, metric: str) -> Figure | None:
    found = []
    for model in view.run.models:
        x, y = view.m.cell(model, metric), view.m.cell(model, TARGET)
        if x and y and x.interval and y.interval:
            found.append(MapPoint(view.number(model), model, _point(x.interval), _point(y.interval), False))
    name = noun(metric, view.m)
    label = say("{noun} against the flow's valid draws, {n} spaces", noun=name, n=len(found))
    drawn = trade_off_map(found, name, say("valid draws of the flow"), label, BESIDE)
    if not drawn:
        return None
    return Figure(
        drawn,
        say("Each point is a latent space, at its means over seeds; named where there is room."),
        [p.name for p in found],
    )


def _point(interval: Interval) -> Interval:
    """The mean alone: crosses of so many spaces hide them."""
    return Interval(interval.mean, None, None, None, interval.n)

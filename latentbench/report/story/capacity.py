"""How many dimensions, how deep, how strongly regularised? The story of the study ``capacity``, in words and drawings; what
is decided stands in `latentbench.stats.findings.capacity`."""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.report.columns import Column
from latentbench.report.folder import RunFolder
from latentbench.report.story import pictures
from latentbench.report.story.evidence import Part, difference, heading, value_of, verdict
from latentbench.report.story.nouns import Figure, Rung, Story, StoryClaim, made_together
from latentbench.report.wording import words
from latentbench.report.wording.intervals import between
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Interval, t_interval
from latentbench.stats.findings.capacity import ENOUGH, SATURATED, Capacity, Contrast, Curve, Saturation, capacity
from latentbench.stats.findings.evidence import Measured, measured

TITLE = marked("How large should the latent space be?")
BYTES = 4
"""Bytes of a weight and of a latent coordinate, float32."""


def tell(run: RunFolder, columns: Sequence[Column]) -> Story:
    """The story of one run of the study."""
    m = measured(run.records)
    study = capacity(m, run.models)
    made = claims(m, run.models)
    lead = [
        say(
            "A latent space of d dimensions holds d numbers an image. More of them may rebuild the image better and empty the "
            "prior; depth (hidden layers; 0 is linear) may let few numbers say more; beta weighs how strongly the space is "
            "regularised. All three change here, on {data}.",
            data=run.dataset,
        ),
        _advice(m, study, run.dataset),
    ]
    headers = [say("model"), say("what it is"), say("knee, d"), "R²", say("valid N(0, I)"), say("mixture"), say("tortuosity"),
               say("training"), say("weights")]  # fmt: skip
    ladder = [r for c in study.curves if (r := _rung(m, c, columns, run)) is not None]
    stand = heading([c.verdict for c in made])
    return Story(say(TITLE), stand, lead, headers, ladder, made, closing=[_advice(m, study, run.dataset)])


def claims(m: Measured, models: Sequence[str]) -> list[StoryClaim]:
    """The claims with their verdicts and pictures, from what was measured alone."""
    study = capacity(m, models)
    return made_together([make(m, study) for make in (_reconstructs, _empties, _deep, _costs)])


def name_of(curve: Curve) -> str:
    """Kind and depth in words."""
    return say("{kind}, depth {depth}", kind=curve.kind, depth=curve.depth)


def _advice(m: Measured, study: Capacity, data: str) -> str:
    advised = study.recommendation
    if advised is None or advised.curve.knee is None:
        return say("No recommendation: no VAE of the grid has a value of R².")
    best = advised.curve
    parts = {"r2": m.cell(best.at_knee, "r2"), "valid": m.cell(best.at_knee, "validity.normal")}
    because = say(
        "For {data} choose d = {d}: {kind}, because from there on R² is within {rest} of the best of its curve (knee at d = "
        "{knee}) and of those that reconstruct as well it decodes the most valid draws from N(0, I): R² {r2}, valid {valid}.",
        data=data,
        d=best.size,
        kind=name_of(best),
        rest=words.percent(1 - ENOUGH),
        knee=knee_words(advised.curve.knee),
        r2=value_of(parts["r2"]) if parts["r2"] else "–",
        valid=value_of(parts["valid"]) if parts["valid"] else "–",
    )
    if advised.doubling is None:
        return because
    text = marked("{because} Twice as many dimensions change R² by {gain} and the valid share by {lost}.")
    return say(text, because=because, gain=between(advised.doubling.r2), lost=between(advised.doubling.valid))


def knee_words(knee: Interval) -> str:
    """``8 [4, 16]``; the bare size where every seed agrees or there is one seed."""
    at = words.tidy(2**knee.mean)
    if knee.low is None or knee.high is None or not knee.half:
        return at
    return f"{at} [{words.tidy(2**knee.low)}, {words.tidy(2**knee.high)}]"


def _rung(m: Measured, curve: Curve, columns: Sequence[Column], run: RunFolder) -> Rung | None:
    if curve.knee is None:
        return None
    model = curve.at_knee
    column = next((c for c in columns if c.run is run and c.model == model), None)
    if column is None:
        return None

    def shown(metric: str) -> str:
        return value_of(c) if (c := m.cell(model, metric)) else "–"

    weights, seconds = m.mean(model, "cost.parameters"), m.mean(model, "train.seconds")
    cells = [
        knee_words(curve.knee), *(shown(k) for k in ("r2", "validity.normal", "validity.mixture", "path.tortuosity")),
        "–" if seconds is None else f"{words.number(seconds)}{words.THIN}s",
        "–" if weights is None else words.engineering(weights * BYTES, "B"),
    ]  # fmt: skip
    return Rung(column, name_of(curve), cells)


def _row(
    m: Measured, study: Capacity, metric: str, title: str, see: str, log: bool = False, scale: float = 1.0
) -> list[Figure]:
    """Small multiples of one measure over d: a drawing a kind, a line a depth."""
    out = []
    curves, best = study.curves, study.recommendation.curve if study.recommendation else None
    depths = sorted({c.depth for c in curves})
    for kind in dict.fromkeys(c.kind for c in curves):
        series = []
        for c in (c for c in curves if c.kind == kind):
            steps = [
                (float(d), _scaled(i.interval, scale))
                for d, model in c.models.items()
                if (i := m.cell(model, metric)) and i.interval
            ]
            if steps:
                series.append(pictures.ScoreLine(name_of(c), depths.index(c.depth), steps))
        label = say("{title} over d of {kind}, a line a depth", title=title, kind=kind)
        mark = float(best.size) if best and best.kind == kind else None
        drawn = pictures.multiple(series, title, "d", label, mark, log)
        if drawn:
            of_kind = [model for c in curves if c.kind == kind for model in c.models.values()]
            out.append(Figure(drawn, say("{kind}. {see}", kind=kind, see=see), of_kind))
    return out


def _scaled(i: Interval, by: float) -> Interval:
    if by == 1.0:
        return i
    return t_interval([i.mean * by])


def _depths(curves: Sequence[Curve]) -> str:
    """Which colour is which depth, in words the drawings need."""
    names = marked(("blue circles", "orange squares", "green triangles", "purple diamonds", "olive triangles"))
    depths = sorted({c.depth for c in curves})
    depth_marks = [say("depth {depth}: {mark}", depth=d, mark=say(names[k % len(names)])) for k, d in enumerate(depths)]
    return words.listed(depth_marks)


def _claim(
    key: str, title: str, short: str, study: Capacity, meaning: Sequence[str], parts: Sequence[Part], shown: Sequence[Figure]
) -> StoryClaim:  # fmt: skip
    models = [model for curve in study.curves for model in curve.models.values()]
    return StoryClaim(key, title, short, meaning, parts, models, verdict(parts), shown)


def _parts(m: Measured, contrasts: Sequence[Contrast]) -> list[Part]:
    return [difference(m, c.metric, c.more, c.less) for c in contrasts]


def _reconstructs(m: Measured, study: Capacity) -> StoryClaim:
    advised = study.recommendation
    parts = [*_parts(m, advised.reconstructs), _saturates(advised.saturation)] if advised else []
    meaning = [
        say(
            "R² is the share of the held-out images' variance that comes back. Over doublings of d it rises and levels off; "
            "the knee is where {enough} of the best is reached. Lines by depth: {depths}. Dashed: the recommended size.",
            enough=words.percent(ENOUGH),
            depths=_depths(study.curves),
        )
    ]
    see = say("Where a line has levelled off, more dimensions buy nothing.")
    shown = _row(m, study, "r2", "R²", see)
    short = say("more dimensions reconstruct more, up to a knee")
    return _claim("a", say("More dimensions reconstruct more, up to a knee."), short, study, meaning, parts, shown)


def _saturates(saturation: Saturation) -> Part:
    """R² at the largest size is little above that at the knee."""
    says = say("R² gained from the knee to the largest d, below {most}", most=words.tidy(SATURATED))
    return Part(says, between(saturation.gained) if saturation.gained else "0", saturation.holds, "r2", saturation.p)


def _empties(m: Measured, study: Capacity) -> StoryClaim:
    parts = _parts(m, study.recommendation.fills) if study.recommendation else []
    meaning = [
        say(
            "Valid is what the judge accepts of draws from N(0, I). In many dimensions almost all of N(0, I) lies where an "
            "autoencoder has no codes; a regularised space should hold on for longer, and under a stronger beta for longer "
            "still, if dimensions it does not need stay unused."
        )
    ]
    see = say("The valid share of draws from N(0, I) over d.")
    shown = _row(m, study, "validity.normal", say("valid N(0, I)"), see)
    shown += _row(m, study, "hole", say("hole"), say("The share of N(0, I) that is holes over d."))
    short = say("more dimensions empty the prior, unless it is regularised")
    title = say("More dimensions empty the prior, unless it is regularised.")
    return _claim("b", title, short, study, meaning, parts, shown)


def _deep(m: Measured, study: Capacity) -> StoryClaim:
    parts = _parts(m, study.recommendation.deep) if study.recommendation else []
    meaning = [
        say(
            "A linear decoder draws a flat sheet through the images; hidden layers bend it. What they bend it for is seen in "
            "the length of decoded paths (tortuosity: 1 is straight)."
        )
    ]
    see = say("Length of decoded paths over their chord: 1 for a linear decoder, whatever d.")
    shown = _row(m, study, "path.tortuosity", say("tortuosity"), see)
    short = say("depth lets few dimensions say more")
    return _claim("c", say("Depth lets few dimensions say more."), short, study, meaning, parts, shown)


def _costs(m: Measured, study: Capacity) -> StoryClaim:
    growth = study.recommendation.growth if study.recommendation else None
    parts: list[Part] = []
    if growth:
        text = marked("weights at the largest d over those at the recommended one")
        parts.append(Part(say(text), f"{words.number(growth.factor, 2)}", growth.holds, "cost.parameters", 0.0))
    meaning = [
        say(
            "Seconds are those of one training here, other trainings beside it; bytes are those of the weights, and every "
            "image costs {bytes} bytes a dimension once it is encoded.",
            bytes=BYTES,
        )
    ]
    seconds = _row(m, study, "train.seconds", say("training, s"), say("Seconds of one training."), log=True)
    weights = _row(
        m, study, "cost.parameters", say("weights, bytes"), say("Bytes of the weights."), log=True, scale=BYTES
    )
    short, title = say("it costs seconds and bytes"), say("What it costs: seconds and bytes.")
    return _claim("d", title, short, study, meaning, parts, [*seconds, *weights])

"""How many dimensions, how deep, how strongly regularised? The story of the study ``capacity``.

A *curve* is one kind of model (autoencoder, or VAE with one beta) at one depth, over the latent sizes that were run. Its
*knee* is the smallest latent size that reaches `ENOUGH` of the curve's best R² on held-out images, found seed by seed;
the interval is the t interval of its base-2 logarithm, so a knee of 8 [4, 16] means one doubling either way. What is
recommended is the knee of the VAE that, at its knee, decodes the most valid draws from N(0, I) among those whose R² there
is within `CLOSE` of the best VAE's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from latentbench.report.columns import Column
from latentbench.report.folder import RunFolder
from latentbench.report.story import pictures
from latentbench.report.story.evidence import Part, difference, value_of, verdict
from latentbench.report.story.nouns import Figure, Rung, Story, StoryClaim
from latentbench.report.wording import words
from latentbench.report.wording.intervals import between
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Cell, Interval, t_interval
from latentbench.stats.findings import evidence
from latentbench.stats.findings.evidence import Measured, measured

ENOUGH = 0.95
CLOSE = 0.02
BYTES = 4
"""Bytes of a weight and of a latent coordinate, float32."""


class CapacityCurve(NamedTuple):
    """One kind of model at one depth: ``kind`` its spec without the grid's fields, ``models`` latent size -> spec, and its
    ``knee`` (None where no value allows one)."""

    kind: str
    depth: int
    models: Mapping[int, str]
    knee: Interval | None

    @property
    def size(self) -> int:
        """The knee as a latent size that was run."""
        at = self.knee.mean if self.knee else 0.0
        return min(self.models, key=lambda d: abs(math.log2(d) - at))

    @property
    def name(self) -> str:
        """Kind and depth in words."""
        return say("{kind}, depth {depth}", kind=self.kind, depth=self.depth)


def tell(run: RunFolder, columns: Sequence[Column]) -> Story:
    """The story of one run of the study."""
    m = measured(run.records)
    curves = curves_of(m, run)
    best = recommended(m, curves)
    lead = [
        say(
            "A latent space of d dimensions holds d numbers an image. More of them rebuild the image better, up to a point; "
            "they also make the prior emptier, the walk between codes longer, and everything larger. Depth (hidden layers; "
            "0 is linear) lets few numbers say more. beta weighs how strongly the space is regularised. Below, all three "
            "change, on {data}.",
            data=run.dataset,
        ),
        _advice(m, best, run.dataset),
    ]
    headers = [say("model"), say("what it is"), say("knee, d"), "R²", say("valid N(0, I)"), say("mixture"), say("tortuosity"),
               say("training"), say("weights")]  # fmt: skip
    ladder = [r for c in curves if (r := _rung(m, c, columns, run)) is not None]
    claims = [make(m, curves, best) for make in (_reconstructs, _empties, _deep, _costs)]
    return Story(say("How large should the latent space be?"), lead, headers, ladder, claims)


def curves_of(m: Measured, run: RunFolder) -> list[CapacityCurve]:
    """Every curve of the run, in order of appearance."""
    by_kind: dict[tuple[str, int], dict[int, str]] = {}
    for model in run.models:
        size = run.latent_dim_of(model)
        depth = next((c.params.get("depth") for (x, _, _), c in m.cells.items() if x == model and c.params), None)
        if size is not None and depth is not None:
            kind = re.sub(r":(latent_dim|depth)=[^:]*", "", model)
            by_kind.setdefault((kind, int(depth)), {})[size] = model
    return [CapacityCurve(k, d, dict(sorted(models.items())), _knee(m, models)) for (k, d), models in by_kind.items()]


def _knee(m: Measured, models: Mapping[int, str]) -> Interval | None:
    """The base-2 logarithm of the smallest size with `ENOUGH` of the best R², over seeds."""
    cells = {d: c for d, model in models.items() if (c := m.cell(model, "r2"))}
    seeds = set.intersection(*(set(c.values) for c in cells.values())) if cells else set()
    knees = []
    for seed in sorted(seeds, key=str):
        top = max(c.values[seed] for c in cells.values())
        if top > 0:
            knees.append(math.log2(min(d for d, c in cells.items() if c.values[seed] >= ENOUGH * top)))
    return t_interval(knees) if knees else None


def recommended(m: Measured, curves: Sequence[CapacityCurve]) -> CapacityCurve | None:
    """The curve whose knee is recommended; None where no VAE was measured."""
    regular = [c for c in curves if c.kind.startswith("vae") and c.knee]
    at_knee = {c.name: r for c in regular if (r := m.mean(c.models[c.size], "r2")) is not None}
    # The best of the VAEs: an autoencoder that keeps half the pixels reconstructs better than any, and compresses nothing.
    top = max(at_knee.values(), default=0.0)
    fit = [c for c in regular if at_knee.get(c.name, -1.0) >= top - CLOSE]
    return max(fit, key=lambda c: m.mean(c.models[c.size], "validity.normal") or 0.0, default=None)


def _advice(m: Measured, best: CapacityCurve | None, data: str) -> str:
    if best is None or best.knee is None:
        return say("No recommendation: no VAE of the grid has a value of R².")
    model = best.models[best.size]
    more = next((best.models[d] for d in best.models if d > best.size), None)
    parts = {"r2": m.cell(model, "r2"), "valid": m.cell(model, "validity.normal")}
    because = say(
        "For {data} choose d = {d}: {kind}, because from there on R² is within {rest} of the best of its curve (knee at d = "
        "{knee}) and of those that reconstruct as well it decodes the most valid draws from N(0, I): R² {r2}, valid {valid}.",
        data=data,
        d=best.size,
        kind=best.name,
        rest=words.percent(1 - ENOUGH),
        knee=knee_words(best.knee),
        r2=value_of(parts["r2"]) if parts["r2"] else "–",
        valid=value_of(parts["valid"]) if parts["valid"] else "–",
    )
    if more is None:
        return because
    gain, lost = _gap(m, "r2", more, model), _gap(m, "validity.normal", more, model)
    text = marked("{because} Twice as many dimensions change R² by {gain} and the valid share by {lost}.")
    return say(text, because=because, gain=gain, lost=lost) if gain and lost else because


def _gap(m: Measured, metric: str, a: str, b: str) -> str:
    difference = evidence.difference(m.cell(a, metric), m.cell(b, metric))
    return between(difference.interval) if difference else ""


def knee_words(knee: Interval) -> str:
    """``8 [4, 16]``; the bare size where every seed agrees or there is one seed."""
    at = words.tidy(2**knee.mean)
    if knee.low is None or knee.high is None or not knee.half:
        return at
    return f"{at} [{words.tidy(2**knee.low)}, {words.tidy(2**knee.high)}]"


def _rung(m: Measured, curve: CapacityCurve, columns: Sequence[Column], run: RunFolder) -> Rung | None:
    if curve.knee is None:
        return None
    model = curve.models[curve.size]
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
    return Rung(column, curve.name, cells)


def _row(
    m: Measured, curves: Sequence[CapacityCurve], metric: str, title: str, see: str, best: CapacityCurve | None, log: bool = False,
    scale: float = 1.0,
) -> list[Figure]:  # fmt: skip
    """Small multiples of one measure over d: a drawing a kind, a line a depth."""
    out = []
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
                series.append(pictures.ScoreLine(c.name, depths.index(c.depth), steps))
        label = say("{title} over d of {kind}, a line a depth", title=title, kind=kind)
        mark = float(best.size) if best and best.kind == kind else None
        drawn = pictures.multiple(series, title, "d", label, mark, log)
        if drawn:
            out.append(Figure(drawn, say("{kind}. {see}", kind=kind, see=see)))
    return out


def _scaled(i: Interval, by: float) -> Interval:
    if by == 1.0:
        return i
    return t_interval([i.mean * by])


def _depths(curves: Sequence[CapacityCurve]) -> str:
    """Which colour is which depth, in words the drawings need."""
    names = marked(("blue circles", "orange squares", "green triangles", "purple diamonds", "olive triangles"))
    depths = sorted({c.depth for c in curves})
    depth_marks = [say("depth {depth}: {mark}", depth=d, mark=say(names[k % len(names)])) for k, d in enumerate(depths)]
    return words.listed(depth_marks)


def _claim(key: str, title: str, meaning: Sequence[str], parts: Sequence[Part], shown: Sequence[Figure]) -> StoryClaim:
    return StoryClaim(key, title, meaning, parts, verdict(parts), shown, [], "thirds")


def _reconstructs(m: Measured, curves: Sequence[CapacityCurve], best: CapacityCurve | None) -> StoryClaim:
    parts = []
    if best:
        sizes = list(best.models)
        here = best.models[best.size]
        parts += [difference(m, "r2", here, best.models[d]) for d in sizes if d < best.size][-1:]
        parts.append(_saturates(m, best))
    meaning = [
        say(
            "R² is the share of the held-out images' variance that comes back. Over doublings of d it rises and levels off; "
            "the knee is where {enough} of the best is reached. Lines by depth: {depths}. Dashed: the recommended size.",
            enough=words.percent(ENOUGH),
            depths=_depths(curves),
        )
    ]
    see = say("Where a line has levelled off, more dimensions buy nothing.")
    return _claim(
        "a",
        say("More dimensions reconstruct more, up to a knee."),
        meaning,
        parts,
        _row(m, curves, "r2", "R²", see, best),
    )


def _saturates(m: Measured, best: CapacityCurve) -> Part:
    """R² at the largest size is less than twice `CLOSE` above that at the knee."""
    here, last = best.models[best.size], best.models[max(best.models)]
    says = say("R² gained from the knee to the largest d, below {most}", most=words.tidy(2 * CLOSE))
    a, b = m.cell(last, "r2"), m.cell(here, "r2")
    if a is None or b is None or a is b:
        return Part(says, "0", 1 if a is not None and a is b else 0, "r2")
    bound = evidence.limit(a, b, 2 * CLOSE)
    return Part(says, between(bound.interval), bound.holds, "r2") if bound else Part(says, "0", 0, "r2")


def _empties(m: Measured, curves: Sequence[CapacityCurve], best: CapacityCurve | None) -> StoryClaim:
    points = [c for c in curves if c.kind == "ae" and best and c.depth == best.depth]
    parts = []
    if best and points:
        parts.append(difference(m, "validity.normal", best.models[best.size], points[0].models[best.size]))
        large, small = max(points[0].models), min(points[0].models)
        parts.append(difference(m, "validity.normal", points[0].models[small], points[0].models[large]))
        parts.append(difference(m, "hole", points[0].models[large], points[0].models[small]))
    meaning = [
        say(
            "Valid is what the judge accepts of draws from N(0, I). In many dimensions almost all of N(0, I) lies where an "
            "autoencoder has no codes; a regularised space holds on for longer, and a stronger beta for longer still, as "
            "dimensions it does not need stay unused."
        )
    ]
    see = say("The valid share of draws from N(0, I) over d.")
    shown = _row(m, curves, "validity.normal", say("valid N(0, I)"), see, best)
    shown += _row(m, curves, "hole", say("hole"), say("The share of N(0, I) that is holes over d."), best)
    return _claim("b", say("More dimensions empty the prior, unless it is regularised."), meaning, parts, shown)


def _deep(m: Measured, curves: Sequence[CapacityCurve], best: CapacityCurve | None) -> StoryClaim:
    parts = []
    if best:
        flat = next((c for c in curves if c.kind == best.kind and c.depth == 0), None)
        if flat and flat is not best:
            parts.append(difference(m, "r2", best.models[best.size], flat.models[best.size]))
    meaning = [
        say(
            "A linear decoder draws a flat sheet through the images; hidden layers bend it. What they bend it for is seen in "
            "the length of decoded paths (tortuosity: 1 is straight)."
        )
    ]
    see = say("Length of decoded paths over their chord: 1 for a linear decoder, whatever d.")
    shown = _row(m, curves, "path.tortuosity", say("tortuosity"), see, best)
    return _claim("c", say("Depth lets few dimensions say more."), meaning, parts, shown)


def _costs(m: Measured, curves: Sequence[CapacityCurve], best: CapacityCurve | None) -> StoryClaim:
    parts: list[Part] = []
    if best:
        here, last = best.models[best.size], best.models[max(best.models)]
        a, b = _once(m.cell(last, "cost.parameters")), _once(m.cell(here, "cost.parameters"))
        if a and b:
            text = marked("weights at the largest d over those at the recommended one")
            parts.append(
                Part(say(text), f"{words.number(a / b, 2)}", 1 if a > b or last == here else -1, "cost.parameters")
            )
    meaning = [
        say(
            "Seconds are those of one training here, other trainings beside it; bytes are those of the weights, and every "
            "image costs {bytes} bytes a dimension once it is encoded.",
            bytes=BYTES,
        )
    ]
    seconds = _row(m, curves, "train.seconds", say("training, s"), say("Seconds of one training."), best, log=True)
    weights = _row(
        m, curves, "cost.parameters", say("weights, bytes"), say("Bytes of the weights."), best, log=True, scale=BYTES
    )
    return _claim("d", say("What it costs: seconds and bytes."), meaning, parts, [*seconds, *weights])


def _once(cell: Cell | None) -> float | None:
    return cell.interval.mean if cell and cell.interval else None

"""What an answer rests on, part by part, each graded for one model (`latentbench.stats.findings.grading`): most are read as
a share of what real images score, their *ceiling*.
"""

from __future__ import annotations

from collections.abc import Callable

from latentbench.records import BY_SECOND
from latentbench.stats.cells import Cell, Interval, Seed
from latentbench.stats.findings.finding import Word
from latentbench.stats.findings.grading import Part, beyond, gained, graded, lacking
from latentbench.stats.findings.table import Table

VALIDITY = (0.8, 0.3)
COVERAGE = (0.8, 0.5)
UNIQUENESS = (0.9, 0.6)
"""Shares of the ceiling from which on a part of completeness is had, and from which on it is partly."""
CLASSES = (0.15, 0.25)
"""How much farther than real images' the classes of valid draws may be from the data's (total variation)."""
COPIED = (0.75, 0.95)
"""Memorisation: .5 copies nothing, 1 only copies, so from .75 on more than half of the draws are copies."""
SNAPS = 0.75
"""Largest step of twice as many frames over that of the frames themselves. On digits .50 to .52 for models that were
trained, .99 to 1.01 for tables, snapped codes and noise at the codes: the middle between a half and one."""
EVEN = (1.0, 3.0)
"""How many even steps the largest step of a path may take beyond its own: `path.jump` times the number of steps. On
digits .3 to .4 for models that were trained, 2 to 11 for those that snap."""
CROWDED = 1.5
"""A density above this: draws crowd in the middle of the real images."""
IN_USE = 0.1
"""Share of a codebook that must be in use for it to be one: a codebook of 512 of which two are used is one of two."""
FAR = 0.05
"""Share of the valid draws that may lie farther from every image than real ones do: real images have .001."""


Rule = Callable[[Table, str], Part]


# --- complete ---


def _level(metric: str, limits: tuple[float, float], reason: str, beside_real: Callable[[float, float], float]) -> Rule:
    """A part that is a level beside that of real images."""

    def rule(table: Table, model: str) -> Part:
        cell, real = table.by.get((model, metric)), table.reference(metric, "ceiling:real")
        if (gap := lacking(cell, metric)) is not None:
            return gap
        if real is None or (beside_real is _of_ceiling and real <= 0):
            return Part("not told", "no ceiling")
        assert cell is not None
        return graded(cell, {s: beside_real(v, real) for s, v in cell.values.items()}, limits, reason)

    return rule


def _at_most(limits: tuple[float, float]) -> tuple[float, float]:
    """Limits of what is better where it is lower, for its negative."""
    return -limits[0], -limits[1]


def _negative(cell: Cell) -> dict[Seed, float]:
    """A cell's values, higher better where they were lower better."""
    return {s: -v for s, v in cell.values.items()}


def _of_ceiling(value: float, real: float) -> float:
    return value / real


def valid(table: Table, model: str, metric: str = "") -> Part:
    """Valid draws from the prior that the model was trained with, or by another ``metric``, between junk (0) and real images (1). One that lies farther from every
    image, in pixels, than a real one does is no valid draw here."""
    metric = metric or table.validity
    cell, real, junk = table.by.get((model, metric)), _ceiling(table, metric), table.floor(table.validity) or 0.0
    if (gap := lacking(cell, metric)) is not None:
        return gap
    if real is None or real <= junk:
        return Part("not told", "no ceiling")
    assert cell is not None
    shares = {s: (v * (1 - far_share(cell, s)) - junk) / (real - junk) for s, v in cell.values.items()}
    return graded(cell, shares, VALIDITY, "validity")


def _ceiling(table: Table, metric: str) -> float | None:
    """What a judge accepts of real images; of the second one its own self-check tells."""
    if metric.endswith(BY_SECOND) and (accepted := table.get("judge:second", "judge.pass.real")):
        return accepted.mean
    return table.reference(table.validity, "ceiling:real")


def far_share(cell: Cell, seed: Seed) -> float:
    """The share of one seed's valid draws that lie far from every image in pixels; 0 where that was not noted."""
    return float(cell.details.get(seed, {}).get("far") or 0.0)


coverage = _level("coverage", COVERAGE, "coverage", _of_ceiling)
unique = _level("uniqueness", UNIQUENESS, "repeats", _of_ceiling)
of_all_classes = _level("valid_label_tv", _at_most(CLASSES), "classes missing", lambda value, real: real - value)


def copied(table: Table, model: str) -> Part:
    """How much of what is drawn is copied."""
    cell = table.by.get((model, "memorisation"))
    if cell is None or cell.interval is None:
        return Part("not told", "copying unknown")
    if (gap := lacking(cell, "memorisation")) is not None:
        return gap
    part = graded(cell, _negative(cell), _at_most(COPIED), "copies in part")
    return part._replace(reason="copies") if part.grade == "no" else part


def cleared(table: Table, model: str) -> Part:
    """Whether it is known at all what is copied: skipped is not cleared."""
    return Part("yes" if table.get(model, "memorisation") else "not told", "copying unknown")


def suspicious(table: Table, model: str) -> Part:
    """More valid than real images are: what the judge likes best is not what the data look like."""
    i, real = table.get(model, table.validity), table.reference(table.validity, "ceiling:real")
    above = i is not None and real is not None and (i.mean if i.low is None else i.low) > real
    return _flaw(above, "suspicious validity")


def far_in_pixels(table: Table, model: str) -> Part:
    """Valid to the judge, and unlike every image."""
    cell = table.by.get((model, table.validity))
    shares = [far_share(cell, seed) for seed in cell.values] if cell else []
    return _flaw(bool(shares) and sum(shares) / len(shares) > FAR, "far in pixels")


def crowded(table: Table, model: str) -> Part:
    """Draws heaped up amid the real images."""
    return _flaw(crowds(table.by.get((model, "density"))), "crowded")


def _flaw(holds: bool, reason: str) -> Part:
    """A part that only takes a yes back."""
    return Part("partly" if holds else "yes", reason, holds)


def crowds(density: Cell | None) -> bool:
    """Whether a model's draws crowd in the middle of the real images, which flatters precision and coverage."""
    return density is not None and density.interval is not None and density.interval.mean > CROWDED


def second_judge(table: Table, model: str) -> Part:
    """Whether a second judge, where there is one, makes no less of the same draws."""
    cell = table.by.get((model, table.validity + BY_SECOND))
    if cell is None or cell.interval is None:
        return Part("yes", "")
    worse_first: tuple[Word, ...] = ("no", "not told", "partly", "yes")
    second, first = valid(table, model, cell.metric).grade, valid(table, model).grade
    doubted = worse_first.index(second) < worse_first.index(first)
    return Part("not told" if doubted else "yes", "second judge differs")


def codes_in_use(table: Table, model: str) -> Part:
    """Whether a discrete latent uses what it has: the share of its codes that any training image takes."""
    cell = table.trained_on(model, "code_usage")
    mean = cell.interval.mean if cell is not None and cell.interval is not None else None
    return _flaw(mean is not None and mean < IN_USE, "few codes")


# --- continuous ---


def _gain(metric: str, reason: str) -> Rule:
    """A part that is a gain over a cross-fade."""

    def rule(table: Table, model: str) -> Part:
        cell = table.by.get((model, metric))
        if (gap := lacking(cell, metric)) is not None:
            return gap
        assert cell is not None
        word = gained(cell.interval)
        return Part(word, reason if word == "no" else "not told apart")

    return rule


gains = _gain("path.validity_gain", "less valid than a cross-fade")
gains_on_real = _gain("path.validity_gain.real", "less valid than a cross-fade of real images")


def between_classes(table: Table, model: str) -> Part:
    """The gain on pairs of two classes alone, where it was noted."""
    cells = (table.by.get((model, metric)) for metric in ("path.validity_gain", "path.validity_gain.real"))
    apart = [gain_between_classes(c) for c in cells if c is not None]
    held = all(i is None or i.side > 0 for i in apart)
    return Part("yes" if held else "partly", "not between classes")


def gain_between_classes(gain: Cell) -> Interval | None:
    """A model's gain on pairs of two classes alone, over seeds; None where its records do not tell."""
    parts = {s: float(d["different_class"]["gain"]) for s, d in gain.details.items() if "different_class" in d}
    return gain.over_seeds(parts) if parts else None


def smooth(table: Table, model: str) -> Part:
    """Whether finer steps along a path are smaller ones."""
    cell = table.by.get((model, "path.refinement"))
    if (gap := lacking(cell, "path.refinement")) is not None:
        return gap
    assert cell is not None
    return graded(cell, _negative(cell), _at_most((SNAPS, SNAPS)), "jumps")


def even(table: Table, model: str) -> Part:
    """Whether no single step takes much of the way."""
    cell = table.by.get((model, "path.jump"))
    if (gap := lacking(cell, "path.jump")) is not None:
        return gap
    assert cell is not None
    steps = float(cell.metric_params.get("frames") or FRAMES) - 1
    return graded(cell, {s: -v * steps for s, v in cell.values.items()}, _at_most(EVEN), "uneven")


FRAMES = 16
"""Frames of a path where its record does not say."""


# --- reconstructs, posterior ---


def beside_pca(table: Table, model: str) -> Part:
    """R² beside that of PCA of the same size."""
    r2, pca = table.by.get((model, "r2")), table.reference("r2", "baseline:pca")
    if (gap := lacking(r2, "r2")) is not None:
        return gap
    assert r2 is not None
    beside = beyond(r2, pca)
    if beside is None:
        return Part("not told", "no baseline")
    if beside.side > 0:
        return Part("yes", "")
    return Part("partly", "below PCA" if beside.side else "not told apart from PCA")


def worse_than_pca(table: Table, model: str) -> bool:
    """Whether a model is shown to explain less than PCA of its size."""
    return beside_pca(table, model).reason == "below PCA"

"""One metric of one model on two sides: its change, not yet decided.

`change` is for what both sides asked for, `alone` for what one side has; see `latentbench.comparing.runs` for the rule and the
symbols.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from latentbench.comparing import benchmark_files
from latentbench.comparing.change import Change
from latentbench.records import canonical
from latentbench.stats.cells import Cell
from latentbench.stats.findings.gaps import gap
from latentbench.stats.intervals import Interval, paired, t_test, welch

RELATIVE, OF_WIDTH, SHARE = 0.05, 0.01, 2.0
"""The default threshold: a share of the base's magnitude, and at least this share of the width of two-sided bounds up to
``SHARE`` wide, so that a validity of .003 after .004 is no regression."""
SESSION_NOISE = 0.25
"""Standard deviation of ln(speed) between two runs of the same code on one machine, at different times: what else the
machine does may double every time of a run. Only a change by a factor of five or so is told from that."""
MANY = 0.5
"""Where more seeds failed at head than at base: from this share of them on the metric is worse, below it unknown."""
Key = tuple[str, ...]


@dataclass(frozen=True)
class Matched:
    """A change, and whether it is ``lost``: worse whatever the numbers, since head failed where base had values."""

    change: Change
    lost: bool = False


class Obstacle(NamedTuple):
    """Why two cells of the same thing cannot be compared, in English and as codes of `findings.CAVEATS`."""

    reason: str
    codes: tuple[str, ...]


def identity(c: Cell) -> Key:
    """What must be equal for two cells to be compared."""
    return c.dataset, c.model, c.metric, canonical(c.metric_params), c.split, str(c.latent_dim)


def is_claim(cell: Cell) -> bool:
    """False for the instrument: references, the judge, what belongs to no model."""
    return cell.is_model


def labels(cells: Sequence[Cell]) -> dict[Key, str]:
    """The model, and what else tells the cells of one metric apart: dataset, split, size, the parameters that differ."""
    several = len({c.dataset for c in cells}) > 1
    by: dict[tuple[str, str, str], list[Cell]] = {}
    for c in cells:
        by.setdefault((c.dataset, c.model, c.metric), []).append(c)
    out = {}
    for group in by.values():
        params = [n for n in group[0].metric_params if len({canonical(c.metric_params.get(n)) for c in group}) > 1]
        splits, sizes = len({c.split for c in group}) > 1, len({c.latent_dim for c in group}) > 1
        for c in group:
            parts = [c.dataset] * several + [f"{n} {c.metric_params.get(n)}" for n in params]
            parts += [c.split] * (splits and bool(c.split)) + [f"latent size {c.latent_dim}"] * sizes
            out[identity(c)] = c.model + (f" ({', '.join(parts)})" if parts else "")
    return out


def change(base: Cell, head: Cell, machine: str) -> Matched | None:
    """One metric of one model that both sides asked for; None where neither has a value. ``machine`` says in what the
    machines differ, empty where they do not."""
    if not base.values and not head.values:
        return None
    blank = _blank(base, head)
    if obstacle := _obstacle(base, head):
        return Matched(
            blank.barred(obstacle.reason, *obstacle.codes), lost=head.status == "failed" and bool(base.values)
        )
    if head.is_timing:
        return Matched(_timing(blank, base, head, machine))
    if why := _failures(base, head):
        return Matched(blank.barred(why, "fails more"), lost=head.failed >= MANY * _seeds(head))
    return Matched(between(base, head))


def _blank(base: Cell, head: Cell) -> Change:
    b, h = (c.interval.mean if c.interval else None for c in (base, head))
    return replace(_of(head), base=b, head=h)


def _of(cell: Cell) -> Change:
    """A change of what the cell measures, with no value yet on either side."""
    return Change(cell.model, cell.metric, cell.unit, cell.better, dataset=cell.dataset, latent_dim=cell.latent_dim)


def _obstacle(base: Cell, head: Cell) -> Obstacle | None:
    """Why two cells of the same thing cannot be compared; None where they can."""
    for side, cell in (("base", base), ("head", head)):
        if not cell.values:
            return Obstacle(f"{cell.status} at {side}: {cell.reason or 'no reason recorded'}", gap(cell))
        if cell.unproven:
            return Obstacle(f"failed its self-check at {side}: {cell.unproven}", ("self-check failed",))
    for name in ("unit", "better", "target"):
        if getattr(base, name) != getattr(head, name):
            told = f"{name} differs: {getattr(base, name)!r} against {getattr(head, name)!r}"
            return Obstacle(told, ("protocol differs",))
    if apart := _protocols_apart(base, head):
        return Obstacle(f"protocol differs: {apart}", ("protocol differs",))
    scales = [{d["likelihood"] for d in c.details.values() if d.get("likelihood")} for c in (base, head)]
    if scales[0] != scales[1]:
        return Obstacle("nats of different likelihoods have no common scale", ("other likelihood",))
    return None


def _protocols_apart(base: Cell, head: Cell) -> str:
    """In what the protocols differ that the records of two cells carry (``detail["protocol"]``); empty where they do not, or
    where either says none, as records did before they carried one."""
    before, after = ({canonical(p): p for d in c.details.values() if (p := d.get("protocol"))} for c in (base, head))
    if not before or not after or before.keys() == after.keys():
        return ""
    return benchmark_files.difference(_other(before, after), _other(after, before))


def _other(of: Mapping[str, Mapping[str, Any]], than: Mapping[str, object]) -> Mapping[str, Any]:
    """The first protocol that the other side does not have; the first, where it has all."""
    return next((p for key, p in of.items() if key not in than), next(iter(of.values())))


def between(base: Cell, head: Cell) -> Change:
    """The change between two cells that both have values and can be compared, with the default threshold: paired by
    seed where two seeds or more are on both sides, else by Welch's t; exact counts as they are."""
    blank = _blank(base, head)
    if base.measured_once and head.measured_once:
        d = head.badness(head.values[None]) - base.badness(base.values[None])
        exact = head.metric.startswith("cost.")
        ends = d if exact or d == 0 else None
        sure = Interval(d, ends, ends, 0.0 if exact else None, 1)
        return _ended(replace(blank, harm=sure, p=0.0 if exact and d else 1.0), base)
    common = [s for s in base.values if s in head.values]
    if len(common) >= 2:
        a, b = ({s: c.values[s] for s in common} for c in (head, base))
        bad, less = ({s: cell.badness(v) for s, v in side.items()} for cell, side in ((head, a), (base, b)))
        harm = paired(bad, less, groups=head.splits or None).difference
        p = t_test(harm)
        blank = replace(blank, base=math.fsum(b.values()) / len(b), head=math.fsum(a.values()) / len(a))
    else:
        other = welch([head.badness(v) for v in head.values.values()], [base.badness(v) for v in base.values.values()])
        harm, p = other.difference, other.p
    return _ended(replace(blank, harm=harm, p=p), base)


def _ended(change: Change, base: Cell) -> Change:
    """With the default threshold."""
    low, high = base.bounds
    width = high - low if low is not None and high is not None else 0.0
    return replace(change, threshold=max(RELATIVE * abs(change.base or 0.0), OF_WIDTH * width * (width <= SHARE)))


def _failures(base: Cell, head: Cell) -> str:
    """A model that diverges with some seeds, and did not at base, must not pass for its surviving ones."""
    if head.failed <= base.failed:
        return ""
    why = head.reason or "no reason recorded"
    return f"failed with {head.failed} of {_seeds(head)} seeds at head, {base.failed} at base: {why}"


def _seeds(cell: Cell) -> int:
    return cell.failed + cell.skipped + len(cell.values)


def _timing(blank: Change, base: Cell, head: Cell, machine: str) -> Change:
    """Timings of one machine, each run one launch."""
    if machine:
        return blank.barred(f"machine differs: {machine}", "machine differs")
    if not (base.rankable and head.rankable):
        disturbed = base.disturbed or head.disturbed
        why = "timed while other work ran" if disturbed else "too unsteady to compare, by its own spread"
        return blank.barred(why, "unsteady timing")
    if dict(base.values) == dict(head.values):
        return replace(blank, harm=Interval(0.0, 0.0, 0.0, 0.0, len(base.values)))
    sides = [[v for v in c.values.values() if v > 0] for c in (base, head)]
    if not all(sides):
        return blank.barred("a time of 0", "zero time")
    return benchmark_files.ratio(
        replace(blank, relative=True, threshold=benchmark_files.THRESHOLD), [sides[0]], [sides[1]], SESSION_NOISE
    )


def alone(
    cell: Cell, side: Literal["base", "head"], twin: Cell | None, b: Mapping[Key, Cell], h: Mapping[Key, Cell]
) -> Matched | None:
    """What only one side asked for; None where the other side has it under other parameters, which says so itself, or
    where it has no value. ``twin`` is the other side's first cell of the same `measure`; ``b`` and ``h`` are all cells of
    base and head."""
    if side == "head" and twin is not None and identity(twin) not in h:
        return None
    failed = side == "head" and cell.status == "failed"
    if not cell.values and not failed:
        return None
    told = f"only {side} measured it" + (f": {cell.status}, {cell.reason}" if failed else "")
    codes = ("one side only", *(gap(cell) if failed else ()))
    if twin is not None and identity(twin) not in (b if side == "base" else h):
        told, codes = f"protocol differs: {_field(cell, twin)}", ("protocol differs",)
    mean = cell.interval.mean if cell.interval else None
    blank = _of(cell).barred(told, *codes)
    return Matched(replace(blank, base=mean) if side == "base" else replace(blank, head=mean))


def measure(c: Cell) -> Key:
    """What two cells have in common that were measured in different ways: a metric of a model on one data set."""
    return c.dataset, c.model, c.metric


def twins(cells: Iterable[Cell]) -> dict[Key, Cell]:
    """The first cell of each `measure`."""
    out: dict[Key, Cell] = {}
    for c in cells:
        out.setdefault(measure(c), c)
    return out


def _field(a: Cell, b: Cell) -> str:
    """The first field in which the protocols of two cells differ."""
    fields = [
        {
            "split": c.split,
            "latent_dim": c.latent_dim,
            **{f"metric_params.{k}": v for k, v in c.metric_params.items()},
        }
        for c in (a, b)
    ]
    return benchmark_files.difference(*fields)

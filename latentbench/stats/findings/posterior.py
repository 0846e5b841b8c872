"""Why mu and sigma? What the posteriors are, which half of the KL they pay, and what clouds buy over points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from latentbench.records import once
from latentbench.stats.cells import Interval
from latentbench.stats.findings.claims import Claim, claims, difference, side
from latentbench.stats.findings.diagnosis import Advice, Diagnosis, advice, diagnosis
from latentbench.stats.findings.parts import codes_in_use
from latentbench.stats.findings.table import Table

METRICS = ("kl", "kl.mean_part", "kl.variance_part", "punctual_index", "overlap", "variance_law", "active_units")


class Purchase(NamedTuple):
    """What ``clouds`` buy over ``points``: ``gain``, the share of N(0, I) that is a hole no more; and at which
    ``price``, clouds minus points in R², None where the two share no seed; ``told``: 1 where it is told to be higher, -1
    lower, else 0."""

    points: str
    clouds: str
    gain: float
    price: Interval | None
    told: int = 0


class InUse(NamedTuple):
    """What a ``model`` uses of its ``size`` codes on the training images, means over seeds: how many (``used``), their
    ``perplexity``, None where that was not measured, at how many ``positions`` an image has one; ``few``: it is flagged for
    how few they are."""

    model: str
    size: int
    used: float
    perplexity: float | None
    positions: int
    few: bool


@dataclass(frozen=True)
class Posteriors:
    """``basis``: what the answer rests on. ``diagnoses`` of the models that anything is known of; ``advice`` on those
    that are not regular; ``codebooks``: what models with discrete codes have in the place of widths; ``bought`` where it is shown that clouds leave less of N(0, I) empty."""

    table: Table
    basis: Literal["purchase", "diagnosis", "not asked for", "discrete", "nothing"]
    diagnoses: Mapping[str, Diagnosis]
    advice: tuple[Advice, ...]
    bought: tuple[Purchase, ...]
    overlap: tuple[Claim, ...]
    codebooks: tuple[InUse, ...] = ()


@once
def posterior(table: Table) -> Posteriors:
    """The answer from the diagnosis of each model, the halves of its KL, and holes against R²."""
    diagnoses = {m: d for m in table.models if (d := diagnosis(table, m)) != "unknown"}
    bought = _bought(table, diagnoses)
    silent = table.row("kl", True) and all((m, "punctual_index") not in table.by for m in table.models)
    return Posteriors(
        table,
        "purchase" if bought else "diagnosis" if diagnoses else _without_diagnosis(table, bool(silent)),
        diagnoses,
        tuple(a for m in diagnoses if (a := advice(table, m)) is not None),
        tuple(bought),
        claims(table.row("overlap")),
        tuple(c for m in table.models if (c := in_use(table, m)) is not None),
    )


def _without_diagnosis(table: Table, silent: bool) -> Literal["not asked for", "discrete", "nothing"]:
    if all(m in table.discrete for m in table.models):
        return "discrete"
    return "not asked for" if silent else "nothing"


def in_use(table: Table, model: str) -> InUse | None:
    """How a model's codes are used; None where it has none or they were not counted."""
    usage, perplexity = (table.trained_on(model, m) for m in ("code_usage", "perplexity"))
    counts = [d for d in usage.details.values() if d.get("codes")] if usage is not None else []
    if not counts:
        return None
    spread = perplexity.interval.mean if perplexity is not None and perplexity.interval is not None else None
    positions = (
        max((len(d.get("per_position") or ()) for d in perplexity.details.values()), default=0) if perplexity else 0
    )
    used = sum(float(d.get("used") or 0) for d in counts) / len(counts)
    return InUse(model, int(counts[0]["codes"]), used, spread, positions, codes_in_use(table, model).flaw)


def _bought(table: Table, diagnoses: Mapping[str, Diagnosis]) -> list[Purchase]:
    """The first model of points beside each model of regular clouds, where the latter fill more of the prior."""
    points = next((m for m in diagnoses if not table.get(m, "kl") and m not in table.collapse), None)
    if points is None:
        return []
    out = []
    filled = (m for m in diagnoses if diagnoses[m] == "regular" and table.get(m, "kl"))
    for clouds in (m for m in filled if m not in table.own_priors):  # what N(0, I) is to another prior is no purchase
        holes = _difference(table, "hole", points, clouds)
        if holes and side(table.by[points, "hole"], table.by[clouds, "hole"]) < 0:
            price = _difference(table, "r2", points, clouds)
            told = side(table.by[points, "r2"], table.by[clouds, "r2"]) if price else 0
            out.append(Purchase(points, clouds, -holes.mean, price, told))
    return out


def _difference(table: Table, metric: str, first: str, other: str) -> Interval | None:
    a, b = table.by.get((first, metric)), table.by.get((other, metric))
    p = difference(a, b) if a and b else None
    return p.difference if p else None

"""What a metric keeps to, whatever it measures.

``example(sigma, dtype)`` makes a fresh encoding, the same at every call, of a Gaussian posterior of width ``sigma`` or,
for None, of a Dirac; a metric that needs more than the default example offers is checked on one handed over.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, fields, replace
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from latentbench.core import (
    CONTINUUM,
    DECODER,
    DISCRETE,
    JUDGE,
    LABELS,
    LIKELIHOOD,
    LOG_VAR,
    OWN_PRIOR,
    PRIOR_DENSITY,
    STANDARD_PRIOR,
    TRAIN,
    TRAIN_LABELS,
    WIDTHS,
    Encoding,
    Family,
    Metric,
    Need,
    Question,
    Undefined,
    Value,
)
from latentbench.records import Better, anchor_role
from latentbench.testing.broken import ContractBroken, demand
from latentbench.testing.examples import (
    discrete_encoding,
    discretised,
    example_encoding,
    own_prior_encoding,
    spatial_encoding,
    two_hills,
)
from latentbench.testing.lines import lines_encoding

Example = Callable[[float | None, torch.dtype], Encoding]
SIGMAS = (None, 0.3)
PRECISION = 1e-3
"""Relative difference between float32 and float64 that a metric may show, unless it says why it needs more."""

BUILT_IN = frozenset({
    CONTINUUM, DISCRETE, LABELS, DECODER, LOG_VAR, WIDTHS, LIKELIHOOD, JUDGE, TRAIN, TRAIN_LABELS, OWN_PRIOR, STANDARD_PRIOR,
    PRIOR_DENSITY,
})  # fmt: skip
"""The needs that any data and any model may leave unmet."""


def example_for(metric: Metric) -> Example:
    """What makes an encoding of the data that the metric is meant for: the first of the package's small examples that
    meets its needs, else the first."""
    makers: tuple[Callable[..., Encoding], ...] = (
        example_encoding,
        lines_encoding,
        own_prior_encoding,
        discrete_encoding,
        spatial_encoding,
    )
    make = next((m for m in makers if not m().absent(metric.needs)), example_encoding)
    return lambda sigma, dtype: make(sigma, dtype=dtype)


def number(metric: Metric, e: Encoding) -> float | None:
    """The metric's number on an encoding; None where something it needs is absent or it is undefined there."""
    if e.absent(metric.needs):
        return None
    try:
        with torch.no_grad():
            result = metric.compute(e, **metric.params)
    except Undefined:
        return None
    return float(result.value if isinstance(result, Value) else result)


def close(a: float | None, b: float | None, relative: float, absolute: float = 1e-9) -> bool:
    """Whether two numbers agree; an absent one only with an absent one."""
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=relative, abs_tol=absolute)


def within(metric: Metric, value: float) -> bool:
    """Whether a value is finite and inside the declared bounds."""
    low, high = metric.bounds
    return math.isfinite(value) and (low is None or value >= low) and (high is None or value <= high)


def tensors(e: Encoding) -> Mapping[str, Tensor]:
    """The tensors an encoding holds, by the names of their fields."""
    return {f.name: v for f in fields(e) if isinstance(v := getattr(e, f.name), Tensor)}


def both(metric: Metric, example: Example, dtype: torch.dtype = torch.float32) -> Iterator[Encoding]:
    """The examples, a Dirac and a Gaussian, that hold what the metric needs."""
    examples = [e for s in SIGMAS if not (e := example(s, dtype)).absent(metric.needs)]
    demand(
        bool(examples),
        metric.name,
        f"no example holds what it needs ({', '.join(sorted(n.name for n in metric.needs))})",
    )
    yield from examples


def anchor_has_a_kind(metric: Metric, anchor: str) -> None:
    """An anchor is named ``kind:name``: the kind is the role of its record."""
    try:
        anchor_role(anchor)
    except ValueError as error:
        raise ContractBroken(f"{metric.name}: {error}") from None


def declaration_is_complete(metric: Metric, example: Example) -> None:
    """Words, direction, bounds, target, needs and family are there and agree with one another."""
    name = metric.name
    for field in ("summary", "source", "unit", "splits"):
        demand(bool(getattr(metric, field)), name, f"{field} is empty")
    demand(metric.better in get_args(Better), name, f"better: '{metric.better}' is not one of {get_args(Better)}")
    demand((metric.better == "target") == (metric.target is not None), name, "a target goes with better='target'")
    low, high = metric.bounds
    demand(low is None or high is None or low < high, name, f"bounds: {metric.bounds} hold nothing")
    demand(all(n.name and n.reason for n in metric.needs), name, "a need has no name or reason")
    demand(metric.family in get_args(Family), name, f"family: '{metric.family}' is not one of {get_args(Family)}")
    questions = get_args(Question)
    demand(set(metric.headline) <= set(questions), name, f"headline: {metric.headline} are not all of {questions}")
    demand(metric.phrase is None or all(astuple(metric.phrase)), name, f"phrase: {metric.phrase} leaves a text empty")
    demand(not metric.expects or metric.references is not None, name, "expects anchors but declares no references")
    for anchor in metric.expects:
        anchor_has_a_kind(metric, anchor)
    json.dumps(dict(metric.params), allow_nan=False)


def values_keep_their_bounds(metric: Metric, example: Example) -> None:
    """Finite, inside the bounds, fit for a record; its references too."""
    for e in both(metric, example):
        try:
            result = metric.compute(e, **metric.params)
        except Undefined as undefined:
            raise ContractBroken(f"{metric.name}: undefined on the example: {undefined}") from None
        value, _, detail = result if isinstance(result, Value) else (result, None, {})
        demand(within(metric, float(value)), metric.name, f"{value} is outside its bounds {metric.bounds}")
        json.dumps(dict(detail), allow_nan=False)
        if metric.references is None:
            continue
        anchors = metric.references(e, **metric.params)
        demand(bool(anchors), metric.name, "declares references and gives none")
        for anchor, reading in anchors.items():
            anchor_has_a_kind(metric, anchor)
            demand(within(metric, reading), metric.name, f"{anchor} reads {reading}, outside {metric.bounds}")


def draws_come_from_the_encoding(metric: Metric, example: Example) -> None:
    """The same number at every call, under any global seed, and no global seed is moved."""
    for sigma in SIGMAS:
        seen = []
        for seed in (1, 2):
            with torch.random.fork_rng(devices=[]):
                old = np.random.get_state()  # noqa: NPY002 - the global state is what must not matter
                torch.manual_seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
                e = example(sigma, torch.float32)
                seen += [number(metric, e), number(metric, e)]
                after = torch.get_rng_state(), np.random.get_state()[1]  # type: ignore[index]  # noqa: NPY002
                np.random.set_state(old)  # noqa: NPY002
            moved = not torch.equal(before[0], after[0]) or bool((before[1] != after[1]).any())
            demand(not moved, metric.name, "it draws from a global random generator")
        demand(len(set(seen)) == 1, metric.name, f"the same encoding gives {sorted(set(map(str, seen)))}")


def inputs_stay_as_they_were(metric: Metric, example: Example) -> None:
    """No tensor of the encoding, nor of its training encoding, is written to."""
    for e in both(metric, example):
        sides = [(side.split, side) for side in (e, e.train) if side is not None]
        before = {(where, n): t.clone() for where, side in sides for n, t in tensors(side).items()}
        number(metric, e)
        if metric.references is not None:
            metric.references(e, **metric.params)
        for where, side in sides:
            for name, tensor in tensors(side).items():
                demand(torch.equal(tensor, before[where, name]), metric.name, f"it changed {name} of {where}")


@contextmanager
def small_blocks(chunk: int = 97, block: int = 5000) -> Iterator[None]:
    """Every loaded module of the package works in blocks this small: CHUNK images, BLOCK entries."""
    sizes = {"CHUNK": chunk, "BLOCK": block}
    here = [m for n, m in sys.modules.items() if n.partition(".")[0].startswith("latentbench") and m is not None]
    old = [(m, n, getattr(m, n)) for m in here for n in sizes if isinstance(getattr(m, n, None), int)]
    try:
        for module, name, _ in old:
            setattr(module, name, sizes[name])
        yield
    finally:
        for module, name, value in old:
            setattr(module, name, value)


def blocks_change_nothing(metric: Metric, example: Example) -> None:
    """The number does not depend on how many images are decoded, or distances held, at once."""
    for sigma in SIGMAS:
        whole = number(metric, example(sigma, torch.float64))
        with small_blocks():
            parts = number(metric, example(sigma, torch.float64))
        demand(close(parts, whole, 1e-9, 1e-12), metric.name, f"in small blocks {parts}, in large ones {whole}")


def poorer(e: Encoding) -> Iterator[tuple[str, frozenset[Need], Encoding]]:
    """Encodings that lack one thing each: what, the needs of `core` that are then not met, and the encoding."""
    yield "labels", frozenset({LABELS}), replace(e, labels=None)
    yield "decoder", frozenset({DECODER}), replace(e, decode=None, x_hat=None)
    yield "log_var", frozenset({LOG_VAR}), replace(e, log_var=None)
    yield "widths", frozenset({LOG_VAR, WIDTHS}), replace(e, log_var=None, family="spherical")
    yield "likelihood", frozenset({LIKELIHOOD}), replace(e, likelihood=None)
    yield "judge", frozenset({JUDGE}), replace(e, judge=None, missing={"judge": "the judge failed its self-check"})
    yield "train", frozenset({TRAIN}), replace(e, train=None)
    if e.train is not None:
        yield "train_labels", frozenset({TRAIN_LABELS}), replace(e, train=replace(e.train, labels=None))
    yield "continuum", frozenset({CONTINUUM}), discretised(e)
    yield "discrete codes", frozenset({DISCRETE}), replace(e, codes=None, codebook=None)
    yield "known factors", frozenset(), replace(e, truth=None, factors=None)
    yield "a prior of its own", frozenset({OWN_PRIOR}), replace(e, prior=None)
    yield "the prior N(0, I)", frozenset({STANDARD_PRIOR}), replace(e, prior=two_hills())
    nameless = two_hills()._replace(log_prob=None)
    yield "the prior's density", frozenset({STANDARD_PRIOR, PRIOR_DENSITY}), replace(e, prior=nameless)


def needs_are_told_in_full(metric: Metric, example: Example) -> None:
    """Without what it needs it is absent for that reason; without anything else it still has a value. The tests of its
    needs stand a bare encoding."""
    e = example(0.3, torch.float32)
    bare = Encoding(e.split, e.x, e.mu, e.z, None)
    for own in metric.needs:
        try:
            met = own.met(bare)
        except Exception as error:
            raise ContractBroken(
                f"{metric.name}: need {own.name} cannot be tested on a bare encoding: {error}"
            ) from error
        demand(isinstance(met, bool), metric.name, f"need {own.name}: its test gives {met!r}, not True or False")
    for what, needs, less in poorer(e):
        reason = less.absent(metric.needs)
        if any(need in metric.needs and not need.met(less) for need in needs):
            demand(bool(reason), metric.name, f"needs {what}, and is not absent without")
            continue
        # A need that its own kind of data brings; and a discrete latent has neither a variance nor a likelihood.
        if any(not n.met(less) for n in (metric.needs if what == "continuum" else metric.needs - BUILT_IN)):
            continue
        demand(not reason, metric.name, f"absent without {what}, which it does not say it needs: {reason}")
        try:
            value = number(metric, less)
            if metric.references is not None:
                metric.references(less, **metric.params)
        except Exception as error:
            raise ContractBroken(f"{metric.name}: fails without {what}, which it does not need: {error}") from error
        demand(value is not None and within(metric, value), metric.name, f"{value} without {what}")


def precision_hardly_matters(
    metric: Metric, example: Example, tolerance: float = PRECISION, absolute: float = 1e-6
) -> None:
    """float32 and float64 give the same number but for ``tolerance``, relative (or ``absolute``)."""
    for sigma in SIGMAS:
        single, double = (number(metric, example(sigma, dtype)) for dtype in (torch.float32, torch.float64))
        demand(
            close(single, double, tolerance, absolute),
            metric.name,
            f"{single} in float32, {double} in float64: more than {tolerance:g} apart",
        )


METRIC_CHECKS: tuple[Callable[[Metric, Example], None], ...] = (
    declaration_is_complete,
    values_keep_their_bounds,
    draws_come_from_the_encoding,
    inputs_stay_as_they_were,
    blocks_change_nothing,
    needs_are_told_in_full,
)
"""What holds for a metric on any example; `precision_hardly_matters` besides, with a tolerance."""


def check_metric(metric: Metric, example: Example | None = None, precision: float = PRECISION) -> None:
    """All of `METRIC_CHECKS`, and float32 against float64 within ``precision``. ``example(sigma, dtype)`` makes the
    encoding to check on, the same at every call; `example_for` the metric unless given. Raises ContractBroken, naming
    what was broken."""
    example = example or example_for(metric)
    for check in METRIC_CHECKS:
        check(metric, example)
    precision_hardly_matters(metric, example, precision)

"""Border: annotations are held against calls while tests run, and cost the package nothing otherwise."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import shapes
import torch
from fakes import normal
from test_imports import loaded_after

import latentbench
from latentbench.geometry.neighbours import ranks
from latentbench.geometry.on_a_line import kth_distance
from latentbench.metrics.divergence import kl_of_each
from latentbench.stats.intervals import t_interval

SHAPE, TYPE = "Type-check error", "violates type hint"

on = pytest.mark.skipif(not shapes.ON, reason="switched off by LATENTBENCH_SHAPES=0")


@on
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: kth_distance(normal((3, 5), "points"), normal((2, 5), "ordered"), 1), SHAPE),  # one axis, two sizes
        (lambda: kl_of_each(normal((3, 5), "mu"), torch.zeros(3, 5, dtype=torch.int64)), SHAPE),  # no floats
        (lambda: ranks(normal((6, 2), "points"), torch.zeros(6, dtype=torch.int64)), SHAPE),  # an axis too few
        (lambda: t_interval("values"), TYPE),  # no numbers
        (lambda: replace(t_interval([1, 2, 3]), mean="2"), TYPE),  # of a dataclass
    ],
)
def test_a_wrong_call_is_found(call, said):
    with pytest.raises(TypeError, match=said):
        call()


@on
def test_right_calls_pass():
    assert kth_distance(normal((2, 5), "points"), normal((2, 7), "ordered").sort().values, 3).shape == (2, 5)
    assert t_interval([1, 2, 3]).mean == 2  # an int is a float, as for type checkers


def test_the_package_needs_neither_of_the_checkers():
    modules = "latentbench.metrics.posterior, latentbench.geometry.neighbours, latentbench.stats.families"
    assert loaded_after(f"import {modules}", ("jaxtyping", "beartype")) == set()
    assert loaded_after("import jaxtyping", ("jaxtyping",)) == {"jaxtyping"}


def test_every_name_taken_from_jaxtyping_is_known_to_the_checks():
    taken, rooms = set(), set()
    for path in Path(latentbench.__file__).parent.rglob("*.py"):
        for names in re.findall(r"^ *from jaxtyping import (.+)$", path.read_text("utf-8"), re.MULTILINE):
            taken |= set(names.split(", "))
            rooms.add(path.relative_to(Path(latentbench.__file__).parent).parts[0])
    assert taken == set(shapes.NAMES)
    assert rooms <= set(shapes.ROOMS)

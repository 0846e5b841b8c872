"""The committed examples: what their pages and numbers hold is what a run of theirs still gives."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
from pathlib import Path

import pytest

from latentbench import catalog

HOME = Path(__file__).parents[1] / "examples"


def made():
    spec = importlib.util.spec_from_file_location("made", HOME / "made.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE = made()
REFERENCES = re.compile(r"\]\(([^)#:]+)\)")


@pytest.mark.parametrize("name", MADE.NAMES)
def test_the_page_is_there_and_says_what_the_numbers_say(name):
    page = (HOME / name / "report.html").read_text("utf-8")
    assert len(page.encode()) <= MADE.LARGEST
    found = json.loads((HOME / name / MADE.NUMBERS).read_text("utf-8"))
    assert found["seeds"] >= 3
    for model, values in found["models"].items():
        assert model in page
        assert values.keys() <= catalog.metrics().keys() | {"validity.normal.second_judge", "decoder_variance"}
        assert all(math.isfinite(v) for v in values.values())
        shown = f"{values['r2']:.2f}".lstrip("0")
        assert shown in (HOME / name / "summary.md").read_text("utf-8"), f"R² {shown} of {model}"


def test_the_list_of_examples_leads_to_what_is_there():
    for target in REFERENCES.findall((HOME / "README.md").read_text("utf-8")):
        assert (HOME / target).exists(), target


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE.NAMES)
def test_the_script_still_measures_what_was_measured(name, tmp_path, monkeypatch):
    """The same models and metrics; levels as far as seeds and processors leave them: R² within .05."""
    monkeypatch.syspath_prepend(str(HOME))
    try:
        now = MADE.numbers(importlib.import_module(name).study(tmp_path / "out"))
    finally:
        sys.modules.pop(name, None)
    then = json.loads((HOME / name / MADE.NUMBERS).read_text("utf-8"))
    assert now["seeds"] == then["seeds"]
    assert now["models"].keys() == then["models"].keys()
    for model, values in then["models"].items():
        assert now["models"][model].keys() == values.keys()
        assert now["models"][model]["r2"] == pytest.approx(values["r2"], abs=0.05)

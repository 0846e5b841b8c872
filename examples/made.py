"""Make the reports of the examples: `python examples/made.py [NAME ...]`, all by default; some minutes on two cores.

Each example is a script of its own, `examples/NAME.py`, with a function ``study(out)`` that writes a run folder and returns its
Result. Of that folder the page, the summary and the headline numbers are kept, in ``examples/NAME/``: no data, no weights.
`tests/test_examples.py` holds the numbers' shape: every metric that was measured is still measured, of the same models.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = ("foreign_model", "breast_cancer")
LARGEST = 3_000_000
"""Bytes that a committed page may have; 1.27 million are BokehJS."""
KEPT = ("report.html", "summary.md")
NUMBERS = "numbers.json"
ANOTHER_MACHINES = ("throughput.", "train.", "cost.")
"""Metrics whose values are another machine's on another machine."""


def numbers(result: Any) -> dict[str, Any]:
    """What a study found, as data: the models' means of each metric on the test split, their seeds, and the answers."""
    values: dict[tuple[str, str], list[float]] = {}
    seeds = set()
    for r in result.records:
        told = (
            r.kind == "value"
            and r.role == "model"
            and r.status == "ok"
            and r.model
            and r.split == "test"
            and r.value is not None
        )
        if told and not r.metric.startswith(ANOTHER_MACHINES):
            values.setdefault((r.model, r.metric), []).append(r.value)
            seeds.add(r.seed)
    found: dict[str, dict[str, float]] = {}
    for (model, metric), each in sorted(values.items()):
        found.setdefault(model, {})[metric] = float(f"{sum(each) / len(each):.4g}")
    return {"seeds": len(seeds), "models": found}


def make(name: str) -> None:
    """Carry one example out, and keep of it what is committed. Raises ValueError where its page is too large."""
    place = HERE / name
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / name
        result = importlib.import_module(name).study(out)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for file in KEPT:
            shutil.copy(out / file, place / file)
        (place / NUMBERS).write_text(json.dumps(numbers(result), indent=1, sort_keys=True) + "\n", "utf-8")
    size = (place / "report.html").stat().st_size
    if size > LARGEST:
        raise ValueError(f"{place}: the page has {size:,} bytes, {LARGEST:,} are allowed")
    print(f"{place}: a page of {size:,} bytes")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    for chosen in sys.argv[1:] or NAMES:
        make(chosen)

"""The committed baseline of the quality gate: the records of a default run, without artifacts, timings and raw samples.

    latentbench run --out /tmp/new && python benchmarks/baseline.py /tmp/new      (after a change that is meant)

`tox -e quality` runs the default run again and compares it with this.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from latentbench import records
from latentbench.records import Record

BASELINE = Path(__file__).parent / "baseline" / "records.jsonl"
KEPT = ("config", "environment", "started", "git", "version", "dataset", "models")
"""What of the run's own record tells the reader where the numbers are from."""
DETAILS = ("likelihood", "why")
"""Extras of a value that `latentbench compare` reads."""


def reduced(rows: Sequence[Record]) -> Iterator[Record]:
    """The records that a comparison reads."""
    for r in rows:
        if r.kind == "run":
            detail = {k: v for k, v in r.detail.items() if k in KEPT}
            detail["config"] = {k: v for k, v in detail["config"].items() if k != "out"}
            yield replace(r, detail=detail)
        elif r.kind == "value" and not r.is_timing:
            yield replace(r, samples=None, detail={k: v for k, v in r.detail.items() if k in DETAILS})


def main(words: Sequence[str]) -> int:
    if len(words) != 1:
        raise SystemExit("usage: python benchmarks/baseline.py RUN_FOLDER")
    rows = records.read(Path(words[0]) / "records.jsonl")
    if any(r.status == "failed" for r in rows):
        raise SystemExit(f"{words[0]}: some cells failed; no baseline")
    BASELINE.parent.mkdir(exist_ok=True)
    records.write(BASELINE, reduced(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

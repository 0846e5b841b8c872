"""What a speed gate found, for a pull request, for machines, and on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from latentbench.comparing.change import Change
from latentbench.gate.speed_gate import Decision
from latentbench.records import write_text
from latentbench.report.exports import comparison


def notes(decision: Decision) -> list[str]:
    """Sentences on how it was done: pairs, time, why it stopped, what the reference workload did."""
    return [*_notes(decision)]


def _notes(d: Decision) -> Iterator[str]:
    yield f"{len(d.pairs)} pairs of process launches in turns, {d.seconds:.0f} s; stopped because {d.stopped}."
    if d.reference and d.reference.harm:
        h = d.reference.harm
        ends = "" if h.low is None or h.high is None else f" [{100 * h.low:+.1f}, {100 * h.high:+.1f}]"
        yield f"The reference workload, the same on both sides: {100 * h.mean:+.1f}{ends} %."
    yield from (f"{note[:1].upper()}{note[1:]}." for note in d.notes)


def markdown(decision: Decision) -> str:
    """The decision as Markdown, fit for a pull request or a job summary."""
    return comparison.markdown(decision.changes, f"Speed: {decision.head} against {decision.base}", notes(decision))


def as_json(decision: Decision) -> dict[str, Any]:
    """The decision for machines: changes and the findings they are, the reference's change, every launch's values."""

    def row(change: Change) -> dict[str, Any]:
        return {"name": change.name, **asdict(change)}

    return {
        "base": decision.base,
        "head": decision.head,
        "seconds": round(decision.seconds, 2),
        "stopped": decision.stopped,
        "notes": list(decision.notes),
        "changes": [row(c) for c in decision.changes],
        "findings": [asdict(f) for f in decision.findings],
        "reference": row(decision.reference) if decision.reference else None,
        "pairs": [[dict(launch.values) for launch in pair] for pair in decision.pairs],
    }


def write(decision: Decision, folder: Path) -> None:
    """Write ``summary.md`` and ``launches.json``, all values behind it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "summary.md", markdown(decision))
    write_text(folder / "launches.json", json.dumps(as_json(decision), ensure_ascii=False, allow_nan=False) + "\n")

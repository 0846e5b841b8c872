"""docs/durability.md from what was counted: the kills of kill_storm.py, and what the tests noted (tests/counts.py).

python benchmarks/durability_page.py [DOCS]     reads durability.json and durability.jsonl there, as far as they are there
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentbench import records

DOCS = Path(__file__).parents[1] / "docs"
PHASES = ("before anything", "judge", "train", "map", "reference", "measure", "time", "records and page")
"""What a run is at, in the order it comes in."""

Row = Mapping[str, Any]


def well(row: Row) -> bool:
    """Whether all was well after a kill."""
    return not (row["wrong"] or row["orphans"] or row["leftovers"])


def page(storm: Mapping[str, Any], noted: Sequence[Row]) -> str:
    """The whole document."""
    lines = ["# What a kill, damage and bad input cost", ""]
    lines += _kills(storm) if storm else ["No kill was counted yet: `tox -e kill-storm`.", ""]
    lines += [*_found(storm.get("found", [])), *_damage(noted), *_input(noted)]
    return "\n".join(lines).rstrip() + "\n"


def _kills(storm: Mapping[str, Any]) -> Iterator[str]:
    rows = storm["kills"]
    whole = sum(map(well, rows))
    sent = [r for r in rows if r["point"] is not None]
    yield "## Kills"
    yield ""
    yield (
        f"A run of two models and two seeds with a judge got a signal {len(rows)} times (of {storm['planned']} planned) and was "
        f"carried on with `--resume`: {whole} of {len(rows)} came back whole. Whole means: exit code 0, all records and files "
        "those of the undisturbed run byte for byte but for timings, the environment and the clock, no unit that was finished "
        f"computed again, no hidden file, no temporary file, no process left. {sum(r['orphans'] for r in rows)} processes lived "
        f"on, {sum(len(r['leftovers']) for r in rows)} files were left."
    )
    yield ""
    yield (
        "A moment is named by the run's own progress: half lie just before or after one of its syncs, renames or removals, a "
        "quarter anywhere between two of them, a quarter while records and page are written. Written by `tox -e kill-storm`, "
        "which carries on where it was stopped."
    )
    yield ""
    ways = list(dict.fromkeys(r["way"] for r in rows))
    yield f"| phase | {' | '.join(ways)} | together |"
    yield f"|---{'|---:' * (len(ways) + 1)}|"
    for phase in PHASES:
        each = [[r for r in sent if (r["phase"], r["way"]) == (phase, way)] for way in ways]
        yield f"| {phase} | {' | '.join(map(_share, each))} | {_share([r for some in each for r in some])} |"
    late = [[r for r in rows if r["point"] is None and r["way"] == way] for way in ways]
    if any(late):
        yield f"| over before its moment came | {' | '.join(map(_share, late))} | {_share([r for x in late for r in x])} |"
    each = [[r for r in rows if r["way"] == way] for way in ways]
    yield f"| together | {' | '.join(map(_share, each))} | {_share(rows)} |"
    yield ""
    yield "Of each: how many came back whole, of how many."
    yield ""
    for row in (r for r in rows if not well(r)):
        yield f"- {_told(row)}"
    yield ""


def _share(rows: Sequence[Row]) -> str:
    return f"{sum(map(well, rows))} of {len(rows)}" if rows else ""


def _told(row: Row) -> str:
    what = row["wrong"] or f"{row['orphans']} processes lived on; left: {', '.join(row['leftovers'])}"
    return f"kill {row['number']}, {row['way']}, {row['phase']}: {' '.join(what.split())}"


def _found(rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield "Found on the way, mended, and killed once more:"
        yield ""
        yield from (f"- {_told(row)}" for row in rows)
        yield ""


def _damage(noted: Sequence[Row]) -> Iterator[str]:
    rows = [r for r in noted if r["what"] == "damage"]
    if not rows:
        return
    kinds = list(dict.fromkeys(r["damage"] for r in rows))
    yield "## Damage"
    yield ""
    yield (
        "A finished run, one of its files damaged, and the same command again. Nothing damaged is ever used as it is: a unit is "
        "computed anew, alone; what is made of units is put together again, with no unit computed; records, page and weights "
        "that are asked for meanwhile are refused in one line. Afterwards the run equals the undamaged one. From "
        "`tests/test_durable.py`; an empty cell was not tried."
    )
    yield ""
    yield f"| file | of | {' | '.join(kinds)} |"
    yield f"|---|---{'|---' * len(kinds)}|"
    for file, of in dict.fromkeys((r["file"], r["of"]) for r in rows):
        cells = [
            next((r["then"] for r in rows if (r["file"], r["of"], r["damage"]) == (file, of, kind)), "")
            for kind in kinds
        ]
        yield f"| {file} | {of} | {' | '.join(cells)} |"
    yield ""


def _input(noted: Sequence[Row]) -> Iterator[str]:
    tried = [(what, [r for r in noted if r["what"] == what]) for what in ("malformed input", "mutated records")]
    if not any(rows for _, rows in tried):
        return
    yield "## Input that cannot be"
    yield ""
    yield (
        "Held is what ends in one line of at most 300 printable characters and exit code 2 (or, for a records file, in a page), "
        "within 20 CPU-seconds, and leaves nothing. Counted by `tox -e fuzz`."
    )
    yield ""
    yield "| what | tried | held | slowest (CPU-s) |"
    yield "|---|---:|---:|---:|"
    for what, rows in tried:
        count, broken = sum(r["tried"] for r in rows), sum(r["broken"] for r in rows)
        if rows:
            yield f"| {what} | {count} | {count - broken} | {max(r['slowest'] for r in rows)} |"
    yield ""


def write(docs: Path) -> None:
    """Write the page from what lies beside it."""
    storm, noted = docs / "durability.json", docs / "durability.jsonl"
    kills = json.loads(storm.read_text("utf-8")) if storm.exists() else {}
    lines = noted.read_text("utf-8").splitlines() if noted.exists() else []
    # What is counted once more counts in place of what was counted before.
    rows = {
        tuple((k, row.get(k)) for k in ("what", "first", "file", "of", "damage")): row for row in map(json.loads, lines)
    }
    if noted.exists():
        records.write_text(noted, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows.values()))
    records.write_text(docs / "durability.md", page(kills, list(rows.values())))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)

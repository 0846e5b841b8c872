"""docs/gate.md from the raw runs of `gate_errors.py`: ``python benchmarks/gate_table.py docs/gate.jsonl docs/gate.md``.

Counts come with Clopper-Pearson intervals (95 %). Beside the real runs, launches are *resampled*: made-up sessions whose
pairs are drawn with replacement from those of all runs of equal revisions, the sides of each pair swapped at random, and
decided by the very code of the gate, look by look.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from latentbench.gate.launcher import Launch
from latentbench.gate.speed_gate import LOOKS, SECONDS, Gate, Pair, judge

SESSIONS = 2000
"""Resampled sessions of each kind."""
KINDS = {
    "quiet": "a revision against itself",
    "load": "the same beside competing work",
    "slow5": "5 % slower",
    "slow10": "10 % slower",
    "slow20": "20 % slower",
    "memory10": "10 % more memory",
}
Row = Mapping[str, Any]


def read(path: Path) -> list[Row]:
    """The runs, one a line."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]


def share(count: int, total: int) -> str:
    """``1 of 20 (5.0 % [0.1, 24.9])``."""
    if not total:
        return "–"
    ends = binomtest(count, total).proportion_ci(method="exact")
    return f"{count} of {total} ({100 * count / total:.1f} % [{100 * ends.low:.1f}, {100 * ends.high:.1f}])"


def alarms(row: Row) -> list[str]:
    """Benchmarks called worse that were not touched."""
    return [name for name, verdict in row["verdicts"].items() if verdict == "worse" and name != row["planted"]]


def pairs_of(rows: Sequence[Row]) -> list[Pair]:
    """The pairs of launches of all runs of equal revisions."""
    return [(Launch(a, 0.0), Launch(b, 0.0)) for r in rows if not r["planted"] for a, b in r["pairs"]]


def sessions(pairs: Sequence[Pair], count: int, seed: int) -> Iterator[list[Pair]]:
    """Made-up sessions of as many pairs as the last look takes."""
    rng = random.Random(seed)
    for _ in range(count):
        drawn = rng.choices(pairs, k=LOOKS[-1])
        yield [(b, a) if rng.random() < 0.5 else (a, b) for a, b in drawn]


def slower(pairs: Sequence[Pair], name: str, by: float) -> list[Pair]:
    """The same pairs, one benchmark of the second side slower."""
    return [(a, Launch({**b.values, name: b.values[name] * (1 + by)}, 0.0)) for a, b in pairs]


def verdict(pairs: Sequence[Pair], gate: Gate) -> tuple[set[str], int]:
    """What is called worse in a session and after how many pairs the first was."""
    for look in LOOKS:
        found = {c.name for c in judge(pairs[:look], gate)[0] if c.verdict == "worse"}
        if found:
            return found, look
    return set(), LOOKS[-1]


def resampled(rows: Sequence[Row], count: int = SESSIONS) -> dict[str, str]:
    """False alarms and power over resampled sessions."""
    pairs, gate = pairs_of(rows), Gate("")
    names = [n for n in pairs[0][0].values if n.startswith("test_")]
    false = sum(bool(verdict(s, gate)[0]) for s in sessions(pairs, count, 0))
    out = {"a false alarm": share(false, count)}
    for by in (0.05, 0.1, 0.2):
        made = [
            (name := names[k % len(names)], verdict(slower(s, name, by), gate)[0])
            for k, s in enumerate(sessions(pairs, count // 4, 1))
        ]
        out[f"{by:.0%} slower, caught"] = share(sum(name in found for name, found in made), len(made))
    return out


def counts(rows: Sequence[Row]) -> list[str]:
    """The lines of the table of real runs."""
    lines = []
    for kind, words in KINDS.items():
        of = [r for r in rows if r["kind"] == kind]
        if not of:
            continue
        caught = (
            share(sum(r["verdicts"].get(r["planted"]) == "worse" for r in of), len(of)) if of[0]["planted"] else "–"
        )
        false = share(sum(bool(alarms(r)) for r in of), len(of))
        open_ = sum(not r["verdicts"] or "unknown" in r["verdicts"].values() for r in of)
        middle = [sorted(x)[len(of) // 2] for x in ([len(r["pairs"]) for r in of], [r["seconds"] for r in of])]
        load = sorted(max(r["load"]) for r in of)
        lines.append(
            f"| {words} | {len(of)} | {caught} | {false} | {open_} | {middle[0]} | {middle[1]:.0f} | {max(r.get('limit', SECONDS) for r in of):.0f} | "
            f"{load[0]:.1f} to {load[-1]:.1f} |"
        )
    return lines


def page(rows: Sequence[Row]) -> str:
    """The page."""
    lines = [
        "# How often the speed gate errs",
        "",
        "Written by `benchmarks/gate_table.py` from `gate.jsonl`, the raw runs of `benchmarks/gate_errors.py`: whole gate runs on",
        "two cores, each with its own checkouts and fresh processes, of three short benchmarks and the peak memory. Slowdowns",
        "burn a share of one function's own time; which of the three is slowed takes turns. Competing work: the test suite on both",
        "cores, or processes that never rest. In brackets: 95 % Clopper-Pearson.",
        "",
        "| what | runs | caught | false alarms | undecided | pairs | seconds | limit, s | load |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *counts(rows),
    ]
    every = [r for r in rows if not r["planted"]]
    stops = Counter(r["stopped"].split(":")[0] for r in rows)
    lines += [
        "",
        f"False alarms in all runs of equal revisions: {share(sum(bool(alarms(r)) for r in every), len(every))}. In the runs with"
        " something planted, benchmarks that were not touched count as false alarms too. Pairs and seconds are medians; undecided"
        " runs left a benchmark `unknown`, which fails nothing.",
        "",
        f"Resampled: {SESSIONS} sessions ({SESSIONS // 4} for each slowdown) of pairs drawn from the {len(pairs_of(rows))} real ones of",
        "equal revisions, always to the last look:",
        "",
        "| what | sessions |",
        "|---|---:|",
        *(f"| {k} | {v} |" for k, v in resampled(rows).items()),
        "",
        "Why the runs stopped: " + "; ".join(f"{why}, {count}" for why, count in stops.most_common()) + ".",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(page(read(Path(sys.argv[1]))), "utf-8")

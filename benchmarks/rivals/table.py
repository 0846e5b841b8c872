"""The document of a run of the rivals: ``python benchmarks/rivals/table.py FILE [OUT]`` (else to the screen)."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cases import CASES

Rows = Sequence[Mapping[str, Any]]
OURS = "latentbench"
T975 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12)
"""Student's t, 97.5 %, at 1, 2, ... degrees of freedom."""

LEAST = 4 * 2**20
"""Bytes below which a call's memory is the allocator's and has no exponent."""

HEAD = """# Scale

How the neighbour-based measures grow with the number of points N, and how they compare with packages that answer the
same question. Made by `benchmarks/rivals/table.py` from a run of `tox -e rivals`; do not edit.

Every figure comes from calls in fresh processes, in turns (we, the rival, the rival, we), on the same data, after the
imports and a small call. *Ratio*: the rival's seconds over ours, geometric mean over neighbouring processes with its
95 % t-interval: of wall time, and of processor time, which a busy machine disturbs less. *Memory*: the highest
resident memory during the call over what was resident before it. Answers are checked to agree. A dash: the rival
cannot hold that N in this machine's memory.
"""


def group(rows: Rows, **fields: object) -> Rows:
    """The rows with these values."""
    return [r for r in rows if all(r[k] == v for k, v in fields.items())]


def ratio(ours: Rows, theirs: Rows, field: str) -> tuple[float, float, float]:
    """Geometric mean of theirs over ours, process by process in their order, and its 95 % t-interval."""
    logs = [math.log(t[field] / o[field]) for o, t in zip(ours, theirs, strict=True)]
    mean, n = statistics.mean(logs), len(logs)
    if n < 2:
        return math.exp(mean), math.nan, math.nan
    half = T975[min(n - 1, len(T975)) - 1] * statistics.stdev(logs) / math.sqrt(n)
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def exponent(points: Iterable[tuple[float, float]]) -> float:
    """The least-squares slope of ln y over ln x: y grows as x to this power."""
    x, y = zip(*((math.log(a), math.log(b)) for a, b in points), strict=True)
    mx, my = statistics.mean(x), statistics.mean(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


def against(rows: Rows) -> list[str]:
    """The table of ratios."""
    lines = [
        "| case | N | threads | rival | ours, s | rival, s | ratio of wall time | ratio of processor time | ours, MiB | rival, MiB | share |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in CASES:
        for n in case.sizes:
            for threads in sorted({r["threads"] for r in rows}):
                here = group(rows, case=case.name, n=n, threads=threads)
                lines += [_line(case.name, n, threads, rival, here) for rival in case.rivals if here]
    return lines


def _line(case: str, n: int, threads: int, rival: str, rows: Rows) -> str:
    ours, theirs = _pairs(rows, rival)
    if not theirs:
        own = group(rows, who=OURS)
        return f"| {case} | {n:,} | {threads} | {rival} | {_middle(own, 'wall')} | – | – | – | {_mib(own)} | – | – |"
    wall, cpu = (_interval(*ratio(ours, theirs, field)) for field in ("wall", "cpu"))
    share = _median(ours, "extra_bytes") / max(1.0, _median(theirs, "extra_bytes"))
    seconds = f"{_middle(ours, 'wall')} | {_middle(theirs, 'wall')}"
    memory = f"{_mib(ours)} | {_mib(theirs)} | {f'{share:.3f}' if share < 10 else '> 10'}"
    return f"| {case} | {n:,} | {threads} | {rival} | {seconds} | {wall} | {cpu} | {memory} |"


def _pairs(rows: Rows, rival: str) -> tuple[Rows, Rows]:
    """Neighbours in time, one of each side: the rounds are ours, theirs, theirs, ours."""
    ours, theirs = [], []
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        if {first["who"], second["who"]} == {OURS, rival}:
            own, other = (first, second) if first["who"] == OURS else (second, first)
            ours.append(own)
            theirs.append(other)
    return ours, theirs


def growth(rows: Rows) -> list[str]:
    """The table of exponents, from N = 10,000 up, where start-up costs no longer show; one thread."""
    lines = [
        "| case | who | sizes | seconds at each | time grows as | MiB at each | memory grows as |",
        "| --- | --- | --- | --- | ---: | --- | ---: |",
    ]
    for case in CASES:
        for who in (OURS, *case.rivals):
            own = group(rows, case=case.name, who=who, threads=min(r["threads"] for r in rows))
            sizes = sorted({r["n"] for r in own})
            if len(sizes) < 2:
                continue
            seconds = [_median(group(own, n=n), "cpu") for n in sizes]
            memory = [max(1.0, _median(group(own, n=n), "extra_bytes")) for n in sizes]
            large = [i for i, n in enumerate(sizes) if n >= 10_000] if sizes[-1] > 10_000 else list(range(len(sizes)))
            time = exponent((sizes[i], seconds[i]) for i in large)
            held = [(sizes[i], memory[i]) for i in large]
            space = f"N^{exponent(held):.2f}" if min(m for _, m in held) > LEAST else "–"
            lines.append(
                f"| {case.name} | {who} | {_list(f'{n:,}' for n in sizes)} | {_list(f'{s:.3g}' for s in seconds)} | "
                f"N^{time:.2f} | {_list(f'{m / 2**20:.0f}' for m in memory)} | {space} |"
            )
    return lines


def document(result: Mapping[str, Any]) -> str:
    """The whole page."""
    rows, machine = result["runs"], result["machine"]
    load = [r["load"] for r in rows]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    large = group(rows, who=OURS, n=100_000)
    peaks = ", ".join(
        f"{name} {_peak(group(large, case=name)):.2f} GiB" for name in dict.fromkeys(r["case"] for r in large)
    )
    lines = [
        HEAD,
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, {versions}; {result['started'][:10]}. "
        f"Other work shared the machine: load average {statistics.median(load):.1f} (median), {min(load):.1f} to "
        f"{max(load):.1f}, this run's own included.",
        "\n## The questions\n",
        *[f"- *{case.name}*: {case.words}" for case in CASES],
        "\n## Against others\n",
        *against(rows),
        "\n## Growth\n",
        "Processor seconds and memory over N, one thread; exponents fitted from N = 10,000 up where there are two such.\n",
        *growth(rows),
    ]
    if peaks:
        lines += ["\n## 100,000 points of 64 features\n", f"Highest resident memory of the whole process: {peaks}."]
    return "\n".join(lines) + "\n"


def _peak(rows: Rows) -> float:
    return max(r["peak_bytes"] for r in rows) / 2**30


def _median(rows: Rows, field: str) -> float:
    return statistics.median(r[field] for r in rows)


def _middle(rows: Rows, field: str) -> str:
    return f"{_median(rows, field):.3g}"


def _mib(rows: Rows) -> str:
    return f"{_median(rows, 'extra_bytes') / 2**20:.0f}"


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.2f}" if math.isnan(low) else f"{mean:.2f} ({low:.2f} to {high:.2f})"


def _list(items: Iterable[str]) -> str:
    return " / ".join(items)


if __name__ == "__main__":
    page = document(json.loads(Path(sys.argv[1]).read_text()))
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(page)
    else:
        print(page)

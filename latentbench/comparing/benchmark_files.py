"""Timings of two revisions: a process launch, not a round, is what is repeated.

Rounds of one process share its luck: where its memory came to lie, what ran beside it, the clock it got. One launch in
ten is slow for its whole life, by far more than its rounds tell. So with two launches or more a side the *launches* are
the sample, and the rounds only give each launch its median:

    d    mean of ln(median) over head's launches, minus that over base's        the change is exp(d) - 1
    p    Welch's t over launches

With one launch on a side nothing tells how much launches differ, and `LAUNCH_NOISE` stands for it, as a known standard
deviation of ln(median): only a clear change gets a verdict. Reads the JSON files of pytest-benchmark
(``pytest --benchmark-json FILE``), each one launch.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.special import ndtr, ndtri

from latentbench.comparing.change import Change
from latentbench.records import Better
from latentbench.stats.intervals import LEVEL, Interval, welch

METRIC = "time"
"""What is measured of every benchmark."""
LAUNCH_NOISE = 0.08
"""Standard deviation of ln(median) between launches of the same code, where it was not measured."""
THRESHOLD = 0.05
"""A change of speed below this share is not worth a verdict, unless another is asked for."""
ALLOWANCE = (
    f"One launch on a side: an allowance of {LAUNCH_NOISE:.0%} stands for how much launches differ, so only clear "
    "changes get a verdict; give folders with several launches of each."
)
VOLATILE = ("node", "hz_actual", "hz_advertised", "hz_actual_friendly", "hz_advertised_friendly", "flags", "release")
"""Parts of a machine's description that change from one hour or container to the next."""


@dataclass(frozen=True)
class BenchmarkFile:
    """One process: the machine it ran on, flat, and the seconds of each benchmark's rounds."""

    path: Path
    machine: Mapping[str, Any]
    seconds: Mapping[str, Sequence[float]]


def read(path: Path) -> list[BenchmarkFile]:
    """The launches of a pytest-benchmark file, or of all ``.json`` files in a folder, by name.

    Raises ValueError, one line naming the file, where there is none or one is no pytest-benchmark file.
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"compare: {path} holds neither records.jsonl nor a pytest-benchmark JSON file")
    return [_benchmark_file(f) for f in files]


def _benchmark_file(path: Path) -> BenchmarkFile:
    try:
        document = json.loads(path.read_text("utf-8"))
        seconds = {
            b["fullname"]: tuple(map(float, b["stats"].get("data") or [b["stats"]["median"]]))
            for b in document["benchmarks"]
        }
        machine = {**_flat(document["machine_info"]), "pytest-benchmark": document.get("version")}
    except (ValueError, TypeError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(f"compare: {path} is no pytest-benchmark JSON file: {type(error).__name__} {error}") from None
    if odd := [name for name, times in seconds.items() if not all(math.isfinite(t) and t > 0 for t in times)]:
        raise ValueError(f"compare: {path}: {odd[0]} has a time that is not above 0")
    return BenchmarkFile(path, machine, seconds)


def _flat(description: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested descriptions as ``cpu.count``, without what is volatile."""
    out: dict[str, Any] = {}
    for key, value in description.items():
        if isinstance(value, Mapping):
            out.update(_flat(value, f"{prefix}{key}."))
        elif key not in VOLATILE:
            out[prefix + key] = value
    return out


def difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """The first field in which two descriptions differ, with both values: ``cpu 'A' against 'B'``; empty where none."""
    names = [n for n in dict.fromkeys([*a, *b]) if a.get(n) != b.get(n)]
    if not names:
        return ""
    more = f" (and {len(names) - 1} more: {', '.join(names[1:5])})" if len(names) > 1 else ""
    return f"{names[0]} {_told(a.get(names[0]))} against {_told(b.get(names[0]))}{more}"


def _told(value: Any) -> str:
    """A value as it was written; a whole number that a file holds as a float as an integer, its thousands parted."""
    whole = isinstance(value, float) and value.is_integer()
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}") if whole else repr(value)


def changes(base: Sequence[BenchmarkFile], head: Sequence[BenchmarkFile]) -> list[Change]:
    """A change of every benchmark that either side ran, not yet decided, with the threshold `THRESHOLD`.

    Raises ValueError where launches ran on different machines or versions, naming the field.
    """
    first = base[0]
    for other in (*base[1:], *head):
        if reason := difference(first.machine, other.machine):
            raise ValueError(f"compare: timings of different machines: {reason} ({first.path}, {other.path})")
    names = dict.fromkeys(name for launch in (*base, *head) for name in launch.seconds)
    return [_change(name, _of(name, base), _of(name, head)) for name in names]


def _of(name: str, launches: Sequence[BenchmarkFile]) -> list[Sequence[float]]:
    return [launch.seconds[name] for launch in launches if name in launch.seconds]


def _change(name: str, base: Sequence[Sequence[float]], head: Sequence[Sequence[float]]) -> Change:
    blank = Change(name, METRIC, "s", "lower", relative=True, threshold=THRESHOLD)
    if not base or not head:
        blank = replace(blank, base=_middle(base), head=_middle(head))
        return blank.barred(f"only {'base' if base else 'head'} ran it", "one side only")
    return ratio(blank, base, head)


def _middle(launches: Sequence[Sequence[float]]) -> float | None:
    """Geometric mean of the launches' medians."""
    return math.exp(statistics.fmean(math.log(statistics.median(x)) for x in launches)) if launches else None


def ratio(
    blank: Change, base: Sequence[Sequence[float]], head: Sequence[Sequence[float]], noise: float = LAUNCH_NOISE
) -> Change:
    """``blank`` with the values, interval and p-value of two sets of launches, each a sequence of positive numbers (seconds
    where lower is better, rates where higher is). ``noise`` is the standard deviation of a launch's ln(median), used
    where a side has one launch. Raises ValueError where a side has none."""
    if not base or not head:
        raise ValueError("a ratio needs a launch on both sides")
    x, y = ([math.log(statistics.median(launch)) for launch in side] for side in (base, head))
    if min(len(x), len(y)) >= 2:
        unpaired = welch(y, x)
        d, p = unpaired.difference, unpaired.p
    else:
        d, p = _allowed(statistics.fmean(y) - statistics.fmean(x), [(base, x), (head, y)], noise)
    return replace(blank, base=_middle(base), head=_middle(head), harm=as_share(d, blank.better), p=p)


def _allowed(
    d: float, sides: Sequence[tuple[Sequence[Sequence[float]], Sequence[float]]], noise: float
) -> tuple[Interval, float]:
    """A difference of logarithms with the allowance: a normal interval, and its p."""
    variance = 0.0
    for launches, middles in sides:
        within = statistics.fmean(_error(launch) ** 2 for launch in launches)
        variance += (noise**2 + within) / len(middles)
    error = math.sqrt(variance)
    half = float(ndtri((1 + LEVEL) / 2)) * error
    return Interval(d, d - half, d + half, error, sum(len(m) for _, m in sides)), float(2 * ndtr(-abs(d) / error))


def _error(rounds: Sequence[float]) -> float:
    """Standard error of the logarithm of a median, for normal noise: sqrt(pi / 2) s / sqrt(n); 0 for one round."""
    if len(rounds) < 2:
        return 0.0
    return math.sqrt(math.pi / 2) * statistics.stdev(map(math.log, rounds)) / math.sqrt(len(rounds))


def as_share(d: Interval, better: Better) -> Interval:
    """A difference of logarithms, head minus base, as harm: the change as a share of the base, above 0 where it is worse:
    head / base - 1 of times, 1 - head / base of rates."""
    mean, low, high = (None if v is None else math.expm1(v) for v in (d.mean, d.low, d.high))
    assert mean is not None
    if better == "higher":
        mean, low, high = -mean, None if high is None else -high, None if low is None else -low
    return Interval(mean, low, high, d.sd, d.n)

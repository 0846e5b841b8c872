"""The speed gate: is this revision slower than that one, or does the machine only say so?

Two runs of a benchmark one after another differ by what else the machine did: identical code then fails a "10 % slower"
check one time in five. So both revisions are run in one session, in turns A B B A, each time in a fresh process.
Symbols: ``a_j``, ``b_j`` the value of one benchmark in the j-th launch of BASE and HEAD (see `latentbench.gate.launcher`).

    aside       the slowest 60 % of the launches of either side. What disturbs a launch only adds: where two cores are
                halves of one, as on most rented machines, work on the other makes a launch take 1.6 times longer, so
                that times lie in two heaps. With more than two in five launches undisturbed, only the lower heap counts
    m           mean of the ln b_j that are left over that of the ln a_j
    harm        e^m - 1: .05 is 5 % slower, or 5 % more memory
    p           of "m is 0": Welch's t with Yuen's errors for what was set aside (`intervals.welch`)
    looks       after 8, 12, 18, 26 and 38 pairs; each look may spend a fifth of the familywise .25 %
    worse       Holm-adjusted over all benchmarks, and beyond the threshold (see `latentbench.comparing.change`)
    stop        when one benchmark is worse, or when none can be (the interval ends below the threshold); or when the
                time is up

Which of a pair goes first alternates in blocks of A B B A or B A A B, drawn at random: an order that always favours one
side biases identical code by up to a tenth. A fixed reference workload runs in every launch: where its own ratio moves,
the machine treated the two sides differently, and no verdict stands.
"""

from __future__ import annotations

import math
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from latentbench.comparing.benchmark_files import THRESHOLD, as_share
from latentbench.comparing.change import FAMILYWISE, Change, amount, decide, finding
from latentbench.gate.checkouts import TREE, Checkout, check_out, git, lay_over, repository, resolve
from latentbench.gate.launcher import (
    CLOCKS,
    MEMORY,
    REFERENCE,
    REFERENCE_FILE,
    REFERENCE_SOURCE,
    Clock,
    Launch,
    Launcher,
)
from latentbench.refusals import unknown
from latentbench.stats.findings.finding import Finding
from latentbench.stats.intervals import lower, t_interval, welch

LOOKS = (8, 12, 18, 26, 38)
"""Numbers of pairs after which a decision is tried."""
ASIDE = 0.6
"""Share of the slowest launches of a side that is set aside. In sessions resampled from launches of equal code while
another process came and went on the other core: 86 % of 10 % slowdowns caught with .6, 82 % with .5, and 42 % with
paired ratios of which a fifth was set aside at either end."""
SECONDS = 270.0
"""Wall time after which no further pair is begun."""

Pair = tuple[Launch, Launch]
"""Neighbouring launches of BASE and HEAD, whichever ran first."""


@dataclass(frozen=True)
class Gate:
    """What is asked: ``base`` and ``head`` revisions, the ``suite`` of benchmarks (relative to the repository),
    ``only`` some of them (pytest's ``-k``), ``threshold`` of harm for all and ``thresholds`` for some benchmarks by name, ``seconds`` of wall time, ``seed`` of the visiting order, the ``clock`` that counts."""

    base: str
    head: str = TREE
    suite: Path = Path("benchmarks")
    only: str = ""
    threshold: float = THRESHOLD
    thresholds: Mapping[str, float] = field(default_factory=dict)
    seconds: float = SECONDS
    seed: int = 0
    clock: Clock = "cpu"


@dataclass(frozen=True)
class Decision:
    """What came out: every benchmark's change, the reference's, the pairs behind them, why it stopped."""

    changes: tuple[Change, ...]
    reference: Change | None
    pairs: tuple[Pair, ...]
    stopped: str
    base: str = ""
    head: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every benchmark's change as a finding on the cost: ``head`` compared with ``base``."""
        return tuple(finding(c, self.base, self.head, "cost") for c in self.changes)


def order(seed: int) -> Iterator[bool]:
    """For pair after pair, whether BASE goes first: blocks of two pairs, A B B A or B A A B at random."""
    rng = random.Random(seed)
    while True:
        first = rng.random() < 0.5
        yield first
        yield not first


def judge(pairs: Sequence[Pair], gate: Gate, looks: int = len(LOOKS)) -> tuple[list[Change], Change | None]:
    """Changes of all benchmarks with verdicts, and that of the reference workload (None where it did not run).

    Each of ``looks`` looks at growing data spends an equal part of the familywise error (Bonferroni): the chance that
    any of them calls equal revisions worse stays below it.
    """
    names = dict.fromkeys(name for pair in pairs for launch in pair for name in launch.values)
    rows = [_change(name, pairs, gate) for name in names if name != REFERENCE]
    reference = _change(REFERENCE, pairs, gate) if REFERENCE in names else None
    decided = decide(rows, FAMILYWISE / looks)
    if reference is not None:
        reference = decide([reference], 0.01)[0]
        if reference.verdict in ("worse", "better"):
            why = "the reference workload, the same on both sides, changed too: the machine did not treat them alike"
            moved = ("reference moved",)
            decided = [replace(c, verdict="unknown", reason=why, reason_codes=moved) for c in decided]
    return decided, reference


def _change(name: str, pairs: Sequence[Pair], gate: Gate) -> Change:
    both = [(a.values[name], b.values[name]) for a, b in pairs if name in a.values and name in b.values]
    blank = Change("", name, "bytes" if name == MEMORY else "s", "lower", relative=True)
    blank = replace(blank, threshold=gate.thresholds.get(name, gate.threshold))
    if not both:
        side = "BASE" if all(name not in a.values for a, _ in pairs) else "HEAD"
        return blank.barred(f"it did not run at {side}", "one side only")
    if len(both) < len(pairs):
        return blank.barred(f"it ran in {len(both)} of {len(pairs)} pairs only", "some launches only")
    base, head = zip(*both, strict=True)
    unpaired = welch(map(math.log, head), map(math.log, base), aside=ASIDE)
    harm = as_share(unpaired.difference, blank.better)
    usual = [math.exp(t_interval(lower(map(math.log, side), ASIDE)).mean) for side in (base, head)]
    return replace(blank, base=usual[0], head=usual[1], harm=harm, p=unpaired.p)


def carry_out(gate: Gate, launch: Callable[[Checkout], Launch], sides: tuple[Checkout, Checkout]) -> Decision:
    """Launch pair after pair until every benchmark is decided or the time is up.

    Raises ValueError where the time does not suffice for the first look: fewer pairs decide nothing.
    """
    began = time.monotonic()
    pairs: list[Pair] = []
    for base_first in order(gate.seed):
        one, two = (launch(side) for side in (sides if base_first else sides[::-1]))
        pairs.append((one, two) if base_first else (two, one))
        spent = time.monotonic() - began
        a_pair = spent / len(pairs)
        if len(pairs) < LOOKS[0]:
            if LOOKS[0] * a_pair > gate.seconds:
                raise ValueError(
                    f"gate: a pair of launches takes {a_pair:.0f} s, and {LOOKS[0]} pairs do not fit into "
                    f"{gate.seconds:.0f} s: choose fewer benchmarks (--only) or more time (--minutes)"
                )
            continue
        over = len(pairs) >= LOOKS[-1] or spent + a_pair > gate.seconds
        if len(pairs) not in LOOKS and not over:
            continue
        changes, reference = judge(pairs, gate)
        why = _settled(changes) or (over and "the time was up, or the last look done")
        if why:
            base, head = (side.label for side in sides)
            return Decision(tuple(changes), reference, tuple(pairs), why, base, head, spent)
    raise AssertionError("the order of pairs never ends")


def _settled(changes: Sequence[Change]) -> str:
    """Why no further pair can change the gate's answer; empty where one can."""
    if any(c.verdict == "worse" for c in changes):
        return "a benchmark is worse"
    if all(c.harm is None or (c.harm.high is not None and c.harm.high <= c.threshold) for c in changes):
        return "no benchmark is worse by more than its threshold"
    return ""


def run_gate(gate: Gate, folder: Path) -> Decision:
    """Check out both revisions of the repository that ``folder`` lies in, run, decide.

    Raises ValueError for what cannot be: no repository, no such revision, no suite, benchmarks that do not run.
    """
    if find_spec("pytest_benchmark") is None:
        raise ValueError("gate: pytest-benchmark is not installed; pip install 'latentbench[bench]'")
    root = repository(folder)
    suite = _suite(root, gate.suite)
    shas = resolve(root, gate.base, "--base"), resolve(root, gate.head, "--head")
    with _side_by_side(root, (gate.base, gate.head), shas) as sides:
        for side in sides:
            lay_over(suite, side, gate.suite)
            place = side.root / (gate.suite if suite.is_dir() else gate.suite.parent)
            (place / REFERENCE_FILE).write_text(REFERENCE_SOURCE, "utf-8")
        decision = carry_out(gate, Launcher(gate.suite, gate.only, gate.clock), sides)
    return replace(decision, notes=tuple(_notes(root, gate, shas)))


def _suite(root: Path, asked: Path) -> Path:
    """The benchmarks in the repository at ``root``. Raises ValueError where they are not in it, and where they are all of
    it or hold its own files: laid over both sides they would make them one."""
    if not str(asked).strip() or asked.is_absolute() or ".." in asked.parts:
        raise ValueError(f"gate: --suite {str(asked)!r} is not a path inside {root}")
    suite = root / asked
    try:
        real, top = suite.resolve(), root.resolve()
    except (OSError, RuntimeError):
        raise ValueError(f"gate: --suite {asked} cannot be followed") from None
    if not suite.exists():
        raise ValueError(f"gate: --suite {asked} is not in {root}")
    if top.is_relative_to(real):
        raise ValueError(f"gate: --suite {asked} is the whole repository; name the folder of its benchmarks")
    if not real.is_relative_to(top):
        raise ValueError(f"gate: --suite {asked} lies outside {root}")
    if real.is_relative_to(top / ".git"):
        raise ValueError(f"gate: --suite {asked} is git's own")
    return suite


def _notes(root: Path, gate: Gate, shas: tuple[str, str]) -> Iterator[str]:
    if shas[0] == shas[1]:
        yield 'both sides are the same revision: every verdict but "same" is an error of the gate'
    if gate.head == TREE and (untracked := git(root, "ls-files", "--others", "--exclude-standard")):
        count = len(untracked.splitlines())
        yield f"{count} untracked file{'s' * (count > 1)} of the working tree took no part, the benchmarks aside"


@contextmanager
def _side_by_side(root: Path, names: tuple[str, str], shas: tuple[str, str]) -> Iterator[tuple[Checkout, Checkout]]:
    """Both revisions in folders whose paths are equally long: a path's length moves what lies in memory after it."""
    home = Path(tempfile.mkdtemp(prefix="latentbench-gate-"))
    try:
        a, b = (check_out(root, n, s, home / side) for n, s, side in zip(names, shas, "ab", strict=True))
        yield a, b
    finally:
        shutil.rmtree(home, ignore_errors=True)


def thresholds(given: Sequence[str]) -> tuple[float, dict[str, float]]:
    """The threshold of all benchmarks and those of some by name, from texts such as ``10%`` and ``test_epoch=20%``.
    Raises ValueError for one that is no share: the gate knows ratios only."""
    every, some = THRESHOLD, {}
    for text in given:
        name, _, share = text.rpartition("=")
        value, percent = amount(share, text)
        if not percent:
            raise ValueError(f"threshold: {text!r} is not a share of the base; the gate compares ratios: give 5%")
        if name:
            some[name] = value
        else:
            every = value
    return every, some


def number(option: str, text: str, least: float, most: float) -> float:
    """A number within its range. Raises ValueError, naming the option, for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ValueError(f"gate: {option} {text!r} is not a number from {least:g} to {most:g}")
    return value


def clock(name: str) -> Clock:
    """The clock of that name. Raises ValueError for another one."""
    if name not in CLOCKS:
        raise unknown("clock", name, CLOCKS)
    return name

"""Two runs of the same question: what became better, worse, stayed the same, or cannot be told.

A metric of a model is compared where both sides measured the same thing: dataset, model spec, metric with its
parameters, split and latent size. Symbols: ``b(v)`` the badness of a value (lower is better, whatever the direction; the
distance to the target where there is one); ``h`` the harm, the mean of ``b(head) - b(base)``.

    two seeds or more in common     paired by seed: the t-interval of the differences
    else                            Welch's t of the two sets of seeds
    threshold                       the larger of 5 % of |mean at base| and, for shares, 1 % of the width of their bounds
    exact counts (cost.*)           compared as they are
    timings                         only on one machine, by `benchmark_files.ratio`: each run is one launch

Baselines, floors, ceilings, null values and the judge are the instrument, not the claim: they get no verdict. What
failed its self-check on either side stays unknown. `changes.decide` gives the verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from latentbench import records
from latentbench.comparing import benchmark_files
from latentbench.comparing.change import FAMILYWISE, Change, amount, decide, finding
from latentbench.comparing.matching import Key, Matched, alone, change, identity, is_claim, labels, measure, twins
from latentbench.config import execution_options
from latentbench.records import BY_SECOND, JUDGE, SECOND_JUDGE, Kept, Record
from latentbench.refusals import unknown
from latentbench.run_folder import RunFiles
from latentbench.run_info import RunInfo, find_run_info
from latentbench.stats.cells import Cell, summarise
from latentbench.stats.findings.finding import Finding
from latentbench.stats.findings.listing import question

MACHINE = ("cpu", "cores", "gpu", "threads", "device", "torch")
"""What must be equal for two timings to be compared."""
SESSIONS = (
    "Timings of two runs are one launch each, at different times, and get a verdict only where they differ several times "
    "over: `latentbench gate` runs both revisions in turns and can tell more."
)


@dataclass(frozen=True)
class Threshold:
    """The least change worth a verdict: a share of the base's magnitude where ``relative``, else in the metric's unit."""

    value: float
    relative: bool

    def of(self, base: float) -> float:
        """In the metric's unit."""
        return self.value * abs(base) if self.relative else self.value


@dataclass(frozen=True)
class Comparison:
    """``base`` and ``head`` name the two sides, ``notes`` say what else differs between them; ``definitions`` are what
    head's run declares of its metrics, empty for timings of benchmarks."""

    base: str
    head: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Both sides in a line."""
        return f"{self.head} against {self.base}"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every change as a finding, in their order."""

        def filed(c: Change) -> str:
            return "cost" if c.metric == benchmark_files.METRIC else question(c.metric, self.definitions)

        return tuple(finding(c, self.base, self.head, filed(c)) for c in self.changes)


def parse_thresholds(words: Iterable[str]) -> dict[str, Threshold]:
    """``METRIC=5%`` (of the base) and ``METRIC=.02`` (in its unit). Raises ValueError for anything else."""
    out = {}
    for word in words:
        name, equals, text = word.rpartition("=")
        if not (name.strip() and equals):
            raise ValueError(f"threshold: {word!r} names no metric; METRIC=5% of the base, or METRIC=.02 in its unit")
        out[name.strip()] = Threshold(*amount(text.strip(), word))
    return out


def compare(
    base: Path, head: Path, thresholds: Mapping[str, Threshold] | None = None, alpha: float = FAMILYWISE
) -> Comparison:
    """Compare two run folders, or two pytest-benchmark JSON files or folders of them.

    Raises ValueError, one line naming what differs, where the two cannot be compared: a folder that is neither, one of
    each kind, other data under the same name, timings of different machines, nothing in common, a threshold of a metric
    that neither has.
    """
    sides = RunFiles(base), RunFiles(head)
    for side in sides:
        if not side.path.exists():
            raise ValueError(f"compare: {side.path} does not exist")
    runs = [s.read_records("compare") if s.is_run or s.is_unfinished else None for s in sides]
    if runs[0] is not None and runs[1] is not None:
        return compare_records(runs[0], runs[1], thresholds, alpha, (str(base), str(head)))
    if runs[0] is not None or runs[1] is not None:
        other = base if runs[0] is None else head
        raise ValueError(f"compare: a run folder and timings cannot be compared: {other} holds no records.jsonl")
    before, after = benchmark_files.read(base), benchmark_files.read(head)
    rows = benchmark_files.changes(before, after)
    if all(c.harm is None for c in rows):
        raise ValueError(f"compare: {base} and {head} have no benchmark in common")
    notes = () if min(len(before), len(after)) > 1 else (benchmark_files.ALLOWANCE,)
    return Comparison(str(base), str(head), tuple(decide(_with(rows, thresholds or {}), alpha)), notes)


def compare_records(
    base: Sequence[Record],
    head: Sequence[Record],
    thresholds: Mapping[str, Threshold] | None = None,
    alpha: float = FAMILYWISE,
    names: tuple[str, str] = ("base", "head"),
) -> Comparison:
    """The same for records at hand. Raises ValueError as `compare` does."""
    base, head = Kept(base), Kept(head)
    records.same_data(base, head)
    machine = _machines(base, head)
    b, h = ({identity(c): c for c in summarise(side) if is_claim(c)} for side in (base, head))
    label = labels([*b.values(), *h.values()])
    if not b.keys() & h.keys():
        raise ValueError(f"compare: {names[0]} and {names[1]} measured nothing in common: {_apart(b, h)}")
    pairs = _matched(b, h, machine)
    definitions = (find_run_info(head) or RunInfo()).definitions
    judges = _judges_that_differ(base, head)
    matched = {key: _judged(m, judges, definitions) for key, m in pairs.items() if m is not None}
    asked = _with([replace(m.change, subject=label[key]) for key, m in matched.items()], thresholds or {})
    decided = [
        replace(c, verdict="worse") if m.lost else c
        for c, m in zip(decide(asked, alpha), matched.values(), strict=True)
    ]
    notes = [*_notes(base, head, b, h), *([SESSIONS] if any(c.relative for c in decided) else [])]
    return Comparison(*names, tuple(decided), tuple(notes), definitions)


def _matched(b: Mapping[Key, Cell], h: Mapping[Key, Cell], machine: str) -> dict[Key, Matched | None]:
    """What each cell of either side comes to."""
    out: dict[Key, Matched | None] = {}
    of_base, of_head = twins(b.values()), twins(h.values())
    for key in dict.fromkeys([*b, *h]):
        if key in b and key in h:
            out[key] = change(b[key], h[key], machine)
        elif key in b:
            out[key] = alone(b[key], "base", of_head.get(measure(b[key])), b, h)
        else:
            out[key] = alone(h[key], "head", of_base.get(measure(h[key])), b, h)
    return out


def _machines(base: Sequence[Record], head: Sequence[Record]) -> str:
    """In what the machines differ; empty where both are described alike."""
    described = []
    for side in (base, head):
        info = find_run_info(side)
        if info is None or not info.environment:
            return "not recorded"
        described.append({name: info.environment.get(name) for name in MACHINE})
    return benchmark_files.difference(*described)


def _checks_of_judges(side: Sequence[Record]) -> dict[str, float | None]:
    """What was measured of each judge, by its name and the metric."""
    return {f"{c.model} {c.metric}": c.values.get(None) for c in summarise(side) if c.role == "judge"}


def _judges_that_differ(base: Sequence[Record], head: Sequence[Record]) -> frozenset[str]:
    """The names of the judges that both sides have and that do not measure alike: trained anew from another seed or by other
    code, or on a processor whose last digits are others."""
    before, after = map(_checks_of_judges, (base, head))
    return frozenset(key.partition(" ")[0] for key in before.keys() & after.keys() if before[key] != after[key])


def _judged(m: Matched, judges: frozenset[str], definitions: Mapping[str, Mapping[str, Any]]) -> Matched:
    """A change of what another judge measured says nothing of the model: the level of a valid share is the judge's own, and
    between judges of two seeds it moves by a tenth, alike for every seed of the model."""
    metric = m.change.metric
    name = SECOND_JUDGE if metric.endswith(BY_SECOND) else JUDGE
    about = definitions.get(metric.removesuffix(BY_SECOND), {})
    if m.lost or m.change.harm is None or name not in judges or "judge" not in (about.get("needs") or ()):
        return m
    return Matched(m.change.barred("the judge differs, and with it what it scores", "judge differs"))


def _apart(b: Mapping[Key, Cell], h: Mapping[Key, Cell]) -> str:
    """The first field in which no cell of one side meets one of the other."""
    if not b or not h:
        return f"{'base' if not b else 'head'} measured no model"
    for place, name in enumerate(("dataset", "model", "metric", "metric_params", "split", "latent_dim")):
        of_base, of_head = (sorted({k[place] for k in side}) for side in (b, h))
        if not set(of_base) & set(of_head):
            return f"{name} {', '.join(of_base[:5])} against {', '.join(of_head[:5])}"
    return "no metric of a model on both sides"


def _with(changes: Sequence[Change], thresholds: Mapping[str, Threshold]) -> list[Change]:
    """The changes with the thresholds that were asked for, by metric or, for timings, by benchmark."""
    names = {n for c in changes for n in (c.metric, *((c.subject,) if c.metric == benchmark_files.METRIC else ()))}
    if missing := [n for n in thresholds if n not in names]:
        raise unknown("metric of a threshold", missing[0], names)
    out = []
    for c in changes:
        asked = thresholds.get(c.subject) if c.metric == benchmark_files.METRIC else None
        asked = asked or thresholds.get(c.metric)
        if asked is not None:
            size = abs(c.base or 0.0)
            threshold = asked.of(size) / (size or 1.0) if c.relative else asked.of(size)
            c = replace(c, threshold=threshold)
        out.append(c)
    return out


def _notes(base: Sequence[Record], head: Sequence[Record], b: Mapping[Key, Cell], h: Mapping[Key, Cell]) -> list[str]:
    """What differs between the sides and is no reason to refuse: parameters, training, versions, the judge."""
    out = []
    before_params, after_params = ({c.model: c.params for c in reversed(list(side.values()))} for side in (b, h))
    for model in dict.fromkeys(c.model for c in h.values()):
        sides = before_params.get(model), after_params[model]
        if sides[0] is not None and (fields := benchmark_files.difference(sides[0], sides[1])):
            out.append(f"parameters of {model} differ: {fields}")
    before, after = (find_run_info(side) or RunInfo() for side in (base, head))
    # Which models and seeds there are is compared cell by cell; how a run was carried out changes no number.
    left_out = {"models", "seeds", *execution_options()}
    configs = ({k: v for k, v in info.config.items() if k not in left_out} for info in (before, after))
    if fields := benchmark_files.difference(*configs):
        out.append(f"config differs: {fields}")
    if fields := benchmark_files.difference(before.environment, after.environment):
        out.append(f"environment differs: {fields}")
    if fields := benchmark_files.difference(*map(_checks_of_judges, (base, head))):
        out.append(f"the judge differs, and with it what it scores: {fields}")
    return out

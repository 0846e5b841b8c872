"""Differences between the runs of a page: what was asked otherwise, then every headline measure with its change and interval.

Each run is compared with the first one by `latentbench.comparing.runs`, whose rule `latentbench compare` follows too: paired
by seed where two seeds or more are in both, and every verdict adjusted for all measures that were compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from latentbench.comparing.change import FAMILYWISE, Change, ChangeVerdict
from latentbench.comparing.runs import compare_records
from latentbench.config import execution_options
from latentbench.report.columns import Column
from latentbench.report.folder import RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.findings.answers import WHAT
from latentbench.report.wording.intervals import between
from latentbench.report.wording.language import marked, plural, say
from latentbench.report.wording.phrases import phrase
from latentbench.stats.findings.choices import HINGES

VERDICTS: Mapping[ChangeVerdict, str] = {
    "better": marked("better"), "worse": marked("worse"), "same": marked("the same"), "unknown": marked("not told"),
}  # fmt: skip
SIGNS: Mapping[ChangeVerdict, str] = {"better": "●", "worse": "○", "same": "=", "unknown": "–"}
WHY = marked({
    "judge differs": "another judge, whose level is its own",
    "one side only": "only one run has it",
    "protocol differs": "measured in another way",
    "self-check failed": "the measure failed its self-check",
    "other likelihood": "nats of other likelihoods",
    "fails more": "it fails at more seeds",
    "machine differs": "another machine",
    "unsteady timing": "the timings cannot rank",
    "failed": "it failed in one run",
    "skipped": "skipped in one run",
    "no judge": "there was no judge",
    "no labels": "there were no labels",
    "judge refused": "the judge failed its self-check",
    "one value": "one value has no interval",
    "at the threshold": "by more or less than the threshold, cannot be told",
    "wide": "it may not have changed at all",
    "not adjusted": "beyond doubt alone, not among all the measures compared",
    "no direction": "neither more nor less of it is better",
})  # fmt: skip
"""Why a change has no verdict, by the codes of `latentbench.stats.findings.finding.CAVEATS`."""
OPEN = 16
"""Rows of a table that stand open; where there are more the rest is folded."""


class Option(NamedTuple):
    """One option that differs, with its value in each run."""

    name: str
    values: Sequence[str]


class Line(NamedTuple):
    """One measure of one model in two runs: its ``verdict`` as a code, a ``sign`` and a ``word``."""

    model: str
    column: Column | None
    noun: str
    metric: str
    base: str
    head: str
    difference: str
    seeds: str
    verdict: ChangeVerdict
    sign: str
    word: str
    why: str


class Pair(NamedTuple):
    """A run beside the first: a ``headline`` in a sentence, the ``lines`` that stand open, and the ``rest``; ``missing``:
    why there are none."""

    base: str
    head: str
    headline: str
    lines: Sequence[Line]
    rest: Sequence[Line]
    method: str
    missing: str


def options(runs: Sequence[RunFolder]) -> list[Option]:
    """What was asked, or made, otherwise in one run than in another; nothing that changes no number."""
    left_out = execution_options()
    every = [_settings(run, left_out) for run in runs]
    names = dict.fromkeys(name for settings in every for name in settings)
    differing = [n for n in names if len({words.plain(s.get(n)) for s in every}) > 1]
    return [Option(n, [words.plain(s.get(n)) for s in every]) for n in differing]


def _settings(run: RunFolder, left_out: Iterable[str]) -> dict[str, Any]:
    config = {k: v for k, v in (run.detail.get("config") or {}).items() if k not in left_out}
    return {**config, "latentbench": run.detail.get("version"), "sha256": run.dataset_hash[:12] or None}


def headline_metrics(definitions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The measures that a page's headlines rest on, as a run declares them; without a declaration the usual ones."""
    declared = [metric for metric, about in definitions.items() if (about or {}).get("headline")]
    return declared or [metric for rows in HINGES.values() for metric, _ in rows]


def pair(base: RunFolder, head: RunFolder, columns: Sequence[Column]) -> Pair:
    """The second run beside the first."""
    names = (base.label, head.label)
    try:
        found = compare_records(base.records, head.records, names=names)
    except ValueError:
        text = marked("{base} and {head} cannot be compared: other data under one name, or nothing that both measured.")
        return Pair(*names, "", (), (), "", say(text, base=base.label, head=head.label))
    metrics = {metric: k for k, metric in enumerate(headline_metrics(found.definitions))}
    kept = [c for c in found.changes if c.metric in metrics and not c.subject.endswith(TRAIN)]
    kept.sort(key=lambda c: metrics[c.metric])
    of_head = {c.model: c for c in columns if c.run is head}
    lines = [_line(c, found.definitions, of_head) for c in kept]
    told = [line for line in lines if line.difference]
    without = [line for line in lines if not line.difference]
    ordered = [*told, *without] if len(lines) > OPEN else lines
    return Pair(
        *names,
        headline(kept, *names),
        ordered[:OPEN],
        ordered[OPEN:],
        say(
            "Change: {head} minus {base}, with its 95 % interval, paired by seed where both have two or more. Better and "
            "worse: beyond the least change that matters, with p, adjusted for all {n} measures compared (Holm), at most "
            "{alpha} %.",
            base=base.label,
            head=head.label,
            n=len(found.changes),
            alpha=f"{100 * FAMILYWISE:g}",
        ),
        "",
    )


TRAIN = "(train)"
"""How a subject ends that is told by its split, on the training images."""


def headline(changes: Sequence[Change], base: str, head: str) -> str:
    """How many headline measures became better, worse, stayed, or cannot be told."""
    if not changes:
        return say("{base} and {head} share no headline measure.", base=base, head=head)
    counts = {v: sum(c.verdict == v for c in changes) for v in VERDICTS}
    lead = plural(
        "Of {n} headline measure of a model: {counts}.",
        "Of {n} headline measures of models: {counts}.",
        len(changes),
        counts=words.commas(f"{n} {say(VERDICTS[v])}" for v, n in counts.items() if n),
    )
    better, worse = ([c.name for c in changes if c.verdict == v] for v in ("better", "worse"))
    clauses = [
        say(text, head=head, names=words.commas(names[:4]) + (" …" if len(names) > 4 else ""))
        for text, names in ((marked("better in {head}: {names}"), better), (marked("worse in {head}: {names}"), worse))
        if names
    ]
    return (
        say(" ")
        .join([lead, words.clauses(clauses)[:1].upper() + words.clauses(clauses)[1:] + "." if clauses else ""])
        .strip()
    )


def _line(c: Change, definitions: Mapping[str, Mapping[str, Any]], columns: Mapping[str, Column]) -> Line:
    d = c.difference
    why = next((say(WHY[code]) for code in _codes(c) if code in WHY), "") if c.verdict == "unknown" else ""
    model = next((m for m in columns if c.subject == m or c.subject.startswith(f"{m} (")), c.subject)
    return Line(
        model if c.subject == f"{model} (test)" else c.subject,
        columns.get(model),
        say(WHAT[c.metric]) if c.metric in WHAT else phrase(c.metric, definitions).noun,
        c.metric,
        words.quantity(c.base, c.unit),
        words.quantity(c.head, c.unit),
        between(d) if d else "",
        str(d.n) if d else "",
        c.verdict,
        SIGNS[c.verdict],
        say(VERDICTS[c.verdict]),
        why,
    )


def _codes(c: Change) -> Sequence[str]:
    """Why a change has no verdict; a wide interval that does not hold 0 misses it by the adjustment alone."""
    apart = c.harm is not None and c.harm.side != 0
    return ["not adjusted" if code == "wide" and apart else code for code in c.reason_codes]


def _context(view: PageView) -> Context | None:
    if not view.several:
        return None
    first, *others = view.runs
    return {
        "runs": [run.label for run in view.runs],
        "options": options(view.runs),
        "pairs": [pair(first, other, view.columns) for other in others],
    }


SECTION = Section("differences", marked("Differences"), "differences.html.jinja", _context, order=220)

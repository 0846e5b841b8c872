"""What changed between two revisions, for a pull request, a job summary and the terminal.

`markdown` says the verdict in a sentence, then what became worse, better, and what nobody can say; what stayed the same
is folded away. `table` is the same for a terminal. Both print the change of the *value*, with its sign, beside the
verdict that its direction gives. What the verdict is, of one change and of all, stands in `latentbench.comparing.change`.

GitHub shows Markdown of up to 65,536 characters in a comment and 1 MiB in a job summary.
"""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.comparing.change import FAMILYWISE, Change, ChangeVerdict, headline, incomparable, of_verdict, overall
from latentbench.files.outputs import MARK
from latentbench.files.plain_text import fields_for_markdown, in_markdown
from latentbench.report.exports.tables import markdown_table
from latentbench.report.wording import words

TITLES: dict[ChangeVerdict, str] = {"worse": "Worse", "better": "Better", "unknown": "Unknown", "same": "Same"}
HEADERS = ("measure", "base", "head", "change", "threshold")
FOLDED = 12
"""Rows of what is unknown that stand open; more are folded away."""
NAMED = 8
"""Names listed of many that share one reason."""
LONGEST = 60_000
"""Characters of a comment; the table of what stayed the same is left out where it would grow beyond."""
TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
SIZES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))


def markdown(changes: Sequence[Change], title: str, notes: Sequence[str] = ()) -> str:
    """The comparison as Markdown. ``title`` names the two sides; ``notes`` are sentences on how it was done."""
    changes = [fields_for_markdown(c, "verdict", "better") for c in changes]
    title, notes = in_markdown(title), [in_markdown(n) for n in notes]
    parts = [f"### {title}", "", f"**{sentence(changes)}** {headline(changes)}.", ""]
    for verdict in ("worse", "better"):
        if group := of_verdict(changes, verdict):
            parts += [f"#### {TITLES[verdict]}", "", _rows(group), ""]
    parts += _unknown(of_verdict(changes, "unknown"))
    tail = ["", *(f"- {n}" for n in (*_remarks(changes), *notes, RULE)), ""]
    same = _folded(f"Same: {len(group)}", [_rows(group)]) if (group := of_verdict(changes, "same")) else []
    if same and sum(map(len, (*parts, *same, *tail))) > LONGEST:
        same = [f"Same: {len(group)}, too many to list.", ""]
    return "\n".join([*parts, *same, *tail, MARK, ""]).replace("\n\n\n", "\n\n")


RULE = (
    f"Worse or better: the change is beyond its threshold and its p-value, adjusted for all changes looked at (Holm), is "
    f"at most {FAMILYWISE:g}, so that one comparison in {1 / FAMILYWISE:.0f} raises a false alarm. Same: the 95 % interval "
    "lies within the threshold."
)


def sentence(changes: Sequence[Change]) -> str:
    """The verdict in a sentence: what a reader must know if he reads no further."""
    verdict = overall(changes)
    named = _some([_change_of(c) for c in of_verdict(changes, verdict)])
    return {
        "worse": f"Worse: {named}.",
        "unknown": "Nothing can be said: no change is known.",
        "better": f"Nothing is worse. Better: {named}.",
        "same": "Nothing is worse.",
    }[verdict]


def table(changes: Sequence[Change], same: bool = False) -> tuple[Sequence[str], list[list[str]]]:
    """Headers and rows for a terminal: worse, better, then those unknown that have an interval; with ``same`` also the
    rest that has one."""
    shown = ("worse", "better", "unknown", *(("same",) if same else ()))
    return ("verdict", *HEADERS), [
        [c.verdict, c.name, *_cells(c)]
        for verdict in shown
        for c in of_verdict(changes, verdict)
        if c.harm is not None or verdict != "unknown"
    ]


def without(changes: Sequence[Change]) -> list[str]:
    """A line for each reason that leaves changes without an interval, with the names."""
    return [f"{reason}: {_some([c.name for c in found])}" for reason, found in incomparable(changes).items()]


def _unknown(changes: Sequence[Change]) -> list[str]:
    """What nobody can say, in two parts: with an interval that is too wide, and with nothing to compare."""
    if not changes:
        return []
    measured = [c for c in changes if c.harm is not None]
    body = []
    if measured:
        rows = [[*_row(c), c.reason] for c in measured]
        body += [markdown_table([*HEADERS, "why"], rows), ""]
    body += [f"- {line}" for line in without(changes)]
    if len(measured) + len(incomparable(changes)) > FOLDED:
        return _folded(f"Unknown: {len(changes)}", body)
    return [f"#### {TITLES['unknown']}", "", *body, ""]


def _folded(title: str, body: Sequence[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *body, "", "</details>", ""]


def _rows(changes: Sequence[Change]) -> str:
    return markdown_table(HEADERS, [_row(c) for c in changes])


def _row(c: Change) -> list[str]:
    name = f"`{c.metric}`" + (f" of {c.subject}" if c.subject else "")
    return [name, *_cells(c)]


def _cells(c: Change) -> list[str]:
    """Base, head, change with its interval, threshold."""
    return [value(c.base, c.unit), value(c.head, c.unit), _moved(c), _threshold(c)]


def value(number: float | None, unit: str) -> str:
    """A value for a reader; times and sizes in the unit that suits them."""
    scales = {"s": TIMES, "seconds": TIMES, "B": SIZES, "bytes": SIZES}.get(unit)
    if number is None or scales is None:
        return words.quantity(number, unit)
    scale, name = next(((k, n) for k, n in scales if abs(number) >= k), scales[0] if number == 0 else scales[-1])
    return f"{words.number(number / scale)}{words.THIN}{name}"


def _moved(c: Change) -> str:
    """The change of the value, head minus base, with its interval."""
    d = c.difference
    if d is None:
        return c.reason if c.verdict == "worse" else words.number(None)
    parts = [_signed(d.mean, c)]
    if d.low is not None and d.high is not None:
        parts.append(f"[{_signed(d.low, c)}, {_signed(d.high, c)}]")
    if c.better == "target":
        parts.append("from the target")
    return " ".join(parts)


def _signed(number: float, c: Change) -> str:
    text = f"{words.number(100 * number, 1)}{words.THIN}%" if c.relative else value(number, c.unit)
    return f"+{text}" if number > 0 else text


def _threshold(c: Change) -> str:
    """The least change worth a verdict; nothing where no verdict was possible."""
    if c.harm is None:
        return ""
    return f"{words.tidy(100 * c.threshold)}{words.THIN}%" if c.relative else value(c.threshold, c.unit)


def _change_of(c: Change) -> str:
    if c.base is None or c.head is None:
        return f"{c.name} ({c.reason})" if c.reason else c.name
    return f"{c.name} ({value(c.base, c.unit)} → {value(c.head, c.unit)})"


def _some(names: Sequence[str]) -> str:
    """The first few names and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _remarks(changes: Sequence[Change]) -> list[str]:
    """What stands beside single changes, each remark once with the names it holds for."""
    out: dict[str, list[str]] = {}
    for c in changes:
        if c.note:
            out.setdefault(c.note, []).append(c.name)
    return [f"{note}: {_some(names)}" for note, names in out.items()]

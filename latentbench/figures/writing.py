"""A run's figures as files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentbench import records
from latentbench.figures import (
    FORMATS,
    NAMES,
    completeness,
    continuity,
    frontier,
    holes,
    maps,
    posterior,
    scores,
    training,
)
from latentbench.figures import look as looks
from latentbench.figures.drawn import Drawn, Subject, letters
from latentbench.figures.look import Look
from latentbench.files.plain_text import in_spreadsheet, one_line
from latentbench.records import Kept, Record
from latentbench.refusals import unknown
from latentbench.report import folder as folders
from latentbench.report.folder import Absent, RunFolder
from latentbench.report.wording import language, subject
from latentbench.run_folder import RunFiles, unused

FIGURES = {
    f.name: f.draw
    for f in (
        scores.FIGURE, continuity.FIGURE, completeness.FIGURE, holes.FIGURE, maps.FIGURE, posterior.FIGURE, frontier.FIGURE,
        training.FIGURE,
    )
}  # fmt: skip
CAPTIONS = "captions.md"


@dataclass(frozen=True)
class WrittenFigure:
    """The ``folder`` with the figures' ``files``, and what was ``left_out``: name of a figure -> why."""

    folder: Path
    files: Sequence[Path]
    left_out: dict[str, str]


def write(
    folder: Path, out: Path | None, formats: Sequence[str], width: str, style: str, names: Sequence[str]
) -> WrittenFigure:
    """See `latentbench.figures.write`."""
    look = looks.look(width, style)
    if not formats:
        raise ValueError(f"format: none is named (allowed: {', '.join(FORMATS)})")
    for format_ in formats:
        if format_ not in FORMATS:
            raise unknown("format", format_, FORMATS)
    for name in names:
        if name not in NAMES:
            raise unknown("figure", name, NAMES)
    run = read(folder)
    place = unused(Path(out) if out is not None else run.path / "figures")
    made, left_out = _draw_all(run, look, names)
    if not made:
        name, why = next(iter(left_out.items()))
        raise ValueError(f"figures: nothing of {folder} can be drawn: {name}: {why}")
    contents: dict[str, bytes] = {}
    with looks.drawing(look):
        for name, drawn in made.items():
            contents |= {f"{name}.{format_}": looks.encode(drawn.figure, format_) for format_ in dict.fromkeys(formats)}
            contents[f"{name}.csv"] = _csv(drawn).encode()
    contents[CAPTIONS] = captions(run, made, left_out).encode()
    place.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (place / name).write_bytes(content)
    return WrittenFigure(place, [place / name for name in contents], left_out)


def read(folder: Path) -> RunFolder:
    """A run folder. Raises ValueError, one line, where it is none."""
    RunFiles(Path(folder)).read_records("figures")
    (run,) = folders.load([Path(folder)])
    return run


def _draw_all(run: RunFolder, look: Look, names: Sequence[str]) -> tuple[dict[str, Drawn], dict[str, str]]:
    """What can be drawn, and why the rest cannot. Raises ValueError for one that was asked for by name."""
    made, left_out = dict[str, Drawn](), dict[str, str]()
    of = _subject(run, look)
    for name in dict.fromkeys(names or NAMES):
        try:
            made[name] = _draw(of, name, look)
        except Absent as reason:
            if names:
                raise ValueError(f"figures: {name}: {_why(reason)}") from None
            left_out[name] = _why(reason)
    return made, left_out


def draw(run: RunFolder, name: str, width: str, style: str) -> Drawn:
    """One figure. Raises ValueError where it cannot be drawn."""
    look = looks.look(width, style)
    try:
        return _draw(_subject(run, look), name, look)
    except Absent as reason:
        raise ValueError(f"figure '{name}': {_why(reason)}") from None


def _subject(run: RunFolder, look: Look) -> Subject:
    return Subject(run, letters(len(run.models), look.ems))


def _draw(of: Subject, name: str, look: Look) -> Drawn:
    with (
        language.speaking(language.ENGLISH.code),
        subject.about(subject.of_data([of.run.detail])),
        looks.drawing(look),
    ):
        drawn = FIGURES[name](of, look)
        looks.settle(drawn.figure)
    return drawn


def _why(reason: Absent) -> str:
    """A sentence of absence as a clause."""
    text = one_line(str(reason)).removeprefix("Not drawn: ").rstrip(".")
    return text


def run_of(rows: Sequence[Record]) -> RunFolder:
    """Records that lie in no folder, as a run. Raises ValueError where there are none."""
    if not rows:
        raise ValueError("figure: there are no records to draw")
    kept = Kept(rows)
    head = records.run_record(kept)
    declared = [str(m) for m in ((head.detail.get("models") or {}) if head else {})]
    named = {r.model for r in kept if r.is_model}
    order = dict.fromkeys([*declared, *(r.model for r in kept if r.model in named)])
    return RunFolder(Path("."), "", kept, tuple(order), head.detail if head else {})


def captions(run: RunFolder, made: dict[str, Drawn], left_out: dict[str, str]) -> str:
    """The captions, a paragraph a figure, and what was left out."""
    head = records.run_record(run.records)
    version = run.detail.get("version")
    source = f"Run {head.run}" if head is not None and head.run else "A run"
    lines = [f"# Figures\n\n{source}{f', latentbench {version}' if version else ''}.\n"]
    lines += [f"**{name}.** {drawn.caption}\n" for name, drawn in made.items()]
    lines += [f"*Left out: {name}*: {why}.\n" for name, why in left_out.items()]
    return "\n".join(lines)


def _csv(drawn: Drawn) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(drawn.fields)
    writer.writerows([_cell(value) for value in row] for row in drawn.rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return in_spreadsheet(value)

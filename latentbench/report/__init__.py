"""Records to a page: one self-contained HTML file that opens from disk and asks nothing of any network.

`render` draws one run, or several side by side; `write_tables` writes the flat tables beside the records; `write` does
both for one run. They are functions of the run folder alone and need neither torch nor the metrics that made the
records. The libraries that draw are loaded on the first call, or by `load`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from latentbench import records
from latentbench.files.outputs import output_file
from latentbench.machine import uncollected
from latentbench.report.wording import language, subject
from latentbench.run_folder import RunFiles

if TYPE_CHECKING:
    from latentbench.report.folder import RunFolder

__all__ = ["load", "render", "render_history", "write", "write_tables"]


def render(folders: Sequence[Path], out: Path | None = None, lang: str | None = None) -> Path:
    """Write the page of one run folder, or of several side by side, and return its path.

    ``out`` is the file to write: by default ``report.html`` in the folder of a single run, and ``report.html`` in the
    working folder for several. ``lang`` is the language of its prose (``en``, ``zh``), by default the one that the first
    run was asked in. Equal folders give an equal page. Raises ValueError, in one line naming the folder, file or line,
    for a folder that is missing, holds no records.jsonl, or holds one that cannot be read, and for a language that is
    not there.
    """
    from latentbench.report import folder

    if lang is not None:
        language.language(lang)
    return _render(folder.load([Path(f) for f in folders]), out, lang)


def _render(runs: Sequence[RunFolder], out: Path | None, lang: str | None) -> Path:
    from latentbench.report import page

    target = Path(out) if out is not None else RunFiles(runs[0].path if len(runs) == 1 else Path()).page
    if out is None and len(runs) > 1 and target.exists():
        raise ValueError(f"report: {target} is there already; name another file with --out")
    place = output_file("report", target)
    with language.speaking(lang or runs[0].lang), subject.about(subject.of_data([run.detail for run in runs])):
        text = page.html(runs)
    records.write_text(place, text)
    return target


def write_tables(folder: Path, lang: str | None = None) -> None:
    """Write ``summary.md`` and ``results.csv`` beside the records of a run folder, atomically. The summary is written in
    ``lang``, by default the language the run was asked in; the table of numbers is the same in all. Raises ValueError
    where it is not a run folder, or for a language that is not there."""
    from latentbench.report import folder as folders

    (run,) = folders.load([Path(folder)])
    _write_tables(run, lang)


def _write_tables(run: RunFolder, lang: str | None) -> None:
    from latentbench.report.exports import tables

    with language.speaking(lang or run.lang), subject.about(subject.of_data([run.detail])):
        summary = tables.summary_md(run.records)
    RunFiles(run.path).write_tables(summary, tables.results_csv(run.records))


def write(folder: Path, lang: str | None = None) -> Path:
    """Write all that is derived from the records of one run folder, tables and page, and return the page's path; see
    `write_tables` and `render`."""
    from latentbench.report import folder as folders

    if lang is not None:
        language.language(lang)
    runs = folders.load([Path(folder)])
    _write_tables(runs[0], lang)
    return _render(runs, None, lang)


def render_history(folders: Sequence[Path], out: Path | None = None, lang: str | None = None) -> tuple[Path, list[str]]:
    """Write the page of many runs in a row, in this order, and return its path with a line for each change point.

    ``out`` is the file to write, by default ``history.html`` in the working folder, which must not be there. ``lang`` is
    the language of its prose, by default English. Raises ValueError, in one line, for fewer than two run folders, one
    that cannot be read, or other data under the same name.
    """
    from latentbench.comparing import history as revisions_of
    from latentbench.report import history

    target = Path(out) if out is not None else Path("history.html")
    revisions = revisions_of.read([Path(f) for f in folders])
    if out is None and target.exists():
        raise ValueError(f"compare: {target} is there already; name another file with --out")
    series = revisions_of.series(revisions)
    with language.speaking(lang or language.ENGLISH.code):
        history.write(folders, target, revisions, series)
    return target, revisions_of.sentences(revisions, series)


def load() -> None:
    """Have ready what the page and the tables take, more than a second's work, while there is something else to wait for."""
    with uncollected():
        import bokeh.plotting  # noqa: F401

        from latentbench.report import page
        from latentbench.report.exports import tables  # noqa: F401
    page.load()

"""The commands that say what changed: ``compare`` and ``gate``. See `latentbench.cli.app` for how a command is carried out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from latentbench.cli.console import print_table, show
from latentbench.files.outputs import given, output_file

if TYPE_CHECKING:
    from latentbench.gate.speed_gate import Decision

Action = Callable[[], int]
FINISHED, VERDICT = 0, 1


def gate(
    base: str = typer.Option(..., "--base", metavar="REV", help="The revision to compare with."),
    head: str = typer.Option(None, "--head", metavar="REV", help="The revision to judge [default: the working tree]."),
    suite: str = typer.Option("benchmarks", "--suite", metavar="PATH", help="pytest-benchmark tests: file or folder."),
    only: str = typer.Option("", "--only", metavar="EXPR", help="Some of them, as pytest's -k selects."),
    threshold: list[str] = typer.Option(
        [],
        "--threshold",
        metavar="[NAME=]5%",
        help="Least change that counts, of all or of one benchmark [default: 5%].",
    ),
    minutes: str = typer.Option("4.5", "--minutes", metavar="X", help="Longest time for the launches."),
    clock: str = typer.Option("cpu", "--clock", metavar="cpu|wall", help="Processor time, or wall time."),
    seed: str = typer.Option("0", "--seed", metavar="N", help="Of the order of visits."),
    fail_on: str = typer.Option("worse", "--fail-on", metavar="LIST", help="Verdicts that exit with 1."),
    out: str = typer.Option(None, "--out", metavar="DIR", help="Also write summary.md and launches.json there."),
    json_output: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> Action:
    """Is this revision slower than that one? Both run the benchmarks in turns, in fresh processes."""

    def carry_out() -> int:
        from latentbench import run_folder
        from latentbench.comparing import change
        from latentbench.gate import speed_gate
        from latentbench.gate.checkouts import TREE
        from latentbench.report.exports.gate import as_json, write

        every, some = speed_gate.thresholds(threshold)
        verdicts = change.named(fail_on)
        seconds, order = (
            60 * speed_gate.number("--minutes", minutes, 0.1, 600),
            int(speed_gate.number("--seed", seed, 0, 1e9)),
        )
        asked = speed_gate.Gate(
            base, head or TREE, Path(suite), only, every, some, seconds, order, speed_gate.clock(clock)
        )
        place = given("gate: --out", out)
        folder = run_folder.unused(place) if place else None
        decision = speed_gate.run_gate(asked, Path.cwd())
        if folder:
            write(decision, folder)
        if json_output:
            show(json.dumps(as_json(decision), ensure_ascii=False, allow_nan=False))
        else:
            _show_gate(decision)
        return VERDICT if change.fails(decision.changes, verdicts) else FINISHED

    return carry_out


def _show_gate(decision: Decision) -> None:
    """The verdict in a sentence, the table, what else a reader should know."""
    from latentbench.report.exports import comparison, gate

    show(comparison.sentence(decision.changes))
    show("")
    print_table(*comparison.table(decision.changes, same=True))
    for line in (*comparison.without(decision.changes), *gate.notes(decision)):
        show(line)


def compare(
    folders: list[str] = typer.Argument(
        ..., metavar="BASE HEAD", help="Two run folders, or two pytest-benchmark JSON files or folders of them."
    ),
    fail_on: str = typer.Option(
        None, "--fail-on", metavar="VERDICTS", help="Exit 1 on these: worse, or worse,unknown."
    ),
    threshold: list[str] = typer.Option(
        [], "--threshold", metavar="METRIC=X", help="Least change worth a verdict: 5% of the base, or .02 in its unit."
    ),
    out: str = typer.Option(
        None, "--out", metavar="FILE", help="Also write it as Markdown (with --history: the page)."
    ),
    json_output: bool = typer.Option(False, "--json", help="Machine-readable result on standard output."),
    history: bool = typer.Option(False, "--history", help="Draw each metric over any number of runs, in this order."),
    lang: str = typer.Option(None, "--lang", metavar="en|zh", help="Language of the page."),
) -> Action:
    """Say what became better, worse or stayed the same between two runs, and what nobody can tell."""
    paths, file = [Path(f) for f in folders], given("compare: --out", out)
    if history:
        return partial(_show_history, paths, file, lang)
    return partial(_show_changes, paths, fail_on, threshold, file, json_output)


def _show_changes(
    paths: Sequence[Path], fail_on: str | None, threshold: Sequence[str], out: Path | None, as_json: bool
) -> int:
    from dataclasses import asdict

    from latentbench import records
    from latentbench.comparing.change import fails, headline, named
    from latentbench.comparing.runs import compare, parse_thresholds
    from latentbench.report.exports import comparison

    if len(paths) != 2:
        raise ValueError(f"compare: takes BASE and HEAD, got {len(paths)} (any number with --history)")
    fatal = named(fail_on) if fail_on is not None else ()
    result = compare(paths[0], paths[1], parse_thresholds(threshold))
    if out:
        records.write_text(output_file("compare", out), comparison.markdown(result.changes, result.title, result.notes))
    if as_json:
        row = {
            "title": result.title,
            "notes": result.notes,
            "changes": [asdict(c) for c in result.changes],
            "findings": [asdict(f) for f in result.findings],
        }
        show(json.dumps(row, ensure_ascii=False, allow_nan=False))
    else:
        headers, rows = comparison.table(result.changes)
        if rows:
            print_table(headers, rows)
            show("")
        for line in (*comparison.without(result.changes), *result.notes):
            show(line)
        show(f"{comparison.sentence(result.changes)}\n{headline(result.changes)}")
    return VERDICT if fails(result.changes, fatal) else FINISHED


def _show_history(folders: Sequence[Path], out: Path | None, lang: str | None) -> int:
    from latentbench import report

    page, points = report.render_history(folders, out, lang)
    for line in points:
        show(line)
    show(str(page))
    return FINISHED

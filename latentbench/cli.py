"""The command line: parse, call one function, set the exit code.

The options of ``run`` are made from the fields of `latentbench.config.Run`: one home of names, types and help. Nothing
heavy is imported before it is needed, so ``--help`` and a typo's refusal are instant.

Exit codes: 0 finished; 2 wrong input (one line on standard error, nothing written); 3 finished, but some cells failed;
130 interrupted, with the line that resumes.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from latentbench import __version__
from latentbench.config import Run, load_toml, make_run, option_name, studies, unknown, with_study

KINDS = ("models", "datasets", "metrics", "studies")

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"latentbench {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: bool = typer.Option(
        False, "--version", help="Print the version and stop.", callback=_version, is_eager=True
    ),
) -> None:
    """Train autoencoders and variational autoencoders on the same data, measure what the regularisation buys, and say
    how sure it is."""


def _run(context: typer.Context, **options: Any) -> None:
    """Train every model with every seed, measure, and write a run folder with its report."""
    config, save_config = options.pop("config"), options.pop("save_config")
    given = {k: v for k, v in options.items() if v not in (None, False)}
    settings = {**(load_toml(config) if config else {}), **given}
    asked = make_run(with_study(settings))
    if save_config:
        _save_config(asked, Path(save_config))
        return
    if asked.dry_run:
        _dry_run(asked)
        return
    from latentbench import execute

    outcome = execute.execute(asked, list(context.obj or ["run"]), progress=not asked.quiet)
    _show(outcome, asked)
    if asked.open_report:
        import webbrowser

        webbrowser.open(outcome.report.absolute().as_uri())
    if outcome.failed:
        raise typer.Exit(3)


def _run_options() -> list[inspect.Parameter]:
    """The parameters of ``run``: one an option of Run, under its TOML name, all of them text that Run then checks."""
    files = {"config": "TOML file with any of these options.", "save_config": "Write the effective options, then stop."}
    out = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    for key, text in files.items():
        flag = f"--{key.replace('_', '-')}"
        out.append(_parameter(key, str, typer.Option(None, flag, metavar="FILE", help=text)))
    for name, field in Run.model_fields.items():
        key = option_name(name)
        flag = f"--{key.replace('_', '-')}"
        if field.annotation is bool:
            out.append(_parameter(key, bool, typer.Option(False, flag, help=field.description)))
        else:
            default = "" if field.default in (None, ()) else f" [default: {_default(field.default)}]"
            text = f"{field.description}{default}"
            out.append(_parameter(key, str, typer.Option(None, flag, metavar=key.upper(), help=text)))
    return out


def _parameter(name: str, kind: type, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _default(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


# typer reads a signature: this one is made from Run's fields, their one home.
_run.__signature__ = inspect.Signature(_run_options())  # type: ignore[attr-defined]
_run.__annotations__ = {p.name: p.annotation for p in _run_options()}
app.command("run")(_run)


def _save_config(asked: Run, path: Path) -> None:
    from latentbench.records import write_text

    try:
        write_text(path, asked.to_toml())
    except OSError as error:
        raise ValueError(f"save-config: cannot write {path}: {error.strerror}") from None
    typer.echo(str(path))


def _dry_run(asked: Run) -> None:
    from latentbench import execute

    planned = execute.plan(asked)
    cells = [{"model": m, "seed": s} for m, s in planned.cells]
    if asked.json_output:
        row = {
            "id": planned.run.id,
            "folder": str(planned.folder),
            "cells": cells,
            "expected_cpu_seconds": planned.expected_seconds,
        }
        typer.echo(json.dumps(row))
        return
    for warning in planned.warnings:
        typer.echo(f"latentbench: note: {warning}", err=True)
    for cell in cells:
        typer.echo(f"{cell['model']}\tseed {cell['seed']}")
    typer.echo(f"{len(cells)} cells, about {planned.expected_seconds:.0f} CPU-seconds, into {planned.folder}")


def _show(outcome: Any, asked: Run) -> None:
    """What a finished run prints: the verdict in words, the score table, where the page lies."""
    from latentbench.report import verdict

    headers, rows = verdict.console_table(outcome.records)
    words = [v.headline for v in verdict.verdicts(outcome.records)]
    if asked.json_output:
        row = {
            "folder": str(outcome.folder),
            "report": str(outcome.report),
            "status": "failed cells" if outcome.failed else "finished",
            "failed_cells": outcome.failed,
            "verdicts": words,
            "scores": [dict(zip(headers, r, strict=True)) for r in rows],
        }
        typer.echo(json.dumps(row, ensure_ascii=False))
        return
    for warning in outcome.warnings:
        typer.echo(f"latentbench: note: {warning}", err=True)
    if not asked.quiet:
        for word in words:
            typer.echo(word)
        typer.echo("")
        _print_table(headers, rows)
        typer.echo(verdict.LEGEND)
        for reason in dict.fromkeys(
            f"{r.model} seed {r.seed}: {r.reason}" for r in outcome.records if r.status == "failed"
        ):
            typer.echo(f"failed: {reason}", err=True)
    typer.echo(f"{outcome.report}")


def _print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: rich on a terminal, plain aligned text elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        for k, header in enumerate(headers):
            table.add_column(header, justify="right" if k else "left")
        for row in rows:
            table.add_row(*row)
        Console().print(table, markup=False)
        return
    widths = [max(len(str(r[k])) for r in [headers, *rows]) for k in range(len(headers))]
    for row in [headers, *rows]:
        first, *rest = row
        typer.echo("  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]))


@app.command("report")
def _report(
    folders: list[str] = typer.Argument(..., metavar="DIR...", help="Run folders; several stand side by side."),
    out: str = typer.Option(None, "--out", metavar="FILE", help="Where to write the page."),
    open_report: bool = typer.Option(False, "--open", help="Open it in the browser."),
) -> None:
    """Render one run again, or several side by side, from their records alone."""
    from latentbench import report

    paths = [Path(f) for f in folders]
    target = Path(out) if out else None
    if len(paths) == 1 and target is None:
        report.check(paths[0])
        report.write_tables(paths[0])
    page = report.render(paths, target)
    typer.echo(str(page))
    if open_report:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


@app.command("list")
def _list(kind: str = typer.Argument(..., metavar="|".join(KINDS), help="What to list.")) -> None:
    """List what there is, a line each: name, what it is, parameters, source."""
    if kind not in KINDS:
        raise unknown("list", kind, KINDS)
    rows = _listing(kind)
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for header in ("name", "what it is", "parameters", "source"):
        table.add_column(header)
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False)


def _listing(kind: str) -> list[tuple[str, str, str, str]]:
    if kind == "studies":
        return [
            (n, str(s.get("summary", "")), " ".join(f"{k}={v}" for k, v in s.items() if k != "summary"), "")
            for n, s in studies().items()
        ]
    from latentbench import catalog

    if kind == "models":
        return [
            (
                e.name,
                e.summary,
                " ".join(f"{n}={p.default}" for n, p in catalog.model_fields(e.build).items()),
                e.source,
            )
            for e in catalog.models().values()
        ]
    if kind == "datasets":
        return [
            (
                f"{d.name}:{d.takes}" if d.takes else d.name,
                d.summary,
                " ".join(f"{k}={v}" for k, v in d.defaults.items()),
                d.source,
            )
            for d in catalog.datasets().values()
        ]
    return [
        (
            m.name,
            f"{m.summary} ({m.unit}, better: {m.better})",
            " ".join(f"{k}={v}" for k, v in m.params.items()),
            m.source,
        )
        for m in catalog.metrics().values()
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code and never raises for what a user can get wrong."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = get_command(app).main(args=words, prog_name="latentbench", standalone_mode=False, obj=words)
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt as interrupt:
        line = getattr(interrupt, "resume_line", "")
        return _refuse(f"interrupted; carry on with: {line}" if line else "interrupted", 130)
    except (ValueError, TypeError) as error:
        return _refuse(str(error), 2)
    except OSError as error:
        return _refuse(f"{error.filename or 'file'}: {error.strerror or error}", 2)
    except Exception as error:
        # click's own errors (typer carries a copy of click): each knows how to say itself in a line.
        if not hasattr(error, "format_message"):
            raise
        return 0 if type(error).__name__ == "NoArgsIsHelpError" else _refuse(_usage(error, words), 2)


def _usage(error: Any, words: Sequence[str]) -> str:
    """A usage error in the house's form, with the nearest right name."""
    group: Any = get_command(app)
    if type(error).__name__ == "NoSuchOption":
        name = str(error.option_name)
        command = group.commands.get(words[0]) if words else None
        names = [o for p in (command or group).params for o in p.opts if o.startswith("--")]
        return str(unknown("option", name, [*names, "--help"]))
    message = " ".join(error.format_message().split())
    if message.startswith("No such command"):
        return str(unknown("command", message.split("'")[1], group.commands))
    return message[:1].lower() + message[1:]


def _refuse(message: str, code: int) -> int:
    print(f"latentbench: {' '.join(message.split())}", file=sys.stderr)
    return code

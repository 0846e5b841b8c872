"""The command line: parse, call one function, set the exit code.

The options of ``run`` are made from the fields of `latentbench.config.Run`: one home of names, types and help. typer
only takes the words apart: a command gives back the *action* they ask for, and `main` carries it out, so that every
refusal and every Ctrl-C passes one place. Nothing heavy is imported before an action needs it: ``--help`` and a typo's
refusal are instant.

Exit codes: 0 finished; 1 a verdict that ``--fail-on`` names; 2 wrong input (one line on standard error, nothing
written); 3 finished, but some cells failed, or a shard that could not do all of its units; 70 a fault of this program's own, with its traceback; 130, 143, 129 stopped
by Ctrl-C, SIGTERM or SIGHUP, with the line that resumes.
"""

from __future__ import annotations

import inspect
import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, get_args

import typer
from typer.main import get_command

from latentbench import __version__
from latentbench.cli import results
from latentbench.cli.compare_and_gate import FINISHED, Action, compare, gate
from latentbench.cli.console import rich_table, say_line, show
from latentbench.cli.evaluate import evaluate
from latentbench.cli.figures import figures
from latentbench.cli.stopping import stopping
from latentbench.config import EXECUTION_OPTIONS, Run, load_toml, make_run, option_name, overruled
from latentbench.files.outputs import given as named
from latentbench.files.plain_text import LONGEST, one_line
from latentbench.refusals import unknown
from latentbench.running import worker_server
from latentbench.running.worker_process import worker_environment
from latentbench.studies.presets import studies, with_study

if TYPE_CHECKING:
    from latentbench.running.anew import Trained
    from latentbench.running.assemble import Outcome, ShardOutcome

KINDS = ("models", "datasets", "metrics", "studies", "adapters")
HEADERS = ("name", "what it is", "parameters", "source")
REFUSED, SOME_FAILED, FAULT = 2, 3, 70

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """Train autoencoders and variational autoencoders on the same data, measure what the regularisation buys, and say
    how sure it is."""
    if version:
        show(f"latentbench {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        show(context.get_help())
        raise typer.Exit


def _run(context: typer.Context, **options: Any) -> Action:
    """Train every model with every seed, measure, and write a run folder with its report."""
    config, save_config = options.pop("config"), options.pop("save_config")
    return partial(_start_run, config, save_config, _given(options), list(context.obj or ["run"]))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Options that stand on the command line; one that may stand several times is a list, empty where it does not."""
    return {k: v for k, v in options.items() if v not in (None, [])}


def _start_run(config: str | None, save_config: str | None, given: dict[str, Any], words: list[str]) -> int:
    """``run``: what the command line says wins over the TOML file, and that over the study."""
    file, saved = named("--config", config), named("--save-config", save_config)
    asked = make_run(with_study(overruled(load_toml(file) if file else {}, given)))
    if saved:
        from latentbench.running import plan

        _save_config(plan.plan(asked).run, saved)
        return FINISHED
    return _carry_out(asked, words)


def _carry_out(asked: Run, words: list[str], trained: Trained | None = None) -> int:
    if asked.dry_run:
        _dry_run(asked, trained)
        return FINISHED
    if asked.executor == "local":  # before anything loads torch: the two share it
        worker_server.start_early(worker_environment(os.environ))
    from latentbench import api

    outcome = api.carry_out(asked, words, not (asked.quiet or asked.json_output), trained)
    if outcome.shard is not None:
        _show_shard(outcome.folder, outcome.shard, asked.json_output)
        return FINISHED if outcome.shard.is_whole else SOME_FAILED
    _show(outcome, asked)
    if asked.open_report and outcome.report is not None:
        _open(outcome.report)
    return SOME_FAILED if outcome.failed else FINISHED


CONTEXT = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)


def _run_options() -> list[inspect.Parameter]:
    """The parameters of ``run``: all options of Run, and the files that they may stand in."""
    files = {"config": "TOML file with any of these options", "save_config": "write all options as TOML, then stop"}
    named = [_parameter(k, str, typer.Option(None, _flag(k), metavar="FILE", help=text)) for k, text in files.items()]
    return [CONTEXT, *named, *_options(Run.model_fields)]


def _options(names: Iterable[str]) -> list[inspect.Parameter]:
    """Parameters of a command: one an option of Run, under its TOML name, all of them text that Run then checks."""
    out = []
    for name in names:
        field, key = Run.model_fields[name], option_name(name)
        if name in EXECUTION_OPTIONS and EXECUTION_OPTIONS[name].repeatable:
            option = typer.Option(None, _flag(key), metavar="DIR", help=field.description)
            out.append(_parameter(key, list[str], option))
        elif field.annotation is bool:
            # A pair, so that the command line can also take back what a file says.
            pair = f"{_flag(key)}/--no-{_flag(key)[2:]}"
            out.append(_parameter(key, bool, typer.Option(None, pair, help=field.description)))
        else:
            default = "" if field.default in (None, ()) else f" [default: {_words(field.default)}]"
            text = f"{field.description}{default}"
            out.append(_parameter(key, str, typer.Option(None, _flag(key), metavar=_metavar(field), help=text)))
    return out


def _parameter(name: str, kind: type, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _metavar(field: Any) -> str:
    """What stands for a field's value in the help: its choices, or its kind."""
    options = [o for o in get_args(field.annotation) if o is not type(None)]
    if options and all(isinstance(o, str) for o in options):
        return "|".join(options)
    kind = options[0] if len(options) == 1 else field.annotation
    return {int: "N", float: "X"}.get(kind, "LIST" if field.metadata and kind not in (str, int, float) else "TEXT")


def _words(value: Any) -> str:
    """A default as one would write it: seeds 0 to N - 1 are the count N."""
    if value == tuple(range(len(value) if isinstance(value, tuple) else 0)):
        return str(len(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _measure(context: typer.Context, folder: str, **options: Any) -> Action:
    """Measure the models of a finished run anew, without training, into a run folder of its own (DIR-measured)."""
    return partial(_start_measuring, folder, _given(options), list(context.obj or ["measure", folder]))


def _start_measuring(folder: str, given: dict[str, Any], words: list[str]) -> int:
    from latentbench.running.anew import measure_anew

    asked, trained = measure_anew(Path(folder), given)
    return _carry_out(asked, words, trained)


MEASURE_OPTIONS = (
    "metrics", "out", "reuse", "data_root", "device", "workers", "executor", "address", "shard", "assemble", "cache", "resume",
    "dry_run", "json_output", "quiet", "verbose", "open_report", "lang",
)  # fmt: skip


def _measure_options() -> list[inspect.Parameter]:
    """The parameters of ``measure``: the run, and those options of Run that leave what was trained as it is."""
    argument = typer.Argument(..., metavar="DIR", help="The folder of a finished run.")
    folder = inspect.Parameter("folder", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=argument, annotation=str)
    return [CONTEXT, folder, *_options(MEASURE_OPTIONS)]


def _with_parameters(command: Any, parameters: list[inspect.Parameter]) -> Any:
    """The command with these parameters: typer reads a signature, and this one is made from Run's fields, their one home."""
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


app.command("run")(_with_parameters(_run, _run_options()))
app.command("measure")(_with_parameters(_measure, _measure_options()))


def _save_config(run: Run, path: Path) -> None:
    """Write a run's effective options, without what belongs to this one call. An other file is never overwritten."""
    from latentbench.records import write_text

    text = run.model_copy(update={"resume": False, "dry_run": False, "shard": None, "assemble": False}).to_toml()
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"save-config: {path} is no regular file; name another one")
        if path.exists() and path.read_bytes() != text.encode():
            raise ValueError(f"save-config: {path} exists and holds something else; name another file")
        write_text(path.resolve(), text)
    except OSError as error:
        raise ValueError(f"save-config: cannot write {path}: {error.strerror}") from None
    show(str(path))


def _dry_run(asked: Run, trained: Trained | None) -> None:
    from latentbench.running import executor, forecast, plan
    from latentbench.running.understood import told, understood

    planned = plan.plan(asked, trained)
    there = executor.room(planned.executor)
    cores = min(asked.workers or there.cores, max(len(planned.units), 1))
    cells = [{"model": m, "seed": s} for m, s in planned.cells]
    for warning in planned.warnings:
        warnings.warn(warning, stacklevel=2)
    if asked.json_output:
        row = {
            "id": planned.run.id,
            "folder": str(planned.folder),
            "cells": cells,
            "reused": len(planned.trained_before),
            "expected_cpu_seconds": planned.expected_seconds,
            "units": len(planned.units),
            **asdict(there),
            "expected_seconds": planned.expected_seconds / cores,
            "data": understood(planned.dataset),
            "forecast": {model: f._asdict() for model, f in planned.forecasts.items()},
            **({"precision": planned.precision} if planned.precision else {}),
        }
        show(json.dumps(row, ensure_ascii=False))
        return
    for line in (*told(planned.dataset), *forecast.told(planned.forecasts)):
        show(line)
    if planned.precision is not None:
        show(f"precision\t{planned.precision['reason']['text']}")
    for cell in cells:
        show(f"{cell['model']}\tseed {cell['seed']}")
    reused = f" ({len(planned.trained_before)} of them trained before)" if planned.trained_before else ""
    about = "up to" if planned.run.patience else "about"
    show(f"{len(cells)} cells{reused}, {about} {planned.expected_seconds:.0f} CPU-seconds, into {planned.folder}")
    gpus = f" and {there.gpus} GPUs" if there.gpus else ""
    show(
        f"{len(planned.units)} units, {cores} at a time, on {there.nodes} {'node' if there.nodes == 1 else 'nodes'} with "
        f"{there.cores} cores{gpus}: {about} {planned.expected_seconds / cores:.0f} seconds"
    )


def _show(outcome: Outcome, asked: Run) -> None:
    """What a finished run prints: the verdict in words, the score table, where the page lies."""
    if asked.json_output:
        show(json.dumps(_result(outcome, asked.lang), ensure_ascii=False, allow_nan=False, default=dict))
        return
    if not asked.quiet:
        if asked.reuse and outcome.reused is not None:
            say_line(str(outcome.reused))
        results.show_verdict(outcome.records, asked.lang)
    results.say_failures(outcome.records)
    show(str(outcome.report))


def _show_shard(folder: Path, shard: ShardOutcome, as_json: bool) -> None:
    """What a shard prints, or a run that cannot be put together yet."""
    if as_json:
        show(json.dumps({"folder": str(folder), **asdict(shard)}, ensure_ascii=False, default=str))
    for line in shard.lines():
        say_line(line)
    if shard.name and not as_json:
        show(f"shard {shard.name}: {shard.done} units done, in {folder}")


def _result(outcome: Outcome, lang: str) -> dict[str, Any]:
    """A run's result for machines: where it lies, how it went, what its records say."""
    return {
        "folder": str(outcome.folder),
        "report": str(outcome.report),
        "status": "some cells failed" if outcome.failed else "finished",
        "finished_before": outcome.finished_before,
        "reused": asdict(outcome.reused) if outcome.reused is not None else None,
        **results.as_json(outcome.records, lang),
    }


def _open(page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.absolute().as_uri()):
        say_line("note: no browser to open the report with")


@app.command("report")
def _report(
    folders: list[str] = typer.Argument(..., metavar="DIR...", help="Run folders; several stand side by side."),
    out: str = typer.Option(None, "--out", metavar="FILE", help="Where to write the page."),
    open_report: bool = typer.Option(False, "--open", help="Open it in the browser."),
    lang: str = typer.Option(
        None, "--lang", metavar=_metavar(Run.model_fields["lang"]), help="Its language (default: that of the run)."
    ),
) -> Action:
    """Render one run again, or several side by side, from their records alone."""
    return partial(_render, [Path(f) for f in folders], named("report: --out", out), open_report, lang)


def _render(folders: Sequence[Path], out: Path | None, open_report: bool, lang: str | None) -> int:
    from latentbench import report

    page = report.write(folders[0], lang) if len(folders) == 1 and out is None else report.render(folders, out, lang)
    show(str(page))
    if open_report:
        _open(page)
    return FINISHED


app.command("figures")(figures)
app.command("evaluate")(evaluate)
app.command("compare")(compare)
app.command("gate")(gate)


@app.command("list")
def _list(kind: str = typer.Argument(..., metavar="|".join(KINDS), help="What to list.")) -> Action:
    """List what there is, a line each: name, what it is, parameters, source."""
    return partial(_print_listing, kind)


def _print_listing(kind: str) -> int:
    if kind not in KINDS:
        raise unknown("list", kind, KINDS)
    rows = _listing(kind)
    if sys.stdout.isatty():
        rich_table(HEADERS, rows)
    else:
        show("\n".join("\t".join(" ".join(cell.split()) for cell in row) for row in rows))
    return FINISHED


def _listing(kind: str) -> list[tuple[str, str, str, str]]:
    """Rows of `HEADERS`, all text."""
    if kind == "studies":
        return [(s.name, s.summary, _pairs(s.settings), s.source) for s in studies().values()]
    if kind == "adapters":
        from latentbench.adapters import adapters

        return [(a.name, a.summary, f"{a.name}:{a.takes}", a.source) for a in adapters().values()]
    from latentbench import catalog

    if kind == "models":
        return [
            (e.name, e.summary, _pairs({n: p.default for n, p in catalog.model_fields(e.build).items()}), e.source)
            for e in catalog.models().values()
        ]
    if kind == "datasets":
        return [
            (d.name, d.summary, " ".join([f"{d.name}:{d.takes}"] * bool(d.takes) + [_pairs(d.defaults)]), d.source)
            for d in catalog.datasets().values()
        ]
    return [(m.name, f"{m.summary} ({_marks(m)})", _pairs(m.params), m.source) for m in catalog.metrics().values()]


def _marks(metric: Any) -> str:
    """What a list says of a metric behind its summary: its unit, its direction, whether it must be asked for."""
    return f"{metric.unit}, better: {metric.better}" + (", on request" if metric.on_request else "")


def _pairs(fields: Any) -> str:
    return " ".join(f"{k}={','.join(map(str, v)) if isinstance(v, list | tuple) else v}" for k, v in fields.items())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on these words (default: those of the command line); returns the exit code.

    What a user can get wrong ends in one line on standard error, never in a traceback.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what the encoding lacks ends no run
    with warnings.catch_warnings(), stopping() as stop:
        warnings.showwarning = _show_warning
        try:
            action = _parse(words)
            return action if isinstance(action, int) else action()
        except KeyboardInterrupt as interrupt:
            line = getattr(interrupt, "resume_line", "")
            return _refuse(f"interrupted; carry on with: {line}" if line else "interrupted", stop.exit_code)
        except ValueError as error:
            return _refuse(one_line(str(error), LONGEST - len("latentbench: ")), REFUSED)
        except BrokenPipeError:
            # Whoever read the output has gone (`| head`). Python's own flush at exit must not find the closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FINISHED
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return _refuse(one_line(f"{where}{error.strerror or error}", LONGEST - len("latentbench: ")), REFUSED)
        except MemoryError:
            return _refuse("out of memory", REFUSED)
        except Exception:
            if stop.signal:
                return _refuse(
                    "interrupted", stop.exit_code
                )  # while a library was loaded, which told it in its own words
            # Python would end with 1, and that is a verdict.
            traceback.print_exc()
            return FAULT


@cache
def _commands() -> Any:
    return get_command(app)


def _parse(words: list[str]) -> Action | int:
    """The action that the words ask for, or 0 where there is none left to do (help, version).

    Raises ValueError for words that cannot be taken apart.
    """
    try:
        action = _commands().main(args=words, prog_name="latentbench", standalone_mode=False, obj=words)
    except Exception as error:
        # The parser's own errors, known by what they can do: typer may carry a copy of click with classes of its own.
        if not hasattr(error, "format_message"):
            raise
        raise ValueError(_usage(error, words)) from None
    return action or 0


MEANT = {
    "--gpu": "--device cuda", "--cuda": "--device cuda", "--cpu": "--device cpu",
    "--learning-rate": "--lr", "--batch": "--batch-size", "--bs": "--batch-size", "--max-epochs": "--epochs",
    "--latent": "--latent-dim", "--latents": "--latent-dim", "--z-dim": "--latent-dim", "--dim": "--latent-dim",
    "--hidden": "--width", "--layers": "--depth", "--early-stopping": "--patience", "--seed": "--seeds", "--num-seeds": "--seeds",
    "--jobs": "--workers", "--num-workers": "--workers", "-j": "--workers", "--output": "--out", "-o": "--out",
    "--output-dir": "--out", "--model": "--models", "-m": "--models", "--data": "--dataset", "-d": "--dataset",
    "--metric": "--metrics", "--language": "--lang", "--formats": "--format", "--job": "--shard", "--silent": "--quiet", "-q": "--quiet",
    "-v": "--verbose", "--continue": "--resume", "--config-file": "--config", "-c": "--config",
}  # fmt: skip
"""What people write, or other programs call it -> what it is called here."""


def _usage(error: Any, words: Sequence[str]) -> str:
    """A parser's error in the house's form, with the nearest right name."""
    command = _commands().commands.get(words[0])
    if type(error).__name__ == "NoSuchOption":
        names = [o for p in (command or _commands()).params for o in p.opts if o.startswith("--")]
        meant = MEANT.get(error.option_name.removesuffix("="), "")
        if meant.partition(" ")[0] in names:
            return f"unknown option '{error.option_name}'; did you mean '{meant}'? (all options: latentbench {words[0]} --help)"
        return str(unknown("option", error.option_name, [*names, "--help"]))
    if command is None and not words[0].startswith("-"):
        return str(unknown("command", words[0], _commands().commands))
    message = error.format_message().rstrip(".")
    return f"{words[0]}: {message[:1].lower()}{message[1:]}"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as one line, without the place in the code that it came from."""
    say_line(f"note: {message}")


def _refuse(message: str, code: int) -> int:
    say_line(message)
    return code

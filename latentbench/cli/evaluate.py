"""The command ``evaluate``: models that were trained elsewhere, by one judge on one page."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from latentbench.cli import results
from latentbench.cli.console import say_line, show
from latentbench.config import Run, languages, make_run
from latentbench.files.outputs import given as named_file
from latentbench.refusals import unknown

if TYPE_CHECKING:
    from latentbench.api import Result
    from latentbench.core import Dataset
    from latentbench.evaluating.understood import Understood

Action = Callable[[], int]
FINISHED, SOME_FAILED = 0, 3
FOLDER = "reports/evaluate"
SCALES = {"auto": "auto", "standard": "standard", "none": None}


@dataclass(frozen=True)
class Asked:
    """What the command line says, each as it stands there."""

    models: tuple[str, ...]
    names: tuple[str, ...]
    dataset: str
    out: Path | None
    form: Mapping[str, str | None]
    scale: str
    posterior: str
    batch_size: str | None
    conditional: bool
    trust: bool
    json_output: bool
    options: Mapping[str, Any]
    """Those that `Run` knows and checks."""


def evaluate(
    models: list[str] = typer.Argument(
        ...,
        metavar="MODEL...",
        help="FILE.py:NAME, package.module:NAME, or KIND:... (see 'list adapters'). NAME=MODEL names it; several models of "
        "one name are its seeds.",
    ),
    dataset: str = typer.Option(..., "--dataset", metavar="SPEC", help="The data to measure on, as 'run' has it."),
    name: list[str] = typer.Option(
        [], "--name", metavar="NAME", help="What the models are called, once for each of them."
    ),
    metrics: str = typer.Option(None, "--metrics", metavar="LIST", help=Run.model_fields["metrics"].description),
    out: str = typer.Option(None, "--out", metavar="DIR", help=f"A new folder [default: {FOLDER}-NAMES]."),
    seed: str = typer.Option("0", "--seed", metavar="N", help="Of pairs and draws; of several seeds the first."),
    device: str = typer.Option(None, "--device", metavar="auto|cpu|cuda", help=Run.model_fields["device"].description),
    value_range: str = typer.Option(
        None, "--range", metavar="LOW,HIGH", help="Values of images that the models were trained on, such as -1,1."
    ),
    layout: str = typer.Option(
        None, "--layout", metavar="channels_first|channels_last", help="Axes of images that the models were trained on."
    ),
    scale: str = typer.Option(
        "auto",
        "--scale",
        metavar="auto|standard|none",
        help="Tables and series: measured standardised, or as they are.",
    ),
    posterior: str = typer.Option(
        "auto", "--posterior", metavar="WORDS", help="What the parts are that encode returns, such as mean,std."
    ),
    batch_size: str = typer.Option(None, "--batch-size", metavar="N", help="Samples a call [default: what fits]."),
    conditional: bool = typer.Option(False, "--conditional", help="decode takes labels too: decode(z, y)."),
    trust: bool = typer.Option(
        False, "--trust", help="Also read files that may run code: only if you trust who wrote them."
    ),
    data_root: str = typer.Option(None, "--data-root", metavar="DIR", help=Run.model_fields["data_root"].description),
    lang: str = typer.Option(None, "--lang", metavar="|".join(languages()), help=Run.model_fields["lang"].description),
    quiet: bool = typer.Option(False, "--quiet", help=Run.model_fields["quiet"].description),
    json_output: bool = typer.Option(False, "--json", help=Run.model_fields["json_output"].description),
    dry_run: bool = typer.Option(False, "--dry-run", help="Try the models, say what was understood, then stop."),
    open_report: bool = typer.Option(False, "--open", help=Run.model_fields["open_report"].description),
) -> Action:
    """Measure models that were trained elsewhere: Pythae, diffusers, ONNX, Keras, scvi-tools, or a Python file of yours."""
    options = {"metrics": metrics, "device": device, "data_root": data_root, "lang": lang, "quiet": quiet or None}
    options |= {"open": open_report or None, "dry_run": dry_run or None, "dataset": dataset, "seeds": f"{seed},"}
    asked = Asked(
        tuple(models),
        tuple(name),
        dataset,
        named_file("evaluate: --out", out),
        {"range": value_range, "layout": layout},
        scale,
        posterior,
        batch_size,
        conditional,
        trust,
        json_output,
        {k: v for k, v in options.items() if v is not None},
    )
    return partial(_evaluate, asked)


def _evaluate(asked: Asked) -> int:
    """Everything that can be refused is refused before the first model is read."""
    run = make_run(asked.options)
    calls = _calls(asked)
    form = _form(asked.form)
    named = _named(asked)
    from latentbench import api, catalog
    from latentbench.run_folder import unused

    catalog.find_metrics(run.metrics)
    catalog.find_dataset(run.dataset)
    folder = unused(asked.out) if asked.out else _free(named)
    # What libraries and callables print is not this program's answer.
    with redirect_stdout(sys.stderr):
        models = _load(named, asked, run, form)
        dataset = _dataset(asked, run)
        tried = _tried(models, dataset, calls, run) if run.dry_run else None
        result = (
            None
            if run.dry_run
            else api.evaluate(
                models,
                x_test=dataset,
                metrics=run.metrics or None,
                seed=run.seeds[0],
                device=run.device,
                out=folder,
                lang=run.lang,
                quiet=run.quiet or asked.json_output,
                **calls,
            )
        )
    if result is not None:
        return _show(result, asked, run)
    return _show_understood(tried or (), dataset, asked)


def _tried(models: Mapping[str, Any], dataset: Dataset, calls: Mapping[str, Any], run: Run) -> Sequence[Understood]:
    from latentbench.evaluating.understood import understood

    return understood(models, dataset, calls, run.seeds[0], run.device)


def _calls(asked: Asked) -> dict[str, Any]:
    """How callables are called, as `latentbench.evaluate` takes it."""
    size = asked.batch_size
    if size is not None and not (size.isdecimal() and 1 <= int(size) <= 2**20):
        raise ValueError(f"batch-size: '{size}' is not allowed: a whole number from 1 to {2**20}")
    return {
        "posterior": asked.posterior,
        "batch_size": None if size is None else int(size),
        "conditional": asked.conditional,
    }


def _form(said: Mapping[str, str | None]) -> dict[str, Any]:
    """The form of images that the models were trained on, as far as it is said."""
    form: dict[str, Any] = {}
    if (span := said["range"]) is not None:
        try:
            low, high = (float(word) for word in span.split(","))
        except ValueError:
            raise ValueError(f"range: '{span}' is not allowed: write LOW,HIGH, such as -1,1") from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"range: '{span}' is not allowed: two finite numbers, the lower first")
        form["range"] = (low, high)
    if (layout := said["layout"]) is not None:
        if layout not in ("channels_first", "channels_last"):
            raise unknown("layout", layout, ("channels_first", "channels_last"))
        form["layout"] = layout
    return form


def _named(asked: Asked) -> list[tuple[str, str]]:
    """The name of every model and its spec. One that is given no name is called after its file, folder or object.

    Raises ValueError where names and models do not go together, and where two models would be called the same without
    being told to: models of one name are taken for seeds of one model."""
    from latentbench.adapters.known import called, named
    from latentbench.records import model_name

    pairs = [named(text) for text in asked.models]
    if asked.names:
        if any(own for own, _ in pairs):
            raise ValueError("name: models are named either by --name or as NAME=MODEL, not both")
        if len(asked.names) != len(pairs):
            raise ValueError(f"name: {len(asked.names)} names for {len(pairs)} models; give one for each")
        pairs = [(own, spec) for own, (_, spec) in zip(asked.names, pairs, strict=True)]
    out: list[tuple[str, str]] = []
    for own, spec in pairs:
        name = model_name("name", own or called(spec))
        if not own and name in [before for before, _ in out]:
            raise ValueError(f"name: two models would be called '{name}': name them, as NAME={spec}")
        out.append((name, spec))
    return out


def _free(named: Sequence[tuple[str, str]]) -> Path:
    """A folder that is not there yet, named after the models."""
    words = "-".join(dict.fromkeys(name for name, _ in named))
    stem = f"{FOLDER}-{''.join(c if c.isalnum() and c.isascii() else '-' for c in words)[:40].strip('-') or 'models'}"
    return next(p for p in map(Path, (stem, *(f"{stem}-{k}" for k in range(2, 10**6)))) if not p.exists())


def _load(named: Sequence[tuple[str, str]], asked: Asked, run: Run, form: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Every model by its name; of one name, its seeds. A Python object may itself be a list of seeds, or a mapping of names
    to models. Raises ValueError for what is no model."""
    from latentbench.adapters import load
    from latentbench.evaluating.contenders import contenders
    from latentbench.evaluating.hints import in_form
    from latentbench.running import plan

    device = plan.pick_device(run)
    models: dict[str, list[Any]] = {}
    for name, spec in named:
        found = load(spec, asked.trust, device)
        several = found if isinstance(found, Mapping) else {name: found}
        for own, value in several.items():
            seeds = value if isinstance(value, list) else [value]
            try:
                contenders({own: seeds}, None, "", 0, None)
            except TypeError as error:
                raise ValueError(f"model '{spec}': {error}") from None
            models.setdefault(own, []).extend(in_form(model, spec, **form) for model in seeds)
    return models


def _dataset(asked: Asked, run: Run) -> Dataset:
    """The data, in the scale that is asked for. Raises ValueError for a form that they do not have."""
    from latentbench import catalog
    from latentbench.evaluating.hints import rescaled

    if asked.scale not in SCALES:
        raise unknown("scale", asked.scale, SCALES)
    dataset = catalog.load_dataset(run)
    said = [what for what, value in asked.form.items() if value is not None]
    if said and len(dataset.shape) != 3:
        raise ValueError(
            f"{said[0]}: '{asked.form[said[0]]}' is for images; {dataset.name} holds samples of {dataset.shape}"
        )
    return rescaled(dataset, SCALES[asked.scale])


def _show(result: Result, asked: Asked, run: Run) -> int:
    """What a finished evaluation prints: the verdict in words, the score table, where the page lies."""
    failed = any(r.status == "failed" for r in result.records)
    if asked.json_output:
        row = {
            "folder": str(result.folder),
            "report": str(result.report),
            "status": "some cells failed" if failed else "finished",
            **results.as_json(result.records, run.lang),
        }
        show(json.dumps(row, ensure_ascii=False, allow_nan=False, default=dict))
    else:
        if not run.quiet:
            results.show_verdict(result.records, run.lang)
        results.say_failures(result.records)
        show(str(result.report))
    if run.open_report and result.report is not None:
        import webbrowser

        if not webbrowser.open(result.report.absolute().as_uri()):
            say_line("note: no browser to open the report with")
    return SOME_FAILED if failed else FINISHED


def _show_understood(found: Sequence[Understood], dataset: Dataset, asked: Asked) -> int:
    """What ``--dry-run`` prints: of the data and of each model what was understood."""
    data = {
        "dataset": dataset.name,
        **dataset.space.to_json(),
        "classes": list(dataset.classes),
        "rows": {name: len(getattr(dataset, name).x) for name in ("train", "val", "test")},
    }
    if asked.json_output:
        show(json.dumps({"data": data, "models": [one.to_json() for one in found]}, ensure_ascii=False))
        return FINISHED
    rows = ", ".join(f"{n} {name}" for name, n in data["rows"].items())
    show(f"{dataset.name}: {data['space']} {dataset.shape}, {rows}, {len(dataset.classes)} classes")
    for one in found:
        show(str(one))
    return FINISHED

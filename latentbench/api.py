"""The Python interface: ``run`` (what the command line calls), ``measure`` (a finished run anew), ``evaluate`` (any trained
model as two callables) and ``load`` (a trained model of a run back).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentbench import catalog, denormals, records
from latentbench.config import Run, make_run, parse_folders
from latentbench.core import Dataset
from latentbench.records import Record
from latentbench.run_folder import RunFiles
from latentbench.run_info import RunInfo, find_run_info
from latentbench.running import anew, execute, plan, worker
from latentbench.running.assemble import Outcome
from latentbench.spaces.known import space_from_json
from latentbench.spaces.space import Space
from latentbench.studies.presets import with_study

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas


@dataclass(frozen=True)
class Result:
    """``records``: everything measured; ``folder`` and ``report``: where it was written (None: nowhere)."""

    records: Sequence[Record]
    folder: Path | None = None
    report: Path | None = None

    def __repr__(self) -> str:
        """One line: which models, on what data, how many records, where."""
        models = list(dict.fromkeys(r.model for r in self.records if r.is_model))
        data = list(dict.fromkeys(r.dataset for r in self.records if r.dataset))
        named = ", ".join(models[:4]) + (f" and {len(models) - 4} more" if len(models) > 4 else "")
        parts = [named or "no model", *([f"on {', '.join(data)}"] if data else []), f"({len(self.records)} records)"]
        return f"<Result: {' '.join(parts)}{f' in {self.folder}' if self.folder else ''}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: each model's answers with the numbers they hang on, and the next step."""
        from latentbench.report.exports import notebook

        return notebook.answers_html(self.records)

    @property
    def frame(self) -> pandas.DataFrame:
        """A DataFrame with the columns of results.csv: one row a metric, seed and split, and the aggregates."""
        import pandas

        from latentbench.report.exports import tables

        return pandas.DataFrame(tables.flat_rows(self.records), columns=list(tables.FIELDS))

    @property
    def findings(self) -> pandas.DataFrame:
        """A DataFrame of what the records say of any two models, one row a metric and model beside the first: question,
        subject, rival, metric, the paired difference subject - rival with its 95 % interval (low, high) and p, the
        verdict and its caveats, a list of codes. See `latentbench.stats.findings`."""
        import pandas

        from latentbench.stats import findings

        rows = [vars(f) | {"caveats": list(f.caveats)} for f in findings.findings(self.records)]
        return pandas.DataFrame(rows, columns=list(findings.FINDING_COLUMNS))

    @property
    def answers(self) -> pandas.DataFrame:
        """A DataFrame with each model's answer (yes, partly, no or not told) to four questions: continuous, complete,
        reconstructs, posterior. The rules stand in `latentbench.stats.findings.answers`."""
        import pandas

        from latentbench.stats import findings

        rows = [vars(a) for a in findings.answers(self.records)]
        return pandas.DataFrame(rows, columns=list(findings.ANSWER_COLUMNS))

    def value(
        self,
        metric: str,
        split: str = "test",
        model: str | None = None,
        dataset: str | None = None,
        latent_dim: int | None = None,
    ) -> float:
        """The mean over seeds of one metric of one model, ``model`` where there are several; likewise ``dataset`` and
        ``latent_dim``.

        Raises ValueError where it has no value on that split, and where it has values of several models, data sets, latent
        sizes, runs or parameters, naming them: a mean over these is nobody's value."""
        asked = {"model": model, "dataset": dataset, "latent_dim": latent_dim}
        asked = {field: wanted for field, wanted in asked.items() if wanted is not None}
        rows = [r for r in records.values(self.records) if (r.metric, r.split) == (metric, split)]
        rows = [r for r in rows if r.role in ("model", "judge")] if model is None else rows
        here = [r for r in rows if all(getattr(r, field) == wanted for field, wanted in asked.items())]
        numbers = [r.value for r in here if r.value is not None]
        of = "".join(f" {field}={wanted}" for field, wanted in asked.items())
        if not numbers:
            there = _named({r.model for r in rows if r.value is not None}) if rows and not here else ""
            why = next((r.reason for r in here), f"it has one of {there}" if there else "no such metric was asked for")
            raise ValueError(f"metric '{metric}' has no value on {split}{of and ' for'}{of}: {why}")
        for field, hint in SEVERAL.items():
            found = {records.canonical(getattr(r, field)): getattr(r, field) for r in here if r.value is not None}
            if len(found) > 1:
                raise ValueError(
                    f"metric '{metric}' has values of several {hint[0]}: {_named(found.values())}; {hint[1]}"
                )
        return float(np.mean(numbers))

    def figure(self, name: str, width: str = "6.75in", style: str = "paper") -> matplotlib.figure.Figure:
        """A figure for a paper or a talk (``paper``, ``talk``) as matplotlib has it: ``scores``, ``continuity``,
        ``completeness``, ``holes``, ``maps``, ``posterior``, ``frontier`` or ``training``, ``width`` wide. No display is
        needed; ``latentbench figures`` writes all of them as files.

        Raises ValueError, one line, for an unknown name, width or style, and for a figure that cannot be drawn of this
        result, with the reason: pictures lie in a run folder, so what needs them cannot be drawn without one."""
        from latentbench import figures

        if self.folder is not None:
            return figures.draw(self.folder, name, width, style)
        return figures.draw_records(self.records, name, width, style)


SEVERAL = {
    "model": ("models", "name one with model=..."),
    "dataset": ("data sets", "name one with dataset=..."),
    "latent_dim": ("latent sizes", "name one with latent_dim=..."),
    "run": ("runs", "take the Result of one run"),
    "metric_params": ("parameters", "read them in .frame"),
    "params": ("parameters of one model", "read them in .frame"),
}
"""What a metric may have several values of, by the field of a record: in words, and what to do."""


def _named(found: Iterable[Any]) -> str:
    return ", ".join(sorted(str(x) if x not in ("", None) else "none" for x in found))


def run(models: str | Sequence[str] = ("ae", "vae"), dataset: str = "digits", **options: Any) -> Result:
    """Train and measure models; the options are those of ``latentbench run`` (underscores for dashes).

    Returns the Result with the run folder and its report. Raises ValueError for wrong input, before anything is
    written. The same call again returns the finished run; an unfinished one needs ``resume=True``. With ``dry_run=True``
    everything is checked and nothing carried out: the Result has no records, and the folder that it would lie in.
    """
    settings = {"models": models, "dataset": dataset, **options}
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in settings.items() if v is not None}
    asked = make_run(with_study(settings))
    argv = ["run", *_words(settings)]
    if asked.dry_run:
        return Result((), plan.plan(asked).folder)
    outcome = carry_out(asked, argv, progress=not asked.quiet)
    return Result(outcome.records, outcome.folder, outcome.report)


def measure(
    folder: str | Path, metrics: str | Sequence[str] | None = None, out: str | Path | None = None, **options: Any
) -> Result:
    """Measure a finished run anew, without training: ``metrics`` (the default set, where none is named) on the models that it trained.

    The result is a run folder of its own, ``out`` (``<folder>-measured`` by default), whole by itself; the one measured
    stays as it is. Measures that it holds already are taken over. ``options`` are those of `run` that say how it is
    carried out (``workers``, ``quiet``, ``resume``, ...).

    Raises ValueError, one line, where the folder holds no finished run, a metric is unknown, trained weights are damaged
    or not there, or the data have changed since.
    """
    settings = {"metrics": metrics, "out": None if out is None else str(out), **options}
    settings = {k: v for k, v in settings.items() if v is not None}
    if settings.get("reuse"):
        settings["reuse"] = parse_folders(settings["reuse"])
    asked, trained = anew.measure_anew(Path(folder), settings)
    if asked.dry_run:
        return Result((), plan.plan(asked, trained).folder)
    outcome = carry_out(asked, ["measure", str(folder), *_words(settings)], not asked.quiet, trained)
    return Result(outcome.records, outcome.folder, outcome.report)


def carry_out(asked: Run, argv: Sequence[str], progress: bool, trained: anew.Trained | None = None) -> Outcome:
    """Carry out a run and write its page with `latentbench.report`; what `run`, `measure` and the command line do. See
    `latentbench.running.execute.execute`."""
    from latentbench import report

    return execute.execute(asked, argv, progress, report, trained)


def _words(settings: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line, but for ``resume``: what is to be carried on says so when it is."""
    pairs = [(k, v) for k, v in settings.items() if k not in ("resume", "reuse", "assemble", "shard")]
    pairs += [("reuse", folder) for folder in parse_folders(settings.get("reuse", ()))]
    return [f"--{k.replace('_', '-')}={_word(v)}" for k, v in pairs]


def _word(value: Any) -> str:
    if isinstance(value, str | int | float) or value is None:
        return str(value)
    return ",".join(str(v) for v in value)


def load_dataset(
    name: str, data_root: str = "data", split_seed: int = 0, memory: str | None = None, dedupe: bool = False
) -> Dataset:
    """A dataset by its name (``lines``, ``npz:PATH``, ...): ``.train``, ``.val`` and ``.test``, each with images ``.x``
    (n, c, h, w) in [0, 1], labels ``.y`` (n,) or None and known ``.factors`` (n, f) or None; of a folder of images that
    take more than ``memory`` (as `run` has it) these are samples, and ``.stream`` has all training images. ``dedupe``:
    with one of equal images, the first in the order train, validation, test. Raises ValueError for an unknown name and
    for data that is not there."""
    asked = {"dataset": name, "data_root": data_root, "split_seed": split_seed, "dedupe": dedupe}
    return catalog.load_dataset(make_run(asked if memory is None else {**asked, "memory": memory}))


def evaluate(
    encode: Any,
    decode: Callable[..., Any] | None = None,
    x_test: Any = None,
    y_test: Any = None,
    x_train: Any = None,
    y_train: Any = None,
    metrics: str | Iterable[str] | None = None,
    name: str = "mine",
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    log_likelihood: Callable[..., Any] | None = None,
    lang: str = "en",
    *,
    x_val: Any = None,
    y_val: Any = None,
    range: Any = "auto",
    layout: str = "auto",
    scale: str | None = "auto",
    posterior: str = "auto",
    batch_size: int | None = None,
    conditional: bool = False,
    quiet: bool = False,
) -> Result:
    """Measure trained models: two callables, one model, or several by their names.

    ``encode`` and ``decode`` get and return numpy arrays or tensors, whichever they were written for: they are handed
    tensors, and arrays where a first call with a tensor fails. What they get is a copy of what was handed over as ``x_test``:
    its shape, order of axes, range and type (a tensor's own float type; float32 for arrays, which say nothing of a model;
    bytes stay bytes unless they are only 0 and 1), and that is what ``decode`` gives back, or the same values flat.

    ``x_*``: an array, a tensor, a DataFrame, a list of arrays or of Pillow's images (bytes, grey or RGB), a torch Dataset or
    DataLoader (labels are taken from its pairs), a dataset of Hugging Face's or a column of one. (n, f) are vectors;
    (n, c, h, w), (n, h, w, c) and, with bytes, values in [0, 1] or a ``range``, (n, h, w) are images; (n, c, d, h, w) volumes,
    measured as vectors. ``layout``: ``image``; ``series`` for (n, steps, channels) or (n, steps); ``channels_first`` or
    ``channels_last``; what may be read in two ways is asked. ``range``: the lowest and the highest possible value, which are
    measured as 0 and 1: by default 0 and 255 of bytes, else 0 and 1; -1 to 1 and 0 to 255 in floats are recognised with a
    warning. ``scale``: vectors and series are measured after ``standard``-ising each column by the mean and the standard
    deviation of the training samples (of the test samples where there are none), or, with None, as they are; callables see
    raw values in any case.

    ``y_*``: labels of any kind, by name: integers of any values, strings, categories, booleans, one-hot rows; -1, NaN or None
    say that a sample has none. It is measured all the same wherever no label is asked for. With labels and training data a
    judge is trained, and calibrated on ``x_val`` where that has 100 samples, else on a fifth of the training samples set
    apart; without them, with one class alone or a class of a single sample the measures that need it are skipped with that
    reason. ``x_val``: what the models were tuned on: `memorisation` looks for copies there too.

    Instead of all these ``x_test`` may be a Dataset (``lb.load_dataset("lines")``) or its name (``"lines"``): its test split is
    measured, and what is known of it (the angle of every line, for the metrics ``lines.*``) is known here too.

    Instead of two callables the first argument may be a model with methods ``encode`` and ``decode`` (or ``transform`` and
    ``inverse_transform``), or a mapping of names to models or pairs of callables: all are measured by one judge on one page.
    A list of models, alone or under one name, are seeds of one, so intervals and ties work as for a run. A model may say of
    itself, as `latentbench.core.Model` has it, that it was trained with a prior of its own (``prior(noise, generator)`` and,
    where there is a density, ``log_prior(z)``: then that is asked wherever N(0, I) would be) or that its latent is discrete
    (``discrete_codes()``); both take and give latent points in the form of ``encode``'s.

    ``encode`` may return ``z`` of any shape (n, ...), which ``decode`` gets back in it; ``(mu, log_var)``; a mapping or object
    whose names say what its parts are; a torch Normal (`latentbench.evaluating.outputs`). ``posterior`` names the parts of
    another tuple: ``mean,std``, ``mean,log_var,sample``. ``decode`` may return the same, and its mean is taken.
    ``conditional``: ``decode(z, y)``, and ``encode(x, y)`` where that has two arguments. ``batch_size``: samples of one call, by
    default as many as memory allows, 512 at most.

    Every model is tried on some samples first. A torch module is measured in eval mode, in its own dtype and place, and put
    back as it was; an encoder that draws is called 8 times for its mean. What looks wrong (a sigma in the place of a
    log-variance, decoded values out of range, codes that hang on their batch) is warned about, and stands in the run's record.

    ``metrics``: names, families (``path.*``), ``default``, ``all``; the default set where none is named. ``name``: what a single model is called in tables and on the page, any but those of
    references and judges (``judge``, ``floor:…``). ``out``: a new folder for records, tables and report; ``lang``: the
    language of its prose (``en``, ``zh``, ...). ``quiet``: no progress on a terminal.
    ``log_likelihood(x, z)``: log p(x|z) in nats of images and latent points, (n,), summed over pixels, for a model that
    has a likelihood: without it ``elbo`` and ``nll.iw`` are skipped.

    Raises ValueError for data, labels, names or a folder that cannot be used, TypeError for what is no model or no samples.
    """
    from latentbench import report
    from latentbench.evaluating import evaluate as evaluating
    from latentbench.evaluating.callables import Calls
    from latentbench.evaluating.contenders import contenders, seeds_of
    from latentbench.evaluating.given import Options, given
    from latentbench.evaluating.keeping import new_folder
    from latentbench.evaluating.progress import progress

    found = contenders(encode, decode, name, seed, log_likelihood)
    chosen = catalog.find_metrics(_names(metrics))
    asked = make_run({"device": device, "seeds": seeds_of(found), "lang": lang})
    folder = new_folder(out)
    calls = Calls(posterior, batch_size, conditional)
    data = given(name, seed, (x_test, y_test), (x_train, y_train), (x_val, y_val), Options(range, layout, scale))
    with progress(len(found), quiet) as hear, denormals.as_zero():
        rows = evaluating.evaluate(found, data, calls, chosen, asked, folder, hear)
    return Result(rows) if folder is None else Result(rows, folder, report.write(folder))


def _names(metrics: str | Iterable[str] | None) -> tuple[str, ...]:
    if metrics is None:
        return ()
    return tuple(m.strip() for m in metrics.split(",")) if isinstance(metrics, str) else tuple(metrics)


def _space(info: RunInfo, where: Path) -> Space:
    """What one sample of a run's data is. Raises ValueError where its record does not say."""
    shape: Sequence[int] = info.dataset.get("shape") or ()
    if not shape or max(shape) > LARGEST_SIDE:
        raise ValueError(f"load: {where} does not say the shape of its data")
    try:
        return space_from_json(info.dataset)
    except ValueError as error:
        raise ValueError(f"load: {where} does not say what its data are: {error}") from None


LARGEST_SIDE = 2**16
"""Of a sample that a model of a run was trained on."""


def load(folder: str | Path, model: str, seed: int = 0) -> Any:
    """A trained model of a finished run, ready to ``encode`` and ``decode``, on the CPU.

    Raises ValueError where the folder holds no run, or no such model and seed, naming those there are.
    """
    files = RunFiles(Path(folder))
    rows = files.read_records("load")
    info = find_run_info(rows)
    if info is None:
        raise ValueError(f"load: {files.records} holds no run record")
    weights = {(r.model, r.seed): r for r in rows if r.metric == "weights" and r.seed is not None}
    record = weights.get((model, seed))
    if record is None or record.path is None:
        there = ", ".join(f"{m} seed {s}" for m, s in sorted(weights)) or "none"
        raise ValueError(f"{folder}: no trained model '{model}' with seed {seed} (there: {there})")
    asked = make_run({k: v for k, v in info.config.items() if v is not None})
    space = _space(info, files.records)
    path = (files.path / record.path).resolve()
    if not path.is_relative_to(files.path.resolve()):
        raise ValueError(f"load: {files.records} names weights outside the run folder: {record.path}")
    return worker.restore(catalog.resolve_model(model, asked), space, path, record.sha256 or "")

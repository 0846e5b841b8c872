"""The Python interface: ``run`` (what the command line calls), ``measure`` (a finished run anew), ``evaluate`` (any trained
model as two callables) and ``load`` (a trained model of a run back).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from latentbench import catalog, records
from latentbench.config import Run, make_run, parse_folders, with_study
from latentbench.core import Dataset, Encoding, Posterior, Split
from latentbench.datasets import duplicates
from latentbench.measuring import artifacts, scoring
from latentbench.measuring.judge import CalibratedJudge, train_judge
from latentbench.randomness import numpy_rng
from latentbench.records import JUDGE, Reason, Record
from latentbench.run_folder import EVALUATION, RunFiles, RunState, unused
from latentbench.run_info import RunInfo, find_run_info
from latentbench.running import anew, execute, plan, provenance, worker
from latentbench.running.assemble import Outcome

if TYPE_CHECKING:
    import pandas

NO_TRAIN = Reason.of("given.no_train", "no training data was given (x_train)")
NO_LABELS = Reason.of("given.no_labels", "no labels were given")
UNJUDGED = {
    NO_TRAIN: Reason.of("judge.no_train", "no judge: no training data was given (x_train)"),
    NO_LABELS: Reason.of("judge.no_labels_given", "no judge: no labels were given"),
}
"""Why there is no judge, by what was not given."""


@dataclass(frozen=True)
class Result:
    """``records``: everything measured; ``folder`` and ``report``: where it was written (None: nowhere)."""

    records: Sequence[Record]
    folder: Path | None = None
    report: Path | None = None

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
    """Measure a finished run anew, without training: ``metrics`` (all by default) on the models that it trained.

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
    pairs = [(k, v) for k, v in settings.items() if k not in ("resume", "reuse")]
    pairs += [("reuse", folder) for folder in parse_folders(settings.get("reuse", ()))]
    return [f"--{k.replace('_', '-')}={_word(v)}" for k, v in pairs]


def _word(value: Any) -> str:
    if isinstance(value, str | int | float) or value is None:
        return str(value)
    return ",".join(str(v) for v in value)


class _Callables:
    """A user's two callables as a Model that can be measured."""

    decoder_variance = None
    likelihood = ""

    def __init__(
        self,
        encode: Callable[..., Any],
        decode: Callable[..., Any] | None,
        shape: Sequence[int],
        log_likelihood: Callable[..., Any] | None = None,
    ) -> None:
        self._encode, self._decode, self._shape = encode, decode, tuple(shape)
        self._log_likelihood = log_likelihood
        # Only a model that has a likelihood has this method: see `core.Model`.
        self.log_likelihood = None if log_likelihood is None else self._likelihood_of

    def encode(self, x: Tensor) -> Posterior:
        """The posterior, from ``z``, ``(mu, log_var)`` or an object with ``.mean`` / ``.log_var``."""
        out = self._encode(x)
        if hasattr(out, "mean") and hasattr(out, "log_var"):
            out = (out.mean, out.log_var)
        parts = out if isinstance(out, tuple | list) else (out,)
        if not 1 <= len(parts) <= 2:
            raise ValueError(f"encode returned {len(parts)} things; expected z, (mu, log_var) or .mean and .log_var")
        tensors = [torch.as_tensor(p).to(x) for p in parts if p is not None]
        for tensor in tensors:
            if len(tensor) != len(x):
                raise ValueError(f"encode returned {len(tensor)} codes for {len(x)} images")
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError("encode returned values that are not finite")
        codes = [t.flatten(1) for t in tensors]
        return Posterior(codes[0], codes[1] if len(codes) > 1 else None)

    def decode(self, z: Tensor) -> Tensor:
        """Images (n, c, h, w); flat or (n, h, w) ones are given their shape back."""
        assert self._decode is not None
        out = torch.as_tensor(self._decode(z)).to(z)
        if len(out) != len(z) or out[0].numel() != int(np.prod(self._shape)):
            raise ValueError(
                f"decode returned shape {tuple(out.shape)} for {len(z)} codes; expected (n, *{self._shape})"
            )
        return out.reshape(len(z), *self._shape)

    def _likelihood_of(self, x: Tensor, z: Tensor) -> Tensor:
        assert self._log_likelihood is not None
        out = torch.as_tensor(self._log_likelihood(x, z)).to(z)
        if out.shape != (len(z),):
            raise ValueError(f"log_likelihood returned shape {tuple(out.shape)} for {len(z)} images; expected (n,)")
        return out


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
    encode: Callable[[Any], Any],
    decode: Callable[[Any], Any],
    x_test: ArrayLike | Tensor | Dataset,
    y_test: ArrayLike | Tensor | None = None,
    x_train: ArrayLike | Tensor | None = None,
    y_train: ArrayLike | Tensor | None = None,
    metrics: str | Iterable[str] | None = None,
    name: str = "mine",
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    log_likelihood: Callable[[Any, Any], Any] | None = None,
    lang: str = "en",
) -> Result:
    """Measure any trained model given as two callables.

    ``encode`` and ``decode`` get and return numpy arrays or tensors, whichever they were written for: they are handed
    float32 tensors, and arrays where a first call with a tensor fails. ``x_*`` are images (n, h, w), (n, c, h, w) or
    (n, h, w, c) with values in [0, 1]; ``y_*`` integer labels. With labels and training data a judge is trained and
    calibrated on a fifth of the training images set apart; without them the measures that need them are skipped with
    that reason. Instead of all four, ``x_test`` may be a Dataset (``lb.load_dataset("lines")``): its test split is
    measured, and what is known of it (the angle of every line, for the metrics ``lines.*``) is known here too.
    ``metrics``: names, all by default. ``name``: what the model is called in tables and on the page, any but those of
    references and judges (``judge``, ``floor:…``). ``out``: a new folder for records, tables and report; ``lang``: the
    language of its prose (``en``, ``zh``, ...).
    ``log_likelihood(x, z)``: log p(x|z) in nats of images and latent points, (n,), summed over pixels, for a model that
    has a likelihood: without it ``elbo`` and ``nll.iw`` are skipped.

    Raises ValueError for images, labels, names or a folder that cannot be used, TypeError for callables that are not.
    """
    if not isinstance(name, str):
        raise TypeError(f"name: {name!r} is not a string")
    records.model_name("name", name)
    for what, function in (("encode", encode), ("decode", decode)):
        if not callable(function):
            raise TypeError(f"{what}: {function!r} is not callable")
    if log_likelihood is not None and not callable(log_likelihood):
        raise TypeError(f"log_likelihood: {log_likelihood!r} is not callable")
    chosen = catalog.find_metrics(_names(metrics))
    asked = make_run({"device": device, "seeds": [seed], "lang": lang})
    where = torch.device("cuda" if plan.pick_device(asked) == "cuda" else "cpu")
    if out is not None:
        unused(Path(out))
    dataset, trained_on = _given(name, seed, x_test, y_test, x_train, y_train)
    has_train = trained_on is not None
    missing, judge = _judge(dataset, has_train, seed, where)
    density = None if log_likelihood is None else _either(log_likelihood)
    model = _Callables(_either(encode), _either(decode), dataset.shape, density)
    # The model was trained on all of these images, also on those the judge's thresholds were set on.
    whole = replace(dataset, train=trained_on or dataset.test)
    encoding = scoring.encode(model, whole, seed, where, judge, missing)
    if not isinstance(x_test, Dataset):  # what was set apart for the judge are training or test images of the user's
        encoding = _without_validation(encoding)
    if not has_train:
        missing = {"train": NO_TRAIN, "train_labels": NO_TRAIN}
        encoding = replace(encoding, train=None, missing={**encoding.missing, **missing})
    d = encoding.mu.shape[1]
    sha = dataset.sha256
    row = Record(dataset=_called(x_test), dataset_hash=sha, model=name, latent_dim=d, seed=seed)
    rows = scoring.score(encoding, chosen.values(), row)
    anchors = replace(row, model="", seed=None)
    rows += scoring.references(encoding, chosen.values(), anchors)
    if trained_on is not None:
        seen = encoding.validation, encoding.x
        rows.append(duplicates.count(dataset.stream or trained_on.x, *seen).to_record(row))
    if judge is not None:
        rows += judge.records(replace(anchors, model=JUDGE, role="judge"))
    if out is None:
        return Result(rows)
    return _write(Path(out), rows, encoding, dataset, row, chosen, asked)


def _given(
    name: str,
    seed: int,
    x_test: ArrayLike | Tensor | Dataset,
    y_test: ArrayLike | Tensor | None,
    x_train: ArrayLike | Tensor | None,
    y_train: ArrayLike | Tensor | None,
) -> tuple[Dataset, Split | None]:
    """What the user handed over as a Dataset, and all training images among it, None where there are none."""
    if isinstance(x_test, Dataset):
        for what, given in (("y_test", y_test), ("x_train", x_train), ("y_train", y_train)):
            if given is not None:
                raise ValueError(f"{what}: x_test is a Dataset, which brings its own; leave {what} out")
        return x_test, x_test.train
    test = _split("test", x_test, y_test)
    train = None if x_train is None else _split("train", x_train, y_train)
    if train is not None and train.x.shape[1:] != test.x.shape[1:]:
        raise ValueError(f"x_train: images of shape {tuple(train.x.shape[1:])}, x_test has {tuple(test.x.shape[1:])}")
    return _dataset(name, train or test, test, seed), train


def _without_validation(encoding: Encoding) -> Encoding:
    train = encoding.train
    return replace(encoding, validation=None, train=None if train is None else replace(train, validation=None))


def _called(x: Any) -> str:
    return x.name if isinstance(x, Dataset) else "arrays"


def _names(metrics: str | Iterable[str] | None) -> tuple[str, ...]:
    if metrics is None:
        return ()
    return tuple(m.strip() for m in metrics.split(",")) if isinstance(metrics, str) else tuple(metrics)


def _either(function: Callable[..., Any]) -> Callable[..., Any]:
    """A callable that is handed tensors or, from the first failure on, numpy arrays."""
    arrays = False

    def call(*given: Tensor) -> Any:
        nonlocal arrays
        if not arrays:
            try:
                # Copies: what a callable writes into its input is its own affair.
                return function(*(x.clone() for x in given))
            except (TypeError, AttributeError, RuntimeError) as error:
                first = error
            try:
                out = function(*(x.detach().cpu().numpy().copy() for x in given))
            except Exception:
                raise first from None
            arrays = True
            return out
        return function(*(x.detach().cpu().numpy().copy() for x in given))

    return call


def _split(which: str, x: ArrayLike | Tensor, y: ArrayLike | Tensor | None) -> Split:
    images = torch.as_tensor(x if isinstance(x, Tensor) else np.asarray(x)).detach().cpu()
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim == 4 and images.shape[1] not in (1, 3, 4) and images.shape[3] in (1, 3, 4):
        images = images.movedim(3, 1)
    if images.ndim != 4 or min(images.shape) < 1:
        raise ValueError(f"x_{which}: shape {tuple(images.shape)} is not images; expected (n, h, w) or (n, c, h, w)")
    if len(images) < 20:
        raise ValueError(f"x_{which}: {len(images)} images are too few to measure anything; at least 20")
    images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    if not bool(torch.isfinite(images).all()):
        raise ValueError(f"x_{which}: holds NaN or infinite values")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise ValueError(f"x_{which}: values from {low:.4g} to {high:.4g}; expected [0, 1]")
    if y is None:
        return Split(images, None)
    labels = torch.as_tensor(y if isinstance(y, Tensor) else np.asarray(y)).detach().cpu()
    if labels.shape != (len(images),) or labels.dtype.is_floating_point or int(labels.min()) < 0:
        raise ValueError(f"y_{which}: expected {len(images)} labels, integers from 0, got shape {tuple(labels.shape)}")
    return Split(images, labels.long())


def _dataset(name: str, train: Split, test: Split, seed: int) -> Dataset:
    """Training images with a fifth set apart for the judge's thresholds."""
    order = torch.from_numpy(numpy_rng(seed, "evaluate split").permutation(len(train.x)))
    cut = len(order) // 5
    pick = [Split(train.x[i], None if train.y is None else train.y[i]) for i in (order[cut:], order[:cut])]
    classes = () if test.y is None else tuple(str(c) for c in range(int(test.y.max()) + 1))
    return Dataset(name, pick[0], pick[1], test, classes)


def _judge(
    dataset: Dataset, has_train: bool, seed: int, device: torch.device
) -> tuple[dict[str, str], CalibratedJudge | None]:
    missing: dict[str, str] = {}
    if dataset.test.y is None:
        missing["labels"] = NO_LABELS
    if dataset.train.y is None:
        missing["train_labels"] = NO_LABELS
    if not has_train or missing:
        return {**missing, "judge": UNJUDGED[NO_LABELS if missing else NO_TRAIN]}, None
    judge = train_judge(dataset, seed)
    if judge.refusal:
        return {**missing, "judge": judge.refusal}, None
    return missing, judge.to(device)


def _write(
    folder: Path,
    rows: list[Record],
    encoding: Any,
    dataset: Dataset,
    row: Record,
    chosen: Mapping[str, Any],
    asked: Run,
) -> Result:
    """The run folder of an evaluation: records, pictures, tables, page."""
    from latentbench import report

    files = RunFiles(folder)
    place = files.make(EVALUATION)
    arrays, detail = artifacts.data(dataset)
    rows.append(artifacts.write(arrays, detail, place, EVALUATION, replace(row, model="", seed=None), "data", "data"))
    rows += artifacts.exhibit(encoding, place, EVALUATION, row, "0")
    if len(encoding.mu) > artifacts.NEIGHBOURS:
        arrays, detail = artifacts.latent_map(encoding.mu[artifacts.map_index(len(encoding.mu))], encoding.seed)
        rows.append(artifacts.write(arrays, detail, place, EVALUATION, row, "map", "map-0"))
    environment = provenance.describe_environment(str(encoding.mu.device.type))
    config = {"models": [row.model], "dataset": row.dataset, "latent_dim": row.latent_dim, "seeds": list(asked.seeds)}
    settings = {**config, "lang": asked.lang}
    info = provenance.describe_run(
        settings, (dataset,), list(chosen.values()), environment, "lb.evaluate(...)", {row.model: {"params": {}}}
    )
    name = f"evaluate-{records.digest([config, dataset.sha256, sorted(chosen)], 8)}"
    head, mark = replace(info.to_record(), latent_dim=row.latent_dim), records.digest(environment)
    done = [replace(r, run=name, environment=mark) for r in (head, *rows)]
    files.write_records(done)
    page = report.write(folder)
    files.write_state(RunState(name, "finished", dataset.sha256, info.to_detail()))
    return Result(done, folder, page)


def _shape(info: RunInfo, where: Path) -> tuple[int, int, int]:
    """(c, h, w) of a run's images. Raises ValueError where its record does not say."""
    shape: Sequence[int] = info.dataset.get("shape") or ()
    if len(shape) != 3 or max(shape) > LARGEST_SIDE:
        raise ValueError(f"load: {where} does not say the shape of its images")
    c, h, w = shape
    return c, h, w


LARGEST_SIDE = 2**16
"""Of an image that a model of a run was trained on."""


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
    shape = _shape(info, files.records)
    path = (files.path / record.path).resolve()
    if not path.is_relative_to(files.path.resolve()):
        raise ValueError(f"load: {files.records} names weights outside the run folder: {record.path}")
    return worker.restore(catalog.resolve_model(model, asked), shape, path, record.sha256 or "")

"""Measure models that were trained elsewhere, all by one judge.

    given       what was handed over -> Dataset, and the form in which callables get and give samples
    contenders  models by name and seed -> callables -> Model
    probe       each on a few samples: refused, or noticed what looks wrong
    judge, then each model: Encoding, metrics -> records -> the run folder, where one was asked for

With a folder, records are written as they come: what is done when a later model fails is not lost, and a picture that
fails is a record that says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from latentbench.config import Run
from latentbench.core import BOUNDS, DECODER, TRAIN, Encoding, Metric, Undefined
from latentbench.datasets import duplicates
from latentbench.evaluating.callables import Callables, Calls
from latentbench.evaluating.contenders import Contender
from latentbench.evaluating.given import Given
from latentbench.evaluating.hints import heeded
from latentbench.evaluating.keeping import Keeper
from latentbench.evaluating.modules import parameters_of
from latentbench.evaluating.probe import note_changes, probe
from latentbench.measuring import artifacts, scoring
from latentbench.measuring.baselines import ANCHOR, PrincipalComponents
from latentbench.measuring.judge import CalibratedJudge, train_judge
from latentbench.records import JUDGE, Reason, Record
from latentbench.run_folder import EVALUATION
from latentbench.running import plan

NO_TRAIN = Reason.of("given.no_train", "no training data was given (x_train)")
NO_LABELS = Reason.of("given.no_labels", "no labels were given")
UNJUDGED = {
    NO_TRAIN: Reason.of("judge.no_train", "no judge: no training data was given (x_train)"),
    NO_LABELS: Reason.of("judge.no_labels_given", "no judge: no labels were given"),
}
"""Why there is no judge, by what was not given."""
EXACT = 1024
"""Pixels up to which principal components are found exactly: beyond, that would take longer than many a model."""

Hear = Callable[[str, int, str], None]
"""Hears of a model, by its name and seed, what is done with it now (``probe``, ``measure``); of the judge, ``train``."""


def evaluate(
    contenders: Sequence[Contender],
    given: Given,
    calls: Calls,
    chosen: Mapping[str, Metric],
    asked: Run,
    folder: Path | None,
    hear: Hear,
) -> list[Record]:
    """Every record of an evaluation; see the module's docstring. Each of the ``contenders`` is tried on a few samples before
    anything else is done. Raises ValueError or TypeError for one that cannot be used: then nothing is written. One that
    fails later, on a sample it was not tried on, is recorded as failed, and the others are measured; its error is raised
    where there are no others."""
    device = torch.device("cuda" if plan.pick_device(asked) == "cuda" else "cpu")
    models = [(one, Callables(one, *heeded(one.model, given, calls))) for one in contenders]
    for one, model in models:
        hear(one.name, one.seed, "probe")
        probe(model, device)
    hear(JUDGE, 0, "train")
    judge, missing = _judge(given, asked.seeds[0], device)
    keeper = Keeper(models, given, chosen, asked, folder, device.type)
    evaluation = _Evaluation(keeper, given, chosen, device, judge, missing)
    first: Exception | None = None
    for number, (one, model) in enumerate(models):
        hear(one.name, one.seed, "measure")
        error = evaluation.measure(number, one, model)
        if error is not None:
            first = first or error
            warnings.warn(f"'{one.name}' (seed {one.seed}) could not be measured: {error}", stacklevel=3)
            keeper.hold_back(scoring.failed(chosen.values(), evaluation.row_of(one), scoring.caught(error)))
        note_changes(model)
    if first is not None and not keeper.is_open:
        raise first
    keeper.keep([])
    return keeper.finish()


class _Evaluation:
    """What measuring one model after the other takes."""

    def __init__(
        self,
        keeper: Keeper,
        given: Given,
        chosen: Mapping[str, Metric],
        device: torch.device,
        judge: CalibratedJudge | None,
        missing: Mapping[str, str],
    ) -> None:
        self.keeper, self.given, self.metrics = keeper, given, list(chosen.values())
        self.device, self.judge, self.missing = device, judge, missing
        self._anchored: set[int] = set()

    def row_of(self, one: Contender, size: int | None = None) -> Record:
        """What all records of a model share."""
        return replace(self.keeper.row, model=one.name, latent_dim=size, seed=one.seed)

    def measure(self, number: int, one: Contender, model: Callables) -> Exception | None:
        """Keep the records of one model: its measures, its pictures and, of a latent size that is new, the anchors. Returns
        what its callables raised when its codes were taken; what they raise later is a failed measure."""
        with model.held():
            try:
                encoding = _encoding(model, self.given, one.seed, self.device, self.judge, self.missing)
            except Exception as error:  # whatever a user's callable raises is a result of measuring it
                return error
            if not self.keeper.is_open:
                self.keeper.open()
                self.keeper.keep(_of_data(self.given, self.judge, self.keeper))
            size = encoding.mu.shape[1]
            row = self.row_of(one, size)
            rows = [*_weights(model, row), *scoring.score(encoding, self.metrics, row)]
            if size not in self._anchored:
                self._anchored.add(size)
                reference = replace(row, model="", seed=None)
                rows += _linear(self.given, self.metrics, self.device, size, reference)
                rows += scoring.references(encoding, self.metrics, reference)
            self.keeper.keep(rows)
            if self.keeper.place is not None:
                self.keeper.keep(_pictures(encoding, model, self.keeper.place, row, str(number)))
        return None


def _judge(given: Given, seed: int, device: torch.device) -> tuple[CalibratedJudge | None, dict[str, str]]:
    """The judge that all are measured by and, where there is none, the reasons for all that needs it."""
    dataset, missing = given.dataset, dict[str, str]()
    if dataset.test.y is None:
        missing["labels"] = NO_LABELS
    if dataset.train.y is None:
        missing["train_labels"] = NO_LABELS
    if given.trained_on is None or missing:
        return None, {**missing, "judge": UNJUDGED[NO_LABELS if missing else NO_TRAIN]}
    try:
        judge = train_judge(dataset, seed)
    except Undefined as undefined:
        return None, {**missing, "judge": undefined.reason}
    if judge.refusal:
        return None, {**missing, "judge": judge.refusal}
    return judge.to(device), missing


def _of_data(given: Given, judge: CalibratedJudge | None, keeper: Keeper) -> list[Record]:
    """What is known before any model is measured: copies among the splits, the judge, the pictures of the data."""
    dataset, row, rows = given.dataset, keeper.row, list[Record]()
    if given.trained_on is not None:
        train = dataset.stream or given.trained_on.x
        rows.append(duplicates.count(train, given.validation, dataset.test.x).to_record(row))
    if judge is not None:
        rows += judge.records(replace(row, model=JUDGE, role="judge"))
    if keeper.place is not None:
        draw = partial(artifacts.data, dataset)
        rows += artifacts.attempt(draw, keeper.place, EVALUATION, row, "data", "data")
    return rows


def _encoding(
    model: Callables,
    given: Given,
    seed: int,
    device: torch.device,
    judge: CalibratedJudge | None,
    missing: Mapping[str, str],
) -> Encoding:
    """The model's view of what was given. It was trained on all training data, also on those the judge's thresholds were
    set on."""
    dataset = given.dataset
    whole = replace(dataset, train=given.trained_on or dataset.test)
    encoding = scoring.encode(model, whole, seed, device, judge, missing)
    validation = None if given.validation is None else given.validation.to(device)
    train = None if encoding.train is None else replace(encoding.train, validation=validation)
    encoding = replace(encoding, validation=validation, train=train)
    if given.trained_on is None:
        absent = {"train": NO_TRAIN, "train_labels": NO_TRAIN}
        encoding = replace(encoding, train=None, missing={**encoding.missing, **absent})
    return encoding


def _weights(model: Callables, row: Record) -> list[Record]:
    """How many weights the modules behind a model have; nothing of what is no module."""
    count = parameters_of(model.modules)
    if not count:
        return []
    name, unit = "cost.parameters", "parameters"
    return [replace(row, metric=name, value=float(count), unit=unit, better="lower", bounds=(0.0, None))]


def _linear(given: Given, metrics: Sequence[Metric], device: torch.device, size: int, row: Record) -> list[Record]:
    """What principal components of the training data reconstruct with as many dimensions: the measures of reconstruction
    alone, which take no judge."""
    needs = {DECODER, TRAIN, BOUNDS}
    some = [replace(m, splits=("test",)) for m in metrics if m.family == "reconstruction" and m.needs <= needs]
    if given.trained_on is None or not some:
        return []
    linear = PrincipalComponents(given.trained_on.x.to(device), size, exact=EXACT)
    encoding = scoring.encode(linear, replace(given.dataset, train=given.trained_on), 0, device)
    return scoring.score(encoding, some, replace(row, model=ANCHOR, role="baseline"))


def _pictures(encoding: Encoding, model: Callables, place: Path, row: Record, stem: str) -> list[Record]:
    """The artifact records of a model's pictures and of the map of its latent space."""
    rows = artifacts.exhibit(encoding, place, EVALUATION, row, stem, model.modules)
    if len(encoding.mu) > artifacts.NEIGHBOURS:
        shown = encoding.mu[artifacts.map_index(len(encoding.mu))]
        draw = partial(artifacts.latent_map, shown, encoding.seed)
        rows += artifacts.attempt(draw, place, EVALUATION, row, "map", f"map-{stem}")
    return rows

"""Measure models that were trained elsewhere, all by one judge.

    given       what was handed over -> Dataset, and the form in which callables get and give samples
    contenders  models by name and seed -> callables -> Model
    judge, then each model: Encoding, metrics -> records -> the run folder, where one was asked for

With a folder, records are written as they come: what is done when a later model fails is not lost, and a picture that
fails is a record that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from latentbench import records
from latentbench.config import Run
from latentbench.core import Encoding, Metric, Undefined
from latentbench.datasets import duplicates
from latentbench.evaluating.callables import Callables, Calls
from latentbench.evaluating.contenders import Contender
from latentbench.evaluating.given import Given
from latentbench.evaluating.hints import heeded
from latentbench.measuring import artifacts, scoring
from latentbench.measuring.judge import CalibratedJudge, train_judge
from latentbench.records import JUDGE, Reason, Record
from latentbench.run_folder import EVALUATION, RunFiles, RunState
from latentbench.running import plan, provenance

NO_TRAIN = Reason.of("given.no_train", "no training data was given (x_train)")
NO_LABELS = Reason.of("given.no_labels", "no labels were given")
UNJUDGED = {
    NO_TRAIN: Reason.of("judge.no_train", "no judge: no training data was given (x_train)"),
    NO_LABELS: Reason.of("judge.no_labels_given", "no judge: no labels were given"),
}
"""Why there is no judge, by what was not given."""

Hear = Callable[[str, int, str], None]
"""Hears of a model, by its name and seed, what is done with it now."""


def evaluate(
    contenders: Sequence[Contender],
    given: Given,
    calls: Calls,
    chosen: Mapping[str, Metric],
    asked: Run,
    folder: Path | None,
    hear: Hear,
) -> list[Record]:
    """Every record of an evaluation; see the module's docstring. Each of the ``contenders`` is tried on four samples before
    anything else is done. Raises ValueError or TypeError for one that cannot be used: then nothing is written."""
    device = torch.device("cuda" if plan.pick_device(asked) == "cuda" else "cpu")
    models = [Callables(one, *heeded(one.model, given, calls)) for one in contenders]
    for one, model in zip(contenders, models, strict=True):
        hear(one.name, one.seed, "probe")
        model.probe(device)
    hear(JUDGE, 0, "train")
    judge, missing = _judge(given, asked.seeds[0], device)
    evaluation = _Evaluation(contenders, given, chosen, asked, folder, str(device.type))
    evaluation.keep(_of_data(given, judge, evaluation))
    for number, (one, model) in enumerate(zip(contenders, models, strict=True)):
        hear(one.name, one.seed, "measure")
        encoding = _encoding(model, given, one.seed, device, judge, missing)
        evaluation.keep(_measured(evaluation, number, one, encoding))
    return evaluation.finish()


class _Evaluation:
    """What all records of an evaluation share, and where they are kept as they come."""

    def __init__(
        self,
        contenders: Sequence[Contender],
        given: Given,
        chosen: Mapping[str, Metric],
        asked: Run,
        folder: Path | None,
        device: str,
    ) -> None:
        self.chosen, self.given, self.asked = chosen, given, asked
        self.files = None if folder is None else RunFiles(folder)
        self.place = None if self.files is None else self.files.make(EVALUATION)
        self.anchored: set[int] = set()
        self._rows: list[Record] = []
        dataset = given.dataset
        names = list(dict.fromkeys(c.name for c in contenders))
        self.row = Record(dataset=given.name, dataset_hash=dataset.sha256)
        self._config = {"models": names, "dataset": given.name, "seeds": list(asked.seeds)}
        environment = provenance.describe_environment(device)
        self._info = provenance.describe_run(
            {**self._config, "lang": asked.lang},
            (dataset,),
            list(chosen.values()),
            environment,
            "lb.evaluate(...)",
            {name: {"params": {}} for name in names},
        )
        self._id = f"evaluate-{records.digest([self._config, dataset.sha256, sorted(chosen)], 8)}"
        self._mark = records.digest(environment)

    def keep(self, rows: Sequence[Record]) -> None:
        """Add records, and write all there are."""
        self._rows += rows
        if self.files is not None:
            self.files.write_state(RunState(self._id, "unfinished", self.given.dataset.sha256, self._info.to_detail()))
            self.files.write_records(self._stamped())

    def finish(self) -> list[Record]:
        """All records; in the folder they are now said to be all."""
        rows = self._stamped()
        if self.files is not None:
            self.files.write_state(RunState(self._id, "finished", self.given.dataset.sha256, self._info.to_detail()))
        return rows

    def _stamped(self) -> list[Record]:
        sizes = {r.latent_dim for r in self._rows if r.latent_dim is not None}
        head = replace(self._info.to_record(), latent_dim=sizes.pop() if len(sizes) == 1 else None)
        return [replace(r, run=self._id, environment=self._mark) for r in (head, *self._rows)]


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


def _of_data(given: Given, judge: CalibratedJudge | None, evaluation: _Evaluation) -> list[Record]:
    """What is known before any model is measured: copies among the splits, the judge, the pictures of the data."""
    dataset, row, rows = given.dataset, evaluation.row, list[Record]()
    if given.trained_on is not None:
        train = dataset.stream or given.trained_on.x
        rows.append(duplicates.count(train, given.validation, dataset.test.x).to_record(row))
    if judge is not None:
        rows += judge.records(replace(row, model=JUDGE, role="judge"))
    if evaluation.place is not None:
        draw = partial(artifacts.data, dataset)
        rows += artifacts.attempt(draw, evaluation.place, EVALUATION, row, "data", "data")
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


def _measured(evaluation: _Evaluation, number: int, one: Contender, encoding: Encoding) -> list[Record]:
    """The records of one model: its measures, its pictures and, of a latent size that is new, the anchors."""
    size, metrics = encoding.mu.shape[1], evaluation.chosen.values()
    row = replace(evaluation.row, model=one.name, latent_dim=size, seed=one.seed)
    rows = scoring.score(encoding, metrics, row)
    if size not in evaluation.anchored:
        evaluation.anchored.add(size)
        rows += scoring.references(encoding, metrics, replace(row, model="", seed=None))
    if evaluation.place is not None:
        place, stem = evaluation.place, str(number)
        rows += artifacts.exhibit(encoding, place, EVALUATION, row, stem)
        if len(encoding.mu) > artifacts.NEIGHBOURS:
            shown = encoding.mu[artifacts.map_index(len(encoding.mu))]
            draw = partial(artifacts.latent_map, shown, encoding.seed)
            rows += artifacts.attempt(draw, place, EVALUATION, row, "map", f"map-{stem}")
    return rows

"""The records of an evaluation and the folder they are written to as they come."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentbench import records
from latentbench.config import Run
from latentbench.core import Metric
from latentbench.evaluating.callables import Callables
from latentbench.evaluating.contenders import Contender
from latentbench.evaluating.given import Given
from latentbench.evaluating.modules import parameters_of
from latentbench.records import Record
from latentbench.run_folder import EVALUATION, RunFiles, RunState, RunStatus, unused
from latentbench.running import provenance

COMMAND = "lb.evaluate(...)"


def new_folder(out: str | Path | None) -> Path | None:
    """Where an evaluation is to be written; None: nowhere. Raises ValueError where something lies there, and says so of an
    evaluation that was stopped in the middle."""
    if out is None:
        return None
    folder = Path(out)
    state = RunFiles(folder).read_state()
    if state is not None and state.status == "unfinished" and state.about.get("command") == COMMAND:
        raise ValueError(
            f"out: {folder} holds an evaluation that was stopped before it was finished ({state.id}); what it has is read "
            "by latentbench report; remove it or choose a new folder"
        )
    return unused(folder)


class Keeper:
    """What all records of an evaluation share, and where they are kept: in memory and, from `open` on, in the ``folder``,
    where there is one. Each time records come all are written anew, so that a kill loses only what was being measured."""

    def __init__(
        self,
        contenders: Sequence[tuple[Contender, Callables]],
        given: Given,
        chosen: Mapping[str, Metric],
        asked: Run,
        folder: Path | None,
        device: str,
    ) -> None:
        self._given, self._contenders, self._started = given, contenders, time.time()
        self._files = None if folder is None else RunFiles(folder)
        self.place: Path | None = None
        """The folder that pictures are put into; None before `open` and where there is none."""
        self.is_open = False
        """Whether something could be measured, so that records go where they stay."""
        self._rows: list[Record] = []
        self._kept_back: list[Record] = []
        dataset = given.dataset
        names = list(dict.fromkeys(one.name for one, _ in contenders))
        self.row = Record(dataset=given.name, dataset_hash=dataset.sha256)
        config = {"models": names, "dataset": given.name, "seeds": list(asked.seeds), "lang": asked.lang}
        environment = provenance.describe_environment(device)
        self._info = provenance.describe_run(
            config, (dataset,), list(chosen.values()), environment, COMMAND, {}, self._started
        )
        marks = [[one.name, one.seed, model.mark] for one, model in contenders]
        self._id = f"evaluate-{records.digest([config, marks, dataset.sha256, sorted(chosen)], 8)}"
        self._mark = records.digest(environment)

    def open(self) -> None:
        """Make the folder: from now on there is something to write."""
        self.is_open = True
        if self._files is not None:
            self.place = self._files.make(EVALUATION)

    def hold_back(self, rows: Sequence[Record]) -> None:
        """Records of what could not be measured, to be kept once something could."""
        self._kept_back += rows

    def keep(self, rows: Sequence[Record]) -> None:
        """Add records, and write all there are."""
        self._rows += [*rows, *self._kept_back]
        self._kept_back = []
        self._write_state("unfinished")
        if self._files is not None:
            self._files.write_records(self._stamped())

    def finish(self) -> list[Record]:
        """All records; in the folder they are now said to be all."""
        self._info = replace(self._info, seconds=round(time.time() - self._started, 1))
        rows = self._stamped()
        if self._files is not None:
            self._files.write_records(rows)
        self._write_state("finished")
        return rows

    def _write_state(self, status: RunStatus) -> None:
        if self._files is not None:
            about = self._described().to_detail()
            self._files.write_state(RunState(self._id, status, self._given.dataset.sha256, about))

    def _described(self) -> Any:
        """What the run says of itself: of the models also what was noticed when they were called."""
        return replace(self._info, models=_models(self._contenders))

    def _stamped(self) -> list[Record]:
        sizes = {r.latent_dim for r in self._rows if r.latent_dim is not None}
        head = replace(self._described().to_record(), latent_dim=sizes.pop() if len(sizes) == 1 else None)
        run = (
            self._id if self._files is not None else ""
        )  # what is kept in memory may be put together with more of its kind
        return [replace(r, run=run, environment=self._mark) for r in (head, *self._rows)]


def _models(contenders: Sequence[tuple[Contender, Callables]]) -> dict[str, Any]:
    """What the run record says of each model: its number of weights, the shape of its codes, how it was called and what was
    noticed; of one of several seeds that of the first, and every notice of any."""
    out: dict[str, Any] = {}
    for one, model in contenders:
        about = out.setdefault(one.name, {"params": {}, **_about(model)})
        said = {note["code"]: note for note in about.get("notes", [])}
        for note in model.notes.values():
            said.setdefault(note.code, {"code": note.code, "text": str(note), "values": dict(note.values)})
        if said:
            about["notes"] = list(said.values())
    return out


def _about(model: Callables) -> dict[str, Any]:
    weights = parameters_of(model.modules)
    return {
        **({"parameters": weights} if weights else {}),
        "latent_shape": list(model.latent_shape or ()),
        "encode_gets": model.encoder.form,
        "decode_gets": model.decoder.form,
        "batch_size": model.batch,
    }

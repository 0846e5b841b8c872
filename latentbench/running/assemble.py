"""A run folder put together from its units: records in the plan's order, tables, state."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latentbench import catalog, records
from latentbench.config import studies
from latentbench.records import Reason, Record, digest
from latentbench.running import worker
from latentbench.running.plan import Planned
from latentbench.running.provenance import describe_environment, run_record
from latentbench.running.worker import Unit


@dataclass(frozen=True)
class Outcome:
    """What came out: the run folder, the page, all records, how many (spec, seed) cells failed, and whether the run
    had been finished before and was left as it was."""

    folder: Path
    report: Path
    records: list[Record]
    failed: int
    finished_before: bool = False


def read_state(folder: Path) -> dict[str, Any] | None:
    """The run.json of a folder that holds a run, else None."""
    try:
        state = json.loads((folder / "run.json").read_text("utf-8"))
        return state if isinstance(state, dict) and {"id", "status"} <= state.keys() else None
    except (OSError, ValueError):
        return None


def write_state(planned: Planned, argv: Sequence[str], status: str, detail: dict[str, Any]) -> None:
    """Write run.json: what the folder is the run of, and how far it is."""
    state = {
        "id": planned.run.id,
        "status": status,
        "dataset_sha256": planned.dataset.sha256,
        "command": "latentbench " + shlex.join(argv),
        "config": planned.run.model_dump(mode="json", by_alias=True),
        **detail,
    }
    text = json.dumps(state, indent=2, ensure_ascii=False, default=dict) + "\n"
    records.write_text(planned.folder / "run.json", text)


def assemble(planned: Planned, argv: Sequence[str], started: float, crashed: dict[str, str]) -> Outcome:
    """Records of all units in the plan's order, then everything derived from them."""
    from latentbench import report

    environment = describe_environment(planned.units[0]["device"])
    mark = digest(environment)
    rows: list[Record] = []
    for unit in planned.units:
        name = worker.folder_of(unit)
        if name in crashed:
            rows += _crash_records(planned, unit, crashed[name])
        else:
            rows += records.read(planned.folder / name / "records.jsonl")
    rows = _without_repeats(rows)
    head = run_record(
        planned.run.model_dump(mode="json", by_alias=True),
        planned.dataset,
        list(catalog.find_metrics(planned.run.metrics).values()),
        environment,
        "latentbench " + shlex.join(argv),
        _models(planned, rows),
        started,
        studies()[planned.run.study].note(planned.run) if planned.run.study else None,
    )
    rows = [replace(r, run=planned.run.id, environment=mark) for r in (head, *rows)]
    records.write(planned.folder / "records.jsonl", rows)
    report.write_tables(planned.folder, planned.run.lang)
    page = report.render([planned.folder], lang=planned.run.lang)
    write_state(planned, argv, "unfinished" if crashed else "finished", dict(head.detail))
    return Outcome(planned.folder, page, rows, failed_cells(rows))


def _without_repeats(rows: list[Record]) -> list[Record]:
    """Floors and anchors that several metrics of one name share stand once."""
    return list({r.to_json(): r for r in rows}.values())


def _crash_records(planned: Planned, unit: Unit, reason: str) -> list[Record]:
    from latentbench.measuring import scoring

    reason = reason if isinstance(reason, Reason) else Reason.raised(reason)
    if unit["kind"] != "measure":
        what = f"unit.{unit['kind']}"
        model = unit.get("model", "")
        row = Record(dataset=planned.run.dataset, model=model, latent_dim=unit["latent_dims"].get(model))
        return [replace(row, metric=what, status="failed", reason=reason)]
    metrics = catalog.find_metrics(tuple(unit["metrics"])).values()
    row = Record(
        dataset=planned.run.dataset,
        dataset_hash=unit["dataset_sha256"],
        model=unit["model"],
        params=planned.params[unit["model"]],
        latent_dim=unit["latent_dims"][unit["model"]],
    )
    return [r for seed in unit["seeds"] for r in scoring.failed(metrics, replace(row, seed=seed), reason)]


def failed_cells(rows: Sequence[Record]) -> int:
    """How many (model, seed) cells hold a failure."""
    return len({(r.model, r.seed) for r in rows if r.status == "failed"})


def _models(planned: Planned, rows: Sequence[Record]) -> dict[str, Any]:
    """What the run record says of each model: parameters as set, their number, the implied decoder variance."""

    def first(metric: str, model: str) -> float | None:
        return next((r.value for r in rows if r.metric == metric and r.model == model), None)

    return {
        text: {
            "params": planned.params[text],
            "parameters": first("cost.parameters", text),
            "decoder_variance": first("decoder_variance", text),
        }
        for text in planned.run.models
    }

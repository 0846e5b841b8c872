"""A run folder put together from its units: records in the plan's order, tables, state."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from latentbench import catalog
from latentbench.measuring import scoring
from latentbench.records import Kept, Reason, Record, digest
from latentbench.run_folder import RunFiles, RunState, RunStatus, Seal
from latentbench.run_info import RunInfo
from latentbench.running import manifest, precision
from latentbench.running.plan import Planned
from latentbench.running.provenance import describe_environment, describe_run
from latentbench.running.reuse import Reused
from latentbench.running.unit import Part
from latentbench.studies.presets import studies


class Page(Protocol):
    """What makes a page of a run folder; the package `latentbench.report` is one."""

    def load(self) -> None:
        """Import what `write` takes, while there is something else to wait for."""
        ...

    def write(self, folder: Path, lang: str) -> Path:
        """Write all that is derived from the folder's records, in a language, and return the page's path."""
        ...


NAMED = 3
"""Units that a line names."""


@dataclass(frozen=True)
class ShardOutcome:
    """How far a shard is (``name``, such as ``3/16``), or a run that was to be put together (no name): how many units were
    ``done`` now, the folders of those that ``failed`` with the reason, of those that are ``missing`` because they wait for
    others, and the numbers of the shards ``awaited``."""

    name: str
    done: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    awaited: tuple[int, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True where nothing is left to do."""
        return not self.failed and not self.missing

    def lines(self) -> Iterator[str]:
        """What to say of what is not whole, a line each."""
        for folder, reason in self.failed.items():
            yield f"failed: {folder}: {reason}"
        if self.missing and self.name:
            others = ", ".join(f"{number}/{self.name.partition('/')[2]}" for number in self.awaited)
            yield (
                f"shard {self.name}: {len(self.missing)} of its units need what shard {others} has not done, and nobody is at "
                "work on that; run it, then this one again"
            )
        elif self.missing:
            more = f" and {len(self.missing) - NAMED} more" if len(self.missing) > NAMED else ""
            yield (
                f"assemble: not there: {', '.join(self.missing[:NAMED])}{more}; run the shards that have not ended, or this "
                "command with --resume in place of --assemble"
            )


@dataclass(frozen=True)
class Outcome:
    """What came out: the run folder, the page, all records, how many (spec, seed) cells failed, whether the run had been
    finished before and was left as it was, and how much was reused. Of a run that is not put together yet there are
    neither page nor records: ``shard`` says how far it is."""

    folder: Path
    report: Path | None
    records: Kept
    failed: int
    finished_before: bool = False
    reused: Reused | None = None
    shard: ShardOutcome | None = None


def write_state(
    planned: Planned, argv: Sequence[str], status: RunStatus, about: Mapping[str, Any], seal: Seal | None = None
) -> None:
    """Write what the folder is the run of, and how far it is."""
    asked = {"command": _command(argv), "config": _config(planned), precision.KEY: planned.precision}
    state = RunState(planned.run.id, status, planned.dataset.sha256, {**asked, **about}, seal)
    RunFiles(planned.folder).write_state(state)


def assemble(
    planned: Planned,
    argv: Sequence[str],
    started: float,
    crashed: Mapping[str, str],
    page: Page,
    said: RunInfo | None = None,
) -> Outcome:
    """Records of all parts in the plan's order, then everything derived from them. ``crashed``: the folders of units that
    failed, with the reason; ``said``: what the run said of itself when it was over, where it is put together again."""
    rows = _without_repeats(_rows(planned, crashed))
    info = said or _describe(planned, argv, started, rows)
    mark = digest(info.environment)
    rows = [replace(r, run=planned.run.id, environment=mark) for r in (info.to_record(), *rows)]
    files = RunFiles(planned.folder)
    files.write_records(rows)
    before = files.read_state()
    if before is not None and before.seal is not None and files.records.name in files.altered(before.seal):
        write_state(planned, argv, "unfinished", {})  # the seal is of other records: of those before the damage
    RunFiles(planned.folder).page.unlink(
        missing_ok=True
    )  # damaged, it would not be known for one of this package's own
    written = page.write(planned.folder, planned.run.lang)
    if crashed:
        write_state(planned, argv, "unfinished", info.to_detail())
    else:
        units = {Path(place).name for place in planned.places.values()}
        write_state(planned, argv, "finished", info.to_detail(), files.seal(planned.mark, units, planned.run.lang))
    return Outcome(planned.folder, written, Kept(rows), failed_cells(rows), reused=planned.reused)


def _describe(planned: Planned, argv: Sequence[str], started: float, rows: Sequence[Record]) -> RunInfo:
    info = describe_run(
        _config(planned),
        planned.splits,
        list(catalog.find_metrics(planned.run.metrics).values()),
        describe_environment(planned.device),
        _command(argv),
        _models(planned, rows),
        started,
        studies()[planned.run.study].note(planned.run) if planned.run.study else None,
        planned.precision,
    )
    return replace(info, forecasts={model: f._asdict() for model, f in planned.forecasts.items()})


def _config(planned: Planned) -> dict[str, Any]:
    return planned.run.model_dump(mode="json", by_alias=True)


def _command(argv: Sequence[str]) -> str:
    return "latentbench " + shlex.join(argv)


def _without_repeats(rows: list[Record]) -> list[Record]:
    """Floors and anchors that several metrics of one name share stand once."""
    return list({r.to_json(): r for r in rows}.values())


def _rows(planned: Planned, crashed: Mapping[str, str]) -> list[Record]:
    """The records of all parts. Data of other runs may have lain under another name: theirs is this run's."""
    read: dict[str, dict[str, list[Record]]] = {}
    out: list[Record] = []
    for part in planned.parts:
        place = planned.places[part.key]
        if place in crashed:
            out += _crash_records(planned, part, crashed[place])
            continue
        if place not in read:
            read[place] = _of_unit(planned.folder / place)
        out += read[place].get(part.key, [])  # of one that made do without some weights: what it has
    return [replace(r, dataset=planned.run.dataset) if r.dataset else r for r in out]


def _of_unit(folder: Path) -> dict[str, list[Record]]:
    """The records of a unit, by the keys of its parts. Raises ValueError where it is damaged."""
    if (unit := manifest.read(folder)) is None:
        raise ValueError(f"out: {folder} was damaged while the run was under way; add --resume to compute it anew")
    return {manifest.promised(key): rows for key, rows in unit.rows().items()}


def _crash_records(planned: Planned, part: Part, reason: str) -> list[Record]:
    reason = reason if isinstance(reason, Reason) else Reason.raised(reason)
    row = Record(dataset=planned.run.dataset)
    place = planned.places[part.key]
    spec = next((m for m in planned.models if m.text == part.model), None)
    if part.kind == "train" and spec is not None:
        row = replace(row, model=spec.text, latent_dim=spec.latent_dim)
    if part.kind != "measure" or spec is None:
        return [replace(row, metric=f"unit.{part.kind}", status="failed", reason=reason)]
    if not part.metric:
        return []
    row = Record(
        dataset=planned.run.dataset,
        dataset_hash=next(u.dataset_sha256 for u in planned.units if u.folder == place),
        model=spec.text,
        params=spec.params,
        latent_dim=spec.latent_dim,
        seed=part.seed,
    )
    return scoring.failed(catalog.find_metrics((part.metric,)).values(), row, reason)


def failed_cells(rows: Sequence[Record]) -> int:
    """How many (model, seed) cells hold a failure."""
    return len({(r.model, r.seed) for r in rows if r.status == "failed"})


def _models(planned: Planned, rows: Sequence[Record]) -> dict[str, Any]:
    """What the run record says of each model: parameters as set, their number, the implied decoder variance."""
    firsts: dict[tuple[str, str], float | None] = {}
    for r in rows:
        firsts.setdefault((r.metric, r.model), r.value)

    def first(metric: str, model: str) -> float | None:
        return firsts.get((metric, model))

    return {
        spec.text: {
            "params": spec.params,
            "parameters": None if (count := first("cost.parameters", spec.text)) is None else int(count),
            "decoder_variance": first("decoder_variance", spec.text),
        }
        for spec in planned.models
    }

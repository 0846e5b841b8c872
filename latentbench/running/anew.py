"""A finished run measured anew: the run of the same configuration with another list of metrics, on the weights that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentbench.config import Run, execution_options, make_run, parse_spec
from latentbench.records import Record
from latentbench.run_folder import MANIFEST, RunFiles
from latentbench.run_info import find_run_info
from latentbench.running import manifest

KEPT = frozenset({"study", "data_root", "lang"})
"""Options that change no number and yet belong to a run, however it is carried out."""


@dataclass(frozen=True)
class Trained:
    """The weights of a finished run: its ``folder``, the hash of its data, and model and seed -> the key of the part with
    them. They are measured as they are, by whatever version they were trained."""

    folder: Path
    dataset_sha256: str | None
    weights: Mapping[tuple[str, int], str]


def measure_anew(folder: Path, options: Mapping[str, Any]) -> tuple[Run, Trained]:
    """The run that measures the one in ``folder`` anew, and the weights that it is to take. ``options``, such as
    ``metrics``, replace those of the run; without ``out`` it is written to ``<folder>-measured``.

    Raises ValueError, one line, where there is no finished run, or the weights of a model and seed are damaged or not there.
    """
    files = RunFiles(folder)
    rows = files.read_records("measure")
    info = find_run_info(rows)
    if info is None:
        raise ValueError(f"measure: {files.records} holds no run record")
    dropped = execution_options() - KEPT
    config = {k: v for k, v in info.config.items() if v is not None and k not in dropped}
    place = f"{folder.resolve()}-measured" if folder.name in ("", "..") else f"{folder}-measured"
    reuse = [str(folder), *options.get("reuse", ())]
    asked = make_run({**config, "metrics": (), "out": place, **options, "reuse": reuse})
    if any(":" in parse_spec(model).name for model in asked.models) and _inside(Path.cwd(), folder):
        raise ValueError(
            f"measure: {folder} holds a model of a module, and modules are looked for here, in it: stand elsewhere"
        )
    weights = _weights(files, rows)
    for model in asked.models:
        for seed in asked.seeds:
            if (model, seed) not in weights:
                raise ValueError(f"measure: {folder}: {_why_not(files, model, seed)}")
    return asked, Trained(folder, info.dataset.get("sha256"), weights)


def _inside(place: Path, folder: Path) -> bool:
    return place.resolve().is_relative_to(folder.resolve())


def _weights(files: RunFiles, rows: Sequence[Record]) -> dict[tuple[str, int], str]:
    """Model and seed -> key of the part with their weights, of those that are whole."""
    places = {(r.model, r.seed): Path(r.path).parent.name for r in rows if r.metric == "weights" and r.path}
    out: dict[tuple[str, int], str] = {}
    for path in sorted(files.units.glob(f"train-*/{MANIFEST}")):
        unit = manifest.read(path.parent)
        if unit is None or not unit.is_whole:
            continue
        for part in unit.parts:
            # A cell whose training failed has no weights: its record of that lies in any of the units.
            if part.seed is not None and places.get((part.model, part.seed), unit.folder.name) == unit.folder.name:
                out[part.model, part.seed] = part.key
    return out


def _why_not(files: RunFiles, model: str, seed: int) -> str:
    if not any(files.units.glob(f"train-*/{MANIFEST}")):
        return "it holds no trained models that can be told to be whole: made by an older version, or not by a run"
    return f"the trained {model} of seed {seed} is damaged or not there; 'latentbench run --reuse' trains it anew"

"""``--precision auto`` settled for a run: found out once on a machine, and the same from then on.

A run resumed must be the run that was begun, so what was found is kept: in the run's folder with its state, and in the
user's cache under what it depends on (the data, the models, the step they are trained by, the processor, torch). Without
either it is found out anew.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from latentbench.catalog import ModelSpec
from latentbench.config import Run
from latentbench.core import Dataset
from latentbench.machine import processor, threads
from latentbench.records import digest, write_text
from latentbench.run_folder import RunFiles
from latentbench.running.reuse import cache_folder
from latentbench.running.sources import code
from latentbench.training.fit import Plan
from latentbench.training.steps import PRECISIONS

KEY = "precision"
"""Under which a run's state and its record hold what was found."""
CHOOSING = "latentbench.training.precision"


def settle(run: Run, models: Sequence[ModelSpec], dataset: Dataset, device: str) -> tuple[Run, dict[str, Any] | None]:
    """The run with a precision that is one, and what was found out, as its record holds it; None where the user named one.
    Raises ValueError where jobs of one run (``shard``, ``assemble``) might find different answers."""
    if run.precision != "auto":
        return run, None
    if run.shard or run.assemble:
        raise ValueError(
            "precision: 'auto' is not allowed with --shard and --assemble: other machines may find another answer; "
            "name float32 or bfloat16 (--dry-run without them says which)"
        )
    made = _depends(run, models, dataset, device)
    found = _before(run, made)
    if found is None:
        found = {"key": digest(made), **_find(run, models, dataset, device)}
        if run.cache:
            with contextlib.suppress(OSError):
                path = _cached(made)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_text(path, json.dumps(found) + "\n")
    return run.model_copy(update={"precision": found["taken"]}), found


def _depends(run: Run, models: Sequence[ModelSpec], dataset: Dataset, device: str) -> dict[str, Any]:
    return {
        "data": dataset.sha256,
        "models": [[m.text, m.params, m.latent_dim] for m in models],
        "step": [run.epochs, run.batch_size, run.lr],
        "machine": [processor(), threads(), torch.cuda.get_device_name() if device == "cuda" else None],
        "torch": torch.__version__,
        "code": code(CHOOSING),
    }


def _cached(made: Mapping[str, Any]) -> Path:
    return cache_folder() / "precision" / f"{digest(made)}.json"


def _before(run: Run, made: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was found before: by this run, wherever it was begun; for the same question on this machine."""
    if run.out and (state := RunFiles(Path(run.out)).read_state()) is not None and _sound(state.about.get(KEY)):
        return cast("dict[str, Any]", state.about[KEY])
    if run.cache:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(_cached(made).read_text("utf-8"))
            if _sound(found) and found["key"] == digest(made):
                return cast("dict[str, Any]", found)
    return None


def _sound(found: Any) -> bool:
    """Whether it is what `settle` writes: nobody vouches for the files it is read from."""
    if not isinstance(found, dict) or found.get("taken") not in PRECISIONS or not isinstance(found.get("reason"), dict):
        return False
    reason = found["reason"]
    values = reason.get("values")
    return isinstance(found.get("key"), str) and isinstance(reason.get("text"), str) and isinstance(values, dict)


def _find(run: Run, models: Sequence[ModelSpec], dataset: Dataset, device: str) -> dict[str, Any]:
    from latentbench.training.precision import choose  # with scipy.special, which no other run begins with

    builds = {m.text: partial(m.build, dataset.space) for m in models}
    return choose(builds, dataset.train.x.to(device), dataset.val.x.to(device), Plan.of(run)).to_json()

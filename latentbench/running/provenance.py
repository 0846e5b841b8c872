"""Where numbers come from: what a run says of itself, the machine, the versions, the revision."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch

from latentbench import __version__
from latentbench.core import Dataset, Metric
from latentbench.machine import processor, threads
from latentbench.run_info import RunInfo
from latentbench.stats.least import least_effect


def define(metrics: Iterable[Metric]) -> dict[str, dict[str, Any]]:
    """What a run record says of each metric, by name: all that a reader of its records needs to know of it."""
    return {
        m.name: {
            "summary": m.summary,
            "source": m.source,
            "unit": m.unit,
            "better": m.better,
            "target": m.target,
            "bounds": m.bounds,
            "params": dict(m.params),
            "family": m.family,
            "phrase": asdict(m.phrase) if m.phrase else None,
            "headline": list(m.headline),
            "on_request": m.on_request,
            "needs": sorted(need.name for need in m.needs),
            "least": least_effect(m.least, m.least_relative, m.bounds, m.unit).to_json(),
            **({"under_prior": True} if m.under_prior else {}),
            **({"standard": m.standard} if m.standard else {}),
        }
        for m in metrics
    }


def describe_run(
    config: Mapping[str, Any],
    splits: Sequence[Dataset],
    metrics: Sequence[Metric],
    environment: Mapping[str, Any],
    command: str,
    models: Mapping[str, Any],
    started: float | None = None,
    study: Mapping[str, Any] | None = None,
    precision: Mapping[str, Any] | None = None,
) -> RunInfo:
    """What was asked, on what data (of several ``splits`` the first, and the hashes of all), with which definitions, where;
    ``started`` in seconds since 1970 (default: now)."""
    now = time.time()
    dataset, *others = splits
    return RunInfo(
        config=config,
        environment=environment,
        command=command,
        started=datetime.fromtimestamp(started or now, UTC).isoformat(timespec="seconds"),
        seconds=round(now - (started or now), 1),
        git=_revision(),
        version=__version__,
        dataset={
            "name": dataset.name,
            "sha256": dataset.sha256,
            **dataset.space.to_json(),
            "classes": list(dataset.classes),
            "sizes": {n: dataset.whole.get(n, len(getattr(dataset, n).x)) for n in ("train", "val", "test")},
            **({"splits": [data.sha256 for data in splits]} if others else {}),
            **_streamed(dataset),
            **dataset.form,
            **_read_as(dataset),
        },
        models=models,
        definitions=define(metrics),
        study=study,
        precision=precision,
    )


def _streamed(dataset: Dataset) -> dict[str, Any]:
    """What is said of data that was trained on from disk: how many images of each split stand for all of it."""
    if dataset.stream is None:
        return {}
    return {"streamed": {"samples": {n: len(getattr(dataset, n).x) for n in ("train", "val", "test")}}}


def _read_as(dataset: Dataset) -> dict[str, Any]:
    """Where the samples of each split come from, and what was done with the data while they were read."""
    row: dict[str, Any] = {}
    if dataset.origin:
        row["origin"] = {name: reason.to_json() for name, reason in dataset.origin.items()}
    if dataset.notes:
        row["notes"] = [note.to_json() for note in dataset.notes]
    return row


def describe_environment(device: str) -> dict[str, Any]:
    """Versions and hardware a number may depend on."""
    names = "torch torchvision numpy scipy scikit-learn umap-learn numba pandas bokeh matplotlib".split()
    versions = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "threads": threads(),
        "device": device,
        **versions,
    }


def _revision() -> str | None:
    """The git revision of the folder the command was given in, if it is in a repository."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

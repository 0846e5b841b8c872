"""Studies: named presets of a run, a TOML file each beside this one, with what is published for them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latentbench.config import Run, load_toml, make_run
from latentbench.refusals import unknown


@dataclass(frozen=True)
class Study:
    """A named preset of options. ``bands`` are figures published elsewhere for its models, to be shown beside what a
    run measures: model -> measure (``mse``, ``mse@train``) -> value; ``tolerance``: measure or family (``validity.*``)
    -> ``8%`` of the value or an absolute ``.06``; what has none is there for orientation. ``source`` says whose."""

    name: str
    summary: str
    settings: Mapping[str, Any]
    bands: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tolerance: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def note(self, run: Run) -> dict[str, Any]:
        """What the run's record says of its study: the bands only where the run still is what they were published for."""
        note: dict[str, Any] = {"name": self.name, "summary": self.summary}
        preset = make_run(self.settings)
        if self.bands and all(getattr(run, k) == getattr(preset, k) for k in self.settings if k not in _FREE):
            note |= {"bands": self.bands, "tolerance": self.tolerance, "source": self.source}
        return note


_FREE = ("seeds", "models")
"""What of a study may be changed and its published figures still stand beside the models that were run."""


def studies() -> dict[str, Study]:
    """The named presets in the package's ``studies/`` folder."""
    out = {}
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        table = load_toml(path)
        if grid := table.pop("grid", None):
            table["models"] = _specs(grid)
        about = {k: table.pop(k) for k in ("summary", "bands", "tolerance", "source") if k in table}
        out[path.stem] = Study(path.stem, settings=table, **about)
    return out


def _specs(grid: Mapping[str, Any]) -> list[str]:
    """Every model of a grid with every value of its other keys as fields: ``vae:latent_dim=8:depth=2`` ..."""
    fields = {k: v for k, v in grid.items() if k != "models"}
    values = [
        ":".join(f"{k}={v}" for k, v in zip(fields, row, strict=True)) for row in itertools.product(*fields.values())
    ]
    return [f"{model}:{row}" for model in grid["models"] for row in values]


def with_study(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings laid over those of the study they name, if any; what is written out wins over the study."""
    name = settings.get("study")
    if name is None:
        return dict(settings)
    presets = studies()
    if not isinstance(name, str) or name not in presets:
        raise unknown("study", str(name), presets)
    return {**presets[name].settings, **settings}

"""What is understood of models before anything is measured: each is tried on a few samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from latentbench.config import make_run
from latentbench.core import Dataset
from latentbench.evaluating.callables import PROBED, Callables, Calls
from latentbench.evaluating.contenders import contenders, seeds_of
from latentbench.evaluating.given import Options, given
from latentbench.evaluating.hints import heeded
from latentbench.running import plan


@dataclass(frozen=True)
class Understood:
    """Of one model: its latent points' ``latent`` shape, whether it has a ``posterior`` or gives points, the lowest and the
    highest value that it was ``given`` and that it ``decoded``, whether it has a likelihood."""

    name: str
    seed: int
    latent: tuple[int, ...]
    posterior: str
    given: tuple[float, float]
    decoded: tuple[float, float]
    likelihood: bool

    def to_json(self) -> dict[str, Any]:
        """As ``--dry-run --json`` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        low, high = self.given
        least, most = self.decoded
        likelihood = ", with a likelihood" if self.likelihood else ""
        return (
            f"{self.name}\tseed {self.seed}\tlatent {self.latent}, {self.posterior}{likelihood}; "
            f"given {low:.4g} to {high:.4g}, decoded {least:.4g} to {most:.4g}"
        )


def understood(
    models: Mapping[str, Sequence[Any]], dataset: Dataset, calls: Mapping[str, Any], seed: int, device: str
) -> list[Understood]:
    """Try every model. Raises ValueError or TypeError, one line, for the first that cannot be measured."""
    found = contenders(models, None, "", seed, None)
    data = given("", seed, (dataset, None), (None, None), (None, None), Options())
    asked = make_run({"device": device, "seeds": seeds_of(found)})
    place = torch.device("cuda" if plan.pick_device(asked) == "cuda" else "cpu")
    out = []
    for one in found:
        model = Callables(one, *heeded(one.model, data, Calls(**calls)))
        model.probe(place)
        x = dataset.test.x[:PROBED].to(place)
        with torch.no_grad():
            code = model.encode(x)
            decoded = model.decode(code.mu)
        kind = "points" if code.log_var is None else "Gaussian posterior"
        out.append(
            Understood(
                one.name,
                one.seed,
                tuple(code.mu.shape[1:]),
                kind,
                _reach(x),
                _reach(decoded),
                model.log_likelihood is not None,
            )
        )
    return out


def _reach(x: torch.Tensor) -> tuple[float, float]:
    return float(x.min()), float(x.max())

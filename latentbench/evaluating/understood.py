"""What is understood of models before anything is measured: each is tried on a few samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from latentbench.config import make_run
from latentbench.core import Dataset
from latentbench.evaluating.callables import Callables, Calls
from latentbench.evaluating.contenders import Contender, contenders, seeds_of
from latentbench.evaluating.given import Options, given
from latentbench.evaluating.hints import heeded
from latentbench.evaluating.probe import PROBED, probe
from latentbench.running import plan


@dataclass(frozen=True)
class Understood:
    """Of one model: the shape of a ``sample`` as it is given one, and of a ``latent`` point; whether it has a ``posterior`` or
    gives points; the lowest and the highest value that it was ``given`` and that it ``decoded``; whether it has a
    likelihood, an ``own_prior``, a latent that is ``discrete``; what was noticed (``notes``)."""

    name: str
    seed: int
    sample: tuple[int, ...]
    latent: tuple[int, ...]
    posterior: str
    given: tuple[float, float]
    decoded: tuple[float, float]
    likelihood: bool
    own_prior: bool = False
    discrete: bool = False
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As ``--dry-run --json`` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        low, high = self.given
        least, most = self.decoded
        has = {"a likelihood": self.likelihood, "a prior of its own": self.own_prior, "discrete codes": self.discrete}
        extras = "".join(f", with {what}" for what, there in has.items() if there)
        return (
            f"{self.name}\tseed {self.seed}\tlatent {self.latent}, {self.posterior}{extras}; "
            f"given {self.sample} from {low:.4g} to {high:.4g}, decoded {least:.4g} to {most:.4g}"
            + "".join(f"\n\t{note}" for note in self.notes)
        )


def understood(
    models: Mapping[str, Sequence[Any]], dataset: Dataset, calls: Mapping[str, Any], seed: int, device: str
) -> list[Understood]:
    """Try every model. Raises ValueError or TypeError, one line, for the first that cannot be measured."""
    found = contenders(models, None, "", seed, None)
    data = given("", seed, (dataset, None), (None, None), (None, None), Options())
    asked = make_run({"device": device, "seeds": seeds_of(found)})
    place = torch.device("cuda" if plan.pick_device(asked) == "cuda" else "cpu")
    return [_of(Callables(one, *heeded(one.model, data, Calls(**calls))), one, place) for one in found]


def _of(model: Callables, one: Contender, place: torch.device) -> Understood:
    probe(model, place)
    test = model.given.dataset.test
    x, y = test.x[:PROBED].to(place), None if test.y is None else test.y[:PROBED].to(place)
    with model.held(), torch.no_grad():
        sent = model.handed.to_user(x)
        code = model.encode(x, y)
        # What the decoder gave, in its own form.
        decoded = model.handed.to_user(model.decode(code.mu, y if model.conditional else None))
    return Understood(
        one.name,
        one.seed,
        tuple(sent.shape[1:]),
        tuple(model.latent_shape or ()),
        "points" if code.log_var is None else "Gaussian posterior",
        _reach(sent),
        _reach(decoded),
        model.log_likelihood is not None,
        model.prior is not None,
        model.discrete_codes is not None,
        tuple(str(reason) for reason in model.notes.values()),
    )


def _reach(x: torch.Tensor) -> tuple[float, float]:
    return float(x.min()), float(x.max())

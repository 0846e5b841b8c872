"""The judge: a classifier of real images that may refuse, so that "decodes to something meaningful" can be measured.

No single guard makes a judge honest: confidence alone passes shuffled digits, feature distance alone passes the mean
image. So two guards stand together, and the network has a *reject class*, trained on the kinds of junk that `junk` shows it.

    confidence(x) = the largest probability of a *real* class (the reject class takes its share)
    distance(x)   = Euclidean distance to the 5th nearest training image in the last hidden layer
    valid(x)      = confidence >= its 5 % quantile on validation images  and  distance <= its 95 % quantile there

The self-check (`self_check`) measures what passes on the test split: real images (the ceiling), every kind of junk, shown
to training or not, and how often the class is right. A judge that fails it is not used, and every measure that needs it is
skipped with the reason. What the judge makes of images found by an attack on it, it cannot say: any classifier passes them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.core import Dataset, Loss, Undefined, Verdict
from latentbench.geometry.neighbours import nearest
from latentbench.measuring.self_check import Check, Checks, refusal, rows, self_check
from latentbench.randomness import seeded
from latentbench.records import Record
from latentbench.spaces import junk
from latentbench.spaces.space import Space
from latentbench.training.steps import WORTHWHILE, Adam, OperationList, gradients_of, same_list

NEIGHBOUR = 5
TAIL = 0.05
WIDTH = 64
ALIKE = 0.5
"""Share of a kind of junk that is taken for real halfway through training from which on it is withdrawn."""
PROBED = 500
"""Images by which that is told."""
AHEAD, LARGEST = 32, 2**24
"""Batches whose junk is made at once, as far as these have at most so many values: most of its cost is by the call."""
WARM, COLD = 0.3, 1 / 25
"""The part of the training in which the rate rises, and the share of its peak that it rises from."""


class Network(nn.Module):
    """A small classifier of samples of a space: (n, *shape) -> logits (n, classes + 1), the last of them the reject class."""

    def __init__(self, space: Space, classes: int) -> None:
        super().__init__()
        self.learner = space.classifier(WIDTH)
        self.body = self.learner.body
        self.head = nn.Linear(WIDTH, classes + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes + 1)."""
        out: Tensor = self.head(self.body(x))
        return out


@dataclass(frozen=True, eq=False)
class CalibratedJudge:
    """A trained, frozen judge. ``bank`` (m, f): features of training images; ``low``, ``high``: the two thresholds;
    ``checks``: what its self-check measured."""

    network: Network
    classes: int
    train_marginal: Tensor
    bank: Tensor
    low: float
    high: float
    checks: Checks

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the weights behind its features: equal ones, equal features."""
        sha = hashlib.sha256()
        for name, weight in sorted(self.network.body.state_dict().items()):
            sha.update(name.encode() + weight.cpu().contiguous().numpy().tobytes())
        return sha.hexdigest()

    @property
    def refusal(self) -> str:
        """Why this judge may not be used, as a `Reason`; empty where it is honest."""
        return refusal(self.checks)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Last hidden layer (n, f) of images (n, c, h, w)."""
        return torch.cat([self.network.body(part) for part in x.split(2000)])

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Verdict:
        """Verdicts on images (n, c, h, w) with values in [0, 1]."""
        features = self.features(x)
        confidence, label, distance = _scores(self.network, features, self.bank)
        return Verdict((confidence >= self.low) & (distance <= self.high), label, confidence, distance)

    def to(self, device: torch.device) -> CalibratedJudge:
        """The same judge on another device."""
        return CalibratedJudge(
            self.network.to(device),
            self.classes,
            self.train_marginal.to(device),
            self.bank.to(device),
            self.low,
            self.high,
            self.checks,
        )

    def records(self, row: Record) -> list[Record]:
        """What the self-check measured, a record each; ``row`` holds what they share (the judge's name, the data)."""
        return rows(self.checks, row)

    def save(self, path: Path) -> None:
        """Write everything to one safetensors file."""
        from safetensors.torch import save_file

        tensors = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        tensors |= {"bank": self.bank, "train_marginal": self.train_marginal}
        tensors["thresholds"] = torch.tensor([self.low, self.high], dtype=torch.float64)
        # One entry, since safetensors writes several in any order: equal judges are equal files.
        save_file(tensors, path, metadata={"checks": json.dumps(self.checks, sort_keys=True)})


def load(path: Path, space: Space) -> CalibratedJudge:
    """A saved judge back, for samples of ``space``."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - not a dict
        checks = {name: Check(*given) for name, given in json.loads(file.metadata()["checks"]).items()}
    classes = len(tensors["train_marginal"])
    network = Network(space, classes)
    network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    low, high = tensors["thresholds"].tolist()
    return CalibratedJudge(
        network.eval().requires_grad_(False), classes, tensors["train_marginal"], tensors["bank"], low, high, checks
    )


def train_judge(
    dataset: Dataset, seed: int = 0, steps: int | None = None, batch: int = 64, kinds: Sequence[junk.Kind] | None = None
) -> CalibratedJudge:
    """Train, calibrate and check a judge on a labelled dataset, on the CPU, one batch of junk of the ``kinds`` (None: the
    space's) that are shown beside each of real samples, for so many ``steps`` (None: as many as the space's classifier takes). Samples without a label are left out. Raises ValueError where the
    data has no labels, Undefined (one, which knows the reason) where a single class or a class of a single sample."""
    kinds = dataset.space.junk if kinds is None else kinds
    dataset = replace(dataset, train=dataset.train.labelled(), test=dataset.test.labelled())
    train, val = dataset.train, dataset.val
    if train.y is None or dataset.test.y is None:
        raise ValueError("the judge needs labels: the dataset has none")
    classes = int(max(s.y.max() for s in (train, val, dataset.test) if s.y is not None)) + 1
    _check_classes(dataset, classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(seed, "judge weights").initial_seed())
        network = Network(dataset.space, classes)
    withdrawn = _train(network, dataset, classes, seed, steps or network.learner.steps, batch, kinds)
    network.eval().requires_grad_(False)
    g = seeded(seed, "judge bank")
    bank = network.body(train.x[torch.randperm(len(train.x), generator=g)[:5000]])
    with torch.no_grad():
        features = torch.cat([network.body(p) for p in val.x.split(2000)])
    confidence, _, distance = _scores(network, features, bank)
    low, high = float(confidence.quantile(TAIL)), float(distance.quantile(1 - TAIL))
    marginal = torch.bincount(train.y, minlength=classes).double() / len(train.y)
    judge = CalibratedJudge(network, classes, marginal, bank, low, high, {})
    return replace(judge, checks=self_check(judge, dataset, seed, kinds, withdrawn))


def _check_classes(dataset: Dataset, classes: int) -> None:
    """Raise Undefined where there are not two classes of two to learn from."""
    assert dataset.train.y is not None
    if len(dataset.train.y.unique()) < 2:
        raise Undefined("no judge: it needs at least two classes of training samples, there is one", "judge.one_class")
    known = [split.y[split.y >= 0] for split in (dataset.train, dataset.val) if split.y is not None]
    lonely = (torch.bincount(torch.cat(known), minlength=classes) == 1).nonzero().flatten().tolist()
    if lonely:
        raise Undefined(
            "no judge: class {name} has a single training sample, at least two are needed of each",
            "judge.single_member",
            name=dataset.classes[lonely[0]] if dataset.classes else str(lonely[0]),
        )


def _train(
    network: Network, dataset: Dataset, classes: int, seed: int, steps: int, batch: int, kinds: Sequence[junk.Kind]
) -> tuple[str, ...]:
    """One-cycle Adam on equal parts of real images and junk. Gives the names of the kinds that were withdrawn halfway."""
    train = dataset.train
    assert train.y is not None
    g = seeded(seed, "judge batches")
    weights = list(network.parameters())
    adam = Adam(weights)  # torch's own optimisers load its compiler, a second's work
    apart, shown = junk.apart(train.x), [k for k in kinds if k.shown]
    ahead = max(1, min(AHEAD, LARGEST // (batch * train.x[0].numel())))
    made: Iterator[Tensor] = iter(())
    listed: OperationList | None = None

    def loss(x: Tensor, labels: Sequence[Tensor]) -> Loss:
        return Loss(F.cross_entropy(network(x), labels[0], label_smoothing=0.02), {})

    for step in range(steps):
        if step == steps // 2:
            shown, made = [k for k in shown if k.floor or _told_apart(network, k, dataset.val.x, seed, apart)], iter(())
        if (refused := next(made, None)) is None:
            several = junk.batch(shown, train.x, ahead * batch, g, apart)
            made = iter(several[torch.randperm(len(several), generator=g)].tensor_split(ahead))
            refused = next(made)
        pick = torch.randint(len(train.x), (batch,), generator=g)
        x = torch.cat([train.x[pick], refused])
        y = torch.cat([train.y[pick], torch.full((len(refused),), classes)])
        if not step and steps >= WORTHWHILE:
            listed = same_list(loss, weights, x, [y])
        if listed is not None and listed.shape == x.shape:
            _, gradients = listed(x, [y])
        else:
            gradients = list(gradients_of(loss(x, [y]), weights))
        adam(gradients, network.learner.rate * _one_cycle(step / max(1, steps - 1)))
    return tuple(k.name for k in kinds if k.shown and k not in shown)


def _one_cycle(done: float) -> float:
    """The rate of training, as a share of its peak, when a part ``done`` in [0, 1] of it is over: up from `COLD` to 1 over
    the first `WARM` of it and down to 0 over the rest, by half waves of a cosine (Smith & Topin 2018)."""
    if done < WARM:
        return COLD + (1 - COLD) * (1 - math.cos(math.pi * done / WARM)) / 2
    return (1 + math.cos(math.pi * (done - WARM) / (1 - WARM))) / 2


@torch.no_grad()
def _told_apart(network: Network, kind: junk.Kind, x: Tensor, seed: int, apart: float) -> bool:
    """Whether fewer than `ALIKE` of a kind of junk made from real images ``x`` (n, c, h, w) are taken for real as surely as
    all but a `TAIL` of these are."""
    x = x[:PROBED]
    made = kind.make(x, PROBED, seeded(seed, f"judge probe {kind.name}"), apart)
    real, fake = (network(images).softmax(1)[:, :-1].amax(1) for images in (x, made))
    return not len(made) or float((fake >= real.quantile(TAIL)).double().mean()) < ALIKE


def _scores(network: Network, features: Tensor, bank: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Confidence (n,), label (n,) and 5th-neighbour distance (n,) from features."""
    confidence, label = network.head(features).softmax(1)[:, :-1].max(1)
    return confidence, label, nearest(features, bank, NEIGHBOUR)[0][:, -1]

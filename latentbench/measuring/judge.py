"""The judge: a classifier of real images that may refuse, so that "decodes to something meaningful" can be measured.

No single guard makes a judge honest: confidence alone passes shuffled digits, feature distance alone passes the mean
image. So two guards stand together, and the network has a *reject class*, trained on junk of four kinds: uniform
noise, per-image pixel shuffles, blends of 8 images, and means of random subsets.

    confidence(x) = the largest probability of a *real* class (the reject class takes its share)
    distance(x)   = Euclidean distance to the 5th nearest training image in the last hidden layer
    valid(x)      = confidence >= its 5 % quantile on validation images  and  distance <= its 95 % quantile there

The self-check measures what passes on the test split: real images (the ceiling) and junk (the floors). A judge that
passes more than 5 % of any floor is not used, and every measure that needs it is skipped with that reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.core import Dataset, Split, Verdict
from latentbench.geometry.neighbours import nearest
from latentbench.randomness import randn, seeded
from latentbench.records import JUNK_LIMIT, Reason, Record

NEIGHBOUR = 5
TAIL = 0.05
WIDTH = 64


class Network(nn.Module):
    """A small convolutional classifier: (n, c, h, w) -> logits (n, classes + 1), the last of them the reject class."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        c, h, w = shape
        # Images up to 16 pixels keep their resolution in the first layer: there is none to spare.
        first = 1 if min(h, w) <= 16 else 2
        layers: list[nn.Module] = [nn.Conv2d(c, 16, 3, stride=first, padding=1), nn.ReLU()]
        size = (math.ceil(h / first), math.ceil(w / first))
        channels = 16
        while min(size) > 4:
            layers += [nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.ReLU()]
            channels, size = 32, (math.ceil(size[0] / 2), math.ceil(size[1] / 2))
        layers += [nn.Flatten(), nn.Linear(channels * size[0] * size[1], WIDTH), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(WIDTH, classes + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes + 1)."""
        out: Tensor = self.head(self.body(x))
        return out


def _refusals(share: float) -> dict[str, Reason]:
    """Why a judge that passes this share of a kind of junk may not be used. Each kind has a sentence of its own: in other
    languages its name alone would not do."""
    values = {"share": share, "most": JUNK_LIMIT}
    return {
        "noise": Reason.of(
            "judge.passes_noise",
            "the judge's self-check failed: it passes {share:.1%} of noise (at most {most:.0%})",
            **values,
        ),
        "gaussian_noise": Reason.of(
            "judge.passes_gaussian_noise",
            "the judge's self-check failed: it passes {share:.1%} of gaussian_noise (at most {most:.0%})",
            **values,
        ),
        "shuffle": Reason.of(
            "judge.passes_shuffle",
            "the judge's self-check failed: it passes {share:.1%} of shuffle (at most {most:.0%})",
            **values,
        ),
        "mean": Reason.of(
            "judge.passes_mean",
            "the judge's self-check failed: it passes {share:.1%} of mean (at most {most:.0%})",
            **values,
        ),
    }


@dataclass(frozen=True, eq=False)
class CalibratedJudge:
    """A trained, frozen judge. ``bank`` (m, f): features of training images; ``low``, ``high``: the two thresholds;
    ``checks``: what its self-check measured, name -> share in [0, 1]."""

    network: Network
    classes: int
    train_marginal: Tensor
    bank: Tensor
    low: float
    high: float
    checks: Mapping[str, float]

    @property
    def refusal(self) -> str:
        """Why this judge may not be used, as a `Reason`; empty where it is honest."""
        passed = {k.rpartition(".")[2]: v for k, v in self.checks.items() if k in FLOORS}
        worst = max(passed, key=lambda k: passed[k])
        return _refusals(passed[worst])[worst] if passed[worst] > JUNK_LIMIT else ""

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
        wanted = ("judge.accuracy", "judge.pass.real")
        shared = replace(row, split="test", unit="share", bounds=(0.0, 1.0))
        return [
            replace(shared, metric=name, value=value, better="higher" if name in wanted else "lower")
            for name, value in self.checks.items()
        ]

    def save(self, path: Path) -> None:
        """Write everything to one safetensors file."""
        from safetensors.torch import save_file

        tensors = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        tensors |= {"bank": self.bank, "train_marginal": self.train_marginal}
        tensors["thresholds"] = torch.tensor([self.low, self.high], dtype=torch.float64)
        # One entry, since safetensors writes several in any order: equal judges are equal files.
        save_file(tensors, path, metadata={"checks": json.dumps(dict(self.checks), sort_keys=True)})


def load(path: Path, shape: tuple[int, int, int]) -> CalibratedJudge:
    """A saved judge back, for images of ``shape``."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - not a dict
        checks = json.loads(file.metadata()["checks"])
    classes = len(tensors["train_marginal"])
    network = Network(shape, classes)
    network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    low, high = tensors["thresholds"].tolist()
    return CalibratedJudge(
        network.eval().requires_grad_(False), classes, tensors["train_marginal"], tensors["bank"], low, high, checks
    )


FLOORS = ("judge.pass.noise", "judge.pass.gaussian_noise", "judge.pass.shuffle", "judge.pass.mean")


def train_judge(dataset: Dataset, seed: int = 0, steps: int = 1500, batch: int = 64) -> CalibratedJudge:
    """Train, calibrate and check a judge on a labelled dataset, on the CPU, one batch of junk beside each of real
    images. Raises ValueError where the data has no labels or a single class."""
    train, val = dataset.train, dataset.val
    if train.y is None or val.y is None or dataset.test.y is None:
        raise ValueError("the judge needs labels: the dataset has none")
    classes = int(max(s.y.max() for s in (train, val, dataset.test) if s.y is not None)) + 1
    if len(train.y.unique()) < 2:
        raise ValueError("the judge needs at least two classes of training images, found 1")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(seed, "judge weights").initial_seed())
        network = Network(dataset.shape, classes)
    _train(network, train, classes, seed, steps, batch)
    network.eval().requires_grad_(False)
    g = seeded(seed, "judge bank")
    bank = network.body(train.x[torch.randperm(len(train.x), generator=g)[:5000]])
    with torch.no_grad():
        features = torch.cat([network.body(p) for p in val.x.split(2000)])
    confidence, _, distance = _scores(network, features, bank)
    low, high = float(confidence.quantile(TAIL)), float(distance.quantile(1 - TAIL))
    marginal = torch.bincount(train.y, minlength=classes).double() / len(train.y)
    judge = CalibratedJudge(network, classes, marginal, bank, low, high, {})
    return CalibratedJudge(network, classes, marginal, bank, low, high, self_check(judge, dataset, seed))


def _train(network: Network, train: Split, classes: int, seed: int, steps: int, batch: int) -> None:
    """One-cycle Adam on equal parts of real images and junk."""
    assert train.y is not None
    g = seeded(seed, "judge batches")
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    reject = torch.full((batch,), classes)
    for _ in range(steps):
        pick = torch.randint(len(train.x), (batch,), generator=g)
        x = torch.cat([train.x[pick], junk(train.x, batch, g)])
        y = torch.cat([train.y[pick], reject])
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(network(x), y, label_smoothing=0.02).backward()
        optimiser.step()
        schedule.step()


def junk(x: Tensor, count: int, g: torch.Generator) -> Tensor:
    """``count`` images that are none, in equal parts of four kinds made from real images ``x``: uniform noise,
    per-image pixel shuffles, blends of 8, means of random subsets of 16 to 256."""
    parts = [len(p) for p in torch.arange(count).tensor_split(4)]
    noise = torch.rand((parts[0], *x.shape[1:]), generator=g)
    shuffled = shuffle_pixels(_some(x, parts[1], g), g)
    blends = _some(x, parts[2] * 8, g).view(parts[2], 8, *x.shape[1:])
    weights = torch.rand((parts[2], 8, 1, 1, 1), generator=g) + 0.5
    blended = (blends * weights).sum(1) / weights.sum(1)
    sizes = (2 ** (4 + 4 * torch.rand(parts[3], generator=g))).long().tolist()
    means = torch.stack([_some(x, s, g).mean(0) for s in sizes]) if sizes else blended[:0]
    return torch.cat([noise, shuffled, blended, means])


def _some(x: Tensor, count: int, g: torch.Generator) -> Tensor:
    return x[torch.randint(len(x), (count,), generator=g)]


def shuffle_pixels(x: Tensor, g: torch.Generator) -> Tensor:
    """Each image with its own random permutation of pixels (the same in all channels): its histogram stays, its
    picture goes. Shape (n, c, h, w)."""
    n, c, h, w = x.shape
    order = torch.rand((n, 1, h * w), generator=g).argsort(-1).expand(n, c, h * w)
    return x.reshape(n, c, h * w).gather(2, order.to(x.device)).view(n, c, h, w)


def self_check(judge: CalibratedJudge, dataset: Dataset, seed: int) -> dict[str, float]:
    """Shares of the test split and of junk made from it that the judge passes, and its accuracy on the test split."""
    test = dataset.test
    g = seeded(seed, "judge self-check")
    verdict = judge(test.x)
    assert test.y is not None
    mean = dataset.train.x.mean(0, keepdim=True)
    # Means of random halves: the mean image's own neighbourhood, so that the floor is a share and not a coin.
    halves = [dataset.train.x[torch.randperm(len(dataset.train.x), generator=g)[: len(dataset.train.x) // 2]].mean(0)]
    halves += [_some(dataset.train.x, len(dataset.train.x) // 2, g).mean(0) for _ in range(20)]
    bright, spread = test.x.mean(), test.x.std()
    floors = {
        "noise": torch.rand(test.x.shape, generator=g),
        "gaussian_noise": (bright + spread * randn(test.x.shape, g, test.x)).clamp(0, 1),
        "shuffle": shuffle_pixels(test.x, g),
        "mean": torch.cat([mean, torch.stack(halves)]),
    }
    checks = {"judge.accuracy": float((verdict.label == test.y).double().mean())}
    checks["judge.pass.real"] = float(verdict.valid.double().mean())
    return checks | {f"judge.pass.{k}": float(judge(x).valid.double().mean()) for k, x in floors.items()}


def _scores(network: Network, features: Tensor, bank: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Confidence (n,), label (n,) and 5th-neighbour distance (n,) from features."""
    confidence, label = network.head(features).softmax(1)[:, :-1].max(1)
    return confidence, label, nearest(features, bank, NEIGHBOUR)[0][:, -1]

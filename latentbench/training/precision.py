"""Which precision to train in, found out on the data: are steps with bfloat16 products faster here, and is the loss the same?

Two questions, the cheap one first, for all models of a run at once: they are compared with each other, so they are trained
alike.

    faster   the steps of all models with float32 products over those with bfloat16 products, in `ROUNDS` rounds of
             float32, bfloat16, bfloat16, float32: taken where every round says so (which equal steps do in 1 of 2^ROUNDS
             times) and the median is `FASTER` or more
    same     for each model `SEEDS` trainings of some `STEPS` steps, both ways from one seed: the 95 % t-interval of the
             differences of their validation losses lies within the standard deviation that seeds give the float32 losses

A difference that shows only in longer trainings is not seen by this: how much whole trainings differ stands in
docs/training.md.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from latentbench import machine
from latentbench.randomness import seeded
from latentbench.records import Reason
from latentbench.stats.intervals import t_interval
from latentbench.training.fit import Diverged, Plan, begin, fit, initialise
from latentbench.training.steps import PRECISIONS, Precision, TrainStep

ROUNDS, FASTER = 6, 1.1
"""Rounds of steps in turns, and how many times as fast bfloat16 has to be."""
BLOCK = 0.02
"""Seconds that the steps of one turn take, at least."""
SEEDS, STEPS = 4, 200
"""Trainings of each model, and about how many steps each takes."""

Build = Callable[[], nn.Module]


class Losses(NamedTuple):
    """Validation losses of a model's trainings, by seed, in both precisions; infinite where one diverged. ``change``: mean
    difference bfloat16 - float32 with its 95 % interval; ``spread``: standard deviation of the float32 losses over seeds.
    All in the unit of the loss."""

    float32: tuple[float, ...]
    bfloat16: tuple[float, ...]

    @property
    def finite(self) -> bool:
        """Whether no training diverged."""
        return all(map(math.isfinite, (*self.float32, *self.bfloat16)))

    @property
    def change(self) -> tuple[float, float, float]:
        """Mean, low, high."""
        found = t_interval(b - a for a, b in zip(self.float32, self.bfloat16, strict=True))
        low, high = (found.mean if end is None else end for end in (found.low, found.high))
        return found.mean, low, high

    @property
    def spread(self) -> float:
        """Of the float32 losses over seeds."""
        return statistics.stdev(self.float32)

    @property
    def agree(self) -> bool:
        """Whether the precisions differ by less than seeds do."""
        _, low, high = self.change if self.finite else (0.0, -math.inf, math.inf)
        return self.finite and -self.spread <= low and high <= self.spread

    def to_json(self) -> dict[str, Any]:
        """As a run's record holds it; only the losses where one diverged, those as None."""
        both = {"float32": self.float32, "bfloat16": self.bfloat16}
        row: dict[str, Any] = {k: [x if math.isfinite(x) else None for x in v] for k, v in both.items()}
        return {**row, "change": list(self.change), "spread": self.spread} if self.finite else row


class Choice(NamedTuple):
    """What was taken and the ``reason``; ``ratios``: how many times as fast bfloat16 was, by round; ``losses`` by model,
    empty where it did not come to that."""

    precision: Precision
    reason: Reason
    ratios: tuple[float, ...] = ()
    losses: Mapping[str, Losses] = {}

    def to_json(self) -> dict[str, Any]:
        """As a run's record holds it."""
        return {
            "taken": self.precision,
            "reason": self.reason.to_json(),
            "ratios": list(self.ratios),
            "losses": {model: found.to_json() for model, found in self.losses.items()},
        }


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16 numbers (AMX or AVX-512 on a processor)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and bool(supported())


def choose(models: Mapping[str, Build], train: Tensor, val: Tensor, plan: Plan) -> Choice:
    """The precision to train ``models`` in (by name, what builds each) on images like ``train`` and ``val`` (n, *shape),
    which lie on the device that trains, by ``plan``. Takes seconds to a minute; torch's threads and generator are left as
    they were."""
    if not has_bfloat16(train.device):
        return Choice("float32", Reason.of("precision.none", "float32: this machine has no bfloat16 products"))
    with _threads(train.device):
        ratios = speed_ratios(models, train, plan)
        if statistics.median(ratios) < FASTER or min(ratios) <= 1:
            return Choice("float32", _slow(ratios), ratios)
        losses = {name: compare_losses(build, train, val, plan) for name, build in models.items()}
    for name, found in losses.items():
        if not found.agree:
            return Choice("float32", _differs(name, found), ratios, losses)
    return Choice("bfloat16", _same(ratios, losses), ratios, losses)


def _slow(ratios: tuple[float, ...]) -> Reason:
    return Reason.of(
        "precision.slow",
        "float32: steps with bfloat16 products are {ratio} times as fast here ({low} to {high} in {rounds} rounds), it takes "
        "{least}, and above 1 in every round",
        ratio=f"{statistics.median(ratios):.2f}",
        low=f"{min(ratios):.2f}",
        high=f"{max(ratios):.2f}",
        rounds=len(ratios),
        least=FASTER,
    )


def _differs(model: str, found: Losses) -> Reason:
    if not found.finite:
        return Reason.of("precision.diverged", "float32: a trial training of {model} diverged", model=model)
    change, low, high = (f"{x:+.3g}" for x in found.change)
    return Reason.of(
        "precision.differs",
        "float32: with bfloat16 products the validation loss of {model} changes by {change} ({low} to {high}) in a trial, "
        "seeds differ by {spread}",
        model=model,
        change=change,
        low=low,
        high=high,
        spread=f"{found.spread:.3g}",
    )


def _same(ratios: tuple[float, ...], losses: Mapping[str, Losses]) -> Reason:
    share = max(max(map(abs, found.change[1:])) / (found.spread or math.inf) for found in losses.values())
    return Reason.of(
        "precision.same",
        "bfloat16: steps are {ratio} times as fast here, and in trials of some {steps} steps with {seeds} seeds a model "
        "validation losses change by at most {share} of what seeds differ by",
        ratio=f"{statistics.median(ratios):.2f}",
        steps=STEPS,
        seeds=SEEDS,
        share=f"{share:.2f}",
    )


@contextmanager
def _threads(device: torch.device) -> Iterator[None]:
    """The threads of a process that trains, on a processor."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(machine.threads())
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)


def _clock(device: torch.device) -> float:
    """Seconds: of the processor where one thread works, which other work disturbs less than the clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.process_time() if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter()


def speed_ratios(models: Mapping[str, Build], train: Tensor, plan: Plan) -> tuple[float, ...]:
    """Seconds of a step of every model with float32 products over those with bfloat16 ones, by round."""
    x = train[: plan.batch_size]
    steps = [{p: _step(build, x, plan, len(train), p) for p in PRECISIONS} for build in models.values()]
    found = []
    for _ in range(ROUNDS):
        spent = dict.fromkeys(PRECISIONS, 0.0)
        for pair in steps:
            for precision in (*PRECISIONS, *PRECISIONS[::-1]):
                spent[precision] += pair[precision]()
        found.append(spent["float32"] / spent["bfloat16"])
    return tuple(found)


def _step(build: Build, x: Tensor, plan: Plan, images: int, precision: Precision) -> Callable[[], float]:
    """What takes some steps on a batch ``x`` and gives the seconds of one."""
    model = initialise(build, 0).to(x.device).train()
    begin(model, x)
    step = TrainStep(model, seeded(0, "posterior draws"), plan.steps(images), precision)

    def some(count: int) -> float:
        start = _clock(x.device)
        for _ in range(count):
            step(x, plan.lr)
        return (_clock(x.device) - start) / count

    some(2)
    count = max(1, math.ceil(BLOCK / max(some(2), 1e-6)))
    return lambda: some(count)


def compare_losses(build: Build, train: Tensor, val: Tensor, plan: Plan) -> Losses:
    """The validation losses of `SEEDS` short trainings of a model in both precisions."""
    size = min(plan.batch_size, len(train))
    x = train[: STEPS * size]
    epochs = max(1, round(STEPS / (len(x) // size)))
    found: dict[Precision, list[float]] = {p: [] for p in PRECISIONS}
    for seed in range(SEEDS):
        for precision in PRECISIONS:
            found[precision].append(_loss(build, x, val, Plan(epochs, 0, size, plan.lr, precision), seed))
    return Losses(*(tuple(found[p]) for p in PRECISIONS))


def _loss(build: Build, x: Tensor, val: Tensor, plan: Plan, seed: int) -> float:
    try:
        return fit(initialise(build, seed).to(x.device), x, val, plan, seed).curves["loss.val"][-1]
    except Diverged:
        return math.inf

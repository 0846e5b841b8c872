"""fit(): the only optimiser loop. It knows no model: each owns its loss.

Adam on shuffled batches, its rate rising over the ``lr_warmup`` and falling to 0 over the last tenth of the planned steps; after
each epoch the loss on the validation split decides which weights are kept and when to stop: after ``patience`` epochs
without improvement the rate falls to 0 over as many, and training ends. Weights, batch order and posterior draws each
come from their own stream of the seed, the same for every model: runs pair by seed.

    rate = lr min(1, t / (lr_warmup epochs), (1 - t / epochs) / `DECAY`, 1 - (t - plateau) / patience),     t in epochs
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from latentbench import denormals, machine
from latentbench.config import Run
from latentbench.core import Loss
from latentbench.randomness import seeded
from latentbench.records import Reason
from latentbench.streaming import Stream, feed
from latentbench.training.steps import Precision, TrainStep

DECAY = 0.1
"""Share of the planned steps, at their end, over which the learning rate falls linearly to 0. Adam at a constant rate
keeps jittering about its optimum: a linear autoencoder stays half a percent above PCA's error, however long it trains."""

FEWEST = 5
"""Epochs after the best one from which on a slope is asked for."""

Progress = Callable[[int, float, float], None]


class Diverged(ArithmeticError):
    """Training met a loss or a gradient that is not finite; the ``reason`` says where."""

    def __init__(self, code: str, text: str, /, **values: object) -> None:
        self.reason = Reason.of(code, text, **values)
        super().__init__(str(self.reason))


@dataclass(frozen=True)
class Plan:
    """How to train: see `latentbench.config.Run` for the meaning and the defaults of each field."""

    epochs: int
    patience: int
    batch_size: int
    lr: float
    precision: Precision = "float32"
    lr_warmup: float = 0.0

    @classmethod
    def of(cls, run: Run) -> Plan:
        """How the models of a run are trained that is `resolved <latentbench.config.Run.resolve>`; in float32 where its
        precision is still to be found."""
        assert run.epochs is not None
        assert run.batch_size is not None
        assert run.lr is not None
        assert run.lr_warmup is not None
        precision = "float32" if run.precision == "auto" else run.precision
        return cls(run.epochs, run.patience, run.batch_size, run.lr, precision, run.lr_warmup)

    @property
    def risen(self) -> float:
        """Epochs after which the rate has risen to ``lr``."""
        return self.lr_warmup * self.epochs

    def steps(self, images: int) -> int:
        """How many steps are planned on so many training images."""
        return self.epochs * (images // min(self.batch_size, images))


@dataclass
class History:
    """What training left behind: ``curves`` name -> one value an epoch; ``epochs`` run; ``best`` the epoch (from 1)
    whose weights were kept; ``steps`` of the optimiser; ``falling``: the validation loss still fell at the full rate, when
    that ended; ``seconds`` of wall time, and the highest ``load`` average of the machine read meanwhile, None where the system keeps
    none."""

    curves: dict[str, list[float]] = field(default_factory=dict)
    epochs: int = 0
    best: int = 0
    steps: int = 0
    falling: bool = False
    seconds: float = 0.0
    load: float | None = None


class EarlyStopping:
    """When one seed's training ends: its ``history``, the ``plateau`` (epochs after which patience had run out, None before
    that), whether it is ``over``, whether an epoch is the best yet, and Adam's `rate` at each step."""

    def __init__(self, plan: Plan, progress: Progress | None = None) -> None:
        self.plan, self.progress, self.history = plan, progress, History(load=machine.load())
        self.plateau: int | None = None
        self._best = math.inf

    def rate(self, begun: float, ended: float) -> float:
        """Adam's rate in a step, given the epochs ``begun`` and ``ended`` of the plan before and after it."""
        plan = self.plan
        share = min(1.0, (1 - begun / plan.epochs) / DECAY)
        if ended < plan.risen:
            share = min(share, ended / plan.risen)
        if self.plateau is not None:
            share = min(share, 1 - (begun - self.plateau) / plan.patience)
        return plan.lr * share

    def log(self, means: dict[str, float], score: float) -> bool:
        """Log an epoch of training losses and its validation loss; True where that is the lowest yet. Raises `Diverged`
        where it is not finite."""
        history = self.history
        history.epochs += 1
        curves = {f"loss.train.{name}" if name else "loss.train": mean for name, mean in means.items()}
        for name, value in {**curves, "loss.val": score}.items():
            history.curves.setdefault(name, []).append(value)
        if not math.isfinite(score):
            raise Diverged(
                "diverged.validation_loss",
                "training diverged: the validation loss became {loss} in epoch {epoch}",
                loss=score,
                epoch=history.epochs,
            )
        better = score < self._best
        if better:
            self._best, history.best = score, history.epochs
        # An epoch at a rate that still rises says little of what the full rate can do.
        idle = history.epochs - max(history.best, self.plan.risen)
        if self.plateau is None and 0 < self.plan.patience <= idle:
            self.plateau = history.epochs
        if self.progress is not None:
            self.progress(history.epochs, means[""], score)
        return better

    @property
    def over(self) -> bool:
        """True after the last planned epoch, or when the rate has fallen to 0 from the plateau on."""
        plan, epochs = self.plan, self.history.epochs
        return epochs >= plan.epochs or (self.plateau is not None and epochs >= self.plateau + plan.patience)

    def end(self, seconds: float, images: int) -> History:
        """The history, whole, of training on so many ``images``; without patience the last weights are the ones kept."""
        steps = images // min(self.plan.batch_size, images)
        self.history.seconds, self.history.steps = seconds, self.history.epochs * steps
        # Where the rate falls so does the loss, whatever the model has left to learn.
        self.history.falling = still_falling(self.history.curves.get("loss.val", [])[: self.plateau])
        if (load := machine.load()) is not None:
            self.history.load = max(load, self.history.load or 0.0)
        if not self.plan.patience:
            self.history.best = self.history.epochs
        return self.history


def still_falling(losses: Sequence[float]) -> bool:
    """Whether a validation loss was still falling in the last of these epochs: the last is the best, or the losses of the
    epochs after the best fall, the 95 % interval of their slope below 0."""
    if not len(losses):
        return False
    after = np.asarray(losses[int(np.argmin(losses)) + 1 :], float)
    if not len(after):
        return True
    if len(after) < FEWEST:
        return False
    with machine.uncollected():
        from scipy.stats import linregress  # slow to import, and needed once a training

    line = linregress(np.arange(len(after)), after)
    return bool(line.slope < 0 and line.pvalue < 0.05)


def initialise(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """``build()`` with weights drawn from the seed's own stream; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(seed, "weights").initial_seed())
        return build()


@denormals.as_zero()
def fit(
    model: nn.Module, train: Tensor | Stream, val: Tensor, plan: Plan, seed: int, progress: Progress | None = None
) -> History:
    """Train ``model`` in place on images (n, c, h, w) that lie on its device or are streamed to it; the best weights on
    ``val`` are kept. A model with a method ``start`` is handed the training images first, of streamed ones the sample.

    The last short batch of an epoch is left out (each epoch shuffles anew), unless it is the only one. Raises
    `Diverged` where a loss or gradient is not finite; the model is then worthless.
    """
    started = time.perf_counter()
    order, draws = seeded(seed, "batches"), seeded(seed, "posterior draws")
    stopping = EarlyStopping(plan, progress)
    begin(model, train)
    kept = {k: v.clone() for k, v in model.state_dict().items()} if plan.patience else {}
    step = TrainStep(model, draws, plan.steps(len(train)), plan.precision)
    while not stopping.over:
        model.train()
        losses: list[Loss] = []
        steps = list(batches(train, plan, stopping.history.epochs, [order]))
        for x, (_, *place) in zip(feed(train, [rows for (rows,), *_ in steps]), steps, strict=True):
            losses.append(step(x, stopping.rate(*place)))
        (means,) = mean_terms(losses)
        _check_finite(model, means[""], stopping.history.epochs + 1)
        if stopping.log(means, evaluate(model, val, seed)) and kept:
            for k, v in model.state_dict().items():
                kept[k].copy_(v)
    if kept:
        model.load_state_dict(kept)
    model.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return stopping.end(time.perf_counter() - started, len(train))


def begin(model: nn.Module, train: Tensor | Stream) -> None:
    """Tell a model that wants to know how many training images there are, and hand them to one that wants to see them before
    its first step."""
    if callable(counted := getattr(model, "counted", None)):
        counted(len(train))
    if callable(start := getattr(model, "start", None)):
        start(train if isinstance(train, Tensor) else train.sample)


def batches(
    train: Tensor | Stream, plan: Plan, epoch: int, orders: Sequence[torch.Generator]
) -> Iterator[tuple[list[Tensor], float, float]]:
    """The steps of an epoch (from 0): the rows of each seed's batch in its own order, and the epochs of the plan before and
    after it."""
    size = min(plan.batch_size, len(train))
    steps = len(train) // size
    shuffled = [torch.randperm(len(train), generator=order)[: steps * size].to(train.device) for order in orders]
    for step, rows in enumerate(zip(*(order.split(size) for order in shuffled), strict=True)):
        yield list(rows), epoch + step / steps, epoch + (step + 1) / steps


def mean_terms(losses: list[Loss]) -> list[dict[str, float]]:
    """Mean of each term over an epoch's steps for each model of a stack (one, where losses are scalars), the total under
    the empty name. Summed here and not step by step: a small model's step is a few dozen operations, and four more for
    the log are felt."""
    rows = {"": [loss.total for loss in losses]}
    for loss in losses:
        for name, term in loss.terms.items():
            rows.setdefault(name, []).append(term)
    means = {name: torch.stack(row).double().mean(0).reshape(-1).tolist() for name, row in rows.items()}
    return [dict(zip(means, each, strict=True)) for each in zip(*means.values(), strict=True)]


def _check_finite(model: nn.Module, loss: float, epoch: int) -> None:
    """Once an epoch, not once a step: a gradient that is not finite stays in Adam's moments and makes every later weight
    so, nothing slips through, and the device need not be waited for. The norm of all of them is finite where each is,
    and one pass over memory; only where it is not is the culprit looked for."""
    if not math.isfinite(loss):
        raise Diverged(
            "diverged.training_loss",
            "training diverged: the training loss became {loss} in epoch {epoch}",
            loss=loss,
            epoch=epoch,
        )
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    if not bool(torch.isfinite(nn.utils.get_total_norm(weights.values()))):
        for name, weight in weights.items():
            if not bool(torch.isfinite(weight).all()):
                raise Diverged(
                    "diverged.weight",
                    "training diverged: the weight {name} is not finite in epoch {epoch}",
                    name=name,
                    epoch=epoch,
                )


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, seed: int, batch: int = 2000) -> float:
    """Mean loss over images ``x`` in evaluation mode, with the same draws at every call."""
    model.eval()
    draws = seeded(seed, "validation draws")
    total = 0.0
    for part in x.split(batch):
        total += float(model.loss(part, draws).total) * len(part)  # type: ignore[operator]
    return total / len(x)

"""fit(): the only optimiser loop. It knows no model: each owns its loss.

Adam on shuffled batches, its rate falling to 0 over the last tenth of the planned steps; after each epoch the loss on the
validation split decides when to stop (``patience`` epochs without improvement) and which weights are kept. Weights,
batch order and posterior draws each come from their own stream of the seed, the same for every model: runs pair by seed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from latentbench.core import Loss, seeded
from latentbench.streaming import Stream, feed

DECAY = 0.1
"""Share of the planned steps, at their end, over which the learning rate falls linearly to 0. Adam at a constant rate
keeps jittering about its optimum: a linear autoencoder stays half a percent above PCA's error, however long it trains."""

Progress = Callable[[int, float, float], None]


class Diverged(ArithmeticError):
    """Training met a loss or a gradient that is not finite; the message says where."""


@dataclass(frozen=True)
class Plan:
    """How to train: see `latentbench.config.Run` for the meaning and the defaults of each field."""

    epochs: int
    patience: int
    batch_size: int
    lr: float


@dataclass
class History:
    """What training left behind: ``curves`` name -> one value an epoch; ``epochs`` run; ``best`` the epoch (from 1)
    whose weights were kept; ``seconds`` of wall time."""

    curves: dict[str, list[float]] = field(default_factory=dict)
    epochs: int = 0
    best: int = 0
    seconds: float = 0.0


def initialise(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """``build()`` with weights drawn from the seed's own stream; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(seed, "weights").initial_seed())
        return build()


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
    optimiser = torch.optim.Adam(model.parameters(), lr=plan.lr, fused=True)
    size = min(plan.batch_size, len(train))
    history = History()
    if callable(start := getattr(model, "start", None)):
        start(train if isinstance(train, Tensor) else train.sample)
    best, kept = float("inf"), {k: v.clone() for k, v in model.state_dict().items()}
    for epoch in range(1, plan.epochs + 1):
        model.train()
        shuffled = torch.randperm(len(train), generator=order).to(train.device)
        sums: dict[str, Tensor] = {}
        steps = len(train) // size
        for step, x in enumerate(feed(train, shuffled[: steps * size].split(size))):
            done = (epoch - 1 + step / steps) / plan.epochs
            optimiser.param_groups[0]["lr"] = plan.lr * min(1.0, (1 - done) / DECAY)
            loss = _step(model, optimiser, x, draws)
            for name, term in {"": loss.total.detach(), **loss.terms}.items():
                sums[name] = sums.get(name, 0) + term
        means = {name: float(total) / steps for name, total in sums.items()}
        _check_finite(model, means[""], epoch)
        score = evaluate(model, val, seed)
        curves = {f"loss.train.{name}" if name else "loss.train": mean for name, mean in means.items()}
        for name, value in {**curves, "loss.val": score}.items():
            history.curves.setdefault(name, []).append(value)
        history.epochs = epoch
        if not math.isfinite(score):
            raise Diverged(f"the validation loss became {score} in epoch {epoch}")
        if score < best:
            best, history.best = score, epoch
            kept = {k: v.clone() for k, v in model.state_dict().items()}
        if progress is not None:
            progress(epoch, means[""], score)
        if plan.patience and epoch - history.best >= plan.patience:
            break
    if plan.patience:
        model.load_state_dict(kept)
    else:
        history.best = history.epochs
    model.eval()
    history.seconds = time.perf_counter() - started
    return history


def _step(model: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, draws: torch.Generator) -> Loss:
    optimiser.zero_grad(set_to_none=True)
    loss: Loss = model.loss(x, draws)  # type: ignore[operator]
    loss.total.backward()
    optimiser.step()
    return loss


def _check_finite(model: nn.Module, loss: float, epoch: int) -> None:
    """Once an epoch, not once a step: a NaN in a gradient stays in Adam's state and in every later weight and loss,
    so nothing slips through, and the device need not be waited for."""
    if not math.isfinite(loss):
        raise Diverged(f"the training loss became {loss} in epoch {epoch}")
    for name, weight in model.named_parameters():
        for what, tensor in (("weight", weight), ("gradient of", weight.grad)):
            if tensor is not None and not bool(torch.isfinite(tensor).all()):
                raise Diverged(f"the {what} {name} is not finite in epoch {epoch}")


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, seed: int, batch: int = 2000) -> float:
    """Mean loss over images ``x`` in evaluation mode, with the same draws at every call."""
    model.eval()
    draws = seeded(seed, "validation draws")
    total = 0.0
    for part in x.split(batch):
        total += float(model.loss(part, draws).total) * len(part)  # type: ignore[operator]
    return total / len(x)

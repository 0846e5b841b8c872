"""Seeds of one configuration trained together: their weights stacked, one step for all of them.

S models of equal layout become one set of tensors (S, ...); the loss of each is that of `core.Model`, mapped over the
first axis (`torch.func.vmap`), so products turn into batched products and S small steps cost hardly more than one. Every
seed keeps its weights, batch order and posterior draws, from the same streams as alone, and leaves the stack when it
stops or diverges. Losses add up and no term holds two seeds, so nothing passes between them; sums are rounded in
another order than alone, which training amplifies: see the tests for how far.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from latentbench import denormals
from latentbench.core import Loss
from latentbench.randomness import Replay, seeded
from latentbench.streaming import Stream
from latentbench.training import steps
from latentbench.training.fit import Diverged, EarlyStopping, History, Plan, Progress, batches, begin, fit, mean_terms
from latentbench.training.steps import (
    Adam,
    OperationList,
    Precision,
    TrainStep,
    Update,
    gradients_of,
    on_trial,
    products,
)

State = dict[str, Tensor]


def stacks(device: torch.device, seeds: int) -> bool:
    """Whether ``seeds`` models train faster in a stack than one after another, each process on its own core.

    On a GPU a small model's step is bound by launching its kernels, and a stack launches them once; this was not
    measured, none was at hand. Not on a CPU: processor time of seeds one after another over that of their stack, one
    thread of a Xeon with AVX-512, torch 2.13 (``benchmarks/training.py``)

        VAE                  weights   batch   2 seeds   3 seeds   6 seeds
        64-128-128-8            53 k      64      0.84      1.09      1.56
        64-512-8                79 k      64      0.82      1.02      1.36
        64-512-512-8           604 k      64      0.69      0.75      0.79

    What a stack saves in calls the mapping takes back, and large weights no longer stay in the cache. Spread over two
    cores the six seeds of the smallest gain 2, and each stays exactly what it is alone.
    """
    return device.type == "cuda" and seeds > 1


def fit_all(
    models: Sequence[nn.Module],
    train: Tensor | Stream,
    val: Tensor,
    plan: Plan,
    seeds: Sequence[int],
    progress: Sequence[Progress] | None = None,
) -> list[History | Diverged]:
    """`train.fit` for each model with its seed, in a stack where that is faster and possible, else one after another. A
    seed that diverges has the exception in its place; the others go on."""
    heard = list(progress) if progress is not None else [None] * len(seeds)
    if isinstance(train, Tensor) and in_stack(models, train[:2]):
        return fit_stacked(models, train, val, plan, seeds, progress)
    out: list[History | Diverged] = []
    for model, seed, tell in zip(models, seeds, heard, strict=True):
        try:
            out.append(fit(model, train, val, plan, seed, tell))
        except Diverged as diverged:
            out.append(diverged)
    return out


def in_stack(models: Sequence[nn.Module], x: Tensor) -> bool:
    """Whether `fit_all` trains these models in one stack on images like ``x`` (2, c, h, w) in memory."""
    return stacks(x.device, len(models)) and stackable(models, x)


def training_step(
    models: Sequence[nn.Module], draws: Sequence[torch.Generator], plan: Plan, images: int, x: Tensor
) -> Update:
    """The step that `fit_all` takes on so many training ``images``, each like ``x`` (2, c, h, w), to train these models on:
    a `StackedStep` of all of them where they train in a stack, else the `TrainStep` of the first."""
    if in_stack(models, x):
        return StackedStep(models, draws, plan.precision, plan.steps(images))
    return TrainStep(models[0], draws[0], plan.steps(images), plan.precision)


class _LossOf(nn.Module):
    """A model whose call is its loss, as `functional_call` wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, draws: Sequence[Tensor]) -> Loss:
        loss: Loss = self.model.loss(x, Replay(draws))  # type: ignore[operator]
        return loss


class StackedStep:
    """Models of equal layout as one: weights (S, ...) and the buffers, a loss over all, Adam. Each draws from its own of
    ``draws``. Called it is the step that training takes: an `Update` of all of them, one of ``planned``, asked for anew each time, or
    where the models are ``traceable`` and it pays written down once (`steps`), which on a GPU is one graph for all seeds."""

    def __init__(
        self,
        models: Sequence[nn.Module],
        draws: Sequence[torch.Generator],
        precision: Precision = "float32",
        planned: int = 0,
    ) -> None:
        self.draws, self.precision = list(draws), precision
        calls = [_LossOf(model) for model in models]
        self.base = copy.deepcopy(calls[0])
        weights, self.buffers = stack_module_state(calls)
        self.weights = {k: w.detach().requires_grad_() for k, w in weights.items()}
        self.adam = Adam(self.weights.values())
        self.tries = planned >= steps.WORTHWHILE and all(getattr(model, "traceable", False) for model in models)
        self._shapes: dict[tuple[bool, int], list[tuple[int, ...]]] = {}
        self._lists: dict[torch.Size, OperationList | None] = {}

    def shapes(self, x: Tensor) -> list[tuple[int, ...]]:
        """The shapes of what the loss draws for a batch of this size, found by trying once on a copy."""
        key = (self.base.training, len(x))
        if key not in self._shapes:
            asked = Replay()
            with torch.no_grad():
                copy.deepcopy(self.base.model).loss(x, asked)  # type: ignore[operator]
            self._shapes[key] = asked.asked
        return self._shapes[key]

    def loss(self, x: Tensor, generators: Sequence[torch.Generator], shared: bool = False) -> Loss:
        """Losses (S,) and terms (S,) of a batch for each model (S, n, c, h, w), or of one ``shared`` by all (n, c, h, w)."""
        return self._mapped(x, self._drawn(x, generators, shared), shared)

    def _drawn(self, x: Tensor, generators: Sequence[torch.Generator], shared: bool = False) -> list[Tensor]:
        """What the losses of a batch draw, each from its own generator, (S, ...)."""
        shapes = self.shapes(x if shared else x[0])
        draws = [[torch.randn(shape, generator=g, dtype=x.dtype) for shape in shapes] for g in generators]
        return [torch.stack(each).to(x.device) for each in zip(*draws, strict=True)]

    def _mapped(self, x: Tensor, drawn: Sequence[Tensor], shared: bool = False) -> Loss:
        def one(weights: State, buffers: State, x: Tensor, draws: Sequence[Tensor]) -> Loss:
            loss: Loss = functional_call(self.base, (weights, buffers), (x, draws))
            return loss

        loss: Loss = vmap(one, in_dims=(0, 0, None if shared else 0, 0))(self.weights, self.buffers, x, list(drawn))
        return loss

    def __call__(self, x: Tensor, rate: float | Sequence[float]) -> Loss:
        """One update of every model, each by its own batch of ``x`` (S, n, c, h, w), at one ``rate`` or each at its own; losses
        and terms (S,)."""
        with products(self.precision):
            drawn = self._drawn(x, self.draws)
            listed = self.listed(x, drawn)
            if listed is None:
                loss = self._mapped(x, drawn)
                gradients: Sequence[Tensor | None] = gradients_of(loss, list(self.weights.values()))
            else:
                loss, gradients = listed(x, drawn)
            self._update(gradients, [rate] if isinstance(rate, float) else rate)
        return Loss(loss.total.detach(), loss.terms)

    @torch.no_grad()
    def _update(self, gradients: Sequence[Tensor | None], rates: Sequence[float]) -> None:
        """Adam's update is its rate times a step that does not hang on it: of a model with a lower rate than the highest it
        is taken in that proportion. One with the highest is where it would be alone, to the last bit."""
        highest = max(rates)
        before = [w.clone() for w in self.adam.weights] if min(rates) < highest else []
        self.adam(gradients, highest)
        if before:
            shares = before[0].new_tensor([r / highest for r in rates])
            for weight, old in zip(self.adam.weights, before, strict=True):
                weight.copy_(torch.lerp(old, weight, shares.to(weight).view(-1, *[1] * (weight.ndim - 1))))

    def listed(self, x: Tensor, drawn: Sequence[Tensor]) -> OperationList | None:
        """The operations for batches of the shape of ``x``, found out at the first of them; None where they are asked for anew
        each time."""
        if self.tries and x.shape not in self._lists:
            self._lists[x.shape] = self._list(x, drawn)
        return self._lists.get(x.shape)

    def _list(self, x: Tensor, drawn: Sequence[Tensor]) -> OperationList | None:
        """The list where it gives the same to the last bit, on another batch than it was traced on; the models are left as
        they are."""
        weights, before = list(self.weights.values()), {k: b.clone() for k, b in self.buffers.items()}

        def again() -> None:
            for name, buffer in self.buffers.items():
                buffer.copy_(before[name])

        def outcome(loss: Loss, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
            return [loss.total, *loss.terms.values(), *gradients, *(b.clone() for b in self.buffers.values())]

        try:
            with on_trial(self.base):
                loss = self._mapped(x, drawn)
                asked = outcome(loss, gradients_of(loss, weights))
                again()
                listed = OperationList(self._mapped, weights, x / 2, drawn)
                again()
                found = outcome(*listed(x, drawn))
        except Exception:  # whatever refuses here; what a loss itself raises, the ordinary step will say
            return None
        finally:
            again()
        same = (a is b if a is None or b is None else torch.equal(a, b) for a, b in zip(asked, found, strict=True))
        return listed if all(same) else None

    def finite(self) -> list[bool]:
        """For each model, whether its weights are finite numbers; a gradient that is not has made a weight so."""
        sound = torch.stack([w.detach().isfinite().reshape(len(w), -1).all(1) for w in self.weights.values()]).all(0)
        return [bool(s) for s in sound.tolist()]

    def write(self, number: int, model: nn.Module) -> None:
        """Copy the weights and buffers of the model in this place into ``model``."""
        state = {k: v[number] for k, v in {**self.weights, **self.buffers}.items()}
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                tensor.copy_(state[f"model.{name}"])

    def keep(self, numbers: Sequence[int]) -> None:
        """Leave out all but these models."""
        rows = torch.tensor(numbers, device=next(iter(self.weights.values())).device)
        moments = self.adam.moments
        self.draws = [self.draws[k] for k in numbers]
        self.weights = {k: w.detach()[rows].requires_grad_() for k, w in self.weights.items()}
        self.buffers = {k: b[rows] for k, b in self.buffers.items()}
        self._lists.clear()  # they hold the weights that were
        self.adam = Adam(self.weights.values())
        self.adam.moments = [(mean[rows], square[rows], count) for mean, square, count in moments]


def stackable(models: Sequence[nn.Module], x: Tensor) -> bool:
    """Whether these models can be stacked: of equal layout, and a loss that can be mapped and draws through
    `core.randn` only. Tried on two images ``x`` (2, c, h, w), on copies; any refusal means no."""
    try:
        draws = [seeded(0, "trial") for _ in models]
        StackedStep(copy.deepcopy(list(models)), draws)(torch.stack([x] * len(models)), 1e-3)
    except Exception:  # whatever a user's loss raises here, it is trained alone, where it may say so itself
        return False
    return True


@denormals.as_zero()
def fit_stacked(
    models: Sequence[nn.Module],
    train: Tensor,
    val: Tensor,
    plan: Plan,
    seeds: Sequence[int],
    progress: Sequence[Progress] | None = None,
) -> list[History | Diverged]:
    """`train.fit` for all ``models`` in one stack, in place; ``seconds`` of a history are its share of the wall time."""
    for model in models:
        begin(model, train)
    stoppings = [EarlyStopping(plan, None if progress is None else progress[i]) for i in range(len(seeds))]
    orders = [seeded(seed, "batches") for seed in seeds]
    draws = [seeded(seed, "posterior draws") for seed in seeds]
    stack = StackedStep(models, draws, plan.precision, plan.steps(len(train)))
    left = list(range(len(seeds)))
    failed: dict[int, Diverged] = {}
    seconds = [0.0] * len(seeds)
    while left:
        started, epoch = time.perf_counter(), stoppings[left[0]].history.epochs
        stack.base.train()
        losses = [
            stack(train[torch.stack(rows)], [stoppings[i].rate(*place) for i in left])
            for rows, *place in batches(train, plan, epoch, [orders[i] for i in left])
        ]
        scores, sound, means = _evaluate(stack, val, [seeds[i] for i in left]), stack.finite(), mean_terms(losses)
        for place, i in enumerate(left):
            seconds[i] += (time.perf_counter() - started) / len(left)
            try:
                if not sound[place]:
                    raise Diverged(
                        "diverged.weights",
                        "training diverged: a weight or its gradient is not finite in epoch {epoch}",
                        epoch=epoch + 1,
                    )
                if stoppings[i].log(means[place], scores[place]) or not plan.patience:
                    stack.write(place, models[i])
            except Diverged as diverged:
                failed[i] = diverged
        going = [p for p, i in enumerate(left) if i not in failed and not stoppings[i].over]
        if 0 < len(going) < len(left):
            stack.keep(going)
        left = [left[p] for p in going]
    for model in models:
        model.eval()
    ended = zip(stoppings, seconds, strict=True)
    return [failed.get(i) or stopping.end(spent, len(train)) for i, (stopping, spent) in enumerate(ended)]


@torch.no_grad()
def _evaluate(stack: StackedStep, x: Tensor, seeds: Sequence[int], batch: int = 2000) -> list[float]:
    """`train.evaluate` for every model of the stack."""
    stack.base.eval()
    draws = [seeded(seed, "validation draws") for seed in seeds]
    totals = [stack.loss(part, draws, shared=True).total * len(part) for part in x.split(batch)]
    return [float(total) for total in torch.stack(totals).sum(0) / len(x)]

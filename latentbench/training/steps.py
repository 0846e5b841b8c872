"""One training step: the loss of a batch, its gradients, Adam's update; asked for anew each time, or traced once.

A small model's step is a hundred operations of a few microseconds each, and to go through Python and autograd for every
one of them takes as long as they do. A model that says ``traceable = True`` is asked once: `operations` writes down what
its loss and gradients do, `simplified` leaves out what gives nothing new, and TorchScript (`torchscript`) runs what is left from
then on: the same numbers from the same operations on the same memory, so the weights come out the same to the last bit; one
step is made both ways to see that, and where they differ, or anything refuses, the model is trained the ordinary way. On a GPU the list is recorded as a
CUDA graph; none was at hand to run that on.

Kept because the default training gains more than 1.2 by it. Processor time of the ordinary step over that of the traced one,
in turns of 24 steps, median of 21 turns, one thread of a Xeon with AVX-512 that other work shared, torch 2.13

    width of two hidden layers, batch 64   512    256    128        784-512-16, batch 128
    AE 64-...-8                            1.22   1.46   1.96       1.09
    VAE 64-...-8                           1.28   1.60   2.05       1.13
    the same before lists were `simplified`
    AE                                     1.12   1.34   1.66       1.05
    VAE                                    1.17   1.41   1.78       1.10

To trace costs .06 s a training, which ends after 1,300 to 1,700 steps.

What else was tried. `torch.compile` of the same loss and gradients: 1.0 (AE) and 1.26 (VAE) at 256 units, 1.1 (VAE) at 512, 1.0 at
MNIST's size (AE), after 13 to 18 s of compiling (1.8 to 2.9 s where its cache holds the code), with a C++ compiler at hand: the
default trainings gain nothing by it. The list run by Python instead of TorchScript: 1.0 to 1.1. So TorchScript stays, though torch
calls it deprecated (which is not shown to users): nothing public runs a list of operations without Python. Where one of them refuses, on this torch or the next, training takes the
ordinary step. The optimiser's bookkeeping, which was a third of the gain, the ordinary step is now rid of too: see `Adam`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from latentbench.core import Loss
from latentbench.models.nets import Trunk, mixed_precision
from latentbench.randomness import Replay
from latentbench.training.operations import Operations, operations
from latentbench.training.simplify import simplified
from latentbench.training.torchscript import scripted

WORTHWHILE = 500
"""Steps to come from which tracing pays: it takes a tenth of a second at most and saves half a millisecond each."""

WARM_UP = 3
"""Calls before a graph is recorded, in which libraries choose their kernels and take their memory."""

BETAS, EPS = (0.9, 0.999), 1e-8
"""Adam's decay rates and the term that keeps its denominator from 0 (Kingma & Ba 2015)."""

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, Precision] = ("float32", "bfloat16")

Update = Callable[[Tensor, float], Loss]
"""Descends the loss of images (n, c, h, w) at Adam's rate. The loss before the update comes back without a graph, so that an
epoch's losses can be kept and read once."""


class _Group(NamedTuple):
    """Weights that one call of Adam's kernel updates, of one device and type: their places among all, and what belongs to each."""

    places: list[int]
    weights: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    counts: list[Tensor]


class Adam:
    """Adam on ``weights``: their moments, made at the first update, and how many updates each has had, counted once for all
    that had the same. The kernel is that of ``torch.optim.Adam`` with ``fused=True``; called without the Python around it, and
    with one count for 12 weights, a step takes 0.2 to 0.3 ms less."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        self.weights = [w.detach() for w in weights]
        self.moments: list[tuple[Tensor, Tensor, Tensor]] = []
        self._reached: list[bool] = []
        self._groups: list[_Group] = []
        self._counts: list[Tensor] = []

    @torch.no_grad()
    def __call__(self, gradients: Sequence[Tensor | None], rate: float) -> None:
        """One update, in place; a weight without a gradient stays as it is."""
        reached = [g is not None for g in gradients]
        if reached != self._reached:
            self._arrange(reached)
        for count in self._counts:
            count.add_(1)
        for places, weights, means, squares, counts in self._groups:
            laid_out = [
                _laid_out(g, w) for g, w in zip((gradients[k] for k in places), weights, strict=True) if g is not None
            ]
            torch._fused_adam_(
                weights, laid_out, means, squares, [], counts, amsgrad=False, beta1=BETAS[0], beta2=BETAS[1], lr=rate,
                weight_decay=0.0, eps=EPS, maximize=False,
            )  # fmt: skip

    def _arrange(self, reached: list[bool]) -> None:
        """From now on these weights have gradients; their updates are counted apart from the others'."""
        if not self.moments:
            zeros, none = torch.zeros_like, {w.device: w.new_zeros((), dtype=torch.float32) for w in self.weights}
            self.moments = [(zeros(w), zeros(w), none[w.device]) for w in self.weights]
        rows: dict[tuple[torch.device, torch.dtype], list[tuple[int, Tensor, Tensor, Tensor, Tensor]]] = {}
        apart: dict[int, Tensor] = {}
        for k, weight in enumerate(self.weights):
            if reached[k]:
                mean, square, shared = self.moments[k]
                count = apart.setdefault(id(shared), shared.clone())
                self.moments[k] = mean, square, count
                rows.setdefault((weight.device, weight.dtype), []).append((k, weight, mean, square, count))
        columns = (tuple(map(list, zip(*own, strict=True))) for own in rows.values())
        self._reached, self._groups, self._counts = reached, [_Group(*own) for own in columns], list(apart.values())


def _laid_out(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient in its weight's layout: the fused update walks through the memory of both."""
    if gradient.stride() == weight.stride():
        return gradient
    return torch.empty_like(weight).copy_(gradient)


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """What training steps multiply: bfloat16 numbers where that is asked for, with sums in float32. The package's own
    networks are taken through their layers in them (`mixed_precision`); products of float32 tensors elsewhere, in a loss or in a model of
    the user's, are rounded where the processor or GPU does that by itself. Weights, losses and Adam stay float32.

    Both, since a processor need not do it by itself: an AMD EPYC with AVX-512 rounds no product that is left to it, and a step of 784-512-16 at
    batch 128 takes 8.1 ms in float32, 7.8 with products left to round, 5.3 through layers in bfloat16 (VAE: 8.6, 8.4, 5.8)."""
    before = torch.get_float32_matmul_precision()
    try:
        if precision == "bfloat16":
            torch.set_float32_matmul_precision("medium")
            with mixed_precision():
                yield
        else:
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class TrainStep:
    """The step that training takes: an `Update` of ``model``, whose weights it lays out anew (`layout`), one of ``planned``, its draws from ``draws``, its products in
    ``precision``, made in the faster way that gives the same weights, which is found out at the first batch of a shape."""

    def __init__(
        self, model: nn.Module, draws: torch.Generator, planned: int, precision: Precision = "float32"
    ) -> None:
        self.model, self.draws, self.precision = model, draws, precision
        self.tries = planned >= WORTHWHILE and bool(getattr(model, "traceable", False))
        self.layout = layout(model)
        model.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.adam = Adam(_learned(model))
        self._ways: dict[torch.Size, Update] = {}

    def __call__(self, x: Tensor, rate: float) -> Loss:
        """One `Update`."""
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.layout)
        with products(self.precision):
            return self.way(x)(x, rate)

    def way(self, x: Tensor) -> Update:
        """How batches of the shape of ``x`` are stepped on, found out at the first of them."""
        if x.shape not in self._ways:
            traced = traced_step(self.model, x, self.draws, self.adam) if self.tries else None
            self._ways[x.shape] = traced or EagerStep(self.model, self.draws, self.adam)
        return self._ways[x.shape]


def _learned(model: nn.Module) -> list[nn.Parameter]:
    return [w for w in model.parameters() if w.requires_grad]


def layout(model: nn.Module) -> torch.memory_format:
    """How weights and images of a training lie in memory: channels last for convolutions of this package's own networks (nobody
    knows what others do with an image's strides). Their step at 64 x 64 x 3 takes 13.7 to 16.2 s of processor time as rows of channels,
    11.9 to 12.1 so (`benchmarks/rivals/convolutions.py`, an AMD EPYC with AVX-512, float32); numbers are summed in another order, and are the same but for that."""
    own = (layer for part in model.modules() if isinstance(part, Trunk) for layer in part.modules())
    images = any(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in own)
    return torch.channels_last if images else torch.contiguous_format


class EagerStep:
    """The ordinary `Update`: the model's loss, autograd, ``adam``."""

    def __init__(self, model: nn.Module, draws: torch.Generator, adam: Adam) -> None:
        self.model, self.draws, self.adam = model, draws, adam
        self._weights = _learned(model)

    def __call__(self, x: Tensor, rate: float) -> Loss:
        """One `Update`."""
        loss: Loss = self.model.loss(x, self.draws)  # type: ignore[operator]
        self.adam(gradients_of(loss, self._weights), rate)
        return Loss(loss.total.detach(), loss.terms)


class OperationList:
    """The operations of a loss and of its gradients by ``weights`` for batches like ``x``, written down once and run from then
    on; on a GPU one graph. ``loss`` maps a batch and what it draws (like ``drawn``) to a `Loss`, of one model or, with totals
    (S,), of each of a stack. It has been asked once before: what torch loads at the first call of a function (2.6 its compiler,
    for `vmap`) cannot be loaded while operations are written down."""

    def __init__(
        self,
        loss: Callable[[Tensor, Sequence[Tensor]], Loss],
        weights: Sequence[Tensor],
        x: Tensor,
        drawn: Sequence[Tensor],
    ) -> None:
        self.shape = x.shape
        self._reached: list[bool] = []
        self._terms: list[str] = []

        def losses_and_gradients(x: Tensor, *drawn: Tensor) -> list[Tensor]:
            found = loss(x, drawn)
            gradients = gradients_of(found, weights)
            self._reached, self._terms = [g is not None for g in gradients], list(found.terms)
            return [found.total.detach(), *found.terms.values(), *(g for g in gradients if g is not None)]

        self.run = _script(operations(losses_and_gradients, [x, *drawn]))
        if x.is_cuda:
            self.run = CudaGraph(self.run, [x, *drawn], 1 + len(self._terms))

    @torch.no_grad()
    def __call__(self, x: Tensor, drawn: Sequence[Tensor]) -> tuple[Loss, list[Tensor | None]]:
        """The loss and the gradients, None for a weight that it does not reach."""
        with _as_listed():
            total, *rest = self.run(x, *drawn)
        gradients = iter(rest[len(self._terms) :])
        loss = Loss(total, dict(zip(self._terms, rest, strict=False)))
        return loss, [next(gradients) if reached else None for reached in self._reached]


def same_list(
    loss: Callable[[Tensor, Sequence[Tensor]], Loss], weights: Sequence[Tensor], x: Tensor, drawn: Sequence[Tensor]
) -> OperationList | None:
    """The `OperationList` of a ``loss``, written down on another batch than ``x``, where on that it gives what asking anew gives,
    to the last bit; None where it does not, or anything refuses."""
    try:
        asked = loss(x, drawn)
        wanted = gradients_of(asked, weights)
        listed = OperationList(loss, weights, x / 2, drawn)
        found, gradients = listed(x, drawn)
        pairs = [(found.total, asked.total), *zip(gradients, wanted, strict=True)]
    except Exception:  # whatever refuses here; what a loss itself raises, asking anew will say
        return None
    same = all(torch.equal(a, b) if a is not None and b is not None else a is b for a, b in pairs)
    return listed if same else None


def gradients_of(loss: Loss, weights: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Of a loss, or of each in a stack: no total holds the weights of two models, so their sum has the gradients of all."""
    total = loss.total if loss.total.ndim == 0 else loss.total.sum()
    found: tuple[Tensor | None, ...] = torch.autograd.grad(total, weights, allow_unused=True)
    return found


class TracedStep:
    """The `Update` that runs a list of operations: those of ``model.loss`` and its gradients for batches like ``x``."""

    def __init__(self, model: nn.Module, x: Tensor, draws: torch.Generator, adam: Adam) -> None:
        self.draws, self.adam, asked = draws, adam, Replay()
        with torch.no_grad():
            copy.deepcopy(model).loss(x, asked)  # type: ignore[operator]
        self._shapes = asked.asked

        def loss(x: Tensor, drawn: Sequence[Tensor]) -> Loss:
            found: Loss = model.loss(x, Replay(drawn))  # type: ignore[operator]
            return found

        self.listed = OperationList(loss, _learned(model), x, [x.new_zeros(shape) for shape in self._shapes])

    @torch.no_grad()
    def __call__(self, x: Tensor, rate: float) -> Loss:
        """One `Update`."""
        drawn = [torch.randn(shape, generator=self.draws, dtype=x.dtype).to(x.device) for shape in self._shapes]
        loss, gradients = self.listed(x, drawn)
        self.adam(gradients, rate)
        return loss


class CudaGraph:
    """A list of operations recorded on a GPU and launched as one: a small model's step is bound by the launching of its
    kernels. It reads its inputs and writes its results always at the same place: the first ``kept`` of them (losses) are copied
    from there, the others (gradients) are the caller's until the next call."""

    def __init__(self, run: Callable[..., list[Tensor]], inputs: Sequence[Tensor], kept: int) -> None:
        self.kept = kept
        self.inputs = [tensor.clone() for tensor in inputs]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside), _as_listed():
            for _ in range(WARM_UP):
                run(*self.inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph), _as_listed():
            self.results = run(*self.inputs)

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """The operations on ``inputs``, of the shapes that were recorded."""
        for recorded, given in zip(self.inputs, inputs, strict=True):
            recorded.copy_(given)
        self.graph.replay()
        return [result.clone() if k < self.kept else result for k, result in enumerate(self.results)]


@contextmanager
def _as_listed() -> Iterator[None]:
    """TorchScript changes nothing: products that it rewrites would be rounded in another order."""
    with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        yield


def _script(listed: Operations) -> Callable[..., list[Tensor]]:
    """The list of operations, to be called with its inputs."""
    return scripted(*simplified(listed))


@contextmanager
def on_trial(model: nn.Module) -> Iterator[None]:
    """Losses of ``model`` may be asked for as a trial: what they set in its modules is as before afterwards, and so is torch's
    own generator, from which a layer of the user's may draw. Its weights and buffers are the caller's to put back."""
    attributes = [(module, dict(vars(module))) for module in model.modules()]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, values in attributes:
            vars(module).clear()
            vars(module).update(values)


def traced_step(model: nn.Module, x: Tensor, draws: torch.Generator, adam: Adam) -> TracedStep | None:
    """A `TracedStep` that makes the same update as the `EagerStep` to the last bit; None where there is none. ``draws``,
    ``adam`` and the model are left as they are."""
    before = {k: v.clone() for k, v in model.state_dict().items()}
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    try:
        with on_trial(model):
            # Compared on another batch than it was traced on, and with a loss asked for the second time: numbers of that
            # batch or that time, written into the list, do not go unnoticed.
            traced = TracedStep(model, x / 2, generators[0], Adam(_learned(model)))
            model.load_state_dict(before)
            twin = copy.deepcopy(model)
            ways: list[Update] = [traced, EagerStep(twin, generators[1], Adam(_learned(twin)))]
            losses = []
            for way in ways:
                torch.manual_seed(0)
                losses.append(way(x, 1e-3))
        of_model, of_twin = (
            {**m.state_dict(), "": s.total, **s.terms} for m, s in zip((model, twin), losses, strict=True)
        )
        if of_model.keys() != of_twin.keys() or not all(torch.equal(of_model[k], of_twin[k]) for k in of_model):
            return None
    except Exception:  # whatever refuses here; what a loss itself raises, the ordinary step will say
        return None
    finally:
        model.load_state_dict(before)
    traced.draws, traced.adam = draws, adam
    return traced

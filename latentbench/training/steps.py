"""One training step: the loss of a batch, its gradients, Adam's update; asked for anew each time, or traced once.

A small model's step is a hundred operations of a few microseconds each, and to go through Python and autograd for every
one of them takes as long as they do. A model that says ``traceable = True`` is asked once: `make_fx` writes down the
operations of its loss and gradients, and TorchScript runs that list from then on. They are the same operations in the same
order on the same memory, so the weights come out the same to the last bit; one step is made both ways to see that,
and where they differ, or anything refuses, the model is trained the ordinary way. On a GPU the list is recorded as a
CUDA graph; none was at hand to run that on.

Time of a training of 1,000 steps with the ordinary step over that with the traced one, the tracing included, one thread
of a Xeon with AVX-512, torch 2.13 (``benchmarks/training.py``): 64-512-8 in batches of 64 1.6, 64-512-512-8 1.25,
784-512-16 in batches of 128 1.1.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from latentbench.core import Loss
from latentbench.randomness import Replay

WORTHWHILE = 500
"""Steps to come from which tracing pays: it takes a tenth of a second and saves a third of a millisecond or more each."""

WARM_UP = 3
"""Calls before a graph is recorded, in which libraries choose their kernels and take their memory."""

BETAS, EPS = (0.9, 0.999), 1e-8
"""Adam's decay rates and the term that keeps its denominator from 0 (Kingma & Ba 2015)."""

Update = Callable[[Tensor, float], Loss]
"""Descends the loss of images (n, c, h, w) at Adam's rate. The loss before the update comes back without a graph, so that an
epoch's losses can be kept and read once."""


class TrainStep:
    """The step that training takes: an `Update` of ``model``, one of ``planned``, its draws from ``draws``, made in the faster
    way that gives the same weights, which is found out at the first. All batches have one shape."""

    def __init__(self, model: nn.Module, draws: torch.Generator, planned: int) -> None:
        self.model, self.draws = model, draws
        self.tries = planned >= WORTHWHILE and bool(getattr(model, "traceable", False))
        self.way: Update | None = None

    def __call__(self, x: Tensor, rate: float) -> Loss:
        """One `Update`."""
        if self.way is None:
            traced = traced_step(self.model, x, self.draws) if self.tries else None
            self.way = traced or EagerStep(self.model, self.draws)
        return self.way(x, rate)


class EagerStep:
    """The ordinary `Update`: the model's loss, autograd, ``torch.optim.Adam``."""

    def __init__(self, model: nn.Module, draws: torch.Generator) -> None:
        self.model, self.draws = model, draws
        self.optimiser = torch.optim.Adam(model.parameters(), betas=BETAS, eps=EPS, fused=True)

    def __call__(self, x: Tensor, rate: float) -> Loss:
        """One `Update`."""
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss: Loss = self.model.loss(x, self.draws)  # type: ignore[operator]
        loss.total.backward()
        self.optimiser.step()
        return Loss(loss.total.detach(), loss.terms)


class TracedStep:
    """The `Update` that runs a list of operations: those of ``model.loss`` and its gradients for batches like ``x``."""

    def __init__(self, model: nn.Module, x: Tensor, draws: torch.Generator) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx

        self.draws, asked = draws, Replay()
        with torch.no_grad():
            copy.deepcopy(model).loss(x, asked)  # type: ignore[operator]
        self._shapes = asked.asked
        weights = [w for w in model.parameters() if w.requires_grad]
        reached: list[bool] = []
        self._terms: list[str] = []

        def losses_and_gradients(x: Tensor, *drawn: Tensor) -> list[Tensor]:
            loss: Loss = model.loss(x, Replay(drawn))  # type: ignore[operator]
            gradients: tuple[Tensor | None, ...] = torch.autograd.grad(loss.total, weights, allow_unused=True)
            reached[:], self._terms[:] = [g is not None for g in gradients], loss.terms
            return [loss.total.detach(), *loss.terms.values(), *(g for g in gradients if g is not None)]

        drawn = [x.new_zeros(shape) for shape in self._shapes]
        self._run = _script(make_fx(losses_and_gradients)(x, *drawn))
        if x.is_cuda:
            self._run = CudaGraph(self._run, [x, *drawn])
        self._weights = [w.detach() for w, counts in zip(weights, reached, strict=True) if counts]
        self._mean, self._square = ([torch.zeros_like(w) for w in self._weights] for _ in range(2))
        self._count = torch.zeros((), device=x.device)

    @torch.no_grad()
    def __call__(self, x: Tensor, rate: float) -> Loss:
        """One `Update`."""
        drawn = [torch.randn(shape, generator=self.draws, dtype=x.dtype).to(x.device) for shape in self._shapes]
        with _as_listed():
            total, *rest = self._run(x, *drawn)
        self._count += 1
        torch._fused_adam_(
            self._weights, rest[len(self._terms) :], self._mean, self._square, [], [self._count] * len(self._weights),
            lr=rate, beta1=BETAS[0], beta2=BETAS[1], weight_decay=0.0, eps=EPS, amsgrad=False, maximize=False,
        )  # fmt: skip
        return Loss(total, dict(zip(self._terms, rest, strict=False)))

    def restart(self, draws: torch.Generator) -> None:
        """Forget the updates made so far, and draw from ``draws``."""
        torch._foreach_zero_([*self._mean, *self._square, self._count])
        self.draws = draws


class CudaGraph:
    """A list of operations recorded on a GPU and launched as one: a small model's step is bound by the launching of its
    kernels. It reads its inputs and writes its results always at the same place: scalars (losses, which are kept) are copied
    from there, gradients are the caller's until the next call."""

    def __init__(self, run: Callable[..., list[Tensor]], inputs: Sequence[Tensor]) -> None:
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
        return [result if result.ndim else result.clone() for result in self.results]


@contextmanager
def _as_listed() -> Iterator[None]:
    """TorchScript changes nothing: products that it rewrites would be rounded in another order."""
    with torch.no_grad(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        yield


def _script(operations: torch.fx.GraphModule) -> Callable[..., list[Tensor]]:
    """The list of operations for TorchScript, which knows an operation by its name and chooses the overload itself."""
    for node in operations.graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload):
            node.target = node.target.overloadpacket
    operations.graph.set_codegen(torch.fx.graph.CodeGen())  # a plain list of arguments
    operations.recompile()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is old
        return cast("Callable[..., list[Tensor]]", torch.jit.script(operations))


def traced_step(model: nn.Module, x: Tensor, draws: torch.Generator) -> TracedStep | None:
    """A `TracedStep` that makes the same update as the `EagerStep` to the last bit; None where there is none. ``draws`` and
    the model are left as they are."""
    before = {k: v.clone() for k, v in model.state_dict().items()}
    attributes = [(module, dict(vars(module))) for module in model.modules()]
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    try:
        with torch.random.fork_rng(devices=[]):  # a layer of the user's may draw from torch's own generator
            # Compared on another batch than it was traced on, and with a loss asked for the second time: numbers of that
            # batch or that time, written into the list, do not go unnoticed.
            traced = TracedStep(model, x / 2, generators[0])
            model.load_state_dict(before)
            twin = copy.deepcopy(model)
            ways: list[Update] = [traced, EagerStep(twin, generators[1])]
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
        for module, values in attributes:
            vars(module).clear()
            vars(module).update(values)
    traced.restart(draws)
    return traced

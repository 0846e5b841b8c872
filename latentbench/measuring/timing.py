"""Throughput and cost: how fast a model encodes, decodes, samples and trains on this machine, and what that takes.

A *target* is one (metric, model, batch size): a call that handles ``b`` images. It is timed in *blocks*: a block is
``inner`` calls in a row, as many as last at least `BLOCK_SECONDS`, so the clock's own cost and resolution do not
count. After a warm-up every target has `BLOCKS` blocks, taken in rounds: a round visits every target once, the
models of one batch size directly after one another, and who goes first rotates from round to round. Whatever drifts
on the machine (its clock, its other users) so falls on all models alike. Raw samples, in images a second, are kept.

    value       b * inner / seconds, the median over blocks (samples/s)
    spread      interquartile range over median of the blocks
    rankable    spread <= `RANKABLE`: beyond it these blocks cannot tell two models apart that differ by 10 %
    flops       floating-point operations of one call, counted in matrix products and convolutions only (2 m n k each)
    peak_share  flops a second over the float32 matrix-product rate measured in the same rounds with as many threads

A training step is the one that training takes, made by the same function for the same `Schedule`: its precision, traced
where training traces it, several seeds in a stack where it stacks them. Of a stack of S models one call trains each on a
batch of its own, so it handles S b images: samples/s count every image that some model was trained on, and S times as many
a second train S models in the time of one. Its operations and memory are counted on the ordinary step, which the traced one
repeats operation by operation.

Calls run on deep copies, under the caller's thread count, and torch's global generators are put back afterwards:
neither the models nor anything drawn later depends on having been timed.
"""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from latentbench import machine
from latentbench.measuring.cost_of_a_call import Call, flops, peak_memory
from latentbench.measuring.scoring import own_prior
from latentbench.randomness import randn, seeded
from latentbench.records import OPERATIONS, Reason, Record
from latentbench.training.fit import Plan
from latentbench.training.stacking import StackedStep, training_step
from latentbench.training.steps import TracedStep, Update

BLOCKS = 25
"""Timed blocks of a target: odd, so that the median rate is the inverse of the median time."""

BLOCK_SECONDS = 0.002
"""Shortest block: some thousand times the clock's resolution, half a scheduler's time slice."""

CALL_SECONDS = 0.5
"""Longest call worth its blocks; a larger batch is skipped with that reason."""

RANKABLE = 0.2
"""Widest spread that still ranks. The median of 25 blocks has a standard error of about .93 IQR / sqrt(25), so at a
spread of .2 it is known to within 7 % either way (95 %): two models that differ by 10 % are only just told apart."""

BATCHES = {"cpu": (1, 64, 512), "cuda": (1, 64, 512, 4096)}
"""Batch sizes by kind of device: one image, a usual batch, one that fills the machine."""

PEAK_SIDE = {"cpu": 512, "cuda": 4096}
"""Side of the square matrices whose product gives the machine's measured peak."""

RATE = 1e-4
"""Adam's rate in timed steps: it costs what any other does, and leaves the weights about where they are."""

COUNTED = 8
"""Images in the call whose operations are counted; the count of one image is its share."""


class Schedule(NamedTuple):
    """How the models are trained: the ``plan``, on how many training ``images``, and how many ``seeds`` one process trains."""

    plan: Plan
    images: int
    seeds: int = 1

    @property
    def counted(self) -> Schedule:
        """The same, too short to be worth tracing: its step goes through the operations one by one."""
        return self._replace(plan=replace(self.plan, epochs=0))


USUAL = Schedule(Plan(epochs=50, patience=20, batch_size=128, lr=1e-3), images=50_000)
"""The schedule of a run on MNIST, for who names none."""


@dataclass(eq=False)
class Target:
    """One thing to time. ``call`` handles ``batch`` images for each of ``models`` models; ``flops`` are those of one call;
    ``memory`` is the peak of one call in bytes; ``about`` says how the call was made; ``seconds`` holds a time a call for every block, ``latency`` those of calls waited for."""

    metric: str
    model: str
    batch: int
    device: torch.device
    call: Call
    flops: int = 0
    memory: int | None = None
    models: int = 1
    about: Mapping[str, Any] = field(default_factory=dict)
    inner: int = 1
    seconds: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    status: Literal["ok", "failed", "skipped"] = "ok"
    reason: str = ""

    def leave_out(self, status: Literal["failed", "skipped"], reason: str) -> None:
        """Time this target no further; its record says why."""
        self.status, self.reason, self.call = status, reason, _nothing

    def attempt(self, do: Callable[[Target], None]) -> None:
        """``do(self)`` unless left out; a call that raises makes this target failed and no other."""
        if self.status == "ok":
            try:
                do(self)
            except Exception as error:
                self.leave_out("failed", _caught(error))


def _nothing() -> None:
    return None


def _caught(error: Exception) -> Reason:
    return Reason.raised(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def time_models(
    models: Mapping[str, Any],
    shape: tuple[int, ...],
    device: torch.device | str = "cpu",
    batches: Sequence[int] | None = None,
    schedule: Schedule | None = None,
    *,
    blocks: int = BLOCKS,
) -> list[Record]:
    """Throughput and cost of each model on images of ``shape`` (c, h, w), as records without run and dataset.

    Args:
        models: `core.Model` modules by the name their records carry. They may live anywhere: copies are moved.
        shape: channels, height and width of an image.
        device: where to time.
        batches: batch sizes b (default: `BATCHES` of the device).
        schedule: how the models were trained; their step is timed in its batches too. Without one it is that of `USUAL`,
            in ``batches`` only.
        blocks: timed blocks of a target, at least 20.

    Returns:
        ``throughput.matmul_peak`` (FLOP/s, model ""); for every model ``cost.parameters`` and ``cost.flops.encode |
        decode`` (FLOP an image), lower is cheaper; for every model and batch size ``throughput.encode | decode |
        sample | train_step`` (samples/s, > 0, higher is better). A call that raises gives a ``failed`` record with the
        reason, one longer than `CALL_SECONDS` a ``skipped`` one.

    Raises:
        ValueError: for a batch size below 1 or fewer than 20 blocks.
        RuntimeError: where CUDA is asked for and there is none.
    """
    device = torch.device(device)
    sizes = sorted({*(batches if batches is not None else BATCHES.get(device.type, BATCHES["cpu"]))})
    if not sizes:
        raise ValueError("batches: at least one is needed")
    train_sizes = sorted({*sizes, *([] if schedule is None else [schedule.plan.batch_size])})
    if (smallest := min(sizes[0], train_sizes[0])) < 1:
        raise ValueError(f"batches: {smallest} is not a batch size; it must be at least 1")
    if blocks < 20:
        raise ValueError(f"blocks: {blocks} is too few to state a spread; at least 20 are needed")
    load = machine.load()
    with _own_generators(device):
        peak = _peak_target(device)
        by_operation = {what: train_sizes if what == "train_step" else sizes for what in OPERATIONS}
        groups, costs = _prepare(models, shape, device, by_operation, schedule or USUAL)
        _time([[peak], *groups], blocks)
    rows = [_peak_record(peak, load)]
    rows += [r for name in models for r in costs[name]]
    return rows + [_record(t, rows[0].value, load) for group in groups for t in group]


def matmul_peak(device: torch.device | str = "cpu", *, blocks: int = BLOCKS) -> Record:
    """The machine's float32 matrix-product rate as a record, FLOP/s, higher is better: the median over blocks of
    2 n^3 / seconds for square matrices of side n = `PEAK_SIDE`, under the caller's thread count and float32 precision
    setting (`torch.get_float32_matmul_precision`, kept in the detail)."""
    device = torch.device(device)
    load = machine.load()
    with _own_generators(device):
        peak = _peak_target(device)
        _time([[peak]], blocks)
    return _peak_record(peak, load)


def operation(
    what: str,
    model: Any,
    batch: int,
    shape: tuple[int, ...],
    device: torch.device,
    schedule: Schedule = USUAL,
) -> Call:
    """A call that does ``what`` to ``batch`` images, on its own copy of ``model`` moved to ``device``.

    ``encode``: x to q(z|x); ``decode``: z to images; ``sample``: draw z from N(0, I), or from the model's own prior, and decode it; ``train_step``: loss,
    gradient and Adam's update, the step of training by ``schedule`` (of as many copies as train in a stack). Inputs are fixed
    random numbers: speed does not depend on their values.
    """
    if what == "train_step":
        step = _step(model, shape, device, schedule)
        return partial(step, _batch(step, batch, shape, device), RATE)
    return _call(what, _copy(model, device), batch, shape, device)


def _copy(model: Any, device: torch.device, training: bool = False) -> Any:
    twin = copy.deepcopy(model)
    if isinstance(twin, nn.Module):
        twin = twin.to(device).train(training)
        if not any(p.requires_grad for p in twin.parameters()):
            twin.requires_grad_(training)  # a trained model comes frozen; one with frozen parts keeps them so
    return twin


def _step(model: Any, shape: tuple[int, ...], device: torch.device, schedule: Schedule) -> Update:
    """The step that training takes, on copies of ``model``: what a step costs does not depend on its weights."""
    twins = [_copy(model, device, training=True) for _ in range(schedule.seeds)]
    draws = [seeded(seed, "throughput, posterior draws") for seed in range(schedule.seeds)]
    x = torch.rand((2, *shape), generator=seeded(0, "throughput")).to(device)
    return training_step(twins, draws, schedule.plan, schedule.images, x)


def _batch(step: Update, batch: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Images for a training step, one batch for each model of a stack."""
    x = torch.rand((batch, *shape), generator=seeded(0, "throughput")).to(device)
    return torch.stack([x] * len(step.draws)) if isinstance(step, StackedStep) else x


def _call(what: str, model: Any, batch: int, shape: tuple[int, ...], device: torch.device) -> Call:
    g = seeded(0, "throughput")
    x = torch.rand((batch, *shape), generator=g).to(device)
    z = torch.randn((batch, int(model.latent_dim)), generator=g).to(device)
    prior = torch.Generator(device).manual_seed(0)
    forward: dict[str, Call] = {
        "encode": lambda: model.encode(x),
        "decode": lambda: model.decode(z),
        "sample": lambda: model.decode(randn(z.shape, prior, z)),
    }
    if own_prior(model) is not None:
        pick = seeded(0, "throughput, prior")
        forward["sample"] = lambda: model.decode(model.prior(randn(z.shape, prior, z), pick))
    return torch.inference_mode()(forward[what])


def time_block(call: Call, calls: int, device: torch.device) -> float:
    """Seconds of ``calls`` calls in a row: on CUDA between two events of the stream; on a CPU by the clock."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize(device)
            start.record()
            for _ in range(calls):
                call()
            end.record()
            end.synchronize()
            return float(start.elapsed_time(end)) / 1000
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - started


def _calibrate(target: Target) -> None:
    """Warm up, then choose how many calls make a block."""
    seconds = min(time_block(target.call, 1, target.device) for _ in range(3))
    if seconds > CALL_SECONDS:
        reason = Reason.of(
            "timing.too_long",
            "one call takes {seconds:.1f} s, more than {most} s: too long to repeat",
            seconds=seconds,
            most=CALL_SECONDS,
        )
        target.leave_out("skipped", reason)
        return
    calls = 1
    while (seconds := time_block(target.call, calls, target.device)) < BLOCK_SECONDS:
        calls = max(calls + 1, min(10 * calls, math.ceil(1.2 * calls * BLOCK_SECONDS / max(seconds, 1e-9))))
    target.inner = calls


def _block(target: Target) -> None:
    target.seconds.append(time_block(target.call, target.inner, target.device) / target.inner)
    if target.device.type == "cuda":
        # Calls in a row overlap with their launching; one call alone, waited for, is what a caller waits.
        started = time.perf_counter()
        target.call()
        torch.cuda.synchronize(target.device)
        target.latency.append(time.perf_counter() - started)
    else:
        target.latency.append(target.seconds[-1])


def _time(groups: Sequence[Sequence[Target]], blocks: int) -> None:
    """Fill the targets' samples in rounds; the order within a group rotates from round to round."""
    for target in (t for group in groups for t in group):
        target.attempt(_calibrate)
    for number in range(blocks):
        for group in groups:
            first = number % max(1, len(group))
            for target in (*group[first:], *group[:first]):
                target.attempt(_block)


def _prepare(
    models: Mapping[str, Any],
    shape: tuple[int, ...],
    device: torch.device,
    sizes: Mapping[str, Sequence[int]],
    schedule: Schedule,
) -> tuple[list[list[Target]], dict[str, list[Record]]]:
    """The targets, those of one operation and batch size in a group, and each model's costs."""
    groups: list[list[Target]] = []
    costs: dict[str, list[Record]] = {name: _costs(name, model, shape, device) for name, model in models.items()}
    for what, batches in sizes.items():
        # One copy for all batch sizes: copies of large models, with Adam's state, would fill a GPU.
        make: Callable[[Any], Any] = partial(_copy, device=device)
        if what == "train_step":
            make = partial(_step, shape=shape, device=device, schedule=schedule)
        made = {name: cache(partial(make, model)) for name, model in models.items()}
        for batch in batches:
            group = [Target(f"throughput.{what}", name, batch, device, _nothing) for name in models]
            for target in group:
                target.attempt(partial(_equip, what=what, model=models[target.model], shape=shape, schedule=schedule))
                target.attempt(partial(_ready, what=what, made=made[target.model], shape=shape, schedule=schedule))
            groups.append(group)
    return groups, costs


def _equip(target: Target, what: str, model: Any, shape: tuple[int, ...], schedule: Schedule) -> None:
    """Measure a call's memory and operations, on a copy that then goes: the memory is that of a first training step, which
    makes gradients and Adam's state, the operations those of any later one."""
    if what == "train_step" and not (isinstance(model, nn.Module) and hasattr(model, "loss")):
        target.leave_out("skipped", Reason.of("timing.no_loss", "needs a torch.nn.Module with a loss"))
        return
    make = partial(operation, what, model, target.batch, shape, target.device, schedule.counted)
    call = make()
    target.memory = peak_memory(call, target.device)
    target.flops = flops(call)


def _ready(target: Target, what: str, made: Callable[[], Any], shape: tuple[int, ...], schedule: Schedule) -> None:
    """Give the target its call; of a training step also say how training makes it."""
    if what != "train_step":
        target.call = _call(what, made(), target.batch, shape, target.device)
        return
    step = made()
    x = _batch(step, target.batch, shape, target.device)
    target.call = partial(step, x, RATE)
    if isinstance(step, StackedStep):
        way, target.models = "stacked", len(step.draws)
    else:
        way = "traced" if isinstance(step.way(x), TracedStep) else "ordinary"
    target.about = {"step": way, "models": target.models, "precision": schedule.plan.precision}


def _flops_an_image(what: str, model: Any, shape: tuple[int, ...], device: torch.device) -> int | str:
    """Operations an image, or why they cannot be counted."""
    try:
        return flops(operation(what, model, COUNTED, shape, device)) // COUNTED
    except Exception as error:
        return _caught(error)


def _costs(name: str, model: Any, shape: tuple[int, ...], device: torch.device) -> list[Record]:
    """What does not depend on the machine: parameters and operations an image."""
    module = isinstance(model, nn.Module)
    quantities: dict[str, tuple[int | str, str]] = {
        "cost.parameters": (
            sum(p.numel() for p in model.parameters())
            if module
            else Reason.of("timing.no_module", "not a torch.nn.Module"),
            "parameters",
        ),
        "cost.flops.encode": (_flops_an_image("encode", model, shape, device), "FLOP/image"),
        "cost.flops.decode": (_flops_an_image("decode", model, shape, device), "FLOP/image"),
    }
    rows = []
    for metric, (count, unit) in quantities.items():
        blank = Record(model=name, metric=metric, unit=unit, better="lower", bounds=(0.0, None))
        if isinstance(count, str):
            rows.append(replace(blank, status="skipped", reason=count))
        else:
            rows.append(replace(blank, value=float(count)))
    return rows


def _peak_target(device: torch.device) -> Target:
    side = PEAK_SIDE.get(device.type, PEAK_SIDE["cpu"])
    g = seeded(0, "matrix product")
    a, b = (torch.rand((side, side), generator=g).to(device) for _ in range(2))
    out = torch.empty_like(a)
    return Target("throughput.matmul_peak", "", 1, device, lambda: torch.mm(a, b, out=out), flops=2 * side**3)


def spread(rates: Sequence[float]) -> float:
    """Interquartile range over the median of at least two rates, >= 0; lower is quieter."""
    low, middle, high = statistics.quantiles(rates, n=4)
    return (high - low) / middle


def _peak_record(peak: Target, load: float | None) -> Record:
    blank = Record(
        metric=peak.metric,
        metric_params={"device": peak.device.type, "dtype": "float32"},
        unit="FLOP/s",
        better="higher",
        bounds=(0.0, None),
        status=peak.status,
        reason=peak.reason,
    )
    if peak.status != "ok":
        return blank
    rates = tuple(peak.flops / s for s in peak.seconds)
    about = {
        "side": PEAK_SIDE.get(peak.device.type, PEAK_SIDE["cpu"]),
        "precision": torch.get_float32_matmul_precision(),
        "device": _device_name(peak.device),
    }
    return replace(
        blank,
        value=statistics.median(rates),
        samples=rates,
        detail={**about, **_circumstances(peak, rates, load)},
    )


def _record(target: Target, peak: float | None, load: float | None) -> Record:
    blank = Record(
        model=target.model,
        metric=target.metric,
        metric_params={"batch": target.batch, "device": target.device.type},
        unit="samples/s",
        better="higher",
        bounds=(0.0, None),
        status=target.status,
        reason=target.reason,
    )
    if target.status != "ok":
        return blank
    rates = tuple(target.models * target.batch / s for s in target.seconds)
    return replace(
        blank,
        value=statistics.median(rates),
        samples=rates,
        detail={
            "latency_ms": 1000 * statistics.median(target.latency),
            "peak_memory_bytes": target.memory,
            "peak_memory_is": "tensors made by one call, without weights and input",
            "flops": target.flops,
            "peak_share": target.flops / statistics.median(target.seconds) / peak if peak else None,
            **target.about,
            **_circumstances(target, rates, load),
        },
    )


def _circumstances(target: Target, rates: Sequence[float], load: float | None) -> dict[str, Any]:
    wide = spread(rates)
    return {
        "spread": wide,
        "rankable": wide <= RANKABLE,
        "threads": torch.get_num_threads(),
        "load": load,
        "blocks": len(rates),
        "inner": target.inner,
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextmanager
def _own_generators(device: torch.device) -> Iterator[None]:
    """Put torch's global generators back afterwards: a model with dropout draws from them."""
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device: cuda is not available on this machine")
    here = [torch.cuda.current_device() if str(device) == "cuda" else device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=here):
        yield

"""Throughput and cost: how fast a model encodes, decodes, samples and trains, and what share of the machine that is.

Each operation is timed in *blocks*: as many calls as make a block of at least `BLOCK_SECONDS` (the clock is then fine
enough), `BLOCKS` blocks after a warm-up, models taking turns within each round, so that a busy moment of the machine
hits all of them. Kept are all blocks (samples/s); the value is their median; the spread is their interquartile range
over the median. Where it is above `RANKABLE` the machine was too unquiet for a rank and the record says so.

On a GPU a block is timed by CUDA events around it, which order themselves behind the kernels; on a CPU by the clock.

    peak_share = (FLOPs a sample x samples/s) / (FLOP/s of a large float32 matrix product here and now)
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from latentbench.core import seeded
from latentbench.records import Record

BLOCKS = 20
BLOCK_SECONDS = 0.002
RANKABLE = 0.25
"""Widest spread (interquartile range over median) that still ranks: the median of 20 blocks then has a standard error
of about .25 / 1.35 * 1.25 / sqrt(20) = 5 %."""

BATCHES = (1, 64, 512)
OPERATIONS = ("encode", "decode", "sample", "train_step")
PEAK_SIZE = 1024

Call = Callable[[], Any]


def flops(call: Call) -> int:
    """Floating-point operations of the matrix products and convolutions in a call; a multiply-add counts as 2."""
    counter = FlopCounterMode(display=False)
    with counter:
        call()
    return int(counter.get_total_flops())


def time_block(call: Call, calls: int, device: torch.device) -> float:
    """Seconds of ``calls`` calls in a row: by CUDA events on a GPU, by the clock elsewhere."""
    if device.type == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - began


def calls_for_block(call: Call, device: torch.device) -> int:
    """Warm up, then find how many calls make a block of `BLOCK_SECONDS`."""
    for _ in range(3):
        time_block(call, 1, device)
    calls = 1
    while (seconds := time_block(call, calls, device)) < BLOCK_SECONDS:
        calls = max(calls + 1, min(10 * calls, int(1.2 * calls * BLOCK_SECONDS / max(seconds, 1e-9))))
    return calls


def operation(name: str, model: Any, batch: int, shape: tuple[int, int, int], device: torch.device) -> Call:
    """One call of an operation on a batch that lies on the device: ``encode``, ``decode``, ``sample`` (draw z from
    N(0, I), decode) or ``train_step`` (loss, gradient, Adam's update, on a copy: the model is left as it was)."""
    g = seeded(0, "throughput")
    x = torch.rand((batch, *shape), generator=g).to(device)
    z = torch.randn((batch, model.latent_dim), generator=g).to(device)
    if name == "train_step":
        return _train_step(model, x)
    draws = torch.Generator(device).manual_seed(0)

    def call() -> Any:
        with torch.inference_mode():
            if name == "encode":
                return model.encode(x)
            if name == "decode":
                return model.decode(z)
            return model.decode(torch.randn(z.shape, generator=draws, device=device))

    return call


def _train_step(model: Any, x: torch.Tensor) -> Call:
    trained = copy.deepcopy(model).train().requires_grad_(True)
    optimiser = torch.optim.Adam(trained.parameters(), lr=1e-3, fused=True)
    g = seeded(0, "throughput training")

    def call() -> Any:
        optimiser.zero_grad(set_to_none=True)
        trained.loss(x, g).total.backward()
        optimiser.step()

    return call


def peak_memory(call: Call, device: torch.device) -> tuple[int | None, str]:
    """Peak bytes of one call and how they were had: what CUDA's allocator held at most (parameters included), or, on a
    CPU, the sum of what the call's operators allocated (torch's profiler; an upper bound, for freed tensors count)."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device)), "CUDA allocator, peak"
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    sizes = [int(e.self_cpu_memory_usage) for e in profiler.key_averages()]
    return sum(s for s in sizes if s > 0), "CPU operators, allocated in all"


def matmul_peak(device: torch.device) -> tuple[float, tuple[float, ...]]:
    """FLOP/s of a float32 matrix product of 1024 (GPU: 8192) squared, with the threads in use now: the best of
    `BLOCKS` blocks, and all of them. Higher is better."""
    size = 8192 if device.type == "cuda" else PEAK_SIZE
    g = seeded(0, "matmul")
    a, b = (torch.rand((size, size), generator=g).to(device) for _ in range(2))

    def call() -> Any:
        return a @ b

    calls = calls_for_block(call, device)
    rates = tuple(2.0 * size**3 * calls / time_block(call, calls, device) for _ in range(BLOCKS))
    return max(rates), rates


def spread(rates: Sequence[float]) -> float:
    """Interquartile range over the median, >= 0."""
    quarters = statistics.quantiles(rates, n=4)
    return (quarters[2] - quarters[0]) / statistics.median(rates)


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def time_models(
    models: Mapping[str, Any],
    shape: tuple[int, int, int],
    device: torch.device,
    batches: Sequence[int] = BATCHES,
    train_batch: int = 64,
) -> list[Record]:
    """``throughput.*`` and ``cost.*`` records of models (name -> model on ``device``), taking turns.

    Forward operations run at every batch size of ``batches``, the training step at ``train_batch``. Units: samples/s
    (higher is better), FLOPs an image, parameters.
    """
    peak, rates = matmul_peak(device)
    about = {"threads": torch.get_num_threads(), "load": _load()}
    out = [
        Record(
            metric="throughput.matmul_peak",
            metric_params={"device": device.type, "dtype": "float32"},
            value=peak,
            unit="FLOP/s",
            better="higher",
            bounds=(0.0, None),
            samples=rates,
            detail={**about, "spread": spread(rates)},
        )
    ]
    for name, model in models.items():
        out += _costs(name, model, shape, device)
    for what in OPERATIONS:
        for batch in (train_batch,) if what == "train_step" else batches:
            out += _turns(what, batch, models, shape, device, peak)
    return out


def _turns(
    what: str, batch: int, models: Mapping[str, Any], shape: tuple[int, int, int], device: torch.device, peak: float
) -> list[Record]:
    """One operation at one batch size, the models taking turns, each round beginning with another one."""
    calls = {name: operation(what, model, batch, shape, device) for name, model in models.items()}
    work = {name: flops(call) for name, call in calls.items()}
    memory = {name: peak_memory(call, device) for name, call in calls.items()}
    inner = {name: calls_for_block(call, device) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    order = list(models)
    for _ in range(BLOCKS):
        for name in order:
            times[name].append(time_block(calls[name], inner[name], device) / inner[name])
        order = [*order[1:], order[0]]
    return [_record(what, batch, n, times[n], inner[n], work[n], memory[n], device, peak) for n in models]


def _record(
    what: str,
    batch: int,
    name: str,
    seconds: Sequence[float],
    inner: int,
    work: int,
    memory: tuple[int | None, str],
    device: torch.device,
    peak: float,
) -> Record:
    rates = tuple(batch / s for s in seconds)
    wide = spread(rates)
    return Record(
        model=name,
        metric=f"throughput.{what}",
        metric_params={"batch": batch, "device": device.type},
        value=statistics.median(rates),
        unit="samples/s",
        better="higher",
        bounds=(0.0, None),
        samples=rates,
        detail={
            "latency_ms": 1000 * statistics.median(seconds),
            "spread": wide,
            "rankable": wide <= RANKABLE,
            "threads": torch.get_num_threads(),
            "load": _load(),
            "peak_memory_bytes": memory[0],
            "peak_memory_is": memory[1],
            "flops": work,
            "peak_share": work / statistics.median(seconds) / peak,
            "blocks": len(rates),
            "inner": inner,
        },
    )


def _costs(name: str, model: Any, shape: tuple[int, int, int], device: torch.device) -> list[Record]:
    """What does not depend on the machine's mood: parameters and FLOPs an image."""
    count = sum(p.numel() for p in model.parameters())
    found = {
        "cost.parameters": (count, "parameters"),
        "cost.flops.encode": (flops(operation("encode", model, 1, shape, device)), "FLOP/image"),
        "cost.flops.decode": (flops(operation("decode", model, 1, shape, device)), "FLOP/image"),
    }
    return [
        Record(model=name, metric=metric, value=float(value), unit=unit, better="lower", bounds=(0.0, None))
        for metric, (value, unit) in found.items()
    ]

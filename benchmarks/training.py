"""How fast training is: our loop against a bare one, seeds stacked against seeds alone, the share of the machine's
product rate, bfloat16 products. ``python benchmarks/training.py docs/training.json docs/training.md`` measures and
writes both; with ``--page`` it writes the page of results that are there, with ``--only TABLE`` it measures one table anew
and keeps the others.

Everything is timed in one process on made-up images (speed does not depend on what they show), in rounds: who is
compared, the other, the other, who is compared. With one thread the processor's time counts, which others on the machine
disturb less than the wall clock; with two the wall clock. A figure is the median over rounds with its 95 % interval
from order statistics, which assumes nothing about the times.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rivals.bare import loss_of
from torch import Tensor, nn

from latentbench.catalog import build_model, load_dataset
from latentbench.config import make_run
from latentbench.measuring.timing import PEAK_SIDE
from latentbench.randomness import seeded
from latentbench.running.provenance import describe_environment
from latentbench.running.worker_process import MEMORY
from latentbench.training import steps
from latentbench.training.fit import Plan, fit, initialise
from latentbench.training.stacking import fit_stacked

LR = 1e-3
Row = dict[str, Any]

LOOPS = {
    "digits size, VAE 64-512-512-8": ("vae", 8, 8, 2, 512, 64, 1088),
    "digits size, AE 64-512-8": ("ae", 8, 8, 1, 512, 64, 1088),
    "MNIST size, AE 784-512-16": ("ae", 28, 16, 1, 512, 128, 6400),
    "MNIST size, VAE 784-512-16": ("vae", 28, 16, 1, 512, 128, 6400),
    "MNIST size, AE 784-512-16, batch 1024": ("ae", 28, 16, 1, 512, 1024, 10240),
}
"""Name -> model, side of the image, latent size, depth, width, batch, training images."""

TRACES = {
    **{
        f"digits size, {kind.upper()} 64-{width}-{width}-8": (kind, 8, 8, 2, width, 64, 1088)
        for width in (128, 256, 512)
        for kind in ("ae", "vae")
    },
    "MNIST size, AE 784-512-16": LOOPS["MNIST size, AE 784-512-16"],
    "MNIST size, VAE 784-512-16": LOOPS["MNIST size, VAE 784-512-16"],
}
"""As `LOOPS`: where the step is traced and where it is not."""

STACKS = {
    "VAE 64-128-128-8": ("vae", 8, 8, 2, 128, 64, 1088),
    "VAE 64-512-8": ("vae", 8, 8, 1, 512, 64, 1088),
    "VAE 64-512-512-8": ("vae", 8, 8, 2, 512, 64, 1088),
}

HEAD = """# Training

How fast models train, on a CPU. Made by `benchmarks/training.py`; do not edit.

The work is done on the same machine in the same process, in turns. *Ratio*: the other's time over ours, so above 1 we are
faster; the median over rounds with its 95 % interval. One thread: processor time; two: wall time.
"""


def made(side: int, count: int) -> Tensor:
    """Images (count, 1, side, side) of random numbers."""
    return torch.rand((count, 1, side, side), generator=seeded(count, "images"))


def ours(name: str, side: int, latent: int, depth: int, width: int, seed: int) -> nn.Module:
    text = "vae:sigma=1" if name == "vae" else name
    run = make_run({"models": text, "latent_dim": latent, "depth": depth, "width": width})
    return initialise(lambda: build_model(text, run, (1, side, side)), seed)


def bare(model: Any, train: Tensor, val: Tensor, epochs: int, batch: int) -> None:
    """What one writes by hand, to train the same networks by the same loss: tensors in memory, a fused Adam, a look at
    the validation loss after every epoch, nothing logged or kept or checked."""
    encoder, decoder = model.trunk.encoder, nn.Sequential(model.trunk.decoder, nn.Sigmoid())
    vae = hasattr(model, "beta")
    optimiser = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    train, val = train.flatten(1), val.flatten(1)

    loss = loss_of(encoder, decoder, vae)
    for _ in range(epochs):
        for rows in torch.randperm(len(train)).split(batch):
            optimiser.zero_grad()
            loss(train[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            float(loss(val))


def seconds(call: Callable[[], object]) -> float:
    """Of one call: the processor's with one thread, the clock's with several."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    call()
    return clock() - started


def rounds(first: Callable[[], object], second: Callable[[], object], count: int) -> tuple[list[float], list[float]]:
    """Seconds of both in rounds of first, second, second, first, after one of each that does not count."""
    first(), second()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(count):
        for who in (0, 1, 1, 0):
            times[who].append(seconds((first, second)[who]))
    return times


def median(values: Sequence[float]) -> Row:
    """The median with the narrowest symmetric pair of order statistics that covers it in 95 % of samples or more."""
    values, n = sorted(values), len(values)
    tail = [sum(math.comb(n, i) for i in range(k + 1)) / 2**n for k in range(n)]
    # The median lies below the k-th smallest (from 0) where at most k values do.
    low = max((k for k in range(n // 2) if 2 * tail[k] <= 0.05), default=0)
    return {"median": statistics.median(values), "low": values[low], "high": values[n - 1 - low], "n": n}


def _plan(n: int, batch: int) -> Plan:
    """Epochs for some 1,000 steps: enough for them to be traced."""
    return Plan(epochs=2 * steps.WORTHWHILE // (n // batch), patience=0, batch_size=batch, lr=LR)


def loops(count: int) -> Iterator[Row]:
    """Our loop against the bare one."""
    for name, (kind, side, latent, depth, width, batch, n) in LOOPS.items():
        train, val = made(side, n), made(side, n // 6)
        plan = _plan(n, batch) if batch < 1024 else Plan(epochs=2, patience=0, batch_size=batch, lr=LR)
        model = ours(kind, side, latent, depth, width, 0)

        def mine(model=model, train=train, val=val, plan=plan) -> None:
            fit(copy.deepcopy(model), train, val, plan, 0)

        def other(model=model, train=train, val=val, plan=plan) -> None:
            bare(copy.deepcopy(model), train, val, plan.epochs, plan.batch_size)

        own, theirs = rounds(mine, other, count)
        ratio = median([b / a for a, b in zip(own, theirs, strict=True)])
        yield {"table": "loop", "what": name, "batch": batch, "step_ms": _step_ms(own, plan, n), "ratio": ratio}


def traces(count: int) -> Iterator[Row]:
    """A training with its step traced, the tracing included, against the same without."""
    for name, (kind, side, latent, depth, width, batch, n) in TRACES.items():
        train, val = made(side, n), made(side, n // 6)
        plan, model = _plan(n, batch), ours(kind, side, latent, depth, width, 0)

        def train_if(worthwhile: float, model=model, train=train, val=val, plan=plan) -> None:
            kept, steps.WORTHWHILE = steps.WORTHWHILE, worthwhile
            try:
                fit(copy.deepcopy(model), train, val, plan, 0)
            finally:
                steps.WORTHWHILE = kept

        own, theirs = rounds(partial(train_if, 0), partial(train_if, math.inf), count)
        ratio = median([b / a for a, b in zip(own, theirs, strict=True)])
        about = {"steps": plan.steps(n), "step_ms": _step_ms(own, plan, n), "other_ms": _step_ms(theirs, plan, n)}
        yield {"table": "trace", "what": name, "batch": batch, **about, "ratio": ratio}


def _step_ms(times: Sequence[float], plan: Plan, n: int) -> float:
    return 1000 * statistics.median(times) / (plan.epochs * (n // plan.batch_size))


def shares(count: int) -> Iterator[Row]:
    """Operations in the matrix products of training over the machine's rate of square float32 products."""
    kind, side, latent, depth, width, batch, n = LOOPS["MNIST size, AE 784-512-16, batch 1024"]
    train, val = made(side, n), made(side, batch)
    model = ours(kind, side, latent, depth, width, 0)
    plan, pixels = Plan(epochs=1, patience=0, batch_size=batch, lr=LR), side * side
    # Forward and backward, but for the gradient of the images, which nobody needs; the validation forward only.
    weights = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    flops = n * (6 * weights - 2 * pixels * width) + len(val) * 2 * weights
    a, b, c = (torch.rand(PEAK_SIDE["cpu"], PEAK_SIDE["cpu"]) for _ in range(3))

    def products() -> None:
        for _ in range(200):
            torch.mm(a, b, out=c)

    for threads in sorted({1, min(2, os.cpu_count() or 1)}):
        torch.set_num_threads(threads)
        own, peak = rounds(lambda: fit(copy.deepcopy(model), train, val, plan, 0), products, count)
        rates = [(flops / t, 200 * 2 * len(a) ** 3 / p) for t, p in zip(own, peak, strict=True)]
        share = median([rate / top for rate, top in rates])
        top = statistics.median(top for _, top in rates)
        yield {"table": "share", "threads": threads, "peak_gflops": top / 1e9, "share": share}
    torch.set_num_threads(1)


def stacks(count: int) -> Iterator[Row]:
    """Seeds one after another against a stack of them."""
    for name, (kind, side, latent, depth, width, batch, n) in STACKS.items():
        train, val = made(side, n), made(side, n // 6)
        plan = Plan(epochs=1, patience=0, batch_size=batch, lr=LR)
        for seeds in (2, 3, 6):
            models = [ours(kind, side, latent, depth, width, seed) for seed in range(seeds)]

            def together(models=models, train=train, val=val, plan=plan) -> None:
                fit_stacked(copy.deepcopy(models), train, val, plan, range(len(models)))

            def alone(models=models, train=train, val=val, plan=plan) -> None:
                for seed, model in enumerate(models):
                    fit(copy.deepcopy(model), train, val, plan, seed)

            own, theirs = rounds(together, alone, count)
            ratio = median([b / a for a, b in zip(own, theirs, strict=True)])
            weights = sum(p.numel() for p in models[0].parameters())
            yield {"table": "stack", "what": name, "weights": weights, "seeds": seeds, "batch": batch, "ratio": ratio}


def precision(count: int) -> Iterator[Row]:
    """Steps with bfloat16 products against float32 ones; then what the loss on real digits becomes."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return
    for name, (kind, side, latent, depth, width, batch, n) in LOOPS.items():
        train, val = made(side, n), made(side, batch)
        plan = Plan(epochs=1, patience=0, batch_size=batch, lr=LR)
        model = ours(kind, side, latent, depth, width, 0)

        def full(model=model, train=train, val=val, plan=plan) -> None:
            fit(copy.deepcopy(model), train, val, plan, 0)

        def half(model=model, train=train, val=val, plan=plan) -> None:
            fit(copy.deepcopy(model), train, val, replace(plan, precision="bfloat16"), 0)

        own, theirs = rounds(half, full, count)
        ratio = median([b / a for a, b in zip(own, theirs, strict=True)])
        yield {"table": "bfloat16", "what": name, "batch": batch, "ratio": ratio}
    yield from _losses()


def _losses(seeds: int = 4, epochs: int = 40) -> Iterator[Row]:
    run = make_run({"models": "ae,vae", "latent_dim": 8, "width": 512})
    data = load_dataset(run)
    plan = Plan(epochs=epochs, patience=0, batch_size=64, lr=LR)
    for text in run.models:
        found: dict[str, list[float]] = {}
        for seed in range(seeds):
            for name in ("float32", "bfloat16"):
                model: Any = initialise(lambda text=text: build_model(text, run, data.shape), seed)
                fit(model, data.train.x, data.val.x, replace(plan, precision=name), seed)
                with torch.no_grad():
                    error = (model.decode(model.encode(data.test.x).mu) - data.test.x).square().mean()
                found.setdefault(name, []).append(float(error))
        change = [b / a - 1 for a, b in zip(found["float32"], found["bfloat16"], strict=True)]
        spread = statistics.stdev(found["float32"]) / statistics.mean(found["float32"])
        yield {"table": "error", "model": text, "epochs": epochs, "change": change, "spread": spread, **found}


MEASURED = {"loop": loops, "trace": traces, "share": shares, "stack": stacks, "bfloat16": precision}
"""What measures each table."""


def page(result: Row) -> str:
    """The generated page."""
    rows, machine = result["rows"], result["machine"]

    def of(table: str) -> list[Row]:
        return [r for r in rows if r["table"] == table]

    lines = [HEAD, f"{machine}.", "\n## Our loop and a bare one\n", BARE]
    lines += ["| what | batch | ms a step | ratio |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {r['what']} | {r['batch']} | {r['step_ms']:.2f} | {_shown(r['ratio'])} |" for r in of("loop")]
    if of("trace"):
        lines += [
            "\n## The step traced once\n",
            TRACE,
            "| what | batch | steps | ms a step, anew | ms a step, traced | ratio |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for r in of("trace"):
            each = " | ".join(f"{r[key]:.2f}" if key in r else "" for key in ("other_ms", "step_ms"))
            lines.append(f"| {r['what']} | {r['batch']} | {r['steps']:,} | {each} | {_shown(r['ratio'])} |")
    lines += ["\n## Share of the machine's product rate\n", SHARE]
    lines += ["| threads | product rate, GFLOP/s | share |", "| ---: | ---: | ---: |"]
    lines += [f"| {r['threads']} | {r['peak_gflops']:.0f} | {_shown(r['share'])} |" for r in of("share")]
    lines += ["\n## Seeds in one stack\n", STACK]
    lines += ["| what | weights | batch | seeds | ratio |", "| --- | ---: | ---: | ---: | ---: |"]
    for r in of("stack"):
        lines.append(f"| {r['what']} | {r['weights']:,} | {r['batch']} | {r['seeds']} | {_shown(r['ratio'])} |")
    if of("bfloat16"):
        lines += ["\n## bfloat16 products\n", HALF, "| what | batch | ratio |", "| --- | ---: | ---: |"]
        lines += [f"| {r['what']} | {r['batch']} | {_shown(r['ratio'])} |" for r in of("bfloat16")]
        lines.append("")
        for r in of("error"):
            change = [100 * c for c in r["change"]]
            lines.append(
                f"- {r['model']} on digits, {r['epochs']} epochs, {len(change)} seeds: the squared error on test images "
                f"changes by {statistics.mean(change):+.2f} % on average ({min(change):+.1f} to {max(change):+.1f} for one "
                f"seed); seeds spread by {100 * r['spread']:.1f} %."
            )
    return "\n".join(lines) + "\n"


def _shown(row: Row) -> str:
    return f"{row['median']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


BARE = """The bare loop trains the same networks by the same loss with a fused Adam and looks at the validation loss after
each epoch; it logs, checks and keeps nothing.
"""
TRACE = """A training from its start to its end, with the step asked for anew each time, over the same with the step traced
once, the time of tracing included. The weights are the same to the last bit. Tracing takes some 0.06 s, and a
training of a default run 1,300 to 1,700 steps (figures in `latentbench/training/steps.py`, with what else was tried).
"""
SHARE = """784-512-16 autoencoder, batch 1024: operations in the matrix products of its training, a second, over the rate of
512 x 512 float32 products in the same rounds. Where other work holds the cores, two threads wait for one another, in
products as in training: a rate of two threads below that of one shows it, and that share then says little.
"""
STACK = """One thread: the processor time of seeds one after another over that of one stack. Worker processes on c cores gain
up to c, so a stack would have to reach more than that; on a CPU seeds are trained alone, each exactly as by itself. On a
GPU they are stacked; this was not measured on one.
"""
HALF = """`--precision bfloat16`: the layers of training steps in bfloat16 numbers, products summed in float32; weights, losses and
Adam stay float32. Ratio: float32's time over bfloat16's. Not the default: narrow networks are slower with it, and what
a model's error comes to would hang on the processor it was trained on. `--precision auto` takes it where a trial on the data
finds every model's steps together at least 1.1 times as fast in every round, and the change of the validation losses of short
trainings within what seeds differ by (`latentbench/training/precision.py`); the run's page and its record say what was found.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("page_file", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--only", choices=[*MEASURED], help="measure this table and keep the others")
    asked = parser.parse_args()
    if not asked.page:
        if any(name not in os.environ for name in MEMORY):  # read when a process starts
            environment = {**MEMORY, **os.environ, "OMP_NUM_THREADS": str(min(2, os.cpu_count() or 1))}
            os.execve(sys.executable, [sys.executable, *sys.argv], environment)
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        before = json.loads(asked.results.read_text()) if asked.only else {"rows": []}
        load, rows = [os.getloadavg()[0]], [r for r in before["rows"] if r["table"] != asked.only]
        for measured in [MEASURED[asked.only]] if asked.only else MEASURED.values():
            for row in measured(asked.rounds):
                print(json.dumps(row), flush=True)
                rows.append(row)
            load.append(os.getloadavg()[0])
        machine = (
            f"{describe_environment('cpu')['cpu']}, {os.cpu_count()} cores; Python {platform.python_version()}, torch {torch.__version__}; "
            f"{date.today()}; load average {min(load):.1f} to {max(load):.1f}, this run's own included"
        )
        if asked.only:
            machine = f"{before['machine']}; table {asked.only}: {date.today()}, load average {min(load):.1f} to {max(load):.1f}"
        asked.results.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    asked.page_file.write_text(page(json.loads(asked.results.read_text())))


if __name__ == "__main__":
    main()

"""What each measure costs by itself as the latent size or the images grow: a part of `growth`, which is run.

Every measure with its anchors is taken alone, in a forked process of its own, of models whose codes are the digits'
principal components turned into d dimensions: nothing shared is paid for by another measure, and nothing is trained. What a size would take is
forecast from the sizes before; a measure that would take more than its budget there is left out, and said to be.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latentbench.stats.intervals import LEVEL, Interval, quantile

Rows = Sequence[Mapping[str, Any]]
SIDE = 8
"""Of the images, in pixels."""
LIMIT = 2.1
"""The power of N or d beyond which a measure counts as too dear."""
FELT = 0.5
"""Seconds from which a time is more than what every call costs, so that its growth says something."""


def digits(n: int, side: int) -> Any:
    """A Dataset of n digits of side x side pixels, split 60 / 20 / 20."""
    from sklearn.datasets import load_digits

    from latentbench.datasets.splits import stratified

    bunch, draw = load_digits(), np.random.default_rng(0)
    index = np.arange(n) if n <= len(bunch.target) else draw.integers(0, len(bunch.target), n)
    x = torch.from_numpy((bunch.images[index, None] / 16).astype("float32"))
    x = torch.nn.functional.interpolate(x, size=(side, side), mode="bilinear")
    noise = torch.from_numpy(draw.standard_normal(x.shape).astype("float32"))
    return stratified("digits", (x + 0.02 * noise).clamp(0, 1).numpy(), bunch.target[index], 0, ())


def exponent(points: Iterable[tuple[float, float]], level: float = LEVEL) -> Interval:
    """The power that y grows with: the least-squares slope of ln y over ln x with its t-interval, k - 2 degrees of
    freedom. None for its ends where there are fewer than three sizes. Raises ValueError for fewer than two, and where
    a value is not above 0."""
    x, y = (np.asarray(v, dtype=float) for v in zip(*points, strict=True))
    if len(set(x)) < 2 or min(*x, *y) <= 0:
        raise ValueError("an exponent needs two sizes or more, and values above 0")
    x, y = np.log(x), np.log(y)
    k, sxx = len(x), float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / sxx)
    if k < 3:
        return Interval(slope, None, None, None, k)
    left = y - y.mean() - slope * (x - x.mean())
    error = math.sqrt(float((left**2).sum()) / (k - 2) / sxx)
    half = quantile(k - 1, level) * error  # of k - 1 values: k - 2 degrees of freedom
    return Interval(slope, slope - half, slope + half, error, k)


class Embedding:
    """A model of latent size d without training: the images' first 32 principal components, standardised, turned into d
    dimensions, where d leaves room beside smooth functions of the image; decoded from the components alone, bent a little.
    Posteriors have one width. Encoding costs n p d for p pixels."""

    def __init__(self, x: torch.Tensor, d: int) -> None:
        flat = x.flatten(1).double()
        self.shape, self.mean, self.latent_dim = x.shape[1:], flat.mean(0), d
        value, vector = torch.linalg.eigh(torch.cov(flat.T))
        kept = min(d, 32)
        self.axes, self.sd = vector.flip(1)[:, :kept], value.flip(0)[:kept].sqrt()
        draw = torch.Generator().manual_seed(0)
        self.turn = torch.linalg.qr(torch.randn(d, kept, generator=draw, dtype=torch.float64)).Q
        self.waves = torch.randn(flat.shape[1], d, generator=draw, dtype=torch.float64) * (d > kept)

    def encode(self, x: torch.Tensor) -> Any:
        from latentbench.core import Posterior

        centred = x.flatten(1).double() - self.mean
        mu = (centred @ self.axes / self.sd) @ self.turn.T + 0.02 * torch.sin(centred @ self.waves)
        return Posterior(mu.to(x), torch.full_like(mu, -2.0).to(x))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        u = z.double() @ self.turn
        return (((u + 0.1 * torch.sin(2 * u)) * self.sd) @ self.axes.T + self.mean).to(z).view(-1, *self.shape)


AXES: dict[str, tuple[str, tuple[int, ...]]] = {
    "latents": ("d", (2, 16, 64, 256, 1024, 4096)),
    "images": ("n", (1_000, 3_000, 10_000, 30_000, 100_000)),
}
"""Name -> what is gone along, and its sizes: at 1,797 images and at d = 16."""
ALL = "all measures, one after another"


def embedded(d: int = 16, n: int = 1797) -> tuple[Any, dict[str, Any]]:
    """The encoding of `Embedding` with d dimensions of n digits, judge included, and all metrics, those on request too."""
    from latentbench.catalog import metrics
    from latentbench.measuring import scoring
    from latentbench.measuring.judge import train_judge

    dataset = digits(n, SIDE)
    judge = _judge_once(digits(1797, SIDE), train_judge)
    encoding = scoring.encode(Embedding(dataset.train.x, d), dataset, 0, torch.device("cpu"), judge)
    return encoding, metrics()


_JUDGES: list[Any] = []


def _judge_once(dataset: Any, train: Callable[..., Any]) -> Any:
    if not _JUDGES:
        _JUDGES.append(train(dataset, 0))
    return _JUDGES[0]


def alone(work: Callable[[], str]) -> dict[str, Any]:
    """``work`` in a forked process: ``seconds`` of processor, ``mib`` of memory at its peak above what was resident
    (None where the system does not tell) and what it said, ``status``."""
    here, there = multiprocessing.Pipe(duplex=False)

    def run() -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
            before = _resident("VmRSS")
        except OSError:
            before = None
        start = time.process_time()
        status = work()
        used = time.process_time() - start
        there.send((used, None if before is None else (_resident("VmHWM") - before) / 1024, status))

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    there.close()
    try:
        seconds, mib, status = here.recv()
    except EOFError:
        seconds, mib, status = math.nan, None, "died"
    child.join()
    return {"seconds": seconds, "mib": mib, "status": status}


def _resident(field: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def walk(name: str, out: dict[str, Any], path: Path, budget: float, each: float) -> None:
    """Every measure with its anchors at every size of an axis, and all those of a default run together; written down after
    each, those there left out. Stops after ``budget`` processor seconds; what would take more than ``each`` is left out."""
    from latentbench.measuring import scoring
    from latentbench.records import Record

    axis, sizes = AXES[name]
    rows, spent, row = out.setdefault(name, []), 0.0, Record(dataset="digits")
    for size in sizes:
        encoding, metrics = embedded(**{axis: size})
        usual = [m for m in metrics.values() if not m.on_request]
        for metric, some in [*((n, [m]) for n, m in metrics.items()), (ALL, usual)]:
            if any((r[axis], r["metric"]) == (size, metric) and r["seconds"] is not None for r in rows):
                continue
            rows[:] = [r for r in rows if (r[axis], r["metric"]) != (size, metric)]
            before = sorted((r[axis], r["seconds"]) for r in rows if r["metric"] == metric and r[axis] < size)
            expected = forecast(before, size)
            if expected > each:
                rows.append({axis: size, "metric": metric, "seconds": None, "status": "left out", "forecast": expected})
                continue
            if spent + expected > budget:
                print(f"{name}: {budget:.0f} s are spent; the same command carries on", flush=True)
                return

            def work(some: list[Any] = some, encoding: Any = encoding) -> str:
                records = scoring.score(encoding, some, row)
                scoring.references(encoding, some, row)
                return "failed" if any(r.status == "failed" for r in records) else records[-1].status

            rows.append({axis: size, "metric": metric, **alone(work), "load": os.getloadavg()[0]})
            spent += rows[-1]["seconds"]
            print(f"{metric} at {axis} = {size}: {rows[-1]['seconds']:.3g} s", flush=True)
            path.write_text(json.dumps(out, indent=1) + "\n")
    path.write_text(json.dumps(out, indent=1) + "\n")


def forecast(known: Sequence[tuple[float, float | None]], size: float) -> float:
    """Seconds to expect at a ``size``, from the two sizes before it: by the power between them, from 1 to 2.2; of one size
    in proportion; 0 where nothing is known, infinite where the size before was left out."""
    if not known:
        return 0.0
    (*_, (last, seconds)) = known
    if seconds is None:
        return math.inf
    power = 1.0
    if len(known) > 1 and (before := known[-2])[1]:
        power = min(2.2, max(1.0, math.log(seconds / before[1]) / math.log(last / before[0])))
    return seconds * (size / last) ** power


# --- tables ---


def points(rows: Rows, axis: str, metric: str) -> list[tuple[int, float]]:
    """(size, seconds) of a measure, ascending, of those measured."""
    return sorted((r[axis], r["seconds"]) for r in rows if r["metric"] == metric and r["seconds"] is not None)


def table(rows: Rows, axis: str, most: int = 12) -> str:
    """The ``most`` measures that would be slowest at the largest size, a column a size; a dash where one was left out."""
    sizes = sorted({r[axis] for r in rows})
    names = list(dict.fromkeys(r["metric"] for r in rows if r["metric"] != ALL))
    slow = sorted(names, key=lambda name: -_at_most(points(rows, axis, name), sizes[-1]))[:most]
    shown = [*slow, *([ALL] if any(r["metric"] == ALL for r in rows) else [])]
    letter = {"n": "N"}.get(axis, axis)
    head = "| measure | " + " | ".join(f"{letter} = {s:,}" for s in sizes) + f" | MiB at {sizes[-1]:,} |"
    cell = {(r["metric"], r[axis]): r for r in rows}

    def line(name: str) -> str:
        known = dict(points(rows, axis, name))
        seconds = (f"{known[s]:.3g}" if s in known else "–" for s in sizes)
        mib = cell.get((name, sizes[-1]), {}).get("mib")
        return f"| {name} | {' | '.join(seconds)} | {'–' if mib is None else f'{mib:,.0f}'} |"

    return "\n".join([head, "| --- |" + " ---: |" * (len(sizes) + 1), *map(line, shown)]) + "\n"


def _at_most(known: Sequence[tuple[int, float]], size: int) -> float:
    return (
        forecast([k for k in known if k[0] < size], size) if known and known[-1][0] < size else dict(known).get(size, 0)
    )


def last_step(known: Sequence[tuple[int, float]]) -> float | None:
    """The power between the two largest sizes; None for fewer than two."""
    return exponent(known[-2:]).mean if len(known) > 1 else None


def exponents(result: Mapping[str, Any]) -> str:
    """Every measure: over each axis the largest size it was taken at, the seconds there, and the powers it grows as."""
    heads = {"images": "N", "latents": "d"}
    there = [axis for axis in heads if result.get(axis)]
    names = sorted({r["metric"] for axis in there for r in result[axis]} - {ALL})
    head = "".join(f" largest {heads[a]} | s there | {heads[a]}, all sizes | {heads[a]}, last step |" for a in there)
    lines = ["| measure |" + head, "| --- |" + " ---: |" * 4 * len(there)]
    lines += ["| " + name + " |" + "".join(_powers(result, axis, name) for axis in there) for name in names]
    return "\n".join(lines) + "\n"


def _powers(result: Mapping[str, Any], axis: str, name: str) -> str:
    known = points(result[axis], AXES[axis][0], name)
    if len(known) < 2:
        return " – | – | – | – |"
    return f" {known[-1][0]:,} | {known[-1][1]:.3g} | {exponent(known).mean:.2f} | {exponent(known[-2:]).mean:.2f} |"


def beyond(result: Mapping[str, Any]) -> Iterator[str]:
    """The measures whose last step grows beyond `LIMIT` and is felt."""
    for name, (axis, _) in AXES.items():
        rows = result.get(name) or ()
        for metric in sorted({r["metric"] for r in rows}):
            known = points(rows, axis, metric)
            power = last_step(known)
            if power is not None and power > LIMIT and known[-1][1] >= FELT:
                yield f"{metric} ({axis}^{power:.2f})"


HEADS = {
    "latents": """
## Cost by latent size

The digits, 1,797 images in all, every measure with its anchors alone in a process of its own, the slowest ones; and
all together, which share what they compute. Codes vary in some 32 directions and a little in all others. Seconds are
processor seconds on one thread of this machine ({processor}, {on}, load average {load}, where 1 is this work alone): read
the columns against each other. MiB: the peak above what was resident before. Above d = 256 nothing of d x d is decomposed, mixtures are diagonal, paths bend and
derivatives are taken within the codes' leading principal axes.

""",
    "images": """
## Cost by the number of images

The same at d = 16, N images in all: 60 % of them train, 20 % are measured ({processor}, {on}, load average {load}). A dash: it
would have taken more than the budget of one cell.

""",
}
EVERY = """
## Every measure

Over each axis the largest size that a measure was taken at, the seconds there, the power of all sizes (least squares) and that
of the last step. Where the seconds are few they are what every call costs and say nothing of growth. {above}

"""


def document(result: Mapping[str, Any]) -> str:
    """The part of the page on single measures."""
    page = ""
    for name, (axis, _) in AXES.items():
        if rows := result.get(name):
            loads = [r["load"] for r in rows if "load" in r]
            about = {**result[f"{name}_measured"], "load": f"{statistics.median(loads):.1f}"}
            page += HEADS[name].format(**about) + table(rows, axis)
    if page:
        found = list(beyond(result))
        above = (
            f"Beyond the power {LIMIT} in the last step, at {FELT} s or more: {', '.join(found) if found else 'none'}."
        )
        page += EVERY.format(above=above) + exponents(result)
    return page

"""The document of what `race.py` measured: ``python benchmarks/rivals/page.py FILE [OUT]`` (else to the screen)."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contests import CONTESTS, GROUPS, PEAKS, Contest, Side
from race import Row, whole_passes
from training import HALF

from latentbench.stats.intervals import Interval, t_interval

Rows = Sequence[Row]

HEAD = """# Against other ways to do the same work

latentbench beside Pythae's trainer, a training loop written by hand, and the whole glued together by hand from Pythae,
scikit-learn, umap-learn and matplotlib. Made by `benchmarks/rivals/page.py` from a run of `tox -e rivals`; do not edit.
Measures against `prdc`, torchmetrics and scikit-learn are in [scale.md](scale.md), how cost grows in
[growth.md](growth.md), seconds to a stated ELBO of MNIST in `benchmarks/speedrun/README.md`.

Every figure comes from fresh processes. A *pass* runs all sides of a contest once, and every second pass runs them
backwards, so what drifts on the machine falls on all. *Ratio*: the rival's time over ours, pass by pass; geometric mean
with its 95 % t-interval (on logarithms), above 1 where latentbench is faster: of wall time, and of processor time,
which a busy machine disturbs less. Seconds are medians. Errors stand beside the times, to show that the same work was
done: *MSE* is the squared error of a pixel through the posterior means, *KL* in nats an image.
"""

ABOUT = {
    "training": """The same network, images, batches, epochs, optimiser and rate, in float32 (`latentbench, bfloat16`: with
`--precision bfloat16`, see [training.md](training.md)), with the validation loss after each epoch; imports, loading and a
first small training come before the clock. Ours takes denormal numbers as 0, which `fit` sees to by itself; the others
compute with them, as they do where nobody thinks of it. *Share*: operations in the matrix products of the training a second, over the
rate of float32 products of square matrices that was measured in the same pass with as many threads; by processor time
both rates are taken a processor second, which other work on the machine disturbs less.""",
    "convolutions": """As above, on images of three soft discs, the same network in all. *Channels last*: weights and images laid out so
in memory. *Of the machine's*: the rate of torch's own float32 convolutions at these very shapes, forward and backward, each in
its better layout, of the layer that does best, measured in the same pass.""",
    "seeds": """Six seeds of one model. *Seconds* are those of the training, ours with the start of the worker
processes; *processor time* is that of all processes from start to end, imports included.""",
    "whole": """`latentbench` is `latentbench run --models ae,vae` with the networks, epochs and seeds of the hand-glued
script and no early stop, to its report, with every measure; `latentbench, default` is the same command with its own
defaults: two hidden layers and early stop. The hand-glued script measures three things and draws two maps; it runs with
one thread for every library and once more with as many as they take by themselves. Pythae's VAE fixes the decoder's
variance at 1, and on digits its posterior collapses: its error is that of the mean image, whereas
latentbench's VAE learns the variance. MSE here is on test images.""",
}


def ratio(ours: Rows, theirs: Rows, field: str) -> Interval:
    """Of the logarithms of theirs over ours, pass by pass."""
    by_pass = {r["pass"]: r for r in theirs}
    return t_interval(math.log(by_pass[o["pass"]][field] / o[field]) for o in ours)


def told(log: Interval) -> str:
    """An interval of logarithms as the ratio it stands for."""
    if log.low is None or log.high is None:
        return f"{math.exp(log.mean):.2f}"
    return f"{math.exp(log.mean):.2f} ({math.exp(log.low):.2f} to {math.exp(log.high):.2f})"


def of(rows: Rows, side: Side) -> list[Row]:
    """A side's rows, in the order of the passes."""
    return sorted((r for r in rows if r["side"] == side.name), key=lambda r: r["pass"])


def middle(rows: Rows, field: str, write: str) -> str:
    """The median of a field, a dash where it is not there."""
    found = [r[field] for r in rows if field in r]
    return format(statistics.median(found), write) if found else "–"


Cell = Callable[[Contest, Rows], str]


def field(name: str, write: str) -> Cell:
    """A column of medians."""
    return lambda contest, rows: middle(rows, name, write)


BEFORE: dict[str, dict[str, Cell]] = {
    "training": {
        "seconds": field("seconds", ".3g"),
        "an epoch, s": lambda c, rows: f"{statistics.median(r['seconds'] for r in rows) / c.epochs:.3g}",
    },
    "convolutions": {
        "seconds": field("seconds", ".3g"),
        "an epoch, s": lambda c, rows: f"{statistics.median(r['seconds'] for r in rows) / c.epochs:.3g}",
    },
    "seeds": {"seconds": field("seconds", ".3g"), "from process start, s": field("wall", ".3g")},
    "whole": {"seconds": field("seconds", ".3g")},
}
AFTER: dict[str, dict[str, Cell]] = {
    "training": {"MSE": field("mse", ".4f"), "KL": field("kl", ".2f")},
    "convolutions": {"MSE": field("mse", ".4f"), "KL": field("kl", ".2f")},
    "seeds": {"MSE": field("mse", ".4f")},
    "whole": {
        "MSE, AE": field("mse", ".4f"),
        "MSE, VAE": field("mse_vae", ".4f"),
        "trainings": field("trainings", ".0f"),
        "epochs of one": field("epochs", ".0f"),
        "measures": field("measures", ".0f"),
    },
}
"""Columns of each group's table, left and right of the ratios."""


def table(group: str, held: Mapping[str, Rows]) -> list[str]:
    """The table of a group of contests."""
    ratios = ["ratio of wall time", "ratio of processor time"]
    names = ["contest", "who", "threads", *BEFORE[group], *ratios, *AFTER[group]]
    lines = [f"| {' | '.join(names)} |", "| --- | --- |" + " ---: |" * (len(names) - 2)]
    for contest in (c for c in CONTESTS if c.group == group and held[c.name]):
        for side in (s for s in contest.sides if s.name not in PEAKS):
            lines.append(f"| {' | '.join(_line(contest, side, held[contest.name]))} |")
    return lines


def _line(contest: Contest, side: Side, rows: Rows) -> list[str]:
    ours, own = of(rows, contest.sides[0]), of(rows, side)
    rival = not side.name.startswith(contest.sides[0].name)
    ratios = [told(ratio(ours, own, name)) if rival else "" for name in ("seconds", "cpu")]
    before, after = ([write(contest, own) for write in c[contest.group].values()] for c in (BEFORE, AFTER))
    return [contest.name, side.name, str(side.threads or "default"), *before, *ratios, *after]


def halves(group: str, held: Mapping[str, Rows]) -> list[str]:
    """How many times as long the rivals take as we do with products in bfloat16."""
    lines = []
    for contest in (c for c in CONTESTS if c.group == group):
        if not any(s.name == HALF for s in contest.sides) or not (rows := held[contest.name]):
            continue
        half = [r for r in rows if r["side"] == HALF]
        rivals = [s for s in contest.sides if s.name not in (HALF, *PEAKS)]
        each = ", ".join(f"{s.name} {told(ratio(half, of(rows, s), 'seconds'))}" for s in rivals)
        lines.append(f"- *{contest.name}*, times as long as latentbench with bfloat16 products: {each}")
    return lines


def shares(group: str, held: Mapping[str, Rows]) -> list[str]:
    """The table of shares of what the machine can do, of matrix products or of convolutions."""
    lines = [
        "| contest | who | operations a second, 10^9 | of the machine's, 10^9 | share | share by processor time |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for contest in (c for c in CONTESTS if c.group == group):
        products = next((s for s in contest.sides if s.name in PEAKS), None)
        if products is None or not (rows := held[contest.name]):
            continue
        rate = of(rows, products)
        for side in (s for s in contest.sides if s is not products):
            own = of(rows, side)
            share = told(ratio(rate, own, "flops_per_second"))
            clean = all("flops_per_cpu_second" in r for r in [*own, *rate])
            by_processor = told(ratio(rate, own, "flops_per_cpu_second")) if clean else "–"
            speeds = [f"{statistics.median(r['flops_per_second'] for r in x) / 1e9:.1f}" for x in (own, rate)]
            lines.append(f"| {contest.name} | {side.name} | {' | '.join(speeds)} | {share} | {by_processor} |")
    return lines


def document(result: Mapping[str, Any]) -> str:
    """The whole page."""
    machine = result["machine"]
    held = {c.name: whole_passes(result["rows"], c) for c in CONTESTS}
    rows = [r for own in held.values() for r in own]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    lines = [
        HEAD,
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, {versions}; {result['measured'][:10]}.",
    ]
    if rows:
        load = [r["load"] for r in rows]
        lines[-1] += (
            f" Load average {statistics.median(load):.1f} (median), {min(load):.1f} to {max(load):.1f}, "
            "this run's own included."
        )
    if len(states := {r["code"] for r in rows}) > 1:
        lines[-1] += f" The rows come from {len(states)} states of the code."
    for group, title in GROUPS.items():
        there = [c for c in CONTESTS if c.group == group]
        lines += [f"\n## {title}\n", ABOUT[group], ""]
        lines += [f"- *{c.name}*: {c.words}; {_passes(held[c.name], result['skipped'].get(c.name))}" for c in there]
        if any(held[c.name] for c in there):
            lines += ["", *table(group, held)]
        if found := halves(group, held):
            lines += ["", *found]
        if any(r["side"] in PEAKS for c in there for r in held[c.name]):
            lines += ["", *shares(group, held)]
    return "\n".join(lines) + "\n"


def _passes(rows: Rows, skipped: str | None) -> str:
    number = len({r["pass"] for r in rows})
    elsewhere = sorted({f"{r['processor']}, {r['measured'][:10]}" for r in rows if "processor" in r})
    if not number:
        return f"not measured{f' ({skipped})' if skipped else ''}"
    return f"{number} pass{'es' if number > 1 else ''}{''.join(f', on another machine ({e})' for e in elsewhere)}"


if __name__ == "__main__":
    text = document(json.loads(Path(sys.argv[1]).read_text()))
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(text)
    else:
        print(text)

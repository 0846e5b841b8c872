"""How often does the quality gate cry wolf, and does it hear a real one? Trained models, compared as `compare` does.

    python benchmarks/gate_errors_quality.py --work /tmp/gate-quality      measures, writes docs/gate-quality.json and .md

*False alarms*: the default models (`ae`, `vae` on digits) are trained with 126 seeds of one and the same source; seeds
0-5 are the base, and each of the 20 blocks 6-11, 12-17, .. is compared with it. A seed's result does not depend on which
others ran beside it, so a block has the records of ``latentbench run --seeds 6-11``. *Power*: the source is changed in a
scratch copy (`PLANTS`), seeds 0-5 are trained again and compared with the base.

*Resampled*: from the seeds of one source, pairs of disjoint sets of six are drawn and compared with the same rule. They
share seeds, so they are no independent counts; they show whether the observed number of false alarms is luck.

About 45 minutes on one core. Every unit of work is kept under ``--work``: a second call goes on where the first was
stopped. ``--minutes`` stops in time and writes what there is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest

from latentbench import catalog, records
from latentbench.comparing.change import Change, decide, of_verdict
from latentbench.comparing.matching import between, identity, is_claim
from latentbench.comparing.runs import compare_records
from latentbench.records import Record
from latentbench.running import manifest
from latentbench.running.provenance import define
from latentbench.running.unit import Unit
from latentbench.stats.cells import Cell, Seed, summarise
from latentbench.stats.intervals import t_interval

ROOT = Path(__file__).resolve().parents[1]
BLOCK = 6
BLOCKS = 20
KINDS = ("judge", "reference", "train", "measure")
"""Kinds of work whose records are claims or say which metrics are sound; maps and timings are neither."""
PLAN = """
import json, sys
from latentbench.config import make_run
from latentbench.running import reuse
from latentbench.running.plan import plan
planned = plan(make_run(json.loads(sys.argv[1])))
reuse.take(planned.found, planned.folder)
places = [[part.kind, part.key, planned.places[part.key]] for part in planned.parts]
print(json.dumps({"units": [u.to_json() for u in planned.units], "parts": places}))
"""


class Work(NamedTuple):
    """The work of one run: its ``folder``, the ``units`` left to do, and of every part its key and its unit's folder."""

    folder: Path
    units: list[Unit]
    parts: list[tuple[str, Path]]


class Plant(NamedTuple):
    """A change: in ``file`` the text ``old``, which stands there once, becomes ``new``, and likewise in each of ``more``."""

    name: str
    says: str
    file: str
    old: str
    new: str
    more: tuple[tuple[str, str, str], ...] = ()


PLANTS = (
    Plant(
        "beta x 4", "the default weight of the KL is 4", "models/vae.py",
        "beta: float = 1.0,", "beta: float = 4.0,",
    ),
    Plant(
        "detached variances", "the KL of the variances gives no gradient", "models/variational.py",
        "(log_var.exp() - 1 - log_var).sum()", "(log_var.exp() - 1 - log_var).detach().sum()",
    ),
    Plant(
        "detached means", "the KL of the means gives no gradient", "models/variational.py",
        "mu.square().sum()", "mu.detach().square().sum()",
    ),
    Plant(
        "a quarter of the epochs trained", "training stops after 40 epochs; early stopping comes after some 158",
        "datasets/digits.py", '"epochs": 300', '"epochs": 40',
    ),
    Plant(
        "half of the classes", "the VAE is trained on the digits 0 to 4 alone: its prior lacks the other half",
        "running/worker.py",
        "    train, val = dataset.images.to(device), dataset.val.x.to(device)\n    spec, seeds = unit.model, list(unit.seeds)",
        "    train, val = dataset.images.to(device), dataset.val.x.to(device)\n    spec, seeds = unit.model, list(unit.seeds)\n"
        "    if spec.name == 'vae':\n        train = train[dataset.train.y < 5]",
    ),
    Plant(
        "latent scaled by 3", "the VAE's codes are three times as wide as its KL saw them, and its decoder undoes it",
        "models/variational.py",
        "        return Posterior(mu, log_var.clamp(*LOG_VAR))",
        "        wide = 1.0 if self.training else 3.0\n"
        "        return Posterior(wide * mu, log_var.clamp(*LOG_VAR) + 2 * math.log(wide))",
        ((
            "models/variational.py",
            'return self.trunk.logits(z).sigmoid() if self.likelihood == "bernoulli" else self.trunk.decode(z)',
            "return self.trunk.decode(z if self.training else z / 3.0)",
        ),),
    ),
)  # fmt: skip

HARMLESS = (
    Plant(
        "a lower limit on the epochs", "the limit is 200 instead of 300; early stopping comes after some 158",
        "datasets/digits.py", '"epochs": 300', '"epochs": 200',
    ),
    Plant(
        "another judge", "the judge is trained from another seed", "measuring/judge.py",
        'seeded(seed, "judge weights")', 'seeded(seed + 2, "judge weights")',
    ),
)  # fmt: skip
"""Changes that look like a regression and are none: the same training, and the same models before another judge."""


def scratch(work: Path, plant: Plant | None) -> Path:
    """A copy of the package, changed by ``plant``; made once."""
    place = work / (plant.name.replace(" ", "-") if plant else "as-it-is")
    if not (place / "latentbench").is_dir():
        making = place / ".making"
        shutil.rmtree(making, ignore_errors=True)
        shutil.copytree(ROOT / "latentbench", making, ignore=shutil.ignore_patterns("__pycache__"))
        for name, old, new in ((plant.file, plant.old, plant.new), *plant.more) if plant else ():
            file = making / name
            text = file.read_text("utf-8")
            if text.count(old) != 1:
                raise SystemExit(f"{place.name}: '{old}' does not stand once in {name}")
            file.write_text(text.replace(old, new), "utf-8")
        making.rename(place / "latentbench")
    return place


def python(source: Path, *words: str) -> str:
    """What a fresh Python on this source prints, one thread, out of everybody's way."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], env=environment, cwd=source, check=True, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.nice(10),
    )  # fmt: skip
    return done.stdout


def plan(source: Path, seeds: Sequence[int], lent: Sequence[Path] = ()) -> Work:
    """The work of one default run with these seeds, in order of need. What is the same in the runs ``lent``, by its key,
    is taken from there: the judge, references, a model that a plant does not reach."""
    folder = source / f"seeds-{seeds[0]}-{seeds[-1]}"
    run = {
        "models": ["ae", "vae"],
        "seeds": list(seeds),
        "out": str(folder),
        "cache": False,
        "reuse": list(map(str, lent)),
    }
    row = json.loads(python(source, "-c", PLAN, json.dumps(run)))
    units = [Unit.from_json(unit) for unit in row["units"]]
    parts = [(key, folder / place) for kind, key, place in row["parts"] if kind in KINDS]
    return Work(folder, [u for u in units if u.kind in KINDS], parts)


def perform(source: Path, todo: Iterable[Unit]) -> None:
    """Do what is not done yet, in one process. A unit's JSON names its models by their specs: the source at hand says
    what they are."""
    paths = []
    for unit in todo:
        path = Path(unit.root) / "jobs" / f"{unit.path.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(unit.to_json()), "utf-8")
        paths.append(str(path))
    if paths:
        python(source, "-m", "latentbench.running.worker", *paths)


def trained(source: Path, seeds: Sequence[int], lent: Sequence[Path] = ()) -> Path:
    """Do the work of these seeds; returns its run folder."""
    work = plan(source, seeds, lent)
    perform(source, work.units)
    return work.folder


def finished(place: Path, seeds: Sequence[int]) -> list[Record] | None:
    """The records of these seeds; None where they are not all there."""
    if not (place / f"seeds-{seeds[0]}-{seeds[-1]}").is_dir():
        return None
    work = plan(place, seeds)
    if work.units:
        return None
    rows: dict[Path, dict[str, list[Record]]] = {}
    for _, folder in work.parts:
        if folder not in rows and (unit := manifest.read(folder)) is not None:
            rows[folder] = unit.rows()
    return [r for key, folder in work.parts for r in rows[folder][key]]


def outcome(base: Sequence[Record], head: Sequence[Record]) -> dict[str, Any]:
    """Verdicts of one comparison, as `latentbench compare` gives them."""
    about = Record(kind="run", detail={"definitions": define(catalog.metrics().values())})
    found = compare_records([about, *base], [about, *head]).changes
    claims = [c for c in found if c.better != "none" and c.harm is not None]
    out: dict[str, Any] = {v: [told(c) for c in of_verdict(found, v)] for v in ("worse", "better")}
    return {**out, "claims": len(claims), "least_adjusted_p": min(c.adjusted for c in claims)}


def told(c: Change) -> str:
    return f"{c.name}: {c.base:.4g} -> {c.head:.4g}"


def resampled(pool: Sequence[Record], draws: int) -> dict[str, int]:
    """How many of ``draws`` comparisons of two disjoint random sets of `BLOCK` seeds find anything worse."""
    cells = [c for c in summarise(pool) if is_claim(c) and c.values and not c.unproven and not c.is_timing]
    seeds = sorted({s for c in cells for s in c.values if s is not None})
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(draws):
        drawn = rng.permutation(seeds)[: 2 * BLOCK].tolist()
        one, two = set(drawn[:BLOCK]), set(drawn[BLOCK:])
        pairs = [(part(c, one), part(c, two)) for c in cells]
        found = decide(between(a, b) for a, b in pairs if a.values and b.values)
        alarms += any(c.verdict == "worse" for c in found)
    return {"seeds": len(seeds), "comparisons": draws, "with worse": alarms}


def part(cell: Cell, seeds: set[Seed]) -> Cell:
    """A cell with these seeds alone."""
    kept = {s: v for s, v in cell.values.items() if s in seeds}
    return replace(cell, values=kept, interval=t_interval(kept.values(), bounds=cell.bounds) if kept else None)


def values(pool: Sequence[Record]) -> dict[str, list[float | None]]:
    """The raw numbers: ``model metric split`` -> a value for each seed, in the order of the seeds."""
    cells = [c for c in summarise(pool) if is_claim(c) and not c.measured_once and c.values and not c.is_timing]
    seeds = sorted({s for c in cells for s in c.values if s is not None})
    return {
        " ".join(identity(c)[1:3]) + f" {c.split}": [
            None if (v := c.values.get(s)) is None else float(f"{v:.5g}") for s in seeds
        ]
        for c in cells
    }


def page(held: dict[str, Any]) -> str:
    """docs/gate-quality.md."""
    plants, reruns, again = held["plants"], held["reruns"], held["resampled"]
    alarms, caught = sum(bool(r["worse"]) for r in reruns), sum(bool(p["worse"]) for p in plants)
    lines = [
        "# The quality gate's error rates",
        "",
        "Written by `python benchmarks/gate_errors_quality.py`; the numbers behind it are in gate-quality.json.",
        "The default models (`ae`, `vae` on `digits`, 6 seeds) are trained anew and compared as `latentbench compare` does.",
        "",
        "Worse means: beyond the threshold (5 % of the base, for a share at least .01), and a p-value of at most .0025 after",
        "Holm's adjustment for all measures. With six paired seeds and a hundred measures that asks for a mean",
        "change of about six standard deviations of the differences: the gate is deaf to small changes, so that what it reports is",
        "real.",
        "",
        "## Planted regressions",
        "",
        f"Caught: {caught} of {len(plants)}. Each is a change of the source, trained with the base's seeds 0-5.",
        "",
        "| planted | what it changes | measures worse | for instance |",
        "| --- | --- | ---: | --- |",
        *(f"| {p['name']} | {p['says']} | {len(p['worse'])} of {p['claims']} | {'; '.join(p['worse'][:3])} |" for p in plants),
        "",
        *(
            f"No regression: {p['name']} ({p['says']}); {len(p['worse'])} of {p['claims']} measures are called worse"
            f"{': ' + '; '.join(p['worse'][:3]) if p['worse'] else ''}.\n"
            for p in held["harmless"]
        ),
        "",
        "## Re-runs with other seeds",
        "",
        f"Seeds 0-5 against {len(reruns)} blocks of six other seeds of the same source, {reruns[0]['claims'] if reruns else 0} "
        f"measures each: {alarms} false alarms ({rate(alarms, len(reruns))}).",
        "",
        "| seeds | worse | better | least adjusted p |",
        "| --- | --- | --- | ---: |",
        *(f"| {r['seeds']} | {'; '.join(r['worse']) or '-'} | {'; '.join(r['better']) or '-'} | {r['least_adjusted_p']:.3g} |" for r in reruns),
        "",
        "## Resampled",
        "",
        f"Pairs of disjoint sets of six of the {again['seeds']} seeds: {again['with worse']} of {again['comparisons']} comparisons "
        f"find something worse ({100 * again['with worse'] / again['comparisons']:.2f} %; the rule promises at most .25 %). "
        "The pairs share seeds, so this is a rate without an interval.",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def rate(count: int, n: int) -> str:
    """A share with its Clopper-Pearson interval."""
    if not n:
        return "none measured"
    found = binomtest(count, n).proportion_ci(0.95, "exact")
    return f"{100 * count / n:.1f} %, 95 % interval {100 * found.low:.1f} to {100 * found.high:.1f} %"


def tell(work: Path, out: Path) -> None:
    """Compare what has been trained and write the JSON and the page."""
    source = scratch(work, None)
    base = finished(source, range(BLOCK))
    if base is None:
        raise SystemExit("the base is not trained yet")
    reruns: list[dict[str, Any]] = []
    pool = list(base)
    plants, harmless = (
        [
            {"name": plant.name, "says": plant.says, **outcome(base, head)}
            for plant in group
            if (head := finished(scratch(work, plant), range(BLOCK))) is not None
        ]
        for group in (PLANTS, HARMLESS)
    )
    for first in range(BLOCK, BLOCK * (BLOCKS + 1), BLOCK):
        if (head := finished(source, range(first, first + BLOCK))) is not None:
            reruns.append({"seeds": f"{first}-{first + BLOCK - 1}", **outcome(base, head)})
            pool += [r for r in head if r.seed is not None]
    held = {
        "plants": plants,
        "harmless": harmless,
        "reruns": reruns,
        "resampled": resampled(pool, 1000),
        "values": values(pool),
    }
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in held["values"].items())
    rest = json.dumps({k: v for k, v in held.items() if k != "values"}, ensure_ascii=False, indent=1)
    records.write_text(out, rest.removesuffix("\n}") + f',\n "values": {{\n{lines}\n }}\n}}\n')
    records.write_text(out.with_suffix(".md"), page(held))


def main(words: Sequence[str] | None = None) -> int:
    parse = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parse.add_argument("--work", type=Path, required=True, help="where trained models are kept")
    parse.add_argument("--minutes", type=float, default=1e9, help="start no new block after this time")
    parse.add_argument("--out", type=Path, default=ROOT / "docs" / "gate-quality.json")
    parse.add_argument("--tell-only", action="store_true", help="train nothing, write what there is")
    asked = parse.parse_args(words)
    if asked.tell_only:
        tell(asked.work.resolve(), asked.out)
        return 0
    end = time.monotonic() + 60 * asked.minutes
    work = asked.work.resolve()
    source = scratch(work, None)
    base = trained(source, range(BLOCK))
    todo = [(scratch(work, p), range(BLOCK)) for p in (*PLANTS, *HARMLESS)]
    todo += [(source, range(k, k + BLOCK)) for k in range(BLOCK, BLOCK * (BLOCKS + 1), BLOCK)]
    for place, seeds in todo:
        if time.monotonic() > end:
            break
        began = time.monotonic()
        trained(place, seeds, [base])
        print(f"{place.name} seeds {seeds[0]}-{seeds[-1]}: {time.monotonic() - began:.0f} s", flush=True)
    tell(work, asked.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

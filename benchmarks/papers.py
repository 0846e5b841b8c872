"""Each kind of model beside its paper: does the *shape* that the paper reports show at a length that a laptop fits?

    python benchmarks/papers.py            writes docs/papers.json and docs/papers.md (tox -e papers)
    python benchmarks/papers.py wae iwae   those checks only

A check is an order of models, a ratio or a range, over seeds; trainings are short and data few, so figures of the papers stand
beside as published and are never reached here. Trained and measured: one model and seed at a time, each written down at once;
the same command carries on, ``--again`` forgets the checks that are asked for. MNIST is read where LATENTBENCH_DATA names a
folder with MNIST/raw; a check whose data or model is not there says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from latentbench import catalog
from latentbench.config import make_run
from latentbench.core import Dataset, Encoding, Split, Undefined
from latentbench.machine import processor
from latentbench.measuring import scoring
from latentbench.measuring.judge import CalibratedJudge, train_judge
from latentbench.metrics.decoding import subsample
from latentbench.metrics.likelihood import importance_bound
from latentbench.models.von_mises_fisher import kl_to_uniform, mean_cosine
from latentbench.stats.cells import Interval, t_interval
from latentbench.training.fit import Plan, fit, initialise

DOCS = Path(__file__).parents[1] / "docs"
SUBSET = 6000
"""Training images of MNIST's subset; 1,000 for validation, 2,000 for the test."""


@dataclass(frozen=True)
class More:
    """``first`` is ``factor`` times ``second`` or more: first - factor * second, paired by seed, is above ``beyond``. Each is a
    model's label and a measure."""

    says: str
    first: tuple[str, str]
    second: tuple[str, str]
    factor: float = 1.0
    beyond: float = 0.0


@dataclass(frozen=True)
class Within:
    """A measure of a model lies between two numbers."""

    says: str
    of: tuple[str, str]
    low: float
    high: float


@dataclass(frozen=True)
class Check:
    """What a paper reports, and how its shape is asked for here. ``models``: label -> spec; ``published``: its figures, of its
    own length and data, as they stand in its text or, where ``source`` says so, in one that quotes it; none from memory."""

    name: str
    source: str
    published: str
    data: str
    models: Mapping[str, str]
    parts: tuple[More | Within, ...]
    plan: Plan
    seeds: int = 3
    latent_dim: int = 8
    note: str = ""


DIGITS = Plan(60, 0, 64, 1e-3)
MNIST = Plan(12, 0, 128, 1e-3)
BERNOULLI = "likelihood=bernoulli"

CHECKS = (
    Check(
        "rae",
        "Ghosh et al. 2020, Table 1",
        "FID on MNIST: RAE-L2 22.22 from a Gaussian fitted to its codes, 8.69 from a mixture of ten; VAE 19.21 from N(0, I), "
        "17.66 from a mixture; reconstructions 10.53 and 18.26",
        "mnist",
        {"rae": "rae", "vae": "vae"},
        (
            More(
                "RAE: a fitted Gaussian farther than the mixture",
                ("rae", "judge_frechet.gaussian"),
                ("rae", "judge_frechet.mixture"),
            ),
            More(
                "VAE's N(0, I) farther than RAE's mixture", ("vae", "judge_frechet"), ("rae", "judge_frechet.mixture")
            ),
            More("RAE reconstructs better than VAE", ("vae", "mse"), ("rae", "mse")),
        ),
        MNIST,
        latent_dim=16,
        seeds=6,
        note="distances in the features of this package's judge, not FID",
    ),
    Check(
        "wae",
        "Tolstikhin et al. 2018; Ghosh et al. 2020, Table 1",
        "FID on MNIST: WAE 20.42 from N(0, I), 9.39 from a mixture of ten Gaussians; reconstructions 10.03, VAE's 18.26",
        "mnist",
        {"wae": "wae", "ae": "ae", "vae": "vae"},
        (
            More("AE's codes twice as far from N(0, I) as WAE's (MMD)", ("ae", "prior.mmd"), ("wae", "prior.mmd"), 2.0),
            More("WAE reconstructs better than VAE", ("wae", "r2"), ("vae", "r2")),
            More("a mixture halves WAE's distance", ("wae", "judge_frechet"), ("wae", "judge_frechet.mixture"), 2.0),
        ),
        MNIST,
        latent_dim=16,
        seeds=6,
        note="distances in the features of this package's judge, not FID",
    ),
    Check(
        "infovae",
        "Zhao et al. 2019, abstract",
        "the code is made use of however flexible the decoder, where a VAE tends to ignore it",
        "digits",
        {"info": "vae:info=1:sigma=0.3", "vae": "vae:sigma=0.3"},
        (
            More("more mutual information", ("info", "mutual_information"), ("vae", "mutual_information")),
            More("and no larger an error", ("vae", "mse"), ("info", "mse")),
        ),
        DIGITS,
        seeds=6,
    ),
    Check(
        "iwae",
        "Burda et al. 2016, Table 1",
        "-log p(x) on MNIST after 3,280 epochs, one stochastic layer, k = 1 / 5 / 50: 86.76 / 85.54 / 84.78 nats",
        "mnist",
        {"1": f"iwae:k=1:{BERNOULLI}", "5": f"iwae:k=5:{BERNOULLI}", "50": f"iwae:k=50:{BERNOULLI}"},
        (
            More("k = 5 costs fewer nats than k = 1", ("1", "nll.iw"), ("5", "nll.iw")),
            More("k = 50 costs fewer nats than k = 5", ("5", "nll.iw"), ("50", "nll.iw")),
        ),
        Plan(12, 0, 128, 1e-3),
        seeds=6,
        latent_dim=16,
        note="grey images as probabilities, fully connected, one stochastic layer",
    ),
    Check(
        "tcvae",
        "Chen et al. 2018, abstract",
        "the ELBO holds the total correlation of the code as a term of its own, which is what beta weighs",
        "shapes",
        {"1": "tcvae:beta=1", "4": "tcvae:beta=4", "16": "tcvae:beta=16"},
        (
            More("beta = 1 above beta = 4", ("1", "total_correlation"), ("4", "total_correlation")),
            More("beta = 4 above beta = 16", ("4", "total_correlation"), ("16", "total_correlation")),
        ),
        Plan(40, 0, 128, 1e-3),
        seeds=6,
        note="total correlation of the Gaussian with the codes' covariance, -ln det R / 2: what is not linear is not seen",
    ),
    Check(
        "vamp",
        "Tomczak & Welling 2018, Table 1, as Pythae's reproduction quotes it; Norouzi et al. 2020, at second hand",
        "-log p(x): VampPrior of 500 inputs 85.57 nats on static MNIST; on dynamic MNIST, in the second, 82.43, VAE 84.45",
        "mnist",
        {"vamp": f"vamp:k=100:{BERNOULLI}", "vae": f"vae:{BERNOULLI}"},
        (More("VAE costs more nats than VampPrior", ("vae", "nll.iw"), ("vamp", "nll.iw")),),
        MNIST,
        seeds=6,
        latent_dim=16,
    ),
    Check(
        "vmf",
        "Davidson et al. 2018, abstract; Table 1, as Pythae's reproduction quotes it",
        "better than the normal one in low dimensions; -log p(x) on dynamic MNIST 93.16 nats on the sphere in 11 dimensions",
        "mnist",
        {"vmf": f"vmf:{BERNOULLI}:latent_dim=6", "vae": f"vae:{BERNOULLI}"},
        (
            Within("codes have length 1", ("vmf", "code_length"), 0.9999, 1.0001),
            More("at d = 5 the normal one costs more nats", ("vae", "nll.iw"), ("vmf", "nll_on_sphere")),
        ),
        MNIST,
        seeds=6,
        latent_dim=5,
        note="as many degrees of freedom on both sides, the sphere S^5 in 6 dimensions; nats by 50 importance-weighted draws on both sides",
    ),
    Check(
        "fsq",
        "Mentzer et al. 2024, Fig. 3 and section 5.1",
        "on ImageNet FSQ uses almost all of 2^14 codes; VQ under half of more than 2^11, no more than 2^10 then",
        "mnist",
        {"fsq": "fsq:levels=8x8x8:parts=2", "vq": "vq:k=512:parts=2"},
        (
            More("FSQ uses the larger share of 512 codes", ("fsq", "code_usage"), ("vq", "code_usage")),
            More("and uses them more equally", ("fsq", "perplexity"), ("vq", "perplexity")),
        ),
        MNIST,
        latent_dim=6,
        note="the paper sees FSQ ahead beyond 2^10 codes, these are 2^9; our VQ restarts codes that nothing chooses, where "
        "the paper's has an entropy loss",
    ),
    Check(
        "vq",
        "van den Oord et al. 2017, section 3.1",
        "training ends with codes and no prior; one is then fitted to them, and it is autoregressive",
        "digits",
        {"vq": "vq:k=64"},
        (
            More(
                "draws of an autoregressive prior beat draws position by position",
                ("vq", "validity.autoregressive"),
                ("vq", "validity.marginal"),
            ),
        ),
        DIGITS,
        seeds=6,
        note="valid draws by the judge; a small network over eight or fewer positions, not a PixelCNN over a grid",
    ),
    Check(
        "flow",
        "Chen et al. 2017 (variational lossy autoencoder), abstract",
        "a prior learned along, a flow, is one of two ways in which the density fitted to images is improved",
        "digits",
        {"vae": "vae", "flow": "vae:prior=flow"},
        (
            More("N(0, I) costs more nats than the learned prior", ("vae", "nll.iw"), ("flow", "nll.iw")),
            More("and its draws are less often valid", ("flow", "validity.prior"), ("vae", "validity.normal")),
        ),
        DIGITS,
        seeds=6,
        note="a small coupling flow, where theirs is autoregressive",
    ),
    Check(
        "cae",
        "Rifai et al. 2011, abstract",
        "the Frobenius norm of the encoder's Jacobian as a penalty contracts the space locally",
        "digits",
        {"0": "cae:weight=0", "small": "cae:weight=0.01", "large": "cae:weight=1"},
        (
            More("no weight above .01", ("0", "encoder_slope"), ("small", "encoder_slope")),
            More(".01 above 1", ("small", "encoder_slope"), ("large", "encoder_slope")),
        ),
        DIGITS,
    ),
    Check(
        "aae",
        "Makhzani et al. 2016, abstract",
        "an adversary matches the codes as a whole to any prior",
        "digits",
        {"aae": "aae", "ae": "ae"},
        (
            More("AE's codes easier to tell from N(0, I)", ("ae", "prior.c2st"), ("aae", "prior.c2st")),
            Within("near chance (.5)", ("aae", "prior.c2st"), 0.4, 0.65),
        ),
        Plan(150, 0, 64, 1e-3),
    ),
)


def encoder_slope(model: Any, e: Encoding) -> float:
    """Root mean squared Frobenius norm of the encoder's Jacobian at held-out images."""
    x = e.x[:500].clone().requires_grad_(True)
    mu = model.encode(x).mu
    squares = [torch.autograd.grad(mu[:, j].sum(), x, retain_graph=True)[0].square().sum() for j in range(mu.shape[1])]
    return float((sum(squares) / len(x)) ** 0.5)


def total_correlation(model: Any, e: Encoding) -> float:
    """Total correlation in nats of the Gaussian with the covariance of draws of q(z): -ln det R / 2, >= 0."""
    return float(-0.5 * torch.linalg.slogdet(torch.corrcoef(e.z.double().T)).logabsdet)


def code_length(model: Any, e: Encoding) -> float:
    """Mean length of draws of q(z|x)."""
    return float(e.z.double().norm(dim=1).mean())


def nll_on_sphere(model: Any, e: Encoding) -> float:
    """`nll.iw` of a von Mises-Fisher posterior under the uniform prior: nats an image, of as many images and draws. Both densities
    are those on the sphere: ln q(z|x) - ln p(z) = kappa mu.z + KL(kappa) - kappa A(kappa)."""
    images, draws = (catalog.metrics()["nll.iw"].params[name] for name in ("images", "draws"))
    x = e.x[subsample(torch.arange(len(e.x)), images, e.generator("likelihood images"))]
    q, generator, d = model.encode(x), e.generator("likelihood draws"), e.mu.shape[1]
    level = kl_to_uniform(q.kappa.double(), d) - q.kappa.double() * mean_cosine(q.kappa.double(), d)
    weights = []
    for _ in range(draws):
        z = q.sample(generator)
        over = q.kappa.double() * (q.mu.double() * z.double()).sum(1) + level
        weights.append(model.log_likelihood(x, z).double() - over)
    return -float(importance_bound(torch.stack(weights)).mean())


OWN: Mapping[str, Callable[[Any, Encoding], float]] = {
    f.__name__: f for f in (encoder_slope, total_correlation, code_length, nll_on_sphere)
}


@cache
def dataset(name: str) -> Dataset:
    """The data of this name, of MNIST a subset."""
    data = catalog.datasets()[name].load("", os.environ.get("LATENTBENCH_DATA", ""), 0)
    if name != "mnist":
        return data

    def some(split: Split, n: int) -> Split:
        return Split(*(None if part is None else part[:n] for part in split))  # type: ignore[arg-type]

    return replace(data, train=some(data.train, SUBSET), val=some(data.val, 1000), test=some(data.test, 2000))


@cache
def judge(name: str) -> CalibratedJudge:
    """One judge a data set, for what is read in its features."""
    return train_judge(dataset(name), 0)


def lacking(check: Check) -> str:
    """Why a check cannot be made here; empty where it can."""
    if check.data == "mnist" and "LATENTBENCH_DATA" not in os.environ:
        return "MNIST is not there (LATENTBENCH_DATA is not set)"
    try:
        for text in check.models.values():
            catalog.resolve_model(text, make_run({"models": text, "latent_dim": check.latent_dim}))
    except ValueError as error:
        return str(error)
    return ""


def measures(check: Check, label: str) -> list[str]:
    """What is to be measured of a model."""
    asked = [end for p in check.parts for end in ((p.first, p.second) if isinstance(p, More) else (p.of,))]
    return list(dict.fromkeys(metric for of, metric in asked if of == label))


def measure(check: Check, label: str, seed: int) -> dict[str, Any]:
    """One training and what is asked of it."""
    data, text = dataset(check.data), check.models[label]
    spec = catalog.resolve_model(text, make_run({"models": text, "latent_dim": check.latent_dim}))
    started = time.process_time()
    model = initialise(lambda: spec.build(data.space), seed)
    fit(model, data.train.x, data.val.x, check.plan, seed)
    names = measures(check, label)
    needs_judge = any(n.startswith(("judge_", "validity.")) for n in names)
    reader = judge(check.data) if needs_judge else None
    with torch.no_grad():
        e = scoring.encode(model, data, seed, torch.device("cpu"), reader)
    values: dict[str, Any] = {}
    for name in names:
        try:
            found = OWN[name](model, e) if name in OWN else _metric(name, e)
            values[name] = float(getattr(found, "value", found))
        except Undefined as reason:
            values[name] = None
            print(f"  {name}: {reason}")
    return {"values": values, "seconds": time.process_time() - started}


def _metric(name: str, e: Encoding) -> Any:
    metric = catalog.metrics()[name]
    if reason := e.absent(metric.needs):
        raise Undefined(reason)
    return metric.compute(e, **metric.params)


def interval(part: More | Within, rows: Sequence[Mapping[str, Any]]) -> tuple[Interval | None, int]:
    """The interval of a part over seeds, and whether it holds (1), fails (-1) or is open (0)."""

    def of(end: tuple[str, str]) -> dict[int, float]:
        label, metric = end
        found = {r["seed"]: r["values"].get(metric) for r in rows if r["model"] == label}
        return {s: v for s, v in found.items() if v is not None}

    if isinstance(part, Within):
        values = list(of(part.of).values())
        if not values:
            return None, 0
        i = t_interval(values)
        if i.low is None or i.high is None:
            return i, 0
        return (
            i,
            1 if part.low <= i.low and i.high <= part.high else -1 if i.high < part.low or i.low > part.high else 0,
        )
    first, second = of(part.first), of(part.second)
    both = sorted(first.keys() & second.keys())
    if not both:
        return None, 0
    i = t_interval([first[s] - part.factor * second[s] for s in both])
    if i.low is None or i.high is None:
        return i, 0
    return i, 1 if i.low > part.beyond else -1 if i.high < part.beyond else 0


def document(out: Mapping[str, Any]) -> str:
    """The page from the raw results."""
    machine, versions = out["machine"], ", ".join(f"{k} {v}" for k, v in out["versions"].items())
    lines = [
        "# Each kind of model beside its paper",
        "",
        "Made by `python benchmarks/papers.py` (`tox -e papers`). What a paper reports is asked for as an order, a ratio or a range, at a "
        f"length that two cores fit; MNIST here is {SUBSET:,} training and 2,000 test images, networks have two hidden layers of 256. The "
        "papers' figures stand beside as published, of their own data, networks and length: none of them is reached or "
        "claimed here. Held: the whole 95 % interval over seeds lies on the side reported; not held: on the other; open: neither, which says that so few seeds or steps do not tell, and not that the paper "
        "is wrong (on MNIST 12 epochs are some 560 steps, after which a model is far from done). "
        f"Measured {out['measured'][:10]} on {machine['processor']}, one thread, {versions}.",
        "",
        "| model | what is asked for | here, 95 % interval | seeds | | means |",
        "| --- | --- | --- | ---: | --- | --- |",
    ]
    notes = []
    for check in CHECKS:
        rows = [r for r in out["rows"] if r["check"] == check.name]
        for part in check.parts:
            lines.append(f"| {check.name} | {part.says} | {_told(part, rows, out['lacking'].get(check.name, ''))} |")
        notes += ["", f"**{check.name}**, {check.source}. Published: {check.published}. Here: {_setting(check)}."]
        if check.note:
            notes[-1] += f" {check.note[0].upper()}{check.note[1:]}."
    return "\n".join([*lines, *notes]) + "\n"


def _setting(check: Check) -> str:
    specs = ", ".join(f"`{text}`" for text in check.models.values())
    return f"{specs} on {check.data}, d = {check.latent_dim}, {check.plan.epochs} epochs, batches of {check.plan.batch_size}"


def _told(part: More | Within, rows: Sequence[Mapping[str, Any]], lacks: str) -> str:
    if not rows:
        return f"not measured: {lacks or 'not run yet'} | 0 | – | –"
    i, holds = interval(part, rows)
    if i is None:
        return "no value | 0 | – | –"
    word = {1: "**held**", 0: "open", -1: "**not held**"}[holds]
    if isinstance(part, Within):
        aim = f"{part.low:g} to {part.high:g}"
        spread = "one seed" if i.low is None else f"[{i.low:.4g}, {i.high:.4g}]"
        return f"{i.mean:.4g} {spread}, asked: {aim} | {i.n} | {word} | {i.mean:.4g}"
    ends = []
    for label, metric in (part.first, part.second):
        found = [r["values"][metric] for r in rows if r["model"] == label and r["values"].get(metric) is not None]
        ends.append(f"{sum(found) / len(found):.4g}")
    factor = "" if part.factor == 1 else f"{part.factor:g} × "
    spread = "one seed" if i.low is None else f"[{i.low:+.4g}, {i.high:+.4g}]"
    return f"{i.mean:+.4g} {spread} | {i.n} | {word} | {ends[0]} against {factor}{ends[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(c.name for c in CHECKS))
    parser.add_argument("--out", type=Path, default=DOCS / "papers.json", help="raw results; the page lies beside it")
    parser.add_argument("--seeds", type=int, help="at most so many of each check")
    parser.add_argument("--again", action="store_true", help="forget what is there of what is asked for")
    asked = parser.parse_args()
    names = [c.name for c in CHECKS]
    if wrong := [n for n in asked.checks if n not in names]:
        parser.error(f"no check '{wrong[0]}' (there are: {', '.join(names)})")
    torch.set_num_threads(1)
    chosen = [c for c in CHECKS if not asked.checks or c.name in asked.checks]
    out = json.loads(asked.out.read_text()) if asked.out.exists() else {"rows": []}
    if asked.again:
        out["rows"] = [r for r in out["rows"] if r["check"] not in [c.name for c in chosen]]
    out |= {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {p: version(p) for p in ("torch", "numpy")},
        "lacking": {c.name: why for c in CHECKS if (why := lacking(c))},
    }
    for check in (c for c in chosen if c.name not in out["lacking"]):
        for seed in range(min(check.seeds, asked.seeds or check.seeds)):
            for label in check.models:
                _walk(check, label, seed, out, asked.out)
    asked.out.write_text(json.dumps(out, indent=1) + "\n")
    asked.out.with_suffix(".md").write_text(document(out))


def _walk(check: Check, label: str, seed: int, out: dict[str, Any], path: Path) -> None:
    """One model and seed of a check, unless it is there; written down."""
    spec, about = check.models[label], {"data": check.data, "epochs": check.plan.epochs, "latent_dim": check.latent_dim}
    key = {"check": check.name, "model": label, "spec": spec, "seed": seed, **about}
    if any(key.items() <= r.items() for r in out["rows"]):
        return
    out["rows"] = [r for r in out["rows"] if (r["check"], r["model"], r["seed"]) != (check.name, label, seed)]
    row = {**key, **measure(check, label, seed)}
    out["rows"].append(row)
    print(f"{check.name}, {label}, seed {seed}: {row['values']} ({row['seconds']:.0f} s)", flush=True)
    path.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()

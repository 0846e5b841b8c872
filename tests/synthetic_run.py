"""A plausible run folder made of numpy alone: every kind of record and artifact the page draws, without training.

Numbers follow the story of the real thing: the autoencoder's codes are points and far apart, the VAE's are clouds that
fill the prior. Images are digits from a 5 x 7 bitmap font on a small canvas, jittered and blurred.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from latentbench import artifact_schema, records
from latentbench.records import Record
from latentbench.run_folder import ARTIFACTS, RunFiles

FONT = (
    "01110100011001110101110011000101110 00100011000010000100001000010001110 01110100010000100010001000100011111 "
    "11111000100010000010000011000101110 00010001100101010010111110001000010 11111100001111000001000011000101110 "
    "00110010001000011110100011000101110 11111000010001000100010000100001000 01110100011000101110100011000101110 "
    "01110100011000101111000010001001100"
).split()

# metric: unit, better, bounds, target, family of references, (ae, vae), spread over seeds, summary
METRICS: dict[
    str,
    tuple[
        str,
        str,
        tuple[float | None, float | None],
        float | None,
        dict[str, float],
        tuple[float | None, float],
        float,
        str,
    ],
] = {
    "mse": (
        "squared intensity",
        "lower",
        (0.0, None),
        None,
        {"baseline:mean": 0.0701, "baseline:pca": 0.0239},
        (0.0126, 0.0137),
        0.0003,
        "mean squared error of a pixel",
    ),
    "r2": (
        "share of variance",
        "higher",
        (None, 1.0),
        None,
        {"baseline:mean": 0.0, "baseline:pca": 0.659},
        (0.821, 0.806),
        0.005,
        "1 - MSE / MSE of the mean image",
    ),
    "path.tortuosity": (
        "ratio",
        "lower",
        (1.0, None),
        None,
        {"ceiling:cross-fade": 1.0},
        (1.36, 1.31),
        0.03,
        "length of the decoded straight line over its chord, in pixels, 16 frames",
    ),
    "path.validity_gain": (
        "share",
        "higher",
        (-1.0, 1.0),
        None,
        {},
        (0.06, 0.21),
        0.03,
        "share of valid images on the path minus that on the cross-fade of its two decoded ends",
    ),
    "midpoint.nonblend": (
        "share of chord",
        "none",
        (0.0, None),
        None,
        {},
        (0.31, 0.29),
        0.02,
        "distance of the decoded latent midpoint from the pixel average of the ends",
    ),
    "validity.normal": (
        "share",
        "higher",
        (0.0, 1.0),
        None,
        {"ceiling:real": 0.903, "floor:noise": 0.004, "floor:shuffle": 0.021, "floor:mean": 0.0},
        (0.118, 0.446),
        0.03,
        "share of decoded draws of N(0, I) that the judge accepts",
    ),
    "validity.gaussian": (
        "share",
        "higher",
        (0.0, 1.0),
        None,
        {"ceiling:real": 0.903, "floor:noise": 0.004, "floor:shuffle": 0.021, "floor:mean": 0.0},
        (0.312, 0.461),
        0.03,
        "share of decoded draws of a fitted Gaussian that the judge accepts",
    ),
    "validity.mixture": (
        "share",
        "higher",
        (0.0, 1.0),
        None,
        {"ceiling:real": 0.903, "floor:noise": 0.004, "floor:shuffle": 0.021, "floor:mean": 0.0},
        (0.771, 0.79),
        0.03,
        "share of decoded draws of a fitted 10-component mixture that the judge accepts",
    ),
    "hole": (
        "share",
        "lower",
        (0.0, 1.0),
        None,
        {"null:prior": 0.01},
        (0.74, 0.152),
        0.03,
        "share of the prior's mass far from every code",
    ),
    "kl": ("nats", "none", (0.0, None), None, {}, (None, 17.9), 0.4, "KL(q(z|x) || N(0, I)), summed over dimensions"),
    "kl.mean_part": ("nats", "none", (0.0, None), None, {}, (None, 4.1), 0.2, "the half of the KL that the means pay"),
    "kl.variance_part": (
        "nats",
        "none",
        (0.0, None),
        None,
        {},
        (None, 13.8),
        0.3,
        "the half of the KL that the variances pay",
    ),
    "active_units": ("dimensions", "higher", (0.0, None), None, {}, (8.0, 7.5), 0.4, "latent dimensions in use"),
    "punctual_index": (
        "ratio",
        "none",
        (0.0, None),
        None,
        {},
        (0.0, 0.101),
        0.005,
        "median over active dimensions of E[s] / sd(mu); 0 = a point",
    ),
    "variance_law": (
        "variance",
        "target",
        (0.0, None),
        1.0,
        {},
        (14.2, 1.09),
        0.05,
        "mean over active dimensions of E[s^2] + Var(mu)",
    ),
    "probe.linear": (
        "accuracy",
        "higher",
        (0.0, 1.0),
        None,
        {"floor:majority": 0.103},
        (0.921, 0.925),
        0.008,
        "accuracy of a linear classifier on the codes",
    ),
    "trustworthiness": (
        "share",
        "higher",
        (0.0, 1.0),
        None,
        {},
        (0.951, 0.957),
        0.004,
        "neighbours in the latent space that are neighbours in the data",
    ),
}
KINDS = ("encode", "decode", "sample", "train_step")


@dataclass(frozen=True)
class Synthetic:
    """What to make. ``shape`` is (channels, height, width)."""

    models: Sequence[str] = ("ae", "vae")
    seeds: int = 6
    shape: tuple[int, int, int] = (1, 8, 8)
    classes: Sequence[str] = tuple("0123456789")
    points: int = 360
    latent_dim: int = 8
    judge: bool = True
    labels: bool = True
    without: frozenset[str] = frozenset()
    extra: Sequence[Record] = field(default=())
    dataset: str = "digits"
    shift: float = 0.0
    study: str = ""


def build(folder: Path, spec: Synthetic | None = None) -> Path:
    """Write a run folder (records.jsonl and artifacts) and return it."""
    spec = spec or Synthetic()
    files = RunFiles(folder)
    files.make()
    rows = [_run(spec), *_values(spec), *_curves(spec), *_timings(spec), *_artifacts(spec, folder), *spec.extra]
    base = {"dataset": spec.dataset, "dataset_hash": "d1" * 32, "run": folder.name, "environment": "e5a1"}
    files.write_records([replace(r, **base) for r in rows])
    return folder


def is_vae(model: str) -> bool:
    return "vae" in model


def _rng(*words: object) -> np.random.Generator:
    return np.random.default_rng([ord(c) for c in "/".join(map(str, words))])


def glyphs(labels: np.ndarray, shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Jittered bitmap digits, uint8 (n, h, w) or (n, h, w, 3)."""
    c, h, w = shape
    out = np.zeros((len(labels), h, w))
    s = max(1, min((h - 1) // 7, (w - 1) // 5))
    for image, label in zip(out, labels, strict=True):
        bits = np.array([int(b) for b in FONT[int(label) % 10]], float).reshape(7, 5).repeat(s, 0).repeat(s, 1)
        top, left = rng.integers(0, h - 7 * s + 1), rng.integers(0, w - 5 * s + 1)
        image[top : top + 7 * s, left : left + 5 * s] = bits * rng.uniform(0.7, 1.0)
    out = blur(out, 0.12 if s == 1 else 0.25)
    if c == 1:
        return (out * 255).astype(np.uint8)
    tint = rng.uniform(0.3, 1.0, (len(labels), 1, 1, 3))
    noise = rng.uniform(0, 0.1, (len(labels), h, w, 3))
    return (np.clip(out[..., None] * tint + noise, 0, 1) * 255).astype(np.uint8)


def blur(x: np.ndarray, share: float) -> np.ndarray:
    """Mix each pixel with its four neighbours; axes 1 and 2 are rows and columns."""
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1)] + [(0, 0)] * (x.ndim - 3))
    around = padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1] + padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2]
    return (1 - share) * x + share * around / 4


def _run(spec: Synthetic) -> Record:
    c, h, w = spec.shape
    environment = {
        "python": "3.11.9", "platform": "Linux-6.1-x86_64", "cpu": "Example CPU @ 2.4 GHz", "cores": 2, "gpu": None,
        "torch": "2.13.0+cpu", "numpy": "2.4.1", "scikit-learn": "1.9.0", "umap-learn": "0.5.12", "bokeh": "3.9.2",
    }  # fmt: skip
    detail = {
        "config": {
            "models": list(spec.models), "dataset": spec.dataset, "latent_dim": spec.latent_dim, "depth": 2, "width": 256,
            "seeds": list(range(spec.seeds)), "epochs": 150, "patience": 20, "batch_size": 64, "lr": 0.001, "split_seed": 0,
        },
        "environment": environment,
        "command": f"latentbench run --models {','.join(spec.models)} --dataset {spec.dataset}",
        "started": "2026-01-05T10:20:30+00:00", "git": "0123abc", "seconds": 71.3,
        "dataset": {
            "name": spec.dataset, "sha256": "d1" * 32, "shape": [c, h, w], "classes": list(spec.classes),
            "sizes": {"train": 1078, "val": 359, "test": 360},
        },
        "models": {
            m: {
                "params": {"depth": 2, "width": 256, **({"beta": 1.0, "likelihood": "gaussian"} if is_vae(m) else {"noise": 0.0})},
                "parameters": 168_992 if is_vae(m) else 166_936,
                "decoder_variance": 0.0143 if is_vae(m) else None,
            }
            for m in spec.models
        },
        "definitions": {
            name: {
                "summary": row[7], "source": "latentbench", "unit": row[0], "better": row[1], "target": row[3],
                "bounds": list(row[2]), "params": {},
            }
            for name, row in METRICS.items()
        },
        "version": "0.1.0",
    }  # fmt: skip
    if spec.study:
        detail["study"] = {"name": spec.study}
    return Record(kind="run", detail=detail)


def _values(spec: Synthetic) -> Iterator[Record]:
    d = spec.latent_dim
    for name, (unit, better, bounds, target, refs, means, spread, _) in METRICS.items():
        base = Record(metric=name, unit=unit, better=better, bounds=bounds, target=target, split="test", latent_dim=d)  # type: ignore[arg-type]
        judged = name.startswith(("validity.", "path.validity"))
        for model in spec.models:
            for seed in range(spec.seeds):
                row = replace(base, model=model, seed=seed)
                mean = means[is_vae(model)]
                if mean is None:
                    yield replace(
                        row, status="skipped", reason="needs a posterior with a variance; an autoencoder has none"
                    )
                elif judged and not spec.judge:
                    yield replace(row, status="skipped", reason="the judge passed 9 % of noise: self-check failed")
                elif name == "probe.linear" and model == spec.models[-1] and seed == spec.seeds - 1 and spec.seeds > 1:
                    yield replace(row, status="failed", reason="diverged: loss was NaN in epoch 3")
                else:
                    value = mean + spec.shift * spread + spread * float(_rng(name, model, seed).normal())
                    low, high = (b if b is not None else s * math.inf for b, s in zip(bounds, (-1, 1), strict=True))
                    yield replace(row, value=min(max(value, low), high))
        for model, value in refs.items():
            if spec.judge or not judged:
                yield replace(base, model=model, role=model.partition(":")[0], value=value, latent_dim=None)  # type: ignore[arg-type]
    if spec.judge:
        for name, value, detail in (
            ("accuracy", 0.969, {"lower": 0.95, "largest class": 0.1, "images": 360}),
            ("pass.real", 0.903, {"images": 360}),
            ("pass.noise", 0.004, {"shown": True, "floor": True, "images": 360}),
            ("pass.shuffle", 0.021, {"shown": True, "floor": True, "images": 360}),
            ("pass.mean", 0.0, {"shown": False, "floor": True, "images": 21}),
            ("pass.halves", 0.086, {"shown": True, "floor": False, "images": 360}),
            ("pass.sides", 0.22, {"shown": False, "floor": False, "images": 360}),
            ("junk_shown", 0.086, {"noise": 0.004, "shuffle": 0.021, "halves": 0.086}),
            ("junk_unseen", 0.22, {"mean": 0.0, "sides": 0.22}),
        ):
            for who in ("judge", "judge:second"):
                row = Record(model=who, role="judge", metric=f"judge.{name}", split="test", unit="share", value=value)
                yield replace(row, detail=detail)
    for model in spec.models:
        for part, value in (("parameters", 168_992.0), ("flops.encode", 1.65e5), ("flops.decode", 1.66e5)):
            yield Record(
                model=model, metric=f"cost.{part}", value=value, unit="FLOP" if "flops" in part else "parameters"
            )
        for seed in range(spec.seeds):
            rng = _rng("train", model, seed)
            yield Record(
                model=model, seed=seed, metric="train.epochs", value=float(rng.integers(90, 150)), unit="epochs"
            )
            yield Record(model=model, seed=seed, metric="train.seconds", value=float(rng.uniform(2, 3)), unit="s")
            if is_vae(model):
                yield Record(model=model, seed=seed, metric="decoder_variance", value=0.0143, unit="squared intensity")


def _curves(spec: Synthetic) -> Iterator[Record]:
    for model in spec.models:
        for seed in range(spec.seeds):
            rng = _rng("curve", model, seed)
            t = np.arange(int(rng.integers(90, 150)))
            low, high = (-60.0, 90.0) if is_vae(model) else (0.8, 4.5)
            train = low + (high - low) * np.exp(-t / 12) + rng.normal(0, (high - low) * 0.004, len(t))
            curves = {"loss.train": train, "loss.val": train + (high - low) * 0.02 * (1 + t / 80)}
            if is_vae(model):
                curves["loss.train.kl"] = 18 * (1 - np.exp(-t / 10))
            for metric, samples in curves.items():
                yield Record(kind="curve", model=model, seed=seed, metric=metric, samples=tuple(map(float, samples)))


def _timings(spec: Synthetic) -> Iterator[Record]:
    for model in spec.models:
        for kind in KINDS:
            for batch in (1, 64, 512):
                rng = _rng("time", model, kind, batch)
                rate = {"encode": 9e5, "decode": 8e5, "sample": 7e5, "train_step": 5e4}[kind] * batch / (batch + 40)
                spread = 0.35 if (kind, batch) == ("train_step", 1) else 0.04
                samples = rate * np.exp(rng.normal(0, spread / 1.35, 21))
                detail = {
                    "latency_ms": 1e3 * batch / rate, "spread": spread, "rankable": spread < 0.2, "threads": 1, "load": 0.4,
                    "peak_memory_bytes": 3.1e8, "flops": 1.66e5 * batch, "peak_share": 0.31 * batch / (batch + 40),
                    "blocks": 21, "inner": 40,
                }  # fmt: skip
                yield Record(
                    model=model, metric=f"throughput.{kind}", unit="samples/s", better="higher", detail=detail,
                    metric_params={"batch": batch, "device": "cpu"}, value=float(np.median(samples)),
                    samples=tuple(map(float, samples)),
                )  # fmt: skip
    yield Record(
        metric="throughput.matmul_peak", unit="FLOP/s", better="higher", value=4.6e10, metric_params={"device": "cpu"}
    )


def _artifacts(spec: Synthetic, folder: Path) -> Iterator[Record]:
    rng = _rng("artifacts", spec.shape)
    k = max(1, len(spec.classes))
    label = rng.integers(0, k, spec.points)
    thumbs = glyphs(label, spec.shape, rng)
    data = {"thumbs": thumbs, "index": np.arange(spec.points)}
    if spec.labels:
        data["label"] = label
    yield from _save(spec, folder, "data", "", data, {"classes": list(spec.classes) if spec.labels else []})
    for model in spec.models:
        for role, make in (
            ("map", _map),
            ("points", _points),
            ("strips", _strips),
            ("samples", _samples),
            ("posterior", _posterior),
            ("atlas", _atlas),
            ("explorer", _explorer),
        ):
            arrays, detail = make(spec, model, label)
            yield from _save(spec, folder, role, model, arrays, detail)
        some = slice(0, 12)
        x_hat = (blur(blur(thumbs[some].astype(float), 0.4), 0.3)).astype(np.uint8)
        arrays = {"x": thumbs[some], "x_hat": x_hat, "label": label[some]}
        arrays["error"] = ((thumbs[some] - x_hat.astype(float)) ** 2).reshape(12, -1).mean(1) / 255**2
        yield from _save(spec, folder, "reconstructions", model, arrays, {})


def _save(
    spec: Synthetic,
    folder: Path,
    role: artifact_schema.ArtifactRole,
    model: str,
    arrays: dict[str, Any],
    detail: dict[str, Any],
) -> Iterator[Record]:
    if role in spec.without:
        return
    artifact_schema.check(role, arrays)
    detail = {"schema": artifact_schema.SCHEMA, **detail}
    place = folder / ARTIFACTS / f"{role}-{records.digest(model, 6)}.npz"
    np.savez_compressed(place, **arrays)
    yield Record(
        kind="artifact", model=model, seed=0, split="test", metric=role, path=str(place.relative_to(folder)),
        sha256=records.file_digest(place), detail=detail,
    )  # fmt: skip


def _map(spec: Synthetic, model: str, label: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = _rng("map", model)
    k = max(1, len(spec.classes))
    turn = 2 * np.pi * rng.permutation(k) / k
    centres = np.stack([np.cos(turn), np.sin(turn)], 1) * (5 if is_vae(model) else 7) + rng.normal(0, 1.2, (k, 2))
    xy = centres[label] + rng.normal(0, 0.9 if is_vae(model) else 0.6, (len(label), 2))
    return {"xy": xy.astype(np.float32)}, {"trustworthiness": 0.962, "k": 10, "neighbours": 15, "n": len(label)}


def _strips(spec: Synthetic, model: str, _: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = _rng("strips", spec.shape)
    p, t = 4, 16
    ends = rng.integers(0, max(1, len(spec.classes)), (p, 2))
    a, b = (glyphs(ends[:, i], spec.shape, rng).astype(float) for i in (0, 1))
    share = np.linspace(0, 1, t).reshape(1, t, *[1] * (a.ndim - 1))
    fade = (1 - share) * a[:, None] + share * b[:, None]
    swing = 1 / (1 + np.exp(-(share - 0.5) * (9 if is_vae(model) else 22)))
    frames = (1 - swing) * a[:, None] + swing * b[:, None]
    steps = np.abs(np.diff(frames, axis=1)).reshape(p, t - 1, -1).sum(-1) + 1e-9
    arrays: dict[str, Any] = {
        "frames": frames.astype(np.uint8), "fade": fade.astype(np.uint8), "label": ends,
        "steps": steps / steps.sum(1, keepdims=True), "fade_steps": np.full((p, t - 1), 1 / (t - 1)),
    }  # fmt: skip
    if spec.judge:
        sure = np.abs(swing.reshape(1, t) - 0.5) * 2 + rng.uniform(0, 0.2, (p, t))
        fade_sure = np.abs(share.reshape(1, t) - 0.5) * 2 + rng.uniform(0, 0.1, (p, t))
        for name, level in (("frame", sure), ("fade", fade_sure)):
            arrays[f"{name}_valid"] = level > 0.6
            arrays[f"{name}_label"] = np.where(np.arange(t)[None] < t // 2, ends[:, :1], ends[:, 1:])
            arrays[f"{name}_confidence"] = np.clip(level, 0, 1)
    return arrays, {}


def _samples(spec: Synthetic, model: str, _: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays: dict[str, Any] = {}
    for name, share in (
        ("normal", 0.45 if is_vae(model) else 0.12),
        ("gaussian", 0.46 if is_vae(model) else 0.31),
        ("mixture", 0.78),
    ):
        rng = _rng("samples", model, name)
        k = 24
        label = rng.integers(0, max(1, len(spec.classes)), k)
        valid = rng.uniform(size=k) < share
        good = glyphs(label, spec.shape, rng).astype(float)
        other = glyphs(rng.integers(0, 10, k), spec.shape, rng).astype(float)
        bad = np.clip(0.5 * good + 0.5 * other[::-1] + rng.normal(0, 25, good.shape), 0, 255)
        pick = valid.reshape(-1, *[1] * (good.ndim - 1))
        arrays[f"{name}_images"] = np.where(pick, good, bad).astype(np.uint8)
        if spec.judge:
            arrays[f"{name}_valid"], arrays[f"{name}_label"] = valid, label
            arrays[f"{name}_confidence"] = np.where(valid, rng.uniform(0.9, 1, k), rng.uniform(0.1, 0.8, k))
            arrays[f"{name}_distance"] = rng.uniform(1, 4, k)
    return arrays, {}


def _posterior(spec: Synthetic, model: str, _: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = _rng("posterior", model)
    d, m = spec.latent_dim, 120
    scale = np.linspace(0.99, 0.9, d) if is_vae(model) else np.linspace(4.6, 2.9, d)
    centre = rng.normal(0, 0.05 if is_vae(model) else 0.8, d)
    if is_vae(model) and d > 1:
        scale[-1], centre[-1] = 0.03, 0.0
    mu = centre + scale * rng.normal(size=(m, d))
    arrays: dict[str, Any] = {"mu_mean": centre, "mu_sd": scale, "active": scale > 0.1, "mu": mu}
    if is_vae(model):
        sigma = np.sqrt(np.clip(1 - scale**2, 0.004, 1)) * 0.4 * np.exp(rng.normal(0, 0.2, (m, d))) + 0.02
        sigma[:, scale < 0.1] = 1.0 + rng.normal(0, 0.01, (m, int((scale < 0.1).sum())))
        mean = sigma.mean(0)
        kl = 0.5 * (scale**2 + centre**2 + (sigma**2).mean(0) - 1 - np.log(sigma**2).mean(0))
        arrays |= {"sigma_mean": mean, "kl": kl, "variance_law": (sigma**2).mean(0) + scale**2, "sigma": sigma}
    return arrays, {}


def _points(spec: Synthetic, model: str, label: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    rng, m = _rng("points", model), len(label)
    draws = rng.multinomial(4000, rng.dirichlet(np.full(m, 0.3)))
    share = hole_share(spec, model)
    arrays: dict[str, Any] = {
        "error": rng.gamma(4, 0.003, m).astype(np.float32), "copied": rng.uniform(size=m) < 0.02,
        "draws": draws.astype(np.int32), "in_holes": rng.binomial(draws, share).astype(np.int32),
    }  # fmt: skip
    if is_vae(model):
        arrays["kl"] = rng.normal(17.9, 2, m).astype(np.float32)
    if spec.judge:
        arrays["confidence"] = np.clip(rng.beta(8, 1, m), 0, 1).astype(np.float32)
        arrays["valid"] = arrays["confidence"] > 0.7
    if spec.latent_dim <= 2:
        arrays["draws_at"] = rng.normal(0, 1, (400, 2)).astype(np.float32)
        arrays["draws_in_holes"] = rng.uniform(size=400) < share
    return arrays, {"draws": 4000, "beyond": share}


def hole_share(spec: Synthetic, model: str) -> float:
    """The score ``hole`` of the first seed, as `_values` makes it."""
    mean, spread = METRICS["hole"][5][is_vae(model)], METRICS["hole"][6]
    assert mean is not None
    return mean + spec.shift * spread + spread * float(_rng("hole", model, 0).normal())


def _atlas(spec: Synthetic, model: str, _: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    rng, share, k = _rng("atlas", model), hole_share(spec, model), 6
    normal = statistics.NormalDist()
    levels = np.array([normal.inv_cdf((i + 0.5) / 4000) for i in range(4000)])
    # Exactly this share of the draws lies beyond the radius, and 1 % of the held-out codes.
    draws = np.exp(0.2 * (levels + normal.inv_cdf(share)))
    codes = np.exp(0.2 * (levels[::11] + normal.inv_cdf(0.01)))
    arrays: dict[str, Any] = {
        "draw_depth": rng.permutation(draws).astype(np.float32), "code_depth": codes.astype(np.float32),
        "worst": glyphs(rng.integers(0, max(1, len(spec.classes)), k), spec.shape, rng),
        "worst_depth": np.sort(draws)[: -k - 1 : -1].astype(np.float32), "worst_norm": rng.uniform(3, 5, k),
    }  # fmt: skip
    if spec.judge:
        arrays |= {
            "worst_valid": rng.uniform(size=k) < 0.3,
            "worst_label": rng.integers(0, max(1, len(spec.classes)), k),
            "worst_confidence": rng.uniform(0, 1, k),
        }
    detail = {
        "share": share,
        "null": 0.019,
        "part": "outside",
        "radius": 1.9,
        "k": 5,
        "draws": 4000,
        "codes": len(codes),
    }
    return arrays, detail


def older_atlas(spec: Synthetic, model: str, label: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """What runs held of their holes before there were distances: regions."""
    rng = _rng("atlas", model)
    if is_vae(model) and len(spec.models) > 2:
        return {}, {"share": 0.018, "null": 0.019, "part": "dimension", "draws": 4000}
    k, p = 3, 6
    arrays: dict[str, Any] = {
        "mass": np.array([0.3, 0.12, 0.04]), "depth": np.array([1.9, 1.5, 1.2]), "centre": rng.normal(0, 1, (k, spec.latent_dim)),
        "pictures": np.stack([glyphs(rng.integers(0, max(1, len(spec.classes)), p), spec.shape, rng) for _ in range(k)]),
        "beside": rng.integers(0, len(label), (k, 5)),
    }  # fmt: skip
    if spec.judge:
        arrays |= {
            "valid": rng.uniform(size=(k, p)) < 0.3,
            "label": np.zeros((k, p), int),
            "valid_share": rng.uniform(0, 0.5, k),
        }
    return arrays, {"share": 0.46, "null": 0.019, "part": "outside", "draws": 4000}


def _explorer(spec: Synthetic, model: str, label: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """A decoder of random weights, 4 units wide, with codes and a fitted Gaussian."""
    rng, d, (c, h, w) = _rng("explorer", model), spec.latent_dim, spec.shape
    n, side = min(len(label), 100), 15 if d > 1 else 1
    sizes = np.array([d, 4, c * h * w])
    weight = rng.integers(-32767, 32768, int((sizes[:-1] * sizes[1:]).sum())).astype(np.int16)
    codes = rng.normal(0, 1 if is_vae(model) else 4, (n, d)).astype(np.float32)
    order = np.arange(d)
    shade = np.linspace(0, 255, 15 * side).astype(np.uint8).reshape(side, 15, 1, 1, *[1] * (c > 1))
    arrays: dict[str, Any] = {
        "index": np.arange(n), "codes": codes, "mean": codes.mean(0), "spread": codes.std(0), "order": order,
        "grid": np.tile(shade, (1, 1, h, w, *[3] * (c > 1))), "sizes": sizes, "weight": weight,
        "scale": np.full(int(sizes[1:].sum()), 2e-5, np.float32), "bias": np.zeros(int(sizes[1:].sum()), np.float32),
        "gaussian_weight": np.ones(1), "gaussian_mean": codes.mean(0)[None], "gaussian_root": np.eye(d)[None],
    }  # fmt: skip
    if is_vae(model):
        arrays |= {"kl": np.linspace(3, 1, d), "sigma": np.full(d, 0.3)}
    detail = {
        "space": "image", "shape": [c, h, w], "low": 0.0, "high": 1.0, "radius": 1.5, "of": len(label),
        "dims": order[:2].tolist(), "steps": np.linspace(-2.8, 2.8, 15).round(6).tolist(), "weights": len(weight),
        "activations": [["relu", 0.0], ["identity", 0.0]], "output": ["sigmoid", 1.0, 0.0],
    }  # fmt: skip
    return arrays, detail

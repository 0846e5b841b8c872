"""Made-up records of a run: values that lie closely about a mean, anchors, and what was skipped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from latentbench.records import Record

DIRECTION = {"hole": "lower", "path.tortuosity": "lower", "mse": "lower", "variance_law": "target"}
JITTER = np.array([-0.02, 0.01, 0.0, 0.02, -0.01, 0.0])


def rows(model, metric, values, **more):
    fields = {"dataset": "digits", "split": "test", "latent_dim": 8, "better": DIRECTION.get(metric, "higher"), **more}
    return [Record(model=model, metric=metric, seed=s, value=float(v), **fields) for s, v in enumerate(values)]


def steady(model, seeds=6, **means):
    """Records of one model whose values lie closely about ``means`` (dots in a metric's name written as ``__``)."""
    out = []
    for k, (name, mean) in enumerate(means.items()):
        out += rows(model, name.replace("__", "."), mean + np.roll(JITTER, k + len(model))[:seeds])
    return out


def anchor(name, metric, number):
    role = name.partition(":")[0]
    return Record(dataset="digits", split="test", model=name, role=role, metric=metric, value=number, latent_dim=8)


def skipped(model, metric, reason, seeds=6):
    base = Record(
        dataset="digits", split="test", latent_dim=8, model=model, metric=metric, status="skipped", reason=reason
    )
    return [replace(base, seed=s) for s in range(seeds)]


def posterior_of(model="vae", kl_mean=4.1, index=0.1, r2=0.8, **params):
    """Three seeds of one model's posterior."""
    means = {"active_units": 8.0, "r2": r2, "punctual_index": index, "kl": kl_mean + 10, "kl.mean_part": kl_mean}
    return [r for name, v in means.items() for r in rows(model, name, [v] * 3, params=params)]

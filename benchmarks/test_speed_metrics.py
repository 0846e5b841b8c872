"""Every metric of the catalog on held-out digits, each with all the work it rests on: no round uses another's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from latentbench.catalog import metrics
from latentbench.core import Undefined
from latentbench.measuring.artifacts import latent_map

METRICS = metrics()


def unshared(encoding):
    """The same encoding with nothing computed yet."""
    train = replace(encoding.train)
    return replace(encoding, train=replace(train, train=train))


@pytest.mark.parametrize("name", METRICS)
def test_metric(benchmark, encodings, name):
    metric = METRICS[name]
    encoding = encodings["vae"]
    if missing := encoding.absent(metric.needs):
        pytest.skip(missing)
    try:
        metric.compute(unshared(encoding), **metric.params)
    except Undefined as reason:
        pytest.skip(str(reason))
    benchmark.pedantic(metric.compute, setup=lambda: ((unshared(encoding),), dict(metric.params)), rounds=7)


def test_map(benchmark, encodings):
    """UMAP of a latent space, its compilation not counted."""
    benchmark.pedantic(latent_map, (encodings["vae"].mu, 0), rounds=3, warmup_rounds=1)

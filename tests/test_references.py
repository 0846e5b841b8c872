"""Measures held against scikit-learn and scipy that have no test file of their own for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import fake_encoding, reference, value
from scipy import stats
from scipy.spatial.distance import cityblock
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from latentbench.metrics.prior_holes import hole_share
from latentbench.metrics.samplers import prior_codes


@reference("hole", "hole.gaussian")
@pytest.mark.parametrize(("name", "sampler"), [("hole", "normal"), ("hole.gaussian", "gaussian")])
def test_holes_are_those_of_scikit_learns_neighbours(name, sampler):
    e = fake_encoding()
    codes, held_out = e.train.z.double().numpy(), e.z.double().numpy()
    search = NearestNeighbors(n_neighbors=5, algorithm="kd_tree").fit(codes)
    fifth = [
        search.kneighbors(points)[0][:, -1] for points in (held_out, prior_codes(e, sampler, 4000).double().numpy())
    ]
    expected = float((fifth[1] > np.quantile(fifth[0], 0.99)).mean())
    assert 0.1 < expected < 1
    assert value(name, e) == pytest.approx(expected, rel=1e-6)


@reference("hole", "hole.gaussian")
def test_the_share_of_a_hole_is_scikit_learns_far_from_the_origin():
    rng = np.random.default_rng(0)
    codes, held_out, points = (50 + rng.normal(size=(n, 4)) for n in (300, 80, 500))
    search = NearestNeighbors(n_neighbors=5).fit(codes)
    limit = np.quantile(search.kneighbors(held_out)[0][:, -1], 0.9)
    expected = (search.kneighbors(points)[0][:, -1] > limit).mean()
    found = hole_share(*map(torch.from_numpy, (points, codes, held_out)), 5, 0.9)
    assert found == pytest.approx(expected, rel=1e-6)


@reference("valid_label_entropy", "valid_label_tv")
def test_label_measures_are_scipys():
    e = fake_encoding()
    verdict = e.judge(e.decode(prior_codes(e, "normal", 2000).to(e.mu)).clamp(0, 1))
    shares = np.bincount(verdict.label[verdict.valid].numpy(), minlength=e.judge.classes) / int(verdict.valid.sum())
    assert value("valid_label_entropy", e) == pytest.approx(stats.entropy(shares, base=e.judge.classes), rel=1e-6)
    expected = cityblock(shares, e.judge.train_marginal.double().numpy()) / 2
    assert value("valid_label_tv", e) == pytest.approx(expected, rel=1e-6)


@reference("probe.linear")
def test_the_linear_probe_is_scikit_learns_pipeline():
    e = fake_encoding()
    noise = 12 * torch.randn(e.train.mu.shape, generator=torch.Generator().manual_seed(0))
    e.train.mu.add_(noise)  # so that the probe errs
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    probe.fit(e.train.mu.double().numpy(), e.train.labels.numpy())
    expected = probe.score(e.mu.double().numpy(), e.labels.numpy())
    assert 0.3 < expected < 1
    assert value("probe.linear", e) == pytest.approx(expected, rel=1e-6)

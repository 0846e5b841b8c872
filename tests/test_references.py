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

from latentbench.catalog import metrics
from latentbench.metrics.hole_directions import directions, normal_radius
from latentbench.metrics.prior_holes import hole_share, holes
from latentbench.metrics.samplers import draw, fitted, prior_codes
from latentbench.randomness import randn


@reference("hole", "hole.gaussian", "hole.outside", "hole.sparse")
@pytest.mark.parametrize(("name", "sampler"), [("hole", "normal"), ("hole.gaussian", "gaussian")])
def test_holes_are_those_of_scikit_learns_neighbours(name, sampler):
    """Both rules with a kd-tree, on the same draws; the reference's own draws are those of the package."""
    e = fake_encoding()
    codes, held_out = e.train.z.double().numpy(), e.z.double().numpy()
    mixture = e.once(fitted, sampler=sampler)
    generator, pick = e.generator("hole reference"), e.generator("hole reference component")
    own, more = (draw(mixture, randn((n, 3), generator, mixture.mean), pick).numpy() for n in (len(codes), 4000))
    draws = prior_codes(e, sampler, 4000).double().numpy()

    def fifth(of, points):
        return NearestNeighbors(n_neighbors=5, algorithm="kd_tree").fit(of).kneighbors(points)[0][:, -1]

    radii = np.quantile(fifth(codes, held_out), 0.99), np.quantile(fifth(own, more), 0.99)
    expected = [float((fifth(codes, draws) > radius).mean()) for radius in radii]
    assert 0.1 < max(expected) <= 1
    found = metrics()[name].compute(e, **metrics()[name].params)
    assert [found.detail["outside"], found.detail["sparse"]] == pytest.approx(expected, rel=1e-6)
    assert found.value == found.detail[found.detail["worst"]]
    if sampler == "normal":
        assert [value("hole.outside", e), value("hole.sparse", e)] == pytest.approx(expected, rel=1e-6)


@reference("hole.dimension")
def test_the_hole_of_a_dimension_is_scikit_learns_on_a_fine_grid():
    """Along every direction that is searched: none has a larger hole than the one that is reported, and that one has it."""
    e = fake_encoding()
    codes, held_out = e.train.z.double(), e.z.double()
    place = stats.norm.ppf((np.arange(20000) + 0.5) / 20000)[:, None]
    usual = normal_radius(len(codes), 5, 0.99)

    def share(w):
        along, others = (x @ w.numpy()[:, None] for x in (codes.numpy(), held_out.numpy()))
        search = NearestNeighbors(n_neighbors=5).fit(along)
        radius = min(usual, np.quantile(search.kneighbors(others)[0][:, -1], 0.99))
        return float((search.kneighbors(place)[0][:, -1] > radius).mean())

    every = directions(codes, e.generator("hole directions"))
    gap = e.once(holes, **{k: v for k, v in metrics()["hole"].params.items() if k != "part"}).gap
    shares = [share(every.vector(i)) for i in range(len(every.kinds))]
    assert value("hole.dimension", e) == pytest.approx(share(gap.direction), abs=2e-4)
    assert value("hole.dimension", e) >= max(shares) - 2e-4
    assert max(shares) > 0.05


@reference("hole.outside")
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

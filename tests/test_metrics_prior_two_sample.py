"""The classifier two-sample test: Bayes accuracies of normal pairs, scikit-learn's ridge and area, what it must see."""

import math

import numpy as np
import pytest
import torch
from fakes import Coordinates, known_answer, latent_encoding, normal, proofs_of, reference, two_gaussians, value
from scipy.stats import chi2, norm
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import roc_auc_score

from latentbench.catalog import metrics
from latentbench.core import Undefined
from latentbench.metrics.prior_two_sample import RIDGES, area_under_roc, kernel, ridge_scores, two_sample

PROOFS = (
    proofs_of(
        "prior.c2st",
        package="sklearn",
        coordinates=Coordinates(
            "draws", "no", "no", "draws", "N(0, I) has one scale; the halves are drawn by position"
        ),
    ),
)


@known_answer("prior.c2st")
def test_a_shift_of_one():
    metric = metrics()["prior.c2st"]
    z = [1 + normal((800, 1), f"codes {i}") for i in range(5)]
    found = [metric.compute(latent_encoding(c, c), codes=800) for c in z]
    assert np.mean([f.value for f in found]) == pytest.approx(norm.cdf(0.5), abs=0.015)  # .6915
    assert np.mean([f.detail["auc"] for f in found]) == pytest.approx(norm.cdf(1 / math.sqrt(2)), abs=0.018)  # .7602
    assert found[0].detail["tested"] == 1600


@known_answer("prior.c2st")
@pytest.mark.parametrize(("d", "scale"), [(1, 0.3), (8, 0.3), (8, 2.0), (16, 2.0), (4, 100.0)])
def test_a_scale_that_no_line_can_see(d, scale):
    # The best rule compares |z|^2 with the radius where both densities are the same.
    radius = d * math.log(scale**2) / (1 - scale**-2)
    best = 0.5 + abs(chi2.cdf(radius, d) - chi2.cdf(radius / scale**2, d)) / 2
    z = scale * normal((800, d), "codes")
    assert value("prior.c2st", latent_encoding(z, z)) == pytest.approx(best, abs=0.03)


@known_answer("prior.c2st")
@pytest.mark.parametrize("tau", [0.10, 0.25])
def test_a_hole_that_no_two_moments_can_see(tau):
    grid = np.linspace(-6, 6, 200_001)
    a = math.sqrt(1 - tau**2)
    q = (norm.pdf(grid, -a, tau) + norm.pdf(grid, a, tau)) / 2
    best = 0.5 + np.trapezoid(np.abs(q - norm.pdf(grid)), grid) / 4
    z = two_gaussians(tau, 1000, "codes")
    assert value("prior.c2st", latent_encoding(z, z)) == pytest.approx(best, abs=0.03)


@reference("prior.c2st")
def test_ridge_is_scikit_learns_and_its_choice_is_leave_one_out():
    x, new = normal((24, 3), "x"), normal((9, 3), "new")
    y = torch.where(x[:, 0] + 0.5 * normal((24,), "noise") > 0, 1.0, -1.0).double()
    gram = kernel(x, x).numpy()

    def left_out(ridge):
        error = 0.0
        for i in range(24):
            rest = np.delete(np.arange(24), i)
            model = KernelRidge(alpha=ridge, kernel="precomputed").fit(gram[np.ix_(rest, rest)], y.numpy()[rest])
            error += float(model.predict(gram[i : i + 1, rest])[0] - y[i]) ** 2
        return error

    best = KernelRidge(alpha=min(RIDGES, key=left_out), kernel="precomputed").fit(gram, y.numpy())
    np.testing.assert_allclose(ridge_scores(x, y, new), best.predict(kernel(new, x).numpy()), rtol=1e-5)


@reference("prior.c2st")
def test_area_is_scikit_learns_with_ties_too():
    a, b = (normal((40,), "a") * 2).round() + 1, (normal((30,), "b") * 2).round()
    theirs = roc_auc_score([1] * 40 + [0] * 30, torch.cat([a, b]))
    assert area_under_roc(a, b) == pytest.approx(theirs, rel=1e-10)


def test_sorted_codes_are_shuffled_first():
    z = normal((600, 2), "codes")
    ordered = z[z[:, 0].argsort()]
    assert value("prior.c2st", latent_encoding(ordered, ordered)) == pytest.approx(0.5, abs=0.07)


def test_chance_for_equal_and_certainty_for_far():
    far = two_sample(normal((50, 2), "a"), normal((50, 2), "b") + 50)
    assert (far.accuracy, far.auc) == (1, 1)
    with pytest.raises(Undefined, match="four points"):
        two_sample(normal((3, 2), "a"), normal((3, 2), "b"))

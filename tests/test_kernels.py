"""Kernel means: scikit-learn's figures, and a U-statistic whose average is the distance itself."""

import pytest
from fakes import normal
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from latentbench.geometry import neighbours
from latentbench.geometry.kernels import between, cubic, gaussian, mmd2, within


@pytest.mark.parametrize("block", [10**6, 500, 7])
def test_means_are_those_of_scikit_learns_kernels(monkeypatch, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    x, y = normal((60, 5), "x"), 2 * normal((41, 5), "y") + 1
    for ours, theirs in ((gaussian(3.0), lambda a, b: rbf_kernel(a, b, gamma=1 / 6)), (cubic, polynomial_kernel)):
        k = theirs(x.numpy(), x.numpy())
        assert between(x, y, ours) == pytest.approx(theirs(x.numpy(), y.numpy()).mean(), rel=1e-10)
        assert within(x, ours) == pytest.approx((k.sum() - k.trace()) / (60 * 59), rel=1e-10)


@pytest.mark.parametrize("kernel", [gaussian(2.0), cubic])
def test_the_average_over_every_possible_sample_is_the_distance_itself(kernel):
    # P and Q are uniform on a few atoms: all samples of two from each can be gone through.
    p, q = normal((4, 2), "atoms of P"), normal((3, 2), "atoms of Q") + 0.5
    truth = float(kernel(p, p).mean() - 2 * kernel(p, q).mean() + kernel(q, q).mean())
    pairs = [(p[[i, j]], q[[k, m]]) for i in range(4) for j in range(4) for k in range(3) for m in range(3)]
    assert sum(mmd2(x, y, kernel) for x, y in pairs) / len(pairs) == pytest.approx(truth, rel=1e-10)
    assert truth > 0


def test_far_points_and_large_offsets_lose_nothing():
    x = normal((50, 3), "x")
    assert within(x + 1e4, gaussian(3.0)) == pytest.approx(within(x, gaussian(3.0)), rel=1e-6)
    assert between(x, x + 1e6, gaussian(3.0)) == 0


def test_one_point_makes_no_pair():
    with pytest.raises(ValueError, match="two points of each sample, there are 1 and 3"):
        mmd2(normal((1, 2), "x"), normal((3, 2), "y"), cubic)

"""Wide latents, above 256 dimensions: what is computed in another way there is what it would be, and nothing of d x d is
decomposed or held."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import CentroidJudge, encode, latent_encoding, normal, normal_log_prob, value
from torch.utils._python_dispatch import TorchDispatchMode

from latentbench.catalog import metrics
from latentbench.core import Likelihood, Posterior, Undefined
from latentbench.geometry.principal import leading
from latentbench.measuring import artifacts, scoring
from latentbench.measuring.cost_of_a_call import peak_memory
from latentbench.metrics import geodesic, hole_directions, jacobian, likelihood
from latentbench.metrics.mixtures import draw, fit_gaussian, fit_mixture
from latentbench.metrics.prior_match import directions
from latentbench.metrics.second_stage import POINTS
from latentbench.randomness import seeded
from latentbench.records import Record

D = 1024


def wide(n=150, held_out=60, d=D, kept=6, rest=0.02, bend=torch.tanh):
    """An encoding of images of 16 pixels whose codes lie about a plane of ``kept`` dimensions in ``d``, posteriors of one
    width, with a decoder that bends and a judge."""
    turn = torch.linalg.qr(normal((d, kept), "turn")).Q.float()
    mixing = normal((kept, 16), "mixing").float() / kept**0.5

    def decode(z):
        return (0.5 + 0.3 * bend(z @ turn @ mixing)).view(-1, 1, 4, 4)

    def split(name, n, train=None, judge=None):
        mu = normal((n, kept), name).float() @ turn.T + rest * normal((n, d), f"{name}, the rest").float()
        x, y = decode(mu), torch.arange(n) % 4
        judge = judge or CentroidJudge(x, y)
        found = encode(name, x, Posterior(mu, torch.full_like(mu, -2.0)), decode, y, train, judge)
        return replace(found, likelihood=Likelihood("gaussian", lambda x, z: normal_log_prob(x, decode(z), 0.1)))

    train = split("train", n)
    return split("test", held_out, replace(train, train=train), train.judge)


class Decomposed(TorchDispatchMode):
    """The largest matrix that a decomposition was asked of: the smaller of its sides."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(
            word in str(func) for word in ("linalg_e", "linalg_qr", "linalg_svd", "linalg_solve", "cholesky", "svd")
        ):
            self.largest = max(self.largest, min(args[0].shape[-2:]))
        return func(*args, **(kwargs or {}))


def held(call):
    """What ``call`` gives, the bytes that torch and Python held at its peak, and the largest matrix it decomposed."""
    answer = []
    with Decomposed() as decomposed:
        tracemalloc.start()
        by_torch = peak_memory(lambda: answer.append(call()), torch.device("cpu"))
        by_numpy = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return answer[0], by_torch + by_numpy, decomposed.largest


def check_bounds(e, chosen):
    """Every one of the ``chosen`` metrics ends, or says why not, in some dozen copies of the 2,000 draws and of d x d, all
    float64; a (14 d)^2 system is 1.6 GB, ten roots of d x d gathered for the draws are 16. Paths bend in 33 directions at
    14 points; nothing larger is decomposed, but by the measures of the spectrum, whose Gram matrix of at most `POINTS` is asked
    for its eigenvalues."""
    for metric in chosen:
        rows, memory, side = held(lambda m=metric: scoring.score(e, [m], Record()))
        assert all(r.status == "ok" or (r.status == "skipped" and r.reason) for r in rows), (metric.name, rows)
        assert memory < 12 * 8 * (2000 * D + D * D), (metric.name, memory)
        assert side <= (POINTS if metric.name == "latent.viv" else 14 * 33), (metric.name, side)


HANG_ON_SIZE = {
    "geodesic.ratio": {"pairs": 3, "steps": 1},
    "jacobian.lipschitz": {"codes": 20},
    "validity.normal": {},
    "validity.gaussian": {},
    "validity.mixture": {},
    "prior.sliced_w2": {},
    "elbo": {},
    "hole": {"draws": 400},
    "hole.gaussian": {"draws": 400},
}
"""Measures whose way to a number is another one for a wide latent, with less of what they do again and again."""


def test_a_measure_of_a_wide_latent_ends_within_bounds_of_memory():
    every = metrics()
    check_bounds(wide(), [replace(every[n], params={**every[n].params, **less}) for n, less in HANG_ON_SIZE.items()])


@pytest.mark.slow
def test_every_measure_and_picture_of_a_wide_latent_ends_within_bounds_of_memory():
    e = wide()
    check_bounds(e, [m for m in metrics().values() if not m.name.startswith("hole")])
    for metric in (m for m in metrics().values() if m.name.startswith("hole")):  # 4,000 draws, some of them twice
        assert held(lambda m=metric: scoring.score(e, [m], Record()))[1] < 12 * 8 * (4000 * D + D * D)
    for role, make in artifacts.ROLES.items():
        if role not in ("plane", "columns"):  # of two dimensions, and of vectors
            make(e)
    checks = [r for r in scoring.references(e, metrics().values(), Record()) if r.role == "check"]
    assert [(r.metric, r.detail) for r in checks if r.value != 1 and r.metric.startswith(("hole", "prior"))] == []


def test_the_gaussian_of_fewer_codes_than_dimensions_is_exact():
    """The root gives back the covariance of the codes, to the last digit but one, and draws stay in their span."""
    codes = normal((40, 300), "codes") * 3 + 1
    gaussian = fit_gaussian(codes)
    root = gaussian.root[0]
    torch.testing.assert_close(root @ root.T, torch.cov(codes.T, correction=0), rtol=1e-10, atol=1e-10)
    drawn = draw(gaussian, normal((20, gaussian.sources), "noise"), seeded(0, "one"))
    span = torch.linalg.qr((codes - codes.mean(0)).T).Q
    away = drawn - codes.mean(0)
    assert (away - away @ span @ span.T).norm() < 1e-9 * away.norm()
    assert fit_gaussian(torch.zeros(5, 300).double()).root.abs().max() == 0


def test_a_mixture_of_diagonal_gaussians_is_found_again():
    """Two heaps with their own widths in each of 300 dimensions, in equal parts."""
    width = torch.stack([torch.linspace(0.5, 1.5, 300), torch.linspace(1.5, 0.5, 300)]).double()
    codes = torch.cat([normal((2000, 300), "left") * width[0] - 3, normal((2000, 300), "right") * width[1] + 3])
    mixture = fit_mixture(codes, 2, seeded(0, "fit"))
    assert mixture.root.shape == (2, 300)
    torch.testing.assert_close(mixture.weight, torch.full((2,), 0.5).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(mixture.root, width, rtol=0.08, atol=0)
    drawn = draw(mixture, normal((4000, 300), "noise"), seeded(0, "which"))
    torch.testing.assert_close(drawn.std(0), codes.std(0), rtol=0.08, atol=0)


def test_a_diagonal_root_draws_what_the_full_one_does():
    mixture = fit_mixture(normal((300, 300), "codes") + 5 * (torch.arange(300) % 2)[:, None], 2, seeded(0, "fit"))
    full = mixture._replace(root=torch.diag_embed(mixture.root))
    noise = normal((50, 300), "noise")
    one, other = (draw(m, noise, seeded(0, "which")) for m in (mixture, full))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("n", "d"), [(50, 300), (300, 50), (200, 200)])
def test_leading_axes_are_those_of_the_whole_covariance(n, d):
    points = normal((n, d), "points") * torch.linspace(3, 0.1, d).double() + 7
    found = leading(points, 5)
    largest, vector = torch.linalg.eigh(torch.cov(points.T, correction=0))
    torch.testing.assert_close(found.sd.square(), largest.flip(0)[:5], rtol=1e-9, atol=0)
    assert ((found.direction.T @ vector.flip(1)[:, :5]).diagonal().abs() - 1).abs().max() < 1e-9
    assert found.share == pytest.approx(float(largest.flip(0)[:5].sum() / largest.sum()))


def test_leading_axes_of_many_points_in_many_dimensions_and_of_one_point():
    """Neither Gram matrix is small: randomised iteration finds the plane that the points lie in, up to a little noise."""
    turn = torch.linalg.qr(normal((2200, 3), "turn")).Q
    points = normal((2100, 3), "plane") * torch.tensor([3.0, 2.0, 1.0]).double() @ turn.T + 1e-3 * normal(
        (2100, 2200), "rest"
    )
    found = leading(points, 3)
    assert (turn.T @ found.direction).square().sum(0).sub(1).abs().max() < 1e-4
    assert found.sd.tolist() == pytest.approx([3, 2, 1], rel=0.05)
    alone = leading(torch.ones(10, 400), 3)
    assert (alone.direction.shape, alone.share) == ((400, 0), 0.0)


@pytest.mark.parametrize("d", [65, 300])
def test_a_linear_decoder_of_a_wide_latent_has_straight_geodesics(d):
    assert value("geodesic.ratio", wide(d=d, bend=lambda v: v)) == pytest.approx(1, rel=1e-5)


def test_in_the_span_of_few_directions_a_path_is_as_short_as_in_all(monkeypatch):
    """The decoder bends within six dimensions, which the leading 32 hold: nothing is lost."""
    e = wide(d=80, rest=0.0)
    span = value("geodesic.ratio", e)
    assert geodesic.bending(e, torch.stack([e.mu[:2], e.mu[2:4]]).double()).shape == (2, 80, 7)
    monkeypatch.setattr(geodesic, "MANY", 80)
    assert span == pytest.approx(value("geodesic.ratio", wide(d=80, rest=0.0)), abs=2e-3)
    assert span < 0.999


def test_the_jacobian_along_leading_axes_is_the_whole_one_where_they_hold_all(monkeypatch):
    few, all_of_it = wide(d=300, rest=0.0), wide(d=300, rest=0.0)
    found = [value(n, few) for n in ("jacobian.lipschitz", "jacobian.condition")]
    assert few.once(jacobian.code_scale).shape == (300, 6)
    monkeypatch.setattr(jacobian, "WIDE", 300)
    assert found == pytest.approx([value(n, all_of_it) for n in ("jacobian.lipschitz", "jacobian.condition")], rel=1e-3)


def test_codes_that_vary_in_too_many_directions_have_no_jacobian():
    e = wide(n=1000, d=D, rest=1.0)
    with pytest.raises(Undefined, match=r"vary in too many of 1024 dimensions: the 256 principal axes"):
        value("jacobian.lipschitz", e)


def test_normal_codes_of_a_wide_latent_have_no_holes():
    e = latent_encoding(normal((600, D), "train"), normal((200, D), "test"))
    assert value("hole.outside", e) < 0.05
    assert value("hole.sparse", e) < 0.05
    far = latent_encoding(2 * normal((600, D), "train"), 2 * normal((200, D), "test"))
    assert value("hole.sparse", far) > 0.95


def test_a_gap_along_an_axis_of_a_wide_latent_is_seen():
    """One of 300 dimensions in two narrow bands, tau = .1: 74.9 % of N(0, 1) lie in holes."""
    codes = {name: normal((n, 300), name) for name, n in (("train", 1000), ("test", 300))}
    for name, z in codes.items():
        side = torch.where(torch.arange(len(z)) % 2 == 0, 1.0, -1.0).double() * 0.99**0.5
        z[:, 17] = side + 0.1 * normal((len(z),), f"{name}, bands")
    assert value("hole.dimension", latent_encoding(codes["train"], codes["test"])) == pytest.approx(0.749, abs=0.05)


def test_directions_of_a_wide_latent_spread_as_the_sampler_does():
    every = hole_directions.directions(normal((100, 300), "codes"), seeded(0, "directions"))
    codes = normal((400, 300), "more") * 2 + 1
    vectors = torch.stack([every.vector(i) for i in range(len(every.kinds))])
    assert vectors.norm(dim=1).sub(1).abs().max() < 1e-9
    known = torch.einsum("wd,de,we->w", vectors, torch.cov(codes.T, correction=0), vectors).sqrt()
    torch.testing.assert_close(every.spread(fit_gaussian(codes)), known, rtol=1e-9, atol=0)
    rows = torch.tensor([0, 5, 299, 300, 331])
    torch.testing.assert_close(every.places(codes, rows), vectors[rows] @ codes.T, rtol=1e-9, atol=1e-9)


def test_projections_of_a_wide_latent_are_orthonormal():
    along = directions(D, 128, seeded(0, "projections"))
    torch.testing.assert_close(along.T @ along, torch.eye(128).double(), rtol=0, atol=1e-12)


def test_draws_held_in_parts_are_as_good_as_all_at_once(monkeypatch):
    usual = likelihood.log_weights(wide(d=300), images=60, draws=40)
    monkeypatch.setattr(likelihood, "HELD", 3 * 60 * 300)
    parts = likelihood.log_weights(wide(d=300), images=60, draws=40)
    assert parts.shape == usual.shape == (40, 60)
    assert float(parts.mean()) == pytest.approx(float(usual.mean()), rel=0.01)


WHOLE = """
import resource, sys
import torch
torch.set_num_threads(1)
sys.path[:0] = [{benchmarks!r}]
import growth, metric_growth
import latentbench as lb
data = growth.digits(1797, 8)
model = metric_growth.Embedding(data.train.x, 4096)
found = lb.evaluate(model.encode, model.decode, x_test=data.test.x, y_test=data.test.y, x_train=data.train.x,
                    y_train=data.train.y, out={out!r})
assert not [r for r in found.records if r.status == "failed"]
assert found.report.read_text("utf-8")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_latent_of_4096_dimensions_is_measured_within_two_gibibytes(tmp_path):
    pytest.importorskip("resource")
    benchmarks = str(Path(__file__).parents[1] / "benchmarks")
    code = WHOLE.format(benchmarks=benchmarks, out=str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024) < 2 << 30

"""The hyperspherical VAE: the laws of every model; divergence, draws and gradients of its posterior against scipy and in closed
form."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch.nn import functional as F

from latentbench.catalog import find_metrics
from latentbench.datasets import digits
from latentbench.measuring import scoring
from latentbench.models.vmf import HypersphericalAutoencoder
from latentbench.models.von_mises_fisher import VonMisesFisher, kl_to_uniform, mean_cosine
from latentbench.randomness import seeded
from latentbench.records import Record
from latentbench.testing import check_model
from latentbench.training.fit import Plan, initialise
from latentbench.training.stacking import fit_all

SIZES = (2, 3, 8, 64, 200)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_laws(likelihood):
    def build(shape, latent_dim, *, space=None):
        return HypersphericalAutoencoder(shape, latent_dim, width=16, likelihood=likelihood, space=space)

    check_model(build)


def test_codes_and_draws_have_length_one():
    torch.manual_seed(0)
    model = HypersphericalAutoencoder((1, 8, 8), 5, width=16)
    posterior = model.encode(torch.rand(30, 1, 8, 8, generator=seeded(0, "x")))
    noise = torch.randn(30, 5, generator=seeded(0, "noise"))
    for points in (posterior.mu, posterior.sample(seeded(0, "draw")), model.prior(noise, seeded(0, "pick"))):
        torch.testing.assert_close(points.norm(dim=1), torch.ones(30))
    assert (posterior.kappa > 0).all()
    z = model.prior(noise, seeded(0, "pick"))
    torch.testing.assert_close(model.decode(3 * z), model.decode(z))


# --- divergence ---


def integral(f, kappa, d):
    """Of ``f(t)`` under the density of t = mu.z, by scipy's quadrature in the angle."""
    log_top = max(
        kappa * math.cos(a) + (d - 2) * math.log(max(math.sin(a), 1e-300)) for a in np.linspace(0, math.pi, 4001)
    )

    def density(a):
        return math.exp(kappa * math.cos(a) + (d - 2) * math.log(max(math.sin(a), 1e-300)) - log_top)

    def total(g):
        return integrate.quad(lambda a: g(math.cos(a)) * density(a), 0, math.pi, limit=400, points=[0.05, 0.3, 1])[0]

    whole, part = total(lambda t: 1.0), total(f)
    return part / whole, math.log(whole) + log_top


@pytest.mark.parametrize("d", SIZES)
@pytest.mark.parametrize("kappa", [0.01, 0.7, 5.0, 60.0])
def test_the_divergence_is_that_of_numerical_integration(d, kappa):
    """KL = E kappa t - ln of the mean of exp(kappa t) over the uniform sphere."""
    mean, log_whole = integral(lambda t: t, kappa, d)
    _, log_uniform = integral(lambda t: t, 0.0, d)
    found = float(kl_to_uniform(torch.tensor([kappa], dtype=torch.float64), d))
    assert found == pytest.approx(kappa * mean - log_whole + log_uniform, rel=1e-5, abs=1e-9)
    assert float(mean_cosine(torch.tensor([kappa], dtype=torch.float64), d)) == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("d", SIZES)
def test_no_concentration_costs_nothing_and_large_ones_stay_finite(d):
    kappa = torch.tensor([0.0, 1e-6, 1e-3, 1.0, 1e2, 1e4], dtype=torch.float64, requires_grad=True)
    kl = kl_to_uniform(kappa, d)
    kl.sum().backward()
    kl = kl.detach()
    assert float(kl[0]) == 0
    assert float(kappa.grad[0]) == 0
    assert float(kl[2]) == pytest.approx(1e-6 / (2 * d), rel=1e-4)  # kappa^2 / 2 d to first order
    assert bool((kl[1:] > kl[:-1]).all())
    single = kl_to_uniform(torch.tensor([0.0, 1e4]), d)
    assert bool(torch.isfinite(single).all())
    assert float(single[0]) == 0


@pytest.mark.parametrize("d", [2, 3, 16, 64])
def test_bessel_functions_are_scipys(d):
    kappa = torch.tensor([0.5, 3.0, 40.0, 700.0], dtype=torch.float64)
    v = d / 2 - 1
    low, high = (special.ive(order, kappa.numpy()) for order in (v, v + 1))
    np.testing.assert_allclose(mean_cosine(kappa, d).numpy(), high / low, rtol=1e-8)
    log_c = v * np.log(kappa.numpy()) - d / 2 * math.log(2 * math.pi) - np.log(low) - kappa.numpy()
    area = math.log(2) + d / 2 * math.log(math.pi) - special.gammaln(d / 2)
    np.testing.assert_allclose(kl_to_uniform(kappa, d).numpy(), kappa.numpy() * high / low + log_c + area, atol=1e-6)


# --- draws ---


@pytest.mark.parametrize(("d", "kappa"), [(2, 3.0), (3, 0.2), (5, 20.0), (16, 8.0), (64, 300.0)])
def test_draws_are_distributed_as_scipys(d, kappa):
    n = 4000
    mu = F.normalize(torch.randn(1, d, generator=seeded(0, "mu"), dtype=torch.float64), dim=1)
    posterior = VonMisesFisher(mu.expand(n, -1), torch.full((n,), kappa, dtype=torch.float64))
    z = posterior.sample(seeded(1, "draw"))
    theirs = stats.vonmises_fisher(mu[0].numpy(), kappa).rvs(n, random_state=np.random.default_rng(0))
    side = F.normalize(torch.eye(d, dtype=torch.float64)[0] - mu[0, 0] * mu[0], dim=0)
    for along in (mu[0], side):
        assert stats.ks_2samp((z @ along).numpy(), theirs @ along.numpy()).pvalue > 1e-3
    assert float((z @ mu[0]).mean()) == pytest.approx(float(mean_cosine(torch.tensor([kappa]), d)), abs=0.03)


@pytest.mark.parametrize(("d", "kappa"), [(2, 2.0), (3, 0.01), (8, 10.0), (64, 100.0)])
def test_gradients_of_draws_are_those_of_their_distribution(d, kappa):
    """d/dkappa E w = A'(kappa) = 1 - A^2 - (d-1) A / kappa, and of E w^2 likewise, by differences of scipy's integrals."""
    n, step = 20_000, 1e-3
    value = torch.full((n,), kappa, dtype=torch.float64, requires_grad=True)
    mu = torch.eye(d, dtype=torch.float64)[:1].expand(n, -1)
    w = VonMisesFisher(mu, value).sample(seeded(2, "draw"))[:, 0]
    for power in (1, 2):
        (each,) = torch.autograd.grad(w.pow(power).sum(), value, retain_graph=True)
        up, down = (integral(partial(pow, exp=power), kappa + s, d)[0] for s in (step, -step))
        error = float(each.std()) / math.sqrt(n)
        assert float(each.mean()) == pytest.approx((up - down) / (2 * step), abs=5 * error + 1e-7)


def test_draws_at_the_very_mean_have_gradients():
    """On a circle a draw may be the mean itself, to the last digit."""
    mu = torch.tensor([[1.0, 0.0]]).expand(20_000, -1)
    kappa = torch.full((20_000,), 1e4, requires_grad=True)
    z = VonMisesFisher(mu, kappa).sample(seeded(0, "draw"))
    z.square().sum(0)[1].backward()
    assert bool(torch.isfinite(kappa.grad).all())
    assert float((z[:, 0] == 1).float().mean()) > 0


def test_a_direction_turns_with_its_mean():
    """d/dmu E (c.z) for z about mu is A(kappa) c across mu."""
    n, d, kappa = 60_000, 4, 5.0
    mu = torch.eye(d, dtype=torch.float64)[:1].expand(n, -1).clone().requires_grad_()
    z = VonMisesFisher(F.normalize(mu, dim=1), torch.full((n,), kappa, dtype=torch.float64)).sample(seeded(0, "draw"))
    (each,) = torch.autograd.grad(z[:, 1].sum(), mu)
    expected = float(mean_cosine(torch.tensor([kappa]), d))
    assert each.mean(0).tolist() == pytest.approx([0, expected, 0, 0], abs=0.02)


# --- measured ---


def test_what_asks_for_widths_is_skipped_with_the_reason_and_the_rest_is_measured():
    data = digits.load("", "", 0)
    torch.manual_seed(0)
    model = HypersphericalAutoencoder(data.shape, 4, width=16).eval()
    e = scoring.encode(model, data, 0, torch.device("cpu"))
    wanted = (
        "active_units",
        "punctual_index",
        "kl",
        "elbo",
        "r2",
        "prior.mmd",
        "hole.outside",
        "overlap",
        "variance_law",
    )
    found = {
        r.metric: r for r in scoring.score(e, find_metrics(wanted).values(), Record(model="vmf")) if r.split == "test"
    }
    for name in ("active_units", "punctual_index", "kl", "elbo", "overlap", "variance_law"):
        assert found[name].status == "skipped", name
        assert "neither Gaussian nor a point" in found[name].reason
    for name in ("r2", "prior.mmd", "hole.outside"):
        assert found[name].status == "ok", name
    assert e.family == "von Mises-Fisher"
    torch.testing.assert_close(e.z.norm(dim=1), torch.ones(len(e.z)))


def test_one_dimension_is_refused():
    with pytest.raises(ValueError, match="latent_dim: 1 is not allowed; a sphere takes 2 dimensions or more"):
        HypersphericalAutoencoder((1, 8, 8), 1)


def test_it_learns_to_use_its_codes():
    """Where draws hardly hang on mu at the start, the decoder learns to do without them: R^2 below 0 after any time."""
    data = digits.load("", "", 0)
    model = initialise(lambda: HypersphericalAutoencoder(data.shape, 8, width=64), 0)
    fit_all([model], data.train.x, data.val.x, Plan(40, 0, 64, 2e-3, "float32"), [0], [lambda *_: None])
    with torch.no_grad():
        rest = (model.eval().decode(model.encode(data.test.x).mu) - data.test.x).square().sum()
    assert float(rest / (data.test.x - data.train.x.mean(0)).square().sum()) < 0.5

"""The coupling flow as a density and as the prior of a VAE: its inverse, its mass, two known optima."""

import math

import pytest
import torch
from fakes import normal, two_gaussians
from test_models_linear import OPTIMUM, pictures, train

from latentbench.models.coupling import CouplingFlow
from latentbench.models.vae import VariationalAutoencoder
from latentbench.randomness import seeded
from latentbench.testing import check_model


def rough(d, seed=0):
    """A flow whose couplings do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        flow = CouplingFlow(d).double()
        for parameter in flow.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return flow


def test_laws_of_a_vae_with_a_prior_of_its_own():
    check_model(lambda shape, latent_dim, **fields: VariationalAutoencoder(shape, latent_dim, prior="flow", **fields))


def test_only_a_model_with_a_prior_of_its_own_has_the_methods():
    plain, own = (VariationalAutoencoder((1, 8, 8), 3, prior=p) for p in ("normal", "flow"))
    assert not hasattr(plain, "prior")
    assert not hasattr(plain, "log_prior")
    assert own.prior(torch.randn(5, 3), seeded(0, "parts")).shape == (5, 3)
    assert own.log_prior(torch.randn(5, 3)).shape == (5,)
    assert own.gaussian_elbo is None
    assert own.traceable


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_density_is_that_of_the_draws(d):
    """The change of variables by autograd, for a single Gaussian as its base: draws' density = base density / |det|."""
    flow = rough(d)
    with torch.no_grad():
        flow.logit.copy_(torch.tensor([0.0] + [-1e9] * 9))
    noise = normal((6, d), "noise")
    z = flow.draw(noise, seeded(0, "parts")).detach()

    def point(e):
        return flow.draw(e[None], seeded(0, "parts"))[0]

    for e, at in zip(noise, z, strict=True):
        stretch = torch.linalg.slogdet(torch.autograd.functional.jacobian(point, e)).logabsdet
        base = -0.5 * float(e.square().sum()) - 0.5 * d * math.log(2 * math.pi)
        assert float(flow.log_prob(at[None]).detach()) == pytest.approx(base - float(stretch), rel=1e-6)


def test_its_mass_is_one():
    """Integrated over a grid in two dimensions."""
    flow = rough(2, seed=1)
    line = torch.linspace(-12, 12, 241, dtype=torch.float64)
    with torch.no_grad():
        mass = flow.log_prob(torch.cartesian_prod(line, line)).exp().sum() * (line[1] - line[0]) ** 2
    assert float(mass) == pytest.approx(1, abs=0.01)


@pytest.mark.known_answer
def test_two_gaussians_cost_nothing_under_a_prior_that_may_move():
    """KL(q || N(0, 1)) of the aggregate posterior half N(-a, .1^2), half N(a, .1^2) is 1.6094; of the flow fitted to it, 0."""
    z = two_gaussians(0.1, 1500, "aggregate").float()
    torch.manual_seed(0)
    flow = CouplingFlow(1)
    optimiser = torch.optim.Adam(flow.parameters(), 0.03)
    for _ in range(200):
        optimiser.zero_grad()
        loss = -flow.log_prob(z).mean()
        loss.backward()
        optimiser.step()
    a = math.sqrt(1 - 0.01)
    held_out = two_gaussians(0.1, 20_000, "held out")
    parts = torch.distributions.Normal(torch.tensor([-a, a], dtype=torch.float64), 0.1).log_prob(held_out)
    q = torch.logsumexp(parts + math.log(0.5), 1)
    plain = torch.distributions.Normal(0.0, 1.0).log_prob(held_out[:, 0])
    assert float((q - plain).mean()) == pytest.approx(1.6094, abs=0.02)
    with torch.no_grad():
        own = float((q - flow.log_prob(held_out.float())).mean())
    assert 0 <= own + 0.005 < 0.03


@pytest.mark.known_answer
def test_where_the_data_are_normal_a_learned_prior_gains_nothing():
    """A linear decoder, pictures whose exact likelihood no model exceeds: ELBO* is the bound with either prior."""
    x = pictures(1000)
    model = train("vae:prior=flow", x, 250, lr=1e-2, batch=1000)
    with torch.no_grad():
        model.eval()
        bound = -torch.stack([model.loss(x, seeded(k, "bound")).total for k in range(20)]).mean()
    assert OPTIMUM - 0.15 < float(bound) < OPTIMUM + 0.02


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kl": "mean"}, "kl: mean is not allowed with prior=flow"),
        ({"info": 0.5}, "info: 0.5 is not allowed with prior=flow"),
        ({"weight": 2.0}, "weight: 2.0 is not allowed with prior=flow"),
    ],
)
def test_what_does_not_go_with_it_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        VariationalAutoencoder((1, 8, 8), 3, prior="flow", **fields)

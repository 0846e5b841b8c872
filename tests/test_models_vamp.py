"""The VampPrior: the laws of every model, a mixture that scipy knows, and the VAE that it is with one component N(0, I)."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from latentbench.catalog import resolve_model
from latentbench.config import make_run
from latentbench.core import Posterior
from latentbench.datasets import digits
from latentbench.models.vae import VariationalAutoencoder
from latentbench.models.vamp import VampPriorAutoencoder, log_mixture
from latentbench.randomness import seeded
from latentbench.spaces.vector import Vector
from latentbench.testing import check_model


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_laws(likelihood):
    def build(shape, latent_dim, *, space=None):
        return VampPriorAutoencoder(shape, latent_dim, k=7, width=16, likelihood=likelihood, space=space)

    check_model(build)


def test_laws_of_values_without_bounds():
    def build(shape, latent_dim, *, space=None):
        return VampPriorAutoencoder(shape, latent_dim, k=7, width=16, space=space)

    check_model(build, space=Vector((6,)))


def model(k=5, d=2, shape=(1, 4, 4)):
    torch.manual_seed(3)
    return VampPriorAutoencoder(shape, d, k=k, width=16)


def test_the_density_is_that_of_scipys_mixture():
    made = model()
    z = torch.randn(40, 2, generator=seeded(0, "z"))
    with torch.no_grad():
        mu, log_var = (part.double().numpy() for part in made.components())
        found = made.log_prior(z).double().numpy()
    each = [
        multivariate_normal(m, np.diag(np.exp(v))).logpdf(z.double().numpy()) for m, v in zip(mu, log_var, strict=True)
    ]
    np.testing.assert_allclose(found, logsumexp(each, 0) - math.log(5), rtol=1e-5, atol=1e-5)
    assert len(set(found.round(3))) > 5


def test_draws_have_the_moments_of_the_mixture():
    made = model()
    with torch.no_grad():
        mu, log_var = made.components()
        drawn = made.prior(torch.randn(100_000, 2, generator=seeded(0, "noise")), seeded(0, "pick"))
    torch.testing.assert_close(drawn.mean(0), mu.mean(0), rtol=0, atol=0.02)
    second = (log_var.exp() + mu.square()).mean(0) - mu.mean(0).square()
    torch.testing.assert_close(drawn.var(0), second, rtol=0.03, atol=0)


def test_one_component_that_is_the_prior_makes_it_the_vae():
    """The same weights; the KL is estimated by a draw instead of known, so the means over many draws agree."""
    torch.manual_seed(0)
    vae = VariationalAutoencoder((1, 4, 4), 2, width=16, sigma=0.3)

    with torch.no_grad():  # posteriors that say something
        list(vae.trunk.encoder.parameters())[-2].mul_(8)

    class One(VampPriorAutoencoder):
        def components(self):
            return Posterior(torch.zeros(1, 2), torch.zeros(1, 2))

    vamp = One((1, 4, 4), 2, width=16, k=1, sigma=0.3)
    vamp.load_state_dict({**vamp.state_dict(), **vae.state_dict()})
    x = torch.rand(4, 1, 4, 4, generator=seeded(0, "x")).repeat(5000, 1, 1, 1)
    with torch.no_grad():
        known, estimated = (m.loss(x, seeded(1, "loss")) for m in (vae, vamp))
    kl = known.terms["kl.mean_part"] + known.terms["kl.variance_part"]
    assert float(estimated.terms["nll"]) == pytest.approx(float(known.terms["nll"]), rel=1e-6)
    assert float(estimated.terms["kl"]) == pytest.approx(float(kl), abs=0.03)
    assert float(kl) > 0.05
    z = torch.randn(9, 2, generator=seeded(0, "z"))
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(vamp.log_prior(z), standard)


def test_narrow_components_cancel_nothing():
    mu = torch.full((1, 3), 100.0)
    log_var = torch.full((1, 3), -20.0)
    found = log_mixture(mu + math.exp(-10), Posterior(mu, log_var))
    assert float(found) == pytest.approx(3 * (10 - 0.5 * math.log(2 * math.pi)), abs=2)


def test_pseudo_inputs_begin_about_the_training_images_and_learn():
    x = digits.load("", "", 0).train.x
    torch.manual_seed(0)
    made = VampPriorAutoencoder(x.shape[1:], 4, k=300, width=16)
    made.start(x)
    inputs = made.pseudo_inputs.detach()
    assert 0 <= float(inputs.min()) <= float(inputs.max()) <= 1
    torch.testing.assert_close(inputs.mean(0), x.mean(0), rtol=0, atol=0.12)
    dark = x.std(0) == 0
    assert float(inputs[:, dark].std(0).max()) == 0
    made.loss(x[:50], seeded(0, "loss")).total.backward()
    assert float(made.pseudo.grad.abs().max()) > 0


def test_a_spec_sets_the_number_of_pseudo_inputs():
    made = resolve_model("vamp:k=20", make_run({"latent_dim": 3, "width": 8})).build((1, 8, 8))
    assert made.pseudo_inputs.shape == (20, 1, 8, 8)
    with pytest.raises(ValueError, match="k: 0 is not allowed; a number of pseudo-inputs from 1"):
        VampPriorAutoencoder((1, 8, 8), 3, k=0)

"""The family of autoencoders: the laws of every model on every kind of data, the same weights however they are stepped, and
of each what its paper says of it, at the smallest size that shows it."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from fakes import normal, value
from torch.nn import functional as F

from latentbench import catalog
from latentbench.catalog import build_model
from latentbench.config import make_run
from latentbench.core import Posterior
from latentbench.datasets import digits
from latentbench.geometry import kernels
from latentbench.measuring import scoring
from latentbench.measuring.cost_of_a_call import flops
from latentbench.metrics.likelihood import importance_bound, importance_weights
from latentbench.models import discrepancy, slopes
from latentbench.models.aae import BLIND, discriminating
from latentbench.models.iwae import ImportanceWeightedAutoencoder
from latentbench.models.tcvae import decomposed, log_aggregate
from latentbench.models.vae import VariationalAutoencoder
from latentbench.models.variational import kl_parts
from latentbench.randomness import seeded
from latentbench.testing import check_model
from latentbench.training import steps
from latentbench.training.fit import Plan, fit, initialise
from latentbench.training.stacking import fit_stacked, stackable
from latentbench.training.steps import TracedStep, TrainStep

SPECS = [
    "vae:info=1", "iwae", "iwae:likelihood=bernoulli:k=2", "iwae:sigma=.5", "tcvae",
    "rae", "rae:penalty=gradient", "rae:penalty=spectral", "rae:penalty=none", "wae", "cae", "cae:probes=2", "aae",
]  # fmt: skip
NOT_TRACED = {"rae:penalty=spectral"}
NOT_STACKED = {"rae:penalty=spectral"}
SHAPE = (1, 6, 6)
TRAIN = torch.rand((64, *SHAPE), generator=seeded(0, "train"))
VAL = torch.rand((20, *SHAPE), generator=seeded(0, "val"))
PLAN = Plan(epochs=3, patience=0, batch_size=16, lr=1e-3)


def build(text, shape=SHAPE, seed=0, **options):
    run = make_run({"models": text, "latent_dim": 3, "width": 16, **options})
    return initialise(lambda: build_model(text, run, shape), seed)


# --- laws ---


@pytest.mark.parametrize("shape", [(1, 6, 6), (5,), (8, 2)], ids=["image", "vector", "series"])
@pytest.mark.parametrize("text", SPECS)
def test_laws(text, shape):
    if "bernoulli" in text and len(shape) < 3:
        with pytest.raises(ValueError, match="bernoulli"):
            build(text, shape)
        return
    run = make_run({"models": text, "latent_dim": 3, "width": 16})
    check_model(lambda shape, latent_dim: build_model(text, run, shape), shape, 3)
    assert (build(text, shape).encode(torch.rand(2, *shape)).log_var is None) == (
        text[:3] in ("rae", "wae", "cae", "aae")
    )


@pytest.mark.parametrize("text", ["iwae", "tcvae", "rae", "rae:penalty=gradient", "wae", "cae", "aae"])
def test_laws_of_convolutions(text):
    run = make_run({"models": f"{text}:net=conv", "latent_dim": 3, "width": 16})
    check_model(lambda shape, latent_dim: build_model(f"{text}:net=conv", run, shape), SHAPE, 3)


@pytest.mark.parametrize("text", SPECS)
def test_the_same_seed_gives_the_same_weights_plainly_traced_and_stacked(text, monkeypatch):
    def trained(worthwhile):
        monkeypatch.setattr(steps, "WORTHWHILE", worthwhile)
        model = build(text, seed=3)
        fit(model, TRAIN, VAL, PLAN, 3)
        return model.state_dict()

    plain = trained(10**9)
    monkeypatch.setattr(steps, "WORTHWHILE", 1)
    way = TrainStep(build(text).train(), seeded(0, "draws"), 1).way(TRAIN[:16])
    assert isinstance(way, TracedStep) == (text not in NOT_TRACED)
    for name, tensor in trained(1).items():
        assert torch.equal(tensor, plain[name]), name
    models = [build(text, seed=seed) for seed in (3, 4)]
    assert stackable(models, TRAIN[:2]) == (text not in NOT_STACKED)
    if text in NOT_STACKED:
        return
    fit_stacked(models, TRAIN, VAL, PLAN, (3, 4))
    for name, tensor in models[0].state_dict().items():
        assert torch.allclose(tensor, plain[name], atol=1e-4), name
    assert any(not torch.allclose(models[1].state_dict()[name], t, atol=1e-3) for name, t in plain.items())


@pytest.mark.parametrize(("text", "times"), [("cae", 8), ("rae:penalty=spectral", 1), ("rae:penalty=gradient", 8)])
def test_a_training_step_is_counted_whatever_is_derived_within_it(text, times):
    """An autoencoder's products, those of a Jacobian's norm besides, forward and backward."""

    def counted(model):
        step = TrainStep(model.train(), seeded(0, "draws"), 1)
        return flops(lambda: step(TRAIN[:16], 1e-3))

    ae = counted(build("ae"))
    assert ae <= counted(build(text)) < times * 1.5 * ae


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vae:info=2", "info: 2.0 is not allowed; a number from 0 to 1"),
        ("vae:info=-1", "info: -1.0 is not allowed; a number from 0 to 1"),
        ("vae:weight=-1", "weight: -1.0 is not allowed; a number from 0"),
        ("iwae:k=0", "k: 0 is not allowed; a number of draws from 1"),
        ("iwae:sigma=0", "sigma: 0.0 is not allowed; a number above 0"),
        ("tcvae:beta=-2", "beta: -2.0 is not allowed; a number from 0"),
        ("rae:beta=-1", "beta: -1.0 is not allowed; a number from 0"),
        ("rae:weight=-1", "weight: -1.0 is not allowed; a number from 0"),
        ("rae:penalty=l1", "'l1' is not allowed; did you mean 'l2'? (allowed: l2, gradient, spectral, none)"),
        ("wae:weight=-1", "weight: -1.0 is not allowed; a number from 0"),
        ("cae:weight=-1", "weight: -1.0 is not allowed; a number from 0"),
        ("cae:probes=-1", "probes: -1 is not allowed; a number of directions from 0"),
        ("aae:weight=-1", "weight: -1.0 is not allowed; a number from 0"),
        ("wae:wieght=1", "did you mean 'weight'"),
    ],
)
def test_impossible_fields_are_refused_in_one_line(text, words):
    with pytest.raises(ValueError) as refusal:
        build(text)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


# --- discrepancy: WAE and InfoVAE ---


def test_the_kernel_is_that_of_the_paper():
    """k(x, y) = sum_s s C / (s C + |x - y|^2), C = 2 d."""
    x, y = normal((4, 3), "x"), normal((5, 3), "y")
    expected = sum(s * 6 / (s * 6 + torch.cdist(x, y) ** 2) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))
    assert torch.allclose(kernels.inverse_multiquadratic(6.0)(x, y), expected, atol=1e-12)


def test_the_differentiable_discrepancy_is_the_measured_one():
    x, y, kernel = normal((40, 3), "x"), 1 + normal((30, 3), "y"), kernels.inverse_multiquadratic(6.0)
    ours = float(discrepancy.mmd2(x, y, kernel))
    assert ours == pytest.approx(kernels.mmd2(x, y, kernel), rel=1e-9)
    assert ours > 0.3


def test_of_equal_distributions_it_scatters_around_nothing():
    """200 pairs of batches of the prior: their mean is 0 within four standard errors, and some lie below."""
    batches = [discrepancy.mmd2_to_prior(normal((32, 4), f"batch {i}"), seeded(i, "prior")) for i in range(200)]
    values = torch.stack(batches)
    assert abs(float(values.mean())) < 4 * float(values.std()) / 200**0.5
    assert 0.3 < float((values < 0).double().mean()) < 0.8


def test_of_a_sample_with_itself_only_the_own_pairs_are_missing():
    """MMD^2 of x and x: the mean over pairs i != j twice, less twice the mean over all, which holds k(x_i, x_i) = 7."""
    x, kernel = normal((20, 3), "x"), kernels.inverse_multiquadratic(6.0)
    within = kernels.within(x, kernel)
    assert float(discrepancy.mmd2(x, x, kernel)) == pytest.approx(2 * (within - 7) / 20, rel=1e-9)


# --- trained on digits, once for all tests ---

DATA = digits.load("", "", 0)


@cache
def on_digits(text, epochs=120):
    """The model of ``text`` trained on digits, and its encoding of them."""
    model = build(text, DATA.shape, latent_dim=8, width=64)
    fit(model, DATA.train.x, DATA.val.x, Plan(epochs, 0, 64, 2e-3), 0)
    return model, scoring.encode(model, DATA, 0, torch.device("cpu"))


def measured(text, metric, **params):
    return value(metric, on_digits(text)[1], **params)


def test_a_wasserstein_autoencoder_lies_on_the_prior_and_keeps_its_reconstructions():
    """Tolstikhin et al. 2018: the prior is met, and what a VAE pays for that in error is not paid."""
    assert measured("wae", "prior.mmd") < 0.1 * measured("ae", "prior.mmd")
    assert measured("wae", "r2") > measured("vae", "r2")


def test_an_infovae_tells_more_of_its_images_than_a_vae_at_no_greater_error():
    """Zhao et al. 2019. The KL of the VAE bounds the information; without it the means say more nats of the image."""
    info, vae = on_digits("vae:info=1")[1], on_digits("vae")[1]
    assert value("kl", info) > 1.5 * value("kl", vae)
    assert value("mutual_information", info) >= value("mutual_information", vae)
    assert value("r2", info) > value("r2", vae) - 0.02
    assert value("prior.mmd", info) < 0.1 * measured("ae", "prior.mmd")


def test_a_vae_without_information_asked_for_is_the_vae():
    model, x = build("vae:beta=2").eval(), TRAIN[:8]
    total = float(model.loss(x, seeded(0, "draws")).total.detach())
    halved = build("vae:beta=4:info=.5:weight=0").eval()
    assert float(halved.loss(x, seeded(0, "draws")).total.detach()) == pytest.approx(total, rel=1e-6)
    assert "mmd" not in model.loss(x, seeded(0, "draws")).terms
    assert halved.decoder_variance == pytest.approx(2.0)
    assert build("vae:info=1").decoder_variance is None


# --- IWAE ---


class LinearGaussian(ImportanceWeightedAutoencoder):
    """p(x|z) = N(a z, s^2 I), q(z|x) = N(b x, t^2): log p(x) is that of N(0, a a^T + s^2 I)."""

    def __init__(self, k):
        super().__init__((2,), 1, depth=0, k=k, sigma=0.5)
        self.a = torch.tensor([[1.0, 0.5]])

    def encode(self, x):
        mu = 0.5 * x[:, :1]
        return Posterior(mu, torch.full_like(mu, math.log(0.4)))

    def decode(self, z):
        return z @ self.a


def test_the_bound_rises_with_the_draws_to_the_exact_likelihood():
    """Burda et al. 2016, theorem 1. Means over 64 repetitions of 50 samples; at 1,000 draws the gap is below .01 nats."""
    x = normal((50, 2), "x").float()
    a = LinearGaussian(1).a[0]
    cov = torch.outer(a, a) + 0.25 * torch.eye(2)
    exact = float(torch.distributions.MultivariateNormal(torch.zeros(2), cov).log_prob(x).mean())
    bounds = []
    with torch.no_grad():
        for k, repeats in ((1, 64), (5, 64), (50, 64), (1000, 16)):
            model, draws = LinearGaussian(k).eval(), seeded(0, f"draws {k}")
            bounds.append(-sum(float(model.loss(x, draws).total) for _ in range(repeats)) / repeats)
    assert bounds[0] < bounds[1] - 0.02
    assert bounds[1] < bounds[2] - 0.002
    assert bounds[2] < bounds[3] + 0.005
    assert bounds[3] == pytest.approx(exact, abs=0.01)


def test_its_bound_is_the_one_that_is_measured():
    model, x = build("iwae:sigma=.3:k=7").eval(), TRAIN[:9]
    with torch.no_grad():
        mu, log_var = model.encode(x)
        noise = torch.randn((7, 9, 3), generator=seeded(0, "draws"))
        weights = importance_weights(x, mu, log_var, noise, model.log_likelihood)
        total = float(model.loss(x, seeded(0, "draws")).total)
    assert total == pytest.approx(-float(importance_bound(weights).mean()), rel=1e-5)


@pytest.mark.parametrize("fields", ["", ":sigma=.4", ":likelihood=bernoulli"])
def test_one_draw_is_the_vae_in_the_mean(fields):
    """Its KL is the draw's, the VAE's the mean of that: losses and learned variances of the same draws differ by what a mean
    over 2,000 repetitions shows to be 0, and the error's part not at all."""
    ours, theirs = build(f"iwae:k=1{fields}").eval(), build(f"vae{fields}").eval()
    theirs.load_state_dict(ours.state_dict())
    x = TRAIN[:16]
    with torch.no_grad():
        one, other = ours.loss(x, seeded(0, "draws")), theirs.loss(x, seeded(0, "draws"))
        assert float(one.terms["nll"]) == pytest.approx(float(other.terms["nll"]), rel=1e-5)
        assert float(one.terms["gain"]) == pytest.approx(0, abs=1e-5)
        draws = seeded(1, "draws")
        kl = torch.stack([ours.loss(x, draws).terms["kl"] for _ in range(500)])
    exact = float(sum(kl_parts(ours.encode(x))).detach())
    assert float(kl.mean()) == pytest.approx(exact, abs=4 * float(kl.std()) / 500**0.5)


def test_one_draw_learns_the_vaes_variance():
    ours, theirs = build("iwae:k=1").train(), build("vae").train()
    theirs.load_state_dict(ours.state_dict())
    for model in (ours, theirs):
        model.loss(TRAIN[:16], seeded(0, "draws"))
    assert ours.decoder_variance == pytest.approx(theirs.decoder_variance, rel=1e-5)
    assert ours.decoder_variance < 0.98


def test_the_learned_variance_settles_where_the_bound_is_highest():
    """With all else fixed, led by its running mean, it comes to the s^2 that a search finds for the same draws."""
    model, x = build("iwae:k=5").train(), TRAIN[:32]
    for _ in range(400):
        model.loss(x, seeded(0, "draws"))
    found = model.decoder_variance
    bounds = {}
    for factor in (0.9, 0.97, 1.0, 1.03, 1.1):
        fixed = build(f"iwae:k=5:sigma={math.sqrt(found * factor)}").eval()
        state = {k: v for k, v in model.state_dict().items() if k != "variance"}
        fixed.load_state_dict(state, strict=False)
        bounds[factor] = -float(fixed.loss(x, seeded(0, "draws")).total.detach())
    assert max(bounds, key=bounds.__getitem__) == 1.0


def test_more_draws_give_a_better_likelihood_on_digits():
    """Burda et al. 2016, table 1: the order of their negative log-likelihoods."""
    nll = [measured(text, "nll.iw") for text in ("vae", "iwae:k=5")]
    assert nll[1] < nll[0] - 1


# --- TCVAE ---


def test_the_parts_of_the_kl_of_a_gaussian_are_those_of_algebra():
    """Means N(0, S) and one width t make q(z) = N(0, C), C = S + t^2 I: mutual information ln(det C / t^2d) / 2, total
    correlation ln(prod C_jj / det C) / 2, dimension-wise KL sum_j (C_jj - 1 - ln C_jj) / 2. A batch of all images."""
    cov = torch.tensor([[1.0, 0.9], [0.9, 1.5]], dtype=torch.float64)
    n, t2 = 1500, 0.3
    raw = normal((n, 2), "means")
    raw = raw - raw.mean(0)
    white = raw @ torch.linalg.inv(torch.linalg.cholesky(raw.T @ raw / n)).T
    mu = white @ torch.linalg.cholesky(cov).T
    posterior = Posterior(mu, torch.full_like(mu, math.log(t2)))
    z = posterior.sample(seeded(0, "draws"))
    parts = {name: float(part) for name, part in decomposed(z, posterior, n).items()}
    c = cov + t2 * torch.eye(2, dtype=torch.float64)
    expected = {
        "mutual_information": 0.5 * float(torch.logdet(c)) - math.log(t2),
        "total_correlation": 0.5 * float(c.diagonal().log().sum() - torch.logdet(c)),
        "dimension_wise_kl": 0.5 * float((c.diagonal() - 1 - c.diagonal().log()).sum()),
    }
    for name, of in expected.items():
        assert parts[name] == pytest.approx(of, abs=0.06), name
    assert sum(expected.values()) == pytest.approx(float(sum(kl_parts(posterior))), rel=1e-9)
    own = (z.square() - (z - mu).square() / t2 - math.log(t2)).sum(1).mean() / 2
    assert sum(parts.values()) == pytest.approx(float(own), rel=1e-9)


def test_a_stratified_batch_sees_the_aggregate_posterior_without_bias():
    """exp of the estimate, averaged over random batches that hold image 0, is q(z_0) of all images."""
    mu = normal((40, 2), "means")
    posterior = Posterior(mu, torch.full_like(mu, -1.0))
    z = mu + 0.1
    whole = log_aggregate(z, posterior, 40)[0][0].exp()
    seen = []
    for i in range(1500):
        rows = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(39, generator=seeded(i, "batch"))[:7]])
        part = Posterior(mu[rows], posterior.log_var[rows])
        seen.append(log_aggregate(z[rows], part, 40)[0][0].exp())
    seen = torch.stack(seen)
    assert float(seen.mean()) == pytest.approx(float(whole), abs=4 * float(seen.std()) / 1500**0.5)


def test_the_aggregate_is_a_mixture_whatever_is_held_at_once(monkeypatch):
    from latentbench.models import tcvae

    posterior = Posterior(normal((30, 3), "means"), 0.2 * normal((30, 3), "widths"))
    z = posterior.sample(seeded(0, "draws"))
    joint, each = log_aggregate(z, posterior, 30)
    parts = torch.distributions.Normal(posterior.mu, (0.5 * posterior.log_var).exp())
    log_q = parts.log_prob(z[:, None])
    assert torch.allclose(joint, torch.logsumexp(log_q.sum(-1), 1) - math.log(30))
    assert torch.allclose(each, torch.logsumexp(log_q, 1) - math.log(30))
    monkeypatch.setattr(tcvae, "HELD", 200)
    assert all(torch.allclose(a, b) for a, b in zip(log_aggregate(z, posterior, 30), (joint, each), strict=True))


def test_with_weight_one_it_is_the_vae():
    ours, theirs = build("tcvae:beta=1").eval(), build("vae").eval()
    theirs.load_state_dict(ours.state_dict())
    losses = [float(m.loss(TRAIN[:16], seeded(0, "draws")).total.detach()) for m in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_it_is_told_how_many_images_there_are():
    model = build("tcvae")
    fit(model, TRAIN, VAL, Plan(1, 0, 16, 1e-3), 0)
    assert model.images == len(TRAIN)


def test_the_total_correlation_falls_with_its_weight():
    """Two factors, mixed: x = (u + v, u - v) of unequal variances, decoded by a linear model whose codes a Gaussian of unequal
    weights would leave correlated. Estimated over all images in one batch."""
    raw = normal((1000, 2), "factors").float()
    x = raw @ torch.tensor([[1.0, 0.6], [0.0, 0.8]])
    x = torch.cat([x, x.square() / 3], 1)
    found = []
    for beta in (1, 30):
        model = build(f"tcvae:beta={beta}:sigma=.3", (4,), latent_dim=2, width=32)
        fit(model, x, x[:200], Plan(30, 0, 100, 5e-3), 0)
        with torch.no_grad():
            posterior = model.encode(x)
            parts = decomposed(posterior.sample(seeded(0, "draws")), posterior, len(x))
        found.append(float(parts["total_correlation"]))
    assert found[1] < 0.5 * found[0]


# --- RAE ---


def test_without_regularisers_it_is_the_autoencoder_to_the_last_bit():
    ours, theirs = build("rae:beta=0:penalty=none"), build("ae")
    for model in (ours, theirs):
        fit(model, TRAIN, VAL, PLAN, 0)
    assert all(torch.equal(t, ours.state_dict()[n]) for n, t in theirs.state_dict().items())


@pytest.mark.parametrize("penalty", ["l2", "gradient", "spectral", "none"])
def test_nothing_is_drawn_in_training(penalty):
    model, draws = build(f"rae:penalty={penalty}").train(), seeded(0, "draws")
    before = draws.get_state()
    model.loss(TRAIN[:8], draws)
    assert torch.equal(draws.get_state(), before)


def test_its_parts_are_those_of_the_paper():
    model, x = build("rae:beta=2:weight=3"), TRAIN[:8]
    loss, z = model.loss(x, seeded(0, "draws")), model.encode(x).mu
    squares = sum(float(w.detach().square().sum()) for w in model.trunk.decoder.parameters())
    error = float((model.decode(z) - x).square().sum().detach()) / 8
    assert float(loss.total.detach()) == pytest.approx(
        error + float(z.square().sum().detach()) / 8 + 3 * squares, rel=1e-5
    )


def test_the_gradient_penalty_of_a_linear_decoder_is_its_squared_norm():
    model = build("rae:penalty=gradient", depth=0)
    penalty = float(model.loss(TRAIN[:8], seeded(0, "draws")).terms["penalty"])
    assert penalty == pytest.approx(float(model.trunk.decoder[-1].weight.detach().square().sum()), rel=1e-5)


def test_spectral_norms_are_one_and_the_start_is_the_mean_all_the_same():
    model = build("rae:penalty=spectral").train()
    dark = torch.full((10, *SHAPE), 0.02)
    model.start(dark)
    assert float(model.decode(torch.zeros(1, 3)).mean().detach()) == pytest.approx(0.02, abs=0.02)
    for _ in range(30):
        model.loss(TRAIN[:8], seeded(0, "draws"))
    norms = [
        float(torch.linalg.matrix_norm(m.weight.detach(), 2))
        for m in model.eval().trunk.decoder
        if hasattr(m, "weight")
    ]
    assert len(norms) == 3
    assert norms == pytest.approx([1] * 3, abs=0.05)


def test_a_density_fitted_to_its_codes_is_far_nearer_than_the_normal():
    """Ghosh et al. 2020: what is sampled from is the fitted density. Its codes are no N(0, I), yet far nearer than AE's."""
    e = on_digits("rae")[1]
    assert value("prior.c2st", e) > 0.7
    assert measured("rae", "prior.mmd") < 0.3 * measured("ae", "prior.mmd")
    assert value("r2", e) > 0.95 * measured("ae", "r2")


# --- CAE ---


def test_the_price_of_a_linear_encoder_is_its_squared_norm():
    """|W|_F^2, exactly, and by random directions in the mean of many."""
    exact = build("cae", depth=0)
    norm = float(exact.trunk.encoder[-1].weight.detach().square().sum())
    assert float(exact.loss(TRAIN[:8], seeded(0, "draws")).terms["contraction"]) == pytest.approx(norm, rel=1e-5)
    guessed = build("cae:probes=4", depth=0)
    draws = seeded(1, "draws")
    found = torch.stack([guessed.loss(TRAIN[:32], draws).terms["contraction"] for _ in range(100)])
    assert float(found.mean()) == pytest.approx(norm, abs=4 * float(found.std()) / 10)
    assert float(found.std()) > 0


def test_the_price_is_the_jacobians_norm():
    model, x = build("cae:net=conv"), TRAIN[:3]
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: model.trunk.encode(one[None])[0]))(x)
    expected = float(jacobian.square().sum().detach()) / 3
    assert float(model.loss(x, seeded(0, "draws")).terms["contraction"]) == pytest.approx(expected, rel=1e-4)


def test_steepness_is_the_same_by_inputs_and_by_outputs():
    weight = normal((3, 4), "weight")
    x, f = normal((5, 4), "x"), lambda v: torch.tanh(v @ weight.T)
    by_outputs = slopes.steepness_by_outputs(f, x, slopes.along_axes(f(x)))
    by_inputs = slopes.steepness_by_inputs(f, x, slopes.along_axes(x))
    assert float(by_outputs) == pytest.approx(float(by_inputs), rel=1e-9)


def test_the_norm_of_the_encoders_jacobian_falls_with_the_weight():
    """Measured on held-out images by a model's own loss."""
    found = []
    for weight in (0, 0.01, 0.1):
        model, _ = on_digits(f"cae:weight={weight}", 20)
        found.append(float(model.loss(DATA.test.x, seeded(0, "draws")).terms["contraction"]))
    assert found[1] < 0.5 * found[0]
    assert found[2] < 0.5 * found[1]


def test_wide_codes_are_estimated():
    assert build("cae", latent_dim=8).probes == 0
    assert build("cae", latent_dim=9).probes == 4


# --- AAE ---


def test_at_its_optimum_on_equal_distributions_a_discriminator_reads_two_ln_two():
    assert float(discriminating(torch.zeros(9), torch.zeros(9))) == pytest.approx(BLIND) == pytest.approx(1.386294)
    net = torch.nn.Linear(2, 1).double()
    initialise(lambda: net, 0)
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)
    for i in range(300):
        adam.zero_grad()
        discriminating(net(normal((200, 2), f"prior {i}")), net(normal((200, 2), f"codes {i}"))).backward()
        adam.step()
    with torch.no_grad():
        held_out = discriminating(net(normal((20000, 2), "prior")), net(normal((20000, 2), "codes")))
    assert float(held_out) == pytest.approx(BLIND, abs=0.01)


def test_at_its_optimum_it_reads_the_jensen_shannon_divergence():
    """Of N(0, 1) and N(3, 1), D's best logit is 4.5 - 3 z, and 2 ln 2 less its loss twice the divergence, by integration."""
    grid = torch.linspace(-12, 15, 20001, dtype=torch.float64)
    p, q = (torch.distributions.Normal(m, 1.0).log_prob(grid).exp() for m in (0.0, 3.0))
    half = 0.5 * (p + q)
    divergence = sum(torch.trapezoid(0.5 * f * (f / half).log().nan_to_num(), grid) for f in (p, q))
    y = normal((200000, 1), "prior")
    found = BLIND - float(discriminating(4.5 - 3 * y, 4.5 - 3 * (3 + y)))
    assert found == pytest.approx(2 * float(divergence), abs=0.01)


def test_neither_half_reaches_the_other_players_weights():
    model, x = build("aae:weight=2").train(), TRAIN[:16]
    model.loss(x, seeded(0, "draws")).total.backward()
    z, y = model.encode(x).mu, torch.randn((16, 3), generator=seeded(0, "draws"))
    encoder = F.mse_loss(model.decode(z), x, reduction="sum") / 16 + 2 * F.softplus(-model.discriminator(z)).mean()
    own = list(model.trunk.parameters())
    for weight, expected in zip(own, torch.autograd.grad(encoder, own, retain_graph=True), strict=True):
        assert torch.allclose(weight.grad, expected, rtol=1e-4, atol=1e-7)
    judges = list(model.discriminator.parameters())
    telling = discriminating(model.discriminator(y), model.discriminator(z.detach()))
    for weight, expected in zip(judges, torch.autograd.grad(telling, judges), strict=True):
        assert torch.allclose(weight.grad, expected, rtol=1e-4, atol=1e-7)


def test_evaluation_reads_the_value_of_the_game():
    """A discriminator that tells codes from draws makes it worse, though its own loss falls."""
    model, x = build("aae:weight=2").eval(), TRAIN[:16]
    loss = model.loss(x, seeded(0, "draws"))
    expected = float(loss.terms["squared_error"]) + 2 * (BLIND - float(loss.terms["discriminator"]))
    assert float(loss.total.detach()) == pytest.approx(expected, rel=1e-6)


def test_an_adversarial_autoencoder_lies_on_the_prior():
    """Makhzani et al. 2016: a fresh classifier tells its codes from draws of N(0, I) far less well than an autoencoder's."""
    assert measured("aae", "prior.c2st") < 0.8
    assert measured("ae", "prior.c2st") > 0.95
    assert measured("aae", "prior.mmd") < 0.1 * measured("ae", "prior.mmd")
    assert measured("aae", "r2") > 0.9 * measured("ae", "r2")


def test_each_model_is_in_the_list_with_its_source():
    entries = catalog.models()
    for name in ("iwae", "tcvae", "rae", "wae", "cae", "aae"):
        assert entries[name].source
        assert entries[name].summary
    assert catalog.model_fields(VariationalAutoencoder)["info"].default == 0

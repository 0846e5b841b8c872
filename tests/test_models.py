"""Models: laws that hold for each, and the linear closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from latentbench import catalog
from latentbench.config import make_run
from latentbench.core import Loss, Posterior
from latentbench.measuring.baselines import MeanImage, PrincipalComponents
from latentbench.models.nets import Trunk
from latentbench.randomness import seeded
from latentbench.testing import ContractBroken, check_model
from latentbench.training.fit import Diverged, Plan, fit, initialise
from latentbench.training.steps import products

SPECS = ["ae", "ae:noise=1", "vae", "vae:beta=4", "vae:likelihood=bernoulli", "vae:sigma=1", "vae:kl=mean",
         "vae:kl=variance", "vae:net=conv", "ae:net=conv", "vae:depth=0"]  # fmt: skip
SHAPE = (1, 8, 8)


def build(text: str, shape=SHAPE, seed: int = 0, **options):
    run = make_run({"models": text, "latent_dim": 3, "width": 32, **options})
    return initialise(lambda: catalog.build_model(text, run, shape), seed)


@pytest.mark.parametrize("text", SPECS)
def test_laws(text):
    run = make_run({"models": text, "latent_dim": 3, "width": 32})
    check_model(lambda shape, latent_dim: catalog.build_model(text, run, shape), SHAPE, 3)
    posterior = build(text).encode(torch.rand((7, *SHAPE), generator=seeded(0, "x")))
    assert (posterior.log_var is None) == text.startswith("ae")


class Honest(torch.nn.Module):
    """A linear autoencoder, the smallest model there is."""

    def __init__(self, shape, latent_dim):
        super().__init__()
        self.latent_dim, self.shape = latent_dim, shape
        self.down = torch.nn.Linear(math.prod(shape), latent_dim)
        self.up = torch.nn.Linear(latent_dim, math.prod(shape))

    def encode(self, x):
        return Posterior(self.down(x.flatten(1)))

    def decode(self, z):
        return self.up(z).view(-1, *self.shape)

    def loss(self, x, generator):
        error = (self.decode(self.encode(x).mu) - x).square().sum() / len(x)
        return Loss(error, {"error": error.detach()})


class FlatDecoder(Honest):
    def decode(self, z):
        return self.up(z)


class BatchMean(Honest):
    def encode(self, x):
        return Posterior(self.down((x - x.mean(0)).flatten(1)))


class AmbientNoise(Honest):
    def loss(self, x, generator):
        return super().loss(x + torch.randn_like(x), generator)


class AttachedTerm(Honest):
    def loss(self, x, generator):
        total = super().loss(x, generator).total
        return Loss(total, {"error": total})


class IdlePart(Honest):
    def __init__(self, shape, latent_dim):
        super().__init__(shape, latent_dim)
        self.idle = torch.nn.Parameter(torch.zeros(1))


class HiddenWeight(Honest):
    def __init__(self, shape, latent_dim):
        super().__init__(shape, latent_dim)
        self.hidden = torch.rand(1)

    def encode(self, x):
        return Posterior(self.down(x.flatten(1)) * self.hidden)


def test_an_honest_model_passes():
    check_model(Honest)


@pytest.mark.parametrize(
    ("model", "word"),
    [(FlatDecoder, "shape"), (BatchMean, "batch"), (AmbientNoise, "global generator"), (AttachedTerm, "detach"),
     (IdlePart, "gradient reaches idle"), (HiddenWeight, "state_dict"), (lambda s, d: Honest(s, d + 1), "latent_dim")],
)  # fmt: skip
def test_a_model_that_breaks_its_contract_is_caught(model, word):
    with pytest.raises(ContractBroken, match=word):
        check_model(model)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 33, 17), (1, 5, 7)])
def test_convolutions_give_the_shape_back(shape):
    trunk = Trunk(shape, 4, 4, depth=2, width=64, net="conv")
    assert trunk.decode(trunk.encode(torch.rand(2, *shape))).shape == (2, *shape)


def test_same_seed_same_weights_and_the_global_generator_is_left_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    a, b, c = build("vae", seed=3), build("vae", seed=3), build("vae", seed=4)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


@pytest.mark.parametrize(
    ("text", "word"),
    [("vae:beta=-1", "beta"), ("vae:sigma=0", "sigma"), ("ae:noise=-1", "noise"), ("vae:likelihood=bernoulli:sigma=1", "sigma")],
)  # fmt: skip
def test_impossible_fields_are_refused(text, word):
    with pytest.raises(ValueError, match=word):
        build(text)


def test_fixed_sigma_loss_is_the_gaussian_density():
    model = build("vae:sigma=0.5:beta=0")
    x = torch.rand((5, *SHAPE), generator=seeded(0, "x"))
    z = model.encode(x).sample(seeded(1, "d"))
    log_density = torch.distributions.Normal(model.decode(z), 0.5).log_prob(x).sum() / 5
    assert float(model.loss(x, seeded(1, "d")).total.detach()) == pytest.approx(-float(log_density.detach()), rel=1e-5)


def test_learned_variance_is_the_mean_squared_error():
    """The sigma-VAE's loss at its optimal variance: D/2 (ln 2 pi MSE + 1)."""
    model = build("vae:beta=0")
    x = torch.rand((50, *SHAPE), generator=seeded(0, "x"))
    mse = float((model.decode(model.encode(x).sample(seeded(1, "d"))) - x).square().mean().detach())
    expected = 32 * (math.log(2 * math.pi * mse) + 1)
    assert float(model.loss(x, seeded(1, "d")).total.detach()) == pytest.approx(expected, rel=1e-5)


def test_pca_baseline_is_scikit_learns():
    from sklearn.decomposition import PCA

    x = torch.rand((60, 1, 4, 4), generator=seeded(0, "x"))
    ours = PrincipalComponents(x, 3)
    theirs = PCA(3).fit(x.flatten(1).double().numpy())
    back = theirs.inverse_transform(theirs.transform(x.flatten(1).double().numpy()))
    assert torch.allclose(ours.decode(ours.encode(x).mu).flatten(1).double(), torch.from_numpy(back), atol=1e-5)
    mean = MeanImage(x, 3)
    assert torch.allclose(mean.decode(mean.encode(x).mu), x.mean(0, keepdim=True).expand_as(x), atol=1e-6)


@pytest.mark.parametrize(("d", "error"), [(2, 0.052426), (8, 0.023913), (16, 0.011044)])
def test_pca_of_all_digits_has_the_published_error(d, error):
    from sklearn.datasets import load_digits

    x = torch.from_numpy(load_digits().images / 16).float()[:, None]
    pca = PrincipalComponents(x, d)
    assert float((pca.decode(pca.encode(x).mu) - x).square().mean()) == pytest.approx(error, abs=1e-6)


def test_linear_vae_is_probabilistic_pca():
    """Tipping & Bishop 1999: with the variance fixed at s0^2, exactly the eigenvalues above it are encoded, each with
    KL ln(lambda / s0^2) / 2 nats, and Var(mu) + sigma^2 = 1."""
    eigenvalues = torch.tensor([9.0, 5.0, 3.0, 2.0] + [0.5] * 8)
    x = torch.randn((4000, 12), generator=seeded(0, "x")) * eigenvalues.sqrt()
    images = x.view(-1, 1, 3, 4)
    text = f"vae:sigma={math.sqrt(0.5)}:depth=0"
    run = make_run({"models": text, "latent_dim": 4})
    model = initialise(lambda: catalog.build_model(text, run, (1, 3, 4)), 0)
    fit(model, images, images[:500], Plan(60, 0, 100, 5e-3), 0)
    posterior = model.encode(images)
    posterior = type(posterior)(*(t.detach() for t in posterior))
    sigma2 = posterior.log_var.exp().mean(0)
    kl = 0.5 * (posterior.mu.square() + posterior.log_var.exp() - 1 - posterior.log_var).mean(0).sum()
    assert float(kl) == pytest.approx(1.44519 + 1.15129 + 0.89588 + 0.69315, rel=0.05)
    assert torch.allclose(posterior.mu.var(0) + sigma2, torch.ones(4), atol=0.1)


def test_training_is_repeatable_and_keeps_the_best_weights():
    x = torch.rand((96, *SHAPE), generator=seeded(0, "x"))
    models = [build("vae") for _ in range(2)]
    histories = [fit(m, x[:64], x[64:], Plan(12, 3, 16, 1e-2), 5) for m in models]
    assert histories[0].curves == histories[1].curves
    assert torch.equal(models[0].encode(x).mu, models[1].encode(x).mu)
    history = histories[0]
    assert history.curves["loss.val"][history.best - 1] == min(history.curves["loss.val"])
    assert {"loss.train", "loss.val", "loss.train.nll", "loss.train.kl.mean_part"} <= history.curves.keys()


def test_bfloat16_products_change_a_loss_little_and_nothing_outlasts_the_training():
    """Products rounded to 8 bits move the validation loss by a percent at most, where the machine has them, else not."""
    x, curves = torch.rand((192, *SHAPE), generator=seeded(0, "x")), {}
    for precision in ("float32", "bfloat16"):
        plan = Plan(epochs=4, patience=0, batch_size=32, lr=1e-3, precision=precision)
        before = torch.get_float32_matmul_precision()
        curves[precision] = fit(build("ae", width=64), x, x[:64], plan, 0).curves["loss.val"]
        assert torch.get_float32_matmul_precision() == before
    assert curves["bfloat16"] == pytest.approx(curves["float32"], rel=0.01)
    with products("bfloat16"):
        assert torch.get_float32_matmul_precision() == "medium"


def test_early_stopping_stops():
    x = torch.rand((32, *SHAPE), generator=seeded(0, "x"))
    history = fit(build("ae"), x[:16], x[16:], Plan(500, 2, 16, 1e-2), 0)
    losses = history.curves["loss.val"]
    plateau = history.epochs - 2
    assert int(np.argmin(losses[:plateau])) == plateau - 3, "two epochs after the best one the rate began to fall"
    assert history.epochs < 500
    assert history.best == 1 + int(np.argmin(losses))


def test_divergence_is_noticed():
    x = torch.rand((32, *SHAPE), generator=seeded(0, "x"))
    with pytest.raises(Diverged, match="epoch"):
        fit(build("ae"), x, x, Plan(20, 0, 16, 1e38), 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_linear_autoencoder_reaches_pca_on_digits(seed):
    """Baldi & Hornik 1989; with the options ``--depth 0 --lr 0.01 --lr-warmup 0 --patience 0`` and the defaults of digits."""
    from latentbench.datasets import digits

    data = digits.load("", "", 0)
    x = data.train.x
    run = make_run({"models": "ae", "depth": 0, "lr": 0.01, "lr_warmup": 0, "patience": 0}).resolve(
        digits.DIGITS.defaults
    )
    model = initialise(lambda: catalog.build_model("ae", run, data.shape), seed)
    fit(model, x, data.val.x, Plan.of(run), seed)
    pca = PrincipalComponents(x, run.latent_dim)
    best = float((pca.decode(pca.encode(x).mu) - x).square().mean())
    with torch.no_grad():
        error = float((model.decode(model.encode(x).mu) - x).square().mean())
    assert best * (1 - 1e-6) <= error <= 1.01 * best


@torch.no_grad()
@pytest.mark.parametrize("text", ["ae:net=mlp", "ae:net=conv", "vae:net=mlp", "vae:net=conv"])
def test_the_decoder_of_nearly_empty_images_starts_at_their_mean(text):
    model = build(text)
    before = model.decode(torch.zeros(1, 3)).mean()
    model.start(torch.full((10, *SHAPE), 0.3))
    assert model.decode(torch.zeros(1, 3)).mean() == before
    model.start(torch.full((10, *SHAPE), 0.02))
    assert float(model.decode(torch.zeros(1, 3)).mean()) == pytest.approx(0.02, abs=0.02)
    linear = build("ae:depth=0")
    before = linear.decode(torch.zeros(1, 3))
    linear.start(torch.full((10, *SHAPE), 0.02))
    assert torch.equal(linear.decode(torch.zeros(1, 3)), before)


@torch.no_grad()
@pytest.mark.parametrize("shape", [SHAPE, (16, 2)], ids=["images", "series"])
@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_a_decoder_can_start_at_the_mean(net, shape):
    """Without its last weights it gives the mean of the samples: each value's, of convolutions each channel's."""
    x = torch.rand(50, *shape, generator=seeded(0, "x")) * 0.5 + 0.25
    model = build(f"ae:net={net}", shape)
    model.trunk.start_at_mean(x)
    [layer for layer in model.trunk.decoder.children() if list(layer.parameters())][-1].weight.zero_()
    mean = x.mean(0)
    if net == "conv":
        mean = mean.mean((1, 2), keepdim=True) if len(shape) == 3 else mean.mean(0, keepdim=True)
    assert torch.allclose(model.decode(torch.ones(1, 3))[0], mean.expand(shape), atol=1e-5)


def test_an_autoencoder_learns_thin_lines():
    """From the plain start it stays at the black image, R^2 below 0."""
    from latentbench.datasets import lines

    data = lines.load("", "", 0)
    model = build("ae", data.shape, latent_dim=8, width=128)
    fit(model, data.train.x, data.val.x, Plan(8, 0, 64, 1e-3), 0)
    with torch.no_grad():
        error = (model.decode(model.encode(data.val.x).mu) - data.val.x).square().sum()
    assert float(1 - error / (data.val.x - data.val.x.mean(0)).square().sum()) > 0.5

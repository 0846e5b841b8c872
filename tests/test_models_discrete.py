"""Models with a discrete latent: the laws of every model, k-means, the product of levels, gradients past the choice."""

from __future__ import annotations

import pytest
import torch
from sklearn.cluster import KMeans

from latentbench import catalog
from latentbench.config import make_run
from latentbench.core import Posterior
from latentbench.models.fsq import FiniteScalarQuantised, positions
from latentbench.models.positions import split_latent, straight_through
from latentbench.models.vq import DEAD, VectorQuantised, kmeans
from latentbench.randomness import randn, seeded
from latentbench.testing import ContractBroken, check_model
from latentbench.training.fit import Plan, fit, initialise
from latentbench.training.stacking import stackable
from latentbench.training.steps import TracedStep, TrainStep

SPECS = ["vq", "vq:codebook=loss", "vq:k=2", "vq:parts=1", "vq:parts=6", "vq:net=conv", "fsq", "fsq:levels=8x6x5",
         "fsq:levels=2", "fsq:parts=1:levels=3", "fsq:net=conv"]  # fmt: skip
SHAPE = (1, 8, 8)


def build(text: str, latent_dim: int = 6, seed: int = 0):
    run = make_run({"models": text, "latent_dim": latent_dim, "width": 16})
    return initialise(lambda: catalog.build_model(text, run, SHAPE), seed)


@pytest.mark.parametrize("text", SPECS)
def test_laws(text):
    check_model(lambda shape, latent_dim: build(text, latent_dim), SHAPE, 6)


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 7, 8, 16])
@pytest.mark.parametrize("text", ["vq", "fsq"])
def test_a_latent_of_any_size_has_positions(text, latent_dim):
    model = build(text, latent_dim)
    assert model.discrete_codes().parts * (latent_dim // model.parts) == latent_dim


class _Identity(torch.nn.Module):
    """An encoder and a decoder that change nothing."""

    def encode(self, x):
        return x.flatten(1)

    def decode(self, z):
        return z.view(-1, 1, 1, z.shape[1])

    def start(self, x):
        pass


def identity(model):
    model.trunk = _Identity()
    return model


def clusters(n: int, d: int, dtype=torch.float32):
    centre = 5 * randn((8, d), seeded(0, "centres"), torch.zeros((), dtype=dtype))
    return centre[torch.arange(n) % 8] + randn((n, d), seeded(1, "points"), centre)


def test_with_identities_the_error_is_that_of_k_means():
    """Squared error and commitment of an image are scikit-learn's inertia per sample, at the same centres."""
    x = clusters(400, 4, torch.float64)
    found = KMeans(8, n_init=3, random_state=0).fit(x.numpy())
    model = identity(VectorQuantised((1, 1, 4), 4, k=8, parts=1)).double().eval()
    model.place(torch.from_numpy(found.cluster_centers_))
    terms = model.loss(x.view(-1, 1, 1, 4), seeded(0, "loss")).terms
    assert float(terms["squared_error"]) == pytest.approx(found.inertia_ / 400, rel=1e-9)
    assert float(terms["commitment"]) == pytest.approx(found.inertia_ / 400, rel=1e-9)
    assert torch.equal(model.discrete_codes().codes(x)[:, 0], torch.from_numpy(found.labels_).long())


def test_the_running_means_come_to_the_centres_of_k_means():
    """Steps of the running means on all images are k-means steps: from its centres they do not move."""
    x = clusters(400, 4)
    model = identity(VectorQuantised((1, 1, 4), 4, k=8, parts=1, decay=0.5))
    model.start(x.view(-1, 1, 1, 4))
    model.train()
    for _ in range(40):
        model.loss(x.view(-1, 1, 1, 4), seeded(0, "loss"))
    own = model.vectors[model.vectors[:, 0].argsort()]
    found = torch.from_numpy(KMeans(8, init=model.vectors.numpy(), n_init=1).fit(x.numpy()).cluster_centers_)
    assert torch.allclose(own, found[found[:, 0].argsort()], atol=1e-4)


def test_the_start_is_at_k_means_centres_and_holds_no_code_twice():
    x = clusters(400, 2)
    start = kmeans(x, 16)
    assert len(start.unique(dim=0)) == 16
    assert float(torch.cdist(x, start).amin(1).mean()) < float(torch.cdist(x, x[:16]).amin(1).mean())
    few = kmeans(x[:3].repeat(50, 1), 16)
    assert len(few.unique(dim=0)) == 16
    assert torch.cdist(x[:3], few).amin(1).max() == 0


@pytest.mark.parametrize("text", ["vq", "vq:codebook=loss"])
def test_the_gradient_goes_straight_through(text):
    """With an identity for a decoder the encoder's output gets d|x - e_c|^2 / d e_c = -2 (x - e_c), and commitment's
    own 2 * .25 (z - e_c) for being off."""
    z = clusters(5, 6).requires_grad_()
    model = build(text).eval()

    class Given(_Identity):
        def encode(self, x):
            return z

    model.trunk = Given()
    x = torch.rand(5, 1, 1, 6, generator=seeded(0, "x"))
    chosen = model.discrete_codes().points(model.discrete_codes().codes(z)).detach()
    (gradient,) = torch.autograd.grad(model.loss(x, seeded(0, "loss")).total, z)
    expected = -2 * (x.flatten(1) - chosen) + 2 * 0.25 * (z.detach() - chosen)
    assert torch.allclose(gradient, expected / 5, atol=1e-5)


def test_rounding_has_the_gradient_of_the_identity():
    z = randn((9, 6), seeded(0, "z"), torch.zeros(())).requires_grad_()
    weight = randn((9, 6), seeded(1, "w"), z.detach())
    rounded = straight_through(z, z.round())
    assert torch.equal(rounded, z.round())
    assert torch.equal(torch.autograd.grad((rounded * weight).sum(), z)[0], weight)
    model = FiniteScalarQuantised(SHAPE, 6, levels="8x5x3")
    by_rounding = torch.autograd.grad((model.quantise(z) * weight).sum(), z)[0]
    middle = torch.tensor([4.0, 2.0, 1.0]).repeat(2)
    assert torch.allclose(by_rounding, torch.autograd.grad((model.squash(z) / middle * weight).sum(), z)[0])


@pytest.mark.parametrize(("levels", "codes"), [("8x5x5x5", 1000), ("3", 81), ("2", 16), ("7x4x2x2", 112)])
def test_there_are_as_many_codes_as_the_levels_multiply_to(levels, codes):
    """A fine grid of the encoder's output takes each of them, and no other; each is read back."""
    model = FiniteScalarQuantised(SHAPE, 4, levels=levels, parts=1)
    axis = torch.linspace(-6, 6, 41)
    grid = torch.cartesian_prod(axis, axis, axis, axis)
    book = model.discrete_codes()
    taken = book.codes(model.quantise(grid).detach()).unique()
    assert book.size == codes
    assert torch.equal(taken, torch.arange(codes))
    points = book.points(taken[:, None])
    assert len(points.unique(dim=0)) == codes
    assert torch.equal(book.codes(points)[:, 0], taken)
    assert -1 <= float(points.min()) < float(points.max()) <= 1


def test_a_dead_code_is_restarted_from_the_batch():
    x = clusters(64, 6).view(-1, 1, 1, 6)
    model = identity(VectorQuantised((1, 1, 6), 6, k=4, parts=1, decay=0.5))
    model.place(torch.cat([x.flatten(1)[:3], torch.full((1, 6), 1e4)]))
    model.train()
    for _ in range(20):
        model.loss(x, seeded(0, "loss"))
    assert bool((model.discrete_codes().codes(x.flatten(1)) == 3).any()), "what lay far away is in use"
    assert float(model.vectors.abs().max()) < 100
    assert bool((model.counts > DEAD * model.counts.mean()).all())


@pytest.mark.parametrize("text", ["vq", "vq:codebook=loss", "fsq"])
def test_a_step_can_be_traced_and_stacked(text):
    """No branch on the data: the traced step gives the same weights and code vectors, to the last bit."""
    model, x = build(text), torch.rand(32, *SHAPE, generator=seeded(0, "x"))
    model.start(x)
    step = TrainStep(model.train(), seeded(0, "draws"), 1000)
    assert isinstance(step.way(x), TracedStep)
    assert stackable([build(text, seed=s) for s in (0, 1)], x[:2])


@pytest.mark.parametrize("text", ["vq", "vq:codebook=loss", "fsq"])
def test_training_lowers_the_error_and_evaluation_moves_nothing(text):
    prototypes = torch.rand(12, *SHAPE, generator=seeded(0, "prototypes"))
    x = prototypes[torch.arange(240) % 12]
    model = build(text)
    history = fit(model, x, x[:48], Plan(epochs=25, patience=0, batch_size=24, lr=3e-3), 0)
    losses = history.curves["loss.train.squared_error"]
    assert losses[-1] < 0.6 * losses[0]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.eval().loss(x, seeded(0, "loss"))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@torch.no_grad()
def test_rounding_uses_its_levels():
    """A decoder that began at grey sends all of the encoder's outputs one way, and all images end in one code; measured: 196."""
    from latentbench.datasets import digits

    x = digits.load("", "", 0).train.x
    run = make_run({"models": "fsq", "latent_dim": 4, "width": 64})
    model = initialise(lambda: catalog.build_model("fsq:levels=4:parts=1", run, SHAPE), 0)
    with torch.enable_grad():
        fit(model, x, x[:64], Plan(epochs=15, patience=0, batch_size=64, lr=5e-3), 0)
    assert len(model.discrete_codes().codes(model.encode(x).mu).unique()) > 256 / 4


@pytest.mark.parametrize(
    ("text", "word"),
    [("vq:k=1", "k: 1 is not allowed"), ("vq:parts=4", r"allowed: 1, 2, 3, 6"), ("vq:commitment=-1", "commitment"),
     ("vq:decay=1", "decay"), ("fsq:levels=8x1", "levels: '8x1'"), ("fsq:levels=many", "levels: 'many'"),
     ("fsq:levels=8x8x8x8", "no number of parts"), ("fsq:levels=8x5:parts=2", "make 3 parts of 6"),
     ("fsq:parts=1:levels=99", "more than 65536"), ("fsq:levels=123456", "levels: '123456'")],
)  # fmt: skip
def test_impossible_fields_are_refused_in_a_line(text, word):
    with pytest.raises(ValueError, match=word) as refusal:
        build(text)
    assert "\n" not in str(refusal.value)


def test_how_a_latent_is_cut():
    assert [split_latent(d, None)[0] for d in (1, 2, 3, 7, 8, 9, 16)] == [1, 1, 1, 7, 4, 3, 8]
    assert split_latent(8, 8) == (8, 1)
    assert positions(8, "8x5x5x5", None) == (2, [8, 5, 5, 5])
    assert positions(8, "4", 2) == (2, [4, 4, 4, 4])


class Wide(VectorQuantised):
    """Encodes beside its code vectors."""

    def encode(self, x):
        return Posterior(super().encode(x).mu + 0.1)


class Spread(VectorQuantised):
    """Has a variance."""

    def encode(self, x):
        mu = super().encode(x).mu
        return Posterior(mu, torch.zeros_like(mu))


class Floating(VectorQuantised):
    """Codes that are no whole numbers."""

    def discrete_codes(self):
        book = super().discrete_codes()
        return book._replace(codes=lambda z: book.codes(z).float())


class Beyond(VectorQuantised):
    """Codes beyond its codebook."""

    def discrete_codes(self):
        return super().discrete_codes()._replace(size=1)


@pytest.mark.parametrize(
    ("model", "word"),
    [(Wide, "not those of their codes"), (Spread, "has a variance"), (Floating, "whole numbers"), (Beyond, "outside 0 to 0")],
)  # fmt: skip
def test_a_discrete_model_that_breaks_its_contract_is_caught(model, word):
    with pytest.raises(ContractBroken, match=word):
        check_model(model)

"""What a handed-over model says of its latent space is heeded: a prior of its own, discrete codes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import latentbench as lb
from latentbench.core import Codebook
from latentbench.datasets import digits
from latentbench.evaluating.understood import understood
from latentbench.measuring.baselines import PrincipalComponents
from latentbench.models.vq import VectorQuantised

DATA = digits.load("", "", 0)
GIVEN = {"x_test": DATA.test.x, "x_train": DATA.train.x}
PCA = PrincipalComponents(DATA.train.x, 8)
SD = PCA.encode(DATA.train.x).mu.std(0)


class Plain:
    """PCA with codes of variance 1, the second half of them away from 0; in the shape ``form``."""

    form: tuple[int, ...] = (8,)
    shift, scale = 0.0, 1.0

    def encode(self, x):
        return (self.scale * PCA.encode(x).mu / SD + self.shift).reshape(-1, *self.form)

    def decode(self, z):
        return PCA.decode((z.reshape(len(z), -1) - self.shift) / self.scale * SD)


class Moved(Plain):
    """The same, moved and stretched, with the prior moved and stretched alike."""

    shift, scale = 5.0, 3.0

    def prior(self, noise, generator):
        assert noise.shape[1:] == self.form, "noise is in the form of codes"
        return self.scale * noise + self.shift

    def log_prior(self, z):
        return torch.distributions.Normal(self.shift, self.scale).log_prob(z).flatten(1).sum(1)


class Spatial(Moved):
    form = (2, 2, 2)


METRICS = ["hole", "uniqueness", "prior.c2st"]


def values(model):
    result = lb.evaluate(model, **GIVEN, metrics=METRICS, quiet=True)
    return {name: result.value(name) for name in METRICS}


@pytest.fixture(scope="module")
def plain():
    return values(Plain())


@pytest.mark.parametrize("model", [Moved(), Spatial()])
def test_a_moved_model_with_its_prior_moved_alike_reads_as_it_did(model, plain):
    moved = values(model)
    assert moved["uniqueness"] == pytest.approx(plain["uniqueness"], abs=0.01)
    # Distances in a space three times as wide, of which a few fall on the other side by rounding; another classifier.
    assert moved["hole"] == pytest.approx(plain["hole"], abs=0.05)
    assert moved["prior.c2st"] == pytest.approx(plain["prior.c2st"], abs=0.06)
    silent = values((model.encode, model.decode))
    assert silent["hole"] > 0.99 > moved["hole"] + 0.3


def test_what_is_tried_first_says_what_the_model_says():
    (found,) = understood({"moved": Moved()}, DATA, {}, 0, "cpu")
    assert (found.own_prior, found.discrete) == (True, False)
    assert "with a prior of its own;" in str(found)


def test_a_prior_that_is_a_distribution_is_not_called_and_said():
    model = Plain()
    model.prior = torch.distributions.Normal(0.0, 1.0)
    with pytest.warns(UserWarning, match=r"a prior that is no function of noise.*as if trained with N\(0, I\)"):
        lb.evaluate(model, **GIVEN, metrics="hole", quiet=True)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (lambda noise, generator: noise[:1], r"1 latent points for"),
        (lambda noise, generator: noise[:, :3], r"shape \(4, 3\), expected \(4, 8\)"),
        (lambda noise, generator: noise / 0, "not finite"),
        (lambda noise, generator: None, "prior"),
    ],
)
def test_a_prior_that_gives_no_latent_points_is_refused(prior, said):
    model = Plain()
    model.prior = prior
    with pytest.raises(ValueError, match=said) as refused:
        lb.evaluate(model, **GIVEN, metrics="hole", quiet=True)
    assert "\n" not in str(refused.value)


def test_discrete_codes_are_measured_as_codes():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VectorQuantised((1, 8, 8), 8, width=16, k=16, parts=2).eval()
    model.start(DATA.train.x)
    result = lb.evaluate(model, **GIVEN, metrics="perplexity,path.tortuosity", quiet=True)
    assert 1 < result.value("perplexity") <= 16
    assert {r.status for r in result.records if r.metric == "path.tortuosity"} == {"skipped"}
    silent = lb.evaluate((model.encode, model.decode), **GIVEN, metrics="perplexity", quiet=True)
    assert {r.status for r in silent.records if r.metric == "perplexity"} == {"skipped"}


class Rounded(Plain, nn.Module):
    """Says that its codes are whole numbers, which they are not."""

    def discrete_codes(self):
        return Codebook(9, 8, lambda z: z.round().long().clamp(-4, 4) + 4, lambda codes: codes.float() - 4)


def test_codes_that_are_not_what_encode_gives_are_refused():
    with pytest.raises(ValueError, match="discrete_codes: the points of the codes"):
        lb.evaluate(Rounded(), **GIVEN, metrics="mse", quiet=True)

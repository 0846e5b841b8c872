"""Priors over discrete codes: independent positions, a copied position, draws that have the shares they should; what each
measure of the catalog makes of a discrete latent."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fakes import Between, Coordinates, fake_encoding, known_answer, proofs_of, value
from worse import jagged

from latentbench.catalog import metrics
from latentbench.core import CONTINUUM, DISCRETE, Codebook, Encoding, Undefined
from latentbench.metrics.code_prior import (
    autoregressive_prior,
    code_shares,
    draw_points,
    drawn_codes,
    fit_code_prior,
    inverse,
)
from latentbench.metrics.samplers import prior_samples, samplers_of
from latentbench.randomness import randn, seeded
from latentbench.testing.examples import discrete_encoding, discretised
from latentbench.testing.lines import lines_encoding
from latentbench.testing.metrics import number, within

PROOFS = (
    proofs_of(
        "validity.marginal",
        package=None,
        coordinates=Coordinates("exact", "exact", "exact", "exact", "codes are drawn, whatever points they stand for"),
        degrade=jagged,
        free="the models of these series have no codes; validity.normal, the same computation, follows them",
    ),
    proofs_of(
        "validity.autoregressive",
        package=None,
        coordinates=Coordinates(
            "draws", "draws", "draws", "exact", "it is fitted anew to standardised points, rounded otherwise"
        ),
        degrade=jagged,
        free="the models of these series have no codes; validity.normal, the same computation, follows them",
    ),
)


def codes_of(n: int, size: int, parts: int, seed: int = 0) -> torch.Tensor:
    """Independent positions, each with shares of its own."""
    generator = seeded(seed, "codes")
    shares = torch.rand(parts, size, generator=generator).square()
    return torch.stack([torch.multinomial(s, n, True, generator=generator) for s in shares], 1)


def told_apart(used: torch.Tensor) -> torch.Tensor:
    """Codes that have nothing in common."""
    return torch.eye(len(used))[None]


def entropies(shares: torch.Tensor) -> list[float]:
    return torch.special.entr(shares).sum(1).tolist()


def test_what_is_learned_of_a_code_is_known_of_its_neighbours():
    """Two positions at nearly the same of 150 levels: most pairs were never seen, and codes that are told by their values
    are guessed at half the price of the marginal's second position and less; codes without values are not."""
    level = torch.randint(0, 150, (600,), generator=seeded(0, "level"))
    other = (level + torch.randint(-3, 4, (600,), generator=seeded(1, "level"))).clamp(0, 149)
    codes = torch.stack([level, other], 1)
    near = fit_code_prior(codes, lambda used: used.double().view(1, -1, 1), seeded(0, "fit"))
    assert near.nll < near.nll_marginal - 1.5
    apart = fit_code_prior(codes, told_apart, seeded(0, "fit"))
    assert near.nll < apart.nll - 0.5


def test_independent_positions_cost_the_sum_of_their_entropies():
    prior = fit_code_prior(codes_of(3000, 12, 3), told_apart, seeded(0, "fit"))
    error = 3 / math.sqrt(300)  # of the mean of some nats, over the codes kept aside
    assert prior.nll == pytest.approx(sum(entropies(prior.shares)), abs=error)
    assert prior.nll == pytest.approx(prior.nll_marginal, abs=0.05)
    assert prior.nll <= prior.nll_marginal, "it starts as the marginal and keeps what is better"
    assert prior.seconds > 0


def test_a_copied_position_costs_nothing_and_the_marginal_pays_for_it():
    once = codes_of(3000, 12, 1)
    prior = fit_code_prior(once.repeat(1, 2), told_apart, seeded(0, "fit"))
    (entropy, _) = entropies(prior.shares)
    assert prior.nll_marginal - prior.nll == pytest.approx(entropy, abs=0.1)
    noise = randn((2000, 2), seeded(0, "noise"), torch.zeros((), dtype=torch.float64))
    both, apart = (drawn_codes(prior, noise, autoregressive) for autoregressive in (True, False))
    assert float((both[:, 0] == both[:, 1]).double().mean()) > 0.97
    alike = float(prior.shares[0].square().sum())
    assert float((apart[:, 0] == apart[:, 1]).double().mean()) == pytest.approx(alike, abs=0.04)


@pytest.mark.parametrize("autoregressive", [False, True])
def test_draws_have_the_shares_of_the_codes_and_no_code_that_was_never_seen(autoregressive):
    codes = 7 * codes_of(2000, 9, 3)
    prior = fit_code_prior(codes, told_apart, seeded(0, "fit"))
    noise = randn((20_000, 5), seeded(0, "noise"), torch.zeros((), dtype=torch.float64))
    drawn = drawn_codes(prior, noise, autoregressive)
    assert set(drawn.unique().tolist()) <= set(codes.unique().tolist())
    apart = (code_shares(drawn, 64) - code_shares(codes, 64)).abs().sum(1) / 2
    assert float(apart.max()) < (0.06 if autoregressive else 0.03)
    assert torch.equal(drawn, drawn_codes(prior, noise, autoregressive))


def test_the_inverse_of_a_distribution_takes_no_code_of_share_zero():
    shares = torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0])
    uniform = torch.tensor([0.0, 0.1, 0.2499, 0.2501, 0.9, 1.0 - 1e-17], dtype=torch.float64)
    assert inverse(shares, uniform).tolist() == [1, 1, 1, 3, 3, 3]
    assert inverse(shares.expand(6, -1), uniform).tolist() == [1, 1, 1, 3, 3, 3]


def test_the_same_seed_gives_the_same_prior_whatever_ran_before():
    codes = codes_of(300, 6, 2)
    torch.manual_seed(1)
    first = fit_code_prior(codes, told_apart, seeded(3, "fit"))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = fit_code_prior(codes, told_apart, seeded(3, "fit"))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True))


def test_it_is_fitted_in_inference_mode_too_and_to_ten_images_at_least():
    with torch.inference_mode():
        fit_code_prior(codes_of(40, 6, 2).clone(), told_apart, seeded(0, "fit"))
    with pytest.raises(Undefined, match="ten training images, there are 9"):
        fit_code_prior(codes_of(9, 6, 2), told_apart, seeded(0, "fit"))


def pairs(copied: bool) -> Encoding:
    """One-pixel images from two positions of two codes each: the pixel is .2 where they differ, else .8; on the training
    images they never differ, or are independent."""
    first = torch.arange(4000) % 2
    second = first if copied else (torch.arange(4000) // 2) % 2
    codes = torch.stack([first, second], 1)
    book = Codebook(2, 2, lambda z: z.long(), lambda c: c.float())

    def decode(z: torch.Tensor) -> torch.Tensor:
        return torch.where(z[:, 0] == z[:, 1], 0.8, 0.2).view(-1, 1, 1, 1)

    points = codes.float()
    judge = Between(0.5, 1.0, cut=0.7)
    train = Encoding("train", decode(points), points, points, decode(points), codes=codes, codebook=book, decode=decode)
    e = replace(train, split="test", train=train, judge=judge)
    return replace(e, prior=autoregressive_prior(e))


@known_answer("validity.marginal", "validity.autoregressive")
def test_shares_of_pairs_of_codes():
    """The judge accepts equal codes. Code by code half of the draws are; a prior that knows of the copy draws no others."""
    copied, free = pairs(True), pairs(False)
    assert value("validity.marginal", copied, count=20_000) == pytest.approx(0.5, abs=0.02)
    assert value("validity.autoregressive", copied, count=20_000) > 0.98
    assert value("validity.marginal", free, count=20_000) == pytest.approx(0.5, abs=0.02)
    assert value("validity.autoregressive", free, count=20_000) == pytest.approx(0.5, abs=0.03)


def test_what_fitting_came_to_is_recorded():
    detail = metrics()["validity.autoregressive"].compute(pairs(True), sampler="autoregressive", count=200).detail
    assert detail["nll"] < 0.72 < detail["nll_marginal"] == pytest.approx(2 * math.log(2), abs=0.01)
    assert detail["seconds"] > 0
    assert detail["epochs"] >= 1


def test_the_prior_of_a_discrete_model_is_the_autoregressive_one():
    e = pairs(True)
    assert samplers_of(e) == ("prior", "marginal")
    assert value("validity.prior", e) == value("validity.autoregressive", e)
    assert torch.equal(prior_samples(e, "prior", 50), prior_samples(replace(e), "prior", 50))
    with pytest.raises(Undefined, match="codes are not discrete"):
        draw_points(fake_encoding(), torch.zeros(3, 3))


POINTS = {
    "mse", "r2", "r2.draw", "psnr", "probe.linear", "probe.knn", "silhouette", "trustworthiness", "neighbourhood_continuity",
    "judge_frechet.reconstruction", "ssim",
}  # fmt: skip
"""What looks at images and at the points that codes stand for, of which a discrete latent has as many as any."""
DRAWS = {
    "validity.prior", "judge_frechet.prior", "validity.per_class", "valid_label_entropy", "valid_label_tv", "precision", "recall",
    "density", "coverage", "uniqueness", "novelty", "memorisation", "data_copying",
}  # fmt: skip
"""What looks at draws of the prior: of the autoregressive one."""
CODES = {"perplexity", "code_usage", "validity.marginal", "validity.autoregressive"}
"""What is of discrete codes alone."""
BETWEEN = {
    "path.", "midpoint.", "geodesic.", "jacobian.", "lines.", "interpolation", "hole", "prior.", "kl", "intrinsic_dim.",
    "active_units", "punctual_index", "overlap", "variance_law", "mutual_information", "elbo", "nll.iw", "validity.normal",
    "validity.gaussian", "validity.mixture", "validity.flow", "judge_frechet", "judge_kid", "latent.", "neighbour.",
}  # fmt: skip
"""How the names begin (or end) of what needs points between codes, their widths, or a density of them: skipped."""


def test_what_each_measure_makes_of_discrete_codes_is_as_decided():
    """And what is skipped says so by its need. A measure of another kind has a number, see below."""
    for name, metric in metrics().items():
        valid = name in POINTS | DRAWS | CODES
        skipped = not valid and (name.startswith(tuple(BETWEEN)) or name.endswith("interpolation"))
        assert (CONTINUUM in metric.needs) == skipped, name
        assert (DISCRETE in metric.needs) == (name in CODES), name


@pytest.mark.parametrize("name", metrics())
def test_a_discrete_latent_has_a_number_or_the_one_reason(name):
    metric = metrics()[name]
    e = discretised(lines_encoding()) if name.startswith("lines.") else discrete_encoding()
    if CONTINUUM in metric.needs:
        assert e.absent(metric.needs) == "its codes are discrete: between two of them there is nothing"
        assert e.absent(metric.needs).code == "model.discrete"
        return
    found = number(metric, e)
    assert found is not None, e.absent(metric.needs)
    assert within(metric, found)

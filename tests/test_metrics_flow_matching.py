"""The flow that stands for a second stage: what it makes of codes that are normal, in ten heaps, or k points."""

import pytest
import torch
from fakes import Between, Coordinates, encode, fake_encoding, known_answer, normal, proofs_of, reference, value
from worse import jagged

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined, Verdict
from latentbench.metrics import flow_matching
from latentbench.metrics.flow_matching import draw_flow, fit_flow
from latentbench.metrics.samplers import prior_codes
from latentbench.metrics.uniqueness import distinct_share
from latentbench.randomness import seeded

FREE = "validity.gaussian and its distance follow them: the codes are the same, and a flow trained anew at each step says no more"
TRAINED = Coordinates(
    "no",
    "exact",
    "exact",
    "no",
    "trained on standardised coordinates, in their order, by draws that are dealt by row",
    False,
)
PROOFS = (
    proofs_of("validity.flow", package=None, coordinates=TRAINED, degrade=jagged, free=FREE),
    proofs_of("judge_frechet.flow", package="torchmetrics", coordinates=TRAINED, degrade=jagged, free=FREE),
)


@pytest.fixture
def whole(monkeypatch):
    """Trained well enough for smooth codes, in a sixth of the steps."""
    monkeypatch.setattr(flow_matching, "STEPS", 500)
    monkeypatch.setattr(flow_matching, "SAMPLING", 40)


class Radius:
    """Accepts points that lie within ``reach`` of one of ``centres``."""

    classes = 2
    train_marginal = torch.tensor([0.5, 0.5])

    def __init__(self, centres, reach):
        self.centres, self.reach = centres, reach

    def features(self, x):
        return x.flatten(1)

    def __call__(self, x):
        near = torch.cdist(x.flatten(1).double(), self.centres)
        valid = near.amin(1) < self.reach
        return Verdict(valid, near.argmin(1) % 2, valid.double(), near.amin(1))


def own_codes(codes, judge):
    """Vectors that are their own codes, under a judge of vectors."""

    def side(split, x, of):
        return encode(split, x, Posterior(x), lambda z: z, torch.zeros(len(x), dtype=torch.long), of, judge)

    return side("test", codes[:200], side("train", codes, None))


@known_answer("validity.flow")
def test_of_normal_codes_the_flow_is_as_valid_as_the_prior(whole):
    """A ball that holds half of N(0, I_4): both are .5 within the error of 2,000 draws and of a thousand codes."""
    e = own_codes(normal((1000, 4), "normal codes"), Radius(torch.zeros(1, 4, dtype=torch.float64), 3.3567**0.5))
    assert value("validity.normal", e) == pytest.approx(0.5, abs=0.035)
    assert value("validity.flow", e) == pytest.approx(value("validity.normal", e), abs=0.05)


def heaps(n, purpose):
    """Ten Gaussians of deviation .3 in four dimensions, and their centres."""
    centres = 1.5 * normal((10, 4), "centres")
    return centres[torch.arange(n) % 10] + 0.3 * normal((n, 4), purpose), centres


@known_answer("validity.flow")
def test_of_ten_gaussians_the_flow_is_as_valid_as_a_mixture(whole, monkeypatch):
    """Valid: within the radius of a centre that holds 99.9 % of its Gaussian. Trained as long as runs have it."""
    monkeypatch.setattr(flow_matching, "STEPS", 3000)
    codes, centres = heaps(1000, "heaps")
    e = own_codes(codes, Radius(centres, 0.3 * 18.467**0.5))
    mixture, flow, plain = (value(f"validity.{s}", e) for s in ("mixture", "flow", "normal"))
    assert mixture > 0.98
    assert flow > mixture - 0.03
    assert plain < 0.5
    found = torch.cdist(prior_codes(e, "flow", 2000), centres).argmin(1).bincount(minlength=10) / 2000
    assert float((found - 0.1).abs().max()) < 0.05  # none of the ten is left out


@known_answer("judge_frechet.flow")
def test_of_normal_codes_the_distance_is_the_sampling_error(whole):
    """Features that are the codes, N(0, I_4): the distance of two samples of 200 is about f (f + 5) / (2 n) = .09; of codes
    shifted after training by 1 in each dimension, 4 more."""
    e = own_codes(normal((1000, 4), "normal codes"), Radius(torch.zeros(1, 4, dtype=torch.float64), 9.0))
    assert value("judge_frechet.flow", e) == pytest.approx(0.09, abs=0.1)


@reference("judge_frechet.flow")
def test_the_distance_is_torchmetrics():
    from latentbench.datasets import torchvision_guard

    torchvision_guard.torchvision()
    from torchmetrics.image.fid import _compute_fid

    e = fake_encoding(dtype=torch.float64)
    images = [e.x, e.decode(e.once(prior_codes, sampler="flow", count=2000)[: len(e.x)])]
    real, fake = (e.judge.features(x.clamp(0, 1)) for x in images)
    theirs = _compute_fid(real.mean(0), torch.cov(real.T), fake.mean(0), torch.cov(fake.T))
    assert value("judge_frechet.flow", e) == pytest.approx(float(theirs), rel=1e-4)


def test_draws_are_new_points_and_one_noise_is_one_draw(whole):
    codes, _ = heaps(300, "few")
    flow = fit_flow(codes, seeded(0, "fit"))
    noise = normal((500, 4), "noise")
    drawn = draw_flow(flow, noise)
    assert torch.equal(drawn, draw_flow(flow, noise))
    assert float(torch.pdist(drawn).min()) > 0
    to_codes = torch.cdist(drawn, codes).amin(1)
    fresh = torch.cdist(heaps(500, "fresh")[0], codes).amin(1)
    assert float(to_codes.median()) > 0.8 * float(fresh.median())  # no nearer to the codes it saw than new ones are


def test_k_points_stay_k_images(whole):
    """A copying model's codes are k points and its decoder gives the nearest one's image: whatever the flow draws, k
    different images come back, by the share that uniqueness reports of k images: k (1 - (1 - 1/k)^n) / n at most."""
    k, n = 6, 500
    points = 2 * normal((k, 4), "points")
    flow = fit_flow(points.repeat(100, 1), seeded(0, "fit"))
    drawn = draw_flow(flow, normal((n, 4), "noise"))
    decoded = points[torch.cdist(drawn, points).argmin(1)]
    assert distinct_share(decoded, 1e-3) <= k * (1 - (1 - 1 / k) ** n) / n + 1e-9


def test_what_is_drawn_hangs_on_data_and_seed_alone():
    codes = normal((100, 3), "codes")
    one, other = (fit_flow(codes, seeded(0, "fit")) for _ in range(2))
    noise = normal((50, 3), "noise")
    assert torch.equal(draw_flow(one, noise), draw_flow(other, noise))
    assert not torch.equal(draw_flow(one, noise), draw_flow(fit_flow(codes, seeded(1, "fit")), noise))
    scaled = draw_flow(fit_flow(5 + 3 * codes, seeded(0, "fit")), noise)
    assert torch.allclose(scaled, 5 + 3 * draw_flow(one, noise), atol=1e-3)


def test_a_dimension_without_spread_stays_as_it_is():
    codes = torch.cat([normal((100, 2), "codes"), torch.full((100, 1), 7.0, dtype=torch.float64)], 1)
    assert (draw_flow(fit_flow(codes, seeded(0, "fit")), normal((50, 3), "noise"))[:, 2] == 7).all()


def test_the_record_says_what_was_trained():
    metric = metrics()["validity.flow"]
    detail = metric.compute(fake_encoding(), **metric.params).detail
    assert (detail["steps"], detail["codes"]) == (25, 240)
    assert detail["seconds"] >= 0


def test_one_code_is_refused():
    with pytest.raises(Undefined, match="a flow needs two training codes, there is 1"):
        fit_flow(torch.zeros(1, 3), seeded(0, "fit"))
    with pytest.raises(Undefined, match="needs train"):
        prior_codes(encode("test", torch.zeros(3, 1, 1, 1), Posterior(torch.zeros(3, 1))), "flow", 5)


def test_a_wide_latent_is_trained_for_fewer_steps(monkeypatch):
    monkeypatch.setattr(flow_matching, "STEPS", 8)
    assert fit_flow(normal((20, 300), "wide"), seeded(0, "fit")).steps == 2


def test_inference_tensors_are_trained_on():
    with torch.inference_mode():
        codes = normal((50, 2), "codes")
        assert torch.isfinite(draw_flow(fit_flow(codes, seeded(0, "fit")), normal((5, 2), "noise"))).all()
    assert value("validity.flow", latent_judged()) >= 0


def latent_judged():
    x = torch.rand(40, 1, 1, 1, generator=seeded(0, "pixels"), dtype=torch.float64)
    train = encode("train", x, Posterior(x.flatten(1)), lambda z: z.view(-1, 1, 1, 1))
    return encode("test", x, Posterior(x.flatten(1)), train.decode, train=train, judge=Between(0, 1))

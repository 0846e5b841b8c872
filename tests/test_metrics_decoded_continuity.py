"""Decoded continuity on curves whose length is known: lines, arcs, switches; and decoders that have no path at all."""

import math
from dataclasses import replace

import pytest
import torch
from cheats import CHEATS, DATA, DISGUISES, disguised
from fakes import Coordinates, blobs, encode, fake_encoding, known_answer, normal, proofs_of
from worse import EVERY, jagged, switched

from latentbench.catalog import build_model, metrics
from latentbench.config import make_run
from latentbench.core import Posterior, Undefined, Verdict
from latentbench.metrics.decoded_continuity import (
    along,
    betweenness,
    cross_fade,
    decode_between,
    decoded_paths,
    draw_pairs,
    judged_paths,
    jump,
    path_pairs,
    path_steps,
    step_lengths,
    tortuosity,
)
from latentbench.metrics.path_refinement import path_refinements
from latentbench.randomness import seeded

LINES = Coordinates(
    "exact", "exact", "exact", "draws", "a linear map keeps straight lines; pairs are drawn by position"
)
PROOFS = (
    proofs_of(
        "path.tortuosity",
        package=None,
        coordinates=LINES,
        degrade=jagged,
        follows=("noise", "shuffle"),
    ),
    proofs_of(
        "path.jump",
        "path.refinement",
        package=None,
        coordinates=LINES,
        degrade=switched,
        free="says how evenly images change, not what they are",
    ),
    proofs_of(
        "path.validity_gain",
        "midpoint.validity_gain",
        package=None,
        coordinates=LINES,
        degrade=jagged,
        free="relative to the cross-fade of images as bad",
    ),
    proofs_of(
        "path.validity_gain.real",
        package=None,
        coordinates=LINES,
        degrade=jagged,
        follows=EVERY,
    ),
    proofs_of(
        "path.class_changes",
        package=None,
        coordinates=LINES,
        degrade=jagged,
        free="counts labels, which the judge also gives to junk",
    ),
    proofs_of(
        "midpoint.betweenness",
        package=None,
        coordinates=LINES,
        degrade=jagged,
        free="a straight line is the best: finding 1, pixels reward blur",
    ),
    proofs_of(
        "midpoint.nonblend",
        package=None,
        coordinates=LINES,
    ),
    proofs_of(
        "midpoint.betweenness_features",
        package=None,
        coordinates=LINES,
        degrade=jagged,
        free="as midpoint.betweenness, in features",
    ),
)

PIXEL = ("path.tortuosity", "path.jump", "path.refinement", "midpoint.betweenness", "midpoint.nonblend")
JUDGED = ("path.validity_gain", "path.validity_gain.real", "path.class_changes", "midpoint.betweenness_features",
          "midpoint.validity_gain")  # fmt: skip


def measure(name, e):
    metric = metrics()[name]
    return metric.compute(e, **metric.params)


def arc(z):
    """Angles in units of a right angle -> points of the unit circle, as images of two pixels."""
    angle = z[:, 0] * math.pi / 2
    return torch.stack([angle.cos(), angle.sin()], 1).view(-1, 1, 1, 2)


class ArcJudge:
    """Accepts points of the unit circle; two classes, split at 45 degrees; one feature, the angle."""

    classes = 2
    train_marginal = torch.tensor([0.5, 0.5])

    def features(self, x):
        return torch.atan2(x[:, 0, 0, 1], x[:, 0, 0, 0])[:, None]

    def __call__(self, x):
        on = (x.flatten(1).norm(dim=1) - 1).abs() < 1e-6
        label = (x[:, 0, 0, 1] > x[:, 0, 0, 0]).long()
        return Verdict(on, label, on.double(), 1 - on.double())


def between(start, stop, decode, judge=None):
    """An encoding of two images whose posterior means are the one-dimensional points ``start`` and ``stop``."""
    mu = torch.tensor([[start], [stop]], dtype=torch.float64)
    return encode("test", decode(mu), Posterior(mu), decode, torch.tensor([0, 1]), judge=judge)


@known_answer("path.tortuosity", "path.jump", "path.refinement", "midpoint.betweenness", "midpoint.nonblend")
@pytest.mark.parametrize(("degrees", "length", "middle"), [(180, 1.56793, 1.41421), (90, 1.11021, 1.08239)])
def test_circle(degrees, length, middle):
    e = between(0.0, degrees / 90, arc)
    half, chord = math.radians(degrees) / 2, 2 * math.sin(math.radians(degrees) / 2)
    exact = 15 * 2 * math.sin(half / 15) / chord
    assert exact == pytest.approx(length, abs=5e-6)
    assert measure("path.tortuosity", e).value == pytest.approx(exact, rel=1e-6)
    assert measure("path.jump", e).value == pytest.approx(0, abs=1e-9)
    assert measure("path.refinement", e).value == pytest.approx(0.5 / math.cos(half / 30), rel=1e-6)
    assert measure("midpoint.betweenness", e).value == pytest.approx(4 * math.sin(half / 2) / chord, rel=1e-6)
    assert 4 * math.sin(half / 2) / chord == pytest.approx(middle, abs=5e-6)
    assert measure("midpoint.nonblend", e).value == pytest.approx((1 - math.cos(half)) / chord, rel=1e-6)


def test_many_frames_approach_the_arc_length():
    e = between(0.0, 2.0, arc)
    steps, chord = path_steps(e, frames=2001, pairs=2)
    assert tortuosity(steps, chord)[0] == pytest.approx(1.57080, abs=5e-6)


@known_answer("path.tortuosity", "path.jump", "path.refinement", "path.class_changes")
def test_step_decoder_switches_once():
    def switch(z):
        return torch.where(z[:, :1] > 0.5, 1.0, 0.0).double().view(-1, 1, 1, 1).expand(-1, 1, 1, 2) * torch.tensor(
            [0, 1]
        )

    e = between(0.0, 1.0, switch, ArcJudge())
    assert measure("path.jump", e).value == pytest.approx(14 / 15, rel=1e-6)
    assert measure("path.refinement", e).value == 1
    assert measure("path.tortuosity", e).value == pytest.approx(1, rel=1e-6)
    assert measure("path.class_changes", e).value == 1


@known_answer("path.class_changes")
def test_a_decoder_that_flickers_changes_class_at_every_frame():
    def flicker(z):
        odd = (z[:, 0] * 15).round() % 2 == 1
        return torch.where(odd[:, None], torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])).view(-1, 1, 1, 2)

    value = measure("path.class_changes", between(0.0, 1.0, flicker, ArcJudge()))
    assert value.value == 15
    assert value.detail["different_class"] == 15


@known_answer("path.validity_gain", "path.validity_gain.real", "midpoint.validity_gain", "path.class_changes")
@known_answer("midpoint.betweenness_features")
def test_a_quarter_circle_is_valid_all_along_and_its_cross_fade_nowhere():
    e = between(0.0, 1.0, arc, ArcJudge())
    for name in ("path.validity_gain", "path.validity_gain.real", "midpoint.validity_gain"):
        value = measure(name, e)
        assert value.value == 1
        assert (value.detail["path"], value.detail["cross_fade"]) == (1, 0)
        assert value.detail["different_class"] == {"path": 1, "cross_fade": 0, "gain": 1, "pairs": 500}
        assert "same_class" not in value.detail
    # In angles, the judge's feature, the same path is straight; in pixels it is not.
    assert measure("midpoint.betweenness_features", e).value == pytest.approx(1, rel=1e-6)
    assert measure("path.class_changes", e).value == 1


@known_answer("midpoint.betweenness_features")
def test_betweenness_in_features_that_are_the_pixels_is_betweenness():
    class Pixels(ArcJudge):
        def features(self, x):
            return x.flatten(1)

    e = between(0.0, 1.0, arc, Pixels())
    assert measure("midpoint.betweenness_features", e).value == pytest.approx(1 / math.cos(math.pi / 8), rel=1e-6)
    assert 1 / math.cos(math.pi / 8) == pytest.approx(1.08239, abs=5e-6)


@known_answer("path.tortuosity", "path.jump", "path.refinement", "midpoint.betweenness", "midpoint.nonblend")
@known_answer("path.validity_gain", "midpoint.validity_gain")
def test_affine_decoder_is_a_cross_fade():
    e = fake_encoding(dtype=torch.float64)
    assert measure("path.tortuosity", e).value == pytest.approx(1, rel=1e-6)
    assert measure("midpoint.betweenness", e).value == pytest.approx(1, rel=1e-6)
    assert measure("path.refinement", e).value == pytest.approx(0.5, rel=1e-6)
    for name in ("path.jump", "midpoint.nonblend", "path.validity_gain", "midpoint.validity_gain"):
        assert measure(name, e).value == pytest.approx(0, abs=1e-6), name


@known_answer("path.validity_gain", "path.validity_gain.real")
def test_images_that_are_their_own_codes_gain_nothing_on_either_cross_fade():
    x, y = blobs(60, dtype=torch.float64)
    e = encode("test", x, Posterior(x.flatten(1)), lambda z: z.view(-1, 1, 4, 4), y, judge=fake_encoding().judge)
    for name in ("path.validity_gain", "path.validity_gain.real"):
        value = measure(name, e)
        assert value.value == 0
        assert value.detail["path"] == value.detail["cross_fade"] > 0


@known_answer("path.validity_gain", "path.validity_gain.real", "path.refinement")
def test_junk_at_the_codes_gains_on_its_own_cross_fade_and_nothing_on_that_of_the_images():
    """At the two codes alone the decoder returns junk: what is faded is junk too, and the path enters it by a jump."""

    class Disc(ArcJudge):
        def __call__(self, x):
            return super().__call__(x)._replace(valid=x.flatten(1).norm(dim=1) < 1.01)

    def decode(z):
        at_code = (z == 0) | (z == 1)
        return torch.where(at_code[..., None, None], 5 * (1 + z.view(-1, 1, 1, 1)), arc(z))

    e = between(0.0, 1.0, decode, Disc())
    e = replace(e, x=arc(e.mu))
    assert measure("path.validity_gain", e).value == 1
    assert measure("path.validity_gain.real", e).value == 0
    assert measure("path.refinement", e).value > 0.98


@known_answer("path.refinement")
@pytest.mark.parametrize(("width", "low", "high"), [(0.5, 0.5, 0.53), (0.1, 0.6, 0.9), (1e-3, 0.99, 1.0)])
def test_the_steeper_a_switch_the_less_it_is_resolved(width, low, high):
    def soft(z):
        return torch.sigmoid((z - 0.47) / (width / 6)).view(-1, 1, 1, 1)

    assert low <= measure("path.refinement", between(0.0, 1.0, soft)).value <= high


def test_the_finer_path_holds_the_frames_of_the_coarse_one():
    """So its largest step is at least half of theirs, whatever lies between: a decoder of noise too."""
    generator = seeded(1, "noise decoder")
    noise = fake_encoding(decode=lambda z: torch.rand(len(z), 1, 4, 4, generator=generator))
    for e in (noise, bent_encoding(), switched(bent_encoding())):
        each, chord = path_refinements(e, frames=16, pairs=70)
        assert float(each[chord > 0].min()) >= 0.5
    each, chord = path_refinements(bent_encoding(), frames=16, pairs=70)
    torch.testing.assert_close(chord, path_steps(bent_encoding(), frames=16, pairs=70).chord, rtol=1e-9, atol=0)
    fine = step_lengths(decode_between(bent_encoding(), path_pairs(bent_encoding(), 70), 31))
    coarse = path_steps(bent_encoding(), frames=16, pairs=70)
    torch.testing.assert_close(each, fine.steps.amax(1) / coarse.steps.amax(1), rtol=1e-9, atol=0)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("table", ["lookup", "lookup of d = 8", "scrambled lookup of d = 8"])
def test_tables_of_digits_snap(table, noise):
    """Noise on every pixel and a turned or stretched latent hide nothing of it."""
    draws = seeded(0, "pixel noise")

    def snapping(disguise):
        code, decode = disguised(CHEATS[table](), *disguise)

        def noisy(z):
            images = decode(z)
            return images + noise * torch.randn(images.shape, generator=draws)

        return encode("test", DATA.test.x, Posterior(code(DATA.test.x)), noisy)

    for disguise in DISGUISES.values():
        assert measure("path.refinement", snapping(disguise)).value > 0.95


def test_networks_of_the_catalog_do_not_snap():
    """Untrained, at codes three times as far apart as the prior's: their pieces are affine and many."""
    mu = 3 * normal((40, 8), "codes").float()
    for spec in ("ae", "vae"):
        torch.manual_seed(0)
        network = build_model(spec, make_run({"latent_dim": 8, "width": 64}), (1, 8, 8))
        with torch.no_grad():
            e = encode("test", network.decode(mu), Posterior(mu), network.decode)
            assert measure("path.refinement", e).value < 0.55


def bent(z):
    """A smooth decoder that is not affine."""
    mixing = normal((z.shape[1], 16), "mixing").to(z)
    return (0.5 + 0.4 * torch.tanh(z @ mixing)).view(-1, 1, 4, 4)


def bent_encoding(map_codes=None, unmap_codes=None, **changes):
    """A model with the decoder `bent`, optionally seen through a reparametrisation of its latent space."""
    mu = normal((40, 3), "codes")
    x = bent(mu)
    y = torch.arange(40) % 4
    return encode(
        "test",
        x,
        Posterior(mu if map_codes is None else map_codes(mu)),
        bent if unmap_codes is None else lambda z: bent(unmap_codes(z)),
        y,
        judge=fake_encoding(dtype=torch.float64).judge,
        **changes,
    )


def test_an_affine_reparametrisation_changes_nothing():
    matrix, shift = normal((3, 3), "matrix") + 3 * torch.eye(3, dtype=torch.float64), normal((3,), "shift")
    plain = bent_encoding()
    moved = bent_encoding(lambda z: z @ matrix + shift, lambda z: (z - shift) @ matrix.inverse())
    for name in (*PIXEL, *JUDGED):
        assert measure(name, moved).value == pytest.approx(measure(name, plain).value, rel=1e-6, abs=1e-9), name
    assert measure("path.tortuosity", plain).value > 1.01


def test_swapping_the_ends_changes_nothing():
    frames = decoded_paths(bent_encoding(), frames=16, pairs=20).frames
    there, back = step_lengths(frames), step_lengths(frames.flip(1))
    torch.testing.assert_close(tortuosity(*there), tortuosity(*back), rtol=1e-9, atol=0)
    torch.testing.assert_close(jump(there.steps), jump(back.steps), rtol=1e-9, atol=1e-10)
    first, middle, last = frames[:, 0], frames[:, 8], frames[:, -1]
    torch.testing.assert_close(betweenness(first, middle, last), betweenness(last, middle, first), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", [*PIXEL, *JUDGED])
def test_a_constant_decoder_has_no_path(name):
    e = fake_encoding()
    image = e.x.mean(0)
    with pytest.raises(Undefined, match="no path"):
        measure(name, fake_encoding(decode=lambda z: image.expand(len(z), -1, -1, -1)))
    faint = fake_encoding(decode=lambda z: image + 1e-4 * z[:, :1, None, None])
    with pytest.raises(Undefined, match=r"ends of (\d+) of \1 paths"):
        measure(name, faint)


def test_pairs_without_a_path_are_left_out_and_counted():
    x, y = blobs(40, dtype=torch.float64)
    mu = torch.zeros(40, 1, dtype=torch.float64)
    mu[:16, 0] = torch.linspace(1, 5, 16, dtype=torch.float64)

    def decode(z):
        return z.clamp(min=0).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)

    value = measure("path.tortuosity", encode("test", x, Posterior(mu), decode, y))
    ends = draw_pairs(40, 500, seeded(0, "pairs"))
    still = int((mu[ends[:, 0], 0] == mu[ends[:, 1], 0]).sum())
    assert 0 < still < 250
    assert (value.detail["left_out"], value.detail["paths"]) == (still, 500 - still)
    assert value.value == pytest.approx(1, rel=1e-9)


@known_answer("path.tortuosity")
def test_a_decoder_of_noise_wanders():
    generator = seeded(1, "noise decoder")
    e = fake_encoding(decode=lambda z: torch.rand(len(z), 1, 4, 4, generator=generator))
    assert measure("path.tortuosity", e).value == pytest.approx(15, abs=1)


def test_pairs_never_join_an_image_to_itself_and_few_are_the_first_of_many():
    many = draw_pairs(7, 2000, seeded(0, "pairs"))
    assert (many[:, 0] != many[:, 1]).all()
    assert len({tuple(p) for p in many.tolist()}) == 42
    assert torch.equal(draw_pairs(7, 30, seeded(0, "pairs")), many[:30])
    with pytest.raises(Undefined, match="two images"):
        draw_pairs(1, 5, seeded(0, "pairs"))


def test_all_models_see_the_same_pairs_and_seeds_differ():
    one, other, later = fake_encoding(None), fake_encoding(0.3), fake_encoding(None, seed=1)
    ends = [decoded_paths(e, frames=3, pairs=9).ends for e in (one, other, later)]
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_paths_begin_and_end_in_the_reconstructions():
    e = bent_encoding()
    paths = decoded_paths(e, frames=6, pairs=10)
    torch.testing.assert_close(paths.frames[:, 0], e.x_hat[paths.ends[:, 0]], rtol=0, atol=1e-10)
    torch.testing.assert_close(paths.frames[:, -1], e.x_hat[paths.ends[:, 1]], rtol=0, atol=1e-10)
    fade = cross_fade(paths.frames)
    torch.testing.assert_close(fade[:, [0, -1]], paths.frames[:, [0, -1]], rtol=0, atol=0)
    assert judged_paths(e, frames=6, pairs=10).label.shape == (10, 6)


def test_points_along_a_line():
    points = along(torch.zeros(2, 3), torch.ones(2, 3), torch.tensor([0.0, 0.25, 1.0]))
    assert points[1, :, 0].tolist() == [0.0, 0.25, 1.0]


def test_references_are_the_cross_fade_of_the_real_images():
    e = fake_encoding()
    judged = ("path.class_changes", "midpoint.betweenness_features")
    seen = {n: metrics()[n].references(e, **metrics()[n].params)["ceiling:cross-fade"] for n in (*PIXEL, *judged)}
    assert seen["path.tortuosity"] == seen["midpoint.betweenness"] == 1
    assert seen["path.jump"] == seen["midpoint.nonblend"] == 0
    assert seen["path.refinement"] == 0.5
    assert seen["midpoint.betweenness_features"] == pytest.approx(1, abs=1e-5)
    assert 0 < seen["path.class_changes"] < 3

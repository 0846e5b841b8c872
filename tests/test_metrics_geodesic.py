"""Shortest decoded paths: where they are known, another optimiser, and what must leave them and every measure of decoded
continuity unchanged."""

import math
from dataclasses import replace

import pytest
import torch
from fakes import Coordinates, encode, fake_encoding, known_answer, normal, proofs_of, reference, value
from worse import jagged

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined
from latentbench.metrics.decoded_continuity import along, path_pairs, step_lengths
from latentbench.metrics.geodesic import decoded, energy, geodesic_lengths, normal_equations, shorten
from latentbench.metrics.jacobian import code_scale

PROOFS = (
    proofs_of(
        "geodesic.ratio",
        package=None,
        coordinates=Coordinates(
            "exact", "exact", "exact", "draws", "a linear map keeps straight lines; pairs are drawn by position"
        ),
        degrade=jagged,
        free="a straight line is the best; 1 for any linear decoder",
    ),
)


def polar(z):
    """(r, theta) -> (r cos theta, r sin theta), images of two pixels: distances are those of the plane."""
    return torch.stack([z[:, 0] * z[:, 1].cos(), z[:, 0] * z[:, 1].sin()], 1).view(-1, 1, 1, 2)


def on_a_circle(degrees, decode=polar):
    """Two held-out codes at radius 1, this angle apart; training codes over a ring around it."""
    mu = torch.tensor([[1.0, 0.0], [1.0, math.radians(degrees)]], dtype=torch.float64)
    codes = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    codes = codes * torch.tensor([1.5, math.pi]) + torch.tensor([0.2, 0.0])
    train = encode("train", polar(codes), Posterior(codes), decode)
    return encode("test", polar(mu), Posterior(mu), decode, train=train)


@known_answer("geodesic.ratio")
@pytest.mark.parametrize("degrees", [30, 60, 90, 120])
def test_the_chord_is_the_geodesic_of_polar_coordinates(degrees):
    half = math.radians(degrees) / 2
    arc = 15 * 2 * math.sin(half / 15)  # of 15 straight segments
    found = value("geodesic.ratio", on_a_circle(degrees))
    assert found == pytest.approx(2 * math.sin(half) / arc, rel=1e-4)
    assert found == pytest.approx(math.sin(half) / half, rel=3e-3)


@known_answer("geodesic.ratio")
def test_a_linear_decoder_has_straight_geodesics():
    assert value("geodesic.ratio", fake_encoding(dtype=torch.float64)) == pytest.approx(1, rel=1e-6)
    assert value("geodesic.ratio", fake_encoding()) == pytest.approx(1, rel=1e-5)


def test_no_path_is_longer_than_the_straight_line_and_more_steps_make_none_longer():
    e = bent_encoding()
    lengths = [geodesic_lengths(e, frames=16, pairs=40, steps=s)[:2] for s in (0, 1, 3, 12)]
    whole = lengths[0][0]
    assert torch.equal(whole, lengths[0][1])
    for _, least in lengths:
        assert (least <= whole).all()
    means = [float((least / whole).mean()) for _, least in lengths]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.99


def test_central_differences_find_the_same_paths():
    seen, blind = on_a_circle(90), on_a_circle(90, lambda z: polar(z.detach()))
    there, here = (metrics()["geodesic.ratio"].compute(e, frames=16, pairs=4, steps=8) for e in (seen, blind))
    assert (there.detail["method"], here.detail["method"]) == ("autograd", "central differences")
    assert here.value == pytest.approx(there.value, rel=1e-3)


def bent(z):
    """A smooth decoder that is not affine."""
    mixing = normal((z.shape[1], 16), "mixing").to(z)
    return (0.5 + 0.4 * torch.tanh(z @ mixing)).view(-1, 1, 4, 4)


def bent_encoding(map_codes=lambda z: z, unmap_codes=lambda z: z):
    """A model with the decoder `bent`, optionally seen through a reparametrisation of its latent space; its
    reconstructions are not perfect."""

    def decode(z):
        return bent(unmap_codes(z))

    codes, held_out = normal((200, 3), "training codes"), normal((40, 3), "codes")
    x = (bent(held_out) + 0.05 * normal((40, 1, 4, 4), "what is lost")).clamp(0, 1)
    train = encode("train", bent(codes), Posterior(map_codes(codes)), decode)
    judge = fake_encoding(dtype=torch.float64).judge
    return encode("test", x, Posterior(map_codes(held_out)), decode, torch.arange(40) % 4, train, judge)


@reference("geodesic.ratio")
def test_torch_lbfgs_finds_no_lower_energy():
    """The same energy minimised by `torch.optim.LBFGS` through reverse-mode derivatives: equal optima, path by path,
    where both end in the same valley (all but a few), and no lower mean."""
    e = bent_encoding()
    ends = path_pairs(e, 20)
    straight = along(e.mu[ends[:, 0]], e.mu[ends[:, 1]], torch.linspace(0, 1, 16))
    factor = code_scale(e)
    move = torch.zeros(20, 14, 3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([move], max_iter=500, history_size=30, line_search_fn="strong_wolfe")

    def images():
        inner = straight[:, 1:-1] + move @ factor.T
        points = torch.cat([straight[:, :1], inner, straight[:, -1:]], 1)
        return bent(points.flatten(0, 1)).view(20, 16, -1)

    def closure():
        optimiser.zero_grad()
        total = images().diff(dim=1).square().sum()
        total.backward()
        return total

    optimiser.step(closure)
    theirs = images().diff(dim=1).square().sum((1, 2)).detach()
    ours = energy(decoded(e, shorten(e, straight, 40)))
    assert ours.mean() <= theirs.mean() * 1.001
    same = (ours / theirs - 1).abs() < 2e-3
    assert same.double().mean() >= 0.8
    assert (ours < 0.9 * energy(decoded(e, straight))).any()


def test_normal_equations_are_those_of_least_squares():
    jacobian, images = normal((2, 3, 7, 2), "jacobian"), normal((2, 5, 7), "images")
    matrix, right = normal_equations(jacobian, images)
    for p in range(2):
        rows = torch.zeros(4, 7, 3, 2, dtype=torch.float64)  # the change of step t under the moves of its two ends
        for t in range(3):
            rows[t, :, t] += jacobian[p, t]
            rows[t + 1, :, t] -= jacobian[p, t]
        rows = rows.view(28, 6)
        torch.testing.assert_close(matrix[p], rows.T @ rows, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(right[p], -rows.T @ images[p].diff(dim=0).flatten(), rtol=1e-10, atol=1e-10)


CONTINUITY = tuple(n for n in metrics() if n.startswith(("path.", "midpoint.", "geodesic.", "jacobian.")))


@pytest.mark.parametrize("name", [*CONTINUITY, "r2"])
def test_an_affine_reparametrisation_changes_nothing(name):
    matrix, shift = normal((3, 3), "matrix") + 3 * torch.eye(3, dtype=torch.float64), 10 * normal((3,), "shift")
    inverse = matrix.inverse()
    moved = bent_encoding(lambda z: z @ matrix + shift, lambda z: (z - shift) @ inverse)
    assert value(name, moved) == pytest.approx(value(name, bent_encoding()), rel=1e-6, abs=1e-9)


def test_swapping_the_ends_changes_no_length():
    e = bent_encoding()
    ends = path_pairs(e, 15)
    there = along(e.mu[ends[:, 0]], e.mu[ends[:, 1]], torch.linspace(0, 1, 16, dtype=torch.float64))
    one, other = (step_lengths(decoded(e, shorten(e, z, 8))).steps.sum(1) for z in (there, there.flip(1)))
    torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def test_decoders_without_paths_or_without_a_derivative_to_follow():
    e = fake_encoding()
    image = e.x.mean(0)
    with pytest.raises(Undefined, match="no path"):
        value("geodesic.ratio", fake_encoding(decode=lambda z: image.expand(len(z), -1, -1, -1)))
    with pytest.raises(Undefined, match="moves in jumps"):
        value("geodesic.ratio", replace(e, decode=lambda z: e.decode(z.round())))
    generator = torch.Generator().manual_seed(0)
    noise = replace(e, decode=lambda z: torch.rand(len(z), 1, 4, 4, generator=generator))
    with pytest.raises(Undefined, match="moves in jumps"):
        value("geodesic.ratio", noise)

"""The whitened Jacobian: affine decoders whose singular values are known, another implementation, decoders that autograd
cannot see into, and what must not change it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import Coordinates, encode, fake_encoding, known_answer, normal, proofs_of, reference, value

from latentbench.catalog import metrics
from latentbench.core import Dataset, Posterior, Split, Undefined
from latentbench.measuring import scoring
from latentbench.metrics.jacobian import ZERO, condition, derivative_of, method_of, spectrum, whitening
from latentbench.records import Record

PROOFS = (
    proofs_of(
        "jacobian.lipschitz",
        "jacobian.condition",
        package=None,
        coordinates=Coordinates("exact", "exact", "exact", "exact", "whitened by the covariance of the codes"),
    ),
)

NAMES = ("jacobian.lipschitz", "jacobian.condition")


def result(name, e):
    metric = metrics()[name]
    return metric.compute(e, **metric.params)


def affine(matrix, codes, held_out):
    """An encoding whose decoder is ``z -> matrix z`` on 16 pixels, with training codes and held-out codes."""

    def decode(z):
        return (z @ matrix.to(z)).view(-1, 1, 4, 4)

    train = encode("train", decode(codes), Posterior(codes), decode)
    return encode("test", decode(held_out), Posterior(held_out), decode, train=train)


def orthonormal(rows, columns):
    return torch.linalg.qr(normal((columns, rows), "basis")).Q.T


@known_answer("jacobian.lipschitz", "jacobian.condition")
def test_affine_decoder():
    """Codes with standard deviations 2, 1, 3 on the axes, image directions of length 1, 1, 1/2: singular values
    2, 1.5, 1."""
    raw = normal((400, 3), "codes")
    raw = (raw - raw.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(raw.T, correction=0))).T
    codes = raw * torch.tensor([2.0, 1.0, 3.0]) + 5
    e = affine(torch.tensor([1.0, 1.0, 0.5]).double()[:, None] * orthonormal(3, 16), codes, 40 * codes[:30])
    sigma = spectrum(e, codes=30).sigma
    torch.testing.assert_close(sigma, torch.tensor([2.0, 1.5, 1.0]).double().expand(30, 3), rtol=1e-9, atol=0)
    assert value("jacobian.lipschitz", e) == pytest.approx(2, rel=1e-6)
    assert result("jacobian.lipschitz", e).detail["q95"] == pytest.approx(2, rel=1e-6)
    assert value("jacobian.condition", e) == pytest.approx(2, rel=1e-6)
    # Without a training split it is the held-out codes, forty times as far apart, whose spread counts.
    alone = replace(e, train=None, mu=40 * codes, x=e.x)
    assert value("jacobian.lipschitz", alone) == pytest.approx(80, rel=1e-6)


@known_answer("jacobian.condition")
def test_singular_values_that_count_as_zero_are_left_out_and_counted():
    sigma = torch.tensor([[4.0, 2.0, 3.9 * ZERO], [4.0, 2.0, 4.1 * ZERO]], dtype=torch.float64)
    assert condition(sigma).tolist() == pytest.approx([2, 4 / (4.1 * ZERO)])
    matrix = orthonormal(3, 16)
    matrix[2] = 0  # a dimension that the decoder ignores
    codes = normal((300, 3), "codes")
    found = result("jacobian.condition", affine(matrix, codes, codes[:50]))
    assert found.detail["nonzero"] == 2
    assert found.value < 1.3


def bent(z):
    """A smooth decoder that is not affine."""
    mixing = normal((z.shape[1], 16), "mixing").to(z)
    return (0.5 + 0.4 * torch.tanh(z @ mixing)).view(-1, 1, 4, 4)


def bent_encoding(dtype=torch.float64, decode=bent):
    mu = normal((60, 3), "codes").to(dtype) * torch.tensor([0.3, 1.0, 2.0], dtype=dtype)
    return encode("test", bent(mu), Posterior(mu), decode)


@reference("jacobian.lipschitz", "jacobian.condition")
def test_torch_jacobian_and_numpy_svd_agree():
    e = bent_encoding()
    eigen, axes = np.linalg.eigh(np.cov(e.mu.numpy().T, bias=True))
    root = axes @ np.diag(np.sqrt(eigen)) @ axes.T  # the symmetric square root
    each = []
    for z in e.mu:
        jacobian = torch.autograd.functional.jacobian(lambda at: bent(at[None]).flatten(), z).numpy()
        each.append(np.linalg.svd(jacobian @ root, compute_uv=False))
    sigma = np.array(each)
    assert sigma.std(0).min() > 0.01
    np.testing.assert_allclose(spectrum(e, codes=100).sigma.numpy(), sigma, rtol=1e-9)
    assert value("jacobian.lipschitz", e) == pytest.approx(np.median(sigma[:, 0]), rel=1e-6)
    assert value("jacobian.condition", e) == pytest.approx(np.median(sigma[:, 0] / sigma[:, -1]), rel=1e-6)


def through_numpy(z):
    return torch.from_numpy(bent(z.detach()).numpy().copy())


def in_inference_mode(z):
    with torch.inference_mode():
        return bent(z)


def detached(z):
    return bent(z.detach())


def refusing(z):
    if z.requires_grad or torch.autograd.forward_ad.unpack_dual(z).tangent is not None:
        raise NotImplementedError("no derivative for this")
    return bent(z)


def without_gradients(z):
    with torch.no_grad():
        return bent(z)


class Cubed(torch.autograd.Function):
    """A function whose backward pass is no function of its own: it has no second derivatives."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        ctx.save_for_forward(z)
        return z**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (z,) = ctx.saved_tensors
        return 3 * z**2 * gradient

    @staticmethod
    def jvp(ctx, tangent):
        (z,) = ctx.saved_tensors
        return 3 * z**2 * tangent


@pytest.mark.parametrize("decode", [through_numpy, in_inference_mode, detached, refusing])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_central_differences_where_autograd_cannot_pass(decode, dtype):
    seen, blind = bent_encoding(dtype), bent_encoding(dtype, decode)
    assert (method_of(seen), method_of(blind)) == ("autograd", "central differences")
    for name in NAMES:
        there, here = result(name, seen), result(name, blind)
        assert (there.detail["method"], here.detail["method"]) == ("autograd", "central differences")
        assert here.value == pytest.approx(there.value, rel=1e-3)
    torch.testing.assert_close(
        spectrum(blind, codes=60).sigma, spectrum(seen, codes=60).sigma, rtol=1e-3, atol=1e-3 * 0.1
    )


def test_forward_mode_where_two_backward_passes_cannot_be():
    seen = bent_encoding(torch.float64)
    blind = bent_encoding(torch.float64, without_gradients)
    assert derivative_of(seen) is not derivative_of(blind)
    assert method_of(blind) == "autograd"
    torch.testing.assert_close(spectrum(blind, codes=60).sigma, spectrum(seen, codes=60).sigma, rtol=1e-9, atol=0)
    once, twice = (bent_encoding(torch.float64, lambda z, f=f: bent(f(z))) for f in (Cubed.apply, lambda z: z**3))
    assert derivative_of(once) is not derivative_of(twice)
    torch.testing.assert_close(spectrum(once, codes=60).sigma, spectrum(twice, codes=60).sigma, rtol=1e-9, atol=0)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
        self.decoder = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Unflatten(1, (1, 4, 4)))

    def encode(self, x):
        return Posterior(self.encoder(x))

    def decode(self, z):
        return self.decoder(z)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_measured_model_is_differentiated_by_autograd(frozen):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net().eval().requires_grad_(not frozen)
    x = fake_encoding().x
    data = Dataset("blobs", *[Split(x, None)] * 3)
    e = scoring.encode(model, data, 0, torch.device("cpu"))
    rows = scoring.score(e, [metrics()[n] for n in (*NAMES, "geodesic.ratio")], Record())
    assert [(r.status, r.detail.get("method")) for r in rows] == [("ok", "autograd")] * 3, [r.reason for r in rows]
    assert not e.decode(e.mu).requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_a_decoder_that_stands_still_has_no_spectrum(name):
    e = fake_encoding()
    image = e.x.mean(0)
    with pytest.raises(Undefined, match=r"derivative is zero at (\d+) of \1 codes"):
        value(name, fake_encoding(decode=lambda z: image.expand(len(z), -1, -1, -1)))
    with pytest.raises(Undefined, match="derivative is zero"):
        value(name, fake_encoding(decode=lambda z: e.decode(z.round())))
    point = replace(e, mu=e.mu[:1].expand_as(e.mu), train=None)
    with pytest.raises(Undefined, match="derivative is zero"):
        value(name, point)


def test_whitening_is_a_root_of_the_covariance():
    points = normal((50, 4), "points") @ normal((4, 4), "shear")
    points[:, 3] = 7.0
    factor = whitening(points)
    torch.testing.assert_close(factor @ factor.T, torch.cov(points.T, correction=0), rtol=1e-9, atol=1e-10)
    assert (factor.norm(dim=0) == 0).sum() == 1
    assert whitening(points[:, :1]).item() == pytest.approx(points[:, 0].std(correction=0).item())


def test_two_dimensions_by_hand():
    """z -> (z_1 cos z_2, z_1 sin z_2): J has columns of length 1 and |z_1|, at right angles."""

    def polar(z):
        return torch.stack([z[:, 0] * z[:, 1].cos(), z[:, 0] * z[:, 1].sin()], 1).view(-1, 1, 1, 2)

    mu = torch.tensor([[2.0, 0.0], [4.0, 0.0], [2.0, math.pi], [4.0, math.pi]], dtype=torch.float64)
    sigma = spectrum(encode("test", polar(mu), Posterior(mu), polar), codes=9).sigma
    expected = [[mu[i, 0].item() * math.pi / 2, 1.0] for i in range(4)]
    torch.testing.assert_close(sigma, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-10)

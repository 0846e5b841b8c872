"""Reconstruction: what survives the bottleneck.

The decoded posterior mean ``g(mu(x))`` is held against ``x`` pixel by pixel. A squared error means little by itself,
so it also stands relative to the best that can be done without looking at the image at all: the mean image of the
training split.

A posterior also says how far from its mean a code may lie and still stand for the image. Whether the decoder agrees is
told by one *draw* z ~ q(z|x) of each image, decoded in the mean's place: a sigma that the decoder was trained with costs
little, and one it never saw (written beside the codes of an autoencoder, say) costs what it is large.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from latentbench.core import BOUNDS, DECODER, TRAIN, Encoding, Metric, Need, Phrase, Undefined, Value
from latentbench.metrics.decoding import CHUNK, decode, protocol
from latentbench.records import Reason
from latentbench.spaces.image import Image

if TYPE_CHECKING:
    from jaxtyping import Float


def mean_squared_error(x: Float[Tensor, "n ..."], x_hat: Float[Tensor, "*_"]) -> float:
    """Mean over images and pixels of ``(x - x_hat)^2``, for ``x``, ``x_hat`` (n, c, h, w) (or one image that
    broadcasts). >= 0, lower is better; squared intensity. Summed in float64, a chunk in memory at a time."""
    parts = zip(torch.split(x, CHUNK), torch.split(x_hat.expand_as(x), CHUNK), strict=True)
    return sum(float((a.double() - b.double()).square().sum()) for a, b in parts) / x.numel()


def explained_share(x: Float[Tensor, "n ..."], x_hat: Float[Tensor, "n ..."], mean_image: Float[Tensor, "*_"]) -> float:
    """``R^2 = 1 - MSE(x, x_hat) / MSE(x, mean_image)``: at most 1; 0 is no better than ``mean_image`` (c, h, w).

    Raises Undefined where every image equals the mean image.
    """
    total = mean_squared_error(x, mean_image)
    if total == 0.0:
        raise Undefined("all images are the same: there is nothing to explain", "undefined.nothing_to_explain")
    return 1.0 - mean_squared_error(x, x_hat) / total


def reconstructions(e: Encoding) -> Float[Tensor, "n ..."]:
    """Decoded posterior means (n, c, h, w): the encoding's own, or made here where it holds none."""
    return e.x_hat if e.x_hat is not None else decode(e, e.mu, e.labels)


def peak_ratio(error: float, peak: float = 1.0) -> float:
    """``PSNR = 10 log10(peak^2 / MSE)`` in decibels, ``peak`` the range that values may have, higher is better. Of the error over all pixels
    of all images, as torchmetrics has it by default: the mean of each image's own PSNR is larger, and one image given
    back exactly would make it infinite. Raises Undefined where the error is 0."""
    if error == 0.0:
        raise Undefined("the reconstructions are exact: their signal-to-noise ratio is infinite", "undefined.exact")
    return -10.0 * math.log10(error / peak**2)


def window(side: int) -> tuple[int, float]:
    """Width and standard deviation of the Gaussian window of SSIM for images whose shorter side is ``side`` >= 1: 11 and 1.5
    as published; of images of fewer than 6 pixels the widest that can be reflected at their edges, and as much less of a
    deviation."""
    width = min(11, 2 * side - 1)
    return width, 1.5 * width / 11


def structural_similarity(x: Tensor, x_hat: Tensor, peak: float = 1.0) -> float:
    """SSIM of images ``x``, ``x_hat`` (n, c, h, w), mean over images, channels and places of

        (2 m_x m_y + c_1) (2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1) (s_x^2 + s_y^2 + c_2)),

    c_1 = (.01 peak)^2, c_2 = (.03 peak)^2, with means m, variances s^2 and the covariance s_xy under a Gaussian `window`, images
    being reflected at their edges. In [-1, 1], higher is better; 1 = the same image. Wang et al. 2004; a chunk in memory at a time.
    """
    width, sd = window(min(x.shape[2:]))
    at = torch.arange(width, dtype=torch.float64, device=x.device) - (width - 1) / 2
    line = torch.exp(-(at**2) / (2 * sd**2))
    line /= line.sum()

    def blurred(images: Tensor) -> Tensor:
        flat = torch.nn.functional.pad(images.flatten(0, 1)[:, None], [width // 2] * 4, mode="reflect")
        down = torch.nn.functional.conv2d(flat, line[None, None, :, None])
        return torch.nn.functional.conv2d(down, line[None, None, None, :])

    total, places = 0.0, 0
    for a, b in zip(torch.split(x, CHUNK), torch.split(x_hat, CHUNK), strict=True):
        a, b = a.double(), b.double()
        mean_a, mean_b = blurred(a), blurred(b)
        var_a, var_b = ((blurred(c * c) - m**2).clamp(min=0) for c, m in ((a, mean_a), (b, mean_b)))
        shared = blurred(a * b) - mean_a * mean_b
        c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        same = (2 * mean_a * mean_b + c1) * (2 * shared + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
        total, places = total + float(same.sum()), places + same.numel()
    return min(total / places, 1.0)


def _peak(e: Encoding) -> float:
    low, high = e.space.bounds or (0.0, 1.0)
    return high - low


def _psnr(e: Encoding) -> Value:
    return Value(peak_ratio(_mse(e), _peak(e)), detail=protocol(e, len(e.x)))


def _ssim(e: Encoding) -> Value:
    width, sd = window(min(e.x.shape[2:]))
    detail = protocol(e, len(e.x), window=width, sigma=sd)
    return Value(structural_similarity(e.x, e.once(reconstructions), _peak(e)), detail=detail)


IMAGES = Need(
    "images",
    lambda e: isinstance(e.space, Image),
    Reason.of("needs.images", "only images have a structure in two directions"),
)


def _mse(e: Encoding) -> float:
    return mean_squared_error(e.x, e.once(reconstructions))


def decoded_draws(e: Encoding) -> Tensor:
    """One decoded draw of each image's posterior (n, c, h, w): for a Dirac the reconstruction itself."""
    return e.once(reconstructions) if e.log_var is None else decode(e, e.z, e.labels)


def _explained(e: Encoding, images: Tensor) -> float:
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    return explained_share(e.x, images, e.train.x.mean(0, dtype=torch.float64))


def _r2(e: Encoding) -> float:
    return _explained(e, e.once(reconstructions))


def _r2_draw(e: Encoding) -> float:
    return _explained(e, decoded_draws(e))


mse = Metric(
    name="mse",
    family="reconstruction",
    compute=_mse,
    better="lower",
    bounds=(0.0, None),
    unit="squared intensity",
    summary="mean squared error of the decoded posterior mean, per pixel",
    source="definition",
    needs=frozenset({DECODER}),
    splits=("train", "test"),
    phrase=Phrase(
        "mean squared error",
        "makes a larger squared error",
        "makes a smaller squared error",
    ),
)

r2 = Metric(
    name="r2",
    family="reconstruction",
    compute=_r2,
    better="higher",
    bounds=(None, 1.0),
    unit="share of variance",
    least=0.02,
    summary="1 - MSE / MSE of the training split's mean image; 0 = no better than that image",
    source="coefficient of determination, Wright 1921",
    needs=frozenset({DECODER, TRAIN}),
    splits=("train", "test"),
    phrase=Phrase(
        "R² on held-out images",
        "reconstructs held-out images better",
        "reconstructs held-out images worse",
    ),
    headline=("reconstructs", "cost"),
)

r2_draw = Metric(
    name="r2.draw",
    family="reconstruction",
    compute=_r2_draw,
    better="higher",
    bounds=(None, 1.0),
    unit="share of variance",
    summary="R^2 of images decoded from one draw of each posterior in place of its mean; close below R^2 = the decoder "
    "knows the posterior's sigma, equal = a point",
    source="coefficient of determination, Wright 1921",
    needs=frozenset({DECODER, TRAIN}),
    phrase=Phrase(
        "R² of posterior draws on held-out images",
        "reconstructs held-out images better from a draw of their posterior",
        "reconstructs held-out images worse from a draw of their posterior",
    ),
)

psnr = Metric(
    name="psnr",
    family="reconstruction",
    compute=_psnr,
    better="higher",
    bounds=(None, None),
    unit="dB",
    least=0.25,
    summary="peak signal-to-noise ratio of the decoded posterior mean, 10 log10 of the squared range over the MSE",
    source="definition; peak: the range of the values",
    needs=frozenset({BOUNDS, DECODER}),
    splits=("train", "test"),
)

ssim = Metric(
    name="ssim",
    family="reconstruction",
    compute=_ssim,
    better="higher",
    bounds=(-1.0, 1.0),
    unit="similarity",
    least=0.01,
    summary="structural similarity of images and their decoded posterior means, under a Gaussian window of 11 pixels; 1 = the "
    "same images",
    source="Wang et al. 2004",
    needs=frozenset({BOUNDS, DECODER, IMAGES}),
    on_request=True,
)

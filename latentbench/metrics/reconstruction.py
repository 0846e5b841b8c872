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

from latentbench.core import BOUNDS, DECODER, TRAIN, Encoding, Metric, Phrase, Undefined
from latentbench.metrics.decoding import CHUNK, decode

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


def _psnr(e: Encoding) -> float:
    low, high = e.space.bounds or (0.0, 1.0)
    return peak_ratio(_mse(e), high - low)


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

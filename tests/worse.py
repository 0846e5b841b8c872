"""Encodings made worse: what must lower a metric's score at one blow, and the series of ever worse images that
`test_order` measures. A metric's test file names those that its metric must notice (`fakes.proofs_of`)."""

from __future__ import annotations

from dataclasses import replace

import torch
from fakes import normal, normal_log_prob

from latentbench.core import Encoding, Likelihood

EVERY = ("blur", "noise", "shuffle", "mean", "components")
"""The series of `test_order`."""


def jagged(e):
    """The same encoding with a decoder that adds a fast ripple: pictures further from the data, paths less smooth."""
    ripple = normal((e.mu.shape[1], 16), "ripple", e.mu)

    def decode(z):
        return e.decode(z) + 0.4 * torch.sin(9 * z @ ripple).view(-1, 1, 4, 4)

    return replace(e, decode=decode, x_hat=decode(e.mu))


def faded(e):
    """A decoder half as bright."""

    def decode(z):
        return e.decode(z) / 2

    return replace(e, decode=decode, x_hat=decode(e.mu))


def unlikely(e):
    """The same encoding with a likelihood about the jagged pictures."""
    bad = jagged(e)
    return replace(bad, likelihood=Likelihood("gaussian", lambda x, z: normal_log_prob(x, bad.decode(z), 0.1)))


def switched(e):
    """A decoder whose input moves in steps: paths that stand still and jump."""

    def decode(z):
        return e.decode((z / 2).round() * 2)

    return replace(e, decode=decode, x_hat=decode(e.mu))


def shuffled(e):
    """Every image has another's mean: nothing in the latent belongs to it."""
    order = torch.randperm(len(e.mu), generator=torch.Generator().manual_seed(3))
    mu = e.mu[order]
    return replace(e, mu=mu, x_hat=e.decode(mu))


def shrunk(e):
    """All codes a tenth as large, the decoder undoing it: N(0, I) reaches far beyond them."""

    def small(side: Encoding):
        return replace(side, mu=side.mu / 10, z=side.z / 10, decode=lambda z: e.decode(10 * z))

    return replace(small(e), train=small(e.train))


def gapped(e):
    """Codes at two far ends of the first axis: the fitted Gaussian's middle is empty."""

    def torn(side: Encoding):
        shift = torch.where(side.z[:, :1] > 0, 30.0, -30.0) * torch.eye(1, side.z.shape[1])
        return replace(side, z=side.z + shift)

    return replace(torn(e), train=torn(e.train))


def one_sided(e):
    """A decoder that sees only the sign of the first coordinate's size: fewer classes among its pictures."""

    def decode(z):
        return e.decode(torch.cat([z[:, :1].abs() + 1, z[:, 1:]], 1))

    return replace(e, decode=decode, x_hat=decode(e.mu))


def collapsed(e):
    """The first latent dimension's means stand still."""
    return replace(e, mu=e.mu * torch.tensor([0.0, 1.0, 1.0]))


def doubled(e):
    """Beside what is decoded stands, fainter, what the opposite point decodes to: a frame that is no line."""

    def decode(z):
        return 0.7 * e.decode(z) + 0.3 * e.decode(-z)

    return replace(e, decode=decode, x_hat=decode(e.mu))


def wobbling(e):
    """A plane whose directions are bent to and fro: lines on the way turn back."""

    def decode(z):
        angle = torch.atan2(z[:, 1], z[:, 0])
        angle = angle + torch.sin(4 * angle)
        return e.decode(torch.stack([angle.cos(), angle.sin(), z[:, 2]], 1))

    return replace(e, decode=decode, x_hat=decode(e.mu))


def remembered(e):
    """A decoder that gives back the training image whose code is nearest."""

    def decode(z):
        return e.train.x[torch.cdist(z.double(), e.train.mu.double()).argmin(1)]

    return replace(e, decode=decode, x_hat=decode(e.mu))

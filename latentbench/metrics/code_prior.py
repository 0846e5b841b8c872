"""Priors of a discrete latent: how often each code is used at each position, and which codes go together.

A model such as the VQ-VAE is trained under a uniform prior over its codes, from which nobody samples: after training, a
prior is fitted to the codes c = (c_1, ..., c_P) of the training images and drawn from (van den Oord et al. 2017). Two of them:

    marginal          p(c) = prod_p p_p(c_p), p_p the shares in which position p takes its codes: each position for itself
    autoregressive    p(c) = prod_p p(c_p | c_1, ..., c_{p-1}), by a small recurrent network (GRU, Cho et al. 2014)

The network sees a code as the latent values that it stands for, v_p(c): what it learns of one it knows of its neighbours, of
which a codebook of hundreds has many and each is rare. With h_p the state after c_1 .. c_{p-1} its logits are
log p_p(c) + h_p . f(v_p(c)), f a small network that is 0 before training: it starts as the marginal and learns what one
position says of the next. A tenth of the training codes is kept aside, and the weights of the epoch with the smallest negative
log-likelihood (nll, in nats an image) on it are kept, the start among them; so where positions are independent the two are one.
Neither gives mass to a code that no training image takes at that position. Draws are the inverse distribution function of
uniform numbers Phi(noise), the noise every model and sampler is asked with: they pair by seed. It is fitted on the CPU, in float64: in float32
the last digits of a processor grow over the epochs until they decide draws.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from latentbench.core import DISCRETE, TRAIN, Codebook, Encoding, Prior, Undefined
from latentbench.metrics.decoding import subsample

MOST = 20_000
"""Training images whose codes a prior is fitted to, at most."""
EMBEDDING, HIDDEN, BATCH, RATE = 16, 64, 100, 3e-3
"""Of the network: the length of a code's vector, its hidden units, images a step, and Adam's rate."""
EPOCHS, PATIENCE, VISITS = 60, 6, 1_000_000
"""Epochs at most, epochs without improvement after which it ends, and positions that training visits at most."""
ASIDE = 0.1
"""Share of the codes that is kept aside to stop by."""


def code_shares(codes: Tensor, size: int) -> Tensor:
    """Share (P, size) float64 of each of ``size`` codes at each position, of codes (n, P) int64, n >= 1; rows sum to 1."""
    counts = torch.zeros(codes.shape[1], size, dtype=torch.float64, device=codes.device)
    counts.scatter_add_(1, codes.T, torch.ones_like(codes.T, dtype=torch.float64))
    return counts / len(codes)


def inverse(shares: Tensor, uniform: Tensor) -> Tensor:
    """The codes (m,) int64 at which distributions ``shares`` (m, size), or one (size,), reach ``uniform`` (m,) in [0, 1):
    draws from them where that is uniform. A code of share 0 is never drawn."""
    cumulated = shares.double().cumsum(-1).expand(len(uniform), -1).contiguous()
    reached = torch.searchsorted(cumulated, uniform[:, None] * cumulated[:, -1:], right=True)[:, 0]
    last = shares.shape[-1] - 1 - (shares > 0).flip(-1).to(torch.uint8).argmax(-1)  # rounding may overshoot
    return torch.minimum(reached, last)


class Network(nn.Module):
    """The autoregressive prior over ``P`` positions; ``logits`` (P, size) are those of the marginal, -inf where a code is
    not used; ``vectors`` (P, size, v) what each code stands for."""

    vectors: Tensor

    def __init__(self, logits: Tensor, vectors: Tensor) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors.clone())
        self.seen = nn.Sequential(nn.Linear(vectors.shape[2], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, EMBEDDING))
        last = nn.Linear(HIDDEN, HIDDEN)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.asked = nn.Sequential(nn.Linear(vectors.shape[2], HIDDEN), nn.ReLU(), last)
        self.register_buffer("used", logits > -math.inf)
        self.bias = nn.Parameter(torch.where(logits > -math.inf, logits, 0.0))
        self.position = nn.Parameter(0.1 * torch.randn(len(logits), EMBEDDING))
        self.step = nn.GRU(EMBEDDING, HIDDEN, batch_first=True)

    def log_probs(self, codes: Tensor) -> Tensor:
        """Log p(c_p | c_1 .. c_{p-1}) of every code, (n, P, size), for codes (n, P)."""
        known = self.seen(self.vectors)[torch.arange(codes.shape[1] - 1), codes[:, :-1]]
        before = torch.nn.functional.pad(known, (0, 0, 1, 0))  # at the first position nothing is known
        hidden, _ = self.step(before + self.position)
        logits = torch.einsum("nph,pkh->npk", hidden, self.asked(self.vectors)) + self.bias
        return self._normalised(logits, self.get_buffer("used"))

    def nll(self, codes: Tensor) -> Tensor:
        """-log p(c) in nats, (n,), of codes (n, P)."""
        return -self.log_probs(codes).gather(2, codes[..., None]).flatten(1).sum(1)

    @torch.no_grad()
    def draw(self, uniform: Tensor) -> Tensor:
        """Codes (m, P) at uniform numbers (m, P)."""
        hidden, drawn = None, []
        seen = torch.zeros(len(uniform), EMBEDDING, dtype=self.bias.dtype)
        for p in range(uniform.shape[1]):
            out, hidden = self.step((seen + self.position[p])[:, None], hidden)
            logits = out[:, 0] @ self.asked(self.vectors[p]).T + self.bias[p]
            logits = self._normalised(logits, self.get_buffer("used")[p])
            drawn.append(inverse(logits.exp(), uniform[:, p]))
            seen = self.seen(self.vectors[p])[drawn[-1]]
        return torch.stack(drawn, 1)

    @staticmethod
    def _normalised(logits: Tensor, used: Tensor) -> Tensor:
        return logits.masked_fill(~used, -math.inf).log_softmax(-1)


class CodePrior(NamedTuple):
    """Both priors of one model's codes. ``shares`` (P, k) of the ``k`` codes used at any position; ``codes`` (k,), which of the
    codebook these are; the ``network``; its ``nll`` and the marginal's (``nll_marginal``) on the codes kept aside, in nats an
    image; ``epochs`` whose weights were kept (0: the marginal) and the ``seconds`` that fitting took."""

    shares: Tensor
    codes: Tensor
    network: Network
    nll: float
    nll_marginal: float
    epochs: int
    seconds: float


def standardised(vectors: Tensor) -> Tensor:
    """Vectors (P, k, v) with mean 0 and variance 1 over codes in each of the v values of each position, float32 on the CPU."""
    vectors = vectors.detach().double().cpu()
    spread = vectors.std(1, correction=0, keepdim=True)
    return ((vectors - vectors.mean(1, keepdim=True)) / torch.where(spread > 0, spread, 1.0)).float()


@torch.inference_mode(False)
@torch.enable_grad()
def fit_code_prior(codes: Tensor, vectors: Callable[[Tensor], Tensor], generator: torch.Generator) -> CodePrior:
    """Both priors of ``codes`` (n, P) int64; ``vectors`` gives (P, k, v), the latent values that codes (k,) stand for at each
    position, or (1, k, v) where they are the same at all; they are standardised here. Raises Undefined for fewer than ten."""
    if len(codes) < 1 / ASIDE:
        raise Undefined(
            "a prior over codes needs ten training images, there are {n}", "undefined.prior_codes", n=len(codes)
        )
    started = time.perf_counter()
    codes = codes.detach().cpu().clone()
    used, codes = codes.unique(return_inverse=True)
    shares = code_shares(codes, len(used))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31 - 1, (1,), generator=generator)))
        logits, points = shares.log().float(), standardised(vectors(used)).expand(codes.shape[1], -1, -1)
        network = Network(logits, points).double()
    order = torch.randperm(len(codes), generator=generator)
    aside = max(1, round(ASIDE * len(codes)))
    kept, train = codes[order[:aside]], codes[order[aside:]]
    epochs, nll, before = _train(network, train, kept, generator)
    return CodePrior(shares, used, network, nll, before, epochs, time.perf_counter() - started)


def _train(network: Network, train: Tensor, kept: Tensor, generator: torch.Generator) -> tuple[int, float, float]:
    """Descend the nll of codes ``train``, keep the weights that are best on ``kept``: the epoch of these (from 1; 0: the
    start), their nll on it and that of the start."""
    adam = torch.optim.Adam(network.parameters(), lr=RATE)
    before = best = _mean_nll(network, kept)
    weights, at = {k: v.clone() for k, v in network.state_dict().items()}, 0
    for epoch in range(1, min(EPOCHS, max(1, VISITS // train.numel())) + 1):
        for rows in torch.randperm(len(train), generator=generator).split(BATCH):
            loss = network.nll(train[rows]).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        nll = _mean_nll(network, kept)
        if nll < best:
            best, at = nll, epoch
            weights = {k: v.clone() for k, v in network.state_dict().items()}
        elif epoch - at >= PATIENCE:
            break
    network.load_state_dict(weights)
    network.requires_grad_(False)
    return at, best, before


@torch.no_grad()
def _mean_nll(network: Network, codes: Tensor) -> float:
    return float(torch.cat([network.nll(part) for part in codes.split(10 * BATCH)]).mean())


def code_prior(e: Encoding) -> CodePrior:
    """Both priors, fitted to at most `MOST` codes of ``e``, an encoding of training images; the generator hangs on the seed
    and not on the model."""
    if e.codes is None or e.codebook is None:
        raise Undefined(e.lack(DISCRETE))
    codebook, device = e.codebook, e.mu.device

    def vectors(used: Tensor) -> Tensor:
        points = points_of(codebook, used.to(device)[:, None].expand(-1, codebook.parts))
        if points.shape[1] % codebook.parts:  # positions that share latent values: each code is seen by all of them
            return points[None]
        return points.view(len(used), codebook.parts, -1).transpose(0, 1)

    return fit_code_prior(subsample(e.codes, MOST, e.generator("prior codes")), vectors, e.generator("code prior"))


def of_training(e: Encoding) -> CodePrior:
    """`code_prior` of the training split, fitted once. Raises Undefined without it."""
    train = e.train or (e if e.split == "train" else None)
    if train is None:
        raise Undefined(e.lack(TRAIN))
    return train.once(code_prior)


def drawn_codes(prior: CodePrior, noise: Tensor, autoregressive: bool) -> Tensor:
    """Codes (m, P) of the codebook, from the first P columns of standard normal ``noise`` (m, d)."""
    uniform = torch.special.ndtr(noise[:, : len(prior.shares)].double().cpu())
    if autoregressive:
        found = prior.network.draw(uniform)
    else:
        found = torch.stack([inverse(share, u) for share, u in zip(prior.shares, uniform.T, strict=True)], 1)
    return prior.codes[found]


def draw_points(e: Encoding, noise: Tensor, autoregressive: bool = True) -> Tensor:
    """Latent points (m, d) of drawn codes, for standard normal ``noise`` (m, d). Raises Undefined where there are none."""
    if e.codebook is None:
        raise Undefined(e.lack(DISCRETE))
    return points_of(e.codebook, drawn_codes(of_training(e), noise, autoregressive).to(e.mu.device)).to(e.mu)


def points_of(codebook: Codebook, codes: Tensor) -> Tensor:
    """Latent points (m, d) of codes (m, P), without a graph."""
    with torch.no_grad():
        return codebook.points(codes).detach()


def autoregressive_prior(e: Encoding) -> Prior:
    """The prior of a discrete latent as every measure of "the prior" asks for it: the autoregressive one. A distribution over
    codes has no density in z."""
    return Prior(lambda noise, generator: draw_points(e, noise), None)

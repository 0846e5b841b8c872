"""The vector-quantised autoencoder (VQ-VAE): each of P positions of the latent is one of k code vectors e_1 .. e_k.

The encoder's output f(x), d values, is cut into P vectors z_p of d / P values, and each is replaced by the nearest code
vector, c_p = argmin_j |z_p - e_j|, one codebook for all positions (van den Oord, Vinyals & Kavukcuoglu 2017). With sg the
stop-gradient, the loss of an image is

    |x - g(e_c)|^2  +  commitment * sum_p |z_p - sg e_{c_p}|^2  +  [codebook=loss] sum_p |sg z_p - e_{c_p}|^2,

summed over pixels and latent values. The choice has no gradient: that of e_c is handed to f(x) as it is (straight through).

The codebook follows the encoder in one of two ways. ``ema`` (their appendix A.1): e_j is the running mean of the vectors
that chose it, N_j <- decay N_j + (1 - decay) n_j, m_j <- decay m_j + (1 - decay) sum z, e_j = m_j / N_j. ``loss``: the last term above.

Codes that nothing chooses stay where they are for good, so they are restarted (Dhariwal et al. 2020): one
whose running count is below `DEAD` of the mean count is put onto a vector of the batch, drawn by the loss's generator.
Training begins with code vectors at the k-means centres of what the fresh encoder makes of the training images.

Under a fixed uniform prior over the codes the KL is the constant P ln k and no part of the loss.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.core import Codebook, Loss, ModelEntry, Posterior
from latentbench.models.nets import Shape, Trunk
from latentbench.models.positions import split_latent, straight_through
from latentbench.randomness import randn, seeded
from latentbench.spaces.space import Net, Space

MOST_CODES = 65536
DEAD = 0.05
"""A code whose running count is below this share of the mean count is dead."""
START_IMAGES = 4096
"""Training images that the codebook's start looks at, at most."""
START_STEPS = 10
"""Steps of k-means that it takes."""


class VectorQuantised(nn.Module):
    """A VQ-VAE; its posterior is a Dirac at the chosen code vectors; see the module's docstring.

    ValueError for a field outside its range.

    Loss: |x - g(e_c)|^2 + commitment * sum_p |z_p - sg e_{c_p}|^2 + [codebook=loss] sum_p |sg z_p - e_{c_p}|^2

    Args:
        k: code vectors, 2 to 65,536
        parts: positions, a divisor of the latent size; None: what suits it (`positions.split_latent`)
        codebook: how the code vectors follow the encoder, by running means or by a loss of their own
        commitment: weight of the encoder's distance to the chosen code vectors, 0 or more
        decay: of the running means, from 0 to below 1
    """

    decoder_variance = None
    traceable = True
    vectors: Tensor

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        k: int = 512,
        parts: int | None = None,
        codebook: Literal["ema", "loss"] = "ema",
        commitment: float = 0.25,
        decay: float = 0.99,
        space: Space | None = None,
    ) -> None:
        super().__init__()
        if not 2 <= k <= MOST_CODES:
            raise ValueError(f"k: {k} is not allowed; a number of codes from 2 to {MOST_CODES}")
        if not (commitment >= 0 and math.isfinite(commitment)):
            raise ValueError(f"commitment: {commitment} is not allowed; a number from 0")
        if not 0 <= decay < 1:
            raise ValueError(f"decay: {decay} is not allowed; a number from 0 to below 1")
        self.latent_dim, self.k, self.commitment, self.decay = latent_dim, k, commitment, decay
        self.parts, self.values = split_latent(latent_dim, parts)
        self.trunk = Trunk(shape, latent_dim, latent_dim, depth=depth, width=width, net=net, space=space)
        vectors = torch.randn(k, self.values)
        self.learned = codebook == "loss"
        if self.learned:
            self.register_parameter("vectors", nn.Parameter(vectors))
        else:
            self.register_buffer("vectors", vectors)
            self.register_buffer("sums", vectors.clone())
        self.register_buffer("counts", torch.ones(k))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Begin where the training images ``x`` are: the decoder as `nets.Trunk.start` has it, the code vectors at k-means
        centres of the encoder's vectors (of at most `START_IMAGES` images)."""
        self.trunk.start(x)
        some = x[:: -(-len(x) // START_IMAGES)]
        self.place(kmeans(self._cut(self.trunk.encode(some)), self.k))

    @torch.no_grad()
    def place(self, vectors: Tensor) -> None:
        """Make ``vectors`` (k, d / parts) the codebook, each counted once."""
        self.vectors.copy_(vectors)
        self.get_buffer("counts").fill_(1.0)
        if not self.learned:
            self.get_buffer("sums").copy_(vectors)

    def encode(self, x: Tensor) -> Posterior:
        """The code vectors nearest to f(x), (n, d), as a Dirac."""
        return Posterior(self._points(self._codes(self.trunk.encode(x))))

    def decode(self, z: Tensor) -> Tensor:
        """Images g(z), (n, c, h, w)."""
        return self.trunk.decode(z)

    def discrete_codes(self) -> Codebook:
        """One of ``k`` codes at each of ``parts`` positions."""
        return Codebook(self.k, self.parts, self._codes, self._points)

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Squared error, summed over pixels, commitment and, of a learned codebook, its own squared error: means over images."""
        z = self.trunk.encode(x)
        codes = self._codes(z)
        if self.training and self.learned:
            self._count(z, codes, generator)
        chosen = self._points(codes)
        error = F.mse_loss(self.decode(straight_through(z, chosen)), x, reduction="sum") / len(x)
        commitment = F.mse_loss(z, chosen.detach(), reduction="sum") / len(x)
        terms = {"squared_error": error, "commitment": commitment}
        total = error + self.commitment * commitment
        if self.learned:
            terms["codebook"] = F.mse_loss(chosen, z.detach(), reduction="sum") / len(x)
            total = total + terms["codebook"]
        elif self.training:
            self._count(z, codes, generator)
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _cut(self, z: Tensor) -> Tensor:
        """Latent points (n, d) as vectors (n parts, d / parts)."""
        return z.reshape(-1, self.values)

    @torch.no_grad()
    def _codes(self, z: Tensor) -> Tensor:
        """The nearest code at each position, (n, parts) int64, of latent points (n, d)."""
        distance = torch.cdist(self._cut(z), self.vectors.to(z), compute_mode="donot_use_mm_for_euclid_dist")
        return distance.argmin(1).view(-1, self.parts)

    def _points(self, codes: Tensor) -> Tensor:
        """Latent points (n, d) of codes (n, parts)."""
        return self.vectors[codes].flatten(1)

    @torch.no_grad()
    def _count(self, z: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Let the running counts (and means) see a batch, and restart what is dead. Without a branch on the data, so that a
        step can be traced and mapped."""
        z, own = self._cut(z), self.get_buffer("counts")
        used = (codes.reshape(-1, 1) == torch.arange(self.k, device=z.device)).to(z)
        counts = torch.lerp(used.sum(0), own, self.decay)
        level = counts.mean()
        dead = counts < DEAD * level
        rows = (torch.special.ndtr(randn((self.k,), generator, z)) * len(z)).long().clamp(0, len(z) - 1)
        moved = self.vectors if self.learned else self._means(used.T @ z, counts)
        self.vectors.copy_(torch.where(dead[:, None], z[rows], moved))
        own.copy_(torch.where(dead, level, counts))
        if not self.learned:
            sums = self.get_buffer("sums")
            sums.copy_(torch.where(dead[:, None], self.vectors * own[:, None], sums))

    def _means(self, total: Tensor, counts: Tensor) -> Tensor:
        """The running means (k, d / parts) after a batch whose vectors add up to ``total`` by code."""
        sums = self.get_buffer("sums")
        sums.copy_(torch.lerp(total, sums, self.decay))
        return sums / counts.clamp_min(torch.finfo(total.dtype).tiny)[:, None]


def kmeans(points: Tensor, k: int) -> Tensor:
    """``k`` centres (k, d) after `START_STEPS` steps of k-means on ``points`` (n, d) (scikit-learn's, seeded by a constant).
    Where fewer points differ, these are the centres, in turn, the repeats shaken by a thousandth of their spread: a code
    that stands exactly where another does could never be chosen."""
    from sklearn.cluster import KMeans

    flat = points.detach().double().cpu()
    distinct = torch.unique(flat, dim=0)
    if len(distinct) > k:
        seed = int(torch.randint(2**31 - 1, (1,), generator=seeded(0, "codebook")))
        found = KMeans(k, init="random", n_init=1, max_iter=START_STEPS, random_state=seed).fit(flat.numpy())
        return torch.from_numpy(found.cluster_centers_).to(points)
    noise = torch.randn(k, flat.shape[1], generator=seeded(0, "codebook")).double()
    turn, repeats = torch.arange(k) % len(distinct), torch.arange(k) >= len(distinct)
    centres: Tensor = distinct[turn] + repeats[:, None] * 1e-3 * distinct.std(0, correction=0) * noise
    return centres.to(points)


VQ = ModelEntry(
    "vq",
    VectorQuantised,
    "vector-quantised autoencoder (VQ-VAE): each position one of k learned codes",
    "van den Oord et al. 2017",
)

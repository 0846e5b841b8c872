"""Models that know nothing of latentbench: an autoencoder and a VAE in plain torch, handed over as they are.

    python examples/foreign_model.py [OUT]

The question: what does the KL term of a VAE of four latent dimensions buy, and what does it cost, against the same network
without it? Each is trained three times, so that the page can say how sure it is. Any object with ``encode`` and ``decode`` would
do, or two functions of arrays, as scikit-learn's ``pca.transform`` and ``pca.inverse_transform`` are; the page has PCA beside the
models anyway.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import latentbench as lb

LATENT, SEEDS, EPOCHS = 4, 3, 60


class Network(nn.Module):
    """A small network of 64 pixels, as anybody would write it: variational where ``beta``, the weight of the KL, is above 0."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * LATENT if beta else LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid())

    def encode(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The code of each image, or the mean and the log-variance of its posterior."""
        out = self.encoder(x.flatten(1))
        return out.chunk(2, 1) if self.beta else out

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Images of 8 x 8 pixels."""
        return self.decoder(z).view(-1, 1, 8, 8)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Squared error of an image, and the KL of its posterior."""
        if not self.beta:
            return (self.decode(self.encode(x)) - x).square().sum((1, 2, 3)).mean()
        mu, log_var = self.encode(x)
        z = mu + torch.randn_like(mu) * (log_var / 2).exp()
        kl = (mu.square() + log_var.exp() - log_var - 1).sum(1) / 2
        return ((self.decode(z) - x).square().sum((1, 2, 3)) + self.beta * kl).mean()


def trained(beta: float, seed: int, x: torch.Tensor) -> Network:
    """One network, trained by Adam in a plain loop."""
    torch.manual_seed(seed)
    network = Network(beta)
    adam = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(64):
            adam.zero_grad()
            network.loss(x[rows]).backward()
            adam.step()
    return network.eval()


def study(out: Path | str | None = None) -> lb.Result:
    """Train, measure, write the page."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    x_train, x_test, y_train, y_test = train_test_split(x, labels, test_size=0.2, random_state=0, stratify=labels)
    betas = {"plain": 0.0, "vae": 0.2}
    models = {name: [trained(beta, seed, x_train) for seed in range(SEEDS)] for name, beta in betas.items()}
    return lb.evaluate(models, x_test=x_test, y_test=y_test, x_train=x_train, y_train=y_train, out=out)


if __name__ == "__main__":
    print(study(sys.argv[1] if len(sys.argv) > 1 else "reports/foreign-model"))

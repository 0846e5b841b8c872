"""Two models that know nothing of latentbench, on one page: a VAE in plain torch, and scikit-learn's PCA.

    python examples/foreign_model.py [OUT]

The question: what does a VAE of four latent dimensions buy over a projection that costs nothing? The network is trained three
times, so that the page can say how sure it is; PCA has no chance in it and is one model. Both are handed over as they are: the
network as a module with ``encode`` and ``decode``, PCA as two functions of numpy arrays.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from torch import nn

import latentbench as lb

LATENT, SEEDS, EPOCHS, BETA = 4, 3, 60, 0.2


class Network(nn.Module):
    """A small VAE of 64 pixels, as anybody would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid())

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean and the log-variance of each image's posterior."""
        mu, log_var = self.encoder(x.flatten(1)).chunk(2, 1)
        return mu, log_var

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Images of 8 x 8 pixels."""
        return self.decoder(z).view(-1, 1, 8, 8)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Squared error of an image, and the KL of its posterior."""
        mu, log_var = self.encode(x)
        z = mu + torch.randn_like(mu) * (log_var / 2).exp()
        kl = (mu.square() + log_var.exp() - log_var - 1).sum(1) / 2
        return ((self.decode(z) - x).square().sum((1, 2, 3)) + BETA * kl).mean()


def trained(seed: int, x: torch.Tensor) -> Network:
    """One network, trained by Adam in a plain loop."""
    torch.manual_seed(seed)
    network = Network()
    adam = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(64):
            adam.zero_grad()
            network.loss(x[rows]).backward()
            adam.step()
    return network.eval()


def projection(x: torch.Tensor) -> tuple:
    """PCA as two callables on numpy arrays."""
    pca = PCA(LATENT).fit(x.flatten(1).numpy())
    return (
        lambda images: pca.transform(images.reshape(len(images), -1)),
        lambda z: pca.inverse_transform(z).clip(0, 1).reshape(-1, 1, 8, 8),
    )


def study(out: Path | str | None = None) -> lb.Result:
    """Train, measure, write the page."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    x_train, x_test, y_train, y_test = train_test_split(x, labels, test_size=0.2, random_state=0, stratify=labels)
    models = {"vae": [trained(seed, x_train) for seed in range(SEEDS)], "pca": projection(x_train)}
    return lb.evaluate(models, x_test=x_test, y_test=y_test, x_train=x_train, y_train=y_train, out=out)


if __name__ == "__main__":
    print(study(sys.argv[1] if len(sys.argv) > 1 else "reports/foreign-model"))

"""Pythae's trainer with networks of this size: batches of 128, Adam at 1e-3, no validation, float32."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile

import torch
from rules import FULL, LATENT, PIXELS, WIDTH, Referee
from torch import Tensor, nn

WORDS = "its `BaseTrainer`: batch 128, Adam at 1e-3, float32"
BATCH, LR = 128, 1e-3


def train(x: Tensor, seed: int, referee: Referee) -> None:
    """Ends by what the referee raises, which the trainer lets through."""
    from latentbench.datasets.torchvision_guard import torchvision

    torchvision()
    logging.disable(logging.INFO)
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Sequential(nn.Linear(PIXELS, WIDTH), nn.ReLU())
            self.mu, self.log_var = nn.Linear(WIDTH, LATENT), nn.Linear(WIDTH, LATENT)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.hidden(x.flatten(1))
            return ModelOutput(embedding=self.mu(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(LATENT, WIDTH), nn.ReLU(), nn.Linear(WIDTH, PIXELS))

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z).sigmoid().view(-1, 1, 28, 28))

    torch.manual_seed(seed)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(), decoder=Decoder())

    def encode(images: Tensor) -> tuple[Tensor, Tensor]:
        out = model.encoder(images)
        return out.embedding, out.log_covariance

    class Looking(TrainingCallback):
        def on_epoch_end(self, training_config: object, **kwargs: object) -> None:
            referee.look(encode, model.decoder.layers)

    plan = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(), num_epochs=FULL, per_device_train_batch_size=BATCH, learning_rate=LR,
        no_cuda=not x.is_cuda, seed=seed,
    )  # fmt: skip
    data = BaseDataset(x, torch.zeros(len(x)))
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        BaseTrainer(model, train_dataset=data, training_config=plan, callbacks=[Looking()]).train()

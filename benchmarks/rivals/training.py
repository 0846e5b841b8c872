"""One training, timed, in a process of its own: ``python training.py SETTING WHO THREADS`` prints one JSON object.

Who trains: ``latentbench`` (`latentbench.training.fit.fit`; ``latentbench, bfloat16``: the same with ``--precision bfloat16``),
``Pythae`` (its trainer with its default networks), ``bare loop`` (what one writes by hand: the data in one tensor, a fused
Adam, nothing kept but the weights). All of them train pixels-512-d networks with ReLU and a sigmoid at the end, on the same
images in batches of the same size, for as many epochs, with Adam at the same rate, in float32 but where it says otherwise,
and look at the validation loss after each epoch. The loss is the squared error, summed over pixels, for the autoencoder;
half of that plus the KL for the VAE. ``matrix products`` trains nothing: it measures the rate of float32 products that a
training is held against.

The number of training images is a multiple of the batch size, so nobody has a short batch that another leaves out.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from bare import loss_of
from torch import Tensor, nn

WIDTH, LR, SEED = 512, 1e-3, 0
"""Units of the hidden layer (Pythae's default, which it has no option for), Adam's rate, the seed."""

Coder = Callable[[Tensor], tuple[Tensor, Tensor | None]]
Trained = tuple[Coder, Callable[[Tensor], Tensor]]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Setting:
    """What is trained on what: ``images`` of the training split, a multiple of ``batch``."""

    dataset: str
    model: str
    latent_dim: int
    batch: int
    images: int
    epochs: int

    def flops(self, pixels: int, validated: int) -> int:
        """Operations in the matrix products of a training: forward, and backward without the gradient of the images,
        which nobody needs; of the validation forward only."""
        head = self.latent_dim * (2 if self.model == "vae" else 1)
        weights = 2 * pixels * WIDTH + WIDTH * head + self.latent_dim * WIDTH
        return self.epochs * (self.images * (6 * weights - 2 * pixels * WIDTH) + validated * 2 * weights)


SETTINGS = {
    "digits, AE": Setting("digits", "ae", 8, 64, 1024, 200),
    "digits, VAE": Setting("digits", "vae", 8, 64, 1024, 200),
    "MNIST, AE": Setting("mnist", "ae", 16, 128, 390 * 128, 2),
    "MNIST, VAE": Setting("mnist", "vae", 16, 128, 390 * 128, 2),
    "MNIST, AE, batch 1024": Setting("mnist", "ae", 16, 1024, 48 * 1024, 3),
}


def images(setting: Setting) -> tuple[Tensor, Tensor]:
    """Training and validation images (n, 1, h, w)."""
    from latentbench.catalog import load_dataset
    from latentbench.config import make_run

    data = load_dataset(
        make_run({"dataset": setting.dataset, "data_root": os.environ.get("LATENTBENCH_DATA") or "data"})
    )
    return data.train.x[: setting.images].contiguous(), data.val.x


def ours(setting: Setting, train: Tensor, val: Tensor, precision: Precision = "float32") -> Callable[[], Trained]:
    from latentbench.catalog import build_model
    from latentbench.config import make_run
    from latentbench.training.fit import Plan, fit, initialise

    # Pythae's VAE has a decoder variance of 1: the same loss but for a constant.
    text = "vae:sigma=1" if setting.model == "vae" else "ae"
    run = make_run({"models": text, "depth": 1, "width": WIDTH, "latent_dim": setting.latent_dim})
    c, h, w = train.shape[1:]
    model = initialise(lambda: build_model(text, run, (c, h, w)), SEED)

    def call() -> Trained:
        fit(model, train, val, Plan(setting.epochs, 0, setting.batch, LR, precision), SEED)
        return lambda x: tuple(model.encode(x)), model.decode  # type: ignore[return-value]

    return call


def pythae(setting: Setting, train: Tensor, val: Tensor) -> Callable[[], Trained]:
    from latentbench.datasets.torchvision_guard import torchvision

    torchvision()
    logging.disable(logging.INFO)
    from pythae.data.datasets import BaseDataset
    from pythae.models import AE, VAE, AEConfig, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    torch.manual_seed(SEED)
    network, config = (VAE, VAEConfig) if setting.model == "vae" else (AE, AEConfig)
    model = network(config(input_dim=tuple(train.shape[1:]), latent_dim=setting.latent_dim))
    plan = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(dir=os.environ.get("RIVALS_FOLDER")),
        num_epochs=setting.epochs,
        per_device_train_batch_size=setting.batch,
        per_device_eval_batch_size=512,
        learning_rate=LR,
        no_cuda=True,
        seed=SEED,
    )
    data, held = (BaseDataset(x, torch.zeros(len(x))) for x in (train, val))

    def call() -> Trained:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            BaseTrainer(model, train_dataset=data, eval_dataset=held, training_config=plan).train()
        model.eval()

        def encode(x: Tensor) -> tuple[Tensor, Tensor | None]:
            found = model.encoder(x)
            return found.embedding, found.log_covariance if setting.model == "vae" else None

        return encode, lambda z: model.decoder(z).reconstruction

    return call


def bare(setting: Setting, train: Tensor, val: Tensor) -> Callable[[], Trained]:
    train, val, d = train.flatten(1), val.flatten(1), setting.latent_dim
    pixels, vae = train.shape[1], setting.model == "vae"
    torch.manual_seed(SEED)
    encoder = nn.Sequential(nn.Linear(pixels, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2 * d if vae else d))
    decoder = nn.Sequential(nn.Linear(d, WIDTH), nn.ReLU(), nn.Linear(WIDTH, pixels), nn.Sigmoid())
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=LR, fused=True)

    loss = loss_of(encoder, decoder, vae)

    def call() -> Trained:
        for _ in range(setting.epochs):
            total = torch.zeros(())
            for index in torch.randperm(len(train)).split(setting.batch):
                optimiser.zero_grad()
                value = loss(train[index])
                value.backward()
                optimiser.step()
                total += value.detach()
            with torch.no_grad():
                seen = sum(float(loss(part)) * len(part) for part in val.split(2000)) / len(val)
            if not math.isfinite(seen + float(total)):
                raise SystemExit("the bare loop diverged")

        def encode(x: Tensor) -> tuple[Tensor, Tensor | None]:
            out = encoder(x.flatten(1))
            return out.chunk(2, dim=1) if vae else (out, None)  # type: ignore[return-value]

        return encode, decoder

    return call


HALF = "latentbench, bfloat16"
SIDES = {"latentbench": ours, "Pythae": pythae, "bare loop": bare, HALF: partial(ours, precision="bfloat16")}
PRODUCTS = "matrix products"


@torch.no_grad()
def quality(trained: Trained, x: Tensor) -> dict[str, float]:
    """What was learned: squared error of a pixel through the posterior means, and for a VAE the KL in nats an image."""
    encode, decode = trained
    mu, log_var = encode(x)
    out = {"mse": float((decode(mu).reshape(x.shape) - x).square().mean())}
    if log_var is not None:
        out["kl"] = float(0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum() / len(x))
    return out


def rate() -> dict[str, float]:
    """Float32 operations a second, and a processor second, in products of square matrices: of the best size, by the
    median of its calls, and by their sum."""
    found = []
    for side in (512, 1024, 2048):
        a, b, out = torch.randn(side, side), torch.randn(side, side), torch.empty(side, side)
        torch.mm(a, b, out=out)
        seconds: list[float] = []
        cpu = time.process_time()
        while sum(seconds) < 0.7 or len(seconds) < 5:
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            seconds.append(time.perf_counter() - start)
        used = time.process_time() - cpu
        flops = 2 * side**3
        found.append((flops / statistics.median(seconds), flops * len(seconds) / used))
    wall, processor = (max(f) for f in zip(*found, strict=True))
    return {"flops_per_second": wall, "flops_per_cpu_second": processor}


def main(name: str, who: str, threads: int) -> None:
    torch.set_num_threads(threads)
    if who == PRODUCTS:
        print(json.dumps(rate()))
        return
    setting, make = SETTINGS[name], SIDES[who]
    train, val = images(setting)
    small = Setting(setting.dataset, setting.model, setting.latent_dim, setting.batch, 2 * setting.batch, 1)
    make(small, train[: small.images], val[:512])()  # what happens only once in a process
    call = make(setting, train, val)
    wall, cpu = time.perf_counter(), time.process_time()
    trained = call()
    out = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    flops = setting.flops(train[0].numel(), len(val))
    rates = {"flops_per_second": flops / out["seconds"], "flops_per_cpu_second": flops / out["cpu"]}
    print(json.dumps({**out, **rates, **quality(trained, val)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

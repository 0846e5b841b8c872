"""What one writes without latentbench: Pythae trains, scikit-learn judges, umap-learn draws the map, matplotlib saves it.

For every seed an AE and a VAE on scikit-learn's digits (60 / 20 / 20, by class), with Pythae's default networks and loss;
then the error on test images, the share of prior samples that a support vector machine is sure about, and how evenly
decoded straight lines between test images run. One map a model. Far fewer measures than a run of latentbench, without
intervals, floors or a page: ``python handglued.py --out FOLDER`` writes ``rows.json`` and ``maps.png`` there.
"""

from __future__ import annotations

# ruff: noqa: E402 (torchvision is made importable first)
import argparse
import contextlib
import io
import json
import logging
import sys
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import torch

# The registry's torchvision cannot load its compiled operators beside a CPU build of torch; Pythae needs none of them.
sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
logging.disable(logging.INFO)
mpl.use("Agg")

import umap
from matplotlib import pyplot as plt
from pythae.data.datasets import BaseDataset
from pythae.models import AE, VAE, AEConfig, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

DRAWS, PAIRS, POINTS = 2000, 500, 17
"""Prior samples; lines between test images, and points on each."""
SURE = 0.5
"""Lead of the best class over the second, in units of the judge's decision values, from which a sample is valid."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"seeds": 6, "epochs": 300, "latent": 8, "batch": 64}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--images", type=int, default=1024, help="training images: whole batches, as latentbench has")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    judge = SVC(C=10, gamma="scale").fit(x.reshape(len(x), -1), y)
    train = BaseDataset(*map(torch.tensor, (x[: asked.images], y[: asked.images])))
    val = BaseDataset(torch.tensor(x_val), torch.tensor(y_val))
    test = torch.tensor(x_test)

    rows, codes = [], {}
    for name, network, config in (("ae", AE, AEConfig), ("vae", VAE, VAEConfig)):
        for seed in range(asked.seeds):
            torch.manual_seed(seed)
            model = network(config(input_dim=(1, 8, 8), latent_dim=asked.latent))
            plan = BaseTrainerConfig(
                output_dir=str(asked.out),
                num_epochs=asked.epochs,
                per_device_train_batch_size=asked.batch,
                per_device_eval_batch_size=512,
                learning_rate=1e-3,
                no_cuda=True,
                seed=seed,
            )
            with contextlib.redirect_stderr(io.StringIO()):
                BaseTrainer(model, train_dataset=train, eval_dataset=val, training_config=plan).train()
            model.eval()
            with torch.no_grad():
                row, z = scores(model, test, judge, asked.latent)
            rows.append({"model": name, "seed": seed, **row})
            codes.setdefault(name, z.numpy())

    figure, axes = plt.subplots(1, 2, figsize=(10, 5))
    for axis, (name, z) in zip(axes, codes.items(), strict=True):
        axis.scatter(*umap.UMAP(random_state=0).fit_transform(z).T, c=y_test, s=5, cmap="tab10")
        axis.set_title(name)
    figure.savefig(asked.out / "maps.png")
    (asked.out / "rows.json").write_text(json.dumps(rows))


def scores(model: AE | VAE, test: torch.Tensor, judge: SVC, latent: int) -> tuple[dict[str, float], torch.Tensor]:
    """Error, validity and continuity of a trained model, and the codes of the test images."""

    def decode(z: torch.Tensor) -> torch.Tensor:
        return model.decoder(z).reconstruction

    z = model.encoder(test).embedding
    lead = np.sort(judge.decision_function(decode(torch.randn(DRAWS, latent)).reshape(DRAWS, -1).numpy()), axis=1)
    start, end = z[torch.randint(len(z), (2, PAIRS))]
    along = torch.linspace(0, 1, POINTS)[None, :, None]
    line = decode(((1 - along) * start[:, None] + along * end[:, None]).reshape(-1, latent)).reshape(PAIRS, POINTS, -1)
    steps = line.diff(dim=1).norm(dim=-1)
    row = {
        "mse": float((decode(z) - test).square().mean()),
        "validity": float((lead[:, -1] - lead[:, -2] > SURE).mean()),
        "continuity": float((steps.amax(1) / steps.mean(1).clamp_min(1e-9)).mean()),
    }
    return row, z


if __name__ == "__main__":
    main()

"""What was handed over as data, as a Dataset, and the form in which callables get samples and give them back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from latentbench.core import Dataset, Split
from latentbench.randomness import numpy_rng

Data = ArrayLike | Tensor


@dataclass(frozen=True)
class Options:
    """How data that was handed over is to be read: ``range`` of its values, ``layout`` of its axes, ``scale`` in which it is
    measured; each ``auto`` where the data are to tell."""

    range: Any = "auto"
    layout: str = "auto"
    scale: str | None = "auto"


@dataclass(frozen=True)
class Handed:
    """The form in which samples were handed over: what callables are given, and what they give back."""

    shape: tuple[int, ...]

    def to_user(self, x: Tensor) -> Tensor:
        """Measured samples (n, *space.shape) as they were handed over."""
        return x

    def from_user(self, out: Tensor) -> Tensor:
        """What a decoder gave for n latent points, as measured samples (n, *space.shape). Raises ValueError for another
        shape."""
        if out.ndim < 1 or not len(out) or out[0].numel() != int(np.prod(self.shape)):
            raise ValueError(f"decode returned shape {tuple(out.shape)}; expected (n, *{self.shape})")
        return out.reshape(len(out), *self.shape)


@dataclass(frozen=True, eq=False)
class Given:
    """Data as it is measured: the ``dataset``, whose training split is what the judge is trained on; all that the models were
    ``trained_on``, None where that is not known; what they were tuned on (``validation`` (k, *shape), None: not known); the
    form in which it was ``handed`` over; and what it is called."""

    dataset: Dataset
    handed: Handed
    trained_on: Split | None = None
    validation: Tensor | None = None
    name: str = "arrays"
    notes: tuple[str, ...] = field(default=())


def given(
    name: str,
    seed: int,
    test: tuple[Any, Any],
    train: tuple[Any, Any],
    val: tuple[Any, Any],
    options: Options,
) -> Given:
    """What was handed over, each split as (x, y), y or both None where there is none. Raises ValueError, one line, for what
    cannot be used."""
    (x_test, y_test), (x_train, y_train) = test, train
    if isinstance(x_test, Dataset):
        for what, other in (("y_test", y_test), ("x_train", x_train), ("y_train", y_train)):
            if other is not None:
                raise ValueError(f"{what}: x_test is a Dataset, which brings its own; leave {what} out")
        return Given(x_test, Handed(x_test.shape), x_test.train, x_test.val.x, x_test.name)
    tested = _split("test", x_test, y_test)
    trained = None if x_train is None else _split("train", x_train, y_train)
    if trained is not None and trained.x.shape[1:] != tested.x.shape[1:]:
        raise ValueError(
            f"x_train: images of shape {tuple(trained.x.shape[1:])}, x_test has {tuple(tested.x.shape[1:])}"
        )
    dataset = _dataset(name, trained or tested, tested, seed)
    return Given(dataset, Handed(dataset.shape), trained)


def _split(which: str, x: ArrayLike | Tensor, y: ArrayLike | Tensor | None) -> Split:
    images = torch.as_tensor(x if isinstance(x, Tensor) else np.asarray(x)).detach().cpu()
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim == 4 and images.shape[1] not in (1, 3, 4) and images.shape[3] in (1, 3, 4):
        images = images.movedim(3, 1)
    if images.ndim != 4 or min(images.shape) < 1:
        raise ValueError(f"x_{which}: shape {tuple(images.shape)} is not images; expected (n, h, w) or (n, c, h, w)")
    if len(images) < 20:
        raise ValueError(f"x_{which}: {len(images)} images are too few to measure anything; at least 20")
    images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    if not bool(torch.isfinite(images).all()):
        raise ValueError(f"x_{which}: holds NaN or infinite values")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise ValueError(f"x_{which}: values from {low:.4g} to {high:.4g}; expected [0, 1]")
    if y is None:
        return Split(images, None)
    labels = torch.as_tensor(y if isinstance(y, Tensor) else np.asarray(y)).detach().cpu()
    if labels.shape != (len(images),) or labels.dtype.is_floating_point or int(labels.min()) < 0:
        raise ValueError(f"y_{which}: expected {len(images)} labels, integers from 0, got shape {tuple(labels.shape)}")
    return Split(images, labels.long())


def _dataset(name: str, train: Split, test: Split, seed: int) -> Dataset:
    """Training images with a fifth set apart for the judge's thresholds."""
    order = torch.from_numpy(numpy_rng(seed, "evaluate split").permutation(len(train.x)))
    cut = len(order) // 5
    pick = [Split(train.x[i], None if train.y is None else train.y[i]) for i in (order[cut:], order[:cut])]
    classes = () if test.y is None else tuple(str(c) for c in range(int(test.y.max()) + 1))
    return Dataset(name, pick[0], pick[1], test, classes)

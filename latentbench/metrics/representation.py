"""Representation: is what the latent space keeps what one wants to know about an image?

The *linear probe* asks how well a linear classifier reads the class off the posterior mean. *Trustworthiness* and
*neighbourhood continuity* (Venna & Kaski 2001) ask whether images and means have the same neighbours: the first is
lowered by intruders, means that are neighbours while their images are not; the second by images torn apart.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentbench.core import Encoding, Metric, Undefined, Value
from latentbench.decoding import subsample
from latentbench.neighbours import nearest, ranks


def trustworthiness(original: Tensor, reduced: Tensor, k: int) -> float:
    """Share, weighted by rank, of the ``k`` nearest neighbours in ``reduced`` (n, ...) that are neighbours in
    ``original`` (n, ...) too:

        T(k) = 1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in kNN_reduced(i)} max(0, rank_original(i, j) - k).

    In [0, 1], higher is better; 1 where no neighbour is an intruder, about .5 by chance. Points at one distance share
    their mean rank. Neighbourhood continuity is the same with the two spaces exchanged. Raises Undefined where
    n <= 2 k. Venna & Kaski 2001, as in sklearn.manifold.trustworthiness.
    """
    n = len(original)
    if n <= 2 * k:
        raise Undefined(f"{k} neighbours need more than {2 * k} points, there are {n}")
    rank = ranks(original, nearest(reduced, k=k).indices)
    intrusion = (rank - k).clamp(min=0.0).sum()
    return float((1 - 2 * intrusion / (n * k * (2 * n - 3 * k - 1))).clamp(0.0, 1.0))


def probe_accuracy(
    train: NDArray[np.float64], train_labels: NDArray[np.int64], test: NDArray[np.float64], labels: NDArray[np.int64]
) -> float:
    """Share of ``test`` (m, d) whose ``labels`` (m,) a logistic regression fitted to ``train`` (n, d) gets right; in
    [0, 1]. Coordinates are standardised by the training ones, so a rescaled latent changes nothing.

    Raises Undefined where the training labels are all one class.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(train_labels)) < 2:
        raise Undefined("a probe needs two classes among the training labels, there is 1")
    mean, sd = train.mean(0), train.std(0)
    sd = np.where(sd > 0, sd, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an optimiser stopped at max_iter still classifies
        probe = LogisticRegression(max_iter=300).fit((train - mean) / sd, train_labels)
    return float(probe.score((test - mean) / sd, labels))


def _points(e: Encoding, points: int) -> Tensor:
    """Indices of the images that the neighbour measures look at."""
    return subsample(torch.arange(len(e.x)), points, e.generator("neighbours")).to(e.mu.device)


def _trustworthiness(e: Encoding, k: int, points: int) -> Value:
    rows = _points(e, points)
    return Value(trustworthiness(e.x[rows], e.mu[rows], k), detail={"points": len(rows)})


def _neighbourhood_continuity(e: Encoding, k: int, points: int) -> Value:
    rows = _points(e, points)
    return Value(trustworthiness(e.mu[rows], e.x[rows], k), detail={"points": len(rows)})


def _numpy(points: Tensor) -> NDArray[np.float64]:
    return points.double().cpu().numpy()


def _labels(e: Encoding) -> NDArray[np.int64]:
    if e.labels is None:
        raise Undefined("needs labels")
    return e.labels.cpu().numpy()


def _probe(e: Encoding, points: int) -> float:
    if e.train is None:
        raise Undefined("needs train")
    rows = subsample(torch.arange(len(e.train.mu)), points, e.generator("probe"))
    train, train_labels = _numpy(e.train.mu[rows.to(e.mu.device)]), _labels(e.train)[rows.numpy()]
    return probe_accuracy(train, train_labels, _numpy(e.mu), _labels(e))


def _majority(e: Encoding, points: int) -> Mapping[str, float]:
    if e.train is None:
        raise Undefined("needs train")
    common = int(np.bincount(_labels(e.train)).argmax())
    return {"floor:majority": float((_labels(e) == common).mean())}


_KNN = {"k": 10, "points": 2000}

probe_linear = Metric(
    name="probe.linear",
    compute=_probe,
    better="higher",
    bounds=(0.0, 1.0),
    unit="accuracy",
    summary="test accuracy of a logistic regression on the posterior means of the training split",
    source="Alain & Bengio 2017",
    needs=frozenset({"labels", "train", "train_labels"}),
    params={"points": 5000},
    references=_majority,
)

trustworthiness_of_means = Metric(
    name="trustworthiness",
    compute=_trustworthiness,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="are neighbouring posterior means neighbouring images? (k = 10)",
    source="Venna & Kaski 2001",
    params=_KNN,
)

neighbourhood_continuity = Metric(
    name="neighbourhood_continuity",
    compute=_neighbourhood_continuity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="are neighbouring images neighbouring posterior means? (k = 10)",
    source="Venna & Kaski 2001",
    params=_KNN,
)

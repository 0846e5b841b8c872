"""Representation: is what the latent space keeps what one wants to know about an image?

The *linear probe* asks how well a linear classifier reads the class off the posterior mean. *Trustworthiness* and
*neighbourhood continuity* (Venna & Kaski 2001) ask whether images and means have the same neighbours: the first is
lowered by intruders, means that are neighbours while their images are not; the second by images torn apart.

Do classes show without any training? The *nearest-neighbour probe* lets the k nearest training means vote; the
*silhouette* (Rousseeuw 1987) asks whether a mean lies nearer to its own class than to the next one. Both take the latent
as it is: rotating it or rescaling it as a whole changes nothing, rescaling one axis does.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentbench.core import LABELS, TRAIN, TRAIN_LABELS, Encoding, Metric, Phrase, Undefined, Value
from latentbench.geometry.neighbours import blocks, flat, nearest, ranks
from latentbench.metrics.decoding import subsample
from latentbench.records import Reason

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int, Shaped

ONE_CLASS = Reason.of("undefined.one_class", "a probe needs two classes among the training labels, there is 1")


def trustworthiness(original: Shaped[Tensor, "n ..."], reduced: Shaped[Tensor, "n ..."], k: int) -> float:
    """Share, weighted by rank, of the ``k`` nearest neighbours in ``reduced`` (n, ...) that are neighbours in
    ``original`` (n, ...) too:

        T(k) = 1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in kNN_reduced(i)} max(0, rank_original(i, j) - k).

    In [0, 1], higher is better; 1 where no neighbour is an intruder, about .5 by chance. Points at one distance share
    their mean rank. Neighbourhood continuity is the same with the two spaces exchanged. Raises Undefined where
    n <= 2 k. Venna & Kaski 2001, as in sklearn.manifold.trustworthiness.
    """
    n = len(original)
    if n <= 2 * k:
        raise Undefined(
            "{k} neighbours need more than {least} points, there are {n}", "undefined.few_points", k=k, least=2 * k, n=n
        )
    rank = ranks(original, nearest(reduced, k=k).indices)
    intrusion = (rank - k).clamp(min=0.0).sum()
    return float((1 - 2 * intrusion / (n * k * (2 * n - 3 * k - 1))).clamp(0.0, 1.0))


def probe_accuracy(
    train: Float64[NDArray[np.float64], "n d"],
    train_labels: Int[NDArray[np.int64], " n"],
    test: Float64[NDArray[np.float64], "m d"],
    labels: Int[NDArray[np.int64], " m"],
) -> float:
    """Share of ``test`` (m, d) whose ``labels`` (m,) a logistic regression fitted to ``train`` (n, d) gets right; in
    [0, 1]. Coordinates are standardised by the training ones, so a rescaled latent changes nothing.

    Raises Undefined where the training labels are all one class.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(train_labels)) < 2:
        raise Undefined(ONE_CLASS)
    mean, sd = train.mean(0), train.std(0)
    sd = np.where(sd > 0, sd, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an optimiser stopped at max_iter still classifies
        probe = LogisticRegression(max_iter=300).fit((train - mean) / sd, train_labels)
    return float(probe.score((test - mean) / sd, labels))


def neighbour_vote(
    train: Float[Tensor, "n d"],
    train_labels: Int[Tensor, " n"],
    test: Float[Tensor, "m d"],
    labels: Int[Tensor, " m"],
    k: int,
) -> float:
    """Share of ``test`` (m, d) whose ``labels`` (m,) the majority of their ``k`` nearest in ``train`` (n, d) has; in
    [0, 1]. A tied vote goes to the smallest label, as in sklearn.neighbors.KNeighborsClassifier. Raises Undefined for
    fewer than ``k`` training points, or all of one class. Cover & Hart 1967."""
    if len(train) < k:
        raise Undefined(
            "{k} neighbours need at least {k} training codes, there are {n}", "undefined.few_codes", k=k, n=len(train)
        )
    if len(train_labels.unique()) < 2:
        raise Undefined(ONE_CLASS)
    voters = train_labels[nearest(test, train, k).indices]
    return float((voters.mode(1).values == labels).double().mean())


def silhouette_width(points: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> float:
    """Mean over ``points`` (n, d) of ``(b - a) / max(a, b)``: a the mean distance to the others of its class, b the
    smallest mean distance to another class; ``labels`` (n,) int64.

    In [-1, 1], higher is better: 1 = classes are tight and far apart, 0 = they overlap (or everything is one point).
    The only member of a class counts 0. Raises Undefined unless there are two classes and a class of two. Rousseeuw
    1987, as in sklearn.metrics.silhouette_score; in blocks of rows.
    """
    points = flat(points)
    points = points - points.mean(0)
    _, own, size = torch.unique(labels, return_inverse=True, return_counts=True)
    if not 1 < len(size) < len(points):
        raise Undefined(
            "a silhouette needs 2 to {most} classes of {n} codes, found {found}",
            "undefined.silhouette_classes",
            most=len(points) - 1,
            n=len(points),
            found=len(size),
        )
    member = torch.nn.functional.one_hot(own).double()
    widths = []
    for rows in blocks(len(points), len(points)):
        distance = torch.cdist(points[rows], points, compute_mode="use_mm_for_euclid_dist")
        distance[torch.arange(rows.stop - rows.start), torch.arange(rows.start, rows.stop)] = 0.0
        total, own_class = distance @ member, own[rows, None]
        a = (total.gather(1, own_class) / (size[own_class] - 1).clamp(min=1)).squeeze(1)
        b = (total / size).scatter(1, own_class, torch.inf).amin(1)
        known = (size[own_class].squeeze(1) > 1) & (torch.maximum(a, b) > 0)
        widths.append(torch.where(known, (b - a) / torch.maximum(a, b), 0.0))
    return float(torch.cat(widths).mean())


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
        raise Undefined(e.lack(LABELS))
    return e.labels.cpu().numpy()


def _probe(e: Encoding, points: int) -> float:
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    rows = subsample(torch.arange(len(e.train.mu)), points, e.generator("probe"))
    train, train_labels = _numpy(e.train.mu[rows.to(e.mu.device)]), _labels(e.train)[rows.numpy()]
    return probe_accuracy(train, train_labels, _numpy(e.mu), _labels(e))


def _vote(e: Encoding, points: int, k: int) -> float:
    if e.train is None or e.train.labels is None or e.labels is None:
        raise Undefined(e.absent(frozenset({LABELS, TRAIN, TRAIN_LABELS})))
    rows = subsample(torch.arange(len(e.train.mu)), points, e.generator("probe")).to(e.mu.device)
    return neighbour_vote(e.train.mu[rows], e.train.labels[rows], e.mu, e.labels, k)


def _silhouette(e: Encoding, points: int) -> Value:
    if e.labels is None:
        raise Undefined(e.absent(frozenset({LABELS})))
    rows = _points(e, points)
    return Value(silhouette_width(e.mu[rows], e.labels[rows]), detail={"points": len(rows)})


def _shuffled_labels(e: Encoding, points: int) -> Mapping[str, float]:
    """The same codes with the labels dealt out anew: what any latent reads where classes are nothing to it."""
    if e.labels is None:
        raise Undefined(e.absent(frozenset({LABELS})))
    rows = _points(e, points)
    order = torch.randperm(len(rows), generator=e.generator("shuffled labels")).to(rows.device)
    return {"null:labels": silhouette_width(e.mu[rows], e.labels[rows][order])}


def _majority(e: Encoding, points: int, **params: object) -> Mapping[str, float]:
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    common = int(np.bincount(_labels(e.train)).argmax())
    return {"floor:majority": float((_labels(e) == common).mean())}


_KNN = {"k": 10, "points": 2000}

probe_linear = Metric(
    name="probe.linear",
    family="representation",
    compute=_probe,
    better="higher",
    bounds=(0.0, 1.0),
    unit="accuracy",
    summary="test accuracy of a logistic regression on the posterior means of the training split",
    source="Alain & Bengio 2017",
    needs=frozenset({LABELS, TRAIN, TRAIN_LABELS}),
    params={"points": 5000},
    references=_majority,
    phrase=Phrase(
        "accuracy of a linear probe",
        "tells classes apart better",
        "tells classes apart less well",
    ),
)

probe_knn = Metric(
    name="probe.knn",
    family="representation",
    compute=_vote,
    better="higher",
    bounds=(0.0, 1.0),
    unit="accuracy",
    summary="test accuracy of the majority among the 10 nearest posterior means of the training split",
    source="Cover & Hart 1967",
    needs=frozenset({LABELS, TRAIN, TRAIN_LABELS}),
    params={"points": 5000, "k": 10},
    references=_majority,
)

silhouette = Metric(
    name="silhouette",
    family="representation",
    compute=_silhouette,
    better="higher",
    bounds=(-1.0, 1.0),
    unit="silhouette width",
    summary="do posterior means of a class lie together and apart from the next class? 1 = yes, 0 = classes overlap",
    source="Rousseeuw 1987",
    needs=frozenset({LABELS}),
    params={"points": 2000},
    references=_shuffled_labels,
    expects={"null:labels": (-1.0, 0.3)},
)

trustworthiness_of_means = Metric(
    name="trustworthiness",
    family="representation",
    compute=_trustworthiness,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    least=0.01,
    summary="are neighbouring posterior means neighbouring images? (k = 10)",
    source="Venna & Kaski 2001",
    params=_KNN,
)

neighbourhood_continuity = Metric(
    name="neighbourhood_continuity",
    family="representation",
    compute=_neighbourhood_continuity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    least=0.01,
    summary="are neighbouring images neighbouring posterior means? (k = 10)",
    source="Venna & Kaski 2001",
    params=_KNN,
)

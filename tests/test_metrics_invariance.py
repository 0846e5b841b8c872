"""What a metric may not notice: other coordinates of the same latent space, and another order of the images.

Every metric of the catalog stands in `TABLE`, with what happens to its number when the latent is turned, scaled evenly
or stretched unevenly (the decoder undoing it), and when the images come in another order: ``exact``, the same number;
``draws``, other draws of the same distribution; ``no``, another number, for the reason given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch

from latentbench.catalog import metrics
from latentbench.testing import REPARAMETRISATIONS, permuted, reparametrised
from latentbench.testing.metrics import example_for, number

METRICS = dict(metrics())
SEEDS = range(6)


class Row(NamedTuple):
    names: str
    rotation: str
    isotropic: str
    anisotropic: str
    order: str
    why: str


# fmt: off
ROWS = (
    Row("mse r2 psnr judge_frechet.reconstruction",
        "exact", "exact", "exact", "exact", "images and their reconstructions alone"),
    Row("path.tortuosity path.jump path.validity_gain path.class_changes path.consistency path.length_per_feature "
        "midpoint.betweenness midpoint.nonblend midpoint.betweenness_features midpoint.validity_gain geodesic.ratio "
        "lines.distance lines.smoothness lines.arc_excess judge_frechet.interpolation",
        "exact", "exact", "exact", "draws", "a linear map keeps straight lines; pairs are drawn by position"),
    Row("jacobian.lipschitz jacobian.condition",
        "exact", "exact", "exact", "exact", "whitened by the covariance of the codes"),
    Row("validity.gaussian judge_frechet.gaussian judge_kid.gaussian",
        "draws", "exact", "draws", "exact", "the fitted Gaussian moves along; its symmetric root deals the noise anew"),
    Row("validity.mixture judge_frechet.mixture judge_kid.mixture memorisation data_copying",
        "draws", "exact", "exact", "exact", "fitted on standardised coordinates, which no scale along them changes"),
    Row("validity.normal validity.per_class valid_label_entropy valid_label_tv precision recall density coverage "
        "judge_frechet judge_kid hole prior.sliced_w2",
        "draws", "no", "no", "exact", "N(0, I) and the directions drawn look alike from all sides, and have one scale"),
    Row("prior.c2st",
        "draws", "no", "no", "draws", "N(0, I) has one scale; the halves are drawn by position"),
    Row("prior.mmd",
        "exact", "no", "no", "exact", "N(0, I) is integrated in closed form, and has one scale"),
    Row("hole.gaussian",
        "draws", "exact", "no", "exact", "the Gaussian moves along, but distances between codes are Euclidean"),
    Row("kl kl.mean_part kl.variance_part",
        "exact", "no", "no", "exact", "to N(0, I), which has one scale"),
    Row("elbo nll.iw",
        "draws", "no", "no", "draws", "the prior N(0, I) has one scale; noise is drawn by position"),
    Row("mutual_information",
        "draws", "exact", "exact", "draws", "a property of the channel from image to code; noise is drawn by position"),
    Row("overlap",
        "exact", "exact", "exact", "exact", "Bhattacharyya's coefficient belongs to the distributions"),
    Row("punctual_index",
        "no", "exact", "exact", "exact", "a ratio within each dimension"),
    Row("active_units",
        "no", "exact", "no", "exact", "counts dimensions; those of a Dirac are compared with one another"),
    Row("active_units.burda variance_law",
        "no", "no", "no", "exact", "dimension by dimension, against a fixed scale"),
    Row("probe.linear",
        "no", "exact", "exact", "exact", "standardised along each coordinate, with an even ridge"),
    Row("probe.knn silhouette trustworthiness neighbourhood_continuity intrinsic_dim.twonn intrinsic_dim.mle",
        "exact", "exact", "no", "exact", "Euclidean neighbours or distances of codes"),
)
# fmt: on
TABLE = {name: row for row in ROWS for name in row.names.split() if name in METRICS}
COLUMNS = {"rotation": "rotation", "isotropic scale": "isotropic", "anisotropic scale": "anisotropic"}


def cases(*said: str) -> list:
    found = []
    for name, row in TABLE.items():
        columns = [c for c, field in COLUMNS.items() if getattr(row, field) in said]
        found += [(name, c) for c in (*columns, *(["order"] if row.order in said else []))]
    return found


def moved(e, change: str):
    return permuted(e) if change == "order" else reparametrised(e, REPARAMETRISATIONS[change])


def examples(name: str):
    every = (example_for(METRICS[name])(sigma, torch.float64) for sigma in (None, 0.3))
    return [e for e in every if not e.absent(METRICS[name].needs)]


def test_every_metric_says_what_it_may_not_notice():
    assert set(TABLE) == set(METRICS)
    assert len(TABLE) == sum(name in METRICS for row in ROWS for name in row.names.split()), "a metric stands twice"
    assert {getattr(r, f) for r in ROWS for f in (*COLUMNS.values(), "order")} == {"exact", "draws", "no"}


@pytest.mark.parametrize(("name", "change"), cases("exact"))
def test_the_same_number(name, change):
    for e in examples(name):
        found = number(METRICS[name], moved(e, change))
        assert found is not None
        assert found == pytest.approx(number(METRICS[name], e), rel=1e-6, abs=1e-9)


def over_seeds(name: str, e) -> torch.Tensor:
    """The metric's number under several seeds: only what it draws changes."""
    train = e.train
    views = (replace(e, seed=s, train=replace(train, seed=s)) for s in SEEDS)
    return torch.tensor([number(METRICS[name], view) for view in views], dtype=torch.float64)


@pytest.mark.parametrize(("name", "change"), cases("draws"))
def test_other_draws_of_the_same_distribution(name, change):
    """Means over seeds differ by less than five standard errors (and a thousandth)."""
    for e in examples(name):
        here, there = over_seeds(name, e), over_seeds(name, moved(e, change))
        error = ((here.var() + there.var()) / len(SEEDS)).sqrt()
        assert abs(here.mean() - there.mean()) <= 5 * error + 1e-3 * max(1.0, abs(here.mean()))


SHOWN = [case for case in cases("no") if case[0] not in ("active_units", "active_units.burda", "probe.knn")]


@pytest.mark.parametrize(("name", "change"), [c for c in SHOWN if "scale" in c[1]])
def test_another_number_where_the_table_says_so(name, change):
    """Else the table would hide an invariance, and these tests could not tell other coordinates from the same."""
    seen = [(number(METRICS[name], e), number(METRICS[name], moved(e, change))) for e in examples(name)]
    assert any(a != pytest.approx(b, rel=1e-3) for a, b in seen if a is not None and b is not None) or any(
        b is None for _, b in seen
    )

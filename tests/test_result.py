"""`Result.value` is one model's value: a mean over anything but seeds is nobody's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up import anchor, rows

import latentbench as lb

AE, VAE = rows("ae", "r2", [0.7, 0.8]), rows("vae", "r2", [0.5, 0.6])


def test_the_mean_is_over_seeds():
    assert lb.Result(AE).value("r2") == pytest.approx(0.75)
    assert lb.Result([*AE, anchor("baseline:pca", "r2", 0.1)]).value("r2") == pytest.approx(0.75)


SEVERAL = [
    (VAE, "several models: ae, vae; name one with model=..."),
    ([replace(r, dataset="mnist") for r in AE], "several data sets: digits, mnist; name one with dataset=..."),
    ([replace(r, latent_dim=2) for r in AE], "several latent sizes: 2, 8; name one with latent_dim=..."),
    ([replace(r, run="second") for r in AE], "several runs: none, second; take the Result of one run"),
    (
        [replace(r, metric_params={"batch": 64}) for r in AE],
        "several parameters: {'batch': 64}, {}; read them in .frame",
    ),
    (
        [replace(r, params={"beta": 4}) for r in AE],
        "several parameters of one model: {'beta': 4}, {}; read them in .frame",
    ),
]


@pytest.mark.parametrize(("more", "message"), SEVERAL)
def test_several_are_refused_and_named(more, message):
    with pytest.raises(ValueError, match="metric 'r2' has values of") as caught:
        lb.Result([*AE, *more]).value("r2")
    assert str(caught.value).endswith(message)
    assert "\n" not in str(caught.value)


def test_one_of_several_is_named():
    both = lb.Result([*AE, *VAE, *(replace(r, dataset="mnist", value=0.0) for r in AE)])
    assert both.value("r2", model="vae") == pytest.approx(0.55)
    assert both.value("r2", model="ae", dataset="digits") == pytest.approx(0.75)
    assert both.value("r2", model="ae", dataset="mnist") == 0.0
    assert lb.Result([*AE, anchor("baseline:pca", "r2", 0.1)]).value("r2", model="baseline:pca") == 0.1
    sizes = lb.Result([*AE, *(replace(r, latent_dim=2, value=0.0) for r in AE)])
    assert sizes.value("r2", latent_dim=2) == 0.0


def test_what_is_not_there_is_named_too():
    with pytest.raises(ValueError, match=r"'r2' has no value on test for model=wae: it has one of ae, vae"):
        lb.Result([*AE, *VAE]).value("r2", model="wae")
    with pytest.raises(ValueError, match="'hole' has no value on test: no such metric was asked for"):
        lb.Result(AE).value("hole")


def test_a_dry_run_checks_and_carries_nothing_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planned = lb.run("ae", seeds=2, out="there", dry_run=True)
    assert (list(planned.records), str(planned.folder), planned.report) == ([], "there", None)
    with pytest.raises(ValueError, match="unknown metric"):
        lb.run("ae", metrics="r22", dry_run=True)
    assert not list(tmp_path.iterdir())

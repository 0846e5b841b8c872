"""The study of all kinds: who is on the front where that is told, what is claimed of kinds, and the map."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from latentbench import catalog
from latentbench.config import make_run
from latentbench.records import Record
from latentbench.report import story
from latentbench.report.columns import Column
from latentbench.report.folder import Artifact
from latentbench.report.story import zoo
from latentbench.report.story.run_view import RunView
from latentbench.report.story.trade_off_map import BESIDE, MapPoint, trade_off_map
from latentbench.stats.cells import t_interval
from latentbench.stats.findings.evidence import measured
from latentbench.stats.findings.zoo import own_validity, trade_off
from latentbench.studies.presets import studies, with_study

BASE = Record(run="r", dataset="d", split="test", latent_dim=8, bounds=(None, 1.0), unit="share", better="higher")


def rows(metric, means, spread=0.004, seeds=6):
    return [
        replace(BASE, metric=metric, model=model, seed=s, value=v + spread * math.sin(3 * s + 7 * k))
        for k, (model, v) in enumerate(means.items())
        for s in range(seeds)
    ]


def standings(r2, valid, **more):
    records = [*rows("r2", r2, **more), *rows("validity.normal", valid, **more)]
    return {p.model: p.standing for p in trade_off(measured(records), list(r2))}


def test_the_front_is_those_that_nobody_beats_in_both():
    r2 = {"ae": 0.90, "vae": 0.70, "mid": 0.80, "bad": 0.60}
    valid = {"ae": 0.10, "vae": 0.80, "mid": 0.50, "bad": 0.30}
    assert standings(r2, valid) == {"ae": "front", "vae": "front", "mid": "front", "bad": "behind"}


def test_equal_models_are_told_nothing_of():
    names = ["a", "b", "c", "d"]
    assert set(standings(dict.fromkeys(names, 0.8), dict.fromkeys(names, 0.5)).values()) == {"open"}


def test_two_that_are_one_leave_each_other_open_and_stay_ahead_of_the_third():
    """Neither of the twins is told from the other, so neither is told to be on the front; the third is behind both."""
    found = standings({"a": 0.9, "b": 0.9, "c": 0.6}, {"a": 0.8, "b": 0.8, "c": 0.2})
    assert found == {"a": "open", "b": "open", "c": "behind"}


def test_wide_intervals_tell_nothing():
    found = standings({"a": 0.9, "b": 0.8}, {"a": 0.5, "b": 0.4}, spread=0.5)
    assert set(found.values()) == {"open"}


def test_one_seed_tells_nothing():
    assert set(standings({"a": 0.9, "b": 0.8}, {"a": 0.5, "b": 0.4}, seeds=1).values()) == {"open"}


def test_what_lacks_one_measure_is_not_placed():
    records = [*rows("r2", {"ae": 0.9, "vq": 0.7}), *rows("validity.normal", {"ae": 0.1})]
    assert [p.model for p in trade_off(measured(records), ["ae", "vq"])] == ["ae"]


def test_a_models_own_prior_is_what_counts():
    records = [*rows("validity.normal", {"vamp": 0.1}), *rows("validity.prior", {"vamp": 0.7})]
    assert own_validity(measured(records), "vamp").metric == "validity.prior"


KINDS = ("ae", "vae", "rae", "wae", "aae", "vamp", "iwae:k=5", "vae:info=0.9", "vq", "fsq")


def study(**changed):
    """A run in which all that the study claims is so; ``changed``: metric -> model -> another mean."""
    means = {
        "r2": dict.fromkeys(KINDS, 0.7) | {"ae": 0.9, "wae": 0.8, "aae": 0.8, "vq": 0.5, "fsq": 0.5},
        "hole": dict.fromkeys(KINDS, 0.05) | {"ae": 0.7},
        "validity.normal": dict.fromkeys(KINDS, 0.6) | {"ae": 0.1, "rae": 0.1},
        "validity.mixture": dict.fromkeys(KINDS, 0.65),
        "validity.prior": dict.fromkeys(KINDS, 0.6) | {"ae": 0.1, "rae": 0.1, "vamp": 0.8},
        "nll.iw": dict.fromkeys(KINDS, 90.0) | {"iwae:k=5": 80.0},
        "mutual_information": dict.fromkeys(KINDS, 4.0) | {"vae:info=0.9": 6.0},
    }
    return [r for metric, of in means.items() for r in rows(metric, of | changed.get(metric, {}))]


def verdicts(records, models=KINDS):
    return {c.key: c.verdict for c in zoo.claims(measured(records), list(models))}


def test_where_all_of_it_is_so_all_of_it_is_supported():
    assert verdicts(study()) == dict.fromkeys("abcdef", "supported")


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("a", {"hole": {"ae": 0.001, "vae": 0.9}}),
        ("b", {"r2": {"wae": 0.3}}),
        ("c", {"validity.mixture": {"rae": 0.2}}),
        ("d", {"validity.prior": {"vamp": 0.2}}),
        ("e", {"nll.iw": {"iwae:k=5": 120.0}}),
        ("f", {"r2": {"fsq": 0.99}}),
    ],
)
def test_a_model_that_does_not_do_so_makes_the_claim_fail(key, changed):
    found = verdicts(study(**changed))
    assert found[key] == "not supported"


def test_only_kinds_that_were_run_are_claimed_of():
    assert list(verdicts(study(), ("ae", "vae"))) == ["a"]
    assert verdicts(study(), ("wae",)) == {}
    assert [zoo.kind(m) for m in ("vae", "vae:beta=2", "vae:info=0.9", "vq:k=64", "mine:Model")] == [
        "vae", "vae", "info", "vq", "mine",
    ]  # fmt: skip


def told(records, models=KINDS):
    run = SimpleNamespace(
        models=tuple(models), records=records, dataset="d", latent_dim_of=lambda m: 8, detail={}, seeds=range(6)
    )
    return zoo.tell(run, [])


def test_the_story_answers_with_the_front():
    records = [
        *rows("r2", {"ae": 0.9, "vae": 0.7, "wae": 0.6}),
        *rows("validity.normal", {"ae": 0.1, "vae": 0.8, "wae": 0.3}),
    ]
    found = told(records, ("ae", "vae", "wae"))
    assert "On the Pareto front: ae, vae. Behind the front, another being better in both: wae." in found.closing[0]
    assert found.chart.see.startswith("Better is up and to the right.")
    assert "Ringed" in found.chart.see
    screen, phone = str(found.chart.drawing).split("</svg>")[:2]
    assert ("trade-off wide" in screen, "trade-off narrow" in phone) == (True, True)
    assert [drawn.count("front-ring") for drawn in (screen, phone)] == [2, 2]


def test_a_map_without_a_front_says_so():
    records = [*rows("r2", {"ae": 0.9, "vae": 0.9}), *rows("validity.normal", {"ae": 0.5, "vae": 0.5})]
    found = told(records, ("ae", "vae"))
    assert "None is ringed" in found.chart.see
    assert "front-ring" not in str(found.chart.drawing)
    assert "The seeds tell of no kind whether it is on the Pareto front." in found.closing[0]


def test_what_collapsed_is_off_the_map_and_named():
    """A collapsed model of R² -.03 would squeeze all others into a corner."""
    records = [*rows("r2", {"ae": 0.9, "vmf": 0.0}), *rows("validity.normal", {"ae": 0.5, "vmf": 0.0})]
    run = SimpleNamespace(
        models=("ae", "vmf"), records=records, dataset="d", latent_dim_of=lambda m: 8, detail={}, seeds=(0,)
    )
    columns = [Column(run, m, k, m, "", 8, "collapsed" * k) for k, m in enumerate(run.models)]
    chart = zoo.tell(run, columns).chart
    assert chart.models == ["ae"]
    assert "Collapsed, and off the map: vmf." in chart.see


def test_draws_shown_are_those_of_the_own_prior():
    """Of a model with a prior of its own the sheet shows that prior's draws, not N(0, I)'s, which are all refused here."""
    images, ruled = (
        np.zeros((10, 4, 4), np.uint8),
        {"normal_valid": np.zeros(10, bool), "prior_valid": np.ones(10, bool)},
    )

    def artifact(role, model):
        own = {"prior_images": images, "prior_valid": ruled["prior_valid"]} if model == "vamp" else {}
        return Artifact(role, model, {"normal_images": images, "normal_valid": ruled["normal_valid"], **own}, {}, 0)

    run = SimpleNamespace(records=[], latent_dim_of=lambda m: 8, artifact=artifact)
    view = RunView(run, [Column(run, m, k, m, "") for k, m in enumerate(("vae", "vamp"))], ())
    shown = view.rows(("vae", "vamp"), own=True).see
    assert "Valid of 10: vae 0, vamp 10." in shown
    assert "each one's own prior" in shown
    assert "Valid of 10: vae 0, vamp 0." in view.rows(("vae", "vamp")).see


def test_without_validity_there_is_no_map():
    found = told(rows("r2", {"ae": 0.9, "vae": 0.7}), ("ae", "vae"))
    assert found.chart is None
    assert "there is no trade-off to tell of" in found.closing[0]


def test_names_on_the_map_lie_apart():
    """Thirteen models in four heaps: no name begins where another stands."""
    score = [t_interval([v - 0.01, v, v + 0.01]) for v in (0.2, 0.21, 0.8, 0.81)]
    points = [MapPoint(k, f"model{k}", score[k % 4], score[(k // 4) % 4], False) for k in range(13)]
    screen, phone = str(trade_off_map(points, "x", "y", "label")).split("</svg>")[:2]
    for drawn, every in ((screen, True), (phone, False)):
        names = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="axis halo-thin">model', drawn)
        at = [(float(x), float(y)) for x, y in names]
        assert len(at) == 13 if every else 4 <= len(at) <= 13
        apart = [(a, b) for k, a in enumerate(at) for b in at[:k] if abs(a[0] - b[0]) < 20 and abs(a[1] - b[1]) < 9]
        assert apart == []


def test_one_wide_interval_leaves_the_models_room():
    """A cross a hundred times as long as the models lie apart is cut off, and they stay apart."""
    near = [t_interval([v - 0.001, v, v + 0.001]) for v in (0.5, 0.6)]
    wide = t_interval([-50.0, 0.55, 51.1])
    points = [MapPoint(0, "a", near[0], near[0], False), MapPoint(1, "b", near[1], near[1], False)]
    drawn = str(trade_off_map([*points, MapPoint(2, "c", wide, near[0], False)], "x", "y", "label", BESIDE))
    dots = [float(x) for x in re.findall(r'<path d="M([\d.]+) [\d.]+m', drawn)]
    assert dots[1] - dots[0] > 100


def test_the_study_is_a_story_and_its_models_are_kinds():
    assert "zoo" in story.STORIES
    run = make_run(with_study({"study": "zoo"}))
    there = {kind for kind in zoo.KINDS if kind == "info" or kind in catalog.models()}
    assert {zoo.kind(m) for m in run.models} == there
    assert len(run.models) == len(there)
    for text in run.models:
        assert catalog.resolve_model(text, run).latent_dim == 8
    assert catalog.find_metrics(run.metrics)
    assert studies()["zoo"].summary

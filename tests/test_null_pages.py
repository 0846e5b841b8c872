"""Null pages: a page about equal models claims nothing but seldom, and a page about different ones does not fall silent."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from latentbench import catalog

ROOT = Path(__file__).parents[1]
DEALS = 200
OF_A_KIND = {
    "path.validity_gain": 0,
    "validity.normal": 0,
    "r2": 0,
    "memorisation": 1,
    "active_units": 2,
    "perplexity": 2,
}
"""Such that no model collapses or copies."""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("null_pages", ROOT / "benchmarks" / "null_pages.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["null_pages"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def store(script):
    """Seeds of two made-up models, in every metric of the catalog: normal, skewed towards a bound, whole numbers, a
    constant, and some values missing. Metrics hang together, as those of one training do."""
    rng, values = np.random.default_rng(0), {}
    for model, shift in (("ae", 0.0), ("vae", 0.4)):
        common = rng.normal(size=60)
        for k, (name, metric) in enumerate(catalog.metrics().items()):
            noise = 0.6 * common + 0.8 * rng.normal(size=60)
            kinds = 0.5 + shift + 0.1 * noise, 0.02 * np.exp(noise), np.round(7 + 0.6 * noise), np.full(60, 3.0)
            x = kinds[OF_A_KIND.get(name, k % 4)]
            column = [None if k % 11 == 10 and s % 3 else float(v) for s, v in enumerate(x)]
            values |= {f"{model} {name} {split}": column for split in metric.splits}
    return script.Store(values, catalog.metrics())


@pytest.mark.parametrize("models", [2, 4])
def test_pages_of_equal_models_claim_little(script, store, models):
    """At most 5 % of them make a false claim: of 200, no more than 5 % would make with a probability above 1e-4."""
    found = script.null_pages(store, models, DEALS)
    for part in ("headline", "outside"):
        assert binomtest(found[part], DEALS, 0.05, "greater").pvalue > 1e-4, (part, found)
    assert found["claims"][1] > found["claims"][0] > 0


def test_without_adjusting_the_same_pages_would_claim_much(script, store, monkeypatch):
    """What the test above can see: each claim on its own at 5 %."""
    monkeypatch.setattr("latentbench.stats.families.Family.adjusted", lambda self, p, headline: p)
    monkeypatch.setattr("latentbench.stats.families.Family.tells", lambda self, headline: True)
    monkeypatch.setattr(script, "may_tell", lambda *_: (True, True))
    found = script.null_pages(store, 4, 20)
    assert found["headline"] >= 5
    assert found["outside"] >= 15


@pytest.mark.parametrize("models", [2, 3, 6])
def test_the_arrays_say_of_a_page_what_its_family_does(script, store, models):
    rng, told = np.random.default_rng(1), []
    for k in range(30):
        source, hands = ("ae", "vae")[k % 2], script.hands_of(store, models, rng)
        family = script.equal_models(store, source, hands).every[0].family
        said = script.may_tell(store, source, hands)
        assert said == (family.tells(True), family.tells(False))
        told.append(said)
    assert (False, False) in told


def test_an_unequal_model_is_seen(script, store):
    rows = script.power(store, 20)
    one = next(r for r in rows if r["metric"] == "path.validity_gain")
    assert one["headline"]
    assert one["higher"] > 0.8
    assert one["lower"] == 0


def test_a_store_that_is_too_small_is_refused(script, store):
    with pytest.raises(ValueError, match="72 models of 6 seeds need 432, the store holds 60"):
        script.hands_of(store, 72, np.random.default_rng(0))


def test_the_published_page_is_what_the_script_writes_and_keeps_its_promise(script):
    held = json.loads((ROOT / "docs" / "null-pages.json").read_text("utf-8"))
    assert (ROOT / "docs" / "null-pages.md").read_text("utf-8") == script.page(held)
    assert [row["models"] for row in held["null"]] == list(script.MODELS)
    for row in held["null"]:
        assert row["deals"] == script.DEALS
        assert max(row["headline"], row["outside"]) <= script.MOST * row["deals"]

"""Every cheat given to `lb.evaluate` is caught as a cheat, in whatever coordinates it is told; and what once won unjustly
wins no more, beside honest models of three seeds."""

from __future__ import annotations

import os

import pytest
import unjust
from cheats import DISGUISES, VALIDITIES, WANTED, evaluated

from latentbench.report.wording.findings import statements
from latentbench.stats.findings import answers, findings, tables
from latentbench.stats.findings.flaws import flattering, flaws

CAVEATS_OF_CHEATS = (
    "copies", "copies in part", "repeats", "classes missing", "suspicious validity", "far in pixels", "jumps", "uneven",
    "invented sigma",
)  # fmt: skip
EVERY = pytest.mark.parametrize("disguise", DISGUISES)
ALONG = [m for m in WANTED if m.startswith(("path.", "midpoint."))]


def rows(result):
    return {r.metric: r for r in result.records if r.split == "test" and not r.is_reference}


@EVERY
def test_the_honest_model_is_not_caught(disguise):
    """The thresholds below tell something apart: principal components pass all that a disguise may not change."""
    result = evaluated("pca", disguise)
    assert 0.6 < result.value("r2") < 0.7
    assert result.value("path.tortuosity") < 1.01
    assert result.value("validity.mixture") > 0.3
    assert result.value("validity.gaussian") > 0.05


@EVERY
def test_identity_autoencoder(disguise):
    result = evaluated("identity", disguise)
    assert result.value("r2") == pytest.approx(1, abs=1e-9)
    assert result.value("validity.normal") < 0.05
    # A straight line of images is a cross-fade: smooth in pixels, and no more valid than one.
    assert result.value("path.tortuosity") == pytest.approx(1, abs=1e-4)
    assert result.value("path.validity_gain") == pytest.approx(0, abs=1e-3)


@EVERY
def test_lookup_table(disguise):
    result = evaluated("lookup", disguise)
    assert min(result.value(m) for m in VALIDITIES) > 0.9
    assert result.value("path.tortuosity") > 8


@EVERY
@pytest.mark.parametrize("table", ["lookup of d = 8", "scrambled lookup of d = 8"])
def test_lookup_table_of_many_dimensions(table, disguise):
    """In eight dimensions a straight line passes the cells of three or four codes only, so tortuosity sees little of
    it; that the path jumps, and (below) that the images are copies, is seen all the same."""
    result = evaluated(table, disguise)
    assert min(result.value(m) for m in VALIDITIES) > 0.85
    assert result.value("path.tortuosity") > 2.5
    assert result.value("path.jump") > 0.2


@EVERY
def test_lookup_tables_give_training_images_back(disguise):
    for table in ("lookup", "lookup of d = 8", "scrambled lookup of d = 8"):
        assert evaluated(table, disguise).value("memorisation") > 0.95


@EVERY
def test_what_copies_is_flagged_and_never_leads(disguise):
    """Beside an honest model too: what a table of training images gives back is valid because it is real."""
    for cheat in ("lookup", "lookup of d = 8", "scrambled lookup of d = 8"):
        result = evaluated(cheat, disguise)
        (table,) = tables(result.records)
        assert list(table.copies) == table.models
        assert not table.row("validity.normal")
        answers = " ".join(s for v in statements(result.records) for s in (v.headline, *v.sentences))
        assert "gives its training images back (memorisation" in answers
        assert "collapsed or copying, so nothing drawn means anything" in answers
    assert 0.2 < evaluated("pca", disguise).value("memorisation") < 0.8


@EVERY
def test_constant_decoder(disguise):
    result = evaluated("constant", disguise)
    for name in VALIDITIES:
        assert result.value(name) < 0.05
    found = rows(result)
    assert {found[m].status for m in ALONG} == {"skipped"}
    for metric in ALONG:
        assert "chord" in found[metric].reason, metric


@EVERY
def test_noise_decoder(disguise):
    result = evaluated("noise", disguise)
    assert result.value("path.tortuosity") > 8
    for name in VALIDITIES:
        assert result.value(name) < 0.05


@EVERY
def test_punctual_posterior(disguise):
    assert evaluated("punctual", disguise).value("punctual_index") < 0.02


@EVERY
@pytest.mark.parametrize("name", ["collapsed", "nearly collapsed"])
def test_collapsed_posterior(name, disguise):
    result = evaluated(name, disguise)
    assert result.value("active_units") == 0
    assert result.value("r2") < 0.01
    for metric in VALIDITIES:
        assert result.value(metric) < 0.05


@EVERY
@pytest.mark.parametrize("name", ["collapsed", "nearly collapsed", "constant"])
def test_collapsed_is_flagged_and_leads_nowhere(name, disguise):
    """Beside an honest model, in the page's own words and ranks, over every measure there is."""
    records = [*evaluated(name, disguise, every=True).records, *evaluated("pca", disguise, every=True).records]
    (table,) = tables(records)
    assert set(table.collapse) == {name}
    ranked = {m: table.leaders(m) for m in {r.metric for r in records}}
    assert not any(ranked.values()), "the honest model alone has no rival to lead"
    told = {v.question: " ".join(v.sentences) for v in statements(records)}
    assert f"Completeness flagged: {name} is collapsed" in told["complete"]
    assert f"Flagged: {name} is collapsed" in told["continuous"]


# --- what once won unjustly ---

REAL_MNIST = pytest.mark.skipif(
    "LATENTBENCH_DATA" not in os.environ, reason="LATENTBENCH_DATA names no folder with MNIST"
)
FIELDS = [
    pytest.param(unjust.DIGITS, id="digits"),
    pytest.param(unjust.LINES, id="lines", marks=pytest.mark.slow),
    pytest.param(unjust.MNIST, id="mnist", marks=[pytest.mark.slow, REAL_MNIST]),
]
ON_EVERY = pytest.mark.parametrize("field", FIELDS)
UNJUST = pytest.mark.parametrize("name", unjust.CHEATS)


def answered(records, model):
    return {a.question: a for a in answers(records) if a.model == model}


def test_honest_models_keep_what_they_earn():
    """An autoencoder walks well and is empty under the prior; a VAE walks well and fills a part of it."""
    found = unjust.contest("ae", "vae")
    assert {q: a.answer for q, a in answered(found, "ae").items()} == {
        "continuous": "yes", "complete": "no", "reconstructs": "yes", "posterior": "no",
    }  # fmt: skip
    assert {q: a.answer for q, a in answered(found, "vae").items()} == {
        "continuous": "yes", "complete": "partly", "reconstructs": "yes", "posterior": "yes",
    }  # fmt: skip
    (table,) = tables(found)
    assert not any(flattering(table, question) for question in ("continuous", "complete", "posterior", "cost"))


@ON_EVERY
@UNJUST
def test_no_unjust_winner_is_answered_yes_where_it_is_bad(name, field):
    found = answered(unjust.contest("vae", name, field=field), name)
    for question in unjust.CHEATS[name].bad:
        assert found[question].answer in ("no", "partly"), found[question]
        assert found[question].reasons


@ON_EVERY
@UNJUST
@pytest.mark.parametrize("rival", unjust.HONEST)
def test_no_unjust_winner_leads_without_a_caveat(name, rival, field):
    """In a measure that it cheats in; one that looks at codes alone, or at reconstructions, may be won by whoever is
    better."""
    bad = set(unjust.CHEATS[name].bad) - {"reconstructs"}
    records = unjust.contest(rival, name, field=field)
    led = [f for f in findings(records) if f.verdict in ("better", "worse")]
    led = [f for f in led if (f.subject if f.verdict == "better" else f.rival) == name]
    telling = set(CAVEATS_OF_CHEATS)
    bare = [f for f in led if f.question in {*bad, "other"} and not telling & set(f.caveats)]
    assert not bare
    (table,) = tables(records)
    if name in table.excluded:
        return
    for question in bad:
        assert telling & set(flaws(table, question).get(name, ())), question
        (said,) = [v for v in statements(records) if v.question == question]
        if name in flattering(table, question) and question != "posterior":
            assert f"flagged: {name}" in said.headline
            assert any(s.startswith(f"Flagged: {name}, because ") for s in said.sentences)


def test_a_posterior_with_an_invented_sigma_is_not_called_regular():
    (said,) = [v for v in statements(unjust.contest("vae", "invented-sigma")) if v.question == "posterior"]
    assert "invented-sigma of an invented sigma" in said.headline
    assert "regular" in said.headline
    assert "invented-sigma regular" not in said.headline

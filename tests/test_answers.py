"""Answers: what must hold for a yes, and that no known cheat gets one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up import JITTER, anchor, rows, skipped, steady

import latentbench as lb
from latentbench.records import SELF_CHECK, Record
from latentbench.stats.findings import Answer, answers
from latentbench.stats.findings.finding import ASKED

ANCHORS = [
    anchor("ceiling:real", "validity.normal", 0.9), anchor("floor:noise", "validity.normal", 0.02),
    anchor("baseline:pca", "r2", 0.66),
]  # fmt: skip
GOOD = {
    "r2": 0.8, "active_units": 8.0, "memorisation": 0.5, "path.validity_gain": 0.3, "validity.normal": 0.88, "hole": 0.03,
    "punctual_index": 0.2, "kl.mean_part": 4.0,
}  # fmt: skip
YES = dict.fromkeys(ASKED, "yes")


def made(seeds=6, without=(), **changed):
    """Records of one model that everything speaks for, but for what is ``changed`` (dots written as ``__``)."""
    means = {**GOOD, **{name.replace("__", "."): v for name, v in changed.items()}}
    jitter = JITTER[:seeds] / 10
    return [*ANCHORS, *(r for name, v in means.items() if name not in without for r in rows("vae", name, v + jitter))]


def told(found, model="vae"):
    return {a.question: a.answer for a in answers(found) if a.model == model}


def why(found, question, model="vae"):
    (one,) = [a for a in answers(found) if (a.model, a.question) == (model, question)]
    return one.answer, one.reasons


def test_a_model_that_everything_speaks_for():
    assert told(made()) == YES
    assert answers(made())[0] == Answer("vae", "continuous", "yes", (), "digits", 8, "")


# --- cheats ---


def test_a_lookup_table_gets_no_yes():
    found = made(memorisation=1.0)
    assert set(told(found).values()) == {"no"}
    assert why(found, "complete") == ("no", ("copies",))


@pytest.mark.parametrize("changed", [{"r2": 0.0}, {"active_units": 0.0}, {"r2": -0.3, "active_units": 0.0}])
def test_a_collapsed_model_gets_no_yes(changed):
    assert set(told(made(**changed)).values()) == {"no"}
    assert why(made(**changed), "posterior") == ("no", ("collapsed",))


def test_collapse_at_one_seed_is_enough():
    found = [r for r in made() if r.metric != "active_units"] + rows(
        "vae", "active_units", [8.0, 8.0, 0.0, 8.0, 8.0, 8.0]
    )
    assert set(told(found).values()) == {"no"}


def test_a_constant_decoder_gets_no_yes():
    """Codes with something to say, and a decoder that draws one image, however real it looks."""
    gone = skipped("vae", "path.validity_gain", "the decoder maps the ends of 500 of 500 paths to the same image")
    found = [*made(without=("path.validity_gain",), r2=0.0, validity__normal=0.9), *gone]
    assert set(told(found).values()) == {"no"}
    unseen = [*made(without=("path.validity_gain", "r2"), validity__normal=0.9), *gone]
    assert set(told(unseen).values()) == {"not told"}


def test_a_punctual_posterior_gets_no_yes():
    assert why(made(punctual_index=0.0001), "posterior") == ("no", ("punctual",))
    assert why(made(punctual_index=0.0001, kl__mean_part=485.0), "posterior") == ("no", ("punctual", "far apart"))
    points = [*made(without=("kl.mean_part",), punctual_index=0.0), *skipped("vae", "kl.mean_part", "a point")]
    assert why(points, "posterior") == ("no", ("punctual",))


def test_what_could_be_a_cheat_is_not_told():
    assert told(made(without=("memorisation",))) == {**YES, "continuous": "not told", "complete": "not told"}
    assert set(told(made(without=("r2",))).values()) == {"not told"}


def test_one_seed_tells_nothing():
    assert set(told(made(1)).values()) == {"not told"}
    assert {a.reasons for a in answers(made(1))} == {("one seed",)}


# --- question by question ---


@pytest.mark.parametrize(
    ("metric", "question"),
    [
        ("path.validity_gain", "continuous"), ("validity.normal", "complete"), ("hole", "complete"), ("r2", "reconstructs"),
        ("punctual_index", "posterior"), ("kl.mean_part", "posterior"),
    ],
)  # fmt: skip
def test_a_part_that_was_skipped_or_failed_its_self_check_is_not_told(metric, question):
    gone = [*made(without=(metric,)), *skipped("vae", metric, "why")]
    assert why(gone, question)[0] == "not told"
    assert f"no {metric}" in why(gone, question)[1]
    check = Record(
        dataset="digits", model=SELF_CHECK, role="check", metric=metric, value=0.0, latent_dim=8, detail={"why": ["x"]}
    )
    assert why([*made(), check], question) == ("not told", ("self-check failed",))


def test_continuous_is_what_beats_a_cross_fade():
    assert why(made(path__validity_gain=-0.3), "continuous") == ("no", ("less valid than a cross-fade",))
    assert why(made(path__validity_gain=0.0), "continuous") == ("not told", ("not told apart",))


@pytest.mark.parametrize(("gain", "answer"), [(0.2, "yes"), (-0.2, "partly")])
def test_a_path_within_one_class_is_only_part_of_it(gain, answer):
    gains = rows("vae", "path.validity_gain", 0.3 + JITTER)
    detailed = [replace(r, detail={"different_class": {"gain": gain + v}}) for r, v in zip(gains, JITTER, strict=True)]
    assert why([*made(without=("path.validity_gain",)), *detailed], "continuous")[0] == answer


@pytest.mark.parametrize(
    ("valid", "hole", "answer", "reasons"),
    [
        (0.88, 0.03, "yes", ()),
        (0.70, 0.03, "partly", ("validity",)),
        (0.88, 0.30, "partly", ("holes",)),
        (0.30, 0.03, "no", ("validity",)),
        (0.88, 0.80, "no", ("holes",)),
        (0.30, 0.30, "no", ("validity", "holes")),
        (0.461, 0.03, "not told", ("validity",)),
    ],
)
def test_complete_is_read_between_junk_and_real_images(valid, hole, answer, reasons):
    assert why(made(validity__normal=valid, hole=hole), "complete") == (answer, reasons)


def test_complete_needs_a_ceiling():
    found = [r for r in made() if r.model != "ceiling:real"]
    assert why(found, "complete") == ("not told", ("no ceiling",))


@pytest.mark.parametrize(
    ("more", "answer", "reasons"),
    [
        ({"density": 1.9}, "partly", ("crowded",)),
        ({"density": 1.0, "valid_label_tv": 0.1}, "yes", ()),
        ({"valid_label_tv": 0.9}, "partly", ("classes missing",)),
        ({"validity.normal.second_judge": 0.87}, "yes", ()),
        ({"validity.normal.second_judge": 0.3}, "not told", ("second judge differs",)),
    ],
)
def test_what_takes_a_complete_back(more, answer, reasons):
    found = [*made(), *(r for name, v in more.items() for r in rows("vae", name, v + JITTER / 10))]
    assert why(found, "complete") == (answer, reasons)


@pytest.mark.parametrize(
    ("r2", "answer", "reasons"),
    [
        (0.8, "yes", ()),
        (0.66, "partly", ("not told apart from PCA",)),
        (0.4, "partly", ("below PCA",)),
    ],
)
def test_reconstruction_is_read_beside_pca(r2, answer, reasons):
    assert why(made(r2=r2), "reconstructs") == (answer, reasons)


def test_reconstruction_is_read_beside_the_mean_image():
    wide = [*made(without=("r2",)), *rows("vae", "r2", [0.06, 0.9, 0.07, 0.06, 0.08, 0.06])]
    assert why(wide, "reconstructs") == ("not told", ("not told apart from the mean image",))
    assert why([r for r in made() if r.model != "baseline:pca"], "reconstructs") == ("not told", ("no baseline",))


def test_a_posterior_that_is_regular_in_the_mean_alone_is_partly_so():
    def seen(noise, on=True):
        units = {"active": [True, on], "mean_variance": [1.0, 1.0], "noise_variance": [0.2, noise]}
        detailed = rows("vae", "active_units", [2.0] * 6, detail=units)
        return why([*made(without=("active_units",)), *detailed], "posterior")

    assert seen(0.2) == ("yes", ())
    assert seen(1e-6) == ("partly", ("punctual dimensions",))
    assert seen(0.2, False) == ("partly", ("collapsed dimensions",))
    assert why(made(kl__mean_part=485.0), "posterior") == ("no", ("far apart",))


# --- where they come out ---


def test_every_model_is_asked_every_question():
    found = [*made(), *steady("ae", hole=0.7)]
    assert [(a.model, a.question) for a in answers(found)] == [(m, q) for m in ("vae", "ae") for q in ASKED]
    assert set(told(found, "ae").values()) == {"not told"}
    assert answers(ANCHORS) == []


def test_a_result_has_them_as_a_table():
    frame = lb.Result(made()).answers
    assert list(frame.columns) == ["model", "question", "answer"]
    assert dict(zip(frame.question, frame.answer, strict=True)) == YES
    assert list(lb.Result([]).answers.columns) == ["model", "question", "answer"]

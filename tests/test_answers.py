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
    anchor("ceiling:real", "coverage", 0.96), anchor("ceiling:real", "valid_label_tv", 0.03),
    anchor("ceiling:real", "uniqueness", 1.0), anchor("baseline:pca", "r2", 0.66),
]  # fmt: skip
GOOD = {
    "r2": 0.8, "active_units": 8.0, "memorisation": 0.5, "path.validity_gain": 0.3, "path.validity_gain.real": 0.25,
    "path.refinement": 0.52, "path.jump": 0.03, "validity.normal": 0.82, "coverage": 0.9, "valid_label_tv": 0.1,
    "uniqueness": 0.99, "hole": 0.03, "punctual_index": 0.2, "kl.mean_part": 4.0, "r2.draw": 0.78, "variance_law": 1.1,
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

PARTS = [
    ("path.validity_gain", "continuous"), ("path.validity_gain.real", "continuous"), ("path.refinement", "continuous"),
    ("path.jump", "continuous"), ("validity.normal", "complete"), ("coverage", "complete"), ("valid_label_tv", "complete"),
    ("uniqueness", "complete"), ("r2", "reconstructs"), ("punctual_index", "posterior"), ("kl.mean_part", "posterior"),
    ("r2.draw", "posterior"), ("variance_law", "posterior"),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "question"), PARTS)
def test_a_part_that_was_skipped_or_failed_its_self_check_is_not_told(metric, question):
    gone = [*made(without=(metric,)), *skipped("vae", metric, "why")]
    assert why(gone, question)[0] == "not told"
    assert f"no {metric}" in why(gone, question)[1]
    check = Record(
        dataset="digits", model=SELF_CHECK, role="check", metric=metric, value=0.0, latent_dim=8, detail={"why": ["x"]}
    )
    assert why([*made(), check], question) == ("not told", ("self-check failed",))


def test_memorisation_that_was_skipped_is_not_cleared():
    gone = [*made(without=("memorisation",)), *skipped("vae", "memorisation", "left to chance")]
    assert why(gone, "complete") == ("not told", ("copying unknown",))
    assert why(gone, "continuous") == ("not told", ("copying unknown",))


def test_what_is_known_to_be_bad_is_no_whatever_else_is_unknown():
    """Ten prototypes are too few images to say what they copy, and few enough to say no."""
    gone = [*made(without=("memorisation",), uniqueness=0.01), *skipped("vae", "memorisation", "left to chance")]
    assert why(gone, "complete") == ("no", ("repeats",))


@pytest.mark.parametrize(
    ("changed", "answer", "reasons"),
    [
        ({"path__validity_gain": -0.3}, "no", ("less valid than a cross-fade",)),
        ({"path__validity_gain": 0.0}, "no", ("less valid than a cross-fade",)),
        ({"path__validity_gain__real": -0.1}, "no", ("less valid than a cross-fade of real images",)),
        ({"path__refinement": 1.0}, "no", ("jumps",)),
        ({"path__jump": 0.3}, "no", ("uneven",)),
        ({"path__jump": 0.1}, "partly", ("uneven",)),
        ({"r2": 0.4}, "partly", ("below PCA",)),
    ],
)
def test_continuous_is_a_conjunction(changed, answer, reasons):
    assert why(made(**changed), "continuous") == (answer, reasons)


def test_a_gain_that_may_be_none_is_not_told():
    wide = [
        *made(without=("path.validity_gain",)),
        *rows("vae", "path.validity_gain", [0.3, -0.2, 0.3, -0.1, 0.2, 0.1]),
    ]
    assert why(wide, "continuous") == ("not told", ("not told apart",))


@pytest.mark.parametrize("metric", ["path.validity_gain", "path.validity_gain.real"])
@pytest.mark.parametrize(("gain", "answer"), [(0.2, "yes"), (-0.2, "partly")])
def test_a_path_within_one_class_is_only_part_of_it(metric, gain, answer):
    gains = rows("vae", metric, 0.3 + JITTER)
    detailed = [replace(r, detail={"different_class": {"gain": gain + v}}) for r, v in zip(gains, JITTER, strict=True)]
    assert why([*made(without=(metric,)), *detailed], "continuous")[0] == answer


@pytest.mark.parametrize(
    ("changed", "answer", "reasons"),
    [
        ({}, "yes", ()),
        ({"validity__normal": 0.59}, "partly", ("validity",)),
        ({"validity__normal": 0.25}, "no", ("validity",)),
        ({"coverage": 0.6}, "partly", ("coverage",)),
        ({"coverage": 0.4}, "no", ("coverage",)),
        ({"valid_label_tv": 0.23}, "partly", ("classes missing",)),
        ({"valid_label_tv": 0.43}, "no", ("classes missing",)),
        ({"uniqueness": 0.8}, "partly", ("repeats",)),
        ({"uniqueness": 0.17}, "no", ("repeats",)),
        ({"memorisation": 0.85}, "partly", ("copies in part",)),
        ({"validity__normal": 0.95}, "partly", ("suspicious validity",)),
        ({"validity__normal": 0.25, "uniqueness": 0.17}, "no", ("validity", "repeats")),
        ({"density": 1.9}, "partly", ("crowded",)),
        ({"density": 1.0}, "yes", ()),
        ({"validity__normal__second_judge": 0.81}, "yes", ()),
        ({"validity__normal__second_judge": 0.3}, "not told", ("second judge differs",)),
        ({"validity__normal": 0.59, "validity__normal__second_judge": 0.8}, "partly", ("validity",)),
    ],
)
def test_complete_is_a_conjunction(changed, answer, reasons):
    assert why(made(**changed), "complete") == (answer, reasons)


def test_what_is_valid_and_unlike_every_image_is_not_valid():
    """Noise found by gradient ascent: the judge accepts it, and in pixels it lies far from everything."""
    valid = rows("vae", "validity.normal", [0.82] * 6)

    def far(share):
        return [*made(without=("validity.normal",)), *(replace(r, detail={"far": share}) for r in valid)]

    assert why(far(0.001), "complete") == ("yes", ())
    assert why(far(0.06), "complete") == ("partly", ("far in pixels",))
    assert why(far(0.9), "complete") == ("no", ("validity",))


@pytest.mark.parametrize("metric", ["validity.normal", "coverage", "valid_label_tv", "uniqueness"])
def test_complete_needs_its_ceilings(metric):
    found = [r for r in made() if (r.model, r.metric) != ("ceiling:real", metric)]
    assert why(found, "complete") == ("not told", ("no ceiling",))


def test_chance_costs_a_yes_and_gives_none():
    """The whole interval must lie on the side of a yes; what holds all three answers says nothing."""

    def spread(*values):
        return why([*made(without=("coverage",)), *rows("vae", "coverage", values)], "complete")

    assert spread(0.85, 0.86, 0.84) == ("yes", ())
    assert spread(0.85, 0.8, 0.75) == ("partly", ("coverage",))
    assert spread(0.95, 0.3, 0.7) == ("not told", ("coverage",))
    assert spread(0.4, 0.2, 0.6) == ("no", ("coverage",))


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
        detailed = rows("vae", "active_units", [8.0] * 6, detail=units)
        return why([*made(without=("active_units",)), *detailed], "posterior")

    assert seen(0.2) == ("yes", ())
    assert seen(1e-6) == ("partly", ("punctual dimensions",))
    assert seen(0.2, False) == ("partly", ("collapsed dimensions",))
    assert why(made(kl__mean_part=485.0), "posterior") == ("no", ("far apart",))


@pytest.mark.parametrize(
    ("changed", "reasons"),
    [
        ({"active_units": 1.0}, ("mostly collapsed",)),
        ({"r2": 0.07}, ("uninformative",)),
        ({"r2__draw": 0.6}, ("invented sigma",)),
        ({"variance_law": 88.0}, ("too wide",)),
        ({"variance_law": 0.27}, ("too narrow",)),
    ],
)
def test_clouds_alone_are_not_regular(changed, reasons):
    """A VAE of R² .07 was "regular (clouds)", and so was a whitened autoencoder with a sigma its decoder never saw."""
    assert why(made(**changed), "posterior") == ("no", reasons)


def test_a_posterior_that_is_regular_at_most_seeds_is_partly_so():
    law = rows("vae", "variance_law", [1.1, 1.0, 2.2, 1.1, 1.0, 1.1])
    assert why([*made(without=("variance_law",)), *law], "posterior") == ("partly", ("too wide at a seed",))


def test_an_undertrained_model_is_said_to_be():
    def trained(**detail):
        return [*made(), *rows("vae", "train.epochs", [100] * 6, split="", detail={"kept": 80, **detail})]

    assert why(trained(steps=2400), "complete") == ("yes", ())
    for short in ({"steps": 900}, {"steps": 2400, "falling": True}):
        assert why(trained(**short), "complete") == ("yes", ("undertrained",))
        assert why(trained(**short), "continuous") == ("yes", ("undertrained",))


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

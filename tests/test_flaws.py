"""What is said of a model or of the data beside its scores: flaws, training cut short, worse than PCA, copies of images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up import JITTER, anchor, rows
from torch import nn

from latentbench.core import Loss
from latentbench.records import Record
from latentbench.report.wording.findings import answers as of_models
from latentbench.report.wording.findings import statements
from latentbench.report.wording.findings.reasons import CLAUSES, PLAIN, RESTS_ON, SHARES, because
from latentbench.stats.findings import findings, tables
from latentbench.stats.findings.diagnosis import INVENTED, invented
from latentbench.stats.findings.finding import CAVEATS
from latentbench.stats.findings.flaws import FLAWS, OF_POSTERIOR, flaws
from latentbench.training.fit import EarlyStopping, Plan, fit, still_falling

ANCHORS = [
    anchor("ceiling:real", "validity.normal", 0.9), anchor("ceiling:real", "uniqueness", 1.0),
    anchor("ceiling:real", "valid_label_tv", 0.03), anchor("baseline:pca", "r2", 0.66),
]  # fmt: skip


def beside(**means):
    """A cheat that leads by far beside an honest model."""
    fair = {
        "r2": 0.8,
        "memorisation": 0.5,
        "uniqueness": 1.0,
        "valid_label_tv": 0.1,
        "path.refinement": 0.52,
        "path.jump": 0.02,
    }
    fair |= {"validity.normal": 0.4, "path.validity_gain": 0.1}
    high = (
        fair | {"validity.normal": 0.8, "path.validity_gain": 0.5} | {k.replace("__", "."): v for k, v in means.items()}
    )
    both = (("fair", fair), ("cheat", high))
    return [*ANCHORS, *(r for m, given in both for k, (n, v) in enumerate(given.items()) for r in rows(m, n, v + np.roll(JITTER, k) / 9))]  # fmt: skip


FLATTERING = [
    ("repeats", {"uniqueness": 0.2}, "complete", "validity.normal"),
    ("classes missing", {"valid_label_tv": 0.4}, "complete", "validity.normal"),
    ("copies in part", {"memorisation": 0.85}, "complete", "validity.normal"),
    ("suspicious validity", {"validity__normal": 0.97}, "complete", "validity.normal"),
    ("jumps", {"path__refinement": 1.0}, "continuous", "path.validity_gain"),
    ("uneven", {"path__jump": 0.2}, "continuous", "path.validity_gain"),
    ("worse than PCA", {"r2": 0.4}, "complete", "validity.normal"),
]


@pytest.mark.parametrize(("code", "changed", "question", "metric"), FLATTERING)
def test_a_flaw_is_a_caveat_of_a_lead_and_stands_in_the_headline(code, changed, question, metric):
    found = beside(**changed)
    (one,) = [f for f in findings(found) if f.metric == metric]
    assert (one.verdict, one.subject) == ("better", "cheat")
    assert code in one.caveats
    (said,) = [v for v in statements(found) if v.question == question]
    assert "(flagged: cheat)" in said.headline
    assert any(s.startswith("Flagged: cheat, because ") for s in said.sentences)


def test_who_has_none_is_flagged_nowhere():
    found = beside()
    (table,) = tables(found)
    assert not any(flaws(table, question) for question in ("continuous", "complete", "posterior", "cost", "other"))
    assert not any("lagged" in s for v in statements(found) for s in (v.headline, *v.sentences))


def test_draws_that_are_valid_and_unlike_every_image_are_flagged():
    found = [
        replace(r, detail={"far": 0.5}) if (r.model, r.metric) == ("cheat", "validity.normal") else r for r in beside()
    ]
    (one,) = [f for f in findings(found) if f.metric == "validity.normal"]
    assert one.caveats == ("far in pixels",)


def test_the_flaw_of_the_one_behind_is_no_caveat_of_the_lead():
    found = beside(validity__normal=0.2, uniqueness=0.2)
    (one,) = [f for f in findings(found) if f.metric == "validity.normal"]
    assert (one.verdict, one.caveats) == ("worse", ())


def test_every_code_is_a_caveat_and_has_words():
    (table,) = tables(beside())
    for code in (*FLAWS, *OF_POSTERIOR, "worse than PCA"):
        assert code in CAVEATS
        assert because(table, "cheat", code) != code
    assert {*RESTS_ON, "validity of its own"} == {*SHARES, *CLAUSES}  # the words for the prior a model was trained with
    assert not set(PLAIN) & set(RESTS_ON)


@pytest.mark.parametrize(
    ("r2", "draw", "told"),
    [
        (0.836, 0.827, False),
        (0.681, 0.595, False),
        (0.84, 0.713, True),
        (0.84, 0.471, True),
        (0.999999, 0.999996, False),
    ],
)
def test_a_sigma_that_the_decoder_never_saw_costs_what_it_is_large(r2, draw, told):
    """Honest VAEs with beta 1 and 4, a sigma of .3 and .5 beside whitened codes, and errors too small to speak of."""
    assert invented(r2, draw) is told
    assert INVENTED > (1 - 0.595) / (1 - 0.681)
    assert not invented(r2, None)


def test_worse_than_pca_is_said_to_be():
    (said,) = [v for v in statements(beside(r2=0.4)) if v.question == "cost"]
    assert any(s.startswith("Worse than PCA of the same size: cheat, R² 0.4 against 0.66") for s in said.sentences)


def test_copies_across_splits_are_said():
    counts = {"test_in_train": 3, "test_in_val": 1, "val_in_train": 0, "within_train": 0}
    copies = Record(dataset="digits", model="", metric="data.duplicates", split="test", value=4.0, detail=counts)
    found = [*beside(), copies]
    (said,) = [v for v in statements(found) if v.question == "how sure"]
    assert any(s.startswith("4 test images also stand in training (3) or validation (1)") for s in said.sentences)
    assert all("duplicates" in f.caveats for f in findings(found))
    none = [*beside(), replace(copies, value=0.0, detail={})]
    assert tables(none)[0].duplicates is None
    assert not any("duplicates" in f.caveats for f in findings(none))


def test_training_cut_short_is_said():
    short = [replace(r, split="", detail={"kept": 30, "steps": 500}) for r in rows("cheat", "train.epochs", [50] * 6)]
    long = [replace(r, split="", detail={"kept": 30, "steps": 2000}) for r in rows("fair", "train.epochs", [90] * 6)]
    found = [*beside(), *short, *long]
    (said,) = [v for v in statements(found) if v.question == "how sure"]
    assert any(s.startswith("Undertrained: cheat (") and "numbers describe the training" in s for s in said.sentences)
    why = {row.name: row.why for row in of_models.rows(found)}
    assert all("undertrained" in w for w in why["cheat"])
    assert len(why["cheat"]) == 4
    assert not any("undertrained" in w for w in why["fair"])


def test_answers_stand_in_a_table_with_a_shape_and_a_word():
    found = beside(uniqueness=0.2)
    table = {row.name: row.answers for row in of_models.rows(found)}
    assert of_models.headers() == ["model", "interpolate?", "sample?", "reconstruct?", "regular posterior?"]
    assert table["cheat"][1].startswith("○ no 0.")
    assert table["fair"][2].startswith("● yes 0.")
    twice = [*found, *(replace(r, dataset="mnist") for r in found)]
    assert [row.name for row in of_models.rows(twice)][:3] == [
        "fair, digits at d = 8", "cheat, digits at d = 8", "fair, mnist at d = 8",
    ]  # fmt: skip


# --- what training says of itself ---


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([5, 4, 3, 2, 1], True),
        ([5, 1, 2, 2.01, 1.99, 2, 2.01, 1.99], False),
        ([5, 1, 3, 2.7, 2.4, 2.1, 1.8, 1.5, 1.2], True),
        ([5, 1, 1.2, 1.1], False),
        ([], False),
    ],
)
def test_whether_a_validation_loss_still_fell(losses, told):
    """The last epoch is the best; or after an outlier the others go on falling towards it."""
    assert still_falling(losses) is told


class Drift(nn.Module):
    """One weight whose loss falls for ever."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def loss(self, x, generator):
        return Loss(x.mean() * 0 - self.weight.sum(), {})


def test_a_history_counts_its_steps():
    x = torch.zeros(130, 1, 2, 2)
    history = fit(Drift(), x, x[:10], Plan(epochs=3, patience=0, batch_size=64, lr=0.01), 0)
    assert (history.epochs, history.steps, history.falling) == (3, 6, True)
    stopping = EarlyStopping(Plan(epochs=99, patience=5, batch_size=500, lr=0.01))
    for score in (3.0, 1.0, 2.0, 2.1, 2.0, 2.1, 2.0):
        stopping.log({"": 1.0}, score)
    assert stopping.plateau == 7
    for score in (0.9, 0.8, 0.7, 0.6, 0.5):  # it falls as the rate does, which says nothing of what is left to learn
        assert not stopping.over
        stopping.log({"": 1.0}, score)
    assert stopping.over
    ended = stopping.end(1.0, 130)
    assert (ended.best, ended.steps, ended.falling) == (12, 12, False)

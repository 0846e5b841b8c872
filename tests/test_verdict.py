"""The verdict in words: what it claims, what it refuses to claim, and that it survives whatever records hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import JITTER, anchor, posterior_of, rows, skipped, steady
from synthetic_run import Synthetic, build

from latentbench import records
from latentbench.records import Reason, Record
from latentbench.report.exports.console import LEGEND, console_table
from latentbench.report.wording.findings import statements
from latentbench.report.wording.findings.claims import sentences, standing
from latentbench.report.wording.findings.tables import collapsed
from latentbench.report.wording.intervals import between, value
from latentbench.stats.cells import Interval, seeds_to_see, summarise
from latentbench.stats.findings import claims as of_claims
from latentbench.stats.findings import tables
from latentbench.stats.findings.gaps import gap


def claims(cells, definitions=None):
    """The sentences of one metric's cells."""
    return sentences(of_claims.claims(cells), definitions or {})


def ask(found, question):
    (answer,) = [v for v in statements(found) if v.question == question]
    return replace(answer, headline=plain(answer.headline), sentences=tuple(map(plain, answer.sentences)))


def plain(sentence):
    """With ordinary spaces, whatever the page puts between a number and its unit."""
    return sentence.replace("\N{NARROW NO-BREAK SPACE}", " ")


def text(found):
    return "\n".join(s for v in statements(found) for s in (v.headline, *v.sentences))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = build(tmp_path_factory.mktemp("verdict") / "run", Synthetic())
    return records.read(folder / "records.jsonl")


# --- claims ---


def test_a_decided_difference_names_both_means_the_interval_and_the_seeds():
    (sentence,) = claims(
        summarise([*rows("ae", "hole", 0.74 + JITTER), *rows("vae", "hole", 0.15 + np.roll(JITTER, 1))])
    )
    assert sentence.startswith(
        "vae leaves fewer holes under N(0, I) than ae: 0.15 against 0.74, paired difference −0.59"
    )
    assert "over 6 seeds (sign-flip p = 0.031)" in sentence
    assert "tied" not in sentence


def test_where_no_difference_is_shown_it_is_said_how_many_seeds_would_see_one():
    a, b = rows("ae", "hole", 0.5 + JITTER), rows("vae", "hole", 0.505 + np.roll(JITTER, 3))
    a, b = ([replace(r, bounds=(0.0, 1.0)) for r in found] for found in (a, b))
    (sentence,) = claims(summarise([*a, *b]))
    assert sentence.startswith("vae and ae cannot be told apart in holes under N(0, I): ")
    sd = np.std([y.value - x.value for x, y in zip(a, b, strict=True)], ddof=1)
    assert sentence.endswith(f"; to see a difference of 0.02 takes about {seeds_to_see(sd, 0.02)} seeds.")
    assert "fewer" not in sentence


def test_equivalent_is_said_with_its_margin():
    found = [
        *rows("ae", "validity.normal", 1 - 1e-3 * JITTER),
        *rows("vae", "validity.normal", 1 - 1e-3 * JITTER[::-1]),
    ]
    (sentence,) = claims(summarise([replace(r, bounds=(0.0, 1.0)) for r in found]))
    assert sentence.startswith("vae and ae are equivalent in valid draws from N(0, I): ")
    assert sentence.endswith("over 6 seeds, within ± 0.02.")
    (sentence,) = claims(
        summarise([replace(r, bounds=(0.0, 1.0)) for r in [*found, *rows("b", "validity.normal", JITTER)]])
    )
    assert "lower: b −" in sentence
    assert "equivalent: vae " in sentence


def test_a_lead_in_holes_is_no_claim_where_hardly_a_draw_is_valid():
    found = [
        *steady("ae", hole=0.7, validity__normal=0.5), *steady("junk", hole=0.1), *steady("vae", hole=0.3, validity__normal=0.6),
        *rows("junk", "validity.normal", [0.01, 0.0, 0.02, 0.01, 0.0, 0.01]), anchor("ceiling:real", "validity.normal", 0.9),
    ]  # fmt: skip
    told = " ".join(ask(found, "complete").sentences)
    assert "no claim: junk −" in told
    assert "(hardly a draw of junk is valid)" in told
    (one,) = [s for s in ask([r for r in found if r.model != "vae"], "complete").sentences if "no claim" in s]
    assert one.endswith("over 6 seeds; no claim, since hardly a draw of junk is valid.")


def test_one_seed_is_undecided():
    (sentence,) = claims(summarise([*rows("ae", "hole", [0.7]), *rows("vae", "hole", [0.1])]))
    assert "undecided" in sentence
    assert "than" not in sentence


def test_no_seed_in_common_is_undecided():
    late = [replace(r, seed=r.seed + 100) for r in rows("vae", "hole", [0.1, 0.2])]
    (sentence,) = claims(summarise([*rows("ae", "hole", [0.7, 0.8]), *late]))
    assert "no seed in common" in sentence


def test_three_models_and_more_stand_against_the_first_in_one_sentence():
    cells = summarise(
        [
            *rows("ae", "hole", 0.7 + JITTER),
            *rows("b", "hole", 0.1 + JITTER[::-1]),
            *rows("c", "hole", 0.72 + JITTER[::-1]),
        ]
    )
    (sentence,) = claims(cells)
    assert "differences from ae" in sentence
    assert "lower: b −0.6" in sentence
    assert "no difference that matters shown: c 0.02" in sentence
    assert "(to see a difference of 0.036 takes about" in sentence


def test_a_t_interval_that_the_sign_flip_test_does_not_follow_is_borderline():
    a = rows("ae", "hole", [0.5] * 6)
    b = rows("vae", "hole", [0.45, 0.4, 0.35, 0.4, 0.45, 0.5025])
    (sentence,) = claims(summarise([*a, *b]))
    assert "borderline" in sentence


def test_an_unknown_measure_goes_by_its_name():
    assert (
        "scores higher in new.thing"
        in claims(summarise([*rows("a", "new.thing", JITTER), *rows("b", "new.thing", JITTER + 1)]))[0]
    )


def test_a_measure_is_spoken_of_as_its_run_declares():
    phrase = {"noun": "newness", "higher": "is newer", "lower": "is older"}
    cells = summarise([*rows("a", "new.thing", JITTER), *rows("b", "new.thing", JITTER[::-1] + 1)])
    (sentence,) = claims(cells, {"new.thing": {"phrase": phrase}})
    assert sentence.startswith("b is newer than a: ")
    assert claims(cells[:1], {"new.thing": {"phrase": phrase}})[0].startswith("Newness: a 0")


def test_numbers():
    assert value(Interval(0.4462, 0.4112, 0.4812, 0.03, 6)) == "0.446 ± 0.035"
    assert value(Interval(3.25, None, None, None, 1)) == "3.25"
    assert between(Interval(-0.59, -0.63, -0.55, 0.04, 6)) == "−0.590 [−0.630, −0.550]"


def test_standing_has_no_word_for_one_model():
    assert standing(of_claims.standing(summarise(rows("ae", "r2", JITTER)))) == ""


# --- the default story ---


def test_the_known_order_is_told(demo):
    complete = ask(demo, "complete")
    assert complete.headline.startswith("Complete? Of draws from N(0, I) the judge accepts")
    assert "vae is better than ae" in complete.headline
    assert "on digits at d = 8" in complete.headline
    told = " ".join(complete.sentences)
    for sampler in ("N(0, I)", "Gaussian", "mixture"):
        assert sampler in told
    assert "between 90 %, what the judge accepts of real held-out images, and 2.1 %, at most, of noise" in told
    assert "fewer holes under N(0, I) than ae" in told


def test_straightness_never_stands_without_its_warning(demo):
    told = " ".join(ask(demo, "continuous").sentences)
    assert "A straight path alone proves nothing" in told
    assert "blur" in told
    assert "R²" in told
    assert "cross-fade" in ask(demo, "continuous").headline


def test_why_mu_and_sigma_names_what_is_bought_and_what_is_paid(demo):
    answer = ask(demo, "posterior")
    assert "74 % of N(0, I) is far from every code of ae, 14 % from every code of vae" in answer.headline
    told = " ".join(answer.sentences)
    assert "ae is punctual" in told
    assert "vae is regular" in told
    assert "no difference in R² that matters is shown" in told


def test_cost_stands_beside_pca_and_ranks_no_speed_within_its_spread(demo):
    answer = ask(demo, "cost")
    assert "PCA of the same size 0.659" in answer.headline
    assert "within the spread" in " ".join(answer.sentences)


def test_it_says_what_it_is_conditional_on(demo):
    answer = ask(demo, "how sure")
    assert answer.headline == "How sure? 6 seeds, one split of the data and one judge, on digits at d = 8."
    assert any("passed its self-check" in s for s in answer.sentences)
    assert any(s.startswith("vae failed in probe.linear at 1 of 6 seeds") for s in answer.sentences)
    assert "one split" in LEGEND


# --- collapse ---

COLLAPSED = [
    *steady("ae", r2=0.8, validity__normal=0.1, hole=0.7, path__tortuosity=1.4, path__validity_gain=0.05, active_units=8.0),
    *steady("bad", validity__normal=0.95, hole=0.03, path__tortuosity=1.0, path__validity_gain=0.5),
    *rows("bad", "r2", [0.0] * 6),
    *rows("bad", "active_units", [0.0] * 6),
]  # fmt: skip


def test_a_collapsed_model_is_flagged_and_never_ahead():
    complete = ask(COLLAPSED, "complete")
    assert any(s.startswith("Completeness flagged: bad is collapsed") for s in complete.sentences)
    assert "bad" not in complete.headline
    assert not any("bad" in s and "than" in s for s in complete.sentences)
    assert "bad" not in ask(COLLAPSED, "continuous").headline
    _, body = console_table(COLLAPSED)
    bad = next(row for row in body if row[0].startswith("bad"))
    assert bad[0] == "bad (collapsed)"
    assert not any(c.endswith(("*", "=")) for c in bad[1:])
    assert "bad" in ask(COLLAPSED, "cost").headline


@pytest.mark.parametrize("cheat", [{"active_units": [0.0] * 6}, {"memorisation": [1.0] * 6}])
def test_a_model_that_collapsed_or_copies_leads_the_cost_neither(cheat):
    """Though it reconstruct best of all: with no active dimension by one seed's accident, or from a table."""
    found = [*steady("ae", r2=0.7), *steady("vae", r2=0.5), *steady("bad", r2=0.9)]
    for metric, numbers in cheat.items():
        found += rows("bad", metric, numbers)
    answer = ask(found, "cost")
    assert "bad is better" not in answer.headline
    assert "ae is better than vae" in answer.headline
    assert "no claim: bad" in " ".join(answer.sentences)


def test_collapse_at_some_seeds_is_collapse():
    units = [8.0, 8.0, 0.0, 8.0, 8.0, 8.0]
    (table,) = tables([*steady("vae", r2=0.8, hole=0.1), *rows("vae", "active_units", units)])
    assert collapsed(table.collapse["vae"]) == "no latent dimension is active at 1 of 6 seeds"


def test_where_all_collapsed_nothing_is_praised():
    found = [r for r in COLLAPSED if r.model == "bad"]
    assert ask(found, "complete").headline.startswith("Complete? Flagged: collapsed")
    assert ask(found, "continuous").headline.startswith("Continuous? Flagged: collapsed")


# --- posteriors ---


@pytest.mark.parametrize(
    ("kl_mean", "index", "word"),
    [
        (4.1, 0.1, "regular"),
        (13.0, 0.0006, "punctual"),
        (485.0, 0.06, "far apart"),
        (485.0, 0.001, "punctual and far apart"),
    ],
)
def test_a_diagnosis_is_told_with_its_numbers(kl_mean, index, word):
    answer = ask(posterior_of(kl_mean=kl_mean, index=index), "posterior")
    assert f"Diagnosis: vae {word}" in answer.headline
    assert answer.sentences[0].startswith(f"vae is {word}: KL ")


def test_dimensions_are_counted_in_words():
    units = {"active": [True, False], "mean_variance": [1.0, 0.0], "noise_variance": [0.2, 1.0]}
    found = [*rows("vae", "active_units", [1.0], detail=units), *rows("vae", "punctual_index", [0.3])]
    assert "1 of 8 dimensions are active (first seed: 1 regular, 1 collapsed)" in text(found)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"r2": 0.0, "beta": 4.0},
            "vae: beta is too large for these images, no dimension is worth its price; try beta=0.4,",
        ),
        ({"kl": "mean", "beta": 1.0}, "vae: only one half of the KL is in its loss (kl=mean); try kl=full."),
        ({"index": 0.0}, "vae: its codes are points by design, sigma / sd(mu) = 0;"),
        ({"index": 0.001, "beta": 0.5}, "vae: beta is too small, sigma / sd(mu) = 0.00100; try beta=5."),
        ({"index": 0.001, "beta": 0.0}, "try beta=1."),
        ({"kl_mean": 485.0, "beta": 1.0}, "vae: nothing holds its means, E mu² / 2 = 485 nats; try beta=10."),
    ],
)
def test_advice_names_the_number_it_rests_on_and_what_to_try(given, sentence):
    assert sentence in text(posterior_of(**given))


# --- judges ---


def test_a_judge_that_failed_its_self_check_is_named():
    reason = "the judge's self-check failed: it passes 9.0% of mean (at most 5%)"
    found = [
        *steady("ae", r2=0.8, hole=0.7), *steady("vae", r2=0.79, hole=0.1),
        *skipped("ae", "validity.normal", reason), *skipped("vae", "validity.normal", reason),
        anchor("judge", "judge.pass.mean", 0.09), anchor("judge", "judge.pass.noise", 0.0),
    ]  # fmt: skip
    assert any(
        s.startswith("The judge failed its self-check: of mean image it accepts 9.0")
        for s in ask(found, "how sure").sentences
    )
    assert "no judge" in ask(found, "how sure").headline
    headline = ask(found, "complete").headline
    assert "By holes alone" in headline
    assert reason in headline


def self_check(accuracy=(0.97, 0.95, 0.1), real=0.9, black=0.0, **shares):
    """What a judge's self-check records; ``shares``: of kinds that are no floor, shown where the name does not say new."""
    value, lower, largest = accuracy
    given = [
        replace(anchor("judge", "judge.accuracy", value), detail={"lower": lower, "largest class": largest}),
        anchor("judge", "judge.pass.real", real),
        replace(anchor("judge", "judge.pass.black", black), detail={"shown": True, "floor": True}),
        replace(anchor("judge", "judge.pass.noise", 0.01), detail={"shown": True, "floor": True}),
    ]
    for kind, share in shares.items():
        about = {"shown": kind in ("halves", "blur"), "floor": False}
        given.append(replace(anchor("judge", f"judge.pass.{kind}", share), detail=about))
    return [*steady("ae", r2=0.8), *steady("vae", r2=0.8), *given]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"halves": 0.086, "blur": 0.0, "sides": 0.22},
            "passed its self-check: it accepts at most 1.0 % of each of the 2 kinds of junk that any judge must refuse (allowed: "
            "5 %). Of 4 kinds shown to its training it accepts at most 8.6 % (the upper half of one image on the lower half of "
            "another), of 1 never shown at most 22",
        ),
        ({"accuracy": (0.117, 0.08, 0.103)}, "no better than always to say the largest one, which is right in 10"),
        ({"real": 0.4}, "it refuses more than half of the real held-out images"),
        ({"black": 1.0}, "failed its self-check: of black it accepts 100"),
    ],
)
def test_what_is_said_of_a_judge(given, says):
    told = " ".join(ask(self_check(**given), "how sure").sentences)
    assert says in told
    assert "any kind of junk" not in told


@pytest.mark.parametrize("code", ["judge.at_chance", "judge.refuses_real", "judge.passes_black"])
def test_a_refused_judge_is_told_from_none(code):
    (row,) = skipped("ae", "validity.normal", Reason("it was refused", code))[:1]
    assert "judge refused" in gap(summarise([row])[0])


def test_no_labels_no_judge_no_claim_of_validity():
    reason = "no judge: the dataset has no labels"
    found = [*steady("mine", r2=0.8, path__tortuosity=1.3), *skipped("mine", "validity.normal", reason),
             *skipped("mine", "path.validity_gain", reason)]  # fmt: skip
    assert ask(found, "complete").headline == f"Complete? Not measured, on digits at d = 8: {reason}."
    assert reason in ask(found, "continuous").headline
    assert any(reason in s for s in ask(found, "how sure").sentences)


@pytest.mark.parametrize(("second", "says"), [(0.4, "second judge agrees on ae and vae"), (0.1, "hangs on the judge")])
def test_a_second_judge_confirms_or_not(second, says):
    found = [
        *steady("ae", validity__normal=0.1, validity__normal__second_judge=0.1, r2=0.8),
        *steady("vae", validity__normal=0.5, validity__normal__second_judge=second, r2=0.8),
    ]
    assert any(says in s for s in ask(found, "how sure").sentences)


# --- whatever records hold ---


def test_speed_is_not_ranked_where_the_timings_spread():
    def speed(model, rate, rankable):
        return Record(dataset="digits", model=model, metric="throughput.encode", value=rate, unit="samples/s", better="higher",
                      metric_params={"batch": 64, "device": "cpu"}, detail={"spread": 0.05, "rankable": rankable})  # fmt: skip

    base = [*steady("ae", r2=0.8), *steady("vae", r2=0.8)]
    steady_told = " ".join(ask([*base, speed("ae", 100.0, True), speed("vae", 50.0, True)], "cost").sentences)
    assert "vae against ae on cpu: encoding × 0.50 (batch 64)" in steady_told
    shaky = " ".join(ask([*base, speed("ae", 100.0, True), speed("vae", 50.0, False)], "cost").sentences)
    assert "Not ranked against ae, because the timings spread too widely: encoding of vae." in shaky
    assert "0.50" not in shaky


def test_a_model_that_failed_altogether_is_named():
    failed = [
        replace(r, status="failed", value=None, reason="training diverged: NaN in epoch 2")
        for r in rows("bad", "r2", [0] * 6)
    ]
    found = [*steady("ae", r2=0.8, hole=0.7), *failed]
    assert any(
        s == "bad failed in r2 at 6 of 6 seeds: training diverged: NaN in epoch 2."
        for s in ask(found, "how sure").sentences
    )
    assert ask(found, "cost").headline.startswith("What did it cost? Reconstruction of held-out images, R² 0.8 for ae,")


def test_a_model_without_any_record_is_missed():
    head = Record(kind="run", detail={"config": {"models": ["ae", "gone"]}})
    assert any("Nothing is known of gone" in s for s in ask([head, *steady("ae", r2=0.8)], "how sure").sentences)


def test_datasets_and_runs_are_not_mixed():
    ae = steady("ae", r2=0.8, hole=0.7)
    other = [replace(r, dataset="mnist", latent_dim=2) for r in steady("ae", r2=0.5, hole=0.1)]
    found = statements([*ae, *other])
    assert len(found) == 10
    assert sum("on mnist at d = 2" in v.headline for v in found) == 5
    again = [replace(r, run="second") for r in ae]
    assert len(statements([*(replace(r, run="first") for r in ae), *again])) == 10
    assert [row[0] for row in console_table([*ae, *other])[1]] == ["digits ae", "mnist ae"]


def test_the_page_says_that_levels_hold_for_its_split_and_how_claims_are_made(demo):
    told = ask(demo, "how sure").sentences
    assert any("over three splits" in s and "five half-widths" in s for s in told)
    (one,) = [s for s in told if "Holm" in s]
    assert f"{tables(demo)[0].claims[1]} in all" in one


def test_few_seeds_are_told_their_limit():
    assert any(
        "cannot fall below p = 0.25 with 3 seeds" in s for s in ask(steady("ae", 3, r2=0.8), "how sure").sentences
    )
    assert ask(steady("ae", 1, r2=0.8), "how sure").headline.startswith("How sure? Not at all yet")


def test_nothing_measured_no_verdict():
    assert statements([]) == []
    assert statements([Record(kind="run"), anchor("floor:noise", "validity.normal", 0.0)]) == []
    assert console_table([]) == (["model"], [])


def test_a_single_foreign_metric_is_enough():
    found = statements([Record(dataset="", model="mine", metric="odd", value=1.0)])
    assert [v.question for v in found] == ["continuous", "complete", "posterior", "cost", "how sure"]
    assert all("it was not measured" in v.headline for v in found[:4])


METRICS = (
    "r2 mse path.tortuosity path.validity_gain midpoint.validity_gain validity.normal validity.mixture hole kl "
    "kl.mean_part kl.variance_part active_units punctual_index variance_law overlap valid_label_tv density "
    "cost.parameters train.seconds validity.normal.second_judge"
).split()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_mixture_of_values_and_gaps_is_told_without_an_error(data):
    found = []
    for model in data.draw(
        st.lists(st.sampled_from(["ae", "vae", "vae:beta=4", "x.y:Z"]), min_size=1, max_size=4, unique=True)
    ):
        for metric in data.draw(st.lists(st.sampled_from(METRICS), max_size=8, unique=True)):
            for seed in range(data.draw(st.integers(1, 4))):
                number = data.draw(st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(0.0)))
                status = "ok" if number is not None else data.draw(st.sampled_from(["failed", "skipped"]))
                found.append(Record(dataset="d", model=model, metric=metric, seed=seed, split="test", value=number, status=status,
                                    better="higher", reason="" if status == "ok" else "why"))  # fmt: skip
    said = statements(found)
    assert len(said) in (0, 5)
    for v in said:
        assert "? " in v.headline
        for sentence in (v.headline, *v.sentences):
            assert sentence.endswith(".")
            assert "nan" not in sentence.lower()
            assert "None" not in sentence
    headers, body = console_table(found)
    assert all(len(row) == len(headers) for row in body)


@pytest.mark.parametrize("spec", [
    Synthetic(seeds=1), Synthetic(judge=False), Synthetic(models=("vae",)), Synthetic(labels=False, judge=False, classes=()),
    Synthetic(models=("ae", "vae", "vae:beta=4", "vae:beta=8", "ae:noise=1"), seeds=3), Synthetic(latent_dim=2),
])  # fmt: skip
def test_every_synthetic_run_has_five_answers(tmp_path, spec):
    found = records.read(build(tmp_path / "run", spec) / "records.jsonl")
    assert [v.question for v in statements(found)] == ["continuous", "complete", "posterior", "cost", "how sure"]
    assert f"d = {spec.latent_dim}" in statements(found)[0].headline

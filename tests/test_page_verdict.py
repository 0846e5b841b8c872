"""The verdict of a page: the numbers of its answers, what to take for what, the next step, differences between runs."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pytest
from made_up import JITTER, anchor, rows, skipped, steady
from synthetic_run import Synthetic, build
from test_answers import ANCHORS, GOOD, made

import latentbench as lb
from latentbench import records
from latentbench.comparing.runs import compare_records
from latentbench.records import Kept, Record
from latentbench.report import folder as folders
from latentbench.report.columns import columns
from latentbench.report.drawing import figures
from latentbench.report.exports.notebook import answers_html
from latentbench.report.exports.tables import summary_md
from latentbench.report.page import html as html_of
from latentbench.report.sections import differences
from latentbench.report.wording.findings import answers, statements
from latentbench.report.wording.findings.choices import briefs
from latentbench.report.wording.findings.claims import standing
from latentbench.report.wording.findings.next_step import following
from latentbench.stats.findings.choices import choice
from latentbench.stats.findings.claims import Standing
from latentbench.stats.findings.next_step import next_step
from latentbench.stats.findings.table import tables

PCA = anchor("baseline:pca", "r2", 0.66)
HEAD = Record(
    kind="run", detail={"config": {"epochs": 50, "patience": 20, "width": 256, "seeds": [0, 1], "models": []}}
)
SKIPPED = "the images have no labels"


def of(model, seeds=6, without=(), params=None, **changed):
    """Records of one model that everything speaks for, but for what is ``changed``."""
    means = {**GOOD, "validity.mixture": 0.84, **{name.replace("__", "."): v for name, v in changed.items()}}
    kept = {name: v for name, v in means.items() if name not in without}
    jitter = JITTER[:seeds] / 10
    return [r for name, v in kept.items() for r in rows(model, name, v + jitter, params=params or {})]


def vae(beta=1.0, name="vae", **changed):
    return of(name, params={"beta": beta, "kl": changed.pop("kl", "full")}, **changed)


def trained(model, epochs, kept, steps=5000, falling=False):
    detail = {"kept": kept, "steps": steps, "falling": falling}
    return [
        Record(dataset="digits", latent_dim=8, model=model, metric="train.epochs", seed=s, value=float(epochs), detail=detail)
        for s in range(6)
    ]  # fmt: skip


def step(*found):
    return next_step([HEAD, *ANCHORS, *(r for part in found for r in part)])


def said(*found):
    return following([HEAD, *ANCHORS, *(r for part in found for r in part)]).line


NOISY = np.array([0.05, -0.04, 0.06, -0.05, 0.03, -0.05])


def noisy(model, shift=0.0):
    """A model whose R² is told from nobody's with six seeds."""
    return [*of(model, without=("r2",)), *rows(model, "r2", 0.8 + shift + 0.5 * np.roll(NOISY, len(model)))]


FIRES = {
    "train longer": (vae(r2=0.3), trained("vae", 50, 50)),
    "one half": (vae(kl="mean"),),
    "smaller beta": (vae(beta=4.0, r2=0.0),),
    "larger beta": (vae(beta=0.001, punctual_index=0.003),),
    "wider": (of("ae", r2=0.4, punctual_index=0.0),),
    "copies": (vae(memorisation=1.0),),
    "no judge": (
        vae(without=("validity.normal", "validity.mixture", "path.validity_gain", "path.validity_gain.real")),
        skipped("vae", "validity.normal", SKIPPED),
    ),
    "one seed": (vae(seeds=1),),
    "mixture": (vae(validity__normal=0.1),),
    "more seeds": (noisy("ae"), noisy("bae", 0.01)),
    "look": (vae(),),
}


@pytest.mark.parametrize("code", FIRES)
def test_each_rule_fires_on_a_run_that_is_made_for_it(code):
    assert step(*FIRES[code]).code == code


MUST_NOT = {
    "train longer": (vae(r2=0.3), trained("vae", 50, 30)),
    "one half": (vae(kl="mean", name="half"), vae()),
    "smaller beta": (vae(beta=4.0, r2=0.0, name="strong"), vae()),
    "larger beta": (vae(beta=0.001, punctual_index=0.003, name="weak"), vae()),
    "wider": (of("ae", r2=0.8, punctual_index=0.0),),
    "copies": (vae(memorisation=0.55),),
    "no judge": (vae(without=("path.validity_gain", "path.validity_gain.real")),),
    "one seed": (vae(seeds=2),),
    "mixture": (vae(validity__normal=0.1, validity__mixture=0.12),),
    "more seeds": (vae(), vae(name="twin")),
    "look": (vae(validity__normal=0.1),),
}


@pytest.mark.parametrize("code", MUST_NOT)
def test_no_rule_fires_where_its_reason_is_missing(code):
    assert step(*MUST_NOT[code]).code != code


def test_a_beta_that_was_run_is_not_advised():
    weak = vae(beta=0.001, punctual_index=0.003, name="weak")
    tried = vae(beta=0.01, punctual_index=0.004, name="tried")
    assert step(weak).give == pytest.approx(0.01)
    found = step(weak, tried)
    assert (found.code, found.model, found.give) == ("larger beta", "tried", pytest.approx(0.1))


def test_a_step_says_the_numbers_it_rests_on_and_what_to_type():
    assert said(*FIRES["train longer"]) == "Train longer: vae is undertrained (R² 0.3, PCA's 0.66). `--epochs 100`"
    stopped = (vae(r2=0.3), trained("vae", 30, 20, falling=True))
    assert said(*stopped).endswith("`--patience 40`")
    assert said(*FIRES["one seed"]) == "Run more seeds: one allows no interval. `--seeds 6`"
    assert "`vae:beta=0.4`" in said(*FIRES["smaller beta"])
    assert "it collapsed (R² 0" in said(*FIRES["smaller beta"])
    assert "sigma is 0.003 of the spread of mu" in said(*FIRES["larger beta"])
    assert "84 % of its draws are valid then, 10 % of those from N(0, I)" in said(*FIRES["mixture"]).replace(
        "\u202f", " "
    )
    assert re.search(r"`--seeds \d+`", said(*FIRES["more seeds"]))


def test_no_option_is_advised_that_the_command_lacks():
    """`evaluate` takes the seeds that there are: it has no --seeds."""
    head = Record(kind="run", detail={"config": {"models": ["vae"], "dataset": "digits", "seeds": [0], "lang": "en"}})
    found = following([head, *ANCHORS, *(r for part in FIRES["one seed"] for r in part)])
    assert found.line == "Run more seeds: one allows no interval."


def test_no_model_no_step():
    assert next_step(ANCHORS) is None
    assert following(ANCHORS) is None


def test_the_seeds_that_are_asked_for_are_those_that_the_claim_needs():
    found = step(*FIRES["more seeds"])
    (table,) = tables([HEAD, *ANCHORS, *(r for part in FIRES["more seeds"] for r in part)])
    told = " ".join(
        s for v in statements([HEAD, *ANCHORS, *(r for part in FIRES["more seeds"] for r in part)]) for s in v.sentences
    )
    assert f"takes about {found.give:g} seeds" in told
    assert found.model in table.models


# --- which model for what ---


def picked(question, *found):
    (table,) = tables([*ANCHORS, *(r for part in found for r in part)])
    return choice(table, question)


def test_the_best_answer_is_chosen_and_among_equals_the_leader():
    assert picked("complete", vae(), of("ae", validity__normal=0.02))[:2] == ("complete", ("vae",))
    ahead = picked("complete", vae(), vae(name="other", validity__normal=0.88))
    assert (ahead.models, ahead.basis) == (("other",), "ahead")
    level = picked("complete", vae(), vae(name="other"))
    assert (level.models, level.basis) == (("vae", "other"), "equivalent")


@pytest.mark.parametrize(
    "changed",
    [{"validity__normal": 0.02}, {"memorisation": 1.0}, {"r2": 0.0}, {"coverage": 0.1}, {"valid_label_tv": 0.9}],
)
def test_nobody_is_chosen_who_got_no_yes_and_no_partly(changed):
    """A model that copies, collapsed or draws one class alone is never what to sample from, whatever it scores."""
    found = [*ANCHORS, *vae(**changed)]
    (table,) = tables(found)
    assert choice(table, "complete") == ("complete", (), "no", "nobody")
    (told,) = (dict(b.lines) for b in briefs(found))
    assert told["Sample from"].startswith("none of them by N(0, I)")


def test_one_seed_chooses_nobody():
    found = [*ANCHORS, *vae(seeds=1), *vae(seeds=1, name="b")]
    (table,) = tables(found)
    assert choice(table, "continuous").models == ()
    (told,) = (dict(b.lines) for b in briefs(found))
    assert "nothing is a claim" in told["How sure"]


def test_of_three_models_none_of_which_leads_it_is_not_said_that_none_differs():
    """The first of three may well be told from the last."""
    assert standing(Standing((), ("a", "b"))) == "a and b cannot be told apart"
    assert standing(Standing((), ("a", "b", "c"))) == "none of a, b and c leads"


# --- the grid ---


def test_the_halves_of_the_kl_add_up_as_they_are_written():
    for total, means in ((16.7, 4.55), (16.2, 4.3), (0.12, 0.049), (148.0, 33.35)):
        found = [*steady("vae", r2=0.8), *rows("vae", "kl", [total] * 3), *rows("vae", "kl.mean_part", [means] * 3),
                 *rows("vae", "kl.variance_part", [total - means] * 3)]  # fmt: skip
        (table,) = tables(found)
        text = answers.kl_in_halves(table, "vae")
        whole, one, other = map(
            float, re.fullmatch(r"KL (\S+) = (\S+) \(means\) \+ (\S+) \(variances\)", text).groups()
        )
        assert whole == pytest.approx(one + other)
        assert whole == pytest.approx(total, abs=0.05)


def test_halves_that_do_not_make_up_the_kl_are_not_said_to():
    found = [*steady("vae", r2=0.8), *rows("vae", "kl", [9.0] * 3), *rows("vae", "kl.mean_part", [1.0] * 3),
             *rows("vae", "kl.variance_part", [2.0] * 3), *rows("vae", "punctual_index", [0.1] * 3)]  # fmt: skip
    (table,) = tables(found)
    assert answers.kl_in_halves(table, "vae") == "KL 9 nats"
    told = " ".join(s for v in statements(found) for s in v.sentences)
    assert "=" not in re.search(r"KL 9[^;]*", told)[0]


def test_a_width_that_was_measured_is_not_called_none_for_want_of_a_kl():
    found = [*steady("mine", r2=0.8), *rows("mine", "punctual_index", [0.1] * 3)]
    told = " ".join(s for v in statements(found) for s in v.sentences)
    assert "sigma is 0 and there is no KL" not in told
    assert "sigma is 0.1" in told


@pytest.mark.parametrize(
    ("params", "says"),
    [({"beta": 1.0}, "learned decoder variance"), ({"beta": 4.0}, "by its loss"), ({"beta": 1.0, "sigma": 0.1}, "by its loss")],
)  # fmt: skip
def test_a_decoder_variance_is_called_learned_where_it_was(params, says):
    base = vae() + rows("vae", "kl", [9.0] * 6)
    found = [replace(r, params=params) for r in [*base, *rows("vae", "decoder_variance", [0.01] * 6)]]
    told = " ".join(s for v in statements([*ANCHORS, *found]) for s in v.sentences)
    assert says in told


def test_every_number_of_the_grid_is_the_mean_of_its_records():
    found = made()
    (row,) = answers.rows(found)
    metrics = ("path.validity_gain", "validity.normal", "r2", "punctual_index")
    for cell, metric in zip(row.cells, metrics, strict=True):
        mean = np.mean([r.value for r in found if r.metric == metric and r.model == "vae"])
        assert float(cell.number.split(" ± ")[0]) == pytest.approx(mean, abs=5e-4)
        assert cell.brief.startswith(f"{cell.mark} {cell.word} {cell.number}")
    assert (row.cells[1].beside, row.cells[2].beside) == ("real images 0.9", "PCA 0.66")


def test_what_was_not_measured_has_no_number_and_says_so(tmp_path):
    (row,) = answers.rows([*ANCHORS, *vae(without=("path.validity_gain", "path.validity_gain.real"))])
    assert (row.cells[0].answer, row.cells[0].number) == ("not told", "")
    run = build(tmp_path / "run", Synthetic(without=frozenset({"samples", "strips"})))
    page = html_of(folders.load([run]))
    grid = re.search(r'<table class="grid-of-answers.*?</table>', page, re.S)[0]
    assert grid.count("not drawn") == 4
    assert "<img" not in grid


def test_the_summary_and_a_notebook_show_the_same_table():
    found = made()
    (row,) = answers.rows(found)
    line = next(line for line in summary_md(found).splitlines() if line.startswith("| vae |"))
    assert [c.strip() for c in line.split("|")[2:-1]] == list(row.answers)
    shown = html.unescape(answers_html(found))
    assert all(f"<td>{text}</td>" in shown for text in row.answers)
    assert lb.Result(found)._repr_html_() == answers_html(found)
    assert lb.Result([])._repr_html_() == "<p>No model was measured.</p>"


def test_a_result_is_a_line():
    text = repr(lb.Result(made()))
    assert text.startswith("<Result: vae on digits (")
    assert "\n" not in text
    assert len(text) < 100
    assert "and 3 more" in repr(lb.Result([r for k in range(7) for r in rows(f"m{k}", "r2", [0.1])]))
    assert repr(lb.Result([])) == "<Result: no model (0 records)>"


def test_a_notebook_escapes_what_a_record_says():
    found = [replace(r, model="<b>x</b>") for r in made() if r.model == "vae"]
    assert "<b>x" not in answers_html(found)


# --- several runs ---


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    place = tmp_path_factory.mktemp("two")
    return folders.load([build(place / "one", Synthetic()), build(place / "other", Synthetic(shift=9.0, seeds=5))])


def test_a_model_keeps_its_colour_across_runs_and_no_two_columns_share_a_number(two):
    every = columns(two)
    assert len({c.m for c in every}) == len(every)
    for model in ("ae", "vae"):
        same = [c for c in every if c.model == model]
        assert len({figures.model_class(c.m) for c in same}) == 1
        assert len({figures.marker(c.m) for c in same}) == 2


def test_many_models_keep_their_colours_too(tmp_path):
    models = tuple(f"vae:beta={k}" for k in range(1, 12))
    runs = folders.load([build(tmp_path / name, Synthetic(models, seeds=2)) for name in ("a", "b")])
    every = columns(runs)
    assert len({c.m for c in every}) == 22
    for model in models:
        assert len({figures.model_class(c.m) for c in every if c.model == model}) == 1


def test_differences_say_what_was_asked_otherwise_and_what_became_of_it(two):
    asked = {o.name: o.values for o in differences.options(two)}
    assert asked["seeds"] == ["0, 1, 2, 3, 4, 5", "0, 1, 2, 3, 4"]
    assert "out" not in asked
    found = differences.pair(*two, columns(two))
    changes = {(c.subject, c.metric): c for c in compare_records(*(r.records for r in two)).changes}
    lines = [*found.lines, *found.rest]
    assert lines
    for line in lines:
        change = changes.get((line.model, line.metric)) or changes[f"{line.model} (test)", line.metric]
        assert line.verdict == change.verdict
        if change.difference:
            assert float(line.difference.split(" ")[0].replace("−", "-")) == pytest.approx(
                change.difference.mean, rel=0.2, abs=2e-3
            )
    counts = {v: sum(line.verdict == v for line in lines) for v in differences.VERDICTS}
    for verdict, word in differences.VERDICTS.items():
        n = re.search(rf"(\d+) {word}\b", found.headline.partition(".")[0])
        assert (int(n[1]) if n else 0) == counts[verdict]
    page = html_of(two)
    assert html.escape(found.headline) in page


def test_runs_of_other_data_are_not_subtracted(tmp_path):
    runs = folders.load([build(tmp_path / "a", Synthetic(seeds=2)), build(tmp_path / "b", Synthetic(seeds=2))])
    other = replace(runs[1], records=Kept(replace(r, dataset_hash="e2" * 32) for r in runs[1].records))
    found = differences.pair(runs[0], other, columns(runs))
    assert found.lines == ()
    assert "cannot be compared" in found.missing


def test_one_run_has_no_section_of_differences(two):
    assert 'id="differences"' not in html_of(two[:1])
    assert 'id="differences"' in html_of(two)


# --- what to run ---


@pytest.mark.slow
def test_the_code_of_the_next_step_runs(tmp_path, monkeypatch):
    from latentbench.report.wording.findings.next_step import MIXTURE

    words = {"seeds": 1, "epochs": 1, "metrics": "r2", "workers": 1, "quiet": True}
    lb.run(("ae", "vae"), "digits", out=str(tmp_path / "run"), **words)
    for model in ("ae", "vae"):
        code = MIXTURE.format(model=model, dataset="digits").replace("RUN_FOLDER", str(tmp_path / "run"))
        names: dict[str, object] = {}
        exec(code, names)
        assert names["images"].shape == (64, 1, 8, 8)


def test_records_of_the_demo_say_nothing_that_their_table_does_not(tmp_path):
    """Every model that a line of screen one names to sample from has the answer that stands behind it."""
    run = build(tmp_path / "run", Synthetic())
    found = records.read(run / "records.jsonl")
    (table,) = tables(found)
    (told,) = (dict(b.lines) for b in briefs(found))
    for question, term in (("complete", "Sample from"), ("continuous", "Interpolate in")):
        named = choice(table, question)
        assert all(m in told[term] for m in named.models)

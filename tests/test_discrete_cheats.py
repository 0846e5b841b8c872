"""Discrete latents that are not what they seem: a codebook of training images, one code, two of 512; and what is not asked."""

from __future__ import annotations

from functools import cache

import torch
from fakes import value

from latentbench import catalog
from latentbench.config import make_run
from latentbench.core import CONTINUUM, Encoding
from latentbench.measuring import artifacts, scoring
from latentbench.models.vq import VectorQuantised
from latentbench.records import Reason, Record
from latentbench.report.wording.findings.answers import rows as answers_in_words
from latentbench.report.wording.findings.continuous import continuous as continuous_in_words
from latentbench.report.wording.findings.posterior import posterior as posterior_in_words
from latentbench.stats.findings import tables
from latentbench.stats.findings.answers import of_table
from latentbench.stats.findings.continuous import continuous
from latentbench.stats.findings.flaws import flaws
from latentbench.stats.findings.posterior import posterior
from latentbench.stats.findings.table import COPYING, ONE_CODE, Table


class Pixels(torch.nn.Module):
    """A trunk that changes nothing: codes are pixels."""

    def encode(self, x):
        return x.flatten(1)

    def decode(self, z):
        return z.view(-1, 1, 8, 8)


@cache
def table_of_training_images() -> Encoding:
    """A VQ of one position whose code vectors are the training images of digits."""
    dataset = catalog.load_dataset(make_run({"dataset": "digits"}))
    model = VectorQuantised((1, 8, 8), 64, k=len(dataset.train.x), parts=1)
    model.trunk = Pixels()
    model.place(dataset.train.x.flatten(1))
    return scoring.encode(model.eval(), dataset, 0, torch.device("cpu"))


def test_a_codebook_of_training_images_is_a_table_of_copies():
    """Every draw of either prior is a training image, and the measure of copying says so."""
    e = table_of_training_images()
    assert e.train is not None
    assert value("r2", e.train) == 1
    assert value("memorisation", e) > COPYING
    assert value("novelty", e) == 0
    assert value("code_usage", e.train) > 0.99


def test_an_encoding_of_a_discrete_model_knows_its_codes():
    e = table_of_training_images()
    assert e.codes is not None
    assert e.codebook is not None
    assert e.codes.shape == (len(e.x), 1)
    assert torch.equal(e.codebook.points(e.codes), e.mu)
    assert not CONTINUUM.met(e)


def test_pictures_of_a_continuum_are_left_out_with_the_reason(tmp_path):
    found = artifacts.exhibit(table_of_training_images(), tmp_path, "artifacts", Record(model="vq", seed=0), "seed-0")
    skipped = {r.metric for r in found if r.status == "skipped"}
    assert skipped == artifacts.OF_A_CONTINUUM
    assert {r.reason.code for r in found if r.status == "skipped"} == {"model.discrete"}
    assert {"samples", "reconstructions", "points"} <= {r.metric for r in found if r.status == "ok"}
    assert not [r.reason for r in found if r.status == "failed"]


def test_a_latent_that_is_one_point_has_a_map():
    arrays, _ = artifacts.latent_map(torch.full((50, 8), 0.3), 0)
    assert bool((arrays["xy"] == arrays["xy"][0]).all())


def table(used: int, perplexity: float, r2: float = 0.8) -> Table:
    """What a run of two seeds records of a VQ with 512 codes at four positions, and of an autoencoder beside it."""
    discrete = Reason.of("model.discrete", "its codes are discrete: between two of them there is nothing")
    records = []
    for seed in (0, 1):
        row = {"dataset": "digits", "latent_dim": 8, "seed": seed, "split": "test"}
        vq = {**row, "model": "vq"}
        for split in ("train", "test"):
            counted = {"codes": 512, "used": used, "read": 4000}
            here = {**vq, "split": split}
            records.append(Record(**here, metric="code_usage", value=used / 512, detail=counted))
            each = {"codes": 512, "per_position": [perplexity] * 4}
            records.append(Record(**here, metric="perplexity", value=perplexity + seed * 1e-6, detail=each))
        records += [
            Record(**vq, metric="r2", value=r2 + 0.001 * seed, better="higher"),
            Record(**vq, metric="path.validity_gain", status="skipped", reason=discrete),
            Record(**vq, metric="punctual_index", status="skipped", reason=discrete),
            Record(**row, model="ae", metric="r2", value=0.81 + 0.001 * seed, better="higher"),
            Record(**row, model="ae", metric="path.validity_gain", value=0.2 + 0.01 * seed, better="higher"),
        ]
    (made,) = tables(records)
    return made


def test_one_code_is_a_collapse_and_is_said():
    made = table(1, 1.0)
    assert made.collapse["vq"].causes == (ONE_CODE,)
    found = {a.question: a for a in of_table(made) if a.model == "vq"}
    assert (found["reconstructs"].answer, found["reconstructs"].reasons) == ("no", ("collapsed",))
    assert found["complete"].answer == "no"
    assert "all of its codes are one" in " ".join(continuous_in_words(continuous(made)).sentences)


def test_two_codes_of_512_are_said_to_be_two():
    made = table(2, 1.9)
    assert "vq" not in made.collapse
    assert "few codes" in flaws(made, "complete")["vq"]
    said = " ".join(posterior_in_words(posterior(made)).sentences)
    assert "Flagged: vq uses 2 of its 512 codes on the training images." in said


def test_a_codebook_in_use_is_described_and_not_flagged():
    made = table(400, 367.4)
    assert "few codes" not in flaws(made, "complete").get("vq", ())
    said = " ".join(posterior_in_words(posterior(made)).sentences)
    assert "an image is 4 of them, 400 of 512 are in use" in said
    assert "Flagged" not in said


def test_what_lies_between_codes_is_not_asked_of_discrete_ones():
    made = table(400, 367.4)
    found = {(a.model, a.question): a for a in of_table(made)}
    for question in ("continuous", "posterior"):
        assert (found["vq", question].answer, found["vq", question].reasons) == ("not asked", ("discrete",))
        assert found["ae", question].answer != "not asked"
    assert continuous(made).unasked == ("vq",)
    assert "Not asked of vq" in " ".join(continuous_in_words(continuous(made)).sentences)


def test_the_answer_in_words_says_why_it_was_not_asked():
    records = [
        Record(dataset="digits", latent_dim=8, seed=s, split="test", model="vq", metric="perplexity", value=300.0 + s)
        for s in (0, 1)
    ]
    (row,) = answers_in_words(records)
    assert row.answers[0] == "· not asked: its codes are discrete"
    (made,) = tables(records)
    assert continuous(made).basis == "not asked"
    assert continuous_in_words(continuous(made)).headline.startswith("Continuous? Not asked")

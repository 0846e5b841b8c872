"""The next step in a sentence, with what to type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from latentbench.records import Record
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, plural, say
from latentbench.report.wording.phrases import phrase
from latentbench.stats.findings.next_step import NextStep, next_step
from latentbench.stats.findings.table import Table

SENTENCES = marked({
    "train longer": "Train longer: {model} is undertrained{beside}{more}.",
    "one half": "Give {model} both halves of the KL: its loss has one alone.",
    "smaller beta": "Try a smaller beta for {model}: {why}{beside}.",
    "larger beta": "Try a larger beta for {model}: {why}.",
    "wider": "Give {model} a wider network: its training had ended, and it reconstructs worse than PCA of the same size"
    "{beside}.",
    "copies": "Do not sample from {model}: it gives back images it has seen (memorisation {own}). More data, a smaller "
    "decoder or a larger beta make that harder.",
    "one seed": "Run more seeds: one allows no interval.",
    "mixture": "Sample from a mixture fitted to the codes of {model}: {other} of its draws are valid then, {own} of those from "
    "N(0, I).",
    "mixture, own prior": "Sample from a mixture fitted to the codes of {model}: {other} of its draws are valid then, {own} of "
    "those from the prior it was trained with.",
    "more seeds": "Run {seeds} seeds: about as many tell whether {model} and {others} differ by {least} in {noun}.",
    "look": "Nothing stands out: look at the worst reconstructions and at the holes.",
})  # fmt: skip
WHY = marked({
    "beta is too large": "it collapsed",
    "most dimensions collapsed": "most of its dimensions collapsed",
    "worse than PCA": "it reconstructs worse than PCA of the same size",
    "beta is too small": "sigma is {own} of the spread of mu",
    "means are free": "its means cost {own} nats, so the prior lies between them",
})  # fmt: skip
NO_JUDGE = marked({
    "judge refused": "Give the judge more labelled images: it failed its self-check, so nothing says what is valid.",
    "no labels": "Give labels: without them there is no judge to say what is valid.",
    "no judge": "Find out why there was no judge: nothing says what is valid.",
    "not asked for": "Measure validity: nothing here says whether a draw means anything.",
})  # fmt: skip
FAILED = marked("Find out why {model} failed: the numbers are of what is left of it.")

MIXTURE = """\
import latentbench as lb, torch
from sklearn.mixture import GaussianMixture

model = lb.load("RUN_FOLDER", "{model}")
with torch.no_grad():
    codes = model.encode(lb.load_dataset("{dataset}").train.x).sample(torch.Generator())
    draws = GaussianMixture(10, random_state=0).fit(codes).sample(64)[0]
    images = model.decode(torch.tensor(draws, dtype=codes.dtype))
"""
"""Code is code in every language."""


class Step(NamedTuple):
    """What to do next, in a sentence; ``setting``: the option to set or the call to make, empty where there is none;
    ``code``: the lines to run, empty where there are none."""

    sentence: str
    setting: str
    code: str

    @property
    def line(self) -> str:
        """The sentence with what to set, in a line."""
        return f"{self.sentence} `{self.setting}`" if self.setting else self.sentence


def following(records: Sequence[Record]) -> Step | None:
    """The next step for the records of a run, in words; None where no model was measured."""
    found = next_step(records)
    return step(found) if found else None


def step(found: NextStep) -> Step:
    """A next step in words."""
    return Step(_sentence(found), _setting(found), _code(found))


def _sentence(found: NextStep) -> str:
    if found.code == "no judge":
        return say(NO_JUDGE[found.why])
    if found.code == "look" and found.model:
        return say(FAILED, model=found.model)
    number = words.percent if found.code == "mixture" else words.tidy
    own = number(found.own)
    why = say(WHY[found.why], own=own) if found.why in WHY else ""
    own_prior = found.code == "mixture" and found.table.own_priors
    return say(
        SENTENCES["mixture, own prior" if own_prior else found.code],
        model=found.model,
        others=found.others,
        own=own,
        other=number(found.beside),
        why=why,
        beside=_beside(found),
        more=plural(", and so is {n} more", ", and so are {n} more", found.more) if found.more else "",
        seeds=words.number(found.give),
        least=words.tidy(found.beside),
        noun=phrase(found.metric, found.table.definitions).noun if found.metric else "",
    )


def _beside(found: NextStep) -> str:
    """R² with PCA's, where both are known."""
    if found.own is None:
        return ""
    if found.beside is None:
        return say(" (R² {own})", own=words.tidy(found.own))
    return say(" (R² {own}, PCA's {pca})", own=words.tidy(found.own), pca=words.tidy(found.beside))


def _setting(found: NextStep) -> str:
    """What to type; nothing of a run whose settings are not known, and no option of training for models that were trained
    elsewhere: their run's settings hold no epochs."""
    config = (found.table.head.detail.get("config") or {}) if found.table.head else {}
    if found.code == "train longer" and isinstance(allowed := config.get(found.why), int):
        return f"--{found.why} {2 * allowed}"
    if found.code in ("smaller beta", "larger beta") and found.give is not None:
        return f"{found.model.partition(':')[0]}:beta={found.give:g}"
    if found.code == "one half":
        return f"{found.model.partition(':')[0]}:kl=full"
    if found.code == "wider" and isinstance(width := config.get("width"), int) and _width(found.table, found.model):
        return f"--width {2 * width}"
    if found.code in ("one seed", "more seeds") and "epochs" in config and found.give is not None:
        return f"--seeds {found.give:g}"
    if found.code == "mixture" and found.loadable:
        return f'lb.load("RUN_FOLDER", "{found.model}")'
    return ""


def _width(table: Table, model: str) -> object:
    """The width that a model was built with, where it has one."""
    return table.params.get(model, {}).get("width")


def _code(found: NextStep) -> str:
    if found.code != "mixture" or not found.loadable:
        return ""
    return MIXTURE.format(model=found.model, dataset=found.table.dataset)

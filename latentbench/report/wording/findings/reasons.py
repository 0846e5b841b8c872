"""Why an answer is what it is, and what is wrong with a model: a clause for each code, with the numbers it stands on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from latentbench.report.wording import words
from latentbench.report.wording.findings.tables import collapsed, copying
from latentbench.report.wording.intervals import ends
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Interval
from latentbench.stats.findings.table import Table

SHARES = marked({
    "validity": "{value} of its draws from N(0, I) are valid, of real images {real}",
    "validity of its own": "{value} of its draws from the prior it was trained with are valid, of real images {real}",
    "coverage": "its draws cover {value} of the real images, real ones {real}",
    "repeats": "its draws repeat one another: {value} of them are new, of real images {real}",
    "few codes": "it uses {value} of its codebook",
    "suspicious validity": "its draws are more often valid ({value}) than real images ({real}), which is suspicious",
})  # fmt: skip
"""Clauses about shares, which are said in percent."""
CLAUSES = marked({
    "classes missing": "the classes of its valid draws are {value} away from those of the data, of real images {real}",
    "copies in part": "memorisation is {value}, where .5 copies nothing and 1 copies only",
    "crowded": "its draws crowd in the middle of the real images, which flatters precision and coverage (density {value})",
    "less valid than a cross-fade": "its paths are not more often valid than cross-fades of its own reconstructions "
    "(difference {value})",
    "less valid than a cross-fade of real images": "its paths are not more often valid than cross-fades of the real images "
    "(difference {value})",
    "jumps": "its paths snap: with twice as many frames the largest step is still {value} of what it was (continuous: 0.5)",
    "uneven": "its paths are uneven: the largest step takes {value} of the way beyond an even share",
    "below PCA": "it reconstructs worse than PCA of the same size, R² {value} against {real}",
    "not told apart from PCA": "it cannot be told from PCA of the same size, R² {value} against {real}",
    "not told apart from the mean image": "it cannot be told from the mean image, R² {value}",
    "punctual": "its posteriors are points, sigma is {value} of the spread of the means",
    "far apart": "its means are far apart, E mu² / 2 = {value} nats",
    "mostly collapsed": "most of its dimensions are collapsed, {value} are active",
    "uninformative": "its codes say little of the images, R² {value}",
    "invented sigma": "its decoder does not know its sigma, R² {value} from a draw of the posterior",
    "too wide": "its codes are wider than the prior, variance {value} (N(0, I): 1)",
    "too narrow": "its codes are narrower than the prior, variance {value} (N(0, I): 1)",
})  # fmt: skip
PLAIN = marked({
    "discrete": "its codes are discrete: between two of them there is nothing",
    "copying unknown": "what it copies was not measured, so it is not cleared of copying",
    "collapse unknown": "whether it collapsed was not measured",
    "self-check failed": "a measure failed its self-check here",
    "one seed": "one seed allows no interval",
    "no ceiling": "there is no value of real images to read it beside",
    "no baseline": "there is no PCA of the same size to read it beside",
    "far in pixels": "its valid draws lie farther from every image, in pixels, than real images do",
    "second judge differs": "a second judge, trained apart, says something else",
    "not told apart": "whether its paths are more often valid than a cross-fade cannot be told",
    "not between classes": "between two classes its paths are not shown to be more often valid than a cross-fade",
    "undertrained": "it is undertrained: numbers describe the training, not the model",
})  # fmt: skip
RESTS_ON = {
    "few codes": "code_usage",
    "validity": "validity.normal", "coverage": "coverage", "repeats": "uniqueness", "suspicious validity": "validity.normal",
    "classes missing": "valid_label_tv", "copies in part": "memorisation", "crowded": "density",
    "less valid than a cross-fade": "path.validity_gain",
    "less valid than a cross-fade of real images": "path.validity_gain.real", "jumps": "path.refinement",
    "uneven": "path.jump", "below PCA": "r2", "not told apart from PCA": "r2", "not told apart from the mean image": "r2",
    "punctual": "punctual_index", "far apart": "kl.mean_part", "mostly collapsed": "active_units", "uninformative": "r2",
    "invented sigma": "r2.draw", "too wide": "variance_law", "too narrow": "variance_law",
}  # fmt: skip
"""The metric whose mean a clause tells."""
ALIASES = {"worse than PCA": "below PCA"}
AT_A_SEED, DIMENSIONS = " at a seed", " dimensions"
KINDS = marked({
    "regular": "regular",
    "punctual": "punctual",
    "far apart": "far apart",
    "punctual and far apart": "punctual and far apart",
    "mostly collapsed": "mostly collapsed",
    "uninformative": "uninformative",
    "invented sigma": "of an invented sigma",
    "too wide": "too wide",
    "too narrow": "too narrow",
    "collapsed": "collapsed",
})  # fmt: skip
"""Diagnoses in words that follow "is"."""


def because(table: Table, model: str, code: str) -> str:
    """One reason as a clause."""
    code = ALIASES.get(code, code)
    if code == "collapsed" and model in table.collapse:
        return say("it is collapsed ({why})", why=collapsed(table.collapse[model]))
    if code == "copies":
        share = table.get(model, "memorisation")
        return say("it gives back images it has seen ({why})", why=copying(share.mean if share else 1.0))
    if code in RESTS_ON:
        return _measured(table, [model], code)
    if code in PLAIN:
        return say(PLAIN[code])
    if code.startswith("no "):
        return _absent(table, model, code.removeprefix("no "))
    if code.endswith(AT_A_SEED):
        return say("at one seed or more it is {kind}", kind=say(KINDS.get(code.removesuffix(AT_A_SEED), code)))
    if code.endswith(DIMENSIONS):
        return say("some of its dimensions are {kind}", kind=say(KINDS.get(code.removesuffix(DIMENSIONS), code)))
    return code


def shared(table: Table, models: Sequence[str], code: str) -> list[tuple[list[str], str]]:
    """One reason of several models: each clause with the models that it is about; one with a number tells the least and the
    most of them."""
    if ALIASES.get(code, code) in RESTS_ON:
        return [(list(models), _measured(table, models, ALIASES.get(code, code)))]
    found: dict[str, list[str]] = {}
    for model in models:
        found.setdefault(because(table, model, code), []).append(model)
    return [(who, text) for text, who in found.items()]


def _measured(table: Table, models: Sequence[str], code: str) -> str:
    """A clause with a model's mean, or the least and the most of several, and, where there is one, what it is read beside."""
    metric = table.of_prior(RESTS_ON[code])
    name = "baseline:pca" if metric == "r2" else "ceiling:real"
    number = words.percent if code in SHARES else words.tidy
    means = {model: i.mean for model in models if (i := _interval(table, model, metric, code))}
    value = (
        ends([(mean, model) for model, mean in means.items()], number)
        if len(means) > 1
        else number(next(iter(means.values()), None))
    )
    if code == "validity" and table.own_priors:
        code = "validity of its own"
    real = number(table.reference(metric, name))
    return say(SHARES[code] if code in SHARES else CLAUSES[code], value=value, real=real)


def _interval(table: Table, model: str, metric: str, code: str) -> Interval | None:
    """What a clause tells of a model; the use of codes is told of its training images."""
    if code == "few codes" and (trained := table.trained_on(model, metric)) is not None:
        return trained.interval
    return table.get(model, metric)


def _absent(table: Table, model: str, metric: str) -> str:
    """Why a metric has no value."""
    cell = table.by.get((model, metric))
    if cell is None or not cell.reason:
        return say("{metric} was not measured", metric=metric)
    return say("{metric} has no value ({why})", metric=metric, why=words.reason(cell.reason))


def flagged(table: Table, flaws: Mapping[str, Iterable[str]]) -> list[str]:
    """A sentence for each model with flaws: what it is flagged for, in the words of `because`."""
    return [
        say("Flagged: {model}, because {why}.", model=model, why=words.clauses(because(table, model, c) for c in codes))
        for model, codes in flaws.items()
    ]


def flag(flaws: Mapping[str, Iterable[str]]) -> str:
    """What goes behind a ranking where it names models with flaws; empty where none has any."""
    return say(" (flagged: {models})", models=words.listed(list(flaws))) if flaws else ""

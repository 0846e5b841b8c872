"""A table's data and size, and the models that are left out of its claims, in words."""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.table import Collapse, Table

CAUSES = marked({
    "mean image": "it reconstructs no better than the mean image",
    "no active dimension": "no latent dimension is active",
    "one code": "all of its codes are one",
})  # fmt: skip


def place(table: Table) -> str:
    """The data and the latent size: ``digits at d = 8``."""
    data = table.dataset or say("this data")
    run = f" ({table.label})" if table.label else ""
    if not table.latent_dim:
        return data + run
    return say("{data} at d = {d}", data=data, d=table.latent_dim) + run


OWN = marked(
    "Here {models} has a prior of its own: each model is asked about the prior it was trained with, and wherever N(0, I) is named "
    "below, but in the valid draws from N(0, I), that prior is meant."
)
SEVERAL_OWN = marked(
    "Here {models} have priors of their own: each model is asked about the prior it was trained with, and wherever N(0, I) is "
    "named below, but in the valid draws from N(0, I), that prior is meant."
)


CODED = marked(
    "The codes of {models} are discrete. They are drawn from an autoregressive prior, a small network fitted after training to the "
    "codes of the training images, and wherever N(0, I) or the prior a model was trained with is named below, that one is meant "
    "for them."
)


def own_priors(table: Table) -> list[str]:
    """A sentence on the models that were trained with another prior than N(0, I); none where there are none."""
    models = [m for m in table.models if m in table.own_priors and m not in table.discrete]
    coded = [m for m in table.models if m in table.own_priors and m in table.discrete]
    out = [say(SEVERAL_OWN if len(models) > 1 else OWN, models=words.listed(models))] if models else []
    return out + ([say(CODED, models=words.listed(coded))] if coded else [])


def where(table: Table) -> str:
    """The data and the latent size a claim holds for, fit for a sentence."""
    return say("on {place}", place=place(table))


def collapsed(how: Collapse) -> str:
    """How a model collapsed."""
    why = say(" or ").join(sorted(say(CAUSES[cause]) for cause in how.causes))
    if how.seeds == how.of:
        return why
    return say("{why} at {some} of {n} seeds", why=why, some=how.seeds, n=how.of)


def copying(memorisation: float) -> str:
    """How a model copies."""
    return say("memorisation {share}, where copies read 1", share=words.tidy(memorisation))


def flags(table: Table, collapse: str) -> list[str]:
    """A sentence for each model that is left out of every claim, saying why; ``collapse`` is that of a collapsed one,
    with places for ``model`` and ``why``."""
    out = [say(collapse, model=model, why=collapsed(how)) for model, how in table.collapse.items()]
    text = marked("Flagged: {model} gives its training images back ({why}), so it is left out here.")
    return out + [say(text, model=model, why=copying(share)) for model, share in table.copies.items()]


def excluded(table: Table) -> str:
    """The models that are left out of every claim."""
    return words.listed(list(table.excluded))


def reasons(causes: Sequence[str]) -> str:
    """Why metrics have no value, as their records say."""
    return words.clauses(words.reason(r) for r in causes) or say("it was not measured")

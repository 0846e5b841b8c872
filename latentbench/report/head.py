"""The head of the page: what the reader must know to read anything below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from latentbench.report.columns import Column
from latentbench.report.folder import RunFolder
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say

TITLED = 4
"""Models that a title names at most."""
MANY = 6
"""Models named among the facts where the page has some more."""


MONTHS = marked((
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
))  # fmt: skip


def title(runs: Sequence[RunFolder]) -> str:
    """The page's title: models and data."""
    data = words.listed(list(dict.fromkeys(r.dataset for r in runs if r.dataset)))
    models = list(dict.fromkeys(m for r in runs for m in r.models))
    named = words.listed(models)
    if len(models) > TITLED:
        named = say("{some} and {n} more models", some=words.commas(models[: TITLED - 1]), n=len(models) - TITLED + 1)
    return say("{models} on {data}", models=named or say("Latent spaces"), data=data or say("unnamed data"))


def facts(runs: Sequence[RunFolder], columns: Sequence[Column]) -> list[tuple[str, str]]:
    """What the reader must know to read anything below, in a line."""
    out = [(say("data"), words.listed(list(dict.fromkeys(r.dataset for r in runs if r.dataset))))]
    labels = list(dict.fromkeys(c.model for c in columns))
    some = say("{n} models: {some} …", n=len(labels), some=say(", ").join(labels[:MANY]))
    if len(labels) > TITLED:
        out.append((say("models"), some if len(labels) > MANY + 2 else words.listed(labels)))
    if len(runs) > 1:
        out.append((say("runs"), words.listed([r.label for r in runs])))
    sizes = list(dict.fromkeys(str(c.latent_dim) for c in columns if c.latent_dim is not None))
    out.append((say("latent size d"), words.listed(sizes)))
    seeds = list(dict.fromkeys(str(len(r.seeds)) for r in runs if r.seeds))
    out.append((say("seeds"), words.listed(seeds)))
    days = list(dict.fromkeys(d for r in runs if (d := _day(r.detail.get("started")))))
    out.append((say("made"), words.listed(days)))
    return [(k, v) for k, v in out if v]


def _day(started: object) -> str:
    try:
        day = datetime.fromisoformat(str(started))
    except ValueError:
        return ""
    return say("{day} {month} {year}", day=day.day, month=say(MONTHS[day.month - 1]), year=day.year)

"""One next step: what to do with what the records of a run say, by rule.

The rules are tried in this order on every table of the run; the first one that fires on any of them is the step.

    train longer     a model is undertrained: its numbers describe the training
    one half         a model has one half of the KL in its loss, and no other model of its run has both
    smaller beta     a model collapsed, or most of its dimensions did; or it reconstructs worse than PCA
    larger beta      sigma is negligible beside the spread of the means, or nothing holds the means
    wider            a model without a beta reconstructs worse than PCA, although its training had ended
    copies           a model gives back images that it has seen
    no judge         nothing says what is valid: no labels, or the judge failed its self-check
    one seed         one seed allows no interval
    mixture          nobody is complete, and a mixture fitted to the codes is shown to give more valid draws
    more seeds       in a headline two models are not told apart, and a number of seeds that is told would do
    look             none of these

The rules on beta are about a run that has no good VAE yet: where one is regular and not worse than PCA, another one's
beta is an experiment and no mistake. A beta that was run is not advised. Nothing is decided here that is decided elsewhere: every
rule asks a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from latentbench.records import Record
from latentbench.stats.findings.choices import choice, hinges
from latentbench.stats.findings.claims import claim
from latentbench.stats.findings.complete import complete
from latentbench.stats.findings.diagnosis import STEP, Advice, advice, diagnosis
from latentbench.stats.findings.gaps import gap
from latentbench.stats.findings.parts import valid, worse_than_pca
from latentbench.stats.findings.sure import sure
from latentbench.stats.findings.table import Table, tables

Code = Literal[
    "train longer", "one half", "smaller beta", "larger beta", "wider", "copies", "no judge", "one seed", "mixture",
    "more seeds", "look",
]  # fmt: skip
SEEDS = 6
"""Seeds that a first run needs: the exact sign-flip test cannot tell one claim at 5 % with fewer."""
MOST_SEEDS = 64
"""Seeds that nobody is asked for; a difference that takes more is too small to matter here."""


@dataclass(frozen=True)
class NextStep:
    """The step's ``code``, the ``table`` and the ``model`` that it is about (empty: none), and the numbers it rests on:
    the model's ``own``, what that is read ``beside``, and the value to ``give`` an option. ``why`` tells cases of one code
    apart: the option to set, the change that `latentbench.stats.findings.diagnosis` advises, or what is missing.
    ``others``: of two models that are not told apart, the second; ``more``: to how many other models the same is to be done.
    ``loadable``: trained weights were kept."""

    code: Code
    table: Table
    model: str = ""
    own: float | None = None
    beside: float | None = None
    give: float | None = None
    why: str = ""
    others: str = ""
    metric: str = ""
    more: int = 0
    loadable: bool = False


def next_step(records: Sequence[Record]) -> NextStep | None:
    """The step for the records of a run; None where no model was measured."""
    every = tables(records)
    for rule in RULES:
        for table in every:
            if (step := rule(table, records)) is not None:
                return step
    return None


def _train_longer(table: Table, records: Sequence[Record]) -> NextStep | None:
    short = [m for m in table.models if m in table.undertrained and m not in table.copies]
    if not short:
        return None
    # What a collapsed model lacks is not time alone, where others lack it too.
    able = [m for m in short if m not in table.collapse] or short
    model = min(able, key=lambda m: i.mean if (i := table.get(m, "r2")) else 0.0)
    return replace(_step("train longer", table, model, "r2", why=_limit(table, model)), more=len(short) - 1)


def _limit(table: Table, model: str) -> str:
    """What ended the training of an undertrained model: the ``epochs`` that were allowed, or its ``patience``."""
    allowed = ((table.head.detail.get("config") or {}) if table.head else {}).get("epochs")
    cell = table.by.get((model, "train.epochs"))
    trainings = list(cell.details.values()) if cell else []
    all_of_them = cell is not None and cell.interval is not None and cell.interval.mean >= (allowed or 0)
    return "epochs" if all_of_them or any(t.get("kept") == allowed for t in trainings) else "patience"


def _one_half(table: Table, records: Sequence[Record]) -> NextStep | None:
    whole = any(_beta(table, m) and table.params[m].get("kl", "full") == "full" for m in table.models)
    found = None if whole else _advised(table, "one half of the KL")
    return found and NextStep("one half", table, found.model, why=found.half)


def _smaller_beta(table: Table, records: Sequence[Record]) -> NextStep | None:
    if _has_a_good_vae(table):
        return None
    if found := _advised(table, "beta is too large", "most dimensions collapsed"):
        return _step("smaller beta", table, found.model, "r2", give=found.beta, why=found.change)
    for model in table.models:
        beta = _beta(table, model)
        if beta and worse_than_pca(table, model) and not _was_run(table, beta / STEP):
            return _step("smaller beta", table, model, "r2", give=beta / STEP, why="worse than PCA")
    return None


def _larger_beta(table: Table, records: Sequence[Record]) -> NextStep | None:
    if _has_a_good_vae(table):
        return None
    found = _advised(table, "beta is too small", "means are free")
    return found and NextStep("larger beta", table, found.model, found.own, give=found.beta, why=found.change)


def _wider(table: Table, records: Sequence[Record]) -> NextStep | None:
    model = next((m for m in table.models if not _beta(table, m) and worse_than_pca(table, m)), None)
    return None if model is None or model in table.excluded else _step("wider", table, model, "r2")


def _copies(table: Table, records: Sequence[Record]) -> NextStep | None:
    model = next(iter(table.copies), None)
    return None if model is None else NextStep("copies", table, model, table.copies[model])


def _no_judge(table: Table, records: Sequence[Record]) -> NextStep | None:
    if table.row(table.validity, collapsed=True) or table.row("path.validity_gain", collapsed=True):
        return None
    asked = [c for c in table.cells if table.has(c.model) and c.metric in (table.validity, "path.validity_gain")]
    why = {code for c in asked for code in gap(c)} or {"not asked for"}
    known = ("judge refused", "no labels", "no judge", "not asked for")
    return NextStep("no judge", table, why=next((code for code in known if code in why), "no judge"))


def _one_seed(table: Table, records: Sequence[Record]) -> NextStep | None:
    return NextStep("one seed", table, give=SEEDS) if table.seeds == 1 else None


def _mixture(table: Table, records: Sequence[Record]) -> NextStep | None:
    """Of several models the one with the most valid draws under its mixture."""
    if choice(table, "complete").word == "yes":
        return None
    gains = [m for m, _ in complete(table).gains if valid(table, m, "validity.mixture").grade in ("yes", "partly")]
    shares = {m: i.mean for m in gains if (i := table.get(m, "validity.mixture"))}
    if not shares:
        return None
    model = max(shares, key=lambda m: shares[m])
    own, kept = table.get(model, table.validity), any(r.metric == "weights" and r.model == model for r in records)
    return NextStep(
        "mixture", table, model, own.mean if own else None, shares[model], metric="validity.mixture", loadable=kept
    )


def _more_seeds(table: Table, records: Sequence[Record]) -> NextStep | None:
    """The headline that takes the fewest seeds."""
    open_ones = []
    for metric in (hinges(table, q)[0][0] for q in ("complete", "continuous", "reconstructs")):
        found = claim(table.row(metric))
        for c in found.comparisons if found else ():
            if c.seeds_needed is not None and c.seeds_needed <= MOST_SEEDS:
                open_ones.append((c.seeds_needed, metric, c))
    if not open_ones:
        return None
    seeds, metric, c = min(open_ones, key=lambda found: found[0])
    return NextStep(
        "more seeds", table, c.first.model, beside=c.threshold, give=seeds, others=c.other.model, metric=metric
    )


def _look(table: Table, records: Sequence[Record]) -> NextStep:
    doubts = [failed.model for failed in sure(table, records).failures]
    return NextStep("look", table, next(iter(doubts), ""))


RULES: tuple[Callable[[Table, Sequence[Record]], NextStep | None], ...] = (
    _train_longer, _one_half, _smaller_beta, _larger_beta, _wider, _copies, _no_judge, _one_seed, _mixture, _more_seeds,
    _look,
)  # fmt: skip


def _step(code: Code, table: Table, model: str, metric: str, give: float | None = None, why: str = "") -> NextStep:
    """A step about R², with PCA's beside it."""
    own = table.get(model, metric)
    beside = table.reference(metric, "baseline:pca")
    return NextStep(code, table, model, own.mean if own else None, beside, give, why, metric=metric)


def _advised(table: Table, *changes: str) -> Advice | None:
    """The first advice on a model that is one of these changes and was not run already."""
    given = (advice(table, m) for m in table.models if m not in table.copies)
    return next((a for a in given if a and a.change in changes and not _was_run(table, a.beta)), None)


def _beta(table: Table, model: str) -> float:
    """A model's beta; 0 where it has none, as an autoencoder."""
    beta = table.params.get(model, {}).get("beta")
    return float(beta) if isinstance(beta, int | float) else 0.0


def _was_run(table: Table, beta: float | None) -> bool:
    """Whether a model of the table has this beta."""
    return beta is not None and any(abs(_beta(table, m) - beta) <= 1e-9 * beta for m in table.models)


def _has_a_good_vae(table: Table) -> bool:
    """Whether a model with a beta is regular and not shown to reconstruct worse than PCA."""
    return any(
        _beta(table, m) and diagnosis(table, m) == "regular" and not worse_than_pca(table, m) for m in table.models
    )

"""Four questions about one model, each answered ``yes``, ``partly``, ``no`` or ``not told``, or ``not asked``.

No answer rests on one number: each is a conjunction of parts, graded in `latentbench.stats.findings.parts`, and as good as
the worst of them. In this order, whatever the question:

    not asked   of a model whose codes are discrete, ``continuous`` and ``posterior``: between two of them there is nothing
    no          the model collapsed, or gives back images it has seen (also with one seed: one is enough to see either)
    no          a part is a no, whatever else is not known
    not told    whether it collapsed (R²) or, for ``continuous`` and ``complete``, whether it copies (memorisation) was
                not measured: what was not looked at is not cleared
    not told    a part was skipped, failed, failed its self-check, or has one seed
    partly      a part is
    yes         every part is

By question (real: what real images of the same data score under the same judge):

    continuous    `path.validity_gain` over both controls, the cross-fades of the model's own reconstructions and of the
                  real images, also between images of two classes alone (else ``partly``); no snapping: finer steps are
                  smaller ones (`path.refinement` below .75); no uneven path (`path.jump`); R² above that of PCA of the
                  same size (else ``partly``, and said)
    complete      validity under the model's own prior and coverage at least .8 of real (partly: .3 and .5); the classes of
                  valid draws at most .15 farther from the data's than real (.25); uniqueness at least .9 of real (.6);
                  memorisation below .75 (.95). ``partly`` where validity lies above that of real images, which is
                  suspicious, where draws are valid and far from every image, or crowd; ``not told`` where a second judge
                  would say something else
    reconstructs  R² beside PCA of the same size. yes: above PCA; partly: above the mean image (0) but below PCA, or not
                  told apart from it; not told: the interval contains 0. A model below the mean image has collapsed
    posterior     the diagnosis. yes: regular; partly: regular in the mean, but not at every seed or in every dimension;
                  no: anything else

An *undertrained* model is answered all the same, with that among the reasons: its numbers describe the training.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

from latentbench.records import Record
from latentbench.stats.findings import parts
from latentbench.stats.findings.diagnosis import diagnosis, diagnosis_by_seed, dimensions_by_seed
from latentbench.stats.findings.finding import Answer, Word
from latentbench.stats.findings.grading import Part, beyond, lacking, worst
from latentbench.stats.findings.parts import Rule
from latentbench.stats.findings.table import Table, tables

CONTINUOUS: tuple[Rule, ...] = (
    parts.gains, parts.gains_on_real, parts.between_classes, parts.smooth, parts.even, parts.beside_pca,
)  # fmt: skip
COMPLETE: tuple[Rule, ...] = (
    parts.valid, parts.coverage, parts.of_all_classes, parts.unique, parts.copied, parts.suspicious,
    parts.far_in_pixels, parts.crowded, parts.second_judge,
)  # fmt: skip


OF_A_CONTINUUM = ("continuous", "posterior")
"""Questions about what lies between codes, and how wide they are."""


class Reply(NamedTuple):
    """An answer and its reasons, before it is known whose."""

    answer: Word
    reasons: tuple[str, ...] = ()


def answers(records: Sequence[Record]) -> list[Answer]:
    """Every model's answers to the questions of `latentbench.stats.findings.finding.ASKED`, table by table."""
    return [a for table in tables(records) for a in of_table(table)]


def of_table(table: Table) -> list[Answer]:
    """The answers of one table, model by model."""
    out = []
    for model in table.models:
        for question, rule in RULES.items():
            answer, reasons = _unasked(table, model, question) or _cheat(table, model) or rule(table, model)
            if model in table.undertrained and answer != "not asked":
                reasons = (*reasons, "undertrained")
            once = tuple(dict.fromkeys(reasons))
            out.append(Answer(model, question, answer, once, table.dataset, table.latent_dim, table.run))
    return out


def _unasked(table: Table, model: str, question: str) -> Reply | None:
    """What has no meaning where codes are discrete."""
    return Reply("not asked", ("discrete",)) if model in table.discrete and question in OF_A_CONTINUUM else None


def _cheat(table: Table, model: str) -> Reply | None:
    """No, whatever is asked, of a model whose images do not depend on its codes or are its training images."""
    codes: dict[str, Container[str]] = {"collapsed": table.collapse, "copies": table.copies}
    reasons = tuple(code for code, which in codes.items() if model in which)
    return Reply("no", reasons) if reasons else None


def _concluded(every: Iterable[Part]) -> Reply:
    """The answer that hangs on the worst of its parts."""
    decisive = worst(every)
    return Reply(decisive[0].grade, tuple(p.reason for p in decisive)) if decisive else Reply("yes")


def _continuous(table: Table, model: str) -> Reply:
    return _concluded(
        [*_known(table, model), parts.cleared(table, model), *(rule(table, model) for rule in CONTINUOUS)]
    )


def _complete(table: Table, model: str) -> Reply:
    return _concluded([*_known(table, model), *(rule(table, model) for rule in COMPLETE)])


def _reconstructs(table: Table, model: str) -> Reply:
    r2, pca = table.by.get((model, "r2")), parts.beside_pca(table, model)
    below = beyond(r2, 0.0) if r2 is not None else None
    level = Part("not told", "not told apart from the mean image") if below is not None and below.side <= 0 else pca
    return _concluded([*_known(table, model), level])


def _posterior(table: Table, model: str) -> Reply:
    kind = diagnosis(table, model)
    cells = {m: table.by.get((model, m)) for m in ("punctual_index", "kl.mean_part", "r2.draw", "variance_law")}
    gaps = {m: gap for m, cell in cells.items() if (gap := lacking(cell, m)) is not None}
    if kind not in ("regular", "unknown"):
        # A flaw that was measured stands, whatever else was not: the codes of an autoencoder have no KL.
        measured = [gap for m, gap in gaps.items() if table.get(model, m)]
        return _concluded(measured) if measured else Reply("no", tuple(kind.split(" and ")))
    if gaps or _known(table, model):
        return _concluded([*_known(table, model), *gaps.values()])
    seeds = {k for k in diagnosis_by_seed(table, model).values() if k != "regular"}
    mixed = {d for count in dimensions_by_seed(table, model).values() for d in count if d != "regular"}
    doubts = [*(f"{kind} at a seed" for kind in sorted(seeds)), *(f"{kind} dimensions" for kind in sorted(mixed))]
    return Reply("partly", tuple(doubts)) if doubts else Reply("yes")


RULES: dict[str, Callable[[Table, str], Reply]] = {
    "continuous": _continuous,
    "complete": _complete,
    "reconstructs": _reconstructs,
    "posterior": _posterior,
}


def _known(table: Table, model: str) -> list[Part]:
    """What must be known before a yes and is not: whether the model collapsed."""
    return [] if table.get(model, "r2") else [Part("not told", "collapse unknown")]

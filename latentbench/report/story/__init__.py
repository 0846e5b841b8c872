"""Studies told as stories: claims with verdicts and pictures, from records alone.

`tell` gives the story of a run that is of a study which has one; the page prints it before everything else. `claimed` gives
the claims alone, for what prints no pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.records import Record, run_record
from latentbench.report.columns import Column
from latentbench.report.folder import RunFolder
from latentbench.report.story import capacity, mu_sigma, mu_sigma_claims, predicts_generation, zoo
from latentbench.report.story.nouns import Story, StoryClaim
from latentbench.report.wording.language import say
from latentbench.stats.findings.evidence import measured

__all__ = ["Story", "claimed", "tell"]

STORIES = {
    "why-mu-sigma": mu_sigma.tell,
    "capacity": capacity.tell,
    "zoo": zoo.tell,
    "predicts-generation": predicts_generation.tell,
    "predicts-generation-mnist": predicts_generation.tell,
}


def tell(runs: Sequence[RunFolder], columns: Sequence[Column]) -> list[Story]:
    """The stories of those runs whose study has one."""
    names = [((run.detail.get("study") or {}).get("name"), run) for run in runs]
    return [STORIES[name](run, columns) for name, run in names if name in STORIES]


def claimed(records: Sequence[Record]) -> tuple[str, list[StoryClaim]]:
    """The question of the study that these records are of, and its claims with their verdicts, without pictures; nothing of
    records of no study, or of one that has no story."""
    head = run_record(records)
    name = (head.detail.get("study") or {}).get("name") if head else None
    if name not in STORIES:
        return "", []
    sizes = {r.model: r.latent_dim for r in records if r.is_model and r.latent_dim is not None}
    models, m = list(dict.fromkeys(r.model for r in records if r.is_model)), measured(records)
    if name == "capacity":
        return say(capacity.TITLE), capacity.claims(m, models)
    if STORIES[name] is predicts_generation.tell:
        return say(predicts_generation.TITLE), predicts_generation.claims(m, models)
    if name == "zoo":
        return say(zoo.TITLE), zoo.claims(m, models)
    size = next((sizes[x] for x in (mu_sigma_claims.VAE, mu_sigma_claims.AE) if x in sizes), None)
    return say(mu_sigma.TITLE), mu_sigma_claims.claims(m, size, models)

"""What the records of a run say, in words: the wording of `latentbench.stats.findings`, which decides; nothing here does.

Five questions, a module each: is this latent space continuous? complete? why mu and sigma? what did it cost? And a
fifth about the answers: how sure is that? Claims name the sampler and the latent size, since with another sampler, or
in two dimensions, they may not hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.records import Record
from latentbench.report.wording.findings.claims import Statement
from latentbench.report.wording.findings.complete import complete
from latentbench.report.wording.findings.continuous import continuous
from latentbench.report.wording.findings.cost import cost
from latentbench.report.wording.findings.posterior import posterior
from latentbench.report.wording.findings.sure import sure
from latentbench.stats.families import Family
from latentbench.stats.findings import complete as of_completeness
from latentbench.stats.findings import continuous as of_continuity
from latentbench.stats.findings import cost as of_cost
from latentbench.stats.findings import posterior as of_posteriors
from latentbench.stats.findings import sure as of_certainty
from latentbench.stats.findings.table import tables

__all__ = ["Statement", "statements"]


def statements(records: Sequence[Record], family: Family | None = None) -> list[Statement]:
    """The five answers for each run and dataset, the first model being what the others are compared with; none where
    no model was measured. ``family``: the claims of a page that shows more than these records."""
    out = []
    for table in tables(records, family):
        out += [
            continuous(of_continuity.continuous(table)),
            complete(of_completeness.complete(table)),
            posterior(of_posteriors.posterior(table)),
            cost(of_cost.cost(table)),
            sure(of_certainty.sure(table, records)),
        ]
    return out

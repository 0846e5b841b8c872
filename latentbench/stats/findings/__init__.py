"""What the records of a run say, as data: every comparison a `Finding`, four questions of every model an `Answer`, and
the five questions about a run answered each by one object of its own, which `latentbench.report.wording` puts into
sentences.

One computation of every claim and diagnosis, from records alone; nothing here is a sentence.
"""

from latentbench.stats.findings.answers import answers
from latentbench.stats.findings.finding import ANSWER_COLUMNS, FINDING_COLUMNS, Answer, Finding
from latentbench.stats.findings.listing import findings
from latentbench.stats.findings.table import Table, tables

__all__ = ["ANSWER_COLUMNS", "FINDING_COLUMNS", "Answer", "Finding", "Table", "answers", "findings", "tables"]

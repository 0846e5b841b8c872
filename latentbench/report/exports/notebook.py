"""The table of answers as a notebook shows it: HTML without a style sheet of its own, everything in it escaped."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from latentbench.records import Record
from latentbench.report.wording import subject
from latentbench.report.wording.findings import answers
from latentbench.report.wording.findings.next_step import Step, following
from latentbench.report.wording.language import say


def answers_html(records: Sequence[Record]) -> str:
    """Each model's answers with the numbers they hang on, what these are, and the next step."""
    with subject.about(subject.of_records(records)):
        rows = answers.rows(records)
        if not rows:
            return str(Markup("<p>{}</p>").format(say("No model was measured.")))
        head = _cells("th", answers.headers())
        body = Markup("").join(Markup("<tr>{}</tr>").format(_cells("td", [r.name, *r.answers])) for r in rows)
        table = Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)
        legend = Markup("<p><small>{}</small></p>").format(answers.legend(records))
        advice = following(records)
        step = _step(advice) if advice else Markup("")
        return str(table + legend + step)


def _step(advice: Step) -> Markup:
    setting = Markup(" <code>{}</code>").format(advice.setting) if advice.setting else Markup("")
    return Markup("<p><b>{}</b>: {}{}</p>").format(say("Next step"), advice.sentence, setting)


def _cells(tag: str, texts: Sequence[str]) -> Markup:
    return Markup("").join(Markup("<{0}>{1}</{0}>").format(Markup(tag), escape(text)) for text in texts)

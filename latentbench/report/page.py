"""Records -> one HTML file. This module gathers what the template prints; everything it gathers is a function of the
run folders alone, so equal folders give an equal page, byte for byte.

The page asks nothing of any host: scripts, styles, images and data are inside it, and a content security policy in
its head lets the browser itself enforce that. All text is escaped by the template; the few pieces that are not text
(drawings, scripts, data) are built as Markup by functions that escape what they are given.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from markupsafe import Markup

from latentbench.report import story
from latentbench.report.columns import columns as numbered
from latentbench.report.drawing import maps
from latentbench.report.folder import RunFolder
from latentbench.report.sections import (
    holes,
    over_datasets,
    posterior,
    published,
    reconstructions,
    samples,
    scores,
    training,
)
from latentbench.report.sections.cards import cards
from latentbench.report.sections.definitions import definitions
from latentbench.report.sections.head import facts, title
from latentbench.report.sections.maps import SCRIPT, map_section
from latentbench.report.sections.paths import paired_by_interpolation
from latentbench.report.sections.protocol import protocol
from latentbench.report.sections.speed import costs, peaks, speeds_or_reason
from latentbench.report.sections.verdict import answers
from latentbench.report.templates import HERE, environment
from latentbench.report.wording.language import say, spoken

PICTURED = 5
"""Models of one run that are shown in pictures, the first asked for; more would make a page that nobody can send."""


def html(runs: Sequence[RunFolder]) -> str:
    """The whole page of these runs."""
    columns = numbered(runs)
    pictured = [c for run in runs for c in [c for c in columns if c.run is run][:PICTURED]]
    sections = [map_section(run, [c for c in pictured if c.run is run], i) for i, run in enumerate(runs)]
    speeds, no_speed = speeds_or_reason(pictured)
    rebuilt, not_rebuilt = reconstructions.reconstructions(pictured)
    context = {
        "title": title(runs),
        "language": spoken(),
        "texts": json.dumps({name: say(text) for name, text in SCRIPT.items()}, ensure_ascii=False),
        "runs": runs,
        "several": len(runs) > 1,
        "facts": facts(runs, columns),
        "stories": story.tell(runs, columns),
        "answers": answers(runs),
        "columns": columns,
        "tables": scores.tables(columns),
        "across": over_datasets.lines(runs, columns),
        "published": [(run, found) for run in runs if (found := published.beside(run.records))],
        "band_row": published.row,
        "band_headers": published.headers(),
        "maps": sections,
        "live": any(s.maps for s in sections),
        "unpictured": [c.label for c in columns if c not in pictured],
        "strips": paired_by_interpolation(pictured),
        "samples": cards(pictured, samples.draws),
        "atlases": cards(pictured, holes.atlas),
        "posteriors": cards(pictured, posterior.posterior),
        "rebuilt": rebuilt,
        "not_rebuilt": not_rebuilt,
        "training": cards(pictured, training.training),
        "speeds": speeds,
        "no_speed": no_speed,
        "costs": costs(columns),
        "peaks": peaks(runs),
        "definitions": definitions(runs),
        "protocols": [protocol(run) for run in runs],
        "style": Markup((HERE / "style.css").read_text("utf-8")),
        "script": Markup((HERE / "page.js").read_text("utf-8")),
    }
    context["library"] = Markup(maps.library()) if context["live"] else Markup("")
    return environment().get_template("page.html.jinja").render(context)

"""A run as the claims of a story look at it: what was measured, and the pictures they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from latentbench.report.columns import Column
from latentbench.report.drawing import sheets
from latentbench.report.folder import Absent, RunFolder
from latentbench.report.story import pictures
from latentbench.report.story.nouns import Figure
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.evidence import Measured, measured


class RunView:
    """What every claim looks at: the run, its measured cells, the columns by model, and the latent ``size`` of the first of
    ``models`` that was run."""

    def __init__(self, run: RunFolder, columns: Sequence[Column], models: Sequence[str]) -> None:
        self.run = run
        self.m: Measured = measured(run.records)
        self.columns: Mapping[str, Column] = {c.model: c for c in columns if c.run is run}
        self.size = next((d for m in models if (d := run.latent_dim_of(m)) is not None), None)

    def number(self, model: str) -> int:
        """The model's number on the page: its colour and marker."""
        return self.columns[model].m if model in self.columns else 0

    def plane(self, model: str, see: str) -> Figure:
        """The latent plane of a model's rung at d = 2. Raises Absent where the run has none."""
        at = model if self.run.latent_dim_of(model) == 2 else f"{model}:latent_dim=2"
        artifact = self.run.artifact("plane", at)
        title = say("The latent plane of {model}", model=at)
        return Figure(pictures.plane(artifact, self.number(at), title), captioned(at, see))

    def curves(self, term: str, models: Sequence[str], title: str, see: str) -> Figure:
        """A loss term over epochs of some models, a line a seed."""
        curves = []
        for model in models:
            seeds = [r.samples for r in self.run.records
                     if r.kind == "curve" and r.model == model and r.metric == f"loss.train.{term}" and r.samples]  # fmt: skip
            if seeds:
                curves.append(pictures.TrainingCurve(self.number(model), model, seeds))
        text = marked("{what} over epochs of {models}")
        drawn = pictures.curves(curves, title, say(text, what=title, models=words.listed([c.name for c in curves])))
        if not drawn:
            raise Absent(say("Not drawn: this run recorded no {term} over epochs.", term=term))
        return Figure(drawn, see)

    def sheet(self, model: str, sampler: str, see: str, count: int = 20) -> Figure:
        """Decoded draws of one sampler, each framed by the judge's word."""
        artifact = self.run.artifact("samples", model)
        shown = artifact.need(f"{sampler}_images")[:count]
        valid = artifact.arrays.get(f"{sampler}_valid")
        title = say("{model}, draws from {sampler}", model=model, sampler=say(words.SAMPLER_NAMES[sampler][0]))
        if valid is not None:
            counted = say("{some} of {n} valid", some=int(valid[:count].sum()), n=len(shown))
            title = say("{what}: {counted}", what=title, counted=counted)
        return Figure(sheets.sheet(shown, valid, title), captioned(title, see))


def captioned(title: str, see: str) -> str:
    """What a picture is, then what to see in it."""
    return say("{title}. {see}", title=title, see=see)

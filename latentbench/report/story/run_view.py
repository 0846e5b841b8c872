"""A run as the claims of a story look at it: what was measured, and the pictures they share. Every picture says of which
model, latent size and seed it is, and what is counted in it; nothing is said that is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from latentbench.artifact_schema import OWN_SAMPLER
from latentbench.report.classes import class_name, names_of
from latentbench.report.columns import Column
from latentbench.report.drawing import sheets
from latentbench.report.folder import Absent, Array, Artifact, RunFolder
from latentbench.report.story import pictures
from latentbench.report.story.evidence import value_of
from latentbench.report.story.nouns import Figure
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.evidence import Measured, measured

WALK = 9
"""Frames shown of a walk."""
EVERY = 10
"""Images in a row of a sheet."""

DRAWS = marked({
    "normal": "Draws of N(0, I).",
    "gaussian": "Draws of a Gaussian fitted to the codes.",
    "mixture": "Draws of a mixture of ten Gaussians fitted to the codes.",
})  # fmt: skip


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

    def where(self, model: str, artifact: Artifact) -> str:
        """``vae, d = 8, seed 0``: whose picture it is."""
        text = marked("{model}, d = {d}, seed {seed}" if artifact.seed is not None else "{model}, d = {d}")
        return say(text, model=model, d=self.run.latent_dim_of(model), seed=artifact.seed)

    def _listed(self, held: Sequence[Artifact]) -> str:
        """Whose pictures stand in rows; the latent size and the seed once, where all have the same."""
        if len({(self.run.latent_dim_of(a.model), a.seed) for a in held}) > 1 or held[0].seed is None:
            return words.clauses(self.where(a.model, a) for a in held)
        d, models = self.run.latent_dim_of(held[0].model), words.commas(a.model for a in held)
        return say("{model}, d = {d}, seed {seed}", model=models, d=d, seed=held[0].seed)

    def plane(self, model: str) -> Figure:
        """The latent plane of a model with two dimensions. Raises Absent where the run has none."""
        artifact = self.run.artifact("plane", model)
        where = self.where(model, artifact)
        told = [
            say("Dots or ellipses: posteriors of held-out images."),
            self._holes(artifact),
            self._valid(artifact, "valid"),
        ]
        drawn = pictures.plane(artifact, self.number(model), say("The latent plane of {where}", where=where))
        return Figure(drawn, sentences(where, told), (model,), True)

    def cut(self, model: str) -> Figure:
        """The plane through the codes of three held-out images, at the model's own latent size. Raises Absent where the run
        recorded none."""
        artifact = self.run.artifact("plane", model)
        if not artifact.detail.get("cut"):
            raise Absent(say("Not drawn: this run recorded no plane through the codes of {model}.", model=model))
        where, names = self.where(model, artifact), names_of(self.run)
        labels = [class_name(names, int(k)) for k in artifact.arrays.get("label_of", ())]
        text = marked(
            "The plane through the codes of three held-out images ({classes}), decoded."
            if labels
            else "The plane through the codes of three held-out images, decoded."
        )
        told = [say(text, classes=words.commas(labels)), self._holes(artifact), self._valid(artifact, "valid")]
        told += [self._widths(artifact), self._prior(artifact, self.run.latent_dim_of(model) or 0)]
        label = say("A plane through three codes of {where}", where=where)
        return Figure(pictures.cut(artifact, self.number(model), label, self.run.latent_dim_of(model) or 0),
                      sentences(where, told), (model,), True)  # fmt: skip

    @staticmethod
    def _holes(artifact: Artifact) -> str:
        share = float(artifact.need("hole").astype(bool).mean())
        if not share:
            return say("None of it is a hole.")
        return say("Hatched: {share} of it is holes.", share=words.percent(share))

    @staticmethod
    def _valid(artifact: Artifact, name: str) -> str:
        if name not in artifact:
            return ""
        valid = artifact.need(name)
        return say("The judge accepts {some} of the {n} images.", some=int(valid.sum()), n=valid.size)

    @staticmethod
    def _widths(artifact: Artifact) -> str:
        if artifact.detail.get("family"):
            return ""
        if "sigma" not in artifact:
            return say("Codes are points: sigma is 0.")
        mu = artifact.need("mu")
        apart = min(float(np.linalg.norm(mu[i] - mu[j])) for i, j in ((0, 1), (0, 2), (1, 2)))
        low, high = (
            words.percent(float(v) / apart) for v in (artifact.need("sigma").min(), artifact.need("sigma").max())
        )
        return say("Sigma (ellipses): {span} of the distance of the nearest two codes.", span=words.span(low, high))

    @staticmethod
    def _prior(artifact: Artifact, d: int) -> str:
        away, usual = float(artifact.detail.get("away", 0.0)), math.sqrt(d)
        if pictures.sphere(artifact, d):
            return say("Dashed: √{d} from 0, where draws of N(0, I) usually lie.", d=d)
        text = marked(
            "The plane passes 0 at {away}, beyond √{d}, where draws of N(0, I) usually lie."
            if away >= usual
            else "No place of it is √{d} from 0, where draws of N(0, I) usually lie."
        )
        return say(text, away=words.number(away, 1), d=d)

    def curves(self, term: str, models: Sequence[str], title: str) -> Figure:
        """A loss term over epochs of some models, a line a seed."""
        shown, told = self._curves(term, models), []
        for curve in shown:
            ends = [s[-1] for s in curve.seeds]
            before = [s[int(0.9 * (len(s) - 1))] for s in curve.seeds]
            end, change = float(np.mean(ends)), float(np.mean(ends) - np.mean(before))
            text = plain_change(change)
            told.append(say(text, model=curve.name, end=words.tidy(end), change=words.tidy(abs(change))))
        text = marked("{what} over epochs of {models}")
        drawn = pictures.curves(shown, title, say(text, what=title, models=words.listed([c.name for c in shown])))
        if not drawn:
            raise Absent(say("Not drawn: this run recorded no {term} over epochs.", term=term))
        seeds = [str(s) for s in self.run.seeds]
        about = say(
            "{what}, d = {d}, a line for each of the seeds {seeds}.", what=title, d=self.size, seeds=words.commas(seeds)
        )
        last = say("At the end, and what the last tenth of the epochs changed: {told}.", told=words.clauses(told))
        return Figure(drawn, say(" ").join([about, last]), tuple(c.name for c in shown))

    def _curves(self, term: str, models: Sequence[str]) -> list[pictures.TrainingCurve]:
        out = []
        for model in models:
            seeds = [r.samples for r in self.run.records
                     if r.kind == "curve" and r.model == model and r.metric == f"loss.train.{term}" and r.samples]  # fmt: skip
            if seeds:
                out.append(pictures.TrainingCurve(self.number(model), model, seeds))
        return out

    def spark(self, term: str, models: Sequence[str]) -> Figure:
        """The same curves, the mean over seeds, as small as a word."""
        shown = self._curves(term, models)
        lines = [(c.m, np.mean([s[: min(map(len, c.seeds))] for s in c.seeds], axis=0).tolist()) for c in shown]
        label = say("{what} over epochs of {models}", what=term, models=words.listed([c.name for c in shown]))
        drawn = pictures.spark(lines, label)
        if not drawn:
            raise Absent(say("Not drawn: this run recorded no {term} over epochs.", term=term))
        return Figure(drawn, label, tuple(c.name for c in shown))

    def ranked(self, model: str, count: int = 20) -> Figure:
        """Decoded draws of N(0, I) by their distance to the codes, the nearest first, each framed by the judge's word."""
        artifact = self.run.artifact("samples", model)
        order, depth = self._by_depth(artifact, count)
        told = []
        if depth is None:
            told.append(say("Draws of N(0, I) in the order drawn."))
        else:
            text = marked(
                "Draws of N(0, I) by their distance to the codes, in radii of a hole (above 1: in one); {far} of {n} lie in one."
            )
            told.append(say(text, far=int((depth > 1).sum()), n=len(depth)))
        images, valid = artifact.need("normal_images")[order], artifact.arrays.get("normal_valid")
        return self._sheet(model, artifact, images, None if valid is None else valid[order], told,
                           None if depth is None else [words.number(float(v), 1) for v in depth])  # fmt: skip

    @staticmethod
    def _by_depth(artifact: Artifact, count: int) -> tuple[Array, Array | None]:
        """Which draws to show, and how deep in holes they lie where that was recorded."""
        shown = np.arange(min(count, len(artifact.need("normal_images"))))
        if "normal_depth" not in artifact:
            return shown, None
        depth = np.nan_to_num(artifact.need("normal_depth")[shown], nan=math.inf)
        order = np.argsort(depth, kind="stable")
        return shown[order], depth[order]

    def sheet(self, model: str, sampler: str, count: int = 20) -> Figure:
        """Decoded draws of one sampler, each framed by the judge's word."""
        artifact = self.run.artifact("samples", model)
        told = [say(DRAWS[sampler])]
        valid = artifact.arrays.get(f"{sampler}_valid")
        return self._sheet(model, artifact, artifact.need(f"{sampler}_images")[:count],
                           None if valid is None else valid[:count], told)  # fmt: skip

    def _sheet(
        self, model: str, artifact: Artifact, images: Array, valid: Array | None, told: Sequence[str],
        notes: Sequence[str] | None = None,
    ) -> Figure:  # fmt: skip
        where = self.where(model, artifact)
        told = [*told, _counted(valid)]
        return Figure(
            sheets.sheet(images, valid, sentences(where, told), EVERY, notes), sentences(where, told), (model,)
        )

    def rows(self, models: Sequence[str], first: int = 0, columns: int = EVERY, own: bool = False) -> Figure:
        """Draws of N(0, I) of several models, the same noise, a row a model; ``own``: of those that have a prior of their own,
        from that."""
        images, ruled, told, shown, held, others = [], [], [], [], [], 0
        for model in (m for m in models if m in self.columns):
            artifact = self.run.artifact("samples", model)
            sampler = OWN_SAMPLER if own and f"{OWN_SAMPLER}_images" in artifact else "normal"
            others += sampler != "normal"
            images.append(artifact.need(f"{sampler}_images")[first : first + columns])
            shown.append(model)
            held.append(artifact)
            if f"{sampler}_valid" in artifact:
                valid = artifact.need(f"{sampler}_valid")[first : first + columns]
                ruled.append(valid)
                told.append(say("{model} {some}", model=model, some=int(valid.sum())))
        if not images:
            raise Absent(say("Not drawn: none of these models was run."))
        n = len(images[0])
        judged = np.concatenate(ruled) if len(ruled) == len(images) else None
        rows = say("Rows from the top: {where}.", where=self._listed(held))
        alike = len({a.seed for a in held}) == 1
        drawn = marked("Draws of N(0, I), the same noise for all." if alike else "Draws of N(0, I).")
        see = [rows, say("Draws from each one's own prior, else from N(0, I).") if others else say(drawn)]
        if told:
            see.append(say("Valid of {n}: {told}.", n=n, told=words.commas(told)))
        text = say(" ").join(see)
        return Figure(sheets.sheet(np.concatenate(images), judged, text, n), text, tuple(shown))

    def rebuilt(self, models: Sequence[str], count: int = EVERY) -> Figure:
        """Held-out images and what each model gives back of them, a row a model."""
        rows: list[Array] = []
        held, told, shown = [], [], []
        for model in (m for m in models if m in self.columns):
            artifact = self.run.artifact("reconstructions", model)
            if not rows:
                rows.append(artifact.need("x")[:count])
            rows.append(artifact.need("x_hat")[:count])
            shown.append(model)
            held.append(artifact)
            if (cell := self.m.cell(model, "r2")) is not None:
                told.append(say("{model} {some}", model=model, some=value_of(cell)))
        if not shown:
            raise Absent(say("Not drawn: none of these models was run."))
        see = [say("Rows from the top: held-out images; what comes back of them by {where}.", where=self._listed(held))]
        if told:
            see.append(say("R² over all seeds: {told}.", told=words.commas(told)))
        text = say(" ").join(see)
        return Figure(sheets.sheet(np.concatenate(rows), None, text, len(rows[0])), text, tuple(shown))

    def walk(self, model: str, pairs: int = 2, faded: bool = True, frames: int = WALK) -> Figure:
        """Walks between the codes of two held-out images, each above the cross-fade of its decoded ends."""
        artifact = self.run.artifact("strips", model)
        films = [("frame", artifact.need("frames"))]
        films += [("fade", artifact.need("fade"))] if faded else []
        every = np.linspace(0, films[0][1].shape[1] - 1, frames).round().astype(int)
        pairs = min(pairs, len(films[0][1]))
        images = np.concatenate([film[p][every] for p in range(pairs) for _, film in films])
        ruled = {k: artifact.need(f"{k}_valid")[:pairs][:, every] for k, _ in films if f"{k}_valid" in artifact}
        valid = (
            np.concatenate([ruled[k][p] for p in range(pairs) for k, _ in films]) if len(ruled) == len(films) else None
        )
        where = self.where(model, artifact)
        told = [say("Walks between the codes of two held-out images, each above the cross-fade of its decoded ends.")]
        if valid is not None and faded:
            told.append(say("Valid: {some} of {n} frames walked, {other} of {n} cross-faded.", some=int(ruled["frame"].sum()),
                            other=int(ruled["fade"].sum()), n=ruled["frame"].size))  # fmt: skip
        see = sentences(where, told)
        return Figure(sheets.sheet(images, valid, see, frames), see, (model,))


def plain_change(change: float) -> str:
    """The words for what the end of a curve did."""
    if change > 0:
        return marked("{model} {end} (up {change})")
    return marked("{model} {end} (down {change})" if change < 0 else "{model} {end} (unchanged)")


def _counted(valid: Array | None) -> str:
    return "" if valid is None else say("{some} of {n} valid.", some=int(valid.sum()), n=len(valid))


def sentences(where: str, told: Sequence[str]) -> str:
    """Whose picture it is, then what to see in it."""
    return say(" ").join([say("{where}.", where=where), *(t for t in told if t)])

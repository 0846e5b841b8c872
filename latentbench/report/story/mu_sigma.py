"""Why mu and sigma? The guided story of the study ``why-mu-sigma``: its eight claims with pictures of the very models they
are about, at their own latent size, and the answer that the verdicts come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from latentbench.report.columns import Column
from latentbench.report.folder import Absent, RunFolder
from latentbench.report.story import diagram, pictures
from latentbench.report.story.evidence import STANDINGS, heading, value_of
from latentbench.report.story.mu_sigma_claims import (
    AE,
    DEEP,
    FREE,
    LADDER,
    LINEAR,
    MEANS,
    ONE,
    SWEEP,
    VAE,
    VARIANCES,
    claims,
)
from latentbench.report.story.nouns import Figure, Rung, Story, StoryClaim
from latentbench.report.story.run_view import RunView
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats import linear_vae
from latentbench.stats.findings.evidence import Support

TITLE = marked("Why does a VAE need mu and sigma?")
NOISE = 0.25
"""beta s² of the linear VAE: beta = 1 and s = .5."""
ROUNDS = 6
"""Images in the small picture of a claim."""


def tell(run: RunFolder, columns: Sequence[Column]) -> Story:
    """The story of one run of the study."""
    t = RunView(run, columns, (VAE, AE))
    made = claims(t.m, t.size, list(t.columns))
    eigenvalues = _spectrum(t)
    shown = [_shown(t, c, eigenvalues) for c in made]
    data = say("{data} at d = {d}", data=run.dataset, d=t.size) if t.size else run.dataset
    lead = [
        say(
            "An autoencoder squeezes an image into a point of d numbers, its code, and rebuilds the image from it. A variational "
            "autoencoder (VAE) encodes each image to a distribution with a mean mu and a width sigma in every dimension, and "
            "regularises both. It is said to make the space of codes regular: close points decode to similar images, and "
            "points one is likely to draw decode to something meaningful. Is it so, and are both needed?"
        ),
        say(
            "On {data}, with one change at a time. Supported: every number beneath a claim lies on the claimed side "
            "with its whole 95 % interval over seeds; not supported: one lies wholly on the other side; undecided: in between "
            "(all claims together, adjusted by Holm, at 5 %).",
            data=data,
        ),
    ]
    flat, _ = _drawn([(t.plane, model) for model in _flat(t)])
    return Story(
        say(TITLE), heading([c.verdict for c in shown]), lead, [say(text) for text in HEADERS], _ladder(t), shown, diagram.loss(), _closing(shown, data), flat,
        say("The same ladder at d = 2, where the whole space can be drawn; no verdict rests on it"),
    )  # fmt: skip


HEADERS = marked((
    "model", "what it adds", "R²", "valid N(0, I)", "hole", "KL, mean half", "KL, variance half", "sigma / spread",
))  # fmt: skip
ADDS = marked({
    AE: "points; only the reconstruction error is trained",
    FREE: "distributions N(mu, sigma²), decoded from a draw; mu and sigma are free",
    MEANS: "the means are pulled towards 0, by mu²/2; sigma is free",
    VARIANCES: "the widths are pulled towards 1, by (sigma² − 1 − ln sigma²)/2; mu is free",
    VAE: "both halves: the whole KL divergence from the prior N(0, I)",
})  # fmt: skip


def _ladder(t: RunView) -> list[Rung]:
    metrics = ("r2", "validity.normal", "hole", "kl.mean_part", "kl.variance_part", "punctual_index")
    out = []
    for model in LADDER:
        if model in t.columns:
            cells = [value_of(c) if (c := t.m.cell(model, metric)) else "–" for metric in metrics]
            out.append(Rung(t.columns[model], say(ADDS[model]), cells))
    return out


Drawn = Sequence[tuple[Callable[..., Figure], *tuple[object, ...]]]
"""Functions that give a picture, or raise Absent, each with what it is given."""


def _drawn(wanted: Drawn) -> tuple[list[Figure], list[str]]:
    """The pictures that could be drawn, and the sentences why others could not."""
    shown, missing = [], []
    for make, *given in wanted:
        try:
            shown.append(make(*given))
        except Absent as reason:
            missing.append(str(reason))
        except (IndexError, ValueError, TypeError) as error:
            missing.append(say("Not drawn: the arrays do not fit together ({error}).", error=error))
    return shown, list(dict.fromkeys(missing))


def _shown(t: RunView, c: StoryClaim, eigenvalues: Sequence[float]) -> StoryClaim:
    """A claim with its pictures, the small one first; every one is of models that the claim is about."""
    curve = say("variance half of the KL, nats") if c.key == "c" else say("mean half of the KL, nats")
    small: Mapping[str, Drawn] = {
        "a": [(t.rebuilt, (ONE,), ROUNDS)],
        "b": [(t.rows, (AE,), 0, ROUNDS)],
        "c": [(t.spark, "kl.variance_part", (FREE, VAE))],
        "d": [(t.spark, "kl.mean_part", (VARIANCES, VAE))],
        "e": [(t.rows, (VAE,), 0, ROUNDS)],
        "f": [(t.walk, VAE, 1, False, ROUNDS)],
        "g": [(_falling, t)],
        "h": [(t.rows, (VAE, AE), ROUNDS, ROUNDS)],
    }
    large: Mapping[str, Drawn] = {
        "a": [(t.rebuilt, (ONE, DEEP, AE))],
        "b": [(t.ranked, AE), (t.sheet, AE, "mixture"), (t.cut, AE)],
        "c": [(t.curves, "kl.variance_part", (FREE, VAE), curve), (t.cut, FREE)],
        "d": [(t.curves, "kl.mean_part", (VARIANCES, MEANS, VAE), curve), (t.cut, VARIANCES), (t.cut, MEANS)],
        "e": [(t.rows, LADDER), (t.ranked, VAE), (t.cut, VAE)],
        "f": [(t.walk, VAE), (t.walk, AE)],
        "g": [*((_sweep, t, metric, title) for metric, title in (
            ("r2", "R²"), ("validity.normal", say("valid share of N(0, I)")), ("active_units", say("dimensions in use")),
        )), (_beside, t, eigenvalues)],
        "h": [(t.rows, (VAE, AE), 2 * ROUNDS)],
    }  # fmt: skip
    shown, missing = _drawn(large[c.key])
    thumb, _ = _drawn(small[c.key])
    meaning = [*c.meaning, *_algebra(t, eigenvalues)] if c.key == "g" else c.meaning
    wide = "quarters" if c.key == "g" else "with-planes" if any(f.is_plane for f in shown) else "halves"
    return c._replace(pictures=shown, missing=missing, meaning=meaning, columns=wide, thumb=thumb[0] if thumb else None)


def _flat(t: RunView) -> list[str]:
    """The rungs at two dimensions that were run."""
    return [at for model in LADDER if (at := f"{model}:latent_dim=2") in t.columns]


def _algebra(t: RunView, eigenvalues: Sequence[float]) -> list[str]:
    """What the linear VAE must come to on these images, beside what it came to."""
    if not eigenvalues:
        return []
    cell = t.m.cell(LINEAR, "kl")
    return [
        say(
            "The algebra: the linear VAE with decoder variance s² keeps exactly the principal components whose variance "
            "exceeds beta s²; for these images and beta s² = .25 that is {share} of {d}, with a KL of {total} nats in all. "
            "Trained: {trained} nats on held-out images.",
            share=linear_vae.active(eigenvalues, t.size or 8, NOISE),
            d=t.size,
            total=words.number(sum(linear_vae.kl(eigenvalues, t.size or 8, NOISE))),
            trained=value_of(cell) if cell else say("(not run)"),
        )
    ]


def _steps(t: RunView, metric: str) -> list[pictures.SweepPoint]:
    return [
        pictures.SweepPoint(beta, cell.interval if (cell := t.m.cell(model, metric)) else None, t.number(model))
        for model, beta in SWEEP
        if model in t.columns
    ]


def _sweep(t: RunView, metric: str, title: str) -> Figure:
    steps, reference = _steps(t, metric), t.m.mean(AE, metric)
    label = say("{what} over beta", what=title)
    drawn = pictures.sweep(steps, title, "beta", label, None if reference is None else (AE, reference))
    if not drawn:
        raise Absent(say("Not drawn: no value of {metric} over beta.", metric=metric))
    told = [
        say("{value} at beta = {beta}", value=words.tidy(s.score.mean), beta=words.tidy(s.at)) for s in steps if s.score
    ]
    text = marked("{what} of vae, d = {d}, {n} seeds: {told}.")
    if reference is not None:
        text = marked("{what} of vae, d = {d}, {n} seeds: {told}; dashed: {ae}, {reference}.")
    n = max((s.score.n for s in steps if s.score), default=0)
    see = say(text, what=title, d=t.size, n=n, told=words.commas(told), ae=AE, reference=words.tidy(reference))
    models = [model for model, _ in SWEEP if model in t.columns]
    return Figure(drawn, see, (*models, *([AE] if reference is not None else [])))


def _falling(t: RunView) -> Figure:
    scores = [s.score.mean for s in _steps(t, "r2") if s.score]
    drawn = pictures.spark([(t.number(VAE), scores)], say("{what} over beta", what="R²"), log=False)
    if not drawn:
        raise Absent(say("Not drawn: no value of {metric} over beta.", metric="r2"))
    return Figure(drawn, say("{what} over beta", what="R²"), [model for model, _ in SWEEP if model in t.columns])


def _beside(t: RunView, eigenvalues: Sequence[float]) -> Figure:
    cell = t.m.cell(LINEAR, "kl")
    detail = next(iter(cell.details.values()), {}) if cell else {}
    if not eigenvalues or "per_dimension" not in detail:
        raise Absent(say("Not drawn: no linear VAE was measured in this run."))
    trained = sorted((float(v) for v in detail["per_dimension"]), reverse=True)
    known = linear_vae.kl(eigenvalues, len(trained), NOISE)
    drawn = pictures.bars_beside({"closed form": known, "trained": trained}, say("KL, nats"), t.number(LINEAR),
                                 say("KL of each dimension: closed form and trained linear VAE"))  # fmt: skip
    see = say(
        "{model}, d = {d}, seed {seed}. Outlined: the closed form, {known} nats in all; filled: what training came to, {trained}.",
        model=LINEAR,
        d=len(trained),
        seed=next(iter(cell.details)) if cell else "",
        known=words.number(sum(known)),
        trained=words.number(sum(trained)),
    )
    return Figure(drawn, see, (LINEAR,))


def _spectrum(t: RunView) -> list[float]:
    try:
        return [float(v) for v in t.run.artifact("data").need("eigenvalues")]
    except Absent:
        return []


STANDS = marked({
    "supported": "Supported: {claims}.",
    "not supported": "Not supported: {claims}.",
    "undecided": "Undecided: {claims}.",
})  # fmt: skip


def _closing(shown: Sequence[StoryClaim], data: str) -> list[str]:
    """The answer to the question, as far as the verdicts give one."""
    stand: dict[str, Support] = {c.key: c.verdict for c in shown}
    needed = [stand[k] for k in "cde"]
    if all(v == "supported" for v in needed):
        answer = say(
            "On {data}: because neither works alone. Without a KL sigma shrinks to nothing (c), with half of it the means fly "
            "apart or points are left (d), and both halves together give a space to walk in and to draw from (e).",
            data=data,
        )
    elif "not supported" in needed:
        against = words.listed([k for k in "cde" if stand[k] == "not supported"])
        answer = say(
            "On {data} this run speaks against the usual answer, that neither mu nor sigma works alone: {claims} not supported.",
            data=data,
            claims=against,
        )
    elif stand["c"] == stand["d"] == "supported":
        answer = say(
            "On {data}: neither works alone. Without a KL sigma shrinks to nothing (c), and with half of it the means fly apart "
            "or points are left (d). That both together suffice (e) is not decided by this run.",
            data=data,
        )
    else:
        open_ = words.listed([k for k in "cde" if stand[k] == "undecided"])
        answer = say("On {data} this run does not decide it: {claims} undecided.", data=data, claims=open_)
    lists = []
    for s in STANDINGS:
        if of := [f"{c.short} ({c.key})" for c in shown if c.verdict == s]:
            lists.append(say(STANDS[s], claims=words.clauses(of)))
    return [answer, say(" ").join(lists)]

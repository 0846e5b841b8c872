"""Which kind of autoencoder? The story of the study ``zoo``, in words and drawings; what is decided stands in
`latentbench.stats.findings.zoo` and `.evidence`.

Six claims of the literature are put to the run, each about kinds that it holds. What a claim means is said as what is to be
expected if it holds: whether it does, its parts say.
"""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.report.columns import Column
from latentbench.report.folder import Absent, RunFolder
from latentbench.report.story.evidence import Part, difference, heading, subtracted, value_of, verdict
from latentbench.report.story.nouns import Figure, Rung, Story, StoryClaim, made_together
from latentbench.report.story.run_view import RunView
from latentbench.report.story.trade_off_map import MapPoint, trade_off_map
from latentbench.report.wording import words
from latentbench.report.wording.intervals import between
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Cell
from latentbench.stats.findings import evidence
from latentbench.stats.findings.evidence import Measured
from latentbench.stats.findings.zoo import Placed, own_validity, trade_off

TITLE = marked("Which kind of autoencoder?")
CLOSE = 0.05
"""Valid share by which draws from a fitted density may fall short of a VAE's and still be as good."""

THUMB = 6
"""Draws in the small picture of a claim."""

KINDS = marked({
    "ae": "reconstruction error alone",
    "cae": "and a price on the slope of the encoder",
    "rae": "and a price on codes and decoder weights; no noise",
    "wae": "and the MMD of all codes together from N(0, I)",
    "aae": "and an adversary that tells codes from N(0, I)",
    "vae": "each posterior pulled to N(0, I)",
    "info": "less KL for each posterior, more for all together",
    "iwae": "a tighter bound, of several draws an image",
    "tcvae": "a heavier price on what dimensions share",
    "vamp": "the prior learned: a mixture of posteriors",
    "vmf": "codes on a sphere, the prior uniform on it",
    "vq": "codes from a learned list",
    "fsq": "codes rounded to a fixed grid",
})  # fmt: skip
"""Kind -> what its training asks for."""


def kind(model: str) -> str:
    """What kind a spec is of: its name, ``info`` for a VAE with that field."""
    return "info" if model.startswith("vae:") and "info=" in model else model.partition(":")[0]


def tell(run: RunFolder, columns: Sequence[Column]) -> Story:
    """The story of one run of the study."""
    view = RunView(run, columns, run.models)
    m, placed = view.m, trade_off(view.m, run.models)
    made = [_shown(view, claim) for claim in claims(m, run.models)]
    lead = [
        say(
            "All kinds on {data} with one encoder and decoder, d = {d}: what they differ in is what is asked of the codes. A "
            "space is complete if draws from the prior that a model was trained with decode to valid images.",
            data=run.dataset,
            d=view.size,
        )
    ]
    headers = [say("model"), say("what it asks for"), "R²", say("valid, own prior"), say("valid N(0, I)"), say("mixture"),
               say("tortuosity"), say("training")]  # fmt: skip
    stand = heading([c.verdict for c in made])
    ladder = [_rung(view, column) for model in run.models if (column := view.columns.get(model))]
    answer = _answer(placed, run.dataset)
    return Story(say(TITLE), stand, [*lead, answer], headers, ladder, made, closing=[answer], chart=_map(view, placed))


def claims(m: Measured, models: Sequence[str]) -> list[StoryClaim]:
    """The claims about kinds that were run, with their verdicts, from what was measured alone."""
    of: dict[str, str] = {}
    for model in models:
        of.setdefault(kind(model), model)
    makers = (_points, _together, _fitted, _own_prior, _bounds, _listed)
    return made_together([claim for make in makers if (claim := make(m, of)) is not None])


def _claim(
    key: str, title: str, short: str, meaning: str, parts: Sequence[Part], models: Sequence[str]
) -> StoryClaim | None:
    return StoryClaim(key, title, short, [meaning], parts, models, verdict(parts)) if parts else None


Models = dict[str, str]
"""Kind -> the first model of it in the run."""


def _points(m: Measured, of: Models) -> StoryClaim | None:
    if not {"ae", "vae"} <= of.keys():
        return None
    parts = [difference(m, "r2", of["ae"], of["vae"]), difference(m, "hole", of["ae"], of["vae"])]
    meaning = say(
        "An autoencoder is free to put its codes anywhere. It should reconstruct more than a VAE, and more of N(0, I) should lie "
        "far from every code."
    )
    title = say("Asking nothing of the codes reconstructs best and leaves the prior empty.")
    return _claim("a", title, say("free codes reconstruct, and leave holes"), meaning, parts, [of["ae"], of["vae"]])


def _together(m: Measured, of: Models) -> StoryClaim | None:
    if not {"ae", "vae"} <= of.keys():
        return None
    parts, about = [], [of["ae"], of["vae"]]
    for name in (k for k in ("wae", "aae") if k in of):
        parts += [difference(m, "r2", of[name], of["vae"]), _own(m, of[name], of["ae"])]
        about.append(of[name])
    meaning = say(
        "WAE and AAE ask that all codes together look like N(0, I), not each posterior. That should cost less reconstruction "
        "than a VAE pays, and still give more valid draws than an autoencoder."
    )
    title = say("Matching all codes together to the prior costs less than matching each posterior.")
    return _claim("b", title, say("matching the codes as a whole costs less"), meaning, parts, about)


def _fitted(m: Measured, of: Models) -> StoryClaim | None:
    if not {"rae", "vae"} <= of.keys():
        return None
    rae, vae = of["rae"], of["vae"]
    mixture, normal = m.cell(rae, "validity.mixture"), m.cell(rae, "validity.normal")
    says = say("valid draws of {model}, a mixture fitted afterwards minus N(0, I)", model=rae)
    parts = [
        subtracted(says, "validity.mixture", m, evidence.difference(mixture, normal), (mixture, normal), (rae,)),
        _as_good(m, rae, vae),
    ]
    meaning = say(
        "RAE drops the noise, prices codes and decoder, and fits a density to the codes after training. Draws from that should "
        "be valid about as often as a VAE's from its prior."
    )
    title = say("A density fitted after training draws as well as a VAE.")
    return _claim("c", title, say("a fitted density draws as well"), meaning, parts, [rae, vae])


def _as_good(m: Measured, rae: str, vae: str) -> Part:
    """Draws of the fitted mixture are valid no less often than the VAE's, but for `CLOSE`."""
    other, mixture = own_validity(m, vae), m.cell(rae, "validity.mixture")
    text = marked("valid draws, {vae} from its prior minus {rae} from its mixture, below {most}")
    says = say(text, vae=vae, rae=rae, most=words.tidy(CLOSE))
    found = evidence.limit(other, mixture, CLOSE)
    if found is None:
        return subtracted(says, "validity.mixture", m, None, (other, mixture), (rae, vae))
    return Part(says, between(found.interval), found.holds, "validity.mixture", found.p)


def _own_prior(m: Measured, of: Models) -> StoryClaim | None:
    if not {"vamp", "vae"} <= of.keys():
        return None
    meaning = say(
        "A VampPrior is a mixture of the posteriors of learned images. Draws from it should lie where codes are, and be valid "
        "more often than a VAE's from N(0, I)."
    )
    title = say("A prior learned along draws better than N(0, I).")
    parts = [_own(m, of["vamp"], of["vae"])]
    return _claim("d", title, say("a learned prior draws better"), meaning, parts, [of["vamp"], of["vae"]])


def _bounds(m: Measured, of: Models) -> StoryClaim | None:
    if "vae" not in of:
        return None
    parts, about = [], [of["vae"]]
    if "iwae" in of:
        parts.append(difference(m, "nll.iw", of["vae"], of["iwae"]))
        about.append(of["iwae"])
    if "info" in of:
        parts.append(difference(m, "mutual_information", of["info"], of["vae"]))
        about.append(of["info"])
    meaning = say(
        "A tighter bound (IWAE) should explain held-out images better, that is, cost fewer nats; less KL for each posterior "
        "(InfoVAE) should leave more information about the image in its code."
    )
    title = say("Another bound than the VAE's explains more, or keeps more in the code.")
    return _claim("e", title, say("another bound keeps more"), meaning, parts, about)


def _listed(m: Measured, of: Models) -> StoryClaim | None:
    found = [of[k] for k in ("vq", "fsq") if k in of]
    if "ae" not in of:
        return None
    meaning = say(
        "A code from a finite list holds a few bits, real numbers hold many. At the same latent size discrete codes should "
        "reconstruct less."
    )
    title = say("Codes from a finite list reconstruct less than real numbers.")
    parts = [difference(m, "r2", of["ae"], model) for model in found]
    return _claim("f", title, say("finite codes reconstruct less"), meaning, parts, [of["ae"], *found])


def _own(m: Measured, more: str, less: str) -> Part:
    """``more`` draws valid images from its own prior more often than ``less`` from its own."""
    a, b = own_validity(m, more), own_validity(m, less)
    says = say("valid draws, each from its own prior, {more} minus {less}", more=more, less=less)
    metric = a.metric if a else "validity.normal"
    return subtracted(says, metric, m, evidence.difference(a, b), (a, b), (more, less))


def _rung(view: RunView, column: Column) -> Rung:
    def shown(cell: Cell | None) -> str:
        return value_of(cell) if cell else "–"

    m, model = view.m, column.model
    seconds = m.mean(model, "train.seconds")
    cells = [
        shown(m.cell(model, "r2")), shown(own_validity(m, model)),
        *(shown(m.cell(model, k)) for k in ("validity.normal", "validity.mixture", "path.tortuosity")),
        "–" if seconds is None else f"{words.number(seconds)}{words.THIN}s",
    ]  # fmt: skip
    asks = KINDS.get(kind(model))
    return Rung(column, say(asks) if asks else "–", cells)


def _shown(view: RunView, claim: StoryClaim) -> StoryClaim:
    """A claim with draws of the models that it is about."""
    try:
        small, large = view.rows(claim.models[-1:], 0, THUMB, own=True), view.rows(claim.models, own=True)
        return claim._replace(pictures=[large], columns="halves", thumb=small)
    except Absent as reason:
        return claim._replace(missing=[str(reason)])
    except (IndexError, ValueError, TypeError) as error:
        return claim._replace(missing=[say("Not drawn: the arrays do not fit together ({error}).", error=error)])


def _map(view: RunView, placed: Sequence[Placed]) -> Figure | None:
    fallen = [p.model for p in placed if (column := view.columns.get(p.model)) and column.collapse]
    points = [
        MapPoint(view.number(p.model), p.model, x, y, p.standing == "front")
        for p in placed
        if p.model not in fallen and (x := p.reconstruction.interval) and (y := p.completeness.interval)
    ]
    label = say("Reconstruction against draws from the own prior, {n} models", n=len(points))
    drawn = trade_off_map(points, "R²", say("valid draws from the own prior"), label)
    if not drawn:
        return None
    seeds = max((p.x.n for p in points), default=0)
    text = marked(
        "Better is up and to the right. Crosses: 95 % intervals over {n} seeds. Ringed: on the Pareto front, told from every "
        "other model in one of the two (all models together, adjusted by Holm, at 5 %)."
        if any(p.ringed for p in points)
        else "Better is up and to the right. Crosses: 95 % intervals over {n} seeds. None is ringed: of no model do {n} seeds "
        "tell that it is on the Pareto front (all models together, adjusted by Holm, at 5 %)."
    )
    told = [
        say(text, n=seeds),
        *([say("Collapsed, and off the map: {models}.", models=words.commas(fallen))] if fallen else []),
    ]
    return Figure(drawn, say(" ").join(told), [p.name for p in points])


STANDINGS = marked({
    "front": "On the Pareto front: {models}.",
    "behind": "Behind the front, another being better in both: {models}.",
    "open": "The seeds do not tell where these stand: {models}.",
})  # fmt: skip


def _answer(placed: Sequence[Placed], data: str) -> str:
    """How the kinds stand to the front, as far as the seeds tell."""
    if not placed:
        return say(
            "On {data} no model has both R² and a share of valid draws: there is no trade-off to tell of.", data=data
        )
    told = [say("Reconstruction (R²) against draws from the own prior, on {data}.", data=data)]
    if all(p.standing == "open" for p in placed):
        return say(" ").join([*told, say("The seeds tell of no kind whether it is on the Pareto front.")])
    for standing, text in STANDINGS.items():
        if models := [p.model for p in placed if p.standing == standing]:
            told.append(say(text, models=words.commas(models)))
    return say(" ").join(told)

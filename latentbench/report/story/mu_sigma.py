"""Why mu and sigma? The guided story of the study ``why-mu-sigma``: eight claims, each with its measure, its interval,
its verdict and a picture.

The ladder holds five models, one change a rung: an autoencoder (points); distributions with nothing to regularise them
(beta = 0); only the means pulled to 0; only the variances pulled to 1; both, the VAE. Beside it stand VAEs of rising
beta, the rungs at two dimensions (where the whole latent space can be drawn), autoencoders of one dimension, and linear
models, whose optimum is known in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.report.columns import Column
from latentbench.report.drawing import sheets
from latentbench.report.folder import Absent, Array, RunFolder
from latentbench.report.story import closed_forms, pictures
from latentbench.report.story.evidence import (
    COUNTED,
    STANDINGS,
    Part,
    difference,
    gap,
    level,
    multiple,
    subtracted,
    value_of,
    verdict,
)
from latentbench.report.story.nouns import Figure, Rung, Story, StoryClaim, made_together
from latentbench.report.story.run_view import RunView, captioned
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings import evidence
from latentbench.stats.findings.diagnosis import PUNCTUAL

AE, FREE, MEANS, VARIANCES, VAE = "ae", "vae:beta=0", "vae:kl=mean", "vae:kl=variance", "vae"
LADDER = (AE, FREE, MEANS, VARIANCES, VAE)
SWEEP = (("vae:beta=0.1", 0.1), (VAE, 1.0), ("vae:beta=3", 3.0), ("vae:beta=10", 10.0))
ONE, DEEP = "ae:latent_dim=1", "ae:latent_dim=1:depth=4"
LINEAR = "vae:depth=0:sigma=0.5"
COPIES = 0.6
"""Memorisation below this is no copying: .5 is what fresh real images show."""


def tell(run: RunFolder, columns: Sequence[Column]) -> Story:
    """The story of one run of the study."""
    t = RunView(run, columns, (VAE, AE))
    claims = made_together(
        [make(t) for make in (_few, _irregular, _free, _halves, _both, _halfway, _price, _generated)]
    )
    data = say("{data} at d = {d}", data=run.dataset, d=t.size) if t.size else run.dataset
    counted = {s: sum(c.verdict == s for c in claims) for s in STANDINGS}
    counts = words.listed([say(COUNTED[s], n=n) for s, n in counted.items() if n])
    lead = [
        say(
            "An autoencoder squeezes an image into a few numbers, its code, and rebuilds the image from them. A code is a point "
            "in latent space, of d dimensions. One would like that space to be regular: points that lie close together should "
            "decode to similar images (continuity), and any point one is likely to pick should decode to something meaningful "
            "(completeness). A variational autoencoder (VAE) is said to give that by encoding each image not to a point but to "
            "a distribution with a mean mu and a width sigma in every dimension, and by regularising both. Is it so, and are "
            "both needed?"
        ),
        say(
            "Below, one thing changes at a time, and each claim is put to the test on {data}: {told}. A verdict rests on the "
            "95 % interval over seeds (trainings that differ in their random start only): supported where every number beneath "
            "it lies on the claimed side with its whole interval, not supported where one lies wholly on the other side, "
            "undecided in between; all claims are made together (adjusted by Holm, at 5 %).",
            data=data,
            told=counts,
        ),
    ]
    title = say("Why does a VAE need mu and sigma?")
    return Story(title, lead, [say(text) for text in HEADERS], _ladder(t), claims)


HEADERS = marked((
    "model", "what it adds", "R²", "valid N(0, I)", "hole", "KL, mean half", "KL, variance half", "sigma / spread",
))  # fmt: skip
ADDS = marked({
    AE: "every image is a point; only the reconstruction error is trained",
    FREE: "every image is a distribution N(mu, sigma²), decoded from a draw of it; nothing says where mu or how wide sigma "
    "should be",
    MEANS: "the means are pulled towards 0, by mu²/2; sigma is free",
    VARIANCES: "the widths are pulled towards 1, by (sigma² − 1 − ln sigma²)/2; mu is free",
    VAE: "both halves together: the whole KL divergence from the prior N(0, I)",
})  # fmt: skip


def _ladder(t: RunView) -> list[Rung]:
    metrics = ("r2", "validity.normal", "hole", "kl.mean_part", "kl.variance_part", "punctual_index")
    out = []
    for model in LADDER:
        if model in t.columns:
            cells = [value_of(c) if (c := t.m.cell(model, metric)) else "–" for metric in metrics]
            out.append(Rung(t.columns[model], say(ADDS[model]), cells))
    return out


def _claim(
    key: str, title: str, meaning: Sequence[str], parts: Sequence[Part], drawn: Sequence[tuple[object, ...]]
) -> StoryClaim:
    """A claim with the pictures that could be drawn; ``drawn`` holds (method of RunView or function, arguments...)."""
    shown, missing = [], []
    for make, *given in drawn:
        try:
            shown.append(make(*given))  # type: ignore[operator]
        except Absent as reason:
            missing.append(str(reason))
    return StoryClaim(key, title, meaning, parts, verdict(parts), shown, missing)


def _few(t: RunView) -> StoryClaim:
    pca = t.m.reference("baseline:pca", "r2", 1)
    parts = [
        difference(t.m, "r2", DEEP, ONE, "train"),
        level(t.m, "r2", DEEP, low=pca if pca is not None else 0.0, split="train"),
        gap(t.m, "r2", DEEP),
        difference(t.m, "path.tortuosity", DEEP, AE),
    ]
    meaning = [
        say(
            "How many numbers does an image need? R² is the share of the images' variance that comes back (1: all of it; 0: no "
            "better than the mean image). PCA is the best a linear model can do. A decoder with more layers has more capacity: "
            "it can bend a line so that it passes near many images, and one number then says where on the line an image lies."
        ),
        say(
            "The cost: the bend is learned for the training images, so held-out ones come back worse, and walking along the "
            "line passes through many unlike images on the way from one to the next (tortuosity: length of the decoded path "
            "over the straight distance of its ends)."
        ),
    ]
    see = say(
        "Held-out images (top) and what comes back through one, two and more dimensions: few numbers suffice, but the fewer, the more alike the wrong image."
    )
    return _claim("a", say("With enough capacity, one dimension reconstructs much, at the price of what lies between."), meaning,
                  parts, [(_rebuilt, t, see)])  # fmt: skip


def _rebuilt(t: RunView, see: str) -> Figure:
    rows: list[Array] = []
    names: list[str] = []
    for model in (ONE, DEEP, "ae:latent_dim=2", AE):
        if model in t.columns:
            artifact = t.run.artifact("reconstructions", model)
            if not rows:
                rows.append(artifact.need("x")[:10])
                names.append(say("original"))
            rows.append(artifact.need("x_hat")[:10])
            names.append(model)
    if not rows:
        raise Absent(say("Not drawn: no autoencoder of one or two dimensions was run."))
    import numpy as np

    stacked = np.concatenate(rows)
    label = say("Rows from the top: {names}", names=words.listed(names))
    return Figure(sheets.sheet(stacked, None, label, columns=10), captioned(label, see))


def _irregular(t: RunView) -> StoryClaim:
    real = t.m.reference("ceiling:real", "validity.normal", t.size) or 1.0
    parts = [
        level(t.m, "validity.normal", AE, high=real / 2),
        difference(t.m, "validity.normal", VAE, AE),
        difference(t.m, "hole", AE, VAE),
        multiple_sampler(t, AE),
    ]
    meaning = [
        say(
            "To make new images one draws a point at random and decodes it. The usual place to draw from is the prior, the "
            "standard normal distribution N(0, I). A draw is valid where a judge, a classifier trained on real images that may "
            "refuse an image, accepts what it decodes to; of real images the judge accepts {real}. A hole is a place with prior "
            "mass but no codes anywhere near.",
            real=words.percent(real),
        ),
        say(
            "Nothing in an autoencoder's training mentions the prior, so its codes lie where they lie. A sampler fitted to the "
            "codes (a mixture of ten Gaussians) asks only where codes do lie, and mends much of it: regular is not the same as "
            "usable."
        ),
    ]
    drawn = [
        (t.sheet, AE, "normal", say("Solid frames are valid, dashed ones refused: drawn from the prior, hardly anything is.")),
        (t.sheet, AE, "mixture", say("The same decoder, drawn from where its codes lie: most is valid.")),
        (t.plane, AE, say("Each place of the plane shows what it decodes to; hatched: holes; dots: codes of held-out images, "
         "coloured by class; dashed: the prior at one and two standard deviations. The codes lie where they lie, the prior's middle or not.")),
    ]  # fmt: skip
    return _claim(
        "b",
        say("An autoencoder's latent space is not regular: the prior falls into its holes."),
        meaning,
        parts,
        drawn,
    )


def multiple_sampler(t: RunView, model: str) -> Part:
    """The fitted mixture's valid share minus that of N(0, I), for one model."""
    a, b = t.m.cell(model, "validity.mixture"), t.m.cell(model, "validity.normal")
    says = say("valid draws of {model} from a mixture fitted to its codes minus from N(0, I)", model=model)
    difference = evidence.difference(a, b)
    if difference is None:
        return Part(says, say("not measured"), 0, "validity.mixture")
    return subtracted(says, "validity.mixture", t.m, difference, (a, b), (model,))


def _free(t: RunView) -> StoryClaim:
    parts = [level(t.m, "punctual_index", FREE, high=PUNCTUAL), difference(t.m, "hole", FREE, VAE)]
    meaning = [
        say(
            "Let every image be a distribution N(mu, sigma²) and decode a random draw of it: neighbours of mu then decode to "
            "the image too. But if the reconstruction error is all that is trained, noise in the code only hurts, and sigma "
            "shrinks to nothing. The posterior (the distribution the encoder answers with) is then punctual: a point again. "
            "The number to watch is sigma over the spread of the means: 0 is a point; below .02 is called punctual here."
        ),
        say(
            "The algebra, for a linear decoder with columns of length w: a draw adds sigma² w² / (2 s²) to the loss, s the "
            "decoder's noise; that is smallest at sigma = 0, and nothing speaks against it. The linear model of this study, "
            "trained without KL, came to sigma / spread = {index}.",
            index=_said(t, LINEAR + ":beta=0", "punctual_index"),
        ),
    ]
    drawn = [
        (t.curves, "kl.variance_part", (FREE, MEANS, VAE), say("variance half of the KL, nats"),
         say("What sigma would have to pay for its narrowness, were it asked to: without that half in the loss it rises without end while training goes on, as sigma shrinks; the VAE levels off.")),
        (t.plane, FREE, say("No ellipses to be seen: the posteriors have shrunk to dots.")),
    ]  # fmt: skip
    return _claim(
        "c",
        say("Encoding to distributions alone is not enough: left alone, sigma shrinks to nothing."),
        meaning,
        parts,
        drawn,
    )


def _halves(t: RunView) -> StoryClaim:
    parts = [multiple(t.m, "kl.mean_part", VARIANCES, 10, VAE), _fifth(t)]
    meaning = [
        say(
            "The KL divergence, the VAE's regulariser, measures how far a posterior is from the prior. For a Gaussian it is the "
            "sum of two halves: mu²/2, which only the mean pays, and (sigma² − 1 − ln sigma²)/2, which only the width pays. "
            "Take away one of them."
        ),
        say(
            "Variances only: sigma must stay near 1, so to tell images apart the means fly apart instead, until even clouds of "
            "width 1 no longer touch; the prior's mass lies between them. Means only: the codes stay near 0, and sigma shrinks "
            "to points, as if it were free."
        ),
        say(
            "The algebra: scale the codes by c and the decoder by 1/c, and the error stays while the noise counts c times less; "
            "only mu²/2 speaks against c → ∞. Trained linear models: with the variance half alone the codes reach a variance "
            "of {variance} (N(0, I): 1), with the mean half alone sigma / spread is {index}.",
            variance=_said(t, LINEAR + ":kl=variance", "variance_law"),
            index=_said(t, LINEAR + ":kl=mean", "punctual_index"),
        ),
    ]
    drawn = [
        (t.curves, "kl.mean_part", (VARIANCES, FREE, MEANS, VAE), say("mean half of the KL, nats"),
         say("How far out the means lie: with only the variances regularised they fly apart while training goes on; the VAE holds them.")),
        (t.plane, VARIANCES, say("Each cloud is as wide as the prior (compare the dashed circles), but the means have flown so far apart that the prior is a small spot in their midst.")),
        (t.plane, MEANS, say("Codes crowd near 0, as dots: no cloud is left around any of them.")),
    ]  # fmt: skip
    return _claim(
        "d",
        say("Regularising the variances alone lets the means fly apart; the means alone leaves points."),
        meaning,
        parts,
        drawn,
    )


def _fifth(t: RunView) -> Part:
    part = multiple(t.m, "punctual_index", VAE, 5, MEANS)
    text = marked("sigma over the spread of the means: that of {means} at most a fifth of that of {vae}")
    part = part._replace(says=say(text, means=MEANS, vae=VAE))
    own, whole = t.m.cell(MEANS, "punctual_index"), t.m.cell(VAE, "punctual_index")
    if not (own and whole and own.values.keys() & whole.values.keys()):
        return part
    return part._replace(number=say("{first} against {other}", first=value_of(own), other=value_of(whole)))


def _both(t: RunView) -> StoryClaim:
    others = [m for m in (AE, FREE, MEANS, VARIANCES) if m in t.columns]
    parts = [difference(t.m, "validity.normal", VAE, m) for m in others]
    parts += [difference(t.m, "hole", m, VAE) for m in others]
    parts += [level(t.m, "variance_law", VAE, 0.8, 1.2), level(t.m, "path.validity_gain", VAE, low=0.0)]
    meaning = [
        say(
            "With both halves the posteriors are clouds of a width that matters, close enough to overlap, and together they "
            "cover the prior. That is seen in three numbers: more draws from N(0, I) are valid, less of it is holes, and the "
            "codes have the prior's variance in every dimension in use (variance law: E sigma² + Var(mu) = 1 at an optimum)."
        ),
        say(
            "Continuity: the frames on a straight line between two codes are valid more often than those of the cross-fade of "
            "their decoded ends, a plain pixel blend that takes no step through the latent space."
        ),
    ]
    drawn = [
        (t.plane, VAE, say("Clouds that touch and fill the prior's circles; what the decoder draws changes gradually from place to place, and hardly a hole is left inside.")),
        (t.sheet, VAE, "normal", say("Drawn from N(0, I): compare with the autoencoder's sheet above.")),
    ]  # fmt: skip
    return _claim(
        "e", say("Both halves together give a latent space to walk in and to draw from."), meaning, parts, drawn
    )


def _halfway(t: RunView) -> StoryClaim:
    parts = [
        level(t.m, "midpoint.validity_gain", VAE, low=0.0),
        level(t.m, "midpoint.nonblend", VAE, low=0.05),
        difference(t.m, "midpoint.validity_gain", VAE, AE),
    ]
    meaning = [
        say(
            "What lies halfway between two codes? A cross-fade of the two decoded ends is in between them too, but only as a double "
            "exposure. The midpoint's gain is how much more often the judge accepts what the latent midpoint decodes to than "
            "the average of the two decoded ends; its distance from that average (in units of the distance of the ends) says "
            "that it is not a mere blend."
        ),
    ]
    return _claim("f", say("Halfway between two posteriors decodes to something in between, more than a cross-fade does."), meaning, parts,
                  [(_walk, t)])  # fmt: skip


def _walk(t: RunView) -> Figure:
    import numpy as np

    strips = t.run.artifact("strips", VAE)
    frames, fade = strips.need("frames"), strips.need("fade")
    every = np.linspace(0, frames.shape[1] - 1, 9).round().astype(int)
    pairs = min(2, len(frames))
    rows = [x[p][every] for p in range(pairs) for x in (frames, fade)]
    valid = None
    if "frame_valid" in strips and "fade_valid" in strips:
        valid = np.concatenate(
            [strips.arrays[k][p][every] for p in range(pairs) for k in ("frame_valid", "fade_valid")]
        )
    text = marked(
        "{model}: two walks between the codes of two held-out images, each above the cross-fade of its decoded ends"
    )
    label = say(text, model=VAE)
    see = say("The walk changes shape, the cross-fade only mixes ink; dashed frames were refused by the judge.")
    return Figure(sheets.sheet(np.concatenate(rows), valid, label, columns=9), captioned(label, see))


def _price(t: RunView) -> StoryClaim:
    eigenvalues = _spectrum(t)
    parts = [
        difference(t.m, "r2", AE, VAE),
        difference(t.m, "r2", VAE, "vae:beta=3"),
        level(t.m, "active_units", "vae:beta=10", high=0.5),
    ]
    meaning = [
        say(
            "Nothing is free: what the KL holds together cannot all be used to tell images apart. beta weighs the KL against "
            "the error. The larger beta, the more room every image is given and the less is said of it; beyond a point the "
            "cheapest code is none at all, and every dimension collapses: its posterior is the prior, whatever the image."
        ),
    ]
    if eigenvalues:
        share = closed_forms.active(eigenvalues, t.size or 8, 0.25)
        total = sum(closed_forms.kl(eigenvalues, t.size or 8, 0.25))
        meaning.append(
            say(
                "The algebra: the linear VAE with decoder variance s² keeps exactly the principal components whose variance "
                "exceeds beta s²; for these images and beta s² = .25 that is {share} of {d}, with a KL of {total} nats in all. "
                "Trained: {trained} nats on held-out images.",
                share=share,
                d=t.size,
                total=words.number(total),
                trained=_said(t, LINEAR, "kl"),
            )
        )
    drawn = [(_sweep, t, metric, title, see) for metric, title, see in (
        ("r2", "R²", say("Reconstruction over beta (logarithmic): it falls as beta grows, and breaks off where the model collapses.")),
        ("validity.normal", say("valid share of N(0, I)"), say("Draws from the prior gain from beta, up to a point.")),
        ("active_units", say("dimensions in use"), say("At the largest beta none is left: total collapse.")),
    )]  # fmt: skip
    return _claim(
        "g",
        say("The price: reconstruction, and with too large a beta, collapse."),
        meaning,
        parts,
        [*drawn, (_beside, t, eigenvalues)],
    )


def _sweep(t: RunView, metric: str, title: str, see: str) -> Figure:
    steps = [
        pictures.SweepPoint(
            beta, cell.interval if (cell := t.m.cells.get((model, metric, "test"))) else None, t.number(model)
        )
        for model, beta in SWEEP
        if model in t.columns
    ]
    reference = t.m.mean(AE, metric)
    label = say("{what} over beta", what=title)
    drawn = pictures.sweep(steps, title, "beta", label, None if reference is None else (AE, reference))
    if not drawn:
        raise Absent(say("Not drawn: no value of {metric} over beta.", metric=metric))
    return Figure(drawn, see)


def _beside(t: RunView, eigenvalues: Sequence[float]) -> Figure:
    cell = t.m.cell(LINEAR, "kl")
    detail = next(iter(cell.details.values()), {}) if cell else {}
    if not eigenvalues or "per_dimension" not in detail:
        raise Absent(say("Not drawn: no linear VAE was measured in this run."))
    trained = sorted((float(v) for v in detail["per_dimension"]), reverse=True)
    known = closed_forms.kl(eigenvalues, len(trained), 0.25)
    drawn = pictures.bars_beside({"closed form": known, "trained": trained}, say("KL, nats"), t.number(LINEAR),
                                 say("KL of each dimension: closed form and trained linear VAE"))  # fmt: skip
    see = say("Outlined: what the algebra says each dimension pays; filled: what training came to.")
    return Figure(drawn, captioned(LINEAR, see))


def _spectrum(t: RunView) -> list[float]:
    try:
        return [float(v) for v in t.run.artifact("data").need("eigenvalues")]
    except Absent:
        return []


def _generated(t: RunView) -> StoryClaim:
    real = {k: t.m.reference("ceiling:real", k, t.size) for k in ("judge_frechet", "coverage")}
    parts = [
        level(t.m, "judge_frechet", VAE, low=real["judge_frechet"] or 0.0),
        difference(t.m, "judge_frechet", AE, VAE),
        level(t.m, "memorisation", VAE, high=COPIES),
    ]
    meaning = [
        say(
            "Are the draws distributed as real images are, and are they new? The Fréchet distance compares mean and covariance "
            "of the judge's features of both (0: the same; two sets of real images differ by "
            "{real} here). Memorisation is how often a generated image is closer to a training or "
            "validation image than to an equally large set of held-out images: one half where nothing was copied, 1 for copies.",
            real=words.number(real["judge_frechet"]),
        ),
    ]
    drawn = [
        (
            t.sheet,
            VAE,
            "normal",
            say("The better ones pass for real; some lie between two digits, and the judge refuses them."),
            40,
        )
    ]
    return _claim("h", say("What a VAE generates is nearer to real images than an autoencoder's draws, short of real, and not copied."),
                  meaning, parts, drawn)  # fmt: skip


def _said(t: RunView, model: str, metric: str) -> str:
    cell = t.m.cell(model, metric)
    return value_of(cell) if cell else say("(not run)")

"""The eight claims of the study ``why-mu-sigma``, from records alone: what each says, what it means, and the numbers that its
verdict rests on.

The ladder holds five models, one change a rung: an autoencoder (points); distributions with nothing to regularise them
(beta = 0); only the means pulled to 0; only the variances pulled to 1; both, the VAE. Beside it stand VAEs of rising
beta, the rungs at two dimensions, autoencoders of one dimension, and linear models, whose optimum is known in closed form.
What a claim means is said as what is to be expected if it holds: whether it does, its parts say.
"""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.report.story.evidence import Part, difference, gap, level, multiple, subtracted, value_of, verdict
from latentbench.report.story.nouns import StoryClaim, made_together
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings import evidence
from latentbench.stats.findings.diagnosis import PUNCTUAL
from latentbench.stats.findings.evidence import Measured

AE, FREE, MEANS, VARIANCES, VAE = "ae", "vae:beta=0", "vae:kl=mean", "vae:kl=variance", "vae"
LADDER = (AE, FREE, MEANS, VARIANCES, VAE)
SWEEP = (("vae:beta=0.1", 0.1), (VAE, 1.0), ("vae:beta=3", 3.0), ("vae:beta=10", 10.0))
ONE, DEEP = "ae:latent_dim=1", "ae:latent_dim=1:depth=4"
LINEAR = "vae:depth=0:sigma=0.5"
COPIES = 0.6
"""Memorisation below this is no copying: .5 is what fresh real images show."""


def claims(m: Measured, size: int | None, models: Sequence[str]) -> list[StoryClaim]:
    """The claims with their verdicts; ``size`` is the study's latent size, ``models`` what was run."""
    return made_together([
        _few(m), _irregular(m, size), _free(m), _halves(m), _both(m, models), _halfway(m), _price(m), _generated(m, size),
    ])  # fmt: skip


def _claim(
    key: str, title: str, short: str, meaning: Sequence[str], parts: Sequence[Part], models: Sequence[str]
) -> StoryClaim:
    return StoryClaim(key, title, short, meaning, parts, models, verdict(parts))


def _few(m: Measured) -> StoryClaim:
    pca = m.reference("baseline:pca", "r2", 1)
    parts = [
        difference(m, "r2", DEEP, ONE, "train"),
        level(m, "r2", DEEP, low=pca if pca is not None else 0.0, split="train"),
        gap(m, "r2", DEEP),
        difference(m, "path.tortuosity", DEEP, AE),
    ]
    meaning = [
        say(
            "R² is the share of the images' variance that comes back (1: all of it; 0: no better than the mean image); PCA is "
            "the best a linear model can do. A decoder with more layers can bend a line so that it passes near many images: "
            "one number then says where on the line an image lies. The price to expect: the bend is learned for the training "
            "images, so held-out ones come back worse, and a walk along the line passes many unlike images (tortuosity: length "
            "of the decoded path over the straight distance of its ends)."
        ),
    ]
    return _claim(
        "a",
        say("With enough capacity, one dimension reconstructs much, at the price of what lies between."),
        say("one dimension reconstructs much, at the price of what lies between"),
        meaning,
        parts,
        (ONE, DEEP, AE),
    )


def _irregular(m: Measured, size: int | None) -> StoryClaim:
    real = m.reference("ceiling:real", "validity.normal", size) or 1.0
    parts = [
        level(m, "validity.normal", AE, high=real / 2),
        difference(m, "validity.normal", VAE, AE),
        difference(m, "hole", AE, VAE),
        _by_mixture(m, AE),
    ]
    meaning = [
        say(
            "To make new images one draws a point from the prior N(0, I) and decodes it. A draw is valid where a judge, a "
            "classifier trained on real images that may refuse an image, accepts what it decodes to; of real images it accepts "
            "{real}. A hole is a place with prior mass but no codes near. Nothing in an autoencoder's training mentions the "
            "prior; a mixture of ten Gaussians fitted to its codes asks only where these lie.",
            real=words.percent(real),
        ),
    ]
    return _claim(
        "b",
        say("An autoencoder's latent space is not regular: the prior falls into its holes."),
        say("the prior falls into an autoencoder's holes"),
        meaning,
        parts,
        (AE, VAE),
    )


def _by_mixture(m: Measured, model: str) -> Part:
    """The fitted mixture's valid share minus that of N(0, I), for one model."""
    a, b = m.cell(model, "validity.mixture"), m.cell(model, "validity.normal")
    says = say("valid draws of {model} from a mixture fitted to its codes minus from N(0, I)", model=model)
    found = evidence.difference(a, b)
    if found is None:
        return Part(says, say("not measured"), 0, "validity.mixture")
    return subtracted(says, "validity.mixture", m, found, (a, b), (model,))


def _free(m: Measured) -> StoryClaim:
    parts = [level(m, "punctual_index", FREE, high=PUNCTUAL), difference(m, "hole", FREE, VAE)]
    meaning = [
        say(
            "Let every image be a distribution N(mu, sigma²) and decode a random draw of it. If the reconstruction error is all "
            "that is trained, noise in the code only hurts, and sigma should shrink to nothing: a point again. The number to "
            "watch is sigma over the spread of the means; below .02 a posterior is called punctual here."
        ),
        say(
            "The algebra, for a linear decoder with columns of length w: a draw adds sigma² w² / (2 s²) to the loss, s the "
            "decoder's noise; that is smallest at sigma = 0, and nothing speaks against it. The linear model of this study, "
            "trained without KL, came to sigma / spread = {index}.",
            index=_said(m, LINEAR + ":beta=0", "punctual_index"),
        ),
    ]
    return _claim(
        "c",
        say("Encoding to distributions alone is not enough: left alone, sigma shrinks to nothing."),
        say("without a KL, sigma shrinks to nothing"),
        meaning,
        parts,
        (FREE, VAE),
    )


def _halves(m: Measured) -> StoryClaim:
    parts = [multiple(m, "kl.mean_part", VARIANCES, 10, VAE), _fifth(m)]
    meaning = [
        say(
            "The KL is the sum of two halves: mu²/2, which only the mean pays, and (sigma² − 1 − ln sigma²)/2, which only the "
            "width pays. Variances only: sigma must stay near 1, so to tell images apart the means should fly apart until "
            "clouds of width 1 no longer touch. Means only: the codes stay near 0, and sigma should shrink as if it were free."
        ),
        say(
            "The algebra: scale the codes by c and the decoder by 1/c, and the error stays while the noise counts c times less; "
            "only mu²/2 speaks against c → ∞. Trained linear models: with the variance half alone the codes reach a variance "
            "of {variance} (N(0, I): 1), with the mean half alone sigma / spread is {index}.",
            variance=_said(m, LINEAR + ":kl=variance", "variance_law"),
            index=_said(m, LINEAR + ":kl=mean", "punctual_index"),
        ),
    ]
    return _claim(
        "d",
        say("Regularising the variances alone lets the means fly apart; the means alone leaves points."),
        say("with half of the KL the means fly apart or points are left"),
        meaning,
        parts,
        (VARIANCES, MEANS, VAE),
    )


def _fifth(m: Measured) -> Part:
    part = multiple(m, "punctual_index", VAE, 5, MEANS)
    text = marked("sigma over the spread of the means: that of {means} at most a fifth of that of {vae}")
    part = part._replace(says=say(text, means=MEANS, vae=VAE))
    own, whole = m.cell(MEANS, "punctual_index"), m.cell(VAE, "punctual_index")
    if not (own and whole and own.values.keys() & whole.values.keys()):
        return part
    return part._replace(number=say("{first} against {other}", first=value_of(own), other=value_of(whole)))


def _both(m: Measured, models: Sequence[str]) -> StoryClaim:
    others = [x for x in (AE, FREE, MEANS, VARIANCES) if x in models]
    parts = [difference(m, "validity.normal", VAE, x) for x in others]
    parts += [difference(m, "hole", x, VAE) for x in others]
    parts += [level(m, "variance_law", VAE, 0.8, 1.2), level(m, "path.validity_gain", VAE, low=0.0)]
    meaning = [
        say(
            "With both halves the posteriors should be clouds close enough to overlap that together cover the prior: more draws "
            "from N(0, I) are then valid, less of it is holes, and the codes have the prior's variance in every dimension in use "
            "(variance law: E sigma² + Var(mu) = 1 at an optimum). Continuity: the frames on a straight line between two codes "
            "should be valid more often than those of the cross-fade of their decoded ends."
        ),
    ]
    return _claim(
        "e",
        say("Both halves together give a latent space to walk in and to draw from."),
        say("both halves together give a space to walk in and to draw from"),
        meaning,
        parts,
        (*others, VAE),
    )


def _halfway(m: Measured) -> StoryClaim:
    parts = [
        level(m, "midpoint.validity_gain", VAE, low=0.0),
        level(m, "midpoint.nonblend", VAE, low=0.05),
        difference(m, "midpoint.validity_gain", VAE, AE),
    ]
    meaning = [
        say(
            "A cross-fade of two decoded ends is in between them too, but only as a double exposure. The midpoint's gain is how "
            "much more often the judge accepts what the latent midpoint decodes to than the average of the two decoded ends; "
            "its distance from that average (in units of the distance of the ends) says whether it is more than a blend."
        ),
    ]
    return _claim(
        "f",
        say("Halfway between two posteriors decodes to something in between, more than a cross-fade does."),
        say("halfway between two codes lies more than a cross-fade"),
        meaning,
        parts,
        (VAE, AE),
    )


def _price(m: Measured) -> StoryClaim:
    parts = [
        difference(m, "r2", AE, VAE),
        difference(m, "r2", VAE, "vae:beta=3"),
        level(m, "active_units", "vae:beta=10", high=0.5),
    ]
    meaning = [
        say(
            "beta weighs the KL against the error. The larger beta, the more room every image is given and the less should be "
            "said of it; beyond a point the cheapest code is none at all: a dimension collapses where its posterior is the "
            "prior, whatever the image."
        ),
    ]
    return _claim(
        "g",
        say("The price: reconstruction, and with too large a beta, collapse."),
        say("the price is reconstruction, and with too large a beta collapse"),
        meaning,
        parts,
        (AE, *(model for model, _ in SWEEP), LINEAR),
    )


def _generated(m: Measured, size: int | None) -> StoryClaim:
    real = m.reference("ceiling:real", "judge_frechet", size)
    parts = [
        level(m, "judge_frechet", VAE, low=real or 0.0),
        difference(m, "judge_frechet", AE, VAE),
        level(m, "memorisation", VAE, high=COPIES),
    ]
    meaning = [
        say(
            "Are the draws distributed as real images are, and are they new? The Fréchet distance compares mean and covariance "
            "of the judge's features of both (0: the same; two sets of real images differ by "
            "{real} here). Memorisation is how often a generated image is closer to a training or "
            "validation image than to an equally large set of held-out images: one half where nothing was copied, 1 for copies.",
            real=words.number(real),
        ),
    ]
    return _claim(
        "h",
        say(
            "What a VAE generates is nearer to real images than an autoencoder's draws, short of real, and not copied."
        ),
        say("a VAE's draws are nearer to real images than an autoencoder's, and not copied"),
        meaning,
        parts,
        (VAE, AE),
    )


def _said(m: Measured, model: str, metric: str) -> str:
    cell = m.cell(model, metric)
    return value_of(cell) if cell else say("(not run)")

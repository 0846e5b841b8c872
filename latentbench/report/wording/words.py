"""How the page speaks: numbers in one form throughout, and the families of measures with a sentence for each.

A measure's family stands in its definition, which the run record holds; one that names none, or one that is not known
here, is shown under "Other measures" from what its record declares, so a record of a metric no longer installed still
has its row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from latentbench.records import JOIN, Reason
from latentbench.report.wording.language import because, marked, recognised, say
from latentbench.report.wording.subject import subject

MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"


class FamilyText(NamedTuple):
    """A group of measures: the ``key`` that definitions name it by, its ``title``, and a sentence ``about`` it."""

    key: str
    title: str
    about: str


FAMILIES = (
    FamilyText(
        "continuity",
        marked("Decoded continuity"),
        marked(
            "Do two close latent points decode to similar, meaningful things? Measured on the straight line between the "
            "codes of two images. Pixel smoothness alone rewards blur, so the same is measured on "
            "cross-fades as controls: the two ends blended pixel by pixel, as the model decodes them, and as they really are."
        ),
    ),
    FamilyText(
        "completeness",
        marked("Prior completeness"),
        marked(
            "Does a point drawn from the prior decode to something meaningful? The prior is the distribution new latent "
            "points are drawn from. The judge is a classifier trained on real images that may refuse an image; an image "
            "it does not refuse is valid. Validity is read between the share of real images it accepts (ceiling) and the "
            "share of junk it accepts (floors)."
        ),
    ),
    FamilyText(
        "posterior",
        marked("Posterior: mu and sigma"),
        marked(
            "The posterior is where the encoder believes an image lies in latent space. An autoencoder answers with a "
            "point; a VAE answers with a cloud of mean mu and width sigma in each dimension. KL is the distance of that "
            "cloud from the prior, in nats."
        ),
    ),
    FamilyText(
        "reconstruction",
        marked("Reconstruction"),
        marked(
            "How much of an image survives the way through the latent space? Read beside two baselines: the mean image, "
            "and PCA, the best linear compression to the same number of dimensions."
        ),
    ),
    FamilyText(
        "representation",
        marked("Representation"),
        marked("Is what the codes keep useful: can classes be told apart in it, are neighbours kept, are images memorised?"),
    ),
    FamilyText(
        "cost",
        marked("Cost"),
        marked("What the model takes to train and to run; speeds have a section of their own below."),
    ),
)  # fmt: skip
OTHER = FamilyText(
    "other",
    marked("Other measures"),
    marked("Measures this version of the page knows only from their records."),
)
PREFIXES = {
    "continuity": ("path.", "midpoint.", "jacobian.", "geodesic.", "lines."),
    "completeness": ("validity", "valid_label", "precision", "recall", "density", "coverage", "hole", "judge_", "prior.",
                     "uniqueness", "novelty", "neighbour."),
    "posterior": ("kl", "active_units", "punctual_index", "overlap", "variance_law", "mutual_information",
                  "decoder_variance"),
    "reconstruction": ("mse", "r2", "psnr", "ssim", "elbo", "nll"),
    "representation": ("probe.", "trustworthiness", "neighbourhood_continuity", "silhouette", "perplexity", "code_usage", "intrinsic_dim",
                       "memorisation", "data_copying", "latent."),
    "cost": ("cost.", "train."),
}  # fmt: skip
"""Families by how names begin: for runs recorded before definitions named a family, and for what is recorded without a
definition (costs, training)."""

SAMPLER_NAMES = marked({
    "prior": ("Its own prior", "the prior that this model was trained with, which is not N(0, I)"),
    "marginal": ("Code by code", "each position takes a code as often as on the training images, whatever the others take"),
    "normal": ("N(0, I)", "the standard normal prior: what a VAE promises to be able to decode"),
    "gaussian": ("Fitted Gaussian", "one Gaussian with the mean and covariance of the training codes"),
    "mixture": ("Fitted mixture", "ten Gaussians fitted to the training codes: knows where codes lie, prior or not"),
})  # fmt: skip

REFERENCES = marked({
    "ceiling:real": "real images",
    "ceiling:cross-fade": "cross-fade of real images",
    "ceiling:true-lines": "true lines",
    "floor:cross-fade": "cross-fade",
    "floor:long-way": "the long way round",
    "floor:noise": "noise",
    "floor:shuffle": "shuffled pixels",
    "floor:mean": "mean image",
    "floor:black": "black",
    "floor:white": "white",
    "floor:constant": "one grey all over",
    "floor:majority": "majority class",
    "null:prior": "codes drawn from N(0, I)",
    "floor:collapsed": "posterior = prior",
    "floor:copies": "training and validation images",
    "ceiling:matched": "posteriors that make up the prior",
    "ceiling:isolated": "isolated posteriors",
    "null:collapsed": "posterior = prior",
    "null:matched": "posteriors that make up the prior",
    "null:points": "points",
    "null:labels": "labels dealt out anew",
    "null:normal": "as many points of N(0, I)",
    "null:images": "the images themselves",
    "baseline:mean": "mean image",
    "baseline:pca": "PCA",
})  # fmt: skip
REFERENCES_OF = {
    "vector": marked({"floor:shuffle": "shuffled columns"}),
    "series": marked({"floor:shuffle": "shuffled steps", "floor:flat": "one value all along"}),
}
"""References of other spaces that need words of their own."""

JUNK = marked({
    "noise": "uniform noise",
    "gaussian_noise": "Gaussian noise",
    "shuffle": "images with shuffled pixels",
    "mean": "mean images",
    "black": "a black image",
    "white": "a white image",
    "constant": "images of one grey",
    "rows": "images with shuffled rows",
    "blend": "blends of eight images",
    "subset_mean": "means of 16 to 256 images",
    "average": "means of two images",
    "maximum": "the brighter pixels of two images",
    "halves": "the upper half of one image on the lower half of another",
    "sides": "the left half of one image beside the right half of another",
    "roll": "images rolled by half",
    "blur": "blurred images",
    "blur_more": "strongly blurred images",
    "inverted": "inverted images",
})  # fmt: skip
"""Kinds of junk that a judge of images is tried on."""

JUNK_OF = {
    "vector": marked({
        "columns": "vectors whose columns each come from another",
        "some_columns": "vectors half of whose columns come from others",
        "halves": "the first half of one vector before the second half of another",
        "constant": "vectors of one value in all columns",
        "permuted": "vectors whose columns changed places",
    }),
    "series": marked({
        "shuffle": "series with shuffled steps",
        "blocks": "series with shuffled eighths",
        "segments": "the first half of one series before the second half of another",
        "channels": "series whose channels come from different ones",
        "flat": "series that never change",
        "reversed": "series played backwards",
        "inverted": "series turned upside down",
    }),
}  # fmt: skip
"""Kinds of junk of other spaces, where they are other ones or need other words than another noun."""

_FIXED = marked({
    "cost.parameters": "number of trained weights",
    "cost.flops.encode": "floating-point operations to encode one image",
    "cost.flops.decode": "floating-point operations to decode one latent point",
    "data.duplicates": "test images that also stand among the training or validation images, equal in every pixel",
    "train.epochs": "passes over the training data before early stopping",
    "train.seconds": "time one training took; depends on the machine and what else it did",
    "decoder_variance": "variance of a pixel around its decoded mean that the loss implies: what one nat of KL is "
    "weighed against",
})  # fmt: skip


COUNTS = frozenset({"parameters", "epochs", "images", "steps", "seeds"})
"""Units in which a whole number is a count of things."""

STATUSES = marked(("failed", "skipped"))
"""What else than a value a record may say."""


def family(metric: str, definition: Mapping[str, Any] | None = None) -> FamilyText:
    """The family that a metric's definition names; where there is none, or it names none, that of its name."""
    key = (definition or {}).get("family")
    if key is None:
        key = next((k for k, prefixes in PREFIXES.items() if metric.startswith(prefixes)), None)
    return next((f for f in FAMILIES if f.key == key), OTHER)


def own_definition(metric: str) -> str:
    """A sentence about what is recorded beside the metrics (costs and training), empty for anything else."""
    if metric.endswith(".second_judge"):
        first = metric.removesuffix(".second_judge")
        return say("{metric} by a second judge, trained apart: a check on the first one's word", metric=first)
    return say(_FIXED.get(metric, ""))


def reference(model: str) -> str:
    """A reference row's name in words: ``floor:noise`` is "noise"."""
    own = REFERENCES_OF.get(subject(), {})
    return say(own.get(model) or REFERENCES.get(model, model.partition(":")[2] or model))


def junk(kind: str) -> str:
    """A kind of junk in words."""
    return say(JUNK_OF.get(subject(), {}).get(kind) or JUNK.get(kind, kind))


def number(value: float | None, decimals: int | None = None) -> str:
    """A number for a reader: three significant digits, or fixed ``decimals``; thousands parted, a true minus sign."""
    if value is None or not math.isfinite(value):
        return "\N{EM DASH}"
    fitted = decimals is None
    if decimals is None:
        decimals = 0 if float(value).is_integer() else places(abs(value))
    if abs(value) >= 1e7:
        text = engineering(abs(value))
    else:
        text = f"{abs(value):,.{decimals}f}".replace(",", THIN)
        if fitted and float(text.replace(THIN, "")) == 0 and value != 0:
            text = _small(abs(value))
    return (MINUS if value < 0 and text.strip("0.") else "") + text


def count(value: float | None) -> str:
    """A count in full: an integer, its thousands parted, however large."""
    return number(value) if value is None or not math.isfinite(value) else f"{round(value):,}".replace(",", THIN)


def quantity(value: float | None, unit: str) -> str:
    """A number in its unit: a count in full, anything else, also a mean of counts that is none, as any `number`."""
    whole = value is not None and unit in COUNTS and float(value).is_integer()
    return count(value) if whole else number(value)


def tidy(value: float | None) -> str:
    """A number without trailing zeros, for what stands beside a score."""
    if value is not None and 0 < abs(value) < 1e-6:
        return "≈ 0"
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "×" not in text else text


def places(size: float) -> int:
    """Decimals that leave three significant digits of a number of this size, between 0 and 5."""
    if size == 0 or size >= 1000:
        return 0
    return min(5, max(0, 2 - math.floor(math.log10(size))))


def _small(size: float) -> str:
    """A number too small for its decimals: ``3.1 × 10⁻⁷``."""
    mantissa, power = f"{size:.1e}".split("e")
    return f"{mantissa}{THIN}×{THIN}10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def decimals_for(halves: Iterable[float]) -> int | None:
    """Decimals that say enough of every half-width and not too much of any: one significant digit of the smallest, but
    at most three of the largest, and at least two of it. None where there is no half-width above 0."""
    sizes = [h for h in halves if h > 0 and math.isfinite(h)]
    if not sizes:
        return None
    two = 1 - math.floor(math.log10(max(sizes)))
    return min(5, max(0, two, min(-math.floor(math.log10(min(sizes))), two + 1)))


def spread(mean: float, half: float, decimals: int | None = None) -> tuple[str, str]:
    """A mean and the half-width of its interval with the same decimals: two significant digits of the half-width,
    unless ``decimals`` are given and leave something of it."""
    if half <= 0 or not math.isfinite(half):
        return number(mean), number(0.0)
    if decimals is None or round(half, decimals) == 0:
        decimals = min(5, max(0, 1 - math.floor(math.log10(half))))
    if abs(mean) >= 1e7:
        return engineering(mean), engineering(half)
    return number(mean, decimals), number(half, decimals)


def engineering(value: float | None, unit: str = "") -> str:
    """A large number with its SI prefix: ``169 k``, ``4.60 G``."""
    if value is None or not math.isfinite(value):
        return "\N{EM DASH}"
    for power, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            scaled = value / power
            return f"{scaled:.{places(abs(scaled))}f}{THIN}{prefix}{unit}"
    return f"{value:.{places(abs(value))}f}" + (f"{THIN}{unit}" if unit else "")


def percent(value: float | None) -> str:
    """A share as a percentage without decimals (one below 10 %)."""
    if value is None or not math.isfinite(value):
        return "\N{EM DASH}"
    return f"{100 * value:.{1 if 0 < abs(value) < 0.0995 else 0}f}{THIN}%"


def plain(value: Any) -> str:
    """A configuration value as a reader writes it: lists with commas, None as "none"."""
    if value is None:
        return say("none")
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return count(value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {plain(v)}" for k, v in value.items()) or say("none")
    if isinstance(value, list | tuple):
        return ", ".join(plain(v) for v in value) or say("none")
    return str(value)


def listed(items: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return say("{first} and {last}", first=commas(items[:-1]), last=items[-1])


def commas(items: Iterable[str]) -> str:
    """``a, b, c``."""
    return say(", ").join(items)


def span(low: str, high: str) -> str:
    """``12 to 30``, or the one number where both are equal."""
    return say("{low} to {high}", low=low, high=high) if low != high else low


def clauses(items: Iterable[str]) -> str:
    """``a; b; c``."""
    return say("; ").join(items)


def reason(text: str) -> str:
    """Why there is no value, in the language in force: from the code and values of a `Reason`; a sentence without them
    whole, or each of its clauses, where the catalog knows it."""
    if not text:
        return say("no reason recorded")
    if isinstance(text, Reason):
        if text.parts:
            return clauses(dict.fromkeys(reason(part) for part in text.parts))
        if (sentence := because(text)) is not None:
            return sentence
    return recognised(text) or clauses(recognised(part) or part for part in text.split(JOIN))

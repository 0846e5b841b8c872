"""The nouns that data passes through: Dataset, Model, Posterior, Judge, Encoding, Need, Metric.

Symbols, used throughout the project: ``x`` a sample, of the shape that its space says (`latentbench.spaces`): an image
(c, h, w) with values in [0, 1], a vector (f,), a series (t, c). Where shapes are written for images, (n, c, h, w), any
space's (n, *shape) may stand, and "pixels" are the values of a sample. ``z`` a latent point, shape (d,);
``q(z|x) = N(mu(x), diag sigma(x)^2)`` the posterior (a plain autoencoder's is a Dirac: no ``log_var``); ``g`` the decoder;
``p(z)`` the prior, N(0, I) unless a model was trained with another (`Prior`); ``n`` a number of samples.

The *Encoding* is the hinge: models know nothing of metrics, metrics nothing of models. A metric reads an Encoding
(one model's view of one split) and nothing else.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from latentbench.core.needs import (
    BOUNDS,
    CONTINUUM,
    DECODER,
    DISCRETE,
    JUDGE,
    LABELS,
    LIKELIHOOD,
    LOG_VAR,
    OWN_PRIOR,
    PRIOR_DENSITY,
    SPATIAL,
    STANDARD_PRIOR,
    TRAIN,
    TRAIN_LABELS,
    WIDTHS,
    Need,
)
from latentbench.core.offers import Codebook, GaussianElbo, Likelihood, Prior
from latentbench.randomness import randn, seeded
from latentbench.records import Better, Reason
from latentbench.spaces.known import space_of
from latentbench.spaces.space import Space
from latentbench.streaming import Stream

__all__ = [
    "BOUNDS", "CONTINUUM", "Codebook", "DECODER", "DISCRETE", "Dataset", "DatasetEntry", "Encoding", "Family",
    "GaussianElbo", "JUDGE", "Judge", "LABELS", "LIKELIHOOD", "LOG_VAR", "Likelihood", "Loss", "Metric", "Model", "ModelEntry",
    "Need", "OWN_PRIOR", "PRIOR_DENSITY", "Phrase", "Posterior", "Prior", "Question", "SPATIAL", "STANDARD_PRIOR", "Split",
    "TRAIN", "TRAIN_LABELS", "Truth", "Undefined", "Value", "Verdict", "WIDTHS",
]  # fmt: skip

T = TypeVar("T")
Family = Literal["continuity", "completeness", "posterior", "reconstruction", "representation", "cost", "other"]
"""The groups that measures are shown in; the page has a title and a sentence for each."""
Question = Literal["continuous", "complete", "posterior", "reconstructs", "cost"]
"""What a run is asked about a model: is its space continuous, is it complete, why mu and sigma, does it reconstruct,
what did it cost?"""


class Undefined(ValueError):
    """Raised by a metric that has no meaning for this encoding (a constant decoder has no path): it is recorded as
    *skipped* with this ``reason``, not as a failure.

    ``text`` is the reason in English with named places, ``values`` fill them, ``code`` is its short name that a catalog
    translates it by; or it is a `Reason` as it stands. A reason without a code is said in English."""

    def __init__(self, text: str, /, code: str = "", **values: object) -> None:
        self.reason = text if isinstance(text, Reason) else Reason.of(code, text, **values)
        super().__init__(str(self.reason))


class Split(NamedTuple):
    """Samples ``x``, float32 (n, *shape), within the bounds of their space where it has some; their labels ``y``, int64 (n,) (-1: none),
    or None; the known ``factors`` they were made from, float64 (n, f), or None."""

    x: Tensor
    y: Tensor | None
    factors: Tensor | None = None

    def labelled(self) -> Split:
        """The samples that have a label; the same split where all have one, or where there are no labels at all."""
        known = None if self.y is None else self.y >= 0
        if known is None or bool(known.all()):
            return self
        return Split(*(None if part is None else part[known] for part in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Truth:
    """How the images of a dataset came about, where that is known: the names of their ``factors`` and ``render``, which
    maps values of these, float64 (m, f), to images (m, c, h, w), float64 in [0, 1]. Angles are in radians."""

    factors: tuple[str, ...]
    render: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Named, pinned data in three splits. ``sha256`` covers the content of all of them, so two runs with equal hashes
    saw the same images in the same splits. ``truth`` says what the columns of the splits' factors are.

    Where the images do not fit in memory the splits are samples, of ``whole`` images each, and ``stream`` holds all
    training images."""

    name: str
    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...] = ()
    truth: Truth | None = None
    stream: Stream | None = None
    whole: Mapping[str, int] = field(default_factory=dict)
    given_space: Space | None = None
    """What one sample is, where its shape does not tell all of it."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """How data that was handed over was understood (its layout, its range, its labels), as a run's record holds it."""
    origin: Mapping[str, Reason] = field(default_factory=dict)
    """Where the samples of each split come from (``train``, ``val``, ``test``): given as they are, or cut from what."""
    notes: tuple[Reason, ...] = ()
    """What was done with the data while they were read, or seen in them, that one would want to know."""

    @cached_property
    def space(self) -> Space:
        """What one sample is: as it was given, else what the shape of the training data tells."""
        return self.given_space or space_of(self.train.x.shape[1:])

    @property
    def images(self) -> Tensor | Stream:
        """All training images, in memory or not: what a model is trained on."""
        return self.train.x if self.stream is None else self.stream

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample: (channels, height, width) of an image, (columns,) of a vector, (steps, channels) of a series."""
        return self.space.shape

    @cached_property
    def sha256(self) -> str:
        """Hex digest over shapes, images, labels and factors (where there are any) of train, validation and test, in
        that order; before them over what is streamed. Equal numbers have one hash: -0 counts as 0, since which of the
        two an operation leaves depends on the processor."""
        sha = hashlib.sha256()
        if self.stream is not None:
            sha.update(self.stream.sha256.encode())
        for split in (self.train, self.val, self.test):
            for tensor in split:
                if tensor is not None:
                    sha.update(repr((tuple(tensor.shape), str(tensor.dtype))).encode())
                    tensor = tensor.cpu() + 0.0 if tensor.is_floating_point() else tensor.contiguous().cpu()
                    sha.update(tensor.numpy().tobytes())
        return sha.hexdigest()


class Posterior(NamedTuple):
    """q(z|x): means ``mu`` (n, d) and log-variances ``log_var`` (n, d); None: a Dirac at ``mu``.

    A posterior of another kind is a NamedTuple of its own: tensors whose first axis is the images, ``mu`` (n, d) among
    them, the codes that are decoded as reconstructions; a method ``sample(generator)`` as here; ``log_var`` None; and
    ``family``, the distribution's name. What asks for the widths of single dimensions is then skipped (`WIDTHS`)."""

    mu: Tensor
    log_var: Tensor | None = None

    def sample(self, generator: torch.Generator) -> Tensor:
        """One draw per image, z = mu + sigma * eps, shape (n, d); the mean itself for a Dirac."""
        if self.log_var is None:
            return self.mu
        return self.mu + (0.5 * self.log_var).exp() * randn(self.mu.shape, generator, self.mu)


class Loss(NamedTuple):
    """A loss to descend, ``total`` (a scalar in nats or squared error per image), and its named ``terms`` (scalars,
    detached), logged per epoch."""

    total: Tensor
    terms: Mapping[str, Tensor]


@runtime_checkable
class Model(Protocol):
    """What latentbench trains: a ``torch.nn.Module`` built as ``cls(shape, latent_dim, **fields)``.

    It owns its loss, so the training loop has no branch per model. ``decoder_variance`` is the observation variance
    its loss implies for a Gaussian likelihood (None: not Gaussian, or not tied to one).

    A model of a proper likelihood may also have a method ``log_likelihood(x, z) -> (n,)``, log p(x|z) in nats summed
    over pixels, and name its family in an attribute ``likelihood``; then `Likelihood` measures apply to it.

    A model that was trained with another prior than N(0, I) has a method ``prior(noise, generator) -> (m, d)``, latent
    points drawn from it, and, where it has a density, ``log_prior(z) -> (m,)`` in nats: see `Prior`. Measures of "the
    prior" then ask about this one (`latentbench.metrics.samplers`).

    A model that cannot be trained on any data of its space may have a method ``check(x)``, which raises ValueError, one line,
    for training samples ``x`` (n, *shape) that it is not made for; it is asked before anything is trained.

    A model whose codes have positions may name their ``latent_shape``, and the axis of channels there, ``latent_channels``.

    A model may have a method ``start(x)``, which is handed the training samples (of streamed ones some of them) before its first
    step, and a method ``counted(images)``, which is told their number, that of all of them.

    A model whose loss is a Gaussian -log p(x|z) and a weighted KL to N(0, I) may say so in an attribute ``gaussian_elbo``
    (`GaussianElbo`); it is then forecast how many of its dimensions stay in use. One that inherits
    it and has another loss says None.

    A model whose latent is discrete, each of its ``parts`` positions one of ``size`` codes, has a method
    ``discrete_codes() -> Codebook``. Its posterior is a Dirac at the latent point of the chosen codes; ``decode`` is asked for
    such points only, and what needs a continuum between codes (`CONTINUUM`) is not measured. Its draws are those of a prior
    that is fitted to the training codes afterwards (`latentbench.metrics.code_prior`), whatever ``prior`` it has.

    A model whose loss does the same operations at every training step (no branch on the data, nothing counted or
    annealed; draws through `randn`) may say ``traceable = True``: it trains to the same weights, faster (`steps`).
    """

    latent_dim: int

    def encode(self, x: Tensor) -> Posterior:
        """The posterior of images ``x`` (n, c, h, w)."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Mean images (n, c, h, w) of latent points ``z`` (n, d)."""
        ...

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """The training loss of a batch; every draw comes from ``generator``."""
        ...


class Verdict(NamedTuple):
    """The judge's word on n images: ``valid`` (n,) bool; ``label`` (n,) the most probable real class; ``confidence``
    (n,) its probability in [0, 1], the reject class taking its share; ``distance`` (n,) to the 5th nearest training
    image in the judge's features."""

    valid: Tensor
    label: Tensor
    confidence: Tensor
    distance: Tensor


@runtime_checkable
class Judge(Protocol):
    """A classifier trained on real images that may refuse. Frozen and hashed before any model is scored."""

    @property
    def classes(self) -> int:
        """How many real classes it tells apart."""
        ...

    @property
    def train_marginal(self) -> Tensor:
        """Share of each class among the training labels, shape (classes,)."""
        ...

    def features(self, x: Tensor) -> Tensor:
        """Feature vectors (n, f) of images (n, c, h, w): the last hidden layer."""
        ...

    def __call__(self, x: Tensor) -> Verdict:
        """Verdicts on images (n, c, h, w)."""
        ...


@dataclass(frozen=True, eq=False)
class Encoding:
    """One model's view of one split: everything a metric may look at.

    ``x``, ``x_hat`` (n, c, h, w): images and decoded posterior means; ``mu``, ``z`` (n, d): posterior means and one
    draw per image (a Dirac's draw is its mean); ``log_var`` (n, d) or None; ``labels`` (n,) int64 (-1: none) or None; ``decode``
    maps (m, d) to (m, c, h, w); ``train`` is the same model's Encoding of the training split (itself on that split).
    ``validation`` (k, c, h, w): the images by which training was stopped and the judge calibrated, seen though not
    trained on; None where there are none, or where it is not known which they were.
    ``factors`` (n, f) and ``truth`` say what the images were made from and how, where that is known. Where ``x`` is a
    sample, ``whole`` is the number of images it was drawn from (else 0); ``stream`` then holds all of the training split.
    ``missing`` gives the reason for each absent need (a `Reason`, where it is to be said in other languages). Draws come
    from `generator`, which depends on the seed and a purpose but never on the model: all models see the same pairs and
    prior draws, so everything pairs by seed. What is computed `once` belongs to this object: a copy
    (`dataclasses.replace`) starts with nothing.
    """

    split: str
    x: Tensor
    mu: Tensor
    z: Tensor
    x_hat: Tensor | None
    log_var: Tensor | None = None
    labels: Tensor | None = None
    decode: Callable[[Tensor], Tensor] | None = None
    train: Encoding | None = None
    validation: Tensor | None = None
    judge: Judge | None = None
    seed: int = 0
    missing: Mapping[str, str] = field(default_factory=dict)
    likelihood: Likelihood | None = None
    factors: Tensor | None = None
    truth: Truth | None = None
    stream: Stream | None = None
    whole: int = 0
    given_space: Space | None = None
    codes: Tensor | None = None
    """Of a model whose latent is discrete: the codes (n, parts) int64 that ``mu`` stands for, else None."""
    codebook: Codebook | None = None
    """What these codes are: there wherever they are."""
    decode_labelled: Callable[[Tensor, Tensor], Tensor] | None = None
    """Of a conditional model: decodes latent points (m, d) under labels (m,). Its ``decode`` gives a point the label of the
    nearest code."""
    latent_shape: tuple[int, ...] = ()
    """The model's shape of a code, whose flat form a latent point (d,) is; three axes: spatial, channels along the next one."""
    latent_channels: int = 0
    prior: Prior | None = None
    """The prior that the model was trained with, where that is not N(0, I)."""
    family: str = ""
    """Of a posterior that is neither Gaussian nor a point: the name of its distribution."""
    _memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def space(self) -> Space:
        """What one sample is: as it was given, else what the shape of ``x`` tells."""
        return self.given_space or space_of(self.x.shape[1:])

    def once(self, compute: Callable[..., T], /, **params: Any) -> T:
        """``compute(self, **params)``, computed on the first call and shared afterwards. What several metrics need
        (decoded paths, judged samples, neighbours) is a plain function handed to this."""
        key = (compute, tuple(sorted(params.items())))
        if key not in self._memo:
            self._memo[key] = compute(self, **params)
        result: T = self._memo[key]
        return result

    def labelled(self) -> Encoding:
        """The same view of the images that have a label, here and in ``train``; itself where all have one."""
        train = None if self.train is None else self.train.labelled()
        known = None if self.labels is None else self.labels >= 0
        if known is None or bool(known.all()):
            return self if train is self.train else replace(self, train=train)
        rows = {name: getattr(self, name) for name in ("x", "mu", "z", "x_hat", "log_var", "labels", "codes")}
        rows = {name: None if part is None else part[known] for name, part in rows.items()}
        factors = None if self.factors is None else self.factors[known.cpu()]
        return replace(self, **rows, factors=factors, train=train)

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator seeded by (seed, purpose) alone."""
        return seeded(self.seed, purpose)

    def absent(self, needs: frozenset[Need]) -> str:
        """Why a metric with these needs cannot be computed here, the reasons in the order of the needs' names, as a
        `Reason`; `CONTINUUM` alone where that is among them; empty where it can."""
        unmet = [n for n in sorted(needs, key=lambda n: n.name) if not n.met(self)]
        # Where there is no continuum, what else is lacking (a variance, a likelihood) follows from that.
        lacking = [self.lack(n) for n in ([CONTINUUM] if CONTINUUM in unmet else unmet)]
        return Reason.joined(lacking) if lacking else ""

    def lack(self, need: Need) -> str:
        """What is said where ``need`` is not met: what is known of this encoding (``missing``), else the need's own
        reason."""
        return self.missing.get(need.name, need.reason)


class Value(NamedTuple):
    """What a metric may return instead of a bare number: raw ``samples`` behind it and small named ``detail`` kept in
    the record (per-dimension values, intervals of a proportion)."""

    value: float
    samples: tuple[float, ...] | None = None
    detail: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Phrase:
    """How to speak of a measure: its ``noun``, and what a model does that scores ``higher`` or ``lower`` than another
    ("vae *leaves fewer holes under N(0, I)* than ae"). English; each text is its own key for translation, and is said in
    English where a language has none."""

    noun: str
    higher: str
    lower: str


@dataclass(frozen=True)
class Metric:
    """A frozen declaration beneath a plain function.

    ``compute(encoding, **params)`` returns a number or a `Value`; it raises `Undefined` where the measure has no
    meaning. ``better`` is the good direction (``target``: closest to ``target``; ``none``: descriptive); ``bounds``
    the lowest and highest possible value; ``needs`` what the Encoding must hold, else the metric is skipped with the
    needs' reasons; ``splits`` those it is measured on; ``references(encoding, **params)`` yields what the metric reads on
    this run's own data for anchors named ``kind:name``: ``ceiling:real``, ``floor:noise``, ``null:prior`` ..., the kind
    being the role of their records; ``expects`` gives the range that an anchor must lie in on any data (a null value's,
    say): outside it, or with a floor no worse than a ceiling, the metric fails its own self-check on this data and ranks
    nobody. ``every_image``: where training images are streamed, all of them are gone through and not the sample. ``on_request``: it is
    dear and no answer rests on it: left out of the default set, measured where it, its family or ``all`` is asked for.

    ``family`` is the group it is shown in; ``phrase`` how sentences speak of it (None: by its name); ``headline`` the
    questions whose answer in one line rests on it. ``under_prior``: it asks about the prior that a model was trained with,
    N(0, I) or its own. ``standard`` names the metric of N(0, I) that this one is for a model without a prior of its own. ``least`` is the least difference of two models that matters, in the
    unit of the metric (of one with a target: of the distances to it), ``least_relative`` the same as a share of the values;
    both: the larger counts; neither: .02 for shares, 5 % for all else (`latentbench.stats.least`). These travel in the run
    record, so that whoever reads a run needs no list of names.
    """

    name: str
    compute: Callable[..., float | Value]
    better: Better
    bounds: tuple[float | None, float | None]
    unit: str
    summary: str
    source: str
    needs: frozenset[Need] = frozenset()
    params: Mapping[str, Any] = field(default_factory=dict)
    target: float | None = None
    splits: tuple[str, ...] = ("test",)
    references: Callable[..., Mapping[str, float]] | None = None
    expects: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    every_image: bool = False
    on_request: bool = False
    family: Family = "other"
    phrase: Phrase | None = None
    headline: tuple[Question, ...] = ()
    least: float | None = None
    least_relative: float | None = None
    under_prior: bool = False
    standard: str = ""

    def __post_init__(self) -> None:
        """Raise TypeError for a need that is none, ValueError for a least difference below 0 or not finite, and for a metric
        on request that answers a question: a default run would have no answer."""
        if self.on_request and self.headline:
            raise ValueError(
                f"metric '{self.name}': on_request is not allowed with headline {', '.join(self.headline)}"
            )
        for name in ("least", "least_relative"):
            if (value := getattr(self, name)) is not None and not 0 <= value < math.inf:
                raise ValueError(f"metric '{self.name}': {name} is {value}; allowed: 0 or more")
        odd = [n for n in self.needs if type(n) is not Need]
        if odd:
            raise TypeError(f"metric '{self.name}': {odd[0]!r} is no core.Need (such as core.DECODER)")


@dataclass(frozen=True)
class ModelEntry:
    """A model in the catalog: ``build(shape, latent_dim, **fields)`` makes it; the fields a spec may set are the
    keyword-only parameters of its signature."""

    name: str
    build: Callable[..., Any]
    summary: str
    source: str


@dataclass(frozen=True)
class DatasetEntry:
    """A dataset in the catalog. ``load(argument, data_root, seed)`` makes it; ``argument`` is what follows the colon
    in ``npz:PATH`` (empty for a plain name; ``takes`` names it in messages). ``defaults`` are the Run fields this
    data asks for where the user says nothing. An entry that can stream has ``load_within(argument, data_root, seed, memory,
    decode)``: images that take more than ``memory`` bytes stay on disk; without ``decode`` only what was laid down there
    before is used."""

    name: str
    load: Callable[[str, str, int], Dataset]
    summary: str
    source: str
    takes: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    load_within: Callable[[str, str, int, float, bool], Dataset] | None = None

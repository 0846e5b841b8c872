"""What an Encoding must hold for a metric to have a value, and what is said where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentbench.records import Reason

if TYPE_CHECKING:
    from latentbench.core import Encoding


@dataclass(frozen=True)
class Need:
    """Something an Encoding must hold for a metric to have a value: ``met(encoding)`` says whether it does, ``reason`` is
    the reason recorded where it does not (a `Reason`, where it is to be said in other languages). Whoever brings new kinds
    of data declares needs of its own."""

    name: str
    met: Callable[[Encoding], bool]
    reason: str


LABELS = Need("labels", lambda e: e.labels is not None, Reason.of("needs.labels", "needs labels"))
DECODER = Need("decoder", lambda e: e.decode is not None, Reason.of("needs.decoder", "needs decoder"))
LOG_VAR = Need(
    "log_var",
    lambda e: e.log_var is not None,
    Reason.of("model.no_variance", "the posterior is a point: it has no variance"),
)
WIDTHS = Need(
    "widths",
    lambda e: e.log_var is not None or not e.family,
    Reason.of("model.no_widths", "the posterior is neither Gaussian nor a point: no dimension has a width of its own"),
)
OWN_PRIOR = Need(
    "own_prior",
    lambda e: e.prior is not None,
    Reason.of("model.standard_prior", "the model has no prior of its own: it is N(0, I)"),
)
STANDARD_PRIOR = Need(
    "standard_prior",
    lambda e: e.prior is None,
    Reason.of("model.own_prior", "the model was trained with a prior of its own, not with N(0, I)"),
)
PRIOR_DENSITY = Need(
    "prior_density",
    lambda e: e.prior is None or e.prior.log_prob is not None,
    Reason.of("model.no_prior_density", "the prior that the model was trained with has no density that is known"),
)
LIKELIHOOD = Need(
    "likelihood",
    lambda e: e.likelihood is not None,
    Reason.of("model.no_likelihood", "the model has no likelihood p(x|z), only an error"),
)
SPATIAL = Need(
    "spatial",
    lambda e: len(e.latent_shape) == 3 and math.prod(e.latent_shape) > e.latent_shape[e.latent_channels],
    Reason.of("model.not_spatial", "the latent is a vector: it has no positions"),
)
CONTINUUM = Need(
    "continuum",
    lambda e: e.codes is None,
    Reason.of("model.discrete", "its codes are discrete: between two of them there is nothing"),
)
DISCRETE = Need(
    "discrete",
    lambda e: e.codes is not None,
    Reason.of("model.continuous", "its codes are not discrete"),
)
BOUNDS = Need(
    "bounds",
    lambda e: e.space.bounds is not None,
    Reason.of("needs.bounds", "the data's values have no lowest and highest possible value"),
)
JUDGE = Need("judge", lambda e: e.judge is not None, Reason.of("needs.judge", "needs judge"))
TRAIN = Need("train", lambda e: e.train is not None, Reason.of("needs.train", "needs train"))
TRAIN_LABELS = Need(
    "train_labels",
    lambda e: e.train is not None and e.train.labels is not None,
    Reason.of("needs.train_labels", "needs train_labels"),
)

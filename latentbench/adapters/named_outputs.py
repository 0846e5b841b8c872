"""Which of a graph's outputs is what, by their names: graphs (ONNX, Keras) name their outputs as their authors did."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

MEAN = re.compile(r"(^|_)(mean|mu|loc|embedding)(_|$|\d)")
LOG_VAR = re.compile(r"log_?(var|variance|covariance|sigma_?(2|sq|squared))(_|$|\d)")
STD = re.compile(r"(^|_)(std|stddev|sigma|scale)(_|$|\d)")


def posterior(names: Sequence[str]) -> tuple[tuple[int, ...], str | None]:
    """Which outputs of an encoder to take, and what they are in words of the option ``posterior``: (mean, log_var) or (mean,
    std) where names say so, whatever else is returned; the only one; else all of two, whose meaning stays open (None).

    Raises ValueError for three or more outputs of which no name says what is the mean."""
    words = [_word(n) for n in names]
    mean = [k for k, w in enumerate(words) if MEAN.search(w) and not LOG_VAR.search(w) and not STD.search(w)]
    if len(names) == 1:
        return (0,), "mean"
    if mean:
        for unit, pattern in (("log_var", LOG_VAR), ("std", STD)):
            found = [k for k, w in enumerate(words) if pattern.search(w) and not (unit == "std" and LOG_VAR.search(w))]
            if found:
                return (mean[0], found[0]), f"mean,{unit}"
        return (mean[0],), "mean"
    if len(names) == 2:
        return (0, 1), None
    raise ValueError(
        f"the encoder has outputs {', '.join(names)}; name them z_mean and z_log_var, or leave one output z"
    )


def _word(name: str) -> str:
    """A name in small letters with underscores: ``vae/ZMean:0`` is ``zmean``, ``z-mean`` is ``z_mean``."""
    last = name.rpartition("/")[2].partition(":")[0]
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower())


def taken(outputs: Mapping[str, Any] | Sequence[Any], which: Sequence[int]) -> Any:
    """These of the outputs: the one, or a tuple."""
    values = list(outputs.values()) if isinstance(outputs, Mapping) else list(outputs)
    return values[which[0]] if len(which) == 1 else tuple(values[k] for k in which)

"""What a user's ``encode`` and ``decode`` may return, and what it means.

The *name* of a part decides what it is. Names are keys of a mapping, attributes of an object or fields of a named tuple:

    mean       ``mean``, ``mu``, ``loc``, ``embedding``, ``z``
    log_var    ``log_var``, ``logvar``, ``log_covariance``
    std        ``std``, ``scale``, ``stddev``
    var        ``var``, ``variance``
    inner      ``latent_dist``, ``latents``: what they hold is read in the place of the whole
    decoded    ``sample``, ``reconstruction``, ``recon_x``: what a decoder gives, before its ``mean``

A `torch.distributions` Normal, Independent of these or diagonal MultivariateNormal has its mean and standard deviation.
A bare tuple has no names: one of two parts is (mean, log_var), as every paper has it, and any other is named by the
caller, ``posterior="mean,std"``, a word for each part:

    ``mean``, ``log_var``, ``std``, ``var``  as above
    ``sample``                               a draw of the posterior
    ``-``                                    not read

Only parts are found here; how many rows they have and whether they fit each other is seen where they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal, Normal

from latentbench.refusals import unknown

MEANS = ("mean", "mu", "loc", "embedding", "z")
SPREADS = {
    "log_var": "log_var", "logvar": "log_var", "log_covariance": "log_var",
    "std": "std", "scale": "std", "stddev": "std",
    "var": "var", "variance": "var",
}  # fmt: skip
"""Names of a part that says how wide a posterior is -> which of `SPREAD_WORDS` it is."""
INNER = ("latent_dist", "latents")
DECODED = ("sample", "reconstruction", "recon_x", *MEANS)
AUTO = "auto"
SPREAD_WORDS = ("log_var", "std", "var")
POSITIONS = ("mean", *SPREAD_WORDS, "sample", "-")
ACCEPTED = (
    "z; a tuple (mu, log_var); a mapping or object with mean, mu, loc or embedding and log_var, std or var; "
    "a torch.distributions Normal; any other tuple with its parts named, such as posterior='mean,std'"
)
"""The forms of what ``encode`` returns, as a refusal says them."""
DIAGONAL = 1e-5
"""Covariances up to this share of the largest variance count as none."""


class Parts(NamedTuple):
    """What was returned: the ``mean`` (or a draw of the posterior, where it is ``drawn``) and how wide the posterior is
    (``spread``, None: a point), in the ``unit`` that its name says, one of `SPREAD_WORDS`; ``named``: whether a name said
    so, of the output or of the caller."""

    mean: Any
    spread: Any = None
    unit: str = "log_var"
    named: bool = False
    drawn: bool = False


def positions(posterior: str) -> tuple[str, ...]:
    """The words of the option ``posterior``, one for each part of a bare tuple; none for ``auto``. Raises ValueError for a
    word that is none, for one that stands twice and where no mean or sample is among them."""
    if not isinstance(posterior, str):
        raise TypeError(f"posterior: {posterior!r} is not a string, such as 'mean,std'")
    if posterior.strip() == AUTO:
        return ()
    words = tuple(w.strip() for w in posterior.split(","))
    for word in words:
        if word not in POSITIONS:
            raise unknown("posterior", word, (AUTO, *POSITIONS))
    twice = [w for w in dict.fromkeys(words) if w != "-" and words.count(w) > 1]
    if twice or sum(w in SPREAD_WORDS for w in words) > 1 or not {"mean", "sample"} & set(words):
        raise ValueError(
            f"posterior: '{posterior}' is not allowed: 'auto', or a word for each part of the tuple that encode returns, "
            f"one of them mean or sample, at most one of {', '.join(SPREAD_WORDS)}, '-' for what is not to be read"
        )
    return words


def read_code(out: Any, words: Sequence[str], rows: int) -> Parts:
    """The parts of what ``encode`` returned for ``rows`` samples. Raises ValueError for what is none of the forms."""
    found = _read_code(out, words, rows)
    return found._replace(spread=None) if tuple(words) == ("mean",) else found


def _read_code(out: Any, words: Sequence[str], rows: int) -> Parts:
    if isinstance(out, Distribution):
        return _of_distribution(out)
    if is_array(out) or _is_stack(out, rows):
        return Parts(out, drawn=tuple(words) == ("sample",), named=bool(words))
    if (inner := _named(out, INNER)) is not None:
        return _read_code(inner, words, rows)
    if (mean := _named(out, MEANS)) is not None:
        name = next((n for n in SPREADS if _named(out, (n,)) is not None), None)
        if isinstance(mean, Distribution) and name is None:
            return _of_distribution(mean)
        return Parts(mean, None if name is None else _named(out, (name,)), SPREADS[name or "log_var"], True)
    if isinstance(out, tuple | list):
        return _of_tuple(out, words, rows)
    raise ValueError(f"encode returned {described(out)}; accepted: {ACCEPTED}")


def _of_tuple(out: Sequence[Any], words: Sequence[str], rows: int) -> Parts:
    if words and len(words) == len(out):
        at = dict(zip(words, out, strict=True))
        unit = next((w for w in SPREAD_WORDS if w in at), "log_var")
        return Parts(at.get("mean", at.get("sample")), at.get(unit), unit, True, "mean" not in at)
    if words and len(out) > 1:
        said = ",".join(words)
        raise ValueError(f"encode returned {described(out)}; posterior='{said}' names {len(words)} (one word a part)")
    if len(out) == 1:
        return _read_code(out[0], words, rows)
    if len(out) == 2 and out[1] is None:
        return _read_code(out[0], words, rows)
    if isinstance(out, tuple) and len(out) == 2 and is_array(out[0]) and is_array(out[1]):
        return Parts(out[0], out[1])
    raise ValueError(
        f"encode returned {described(out)}: several levels of latents are not measured, flatten them into one z; "
        f"accepted: {ACCEPTED}"
    )


def _of_distribution(given: Distribution) -> Parts:
    base = given
    while isinstance(base, Independent):
        base = base.base_dist
    if isinstance(base, Normal):
        return Parts(given.mean, given.stddev, "std", True)
    if isinstance(base, MultivariateNormal | LowRankMultivariateNormal):
        covariance: Tensor = given.covariance_matrix  # type: ignore[attr-defined]
        beside = covariance - torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
        if bool(beside.abs().max() > DIAGONAL * covariance.abs().max()):
            raise ValueError(
                f"encode returned a {type(base).__name__} with correlated dimensions; measured are diagonal ones: "
                "return Normal(q.mean, q.stddev) for its diagonal, or q.mean for a point"
            )
        return Parts(given.mean, given.variance, "var", True)
    raise ValueError(
        f"encode returned a distribution {type(base).__name__}; measured are Normal, Independent(Normal) and diagonal "
        "MultivariateNormal: return its mean for a point"
    )


def read_sample(out: Any, rows: int) -> Any:
    """The array of samples in what ``decode`` returned for ``rows`` latent points: of a distribution its mean, of a tuple
    (mean, ...) the first. Raises ValueError for what holds none."""
    if isinstance(out, Distribution):
        return out.mean
    if is_array(out) or _is_stack(out, rows):
        return out
    if (named := _named(out, DECODED)) is not None:
        return read_sample(named, rows)
    if isinstance(out, tuple | list) and 1 <= len(out) <= 2:
        return read_sample(out[0], rows)
    raise ValueError(
        f"decode returned {described(out)}; accepted: samples; a tuple (mean, log_var); a mapping or object with sample, "
        "reconstruction, recon_x, mean or loc; a torch distribution, whose mean is taken"
    )


def is_array(value: Any) -> bool:
    """Whether a value is an array of any library, so that its attributes ``mean`` and ``var`` are functions of it."""
    return (
        isinstance(value, Tensor | np.ndarray | np.generic) or hasattr(value, "__array__") or hasattr(value, "toarray")
    )


def _is_stack(value: Any, rows: int) -> bool:
    """Whether a list holds one array, list or number for each of ``rows`` samples, rather than parts of a whole."""
    if not isinstance(value, list) or len(value) != rows or not rows:
        return False
    if any(not isinstance(v, list | int | float) and not is_array(v) for v in value):
        return False
    shapes = {np.shape(v) for v in value}
    # Arrays that have a row for each sample are levels, though they be as many as samples.
    levels = any(len(s) > 1 and s[0] == rows > 1 for s in shapes) and any(map(is_array, value))
    return len(shapes) == 1 and not levels


def _named(out: Any, names: Sequence[str]) -> Any:
    """The first of these names that has a value: a key, an attribute, or a method without arguments of a distribution of
    another library. A function called ``sample`` draws and is no value."""
    if is_array(out) or isinstance(out, str | bytes):
        return None
    for name in names:
        value = out.get(name) if isinstance(out, Mapping) else getattr(out, name, None)
        if callable(value) and not is_array(value):
            value = _called(value) if name in ("mean", *SPREADS) else None
        if value is not None:
            return value
    return None


def _called(method: Callable[[], Any]) -> Any:
    try:
        return method()
    except TypeError:
        return None


def to_tensor(what: str, value: Any) -> Tensor:
    """A part as a tensor of its own, whatever library it is of; of numbers in float64 or below. Raises ValueError, which
    begins with ``what``, for what holds no real numbers."""
    if isinstance(value, Tensor):
        tensor = value
    else:
        if isinstance(value, list) and any(isinstance(v, Tensor) for v in value):
            return to_tensor(what, torch.stack([torch.as_tensor(v) for v in value]))
        array = np.array(value.toarray() if hasattr(value, "toarray") else value)  # a copy: the user's stays the user's
        if array.dtype == object or array.dtype.kind not in "fiub":
            raise ValueError(f"{what} returned an array of dtype {array.dtype}; expected real numbers")
        tensor = torch.from_numpy(np.ascontiguousarray(array))
    if tensor.is_complex():
        raise ValueError(f"{what} returned complex numbers ({tensor.dtype}); expected real ones")
    if tensor.is_sparse or tensor.is_quantized:
        tensor = tensor.to_dense() if tensor.is_sparse else tensor.dequantize()
    return tensor


def log_variance(spread: Tensor, unit: str) -> Tensor:
    """Log-variances of what a posterior's width is said in. Raises ValueError for a negative width."""
    if unit == "log_var":
        return spread
    if bool((spread < 0).any()):
        raise ValueError(f"encode returned a {'standard deviation' if unit == 'std' else 'variance'} below 0")
    # A width of 0 in float32 is less than can be told: its logarithm stays finite.
    logarithm = spread.clamp_min(torch.finfo(torch.float32).tiny).log()
    return 2 * logarithm if unit == "std" else logarithm


def described(value: Any) -> str:
    """What a value is, for a refusal: its type, and the shapes or names of its parts."""
    if is_array(value):
        shape = tuple(getattr(value, "shape", np.shape(value)))
        return f"{type(value).__name__} of shape {shape}, {str(getattr(value, 'dtype', '')).replace('torch.', '')}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {_few(map(str, value))}"
    if isinstance(value, tuple | list):
        inner = _few(str(tuple(getattr(v, "shape", ()))) if is_array(v) else type(v).__name__ for v in value)
        return f"a {type(value).__name__} of {len(value)} ({inner})"
    if value is None:
        return "None (is a return missing?)"
    names = [n for n in getattr(value, "__dict__", {}) if not n.startswith("_")]
    return f"{type(value).__name__}" + (f" with {_few(names)}" if names else "")


def _few(items: Any) -> str:
    listed = list(items)
    return ", ".join(listed[:6]) + (", ..." if len(listed) > 6 else "") if listed else "nothing"

"""Who is measured: models by name and seed.

A model is a pair of callables (``encode``, ``decode``), or an object that has methods of these names or, as scikit-learn's
have, ``transform`` and ``inverse_transform``. Several stand in a mapping by their names; a list under one name are the
same model trained with other seeds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from latentbench.adapters.adapted import Adapted
from latentbench.records import model_name

METHODS = (("encode", "decode"), ("transform", "inverse_transform"))
"""Names under which a model may have what encodes and what decodes."""


class Contender(NamedTuple):
    """One model: its ``name``, the ``seed`` that its pairs and draws hang on, what it was given as (``model``: the object or
    the pair), and its callables; ``log_likelihood(x, z)``, where it has one, gives log p(x|z) in nats, (n,). What a model object
    says of its latent space, as `latentbench.core.Model` has it, is asked of it: ``prior(noise, generator)`` and ``log_prior(z)``
    where it was trained with another prior than N(0, I), ``discrete_codes()`` where its latent is discrete."""

    name: str
    seed: int
    model: Any
    encode: Callable[..., Any]
    decode: Callable[..., Any]
    log_likelihood: Callable[..., Any] | None = None
    prior: Callable[..., Any] | None = None
    log_prior: Callable[..., Any] | None = None
    discrete_codes: Callable[..., Any] | None = None


def contenders(
    encode: Any, decode: Any, name: str, seed: int, log_likelihood: Callable[..., Any] | None
) -> list[Contender]:
    """The models that were asked for: two callables, one model, a list of its seeds, or a mapping of names to these.

    Raises TypeError for what is no model, ValueError for a name that is none or a list that is empty."""
    if log_likelihood is not None and not callable(log_likelihood):
        raise TypeError(f"log_likelihood: {log_likelihood!r} is not callable")
    if isinstance(encode, list) and decode is None:
        encode = {name: encode}  # the seeds of one model
    if not isinstance(encode, Mapping):
        model_name("name", _word("name", name))
        given = encode if decode is None else (encode, decode)
        return [_contender(name, seed, given, log_likelihood)]
    if decode is not None:
        raise TypeError("decode: the first argument is a mapping of models, each with its own; leave decode out")
    if log_likelihood is not None:
        raise TypeError("log_likelihood: not with a mapping of models; evaluate one at a time")
    if not encode:
        raise ValueError("encode: the mapping of models is empty; name at least one")
    out = []
    for key, value in encode.items():
        model_name("name", _word("name", key))
        seeds = value if isinstance(value, list) else [value]
        if not seeds:
            raise ValueError(f"encode: '{key}' is an empty list; give a model for each seed")
        out += [_contender(key, seed + k, one, None) for k, one in enumerate(seeds)]
    return out


def seeds_of(found: Sequence[Contender]) -> list[int]:
    """Every seed among these, in order."""
    return sorted({c.seed for c in found})


def _word(what: str, name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{what}: {name!r} is not a string")
    return name


def _contender(name: str, seed: int, model: Any, log_likelihood: Callable[..., Any] | None) -> Contender:
    if isinstance(model, tuple):
        if len(model) != 2:
            raise TypeError(f"'{name}': a tuple of {len(model)}; a model is a pair (encode, decode)")
        encode, decode = model
        for what, function in (("encode", encode), ("decode", decode)):
            if not callable(function):
                raise TypeError(f"{what}: {function!r} is not callable")
        return Contender(name, seed, model, encode, decode, log_likelihood)
    if isinstance(model, Adapted):
        return Contender(name, seed, model, model.encode, model.decode, log_likelihood or model.log_likelihood)
    for first, second in METHODS:
        if callable(getattr(model, first, None)) and callable(getattr(model, second, None)):
            return Contender(
                name, seed, model, getattr(model, first), getattr(model, second), log_likelihood, *_said(model)
            )
    known = " or ".join(" and ".join(pair) for pair in METHODS)
    raise TypeError(
        f"'{name}': {type(model).__name__} is not a model; give a pair (encode, decode) or an object with {known}"
    )


def _said(model: Any) -> tuple[Callable[..., Any] | None, ...]:
    """What a model object says of its latent space: ``prior``, ``log_prior``, ``discrete_codes``, None for what it does not. A
    ``prior`` that is no function of noise and a generator, such as a torch distribution, is none of ours."""
    prior = getattr(model, "prior", None)
    density = getattr(model, "log_prior", None)
    own = callable(prior) and required(prior) == 2
    codes = getattr(model, "discrete_codes", None)
    return prior if own else None, density if own and callable(density) else None, codes if callable(codes) else None


def required(function: Any) -> int:
    """How many positional arguments without a default a function has; 0 where it does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in places and p.default is p.empty for p in parameters)

"""What is known of another library's model beside its callables: in which form it takes images, how it is called.

Data come in one form, and models of one evaluation may each have been trained on another: a diffusion autoencoder on -1 to
1, a Keras pair on channels last. What an adapter knows of its model is applied to that model alone; what the user says of
how callables are called wins over it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from latentbench.adapters.adapted import Adapted
from latentbench.core import Dataset, Split
from latentbench.evaluating.callables import Calls
from latentbench.evaluating.contenders import contenders
from latentbench.evaluating.given import Given
from latentbench.evaluating.handed import Handed
from latentbench.evaluating.layout import Layout, plain
from latentbench.spaces.image import Image
from latentbench.spaces.space import Scale, Space


def in_form(model: Any, source: str, range: tuple[float, float] | None = None, layout: str | None = None) -> Any:
    """A model that takes and gives images in this form, as far as it is said. Raises TypeError for what is no model."""
    if range is None and layout is None:
        return model
    if not isinstance(model, Adapted):
        [one] = contenders(model, None, "model", 0, None)
        model = Adapted(one.encode, one.decode, type(model).__name__, source)
    return replace(model, range=range or model.range, layout=layout or model.layout)


def heeded(model: Any, given: Given, calls: Calls) -> tuple[Given, Calls]:
    """The form in which samples are handed to this model, and how it is called."""
    if not isinstance(model, Adapted):
        return given, calls
    if calls.posterior == "auto" and model.posterior:
        calls = replace(calls, posterior=model.posterior)
    if calls.batch_size is None and model.batch_size:
        calls = replace(calls, batch_size=model.batch_size)
    return replace(given, handed=_form(model, given.handed, given.dataset.space)), calls


def _form(model: Adapted, handed: Handed, space: Space) -> Handed:
    """The form that a model takes samples in: its own where it is known and the data are images, else that of the data."""
    if not isinstance(space, Image) or (model.range is None and model.layout is None):
        return handed
    c, h, w = space.shape
    layouts = {
        None: handed.layout,
        "channels_first": plain(space),
        "channels_last": Layout((h, w, c), Image, (2, 0, 1), "n,h,w,c"),
    }
    return Handed(layouts[model.layout], model.range or handed.range)


def rescaled(dataset: Dataset, scale: str | None) -> Dataset:
    """A dataset measured in its raw values (``scale`` None), or as it is (``auto``). Raises ValueError where ``standard`` is
    asked for and it is not."""
    space = dataset.space
    if scale == "standard" and space.scale is None:
        raise ValueError(f"scale: 'standard' is for tables and series; {dataset.name} is measured as it is")
    if scale is not None or space.scale is None:
        return dataset
    train, val, test = (_raw(split, space.scale) for split in (dataset.train, dataset.val, dataset.test))
    return replace(dataset, train=train, val=val, test=test, given_space=replace(space, scale=None))


def _raw(split: Split, scale: Scale) -> Split:
    return split._replace(x=scale.to_raw(split.x))

"""Which array of a file is what: the samples, their labels, and of which split they are.

What was asked for goes first (``x=imgs:y=latents_classes``, ``x_train=..., x_test=...``); else names are known. A name with
``train``, ``val`` or ``test`` at its beginning or end (``x_train``, ``test_images``, ``val/labels``) is of that split.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from latentbench.refusals import unknown

SAMPLES = ("x", "images", "imgs", "image", "img", "data", "samples", "features", "fea", "arr_0")
"""Names of samples, the likeliest first."""
LABELS = ("y", "labels", "label", "targets", "target", "classes", "class", "gnd", "arr_1", "latents_classes")
"""Names of labels."""
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "t10k"),
}
"""Words for the splits."""
OPTIONS = ("x", "y", *(f"{a}_{split}" for split in SPLITS for a in "xy"), "layout", "range", "shape")
"""Options of a file of named arrays."""
NOTHING = "none"
"""What is said of labels that are not to be used."""
UNREADABLE = "unreadable"
"""What is said of the values of an array that does not say what it holds; whoever asks for it is told why."""
_WORDS = "|".join(word for words in SPLITS.values() for word in words)
_FIRST = re.compile(rf"({_WORDS})[_\-./ ]*(.+)")
_LAST = re.compile(rf"(.+?)[_\-./ ]*({_WORDS})")


class Held(NamedTuple):
    """An array that a file holds: its shape, the type of its values in words, and how it is read."""

    shape: tuple[int, ...]
    kind: str
    read: Callable[[], NDArray[Any]]

    def __str__(self) -> str:
        return f"{self.shape} {self.kind}"


class Chosen(NamedTuple):
    """The names of a part's samples and labels (None: there are none); which ``column`` of the labels, where one was named."""

    x: str
    y: str | None = None
    column: int | None = None


def choose(place: str, held: Mapping[str, Held], options: Mapping[str, str]) -> dict[str, Chosen]:
    """Samples and labels by part: ``train`` alone where the file has no splits of its own. Raises ValueError, one line, that
    lists what the file holds, where it cannot be told."""
    asked = {split: options[f"x_{split}"] for split in SPLITS if f"x_{split}" in options}
    if "x" in options:
        if asked:
            raise ValueError(f"{place}: x and x_{next(iter(asked))} do not go together")
        asked = {"train": options["x"]}
    names = {split: _there(place, held, name) for split, name in asked.items()} or _guessed(held)
    if not names:
        raise ValueError(
            f"{place}: no array of a known name ({', '.join(SAMPLES[:6])}, ...); say which, x=NAME ({_listed(held)})"
        )
    if "train" not in names:
        raise ValueError(
            f"{place}: {', '.join(names.values())} and no training part; say which, x_train=NAME ({_listed(held)})"
        )
    alone = len(names) == 1 and ("x" in options or _split_of(names["train"]) is None)
    out = {split: Chosen(name, *_labels(place, held, options, split, name, alone)) for split, name in names.items()}
    without = [c.x for c in out.values() if c.y is None]
    if without and len(without) < len(out):
        raise ValueError(
            f"{place}: {', '.join(without)} has no labels and others have; name them, or leave all out with y=none"
        )
    return out


def _listed(held: Mapping[str, Held]) -> str:
    return "there: " + (", ".join(f"{name} {one}" for name, one in list(held.items())[:12]) or "nothing")


def _there(place: str, held: Mapping[str, Held], name: str) -> str:
    if name in held:
        return name
    raise ValueError(f"{place}: {unknown('array', name, held)}; {_listed(held)}")


def _split_of(name: str) -> tuple[str, str] | None:
    """The split and the bare name of ``x_train``, ``val/images``."""
    low = name.lower()
    if match := _FIRST.fullmatch(low):
        word, bare = match.groups()
    elif match := _LAST.fullmatch(low):
        bare, word = match.groups()
    else:
        return None
    return next(split for split, words in SPLITS.items() if word in words), bare


def _best(held: Mapping[str, Held], known: tuple[str, ...], split: str | None, axes: int) -> str | None:
    """The array of this split that bears the likeliest of the known names and has at least so many axes."""
    found: dict[str, str] = {}
    for name, one in held.items():
        of = _split_of(name)
        bare = name.lower() if split is None else of[1] if of is not None and of[0] == split else ""
        tail = bare.strip("/").rpartition("/")[2]
        if len(one.shape) >= axes or one.kind == UNREADABLE:
            found.setdefault(bare if bare in known else tail, name)
    return next((found[name] for name in known if name in found), None)


def _guessed(held: Mapping[str, Held]) -> dict[str, str]:
    by_split = {split: name for split in SPLITS if (name := _best(held, SAMPLES, split, 2))}
    if by_split:
        return by_split
    if name := _best(held, SAMPLES, None, 1):
        return {"train": name}
    large = [name for name, one in held.items() if len(one.shape) >= 2 and one.kind != "object"]
    return {"train": large[0]} if len(large) == 1 else {}


def _labels(
    place: str, held: Mapping[str, Held], options: Mapping[str, str], split: str, x: str, alone: bool
) -> tuple[str | None, int | None]:
    """The array of the labels, and the column that was asked for."""
    asked = options.get(f"y_{split}", options.get("y") if alone or options.get("y") == NOTHING else None)
    if asked is None and "y" in options:
        raise ValueError(f"{place}: y={options['y']} is of no split; name y_train and the like, or y=none")
    if asked == NOTHING and NOTHING not in held:
        return None, None
    if asked is not None:
        match = re.fullmatch(r"(.+)\[(\d+)\]", asked)
        if match and asked not in held:
            return _there(place, held, match[1]), int(match[2])
        return _there(place, held, asked), None
    rest = {name: one for name, one in held.items() if name != x}
    return (_best(rest, LABELS, None, 1) if alone else None) or _best(rest, LABELS, split, 1), None

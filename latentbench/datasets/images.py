"""One image file: what it is, and its pixels as they are meant.

palette                 its colours; grey where all of these are
transparent (RGBA, LA)  composited on white
CMYK and others         RGB
16 bits, floats         by the range that all such images of the data use (`values`), not cut off at 255
animated, several pages the first
turned by the camera    upright, as it noted
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentbench.datasets.values import Range

Size = tuple[int, int]
GREY = ("1", "L", "LA", "La", "I", "F")
ORIENTATION = 0x0112
TURNED = 5
"""From this orientation on width and height are swapped."""


@dataclass(frozen=True)
class Packed:
    """An image that lies within another file: what it is called in messages, and how its bytes are had."""

    name: str
    read: Callable[[], bytes]

    def __str__(self) -> str:
        return self.name


Source = Path | Packed


class Broken(ValueError):
    """The file cannot be read as an image; the message says why."""


class Head(NamedTuple):
    """What an image's header says: whether it is ``grey``, its (width, height) once upright, whether its values are ``deep``
    (16 bits or floats; ``mode`` says which), whether it is ``transparent`` and whether other frames follow the first."""

    mode: str
    size: Size
    grey: bool
    transparent: bool
    animated: bool

    @property
    def deep(self) -> bool:
        """Whether the values are more than bytes."""
        return self.mode[0] in "IF"


def head(file: Source) -> Head:
    """What a file's header says; of the pixels nothing is read. Raises Broken."""
    from PIL import Image

    try:
        with Image.open(_opened(file)) as image:
            turned = image.getexif().get(ORIENTATION, 1) >= TURNED
            mode, transparent = image.mode, image.has_transparency_data
            grey = mode.partition(";")[0] in GREY or (mode in ("P", "PA") and _grey_palette(image))
            return Head(
                mode,
                image.size[::-1] if turned else image.size,
                grey,
                transparent,
                getattr(image, "is_animated", False),
            )
    except Exception as error:  # a damaged file makes Pillow raise errors of every kind
        raise _broken(file, error) from None


def extremes(file: Source) -> tuple[float, float, float]:
    """The least and the largest value of an image of 16 bits or floats, and which share of those above 0 is above 1. Raises
    Broken, for values that are not finite too."""
    from PIL import Image

    try:
        with Image.open(_opened(file)) as image:
            values = np.asarray(image, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("it holds values that are NaN or infinite")
        return float(values.min()), float(values.max()), float((values > 1).sum() / max(1, (values > 0).sum()))
    except Exception as error:
        raise _broken(file, error) from None


def pixels(file: Source, mode: str, size: Size, ranges: Mapping[str, Range]) -> NDArray[np.uint8]:
    """One image, uint8 (c, h, w), in ``mode`` L or RGB and of this (width, height), stretched where its sides differ; values
    by the range of their kind (``I`` 16 bits, ``F`` floats, ``B`` bytes, where these have one). Raises Broken."""
    from PIL import Image, ImageOps

    try:
        with Image.open(_opened(file)) as opened:
            image = ImageOps.exif_transpose(opened)
        if image.mode[0] in "IF":  # which Pillow would cut off instead of scaling
            image = Image.fromarray(_as_bytes(np.asarray(image), ranges[image.mode[0]]))
        elif "B" in ranges:
            own = image if image.mode in ("L", "RGB") else image.convert(mode)
            image = Image.fromarray(_as_bytes(np.asarray(own), ranges["B"]))
        image = _on_white(image) if image.has_transparency_data else image
        image = image.convert(mode)
        image = image if image.size == size else image.resize(size, Image.Resampling.BOX)
    except Exception as error:
        raise _broken(file, error) from None
    out = np.asarray(image)
    return out[None] if out.ndim == 2 else np.moveaxis(out, 2, 0)


def _opened(file: Source) -> Path | BytesIO:
    return BytesIO(file.read()) if isinstance(file, Packed) else file


def _as_bytes(values: NDArray[Any], found: Range) -> NDArray[np.uint8]:
    scaled = (values.astype(np.float64) - found.low) * (255 / (found.high - found.low))
    return scaled.clip(0, 255).round().astype(np.uint8)


def _on_white(image: Any) -> Any:
    from PIL import Image

    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _grey_palette(image: Any) -> bool:
    colours = image.getpalette("RGB") or []
    return colours[0::3] == colours[1::3] == colours[2::3]


def _broken(file: Source, error: Exception) -> Broken:
    return Broken(f"{file}: cannot be read as an image: {' '.join(str(error).split())}")

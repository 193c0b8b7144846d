"""Colour profiles: which of them mean sRGB or linear light, by what LittleCMS makes of their numbers, and new ones."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from dualpix.io.curve import encode_srgb

TOLERANCE = 0.01  # of white, between a colour and the same in sRGB; plain gamma 2.2 is 0.018 away, Adobe RGB 0.5
RELATIVE_COLORIMETRIC = 1
STEPS = 7  # of each channel
D65 = (0.3127, 0.3290)
SRGB_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
MADE = bytes.fromhex("07ea00010001000000000000")  # when a new profile was made: two of one kind shall be alike


def is_srgb(icc: bytes | None) -> bool:
    """Whether the numbers of a profile mean what they mean in sRGB; a picture without one is taken to be sRGB."""
    if icc is None:
        return True
    shown = _in_srgb(icc)
    same = _colours()[:, :1] if _is_grey(icc) else _colours()
    return shown is not None and bool(np.abs(shown - same).max() < TOLERANCE)


def is_linear(icc: bytes | None) -> bool:
    """Whether the greys of a profile are proportional to light."""
    shown = None if icc is None else _in_srgb(icc)
    if shown is None:
        return False
    greys = np.arange(STEPS) * (STEPS * STEPS + STEPS + 1)
    return bool(np.abs(shown[greys] - encode_srgb(_colours()[greys])).max() < TOLERANCE)


def make_profile(
    white: Sequence[float], primaries: Sequence[float], curve: float | NDArray[np.float64], grey: bool
) -> bytes | None:
    """A profile for RGB, or for grey: x and y of the white point, and of red, green and blue; `curve` gives the light
    of a number, as an exponent or as values in [0, 1] at even steps. None where there is no such profile."""
    told: dict[str, Any] = {"whitepoint": [*white, 1.0]}
    told |= {"gamma": curve} if isinstance(curve, float) else {"transferfunction": np.asarray(curve, np.float32)}
    if not grey:
        told["primaries"] = [value for x, y in zip(primaries[::2], primaries[1::2], strict=True) for value in (x, y, 1)]
    try:
        made = bytes(imagecodecs.cms_profile("gray" if grey else "rgb", **told))
    except (imagecodecs.CmsError, ValueError):
        return None
    made = made[:24] + MADE + made[36:]
    return made if _in_srgb(made) is not None else None


def _is_grey(icc: bytes) -> bool:
    return icc[16:20] == b"GRAY"


def _colours() -> NDArray[np.float64]:
    """All mixtures of STEPS levels of red, green and blue, N x 3."""
    steps = np.linspace(0, 1, STEPS)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)


@lru_cache(maxsize=16)
def _in_srgb(icc: bytes) -> NDArray[np.float64] | None:
    """What `_colours` are in sRGB, N x 3 in [0, 1]; None of a profile that cannot be read, or is not of RGB or grey."""
    levels = np.round(_colours() * 65535).astype(np.uint16)[None]
    grey = _is_grey(icc)
    try:
        shown = imagecodecs.cms_transform(
            np.ascontiguousarray(levels[:, :, 0]) if grey else levels,
            icc,
            imagecodecs.cms_profile("srgb"),
            colorspace="gray" if grey else "rgb",
            outcolorspace="rgb",
            intent=RELATIVE_COLORIMETRIC,
        )
    except (imagecodecs.CmsError, ValueError):
        return None
    return np.asarray(shown[0], np.float64) / 65535

"""ICC colour profiles: making new ones, and finding by LittleCMS which amount to sRGB or to linear light."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualpix.io.curve import encode_srgb
from dualpix.machine.later import imagecodecs

TOLERANCE = 0.01  # share of white that a profile may differ from sRGB; gamma 2.2 differs by 0.018, Adobe RGB by 0.5
RELATIVE_COLORIMETRIC = 1
STEPS = 7  # levels of each channel that are compared
D65 = (0.3127, 0.3290)
SRGB_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
MADE = bytes.fromhex("07ea00010001000000000000")  # a fixed creation date, so that equal profiles have equal bytes


def is_profile(icc: bytes) -> bool:
    """Whether bytes begin as every ICC profile does, with a header of 128 bytes and its signature."""
    return len(icc) > 128 and icc[36:40] == b"acsp"


def is_srgb(icc: bytes | None) -> bool:
    """Whether the numbers of a profile mean the same colours as in sRGB; a picture without one is taken as sRGB."""
    if icc is None:
        return True
    shown = _in_srgb(icc)
    same = _colours()[:, :1] if _is_grey(icc) else _colours()
    return shown is not None and bool(np.abs(shown - same).max() < TOLERANCE)


def is_linear(icc: bytes | None) -> bool:
    """Whether the greys of a profile are proportional to light (linear), rather than encoded for display."""
    shown = None if icc is None else _in_srgb(icc)
    if shown is None:
        return False
    greys = np.arange(STEPS) * (STEPS * STEPS + STEPS + 1)
    return bool(np.abs(shown[greys] - encode_srgb(_colours()[greys])).max() < TOLERANCE)


def make_profile(
    white: Sequence[float], primaries: Sequence[float], curve: float | NDArray[np.float64], grey: bool
) -> bytes | None:
    """Make an ICC profile.

    Args:
        white: Chromaticity x and y of the white point (CIE 1931).
        primaries: Chromaticities x and y of red, green and blue, six numbers.
        curve: From an encoded value to linear light: an exponent, or light in [0, 1] for evenly spaced values.
        grey: Whether the profile is for grey pictures rather than RGB.

    Returns:
        The profile; None where the numbers describe no possible colour space.
    """
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
    """All combinations of STEPS levels of red, green and blue in [0, 1], N x 3."""
    steps = np.linspace(0, 1, STEPS)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)


@lru_cache(maxsize=16)
def _in_srgb(icc: bytes) -> NDArray[np.float64] | None:
    """`_colours` converted from a profile to sRGB, N x 3 in [0, 1]; None if it is damaged, or not for RGB or grey."""
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

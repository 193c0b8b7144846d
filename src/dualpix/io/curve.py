"""From linear light to numbers for a display."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = TypeVar("Floats", bound=np.floating[Any])


def encode_srgb(linear: NDArray[Floats]) -> NDArray[Floats]:
    """The sRGB curve (IEC 61966-2-1), on values in [0, 1]; what lies outside is clipped."""
    light = np.clip(linear, 0, 1)
    straight, bent = 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
    encoded: NDArray[Floats] = np.where(light <= 0.0031308, straight, bent).astype(linear.dtype)
    return encoded

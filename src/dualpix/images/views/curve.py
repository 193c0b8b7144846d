"""From linear light to numbers for a display."""

import numpy as np
from numpy.typing import NDArray


def encode_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sRGB curve (IEC 61966-2-1), on values in [0, 1]; what lies outside is clipped."""
    light = np.clip(linear, 0, 1)
    straight, bent = 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
    return np.where(light <= 0.0031308, straight, bent).astype(np.float32)

"""The sRGB transfer curve, from linear light to display-encoded values."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = TypeVar("Floats", bound=np.floating[Any])


def encode_srgb(linear: NDArray[Floats]) -> NDArray[Floats]:
    """Encode linear light by the sRGB curve (IEC 61966-2-1).

    Args:
        linear: Linear light of any shape, 1 for white; values outside [0, 1] are clipped.

    Returns:
        Display-encoded values in [0, 1], of the same shape and floating-point type.

    Example:
        >>> import numpy as np
        >>> encode_srgb(np.array([0.0, 0.18, 1.0])).round(3).tolist()
        [0.0, 0.461, 1.0]
    """
    light = np.clip(linear, 0, 1)
    linear_part, power_part = 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
    encoded: NDArray[Floats] = np.where(light <= 0.0031308, linear_part, power_part).astype(linear.dtype)
    return encoded

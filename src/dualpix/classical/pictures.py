"""Pictures as the defocus maps take them: checked, as arrays, in the kind of grey that each paper uses."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualpix.errors import PictureError

Array = NDArray[np.float32]
GREY = (0.2989, 0.5870, 0.1140)
STUDIO_LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # Y of YCbCr, from 16 (black) to 235 (white), of 255
STUDIO_BLACK = 16 / 255
GAMMA = 2.4


def colours(picture: Tensor, least_px: int) -> Array:
    """The picture 3 H W as an array, cut to [0, 1].

    Raises `PictureError` if a side is below `least_px` or a value is not finite, ValueError if it is not 3 H W.
    """
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise ValueError(f"A defocus map takes one picture 3 H W, not {tuple(picture.shape)}.")
    height, width = picture.shape[1:]
    if min(height, width) < least_px:
        raise PictureError(
            f"The picture has {width} x {height} pixels, but this defocus map needs {least_px} or more each way;"
            " give a larger picture or crop."
        )
    pixels = picture.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(pixels).all()):
        raise PictureError(
            "The picture holds values that are not numbers (NaN or infinite), which no defocus map can be made of;"
            " repair them or read the picture again."
        )
    return np.asarray(pixels.clamp(0, 1).numpy(), dtype=np.float32)


def grey(pixels: Array) -> Array:
    """Display-encoded grey H W in [0, 1] of colours 3 H W."""
    return np.tensordot(np.asarray(GREY, np.float32), pixels, axes=1)


def linear_luma(pixels: Array) -> Array:
    """Luma H W of colours 3 H W, taken to linear light by a power of 2.4; black is not quite 0."""
    return (np.tensordot(np.asarray(STUDIO_LUMA, np.float32), pixels, axes=1) + np.float32(STUDIO_BLACK)) ** np.float32(
        GAMMA
    )

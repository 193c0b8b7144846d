"""The two files that Google's dual-pixel app for Pixel phones writes: TIME_left.pgm and TIME_right.pgm.

Each holds the green channel alone in linear light, scaled to white 65535 (github.com/google-research/google-research,
dual_pixels). The sensor splits its pixels along its long side, and the app keeps every fourth row but every second
column, so that the picture looks flattened: 2016 x 756 of a 4:3 scene.
"""

import re
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dualpix.errors import PairError
from dualpix.io.curve import encode_srgb
from dualpix.pairs.sources.record import Source, Views, as_view
from dualpix.pairs.views import read_pair

NAME = re.compile(r"(?P<name>.+)_(?P<side>left|right)\.pgm", re.IGNORECASE)
START = re.compile(rb"P5 \d+ \d+ 65535 ")  # the app writes its header as one line that ends in a blank
WHITE, BLACK = 65535, 4096
FLAT_ASPECT = 8 / 3


def is_pixel(path: Path, start: bytes) -> bool:
    """Whether a file is one of the app's two, by its name and its header."""
    return NAME.fullmatch(path.name) is not None and START.match(start) is not None


def read_pixel(path: Path, limit_megapixels: float) -> Views:
    """Read one of the app's files together with the other one beside it. Raises PictureError or PairError."""
    match = NAME.fullmatch(path.name)
    if match is None:
        raise PairError(f"{path} is not named NAME_left.pgm or NAME_right.pgm, so its other view cannot be found.")
    sides = {"left": path, "right": path}
    other = "right" if match["side"].lower() == "left" else "left"
    word = other.upper() if match["side"].isupper() else other
    sides[other] = path.with_name(path.name[: match.start("side")] + word + path.name[match.end("side") :])
    if not sides[other].exists():
        raise PairError(f"{path} has no {sides[other].name} beside it; copy both files of the photograph.")
    return read_pixel_pair(sides["left"], sides["right"], limit_megapixels)


def read_pixel_pair(left: Path, right: Path, limit_megapixels: float) -> Views:
    """Read both files as sRGB-encoded grey, with disparity along rows. Raises PictureError or PairError."""
    pair = read_pair(left, right, limit_megapixels)
    height, width = pair["left"].shape[1:]
    turns = int(height > width)
    views = [_developed(pair["left"], turns), _developed(pair["right"], turns)]
    notes = [
        "The views of a Pixel phone are one green plane in linear light: black was set to 4096 and the sRGB curve "
        "applied; a colour picture cannot be made from it, and the weights were trained on colour, so treat the "
        "result as an experiment."
    ]
    if turns:
        notes.append("The views stand upright, so they are turned by a quarter, and the result is turned back.")
    if _is_flat(height, width):
        notes.append("The app keeps half as many rows as columns: rows were interpolated, so that shapes are right.")
    return Views(
        name=pair["name"],
        left=views[0],
        right=views[1],
        depth=pair["depth"],
        notes=notes,
        grey=True,
        metadata=pair["metadata"],
        quarter_turns=turns,
    )


def _is_flat(height: int, width: int) -> bool:
    return abs(max(height, width) / min(height, width) - FLAT_ASPECT) < 0.02


def _developed(view: Tensor, turns: int) -> Tensor:
    grey = torch.rot90(view[0], turns).contiguous()
    if _is_flat(*grey.shape):
        height, width = grey.shape
        grey = functional.interpolate(grey[None, None], (2 * height, width), mode="bilinear")[0, 0]
    linear: NDArray[np.float32] = (grey.numpy() * np.float32(WHITE) - BLACK) / np.float32(WHITE - BLACK)
    return as_view(encode_srgb(linear))


PIXEL = Source(name="pixel", read=read_pixel, recognises=is_pixel, about="Pixel’s two PGM files")

"""Depth in metres as a file and in words."""

import math
from pathlib import Path

from torch import Tensor

from dualpix.errors import PictureError
from dualpix.inference.disparity import Disparity
from dualpix.inference.optics import ERROR_PX, Optics
from dualpix.io import Metadata
from dualpix.io.floats import encode_floats
from dualpix.io.staging import as_place
from dualpix.io.writing import encode_picture, write_encoded
from dualpix.machine.urls import Location

FLOAT_SUFFIXES, LEVEL_SUFFIXES = (".tif", ".tiff"), (".png",)
FARTHEST_MM = 65535
IN_FLOATS, IN_LEVELS = "metres, inf beyond infinity", "millimetres = level, 65535 from 65.535 m on"


def write_metres(
    path: str | Location, depth_m: Tensor, metadata: Metadata | None = None, *, overwrite: bool = False
) -> None:
    """Write distances: into a TIFF as metres in 32-bit floats, into a PNG as millimetres in 16 bits.

    A TIFF holds infinity as such, a PNG as 65535, like everything beyond 65.535 m.

    Args:
        path: A file that ends in .tif, .tiff or .png.
        depth_m: 1 x H x W in metres.
        metadata: What to write along, as in `write_picture`.
        overwrite: Replace what exists.

    Raises:
        PictureError: Another ending, or the file cannot be written.
    """
    path = as_place(path)
    write_encoded([(path, encode_metres(path, depth_m, metadata, overwrite=overwrite))], overwrite)


def encode_metres(
    path: Location, depth_m: Tensor, metadata: Metadata | None = None, *, overwrite: bool = False
) -> bytes:
    """The bytes that `write_metres` writes there."""
    check_metres(path)
    if is_in_floats(path):
        return encode_floats(path, depth_m, metadata, overwrite=overwrite)
    levels = (1000 * depth_m).round().clamp(1, FARTHEST_MM)  # 0 means unknown to most programs
    plane = (levels / 65535).expand(3, -1, -1)
    return encode_picture(path, plane, 16, overwrite, metadata or Metadata(), grey=True)[0]


def check_metres(path: str | Location) -> None:
    """Refuse a file that cannot hold a depth.

    Raises:
        PictureError: For another ending.
    """
    if Path(path).suffix.lower() not in FLOAT_SUFFIXES + LEVEL_SUFFIXES:
        raise PictureError(
            f"{path} cannot hold a depth; end its name in {' or '.join(FLOAT_SUFFIXES)} for floating-point metres, or"
            f" in {LEVEL_SUFFIXES[0]} for millimetres in 16 bits."
        )


def is_in_floats(path: str | Location) -> bool:
    """Whether `write_metres` writes metres as floats there, and not whole millimetres."""
    return Path(path).suffix.lower() in FLOAT_SUFFIXES


def meaning_of(path: str | Location) -> str:
    """What the numbers in a file of `write_metres` mean."""
    return IN_FLOATS if is_in_floats(path) else IN_LEVELS


def describe_metres(found: Disparity, optics: Optics) -> str:
    """The median distance, how far it moves with a tenth of a pixel of disparity, and the share beyond infinity.

    Args:
        found: With `depth_m`; pixels count by their confidence.
        optics: Those that the depth was found with.

    Returns:
        Words, such as "median 2 m, 1.92 m to 2.09 m with 0.1 px more or less".
    """
    assert found.depth_m is not None
    depth_m, order = found.depth_m.flatten().sort()
    weight = found.confidence.flatten()[order].double() + 1e-9
    share = weight.cumsum(0) / weight.sum()
    middle_m = float(depth_m[int((share < 0.5).sum())])
    beyond = float(weight[depth_m.isinf()].sum() / weight.sum())
    told = f"median {metres(middle_m)}"
    if not math.isinf(middle_m):
        near_m, far_m = optics.within(middle_m)
        told += f", {metres(near_m)} to {metres(far_m)} with {ERROR_PX:g} px more or less"
    return told + (f"; {beyond:.0%} beyond infinity" if beyond >= 0.005 else "")


def metres(distance_m: float) -> str:
    """A distance in words."""
    return "infinity" if math.isinf(distance_m) else f"{distance_m:.3g} m"

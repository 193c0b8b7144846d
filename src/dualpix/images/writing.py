"""Write a picture file so that either the whole picture is there afterwards or nothing is."""

import io
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualpix.errors import PictureError
from dualpix.files import write_whole

JPEG_QUALITY = 95


def write_picture(path: str | Path, pixels: Tensor, depth: int = 16, overwrite: bool = False) -> None:
    """Write `pixels` (3 x H x W, any float type, clipped to [0, 1]) as PNG, TIFF, JPEG or WebP, as the extension says.

    `depth` is 8 or 16 bits; JPEG (quality 95, 4:4:4) and WebP (lossless) always hold 8. The file appears at once and
    whole: a failure or an interrupt leaves what was there before. Raises PictureError as `check_output` does, and if
    the picture holds NaN or Inf, is too large for the format, or the disk refuses it.
    """
    path = Path(path)
    if pixels.ndim != 3 or len(pixels) != 3 or not pixels.is_floating_point():
        raise ValueError(f"pixels must be a float tensor 3 x H x W, not {pixels.dtype} {tuple(pixels.shape)}")
    if depth not in (8, 16):
        raise ValueError(f"depth must be 8 or 16, not {depth}")
    check_output(path, overwrite)
    suffix = path.suffix.lower()
    if max(pixels.shape) > (limit := LONGEST_SIDE_PX.get(suffix, 2**31 - 1)):
        raise PictureError(f"{path} was not written: {suffix} ends at {limit} pixels on a side; choose .png or .tif.")
    if not torch.isfinite(pixels).all():
        raise PictureError(f"{path} was not written: the picture holds values that are not finite (NaN or Inf).")
    levels = to_levels(pixels, depth if suffix in SIXTEEN_BIT else 8)
    _write(path, ENCODERS[suffix](levels))


def check_output(path: str | Path, overwrite: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Find out, before any work is done, whether `path` can be written. Leaves nothing behind.

    Raises PictureError for an unknown extension, a folder, one of the `inputs`, an existing file without `overwrite`,
    and a folder that is missing or cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() not in ENCODERS:
        raise PictureError(f"{path} has no known picture extension; end it in one of: {', '.join(ENCODERS)}.")
    if os.path.isdir(path):
        raise PictureError(f"{path} is a folder; give the name of a file to write.")
    refuse_overwriting_inputs(path, inputs)
    if os.path.exists(path) and not overwrite:
        raise PictureError(f"{path} exists already; choose another name, or give --overwrite (overwrite=True).")
    _check_folder(path)


def refuse_overwriting_inputs(output: str | Path, inputs: Iterable[str | Path]) -> None:
    """Raise PictureError if `output` is one of `inputs`, by whatever name: links and letter case are seen through."""
    for given in inputs:
        if os.path.exists(output) and os.path.exists(given) and os.path.samefile(output, given):
            raise PictureError(f"{output} is one of the inputs ({given}) and would be lost; choose another name.")


def _check_folder(path: Path) -> None:
    folder = Path(os.path.realpath(path)).parent
    if not os.path.isdir(folder):
        raise PictureError(f"{path} cannot be written: the folder {folder} does not exist; create it first.")
    try:
        if not os.path.lexists(path):
            path.lstat()  # tells a free name from an impossible one, such as one too long for the disk
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    try:
        # Trying is the only test that permissions, read-only disks and full ones cannot fool.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> PictureError:
    reason = getattr(error, "strerror", None) or error
    return PictureError(f"{path} cannot be written: {reason}; choose another place or name.")


def to_levels(pixels: Tensor, depth: int) -> NDArray[Any]:
    """3 x H x W in [0, 1] (clipped) to H x W x 3 unsigned integers of `depth` bits, rounded to the nearest."""
    top = 2**depth - 1
    rounded = (pixels.detach().float().clamp(0, 1) * top).round()
    return np.ascontiguousarray(rounded.permute(1, 2, 0).cpu().numpy(), dtype=np.uint8 if depth == 8 else np.uint16)


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise _unwritable(path, error) from error


def _png(levels: NDArray[Any]) -> bytes:
    # The fastest settings that still compress a photograph: 0.2 s for 1680 x 1120 at 16 bits, 2 % above the slowest.
    return bytes(imagecodecs.png_encode(levels, level=1, strategy=3, filter=16))


def _tiff(levels: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    compression: dict[str, Any] = {"compression": "zlib", "compressionargs": {"level": 1}, "predictor": True}
    tifffile.imwrite(buffer, levels, photometric="rgb", metadata=None, software="dualpix", **compression)
    return buffer.getvalue()


def _jpeg(levels: NDArray[Any]) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(levels, JPEG_QUALITY, subsampling="444"))


def _webp(levels: NDArray[Any]) -> bytes:
    return bytes(imagecodecs.webp_encode(levels, lossless=True, method=0))


ENCODERS: dict[str, Callable[[NDArray[Any]], bytes]] = {
    ".png": _png,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
}
SIXTEEN_BIT = {".png", ".tif", ".tiff"}
LONGEST_SIDE_PX = {".jpg": 65500, ".jpeg": 65500, ".webp": 16382}  # what the encoders take

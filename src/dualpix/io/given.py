"""Pictures as they are given from Python: paths, arrays, tensors, Pillow's images."""

import os
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dualpix.errors import PictureError
from dualpix.io.reading import read_picture

PictureLike: TypeAlias = str | os.PathLike[str] | np.ndarray[Any, Any] | Tensor | Image.Image

SHAPES = "H x W x 3 or 3 x H x W in RGB, or H x W in grey"
TOPS = {torch.uint8: 255, torch.uint16: 65535}
DEEP_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes in which Pillow holds pictures of one channel and 16 bits."""


class Given(NamedTuple):
    """`pixels`: floats 3 x H x W, in [0, 1] if they were integers; `grey`: whether one channel was given; `kind`: the
    type of its numbers, by name, or "file"."""

    pixels: Tensor
    grey: bool
    kind: str


def as_picture(picture: PictureLike, name: str = "picture") -> Given:
    """Read or convert what stands for a picture; `name` is what messages call it.

    Integers of 8 and 16 bits become float32 in [0, 1]; floats keep their type, and a tensor its device. Raises
    PictureError, which says what is accepted, for anything else.
    """
    if isinstance(picture, str | os.PathLike):
        read = read_picture(Path(picture))
        return Given(read.pixels, read.grey, "file")
    if isinstance(picture, Image.Image):
        picture = _of_pillow(picture, name)
    tensor = _plain(picture, name) if isinstance(picture, Tensor) else _as_tensor(picture, name)
    if tensor.ndim == 2:
        tensor = tensor[None]
    if tensor.ndim == 3 and tensor.shape[0] not in (1, 3) and tensor.shape[2] in (1, 3):
        tensor = tensor.permute(2, 0, 1)
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        shape = " x ".join(map(str, tensor.shape))
        raise PictureError(f"The {name} has shape {shape}; give {SHAPES}.")
    if not tensor.numel():
        raise PictureError(f"The {name} holds no pixels ({' x '.join(map(str, tensor.shape))}); give one that does.")
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.dtype not in TOPS and not tensor.is_floating_point():
        raise PictureError(f"The {name} has type {kind}; give uint8, uint16, or floats in [0, 1].")
    if tensor.dtype in TOPS:
        tensor = tensor.to(torch.float32) / TOPS[tensor.dtype]
    return Given(tensor.expand(3, -1, -1), len(tensor) == 1, kind)


def _plain(tensor: Tensor, name: str) -> Tensor:
    """Without gradients. Raises `PictureError` for tensors that hold no numbers, or not one for each pixel."""
    if tensor.is_nested or tensor.layout != torch.strided or tensor.is_meta:
        what = "nested" if tensor.is_nested else "meta" if tensor.is_meta else "sparse"
        raise PictureError(f"The {name} is a {what} tensor; give one that holds every pixel, {SHAPES}.")
    return tensor.detach()


def _of_pillow(picture: Image.Image, name: str) -> np.ndarray[Any, Any]:
    """H x W x 3 or H x W; transparency is dropped, palettes are looked up."""
    try:
        if picture.mode in DEEP_GREY:
            levels = np.asarray(picture)
            if levels.min() < 0 or levels.max() > 65535:
                raise PictureError(f"The {name} holds levels outside of 16 bits; give uint8 or uint16 levels.")
            return levels.astype(np.uint16)
        if picture.mode in ("1", "L", "LA", "La"):
            return np.asarray(picture.convert("L"))
        if picture.mode in ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa"):
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError) as error:  # of a closed one, too
        raise PictureError(f"The {name} is damaged, cut short or closed ({error}); open it again.") from error
    raise PictureError(f'The {name} is a Pillow image of mode {picture.mode}; convert it by .convert("RGB").')


def _as_tensor(thing: Any, name: str) -> Tensor:
    """A NumPy array, or what can be one without looking at its single numbers, as a tensor."""
    if not (hasattr(thing, "__array__") or hasattr(thing, "__array_interface__")):
        raise PictureError(
            f"The {name} is of type {type(thing).__name__}; give the path of a picture file, a Pillow image, or an"
            f" array or a tensor, {SHAPES}."
        )
    try:
        array = np.asarray(thing)
        # PyTorch knows neither the other byte order nor numbers longer than these, and keeps what it is given.
        wanted = np.dtype(np.float64) if array.dtype.kind == "f" and array.dtype.itemsize > 8 else array.dtype
        return torch.from_numpy(array.astype(wanted.newbyteorder("="), order="C"))
    except (TypeError, ValueError) as error:
        kind = getattr(getattr(thing, "dtype", None), "name", type(thing).__name__)
        told = f"The {name} is no array of numbers, but of {kind}; give uint8, uint16 or floats."
        raise PictureError(told) from error

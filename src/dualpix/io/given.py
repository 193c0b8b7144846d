"""Pictures as Python callers give them: paths, NumPy arrays, PyTorch tensors or Pillow images."""

import os
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dualpix.errors import PictureError
from dualpix.io.reading import read_picture
from dualpix.io.staging import as_place

PictureLike: TypeAlias = str | os.PathLike[str] | np.ndarray[Any, Any] | Tensor | Image.Image

SHAPES = "H x W x 3 or 3 x H x W in RGB, or H x W in grey"
TOPS = {torch.uint8: 255, torch.uint16: 65535}
DEEP_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes in which Pillow holds pictures of one channel and 16 bits."""


class Given(NamedTuple):
    """A picture in the form that the package computes with.

    Attributes:
        pixels: Floats, 3 x H x W, in [0, 1] if integers were given.
        grey: Whether it had one channel, which is repeated in `pixels`.
        kind: Name of the number type as given, such as "uint8"; "file" for a picture that was read from a path.
    """

    pixels: Tensor
    grey: bool
    kind: str


def as_picture(picture: PictureLike, name: str = "picture") -> Given:
    """Convert anything that may stand for a picture, or read it if it is a path.

    Args:
        picture: A path or a URL, or an array, a tensor or a Pillow image of H x W x 3, 3 x H x W or H x W (grey);
            uint8, uint16, or floats, which are neither scaled nor clipped. Transparency of a Pillow image is dropped.
        name: What error messages call it, such as "left view".

    Returns:
        Floats, 3 x H x W: float32 in [0, 1] for integers; floats keep their type, and tensors their device.

    Raises:
        PictureError: It is something else, has another shape or number type, or holds no pixels.

    Example:
        >>> import numpy as np
        >>> given = as_picture(np.full((20, 30), 255, np.uint8))
        >>> given.pixels.shape, given.grey, float(given.pixels.max())
        (torch.Size([3, 20, 30]), True, 1.0)
    """
    if isinstance(picture, str | os.PathLike):
        read = read_picture(as_place(picture))
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
    """The tensor without its gradients. Raises `PictureError` for sparse, nested and meta tensors."""
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
    except (OSError, ValueError) as error:  # a ValueError comes from an image that was closed
        raise PictureError(f"The {name} is damaged, cut short or closed ({error}); open it again.") from error
    raise PictureError(f'The {name} is a Pillow image of mode {picture.mode}; convert it with .convert("RGB").')


def _as_tensor(thing: Any, name: str) -> Tensor:
    """A NumPy array, or anything that offers NumPy's array interface, as a tensor."""
    if not (hasattr(thing, "__array__") or hasattr(thing, "__array_interface__")):
        raise PictureError(
            f"The {name} is of type {type(thing).__name__}; give the path of a picture file, a Pillow image, or an"
            f" array or a tensor, {SHAPES}."
        )
    if isinstance(thing, np.ma.MaskedArray) and np.ma.is_masked(thing):
        raise PictureError(
            f"The {name} is an array with masked pixels; give one that holds every pixel, such as .filled(0)."
        )
    try:
        array = np.asarray(thing)
        # PyTorch knows neither foreign byte orders nor floats beyond 64 bits, and shares memory, so this is a copy.
        wanted = np.dtype(np.float64) if array.dtype.kind == "f" and array.dtype.itemsize > 8 else array.dtype
        return torch.from_numpy(array.astype(wanted.newbyteorder("="), order="C"))
    except (TypeError, ValueError) as error:
        kind = getattr(getattr(thing, "dtype", None), "name", type(thing).__name__)
        message = f"The {name} is not an array of numbers but of {kind}; give uint8, uint16 or floats."
        raise PictureError(message) from error

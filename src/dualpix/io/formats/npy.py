"""NumPy's array files (.npy), alone or inside a .npz; the header is checked before memory is allocated by it.

Layout: "NEP 1 - A simple file format for NumPy arrays".
"""

import io
import os
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LONGEST_HEADER = 10_000
"""Bytes. NumPy has the same limit, but reads the whole header before it checks it."""


MAPPED = {"|u1": torch.uint8, "<u2": torch.uint16, "<f4": torch.float32}
"""Number types that `map_npy` knows, as NumPy writes them."""


class ArrayLayout(NamedTuple):
    """What the header of an array file declares.

    Attributes:
        shape: Of the array; every side is 1 or more.
        columns_first: Whether it is stored in Fortran order.
        dtype: The number type.
        size: Of all numbers together, in bytes.
    """

    shape: tuple[int, ...]
    columns_first: bool
    dtype: np.dtype[Any]
    size: int


def read_layout(file: IO[bytes]) -> ArrayLayout:
    """Read the header of an array file and nothing behind it. Raises ValueError if it is damaged."""
    start = file.read(8)
    width = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(start[6:])
    if start[:6] != b"\x93NUMPY" or width is None:
        raise ValueError("it is not a NumPy array")
    length = file.read(width)
    if int.from_bytes(length, "little") > LONGEST_HEADER:
        raise ValueError("the header of its array is too long")
    header = io.BytesIO(length + file.read(int.from_bytes(length, "little")))
    read = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    try:
        shape, columns_first, dtype = read(header)
    except Exception as error:  # the header is a Python literal; a damaged one may raise nearly anything
        raise ValueError("the header of its array is damaged") from error
    if any(isinstance(side, bool) or side < 1 for side in shape):
        raise ValueError(f"its array declares {shape}, but every side must have 1 or more")
    return ArrayLayout(shape, columns_first, dtype, prod(shape) * dtype.itemsize)


def as_array(data: bytes, layout: ArrayLayout) -> NDArray[Any]:
    """The array whose numbers are in `data`. Raises ValueError if these are too few, or Python objects."""
    return np.frombuffer(data, layout.dtype, prod(layout.shape)).reshape(
        layout.shape, order="F" if layout.columns_first else "C"
    )


def read_npy(path: Path) -> NDArray[Any]:
    """Read the array of a .npy file; it is read-only.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, cut short or holds Python objects.
    """
    with path.open("rb") as file:
        layout = read_layout(file)
        if layout.size > os.fstat(file.fileno()).st_size - file.tell():
            raise ValueError("it is cut short")
        return as_array(file.read(layout.size), layout)


def map_npy(path: Path) -> Tensor:
    """Map the array of a .npy file into memory: its numbers are read when they are looked at. Do not write to it.

    PyTorch closes the file afterwards; NumPy would keep one open for each array.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is damaged or cut short, or its numbers are neither bytes, 16-bit words nor float32.
    """
    with path.open("rb") as file:
        layout = read_layout(file)
        start, size = file.tell(), os.fstat(file.fileno()).st_size
    kind = MAPPED.get(layout.dtype.str)
    if kind is None or layout.columns_first or size != start + layout.size:
        raise ValueError("it does not hold what can be mapped")
    whole = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
    return whole[start:].view(kind).view(layout.shape)

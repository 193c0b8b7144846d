"""NumPy's array files (.npy), alone or inside a .npz: what a header declares is checked before it is believed."""

import io
import os
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LONGEST_HEADER = 10_000
"""Bytes; NumPy reads a header of any length before it compares it with the same limit."""


class ArrayLayout(NamedTuple):
    """What a header declares: the shape, every side of which is 1 or more, whether columns come first, the kind of
    numbers, and how many bytes they all take."""

    shape: tuple[int, ...]
    columns_first: bool
    dtype: np.dtype[Any]
    size: int


def read_layout(file: IO[bytes]) -> ArrayLayout:
    """Read the header and no more, up to where the numbers begin. Raises ValueError if it is damaged."""
    start = file.read(8)
    width = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(start[6:])
    if start[:6] != b"\x93NUMPY" or width is None:
        raise ValueError("it is no NumPy array")
    length = file.read(width)
    if int.from_bytes(length, "little") > LONGEST_HEADER:
        raise ValueError("the header of its array is too long")
    header = io.BytesIO(length + file.read(int.from_bytes(length, "little")))
    read = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    try:
        shape, columns_first, dtype = read(header)
    except Exception as error:  # The text of a Python literal: what is wrong in it raises nearly anything.
        raise ValueError("the header of its array is damaged") from error
    if any(isinstance(side, bool) or side < 1 for side in shape):
        raise ValueError(f"its array declares {shape}, but every side must have 1 or more")
    return ArrayLayout(shape, columns_first, dtype, prod(shape) * dtype.itemsize)


def as_array(data: bytes, layout: ArrayLayout) -> NDArray[Any]:
    """The array that lies in `data`. Raises ValueError if it is too short, or of Python objects."""
    return np.frombuffer(data, layout.dtype, prod(layout.shape)).reshape(
        layout.shape, order="F" if layout.columns_first else "C"
    )


def read_npy(path: Path) -> NDArray[Any]:
    """The array in a .npy file; it cannot be written to. Raises OSError if it cannot be read, and ValueError if it is
    damaged, cut short or of Python objects."""
    with path.open("rb") as file:
        layout = read_layout(file)
        if layout.size > os.fstat(file.fileno()).st_size - file.tell():
            raise ValueError("it is cut short")
        return as_array(file.read(layout.size), layout)

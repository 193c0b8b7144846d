"""Two views as NumPy arrays in one .npz file, under the names left and right."""

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dualpix.errors import PairError, PictureError
from dualpix.images.metadata import Metadata
from dualpix.images.pairs import require_pair
from dualpix.images.views.views import Views, as_view

DEPTHS = {"|u1": 8, "<u2": 16, ">u2": 16, "<f2": 16, "<f4": 16, "<f8": 16, ">f4": 16, ">f8": 16}
ACCEPTED = "H x W, H x W x 3 or 3 x H x W, of uint8, uint16, or floats in [0, 1]"


def is_arrays(path: Path, start: bytes) -> bool:
    """Whether a file is a .npz by its name and its first bytes."""
    return path.suffix.lower() == ".npz" and start.startswith(b"PK")


def read_arrays(path: Path, limit_megapixels: float) -> Views:
    """Read the arrays `left` and `right`, display-encoded. Nothing in the file is executed.

    Raises PictureError if they are missing, damaged or of another kind, and PairError if they do not belong together.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            left, right = (_read(archive, path, name, limit_megapixels) for name in ("left", "right"))
    except PictureError:
        raise
    except Exception as error:  # decoders meet hostile bytes here
        raise PictureError(
            f"{path} is damaged or cut short ({error or type(error).__name__}); save it again."
        ) from error
    if left.shape != right.shape or left.dtype != right.dtype:
        kinds = f"{left.dtype} {left.shape} and {right.dtype} {right.shape}"
        raise PairError(f"The arrays left and right in {path} differ ({kinds}); save both views in the same way.")
    first, second = as_view(_scaled(left)), as_view(_scaled(right))
    require_pair(first, second, f"left and right in {path}")
    return Views(
        name=path.stem,
        left=first,
        right=second,
        depth=DEPTHS[left.dtype.str],
        notes=[],
        grey=left.ndim == 2,
        metadata=Metadata(),
        quarter_turns=0,
    )


def _read(archive: zipfile.ZipFile, path: Path, name: str, limit_megapixels: float) -> NDArray[Any]:
    """One array, whose header is checked before anything of its size is allocated."""
    if f"{name}.npy" not in archive.namelist():
        there = ", ".join(member.removesuffix(".npy") for member in archive.namelist()[:6]) or "none"
        raise PictureError(f"{path} holds no array called {name} (it has: {there}); save it with left= and right=.")
    with archive.open(f"{name}.npy") as file:
        shape, columns_first, dtype = _header(file)
        if dtype.str not in DEPTHS or not (len(shape) == 2 or (len(shape) == 3 and 3 in (shape[0], shape[2]))):
            raise PictureError(f"The array {name} in {path} is {dtype} {shape}; give {ACCEPTED}.")
        count = int(np.prod([int(side) for side in shape], dtype=object))
        if count > limit_megapixels * 1e6 * (3 if len(shape) == 3 else 1):
            limit = f"the limit of {limit_megapixels:g} megapixels"
            raise PictureError(f"The array {name} in {path} declares {shape}, more than {limit}; is it damaged?")
        data = file.read(count * dtype.itemsize)
    array = np.frombuffer(data, dtype, count).reshape(shape, order="F" if columns_first else "C")
    return array.transpose(1, 2, 0) if array.ndim == 3 and array.shape[2] != 3 else array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def _scaled(array: NDArray[Any]) -> NDArray[Any]:
    return array / np.float32(np.iinfo(array.dtype).max) if array.dtype.kind == "u" else array.astype(np.float32)

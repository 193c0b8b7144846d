"""Two views as NumPy arrays in one .npz file, under the names left and right."""

import zipfile
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dualpix.errors import PairError, PictureError, reason_of
from dualpix.io.formats.npy import as_array, read_layout
from dualpix.io.metadata import Metadata
from dualpix.pairs.sources.record import Source, Views, as_view
from dualpix.pairs.views import require_pair

DEPTHS = {"|u1": 8, "<u2": 16, ">u2": 16, "<f2": 16, "<f4": 16, "<f8": 16, ">f2": 16, ">f4": 16, ">f8": 16}
ENDINGS = (".npz",)
ENCRYPTED = 1  # a bit among the flags of an entry
ACCEPTED = "H x W, H x W x 3 or 3 x H x W, of uint8, uint16, or floats in [0, 1]"


def is_arrays(path: Path, start: bytes) -> bool:
    """Whether a file is a .npz, by its name and its first bytes."""
    return path.suffix.lower() in ENDINGS and start.startswith(b"PK")


def read_arrays(path: Path, limit_megapixels: float) -> Views:
    """Read the arrays `left` and `right`, display-encoded. Nothing in the file is executed.

    Args:
        path: A .npz file. Its arrays are H x W, H x W x 3 or 3 x H x W, of uint8, uint16, or floats in [0, 1].
        limit_megapixels: The largest array that is decoded, in millions of pixels.

    Raises:
        PictureError: An array is missing, damaged, or of another kind.
        PairError: The arrays differ in shape or number type, or hold the same pixels.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            left, right = (_read(archive, path, name, limit_megapixels) for name in ("left", "right"))
    except PictureError:
        raise
    except Exception as error:  # the file may be malicious, and decoders may raise anything
        raise PictureError(f"{path} is damaged or cut short ({reason_of(error)}); save it again.") from error
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
    """Read one array; its entry and header are checked before anything of its size is decompressed."""
    entries = [entry for entry in archive.infolist() if entry.filename == f"{name}.npy"]
    if not entries:
        there = ", ".join(member.removesuffix(".npy") for member in archive.namelist()[:6]) or "none"
        raise PictureError(f"{path} holds no array called {name} (it has: {there}); save it with left= and right=.")
    (entry,) = entries if len(entries) == 1 else _refuse(path, f"holds more than one array called {name}")
    # Python's zipfile limits how much one read decompresses for these two methods only.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & ENCRYPTED:
        _refuse(path, f"holds the array {name} compressed in a way that NumPy never uses")
    with archive.open(entry) as file:
        layout = read_layout(file)
        shape, dtype = layout.shape, layout.dtype
        if dtype.str not in DEPTHS or not (len(shape) == 2 or (len(shape) == 3 and 3 in (shape[0], shape[2]))):
            raise PictureError(f"The array {name} in {path} is {dtype} {shape}; give {ACCEPTED}.")
        if prod(shape) > limit_megapixels * 1e6 * (3 if len(shape) == 3 else 1):
            limit = f"the limit of {limit_megapixels:g} megapixels"
            raise PictureError(f"The array {name} in {path} declares {shape}, more than {limit}; is it damaged?")
        if entry.file_size != file.tell() + layout.size:
            raise PictureError(f"{path} is damaged: its array {name} is not as long as it declares; save it again.")
        array = as_array(file.read(layout.size), layout)
    return array.transpose(1, 2, 0) if array.ndim == 3 and array.shape[2] != 3 else array


def _refuse(path: Path, what: str) -> NoReturn:
    raise PictureError(f"{path} {what}; save it again with np.savez.")


def _scaled(array: NDArray[Any]) -> NDArray[Any]:
    return array / np.float32(np.iinfo(array.dtype).max) if array.dtype.kind == "u" else array.astype(np.float32)


NPZ = Source(name="npz", read=read_arrays, recognises=is_arrays, endings=ENDINGS, is_picture=False, about="NPZ")

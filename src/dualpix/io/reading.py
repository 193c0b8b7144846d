"""Read a picture file into a float tensor at its full bit depth, or say in one sentence why that is not possible."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualpix.errors import PictureError, reason_of
from dualpix.io.colours import tell_colours
from dualpix.io.formats import FORMATS
from dualpix.io.formats.record import Noted
from dualpix.io.headers import peek
from dualpix.io.metadata import Metadata, read_metadata
from dualpix.io.opening import Header, as_path
from dualpix.io.several import count_in_words, other_sizes_in, pictures_in
from dualpix.io.staging import as_place, local_copies
from dualpix.machine.modes import settled
from dualpix.machine.urls import Location

# Damage is reported once, by a PictureError, and not in the decoder's log as well.
for name in ("tifffile", "imagecodecs"):
    logging.getLogger(name).addHandler(logging.NullHandler())

MIN_SIDE_PX = 16
LIMIT_MEGAPIXELS = 200.0
SURE_BITS = 12

TURNED = "has orientation tag"
"""In a note on a picture that lies on its side."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as read. Rows stay the rows of the file, whatever its orientation tag says: disparity runs along them.

    Attributes:
        path: The file, or its URL.
        pixels: float32, 3 x H x W in [0, 1], display-encoded.
        depth: 8 or 16 bits per channel in the file (16 for floating-point files).
        grey: Whether the file has one channel, which is repeated in `pixels`.
        notes: What was changed on reading or looks odd, one sentence each.
        metadata: Colour profile, EXIF, XMP and more, to be given to `write_picture`.
        format: "PNG", "TIFF" or another name in FORMATS.
    """

    path: Location
    pixels: Tensor = field(repr=False)
    depth: int
    grey: bool = False
    notes: tuple[str, ...] = ()
    metadata: Metadata = field(default=Metadata(), repr=False)
    format: str = "PNG"


@settled()
def read_picture(path: str | Location, limit_megapixels: float = LIMIT_MEGAPIXELS) -> Picture:
    """Read a picture file of any format in FORMATS, recognised by its content; of a file with many pictures, the first.

    Grey is repeated into three channels and alpha is dropped. `Picture.notes` mentions both, and whatever looks odd:
    further pictures in the file, 16-bit files that use only their low bits, linear light, colour spaces stated without
    an ICC profile (which are turned into one).

    Args:
        path: The file, of this disk or by URL (see `machine.urls`).
        limit_megapixels: The largest picture that is decoded, in millions of pixels.

    Returns:
        The picture, 3 x H x W in [0, 1], with its bit depth and metadata.

    Raises:
        PictureError: The file is missing, unreadable, empty, damaged, cut short or of another format; the picture has a
            side below 16 pixels; it declares more than `limit_megapixels` (found before decoding); or its
            floating-point values are not finite or outside [0, 1]. The message names the file.

    Example:
        >>> import os, tempfile
        >>> import torch
        >>> from dualpix import read_picture, write_picture
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "grey.png")
        ...     left_out = write_picture(path, torch.full((3, 16, 24), 0.5), depth=8)
        ...     picture = read_picture(path)
        >>> picture.format, picture.depth, picture.pixels.shape
        ('PNG', 8, torch.Size([3, 16, 24]))
    """
    with local_copies(path) as (local,), _opened(local) as file:
        picture = _read(local, file, limit_megapixels)
        count, others = len(pictures_in(file)), other_sizes_in(file)
    path = as_place(path)
    notes = [f"{path.name} holds {count_in_words(count)} pictures of one size: the first is used."] if count > 1 else []
    if others:
        notes.append(f"{path.name} holds further pictures, which are left out: {', '.join(others[:4])} pixels.")
    return replace(picture, path=path, notes=(*picture.notes, *notes))


def read_pictures(path: str | Path, limit_megapixels: float = LIMIT_MEGAPIXELS) -> list[Picture]:
    """Read all pictures of a file that are as large as its first: pages of a TIFF, pictures of a JPEG (.mpo) or a PPM.

    Args:
        path: The file.
        limit_megapixels: The largest picture that is decoded, in millions of pixels.

    Raises:
        PictureError: As for `read_picture`.
    """
    path = as_path(path)
    with _opened(path) as file:
        first = _read(path, file, limit_megapixels)
        return [first, *(_read(path, part, limit_megapixels) for part in pictures_in(file)[1:])]


def count_pictures(path: str | Path) -> int:
    """How many pictures `read_pictures` would find; 0 for a file that is not a readable picture."""
    try:
        with _opened(Path(path)) as file:
            return len(pictures_in(file))
    except PictureError:
        return 0


def _read(path: Path, file: BinaryIO, limit_megapixels: float) -> Picture:
    header = peek(file)
    _check_size(path, header, limit_megapixels)
    array, odd = _decode(path, file, header)
    kind = FORMATS[header.format]
    metadata = read_metadata(kind.read_blocks(file), header)
    tell = partial(kind.tell_colours, file, header, metadata) if kind.tell_colours else None
    metadata, told = tell_colours(header, metadata, tell)
    grey = array.shape[2] < 3
    notes = [f"{path.name} {note}" for note in (*header.notes, *odd, *told, *_notes(array, metadata, header))]
    notes += [f"{path.name}: {note}" for note in metadata.left_out]
    pixels = _to_tensor(path, array[:, :, : 1 if grey else 3])
    return Picture(path, pixels, header.depth, grey, tuple(notes), metadata, header.format)


def _notes(array: NDArray[Any], metadata: Metadata, header: Header) -> list[str]:
    """What was changed on reading H x W x channels, or looks odd: half sentences, to follow the name of the file."""
    notes = []
    if array.shape[2] < 3:
        notes.append("is grey: its one channel stands for red, green and blue.")
    if array.shape[2] in (2, 4):
        notes.append("has an alpha channel (transparency): it is ignored.")
    if metadata.orientation != 1:
        notes.append(f"{TURNED} {metadata.orientation}: it is not rotated on reading, so that rows stay sensor rows.")
    if header.is_float and metadata.icc is None:
        notes.append("holds floating-point numbers without a colour profile: they are taken as sRGB, not linear light.")
    return notes + low_bits(array[:, :, : 1 if array.shape[2] < 3 else 3])


def low_bits(array: NDArray[Any]) -> list[str]:
    """Half a sentence if 16-bit integers use only their low bits, as unscaled sensor values do; otherwise empty."""
    highest = int(array.max()) if array.dtype == np.uint16 else 0
    bits = highest.bit_length()
    # Dark photographs also stay below 13 or 14 bits, but their maximum is seldom just below.
    if 0 < bits <= SURE_BITS or (bits < 15 and highest > 0.95 * 2**bits):
        what = f"uses only the lowest {bits} of its 16 bits (no value is above {highest})"
        return [f"{what}, so it is very dark; if white is {2**bits - 1}, scale it to 65535 first."]
    return []


def suffix_of(path: str | Path) -> str:
    """The usual ending for the format that a file really has. Raises PictureError as `read_picture` does."""
    with _opened(as_path(path)) as file:
        header = peek(file)
    return FORMATS[header.format].usual_ending(header.channels)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, whose disk may fail while it is read. Raises PictureError."""
    with _open(path) as file:
        try:
            yield file
        except OSError as error:
            raise PictureError(f"{path} cannot be read: {error.strerror or error}; copy it again.") from error


def _open(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise PictureError(f"{path} is a folder; give a picture file.")
        if path.exists() and not path.is_file():
            raise PictureError(f"{path} is not a regular file; give a picture file.")
        return path.open("rb")
    except FileNotFoundError:
        raise PictureError(f"{path} does not exist; check the name and the folder.") from None
    except (OSError, ValueError) as error:
        raise PictureError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from error


def _check_size(path: Path, header: Header, limit_megapixels: float) -> None:
    size = f"{header.width} x {header.height} pixels"
    if header.width * header.height > limit_megapixels * 1e6:
        limit = f"the limit of {limit_megapixels:g} megapixels"
        raise PictureError(f"{path} declares {size}, more than {limit}; raise the limit if you trust the file.")
    if min(header.width, header.height) < MIN_SIDE_PX:
        raise PictureError(f"{path} has {size}; both sides must have at least {MIN_SIDE_PX}.")


def _decode(path: Path, file: BinaryIO, header: Header) -> Noted:
    """The pixels as H x W x channels, and notes. Files may be malicious: any decoder's error becomes a PictureError."""
    file.seek(0)
    try:
        decoded = FORMATS[header.format].decode(file, header)
    except PictureError:
        raise
    except MemoryError:
        raise PictureError(f"{path} ({header.width} x {header.height} pixels) does not fit into memory.") from None
    except Exception as error:
        # Some decoders report damage in bytes that are not text.
        reason = "its decoder fails" if isinstance(error, UnicodeError) else reason_of(error)
        raise PictureError(f"{path} is damaged or cut short ({reason}); copy or export it again.") from error
    array, notes = decoded if isinstance(decoded, Noted) else Noted(decoded, ())
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[:2] != (header.height, header.width) or not 1 <= array.shape[2] <= 4:
        raise PictureError(f"{path} is damaged: its pixels are not what its header declares; copy or export it again.")
    return Noted(array, notes)


def _to_tensor(path: Path, array: NDArray[Any]) -> Tensor:
    """H x W x 1 or 3, integers or floats, to float32 3 x H x W in [0, 1]."""
    pixels = np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32)
    if array.dtype.kind == "u":
        pixels /= np.iinfo(array.dtype).max
    elif not np.isfinite(pixels).all():
        raise PictureError(f"{path} holds values that are not finite (NaN or Inf); export it again.")
    elif pixels.min() < 0 or pixels.max() > 1:
        raise PictureError(f"{path} is a floating-point file with values outside [0, 1]; scale it to [0, 1] first.")
    tensor = torch.from_numpy(pixels)
    return tensor if len(tensor) == 3 else tensor.repeat(3, 1, 1)

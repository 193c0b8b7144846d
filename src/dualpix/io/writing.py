"""Write a picture file so that afterwards either the whole picture is there or nothing has changed."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualpix.errors import PictureError, machine_told, option
from dualpix.io.embedding import byte_order, check_metadata, embed, select
from dualpix.io.formats import FORMAT_OF, OUTPUTS, advice
from dualpix.io.given import PictureLike, as_picture
from dualpix.io.metadata import Metadata
from dualpix.io.staging import as_place
from dualpix.machine.files import require_writable, sweep_once, write_together
from dualpix.machine.modes import settled
from dualpix.machine.storage import Mark, exists, mark_of, remove_object, told_as, write_object
from dualpix.machine.urls import Location, Url


@settled()
def write_picture(
    path: str | Location,
    pixels: PictureLike,
    depth: int = 16,
    overwrite: bool = False,
    metadata: Metadata | None = None,
    grey: bool = False,
) -> list[str]:
    """Write a picture in the format of the file's ending, one of OUTPUTS.

    The file appears at once and whole: after a failure or an interrupt, whatever was there before is still there. JPEG
    (quality 95, 4:4:4) and WebP (lossless) always hold 8 bits; JPEG XL is lossless. Metadata are brought up to date
    with the new file; if all they hold is an orientation, or the format has no place for one, the picture is turned
    upright instead.

    Args:
        path: The file to write, of this disk or by URL.
        pixels: An array, a tensor or a Pillow image, 3 x H x W, H x W x 3, or H x W (written as grey): uint8, uint16,
            or floats, which are clipped to [0, 1]. Or the path of a picture file.
        depth: 8 or 16 bits per channel.
        overwrite: Whether an existing file may be replaced.
        metadata: To be written along, as in `Picture.metadata`.
        grey: Write one channel, the luminance (Rec. 601 weights), where the format can hold that.

    Returns:
        A sentence for each part of the metadata that is left out.

    Raises:
        PictureError: The file cannot be written (see `check_output`), the disk refuses it, or the picture holds NaN or
            infinity, is too large for the format, or is not a picture.
        MachineError: The memory ran out.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from dualpix import write_picture
        >>> gradient = np.tile(np.linspace(0, 1, 32), (24, 1))  # H x W: written as grey
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_picture(os.path.join(folder, "gradient.tif"), gradient, depth=16)
        []
    """
    with machine_told():
        given = as_picture(pixels)
        grey = grey or (given.grey and not isinstance(pixels, str | os.PathLike))
        return write_pictures([as_place(path)], [given.pixels], depth, overwrite, metadata, grey)


def write_pictures(
    paths: Sequence[Location],
    pictures: Sequence[Tensor],
    depth: int = 16,
    overwrite: bool = False,
    metadata: Metadata | None = None,
    grey: bool = False,
) -> list[str]:
    """Write several pictures that belong together, as `write_picture` does: either all of them are written or none.

    Args:
        paths: The files to write.
        pictures: One for each path: floats, 3 x H x W in [0, 1].
        depth: 8 or 16 bits per channel.
        overwrite: Whether existing files may be replaced.
        metadata: To be written into each file.
        grey: Write one channel, the luminance.

    Returns:
        A sentence for each part of the metadata that is left out.
    """
    encoded, notes = [], []
    for path, pixels in zip(paths, pictures, strict=True):
        data, lost = encode_picture(path, pixels, depth, overwrite, metadata or Metadata(), grey)
        encoded.append((path, data))
        notes += lost
    write_encoded(encoded, overwrite)
    return list(dict.fromkeys(notes))


def encode_picture(
    path: Location, pixels: Tensor, depth: int, overwrite: bool, metadata: Metadata, grey: bool
) -> tuple[bytes, list[str]]:
    """The bytes that `write_picture` would write there, and what it returns."""
    if depth not in (8, 16):
        raise PictureError(f"{path} was not written: {depth} bits are not possible; choose 8 or 16.")
    check_output(path, overwrite, metadata=metadata, grey=grey)
    suffix = path.suffix.lower()
    output = OUTPUTS[suffix]
    longest = max(pixels.shape)
    if longest > (limit := output.longest_side_px):
        others = advice(lambda output: output.longest_side_px >= longest)
        raise PictureError(
            f"{path} was not written: {suffix} allows at most {limit} pixels on a side; choose {others}."
        )
    if not torch.isfinite(pixels).all():
        raise PictureError(f"{path} was not written: the picture holds values that are not finite (NaN or Inf).")
    pixels, metadata = as_stored(path, pixels, metadata)
    levels = to_levels(pixels, min(depth, max(output.bits)), grey and 1 in output.channels)
    metadata, notes = select(metadata, suffix, 1 if levels.ndim == 2 else 3, (levels.shape[1], levels.shape[0]))
    return embed(output.encode(levels, byte_order(metadata.exif)), suffix, metadata), notes


def as_stored(path: Location, pixels: Tensor, metadata: Metadata) -> tuple[Tensor, Metadata]:
    """A picture C x H x W and its metadata as the file holds them: upright if the format has no orientation."""
    if OUTPUTS[path.suffix.lower()].takes_orientation and not metadata.is_bare:
        return pixels, metadata
    density = metadata.density
    if density and metadata.orientation in (5, 6, 7, 8):
        density = density[1], density[0]
    return upright(pixels, metadata.orientation), replace(metadata, orientation=1, density=density)


def upright(pixels: Tensor, orientation: int) -> Tensor:
    """Rotate or mirror a picture as its EXIF orientation says, so that it no longer needs one.

    Args:
        pixels: C x H x W.
        orientation: 1 (upright) to 8, as in EXIF.

    Returns:
        C x H x W, or C x W x H for orientations 5 to 8.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 2)
    flipped = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}.get(orientation, ())
    return pixels.flip(flipped) if flipped else pixels


def check_output(
    path: str | Location,
    overwrite: bool = False,
    inputs: Iterable[str | Location] = (),
    metadata: Metadata | None = None,
    grey: bool = True,
) -> None:
    """Check, before any work is done, whether a file can be written. Leaves nothing behind.

    Whether an object elsewhere exists is seen only when it is written, since asking costs time and money.

    Args:
        path: The file to write.
        overwrite: Whether an existing file may be replaced.
        inputs: Files that are read for it, and so may not be replaced in any case.
        metadata: To be written along.
        grey: Whether the picture is written as grey; .pgm holds nothing else.

    Raises:
        PictureError: The ending is unknown, or its format cannot hold the colours; the path is a folder, a device,
            one of the `inputs`, or an existing file without `overwrite`; or its folder is missing or not writable.
    """
    path = as_place(path)
    suffix = path.suffix.lower()
    if suffix not in OUTPUTS:
        raise PictureError(f"{path} has no known picture extension; end it in one of: {', '.join(OUTPUTS)}.")
    if 3 not in OUTPUTS[suffix].channels and not grey:
        only = f"{suffix} holds grey only, and this picture has colours"
        raise PictureError(f"{path} was not written: {only}; choose {FORMAT_OF[suffix].usual_ending(channels=3)}.")
    if metadata:
        check_metadata(path, metadata)
    if isinstance(path, Url):
        refuse_overwriting_inputs(path, inputs)
        return
    check_place(path, overwrite, inputs)


def check_place(path: Path, overwrite: bool = False, inputs: Iterable[str | Location] = ()) -> None:
    """`check_output` for a file of any kind on this disk; raises PictureError as it does."""
    if os.path.isdir(path):
        raise PictureError(f"{path} is a folder; give the name of a file to write.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise PictureError(f"{path} is not a regular file, so it is not replaced; choose another name.")
    refuse_overwriting_inputs(path, inputs)
    sweep_once(Path(os.path.realpath(path)).parent)  # which may finish what a killed process had begun there
    if os.path.exists(path) and not overwrite:
        raise _exists(path)
    _check_folder(path)


def refuse_overwriting_inputs(output: str | Location, inputs: Iterable[str | Location]) -> None:
    """Raise PictureError if `output` is one of the `inputs`, even by another name (a link, other letter case)."""
    for given in inputs:
        if isinstance(output, Url) or isinstance(given, Url):
            if str(output) == str(given):
                raise _lost(output, given)
        elif os.path.exists(output) and os.path.exists(given) and os.path.samefile(output, given):
            raise _lost(output, given)


def _lost(output: str | Location, given: str | Location) -> PictureError:
    return PictureError(f"{output} is one of the inputs ({given}) and would be lost; choose another name.")


def _check_folder(path: Path) -> None:
    try:
        require_writable(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    folder = Path(os.path.realpath(path)).parent
    if not os.path.isdir(folder):
        raise PictureError(f"{path} cannot be written: the folder {folder} does not exist; create it first.")
    try:
        if not os.path.lexists(path):
            path.lstat()  # distinguishes a free name from an impossible one, such as one too long for the disk
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    try:
        # Only a try is reliable for all permissions, read-only disks and full ones.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _exists(path: Location) -> PictureError:
    return PictureError(f"{path} exists already; choose another name, or give {option('overwrite')}.")


def _unwritable(path: Location, error: Exception) -> PictureError:
    reason = getattr(error, "strerror", None) or error
    return PictureError(f"{path} cannot be written: {reason}; choose another place or name.")


LUMINANCE = (0.299, 0.587, 0.114)
STRIP_ROWS = 128


def to_levels(pixels: Tensor, depth: int, grey: bool = False) -> NDArray[Any]:
    """Round a picture to integers.

    Args:
        pixels: 3 x H x W; values outside [0, 1] are clipped.
        depth: 8 or 16 bits.
        grey: Give the luminance instead of three channels.

    Returns:
        uint8 or uint16, H x W x 3, or H x W if `grey`.
    """
    height, width = pixels.shape[1:]
    kind = np.uint8 if depth == 8 else np.uint16
    levels: NDArray[Any] = np.empty((height, width) if grey else (height, width, 3), kind)
    for first in range(0, height, STRIP_ROWS):  # in strips, to save memory: each step makes a copy
        strip = pixels[:, first : first + STRIP_ROWS].detach().float().clamp(0, 1)
        if grey:
            strip = torch.einsum("c,chw->hw", torch.tensor(LUMINANCE).to(strip), strip)[None]
        rounded = (strip * (2**depth - 1)).round().permute(1, 2, 0).cpu().numpy()
        levels[first : first + STRIP_ROWS] = rounded[:, :, 0] if grey else rounded
    return levels


def refuse_existing(path: Location) -> None:
    """Raise PictureError if there is a file or an object already; for an object elsewhere that is a request."""
    with told_as(PictureError):
        if exists(path):
            raise _exists(path)


def write_encoded(files: Sequence[tuple[Location, bytes]], overwrite: bool) -> dict[Location, Mark]:
    """Write the bytes of finished files: all of them or none; objects after files of this disk, the first one last.

    Returns:
        The marks of objects elsewhere.

    Raises:
        PictureError: The disk or a server refuses one.
    """
    _write_here([(path, data) for path, data in files if isinstance(path, Path)], overwrite)
    marks: dict[Location, Mark] = {}
    new: list[Url] = []
    try:
        for url, data in reversed([(path, data) for path, data in files if isinstance(path, Url)]):
            there = mark_of(url)
            if there and not overwrite:
                raise _exists(url)
            new += [] if there else [url]
            marks[url] = write_object(url, data)
    except BaseException as error:
        for url in new[:-1]:
            remove_object(url)
        if isinstance(error, OSError):
            raise _unwritable(url, error) from error
        raise
    return marks


def _write_here(files: Sequence[tuple[Path, bytes]], overwrite: bool) -> None:
    try:
        write_together(files, overwrite)
    except FileExistsError as error:  # another program wrote it in the meantime
        named = next((path for path, _ in files if os.path.realpath(path) == error.filename2), files[0][0])
        raise _exists(named) from error
    except OSError as error:
        named = next((path for path, _ in files if str(path) == str(error.filename)), files[0][0])
        raise _unwritable(named, error) from error


def make_folder(folder: Path) -> Path:
    """Make a folder, and those above it, unless it exists. Raises `PictureError` if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise PictureError(f"The folder {folder} cannot be made: {reason}; choose another place.") from error
    return folder

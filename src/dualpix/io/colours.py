"""Colour spaces that a file states without an ICC profile: by chunks of PNG, or by tags of EXIF and TIFF.

Few formats and programs know these, so they would be lost when the picture is written again. Each is turned into a
profile, which every format and program knows.
"""

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualpix.errors import PictureError
from dualpix.io import exif as blocks
from dualpix.io.curve import encode_srgb
from dualpix.io.metadata import Metadata
from dualpix.io.opening import Header
from dualpix.io.profiles import D65, SRGB_PRIMARIES, is_linear, is_profile, is_srgb, make_profile

CURVE_STEPS = 4096
Curve = float | NDArray[np.float64]


class Told(NamedTuple):
    """A colour space as a file states it.

    Attributes:
        by: Where the file states it, in words for a note to the user, such as "a cICP chunk".
        icc: An ICC profile of the same colour space; None for sRGB.
        can_be_kept: False where no ICC profile can describe the colour space.
    """

    by: str
    icc: bytes | None
    can_be_kept: bool = True


def tell_colours(
    header: Header, metadata: Metadata, told_by_file: Callable[[], Told | None] | None
) -> tuple[Metadata, list[str]]:
    """Add a profile to the metadata where the file states its colour space in another way.

    Args:
        header: What the file declares about its picture.
        metadata: As read from the file, with its ICC profile if it has one.
        told_by_file: Reads what this format alone knows about colours; None for formats without such a place. A damaged
            statement is ignored.

    Returns:
        The metadata, and notes for the user, each half a sentence to follow the name of the file.
    """
    told, notes = None, []
    is_damaged = metadata.icc is not None and not is_profile(metadata.icc)
    if is_damaged:
        metadata = replace(metadata, icc=None)
    with suppress(ValueError, PictureError):  # a damaged statement is ignored
        told = told_by_file() if told_by_file else None
        told = told or (None if metadata.icc else told_by_tags(header, metadata))
    if is_damaged:
        rest = "." if told else ", and its values are used as sRGB."
        notes.append(f"holds a damaged colour profile: it is left out{rest}")
    if told:
        metadata = replace(metadata, icc=told.icc)
        if not told.can_be_kept:
            notes.append(
                f"states its colour space by {told.by}, which cannot be carried over: its values are used as sRGB."
            )
        elif told.icc:
            notes.append(f"states its colour space by {told.by}: it is carried over as a colour profile.")
    if is_linear(metadata.icc):
        notes.append("is in linear light, on which the networks were not trained; export it as sRGB for a good result.")
    return metadata, notes


def srgb_curve() -> NDArray[np.float64]:
    """Linear light for `CURVE_STEPS` evenly spaced sRGB-encoded values from 0 to 1."""
    light = np.linspace(0, 1, 16 * CURVE_STEPS)
    return np.interp(np.linspace(0, 1, CURVE_STEPS), encode_srgb(light), light)


def kept(by: str, white: tuple[float, ...], primaries: tuple[float, ...], curve: Curve | None, header: Header) -> Told:
    """Describe a colour space by an ICC profile.

    Args:
        by: Where the file states it, as in `Told`.
        white: Chromaticity x and y of the white point (CIE 1931).
        primaries: Chromaticities x and y of red, green and blue, six numbers.
        curve: From an encoded value to linear light, as in `make_profile`; None for the sRGB curve.
        header: Decides between a grey and an RGB profile.
    """
    icc = make_profile(white, primaries, srgb_curve() if curve is None else curve, header.channels < 3)
    if icc is None:
        return Told(by, None, can_be_kept=False)
    return Told(by, None if is_srgb(icc) else icc)


# ITU-T H.273, by code: chromaticities of white, then of red, green and blue; exponents, or None for the sRGB curve.
CICP_PRIMARIES = {
    1: (D65, SRGB_PRIMARIES),
    5: (D65, (0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: (D65, (0.63, 0.34, 0.31, 0.595, 0.155, 0.07)),
    9: (D65, (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: ((0.314, 0.351), (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
    12: (D65, (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
}
CICP_CURVES: dict[int, float | None] = {4: 2.2, 5: 2.8, 8: 1.0, 13: None, 17: 2.6}
CICP_NAMES = {16: "PQ", 18: "HLG"}
CAMERA_CURVES = {1, 6, 14, 15}  # BT.709 and relatives: displays decode them by the sRGB curve or nearly so
ADOBE_RGB = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_GAMMA = 563 / 256


def told_by_numbers(by: str, primaries: int, transfer: int, header: Header) -> Told:
    """The colour space for code points of ITU-T H.273 ("CICP").

    Args:
        by: Where the file keeps them, as in `Told`.
        primaries: The ColourPrimaries code, 1 for sRGB's.
        transfer: The TransferCharacteristics code, 13 for sRGB's. PQ and HLG cannot be kept.
        header: Decides between a grey and an RGB profile.
    """
    name = CICP_NAMES.get(transfer, f"curve {transfer}")
    by = f"{by} (primaries {primaries}, {name})"
    curve = None if transfer in CAMERA_CURVES else CICP_CURVES.get(transfer, 0.0)
    if primaries not in CICP_PRIMARIES or curve == 0.0:
        return Told(by, None, can_be_kept=False)
    white, corners = CICP_PRIMARIES[primaries]
    return kept(by, white, corners, curve, header)


EXIF_COLOURS, EXIF_GAMMA, INTEROP_INDEX = 40961, 42240, 1
TRANSFER, WHITE, PRIMARIES = 301, 318, 319
SRGB, ADOBE, UNCALIBRATED = 1, 2, 65535


def told_by_tags(
    header: Header, metadata: Metadata, of_file: tuple[blocks.Directory, str] | None = None
) -> Told | None:
    """The colour space by the tags of EXIF and TIFF: EXIF's ColorSpace, else white point, primaries and transfer curve.

    Args:
        header: Decides between a grey and an RGB profile.
        metadata: Holds the EXIF block.
        of_file: Main directory and byte order of the file itself, if it is a TIFF; its tags count more than those of
            EXIF.

    Returns:
        None where nothing is stated, or sRGB is.
    """
    first, exposure, interop, order = _directories(metadata)
    space = _integer(exposure, EXIF_COLOURS, order)
    is_adobe = interop.get(INTEROP_INDEX, blocks.Entry(2, b"")).value[:3] == b"R03"
    if space == ADOBE or (space == UNCALIBRATED and is_adobe):
        return kept("EXIF (Adobe RGB)", D65, ADOBE_RGB, ADOBE_GAMMA, header)
    if of_file is not None:
        first, order = of_file
    white, primaries = _ratios(first, WHITE, 2, order), _ratios(first, PRIMARIES, 6, order)
    gamma = _ratios(exposure, EXIF_GAMMA, 1, order)
    curve: Curve | None = _transfer(first, order)
    if curve is None and gamma and gamma[0] > 0 and abs(gamma[0] - 2.2) > 0.01:
        curve = gamma[0]
    if space != SRGB and (white or primaries or curve is not None):
        return kept("tags of its primaries and curve", white or D65, primaries or SRGB_PRIMARIES, curve, header)
    return Told("EXIF (not sRGB, without saying which)", None, can_be_kept=False) if space == UNCALIBRATED else None


def _directories(metadata: Metadata) -> tuple[blocks.Directory, blocks.Directory, blocks.Directory, str]:
    """The main, Exif and interoperability directories of the EXIF block, and its byte order."""
    if metadata.exif is None:
        return {}, {}, {}, "<"
    block = blocks.open_block(BytesIO(metadata.exif))
    found = [blocks.read_directory(block, block.first)]
    for pointer in (blocks.EXIF_DIRECTORY, blocks.INTEROP_DIRECTORY):
        inner: blocks.Directory = {}
        with suppress(ValueError):
            if pointer in found[-1]:
                inner = blocks.read_directory(block, blocks.integer(found[-1][pointer], block.order))
        found.append(inner)
    return found[0], found[1], found[2], block.order


def _integer(directory: blocks.Directory, tag: int, order: str) -> int | None:
    return blocks.integer(directory[tag], order) if tag in directory else None


def _ratios(directory: blocks.Directory, tag: int, count: int, order: str) -> tuple[float, ...]:
    """The first `count` unsigned rationals of a tag; empty where they are missing or have a zero denominator."""
    entry = directory.get(tag)
    if entry is None or entry.kind != 5 or len(entry.value) < 8 * count:
        return ()
    numbers = struct.unpack_from(f"{order}{2 * count}I", entry.value)
    if not all(numbers[1::2]):
        return ()
    return tuple(over / under for over, under in zip(numbers[::2], numbers[1::2], strict=True))


def _transfer(directory: blocks.Directory, order: str) -> NDArray[np.float64] | None:
    """Linear light for `CURVE_STEPS` encoded values, from TIFF's TransferFunction."""
    entry = directory.get(TRANSFER)
    if entry is None or entry.kind != 3:
        return None
    values = np.frombuffer(entry.value, order + "u2") / 65535
    steps = len(values) // 3 if len(values) % 3 == 0 else len(values)
    if steps not in (256, 65536):
        return None
    return np.interp(np.linspace(0, 1, CURVE_STEPS), np.linspace(0, 1, steps), values[:steps])

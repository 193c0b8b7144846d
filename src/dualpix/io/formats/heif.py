"""HEIF coded by HEVC (HEIC), as phones write it, of 8, 10 and 12 bits, read by libheif through the package pi-heif."""

import re
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dualpix.errors import PictureError, how_to_install
from dualpix.io.formats import isobmff
from dualpix.io.formats.isobmff_alone import alone
from dualpix.io.formats.isobmff_index import index_of
from dualpix.io.formats.record import Format
from dualpix.io.opening import Header


def _library() -> Any:
    try:
        import pi_heif
    except ImportError:
        how = how_to_install("heif")
        raise PictureError(f"HEIF files are read by pi-heif, which is not installed; get it by: {how}.") from None
    return pi_heif


def _read_header(file: BinaryIO) -> Header:
    return isobmff.read_header(file, "HEIF")


def _decode(file: BinaryIO, header: Header) -> NDArray[Any]:
    data, index = isobmff.load_checked(file, header, b"hvc1"), index_of(file)
    opened = _library().open_heif(BytesIO(alone(data, index)), convert_hdr_to_8bit=False)
    levels = np.array(opened[opened.primary_index])  # a copy, since the library frees its memory with the file
    if levels.dtype == np.uint16:  # the library has shifted them to the upper bits of 16
        levels >>= 16 - index.bits
    return isobmff.in_unit_range(levels, index.bits)


HEIF = Format(
    name="HEIF",
    endings=(".heic", ".heif", ".hif"),
    mime_type="image/heic",
    start=re.compile(rb"....ftyp(?:....){0,11}?(?:hei[cxms]|hev[cx]|mif1|msf1)", re.DOTALL),
    read_header=_read_header,
    decode=_decode,
    read_blocks=isobmff.read_blocks,
    bits=(8, 10, 12),
    tell_colours=isobmff.tell_colours,
    further=isobmff.further,
    about="still pictures (HEIC), with `pip install -e '.[heif]'`",
)

"""HEIF with HEVC (HEIC), as phones write it, 8, 10 and 12 bits: read by libheif, through the package pillow-heif."""

import re
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dualpix.errors import PictureError, how_to_install
from dualpix.io.formats import isobmff
from dualpix.io.formats.record import Format
from dualpix.io.opening import Header, load


def _library() -> Any:
    try:
        import pillow_heif
    except ImportError:
        how = how_to_install("heif")
        raise PictureError(f"HEIF files are read by pillow-heif, which is not installed; get it by: {how}.") from None
    return pillow_heif


def _read_header(file: BinaryIO) -> Header:
    return isobmff.read_header(file, "HEIF")


def _decode(file: BinaryIO, header: Header) -> NDArray[Any]:
    opened = _library().open_heif(BytesIO(load(file, header)), convert_hdr_to_8bit=False)
    index = isobmff.index_of(file)
    levels = isobmff.as_stored(np.asarray(opened[opened.primary_index]), index)
    if levels.dtype == np.uint16:  # the library has moved them to the top of 16 bits
        levels = levels >> (16 - index.bits)
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

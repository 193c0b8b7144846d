"""AVIF, still pictures of 8, 10 and 12 bits (AV1 Image File Format 1.1), read by libavif."""

import re
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dualpix.io.formats import isobmff
from dualpix.io.formats.isobmff_index import index_of
from dualpix.io.formats.record import Format
from dualpix.io.opening import Header, refuse
from dualpix.machine.later import imagecodecs


def _read_header(file: BinaryIO) -> Header:
    header = isobmff.read_header(file, "AVIF")
    if index_of(file).picture.property(b"clap"):
        refuse(file, "is a cropped AVIF picture (clap); export it again, or save it as PNG")
    return header


def _decode(file: BinaryIO, header: Header) -> NDArray[Any]:
    levels = np.asarray(imagecodecs.avif_decode(isobmff.load_checked(file, header, b"av01")))
    return isobmff.in_unit_range(levels, index_of(file).bits)


AVIF = Format(
    name="AVIF",
    endings=(".avif",),
    mime_type="image/avif",
    start=re.compile(rb"....ftyp(?:....){0,11}?avi[fs]", re.DOTALL),
    read_header=_read_header,
    decode=_decode,
    read_blocks=isobmff.read_blocks,
    bits=(8, 10, 12),
    tell_colours=isobmff.tell_colours,
    further=isobmff.further,
    about="still pictures",
)

"""A format of pictures: EXAMPLE, width, height, and the bytes of the pixels."""

import re
import struct

import numpy as np

from dualpix.io.formats.record import Format
from dualpix.io.opening import Header


def _header(file):
    width, height = struct.unpack("<II", file.read(15)[7:15])
    return Header("EXAMPLE", width, height, 3, 8)


def _decode(file, header):
    file.seek(15)
    return np.frombuffer(file.read(), np.uint8).reshape(header.height, header.width, 3)


def _no_metadata(file):
    return iter(())


EXAMPLE = Format(
    "EXAMPLE", (".example",), "image/x-example", re.compile(b"EXAMPLE"), _header, _decode, _no_metadata, (8,)
)

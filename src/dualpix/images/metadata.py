"""The colour profile, EXIF block and orientation of a picture file. The only use of Pillow: it never reads a pixel."""

import warnings
from contextlib import suppress
from typing import BinaryIO, NamedTuple

ORIENTATION_TAG = 0x0112


class Metadata(NamedTuple):
    icc: bytes | None = None
    exif: bytes | None = None
    orientation: int = 1


def read_metadata(file: BinaryIO, format: str) -> Metadata:
    """What can be found; damaged metadata counts as none, since the picture itself is still good."""
    from PIL import Image

    file.seek(0)
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(file, formats=[format.upper()]) as opened:
            orientation = opened.getexif().get(ORIENTATION_TAG, 1)
            return Metadata(opened.info.get("icc_profile"), opened.info.get("exif"), int(orientation))
    return Metadata()

"""JPEG XL: boxes, and the header at the start of a codestream (ISO/IEC 18181-1 and 18181-2)."""

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dualpix.io import exif as blocks
from dualpix.io.colours import Told
from dualpix.io.formats.record import Format, Order, Output
from dualpix.io.metadata import CREDENTIALS, GAIN_MAP, Found, Metadata, sealed
from dualpix.io.opening import Header, Part, exactly, load, refuse
from dualpix.io.texts import LARGEST_BYTES, TooLongError
from dualpix.machine.later import imagecodecs

BARE, BOXED = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
SRGB_WHITE, SRGB_PRIMARIES, SRGB_TRANSFER, LINEAR_TRANSFER = 1, 1, 13, 8
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
MOST_BOXES = 4096
EFFORT = 3


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield type and length of each box of a boxed file, which is then positioned at the box's content.

    Raises:
        PictureError: A box is damaged or cut short.
    """
    end = file.seek(0, 2)
    at = 0
    while at < end:
        file.seek(at)
        head = exactly(file, 8)
        size, begin = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, begin = int.from_bytes(exactly(file, 8), "big"), at + 16
        after = at + size if size else end
        if after > end:
            refuse(file, "is cut short; copy it again")
        if after < begin:
            refuse(file, "has a damaged JPEG XL box; copy it again")
        yield head[4:], after - begin
        at = after


def peek_jpegxl(file: BinaryIO) -> Header:
    """Read the header of a bare or boxed file. Raises PictureError, also for animations and colours other than sRGB."""
    header, colours = _fields(file)[:2]
    if colours != SRGB_TRANSFER:
        what = f"is a JPEG XL picture in {'linear light' if colours == LINEAR_TRANSFER else 'colours other than sRGB'}"
        refuse(file, f"{what}, which cannot be carried over; save it as sRGB, or as PNG or TIFF")
    return header


def _fields(file: BinaryIO) -> tuple[Header, int, int]:
    """The header; the code of the transfer curve, 0 for colours other than sRGB's; how many bits lie before it."""
    data = _codestream(file)
    bits = _HeaderBits(file, data)
    width, height = bits.size()
    orientation, depth, alphas, grey, transfer = 1, 8, 0, False, SRGB_TRANSFER
    if not bits.flag():
        if bits.flag():
            orientation = bits.take(3) + 1
            if bits.flag():
                bits.size()
            if bits.flag() or bits.flag():
                refuse(file, "is an animation or holds a preview; give a still picture")
        depth = bits.depth()
        bits.flag()
        alphas = sum(bits.extra_channel() for _ in range(bits.pick((0, 0), (1, 0), (2, 4), (1, 12))))
        bits.flag()
        grey, transfer = bits.colours()
    channels = (1 if grey else 3) + min(alphas, 1)
    header = Header("JPEG XL", width, height, channels, 8 if depth <= 8 else 16, orientation)
    return header, transfer, 8 * len(data) - bits.left - 4


def declare_srgb(data: bytes) -> bytes:
    """Change the declared transfer curve of a boxed file from linear to sRGB; the samples stay as they are.

    The encoder declares samples of more than 8 bits to be linear and has no option to change that.

    Raises:
        ValueError: The file declares neither linear nor sRGB colours.
    """
    file = Part(data, "the encoded picture")
    transfer, bits_before = _fields(file)[1:]
    if transfer == SRGB_TRANSFER:
        return data
    begin = next(file.tell() + 4 * (kind == b"jxlp") for kind, _ in boxes(file) if kind in (b"jxlc", b"jxlp"))
    # Both codes are written as 2 plus an offset of four bits, so one can replace the other in place.
    at, shift = divmod(8 * len(BARE) + bits_before, 8)
    pair = int.from_bytes(data[begin + at : begin + at + 2], "little")
    if transfer != LINEAR_TRANSFER or pair >> shift & 15 != LINEAR_TRANSFER - 2:
        raise ValueError("the encoder declares colours of another kind than sRGB or linear")
    pair += (SRGB_TRANSFER - LINEAR_TRANSFER) << shift
    return data[: begin + at] + pair.to_bytes(2, "little") + data[begin + at + 2 :]


def _codestream(file: BinaryIO) -> bytes:
    """The first bytes of the codestream, behind its signature; a boxed file may spread it over several boxes."""
    file.seek(0)
    start = file.read(4096)
    if not start.startswith(BARE):
        start = b""
        for kind, length in islice(boxes(file), MOST_BOXES):
            if kind in (b"jxlc", b"jxlp") and len(start) < 4096:
                start += file.read(min(length, 4096))[4 * (kind == b"jxlp") :]
    if not start.startswith(BARE):
        refuse(file, "has a damaged JPEG XL header; copy it again")
    return start[2:]


def _decode(file: BinaryIO, header: Header) -> NDArray[Any]:
    return np.asarray(imagecodecs.jpegxl_decode(load(file, header), keeporientation=True))


def _encode(levels: NDArray[Any], order: Order) -> bytes:
    data = imagecodecs.jpegxl_encode(levels, lossless=True, effort=EFFORT, usecontainer=True)
    return declare_srgb(bytes(data))


def _tell_colours(file: BinaryIO, header: Header, metadata: Metadata) -> Told:
    """Always sRGB: files with other colours were refused, and the header counts more than EXIF."""
    return Told("its header", None)


def _read_blocks(file: BinaryIO) -> Found:
    file.seek(0)
    if file.read(len(BOXED)) != BOXED:
        return
    for kind, length in boxes(file):
        if kind not in (b"Exif", b"xml ", b"brob", b"jumb", b"jhgm"):
            yield None
            continue
        data = file.read(min(length, LARGEST_BYTES + 4))
        is_packed = kind == b"brob"
        kind, data = (data[:4], data[4:]) if is_packed else (kind, data)
        if kind in (b"jumb", b"jhgm"):
            yield GAIN_MAP if kind == b"jhgm" else CREDENTIALS if is_packed else sealed(data)
        elif length > LARGEST_BYTES:
            yield TooLongError()
        elif kind in (b"Exif", b"xml "):
            yield _of_box(kind, data, is_packed)


def _of_box(kind: bytes, data: bytes, is_packed: bool) -> tuple[str, bytes] | ValueError:
    if is_packed:
        try:
            data = bytes(imagecodecs.brotli_decode(data, out=LARGEST_BYTES))
        except imagecodecs.BrotliError:
            return ValueError("damaged, or too large when decompressed")
    if kind == b"xml ":
        return "xmp", data
    return "exif", data[4 + int.from_bytes(data[:4], "big") :].removeprefix(blocks.MARK)


def _embed(data: bytes, metadata: Metadata) -> bytes:
    extra = b""
    if metadata.exif:
        extra += _box(b"Exif", bytes(4) + metadata.exif)
    if metadata.xmp:
        extra += _box(b"xml ", metadata.xmp)
    at = 0
    while data[at + 4 : at + 8] in (b"JXL ", b"ftyp", b"jxll"):
        at += int.from_bytes(data[at : at + 4], "big")
    return data[:at] + extra + data[at:]


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


class _HeaderBits:
    """Reads the bits of a codestream, lowest first, and the field bundles they form."""

    def __init__(self, file: BinaryIO, data: bytes) -> None:
        self.file, self.rest, self.left = file, int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        self.left -= count
        if self.left < 0:
            refuse(self.file, "is cut short; copy it again")
        value = self.rest & ((1 << count) - 1)
        self.rest >>= count
        return value

    def flag(self) -> bool:
        return bool(self.take(1))

    def pick(self, *choices: tuple[int, int]) -> int:
        """A number in one of four encodings (U32): an offset, and how many bits follow to be added to it."""
        offset, bits = choices[self.take(2)]
        return offset + self.take(bits)

    def size(self) -> tuple[int, int]:
        """Width and height."""
        small = self.flag()

        def side() -> int:
            return 8 * (self.take(5) + 1) if small else self.pick((1, 9), (1, 13), (1, 18), (1, 30))

        height = side()
        if ratio := self.take(3):
            across, down = RATIOS[ratio - 1]
            return height * across // down, height
        return side(), height

    def depth(self) -> int:
        if self.flag():
            bits = self.pick((32, 0), (16, 0), (24, 0), (1, 6))
            self.take(4)
            return bits
        return self.pick((8, 0), (10, 0), (12, 0), (1, 6))

    def number(self) -> int:
        """An enumerated value."""
        return self.pick((0, 0), (1, 0), (2, 4), (18, 6))

    def extra_channel(self) -> bool:
        """Skip the description of one extra channel; whether it is alpha."""
        if self.flag():
            return True
        kind = self.number()
        self.depth()
        self.pick((0, 0), (3, 0), (4, 0), (1, 3))
        self.take(8 * self.pick((0, 0), (0, 4), (16, 5), (48, 10)))
        if kind == 0:
            self.flag()
        elif kind == 2:
            self.take(64)
        elif kind == 5:
            self.pick((1, 0), (0, 2), (3, 4), (19, 8))
        return kind == 0

    def colours(self) -> tuple[bool, int]:
        """Whether the picture is grey, and the code of its transfer curve; 0 if primaries or white are not sRGB's."""
        if self.flag():
            return False, SRGB_TRANSFER
        has_profile, space = self.flag(), self.number()
        grey = space == 1
        if has_profile or space > 1 or self.number() != SRGB_WHITE:
            return grey, 0
        if (not grey and self.number() != SRGB_PRIMARIES) or self.flag():
            return grey, 0
        return grey, self.number()


JPEG_XL = Format(
    name="JPEG XL",
    endings=(".jxl",),
    mime_type="image/jxl",
    start=re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
    read_header=peek_jpegxl,
    decode=_decode,
    read_blocks=_read_blocks,
    bits=(8, 16),
    tell_colours=_tell_colours,
    outputs=(
        Output(
            (".jxl",),
            _encode,
            _embed,
            about="lossless",
            takes_iptc=False,
            takes_orientation=False,
            srgb_only=True,
        ),
    ),
    about="sRGB, still pictures",
)

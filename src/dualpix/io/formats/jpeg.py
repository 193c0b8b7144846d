"""JPEG: segments up to the scans (ITU-T T.81), in which programs keep metadata; an index of further pictures (.mpo)."""

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from numpy.typing import NDArray

from dualpix.io import exif as blocks
from dualpix.io import photoshop, xmp
from dualpix.io.formats.jpeg_scans import END, FRAMES, SCAN, decode_jpeg
from dualpix.io.formats.record import Format, Noted, Order, Output, Size
from dualpix.io.metadata import GAIN_MAP, INCH_CM, Found, Metadata, counts_of, per_inch, sealed
from dualpix.io.opening import Header, Part, exactly, load, refuse, refuse_cut_short, section
from dualpix.io.texts import COMMENT, LARGEST_BYTES, Text, of_comment
from dualpix.io.updating import updated
from dualpix.machine.later import imagecodecs

QUALITY = 95
LONGEST_SIDE_PX = 65500  # the encoder's limit
OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}
BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment
FARTHEST_MARKER = 65536
ICC_MARK = b"ICC_PROFILE\0"
XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
COMMENT_CODE = 0xFE
LONGEST_SEGMENT = 65533  # without marker and length
INDEX_MARK, INDEX_ENTRIES = b"MPF\0", 45058
ENTRY = "IIIHH"  # type, length, offset, numbers of two dependent pictures
KINDS, PREVIEWS = 0xFFFFFF, (0x010001, 0x010002)
STEPPED_OVER = "holds stray bytes between its segments: they were skipped."
GOES_ON = "the rest is left out; if the picture looks wrong, copy the file again."


class Segment(NamedTuple):
    """One segment of a JPEG file.

    Attributes:
        code: The second byte of its marker.
        at: Offset of its content.
        length: Of its content in bytes.
        stray: How many bytes before its marker belong to no segment.
    """

    code: int
    at: int
    length: int
    stray: int


def segments(file: BinaryIO) -> Iterator[Segment]:
    """Yield every segment up to the first scan or the end marker; the file is then positioned at the segment's content.

    Stray bytes between segments are skipped, as other readers do.

    Raises:
        PictureError: The file is damaged, or ends too early.
    """
    at = 2
    while True:
        code, at, stray = _marker(file, at)
        if code in BARE:
            continue
        length = 0
        if code != END:
            file.seek(at)
            length, at = int.from_bytes(exactly(file, 2), "big") - 2, at + 2
            if length < 0:
                refuse(file, "has a damaged JPEG header; copy it again")
        yield Segment(code, at, length, stray)
        if code in (END, SCAN):
            return
        at += length


def _marker(file: BinaryIO, at: int) -> tuple[int, int, int]:
    """The code of the first marker at or after `at`, the offset behind it, and how many bytes were skipped."""
    file.seek(at)
    found = NEXT_MARKER.search(file.read(FARTHEST_MARKER))
    if found is None:
        refuse(file, "has a damaged JPEG header, or is cut short; copy it again")
    return found[1][0], at + found.end(), found.start()


NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)


def peek_jpeg(file: BinaryIO) -> Header:
    """Read the header of a file that starts like a JPEG.

    Raises PictureError if it is damaged, or of a kind that is not read.
    """
    header, stray = None, 0
    for segment in segments(file):
        stray += segment.stray
        if segment.code in OTHER_FRAMES:
            refuse(file, "is a lossless or hierarchical JPEG; save it as PNG or TIFF")
        if segment.code in FRAMES and header is None:
            file.seek(segment.at)
            bits, height, width, channels = struct.unpack(">BHHB", exactly(file, 6))
            if bits != 8 or channels not in (1, 3):
                what = "in CMYK" if channels == 4 else f"of {channels} channels of {bits} bits"
                refuse(file, f"is a JPEG {what}; save it as 8-bit RGB or as PNG")
            header = Header("JPEG", width, height, channels, 8)
    if header is None:
        refuse(file, "has a damaged JPEG header; copy it again")
    return replace(header, notes=(STEPPED_OVER,)) if stray else header


def _decode(file: BinaryIO, header: Header) -> Noted:
    scanned = decode_jpeg(load(file, header))
    if scanned is None:
        refuse_cut_short(file)
    size = f"{header.width} x {header.height}"
    return Noted(
        scanned.pixels, (f"holds more pixels than the {size} that it declares: {GOES_ON}",) if scanned.goes_on else ()
    )


def _encode(levels: NDArray[Any], order: Order) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(levels, QUALITY, subsampling="444"))


def _read_blocks(file: BinaryIO) -> Found:
    exif, profile, parts, resources = b"", {}, 0, b""
    for code, _, length, _ in segments(file):
        data = file.read(length)
        if code == 0xE1 and data.startswith(blocks.MARK):
            if len(exif) <= LARGEST_BYTES:  # a long block is spread over several segments
                exif += data.removeprefix(blocks.MARK)
        elif code == 0xE1 and data.startswith(xmp.MARK):
            yield "xmp", data.removeprefix(xmp.MARK)
        elif code == 0xED and data.startswith(photoshop.MARK):
            if len(resources) <= LARGEST_BYTES:
                resources += data.removeprefix(photoshop.MARK)
        elif code == 0xE0 and data.startswith(b"JFIF\0") and len(data) >= 12:
            unit, *counts = struct.unpack(">BHH", data[7:12])
            yield per_inch(*(count * {1: 1.0, 2: INCH_CM}.get(unit, 0.0) for count in counts))
        elif code == 0xE2 and data.startswith(ICC_MARK) and len(data) > 14:
            profile[data[12]], parts = data[14:], data[13]
        else:
            yield of_comment(data) if code == COMMENT_CODE else _told_of_segment(code, data)
    yield "exif", exif
    yield "photoshop", resources
    # Other readers also take a profile only if all of its parts are there.
    whole = b"".join(profile[number] for number in sorted(profile))
    yield ("icc", whole) if len(profile) == parts else ValueError("parts of the profile are missing")


def _told_of_segment(code: int, data: bytes) -> str | None:
    """A description of a segment that cannot be carried over; None for those about how the old file was stored."""
    if code == 0xEB and data.startswith(b"JP"):
        return sealed(data)
    if code == 0xE2 and data.startswith(b"urn:iso:std:iso:ts:21496:"):
        return GAIN_MAP
    known = data.startswith((b"JFIF\0", b"JFXX\0", b"MPF\0", ICC_MARK, XMP_EXTENSION, b"Ducky", b"Adobe"))
    return None if known or not 0xE0 <= code <= 0xEF else f"a block of its maker or software (APP{code - 0xE0})"


def _is_comment(text: Text) -> bool:
    return text.keyword == COMMENT and len(text.text.encode()) <= LONGEST_SEGMENT


def _fit(metadata: Metadata, size: Size) -> tuple[Metadata, list[str]]:
    """Cut EXIF and XMP down to one segment each; of a long EXIF block only the main directories' tags are kept."""
    notes = []
    room = LONGEST_SEGMENT - len(blocks.MARK)
    if metadata.exif and len(metadata.exif) > room:
        short = blocks.gather(blocks.open_block(BytesIO(metadata.exif)), blocks.STORAGE)
        fits = len(short) <= room
        only = Metadata(orientation=metadata.orientation, software=metadata.software, density=metadata.density)
        bare = updated(only, MIME_TYPE, size, takes_density=True)[0].exif
        metadata = replace(metadata, exif=short if fits else bare)
        lost = "everything but the tags of its main directories is" if fits else "all but the orientation is"
        notes.append(f"The EXIF block is too long for a JPEG file: {lost} left out.")
    if metadata.xmp and len(metadata.xmp) > LONGEST_SEGMENT - len(xmp.MARK):
        metadata = replace(metadata, xmp=None)
        notes.append("The XMP packet is too long for a JPEG file: it is left out.")
    return metadata, notes


def _embed(data: bytes, metadata: Metadata) -> bytes:
    # Behind the JFIF segment, which has to be the first one.
    has_jfif = data[2:4] == b"\xff\xe0"
    at = 4 + struct.unpack(">H", data[4:6])[0] if has_jfif else 2
    if has_jfif and (counts := counts_of(metadata.density, 1, 2**16)):
        data = data[:13] + struct.pack(">BHH", 1, *counts) + data[18:]
    segments = b""
    if metadata.exif:
        segments += _segment(0xE1, blocks.MARK + metadata.exif)
    if metadata.xmp:
        segments += _segment(0xE1, xmp.MARK + metadata.xmp)
    if metadata.icc:
        room = LONGEST_SEGMENT - len(ICC_MARK) - 2
        parts = [metadata.icc[begin : begin + room] for begin in range(0, len(metadata.icc), room)]
        for number, part in enumerate(parts, 1):
            segments += _segment(0xE2, ICC_MARK + bytes([number, len(parts)]) + part)
    resources, room = metadata.photoshop or b"", LONGEST_SEGMENT - len(photoshop.MARK)
    for begin in range(0, len(resources), room):  # a long block continues in the next segment
        segments += _segment(0xED, photoshop.MARK + resources[begin : begin + room])
    for text in metadata.texts:
        segments += _segment(COMMENT_CODE, text.text.encode())
    return data[:at] + segments + data[at:]


def _segment(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def _further(file: BinaryIO, header: Header) -> Iterator[BinaryIO]:
    """The pictures listed in a multi-picture index (CIPA DC-007), whose offsets count from its own byte order mark."""
    for segment in segments(file):
        content = file.read(segment.length) if segment.code == 0xE2 else b""
        if not content.startswith(INDEX_MARK):
            continue
        with suppress(ValueError):
            block = blocks.open_block(Part(content[4:], file.name))
            index = blocks.read_directory(block, block.first)
            entries = index[INDEX_ENTRIES].value if INDEX_ENTRIES in index else b""
            layout = struct.Struct(block.order + ENTRY)
            for kind, length, offset, _, _ in layout.iter_unpack(entries[: len(entries) // layout.size * layout.size]):
                if offset and kind & KINDS not in PREVIEWS:  # offset 0 is the first picture itself
                    yield section(file, segment.at + 4 + offset, length)
        return


MIME_TYPE = "image/jpeg"
JPEG = Format(
    name="JPEG",
    endings=(".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".jfi", ".mpo"),
    mime_type=MIME_TYPE,
    start=re.compile(rb"\xff\xd8\xff"),
    read_header=peek_jpeg,
    decode=_decode,
    read_blocks=_read_blocks,
    bits=(8,),
    further=_further,
    outputs=(
        Output(
            (".jpg", ".jpeg"),
            _encode,
            _embed,
            bits=(8,),
            longest_side_px=LONGEST_SIDE_PX,
            about=f"quality {QUALITY}, 4:4:4",
            takes_text=_is_comment,
            takes_density=True,
            fit=_fit,
        ),
    ),
)

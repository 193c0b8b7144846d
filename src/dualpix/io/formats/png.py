"""PNG: chunks with checksums, some of which hold metadata (PNG specification, third edition)."""

import re
import struct
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

from numpy.typing import NDArray

from dualpix.io import exif as blocks
from dualpix.io import photoshop, xmp
from dualpix.io.colours import Told, kept, told_by_numbers
from dualpix.io.formats import png_chunks as png
from dualpix.io.formats.png_chunks import chunk
from dualpix.io.formats.record import Format, Order, Output
from dualpix.io.metadata import CREDENTIALS, INCH_M, Found, Metadata, counts_of, per_inch
from dualpix.io.opening import Header, exactly, load, refuse, refuse_cut_short
from dualpix.io.profiles import D65, SRGB_PRIMARIES
from dualpix.io.texts import LARGEST_BYTES, Text, TooLongError, inflate
from dualpix.machine.later import imagecodecs

CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
BITS = {0: (1, 2, 4, 8, 16), 3: (1, 2, 4, 8)}  # of grey and of indices; all others have 8 or 16
END = b"IEND\xaeB`\x82"
PNG_XMP, PNG_PROFILE = "XML:com.adobe.xmp", "Raw profile type "
# Prefixes of keywords, used by ImageMagick and file managers, for dates and properties of the old file.
OF_THE_FILE = ("Thumb::", "date:", "png:", "jpeg:", "tiff:", "webp:")
PROFILE = re.compile(rb"\s*\w+\s+(\d{1,9})\s+([0-9a-fA-F\s]*)")
GAMMA_OF_SRGB = 45455


def _read_header(file: BinaryIO) -> Header:
    """The header of a file that starts like one. Raises PictureError, also for animations."""
    file.seek(len(png.MARK))
    first, width, height, bits, colour = struct.unpack(">4x4sIIBB", exactly(file, 18))
    channels = CHANNELS.get(colour)
    if first != b"IHDR" or channels is None or bits not in BITS.get(colour, (8, 16)):
        refuse(file, "has a damaged PNG header; copy it again")
    if int.from_bytes(png.facts(file).get(b"acTL", b"")[:4], "big") > 1:
        refuse(file, "is an animation; give a still picture")
    return Header("PNG", width, height, channels, 16 if bits == 16 else 8)


def _decode(file: BinaryIO, header: Header) -> NDArray[Any]:
    data = load(file, header)
    if END not in data:
        refuse_cut_short(file)
    return png.decode_png(file, data, header)


def _encode(levels: NDArray[Any], order: Order) -> bytes:
    # The fastest settings that still compress a photograph: 0.2 s for 1680 x 1120 at 16 bits, 2 % above the slowest.
    return bytes(imagecodecs.png_encode(levels, level=1, strategy=3, filter=16))


def _read_blocks(file: BinaryIO) -> Found:
    for found in png.chunks(file):
        if found.kind == b"caBX":
            yield CREDENTIALS
        elif found.kind not in PNG_CHUNKS:
            yield None
        elif found.length > LARGEST_BYTES:
            yield TooLongError()
        else:
            try:
                yield PNG_CHUNKS[found.kind](found.kind, png.content(file, found))
            except ValueError as error:
                yield error


def _exif_of(kind: bytes, data: bytes) -> tuple[str, bytes]:
    return "exif", data.removeprefix(blocks.MARK)


def _profile_of(kind: bytes, data: bytes) -> tuple[str, bytes]:
    return "icc", inflate(data[data.index(b"\0") + 2 :])


def _density_of(kind: bytes, data: bytes) -> tuple[str, bytes] | None:
    if len(data) != 9 or data[8] != 1:  # without a unit it states only the aspect ratio of a pixel
        return None
    return per_inch(*(count * INCH_M for count in struct.unpack(">II", data[:8])))


def _part_of_text(kind: bytes, data: bytes) -> tuple[str, bytes] | Text | str:
    text, content = _text_of(kind, data)
    if text.keyword == PNG_XMP:
        return "xmp", content
    if text.keyword.startswith(PNG_PROFILE):
        name = text.keyword.removeprefix(PNG_PROFILE)
        profile = _raw_profile(content)
        if name in ("icc", "icm"):
            return "icc", profile
        if name == "xmp" or profile.startswith(xmp.MARK):
            return "xmp", profile.removeprefix(xmp.MARK)
        if name in ("exif", "APP1"):
            return "exif", profile.removeprefix(blocks.MARK)
        if name in ("iptc", "8bim"):
            return "photoshop" if profile.startswith(b"8BIM") else "iptc", profile
    if text.keyword.startswith(OF_THE_FILE):
        return f"texts about the old file ('{text.keyword[:40]}')"
    return text


PNG_CHUNKS: dict[bytes, Callable[[bytes, bytes], tuple[str, bytes] | Text | str | None]] = {
    b"iCCP": _profile_of,
    b"eXIf": _exif_of,
    b"pHYs": _density_of,
    **dict.fromkeys((b"tEXt", b"zTXt", b"iTXt"), _part_of_text),
}


def _text_of(kind: bytes, data: bytes) -> tuple[Text, bytes]:
    """The text in a tEXt, zTXt or iTXt chunk, and its bytes before decoding. Raises ValueError where it is damaged."""
    keyword, rest = _cut(data)
    if kind == b"tEXt":
        return Text(keyword, rest.decode("latin-1")), rest
    if kind == b"zTXt":
        content = inflate(rest[1:])
        return Text(keyword, content.decode("latin-1")), content
    packed, (language, rest) = rest[:1] == b"\1", _cut(rest[2:])
    translated, _, content = rest.partition(b"\0")
    content = inflate(content) if packed else content
    return Text(keyword, content.decode(errors="replace"), language, translated.decode(errors="replace")), content


def _cut(data: bytes) -> tuple[str, bytes]:
    word, end, rest = data.partition(b"\0")
    if not end:
        raise ValueError("a text without a keyword")
    return word.decode("latin-1"), rest


def _fits(text: Text) -> bool:
    """Whether its keyword is allowed in PNG files."""
    return 0 < len(text.keyword) < 80 and text.keyword.isprintable() and _is_latin(text.keyword)


def _to_chunk(text: Text) -> bytes:
    """The chunk for a text whose keyword is allowed."""
    keyword, words = text.keyword.encode("latin-1"), text.text.replace("\0", " ")
    if _is_latin(words) and not text.language and not text.translated:
        return chunk(b"tEXt", keyword + b"\0" + words.encode("latin-1"))
    head = b"\0\0\0" + text.language.encode("ascii", "replace") + b"\0" + text.translated.encode() + b"\0"
    return chunk(b"iTXt", keyword + head + words.encode())


def _is_latin(words: str) -> bool:
    return all(ord(letter) < 256 for letter in words)


def _raw_profile(text: bytes) -> bytes:
    """The block in a text as ImageMagick writes it: name, length, hexadecimal digits.

    Raises ValueError if it is damaged.
    """
    match = PROFILE.match(text)
    data = bytes.fromhex(match[2].decode()) if match else b""
    if match is None or len(data) != int(match[1]):
        raise ValueError("a damaged profile")
    return data


def _embed(data: bytes, metadata: Metadata) -> bytes:
    header_end = 8 + 25
    chunks = _density_chunk(metadata.density)
    if metadata.icc:
        chunks += chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    if metadata.exif:
        chunks += chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        chunks += chunk(b"iTXt", PNG_XMP.encode() + b"\0\0\0\0\0" + metadata.xmp)
    if metadata.photoshop:
        profile = zlib.compress(photoshop.to_text(metadata.photoshop))
        chunks += chunk(b"zTXt", f"{PNG_PROFILE}iptc\0\0".encode() + profile)
    chunks += b"".join(map(_to_chunk, metadata.texts))
    return data[:header_end] + chunks + data[header_end:]


def _density_chunk(density: tuple[float, float] | None) -> bytes:
    counts = counts_of(density, INCH_M, 2**31)
    return chunk(b"pHYs", struct.pack(">IIB", *counts, 1)) if counts else b""


def _tell_colours(file: BinaryIO, header: Header, metadata: Metadata) -> Told | None:
    """The first of cICP, ICC profile, sRGB, and gAMA with cHRM that is present: the standard's order of precedence."""
    facts = png.facts(file)
    if len(cicp := facts.get(b"cICP", b"")) == 4:
        told = told_by_numbers("a cICP chunk", cicp[0], cicp[1], header)
        return told if tuple(cicp[2:]) == (0, 1) else Told(told.by, None, can_be_kept=False)
    if metadata.icc:
        return None
    if b"sRGB" in facts:
        return Told("an sRGB chunk", None)
    gamma, corners = facts.get(b"gAMA", b""), facts.get(b"cHRM", b"")
    if len(gamma) != 4 and len(corners) != 32:
        return None
    number = int.from_bytes(gamma, "big") if len(gamma) == 4 else GAMMA_OF_SRGB
    points = tuple(value / 100000 for value in struct.unpack(">8I", corners)) if len(corners) == 32 else ()
    by = " and ".join(name for name, data in (("a gAMA chunk", gamma), ("a cHRM chunk", corners)) if data)
    if number == 0:
        return None
    # Programs that write sRGB state this gamma as well, for readers that do not know the sRGB curve.
    curve = None if abs(number - GAMMA_OF_SRGB) < 100 else 100000 / number
    if curve:
        by = by.replace("a gAMA chunk", f"a gAMA chunk (gamma {number / 100000:g})")
    return kept(by, points[:2] or D65, points[2:] or SRGB_PRIMARIES, curve, header)


PNG = Format(
    name="PNG",
    endings=(".png", ".apng"),
    mime_type="image/png",
    start=re.compile(rb"\x89PNG\r\n\x1a\n"),
    read_header=_read_header,
    decode=_decode,
    read_blocks=_read_blocks,
    bits=(8, 16),
    tell_colours=_tell_colours,
    outputs=(Output((".png",), _encode, _embed, takes_text=_fits, takes_density=True),),
)

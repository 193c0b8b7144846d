import re
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from dualpix.errors import PictureError
from dualpix.io import read_picture
from dualpix.io.headers import Header, peek


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + bytes(100)


def tiff_header(width: int, height: int, order: str = "<", tile: int = 0) -> bytes:
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 2, 273: 8, 277: 3, 278: height, 279: 100}
    tags |= {322: tile, 323: tile} if tile else {}
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HIH", 42, 8, len(tags)) + entries + bytes(100)


def big_tiff_header(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 2, 273: 8, 277: 3, 278: height, 279: 100}
    entries = b"".join(struct.pack("<HHQQ", tag, 16, 1, value) for tag, value in sorted(tags.items()))
    return b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, len(tags)) + entries + bytes(100)


def jpeg_header(width: int, height: int) -> bytes:
    # A comment that looks like a frame, and fill bytes before the marker, must not lead astray.
    comment = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 20, 20, 3)
    frame = b"\xff\xff\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + frame + b"\xff\xd9"


def webp(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def extended_webp_header(width: int, height: int, flags: int = 0) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp(b"VP8X" + struct.pack("<I", 10) + bytes([flags, 0, 0, 0]) + sides)


def lossless_webp_header(width: int, height: int) -> bytes:
    return webp(b"VP8L" + struct.pack("<IBI", 10, 0x2F, (width - 1) | (height - 1) << 14 | 1 << 28) + bytes(6))


def lossy_webp_header(width: int, height: int) -> bytes:
    return webp(b"VP8 " + struct.pack("<I", 10) + b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height))


def jpegxl_header(width: int, height: int) -> bytes:
    """Sides of 30 bits each, then the mark that all else is as usual. Fields come lowest bit first."""
    fields = [(0, 1), (3, 2), (height - 1, 30), (0, 3), (3, 2), (width - 1, 30), (1, 1)]
    bits, at = 0, 0
    for value, count in fields:
        bits, at = bits | value << at, at + count
    return b"\xff\x0a" + bits.to_bytes(9, "little") + bytes(100)


HEADERS = {
    "png": (png_header, "PNG", 3, 16),
    "tiff": (tiff_header, "TIFF", 3, 16),
    "tiff big-endian": (lambda w, h: tiff_header(w, h, ">"), "TIFF", 3, 16),
    "bigtiff": (big_tiff_header, "TIFF", 3, 16),
    "jpeg": (jpeg_header, "JPEG", 3, 8),
    "webp extended": (extended_webp_header, "WebP", 3, 8),
    "webp lossless": (lossless_webp_header, "WebP", 4, 8),
    "webp lossy": (lossy_webp_header, "WebP", 3, 8),
    "jpeg xl": (jpegxl_header, "JPEG XL", 3, 8),
    "ppm": (lambda w, h: b"P6 # by hand\n%d\n%d # white:\n65535\n" % (w, h) + bytes(100), "Netpbm", 3, 16),
    "plain pgm": (lambda w, h: b"P2 %d %d 255\n" % (w, h) + bytes(100), "Netpbm", 1, 8),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_tells_size_channels_and_depth(tmp_path: Path, name: str) -> None:
    build, format, channels, depth = HEADERS[name]
    path = tmp_path / "picture"
    path.write_bytes(build(1680, 1120))
    with path.open("rb") as file:
        assert peek(file) == Header(format, 1680, 1120, channels, depth, orientation=1 if name == "jpeg xl" else None)


@pytest.mark.parametrize(("width", "height"), [(60000, 60000), (16, 65000), (65535, 17)])
@pytest.mark.parametrize("name", [name for name in HEADERS if name not in ("webp lossless", "webp lossy")])
def test_an_absurd_size_is_refused_before_anything_is_allocated(
    tmp_path: Path, name: str, width: int, height: int
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(HEADERS[name][0](width, height))
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match=re.escape(f"{path} declares {width} x {height} pixels")):
            read_picture(path, limit_megapixels=1)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_the_default_limit_is_200_megapixels(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png_header(20000, 10001))
    with pytest.raises(PictureError, match="the limit of 200 megapixels"):
        read_picture(path)


def test_a_tile_counts_as_much_as_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "tiles.tif"
    path.write_bytes(tiff_header(100, 100, tile=60000))
    with pytest.raises(PictureError, match="tiles larger than the picture"):
        read_picture(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GIF89a" + bytes(50), "looks like GIF"),
        (b"\0\0\0\x18ftypmp42" + bytes(50), "looks like a video"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "cut short|damaged"),
        (b"\0\0\0\x18ftypcrx " + bytes(50), "looks like a Canon CR3"),
        (b"P4 20 20\n" + bytes(60), "looks like PBM"),
        (b"P6 20 20 70000\n" + bytes(2400), "declares 70000 as its white"),
        (b"P6 20 twenty 255\n" + bytes(1200), "damaged PGM or PPM header"),
        (b"\xff\x0a", "cut short"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ", "damaged JPEG XL header"),
        (b"hello, I am a text", "not a PNG, TIFF, JPEG, .* or PPM file; convert"),
        (b"\x89PNG", "not a PNG"),
        (extended_webp_header(20, 20, flags=0x02), "animation"),
        (webp(b"VP9 " + bytes(14)), "damaged WebP header"),
        (b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB", 17, 8, 20, 20, 3), "lossless or hierarchical JPEG"),
        (b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 12, 20, 20, 3), "3 channels of 12 bits"),
        (b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, 20, 20, 4), "a JPEG in CMYK"),
        (b"\xff\xd8\xff\xda\0\x02" + bytes(50), "damaged JPEG header"),
        (b"\xff\xd8\xff\xe0\0\0" + bytes(50), "damaged JPEG header"),
        (b"II*\0" + struct.pack("<I", 2**32 - 1) + bytes(50), "cut short"),
        (b"II*\0" + struct.pack("<IH", 8, 0) + bytes(50), "damaged TIFF directory"),
    ],
)
def test_what_is_not_read_is_refused_in_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=said) as caught:
        read_picture(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({254: 1}, "raw file"),
        ({50706: 0x01040000}, "raw file"),
        ({259: 6}, "unusual compression"),
        ({262: 0}, "negative grey"),
        ({262: 3}, "palette"),
        ({262: 5}, "in CMYK"),
        ({262: 6}, "uncompressed YCbCr"),
        ({262: 99}, "unknown kind of colour"),
        ({258: 1}, "of 1 bits"),
        ({258: 4}, "of 4 bits"),
        ({339: 2}, "8 or 16 bits"),
        ({277: 5}, "5 samples"),
        ({262: 1}, "3 samples"),
    ],
)
def test_tiffs_that_hold_no_plain_picture_are_refused(tmp_path: Path, make, tags: dict[int, int], said: str) -> None:
    path = tmp_path / "picture.tif"
    path.write_bytes(make["tiff"](make["smooth"](np.uint16), tags=tags))
    with pytest.raises(PictureError, match=said):
        read_picture(path)

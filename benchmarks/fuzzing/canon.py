"""A small CR3 file of two frames, as Canon's Dual Pixel RAW has them: boxes of ISO/IEC 14496-12 around its own code.

Made by what LibRaw reads; no camera wrote it. Lossless, one tile, four planes of a quarter of the photosites each. In
that code ones are runs of the value before, so that a frame of ones is even, and any other bits are some picture.
"""

import struct
from collections.abc import Sequence
from random import Random

WIDTH, HEIGHT, BITS, PLANES = 64, 48, 14, 4
HEADER_BYTES = 112  # of a frame: a tile, and a plane and a band four times
ABOUT = "85c0b687820f11e08111f4ce462b6a48"
TILE, PLANE, BAND = 0xFF01, 0xFF02, 0xFF03


def cr3(camera: bytes) -> bytes:
    """`camera`: a TIFF directory with what the camera says of itself."""
    frames = [_frame(Random(0).randbytes(3000)), _frame(b"\xff" * 400)]
    start = _box(b"ftyp", b"crx \0\0\0\1crx isom")
    at = len(start) + len(_movie(camera, frames, 0)) + 8
    return start + _movie(camera, frames, at) + _box(b"mdat", *frames)


def _frame(data: bytes) -> bytes:
    head = struct.pack(">HHIHH", TILE, 8, PLANES * len(data), 0, 0)
    for number in range(PLANES):
        head += struct.pack(">HHIB3x", PLANE, 8, len(data), number << 4) + struct.pack(">HHII", BAND, 8, len(data), 0)
    return head.ljust(HEADER_BYTES, b"\0") + PLANES * data


def _movie(camera: bytes, frames: Sequence[bytes], at: int) -> bytes:
    """All that stands before the frames, the first of which lies at `at`."""
    places = [at + sum(map(len, frames[:number])) for number in range(len(frames))]
    tracks = [_track(place, len(frame)) for place, frame in zip(places, frames, strict=True)]
    version = _box(b"CNCV", b"CanonCR3_001/00.09.00/00.00.00")
    about = _box(b"uuid", bytes.fromhex(ABOUT), version, _box(b"CMT1", camera))
    return _box(b"moov", about, _full(b"mvhd", bytes(96)), *tracks)


def _track(place: int, size: int) -> bytes:
    """The two frames of a photograph have a track each; those of a burst share one."""
    table = _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), _box(b"CRAW", _sample_entry(), _box(b"CMP1", _coding()))),
        _full(b"stts", struct.pack(">III", 1, 1, 1)),
        _full(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        _full(b"stsz", struct.pack(">III", 0, 1, size)),
        _full(b"co64", struct.pack(">IQ", 1, place)),
    )
    handler = _full(b"hdlr", bytes(4) + b"vide" + bytes(13))
    media = _box(b"mdia", _full(b"mdhd", bytes(20)), handler, _box(b"minf", _full(b"vmhd", bytes(8)), table))
    return _box(b"trak", _full(b"tkhd", bytes(80)), media)


def _sample_entry() -> bytes:
    size = struct.pack(">HHII", WIDTH, HEIGHT, 72 << 16, 72 << 16)
    return struct.pack(">6xH16x", 1) + size + struct.pack(">4xH32xHhHH", 1, 24, -1, 1, 1)


def _coding() -> bytes:
    sides = struct.pack(">IIII", WIDTH, HEIGHT, WIDTH, HEIGHT)  # of the picture and of its tile
    return (
        struct.pack(">HHI", 0xFF00, 48, 1 << 24) + sides + struct.pack(">BBHI20x", BITS, PLANES << 4, 0, HEADER_BYTES)
    )


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, *parts: bytes) -> bytes:
    return _box(kind, bytes(4), *parts)

"""What Canon files note of their frames. Made by hand, box by box and tag by tag: no camera's own file may be here."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dualpix.errors import PictureError
from dualpix.pairs import open_views
from dualpix.pairs.sources.canon_frames import CanonFrames, read_canon_frames

Raw = Callable[..., bytes]
CANON = b"\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48"
R6 = (60, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1, 0, 0)
"""Tag 0x4018 of an EOS R6: the eleventh number, counted without the length in bytes, is Dual Pixel RAW."""
ON = (*R6[:11], 1, *R6[12:])
SETTINGS = (110, 2, *[0] * 53)
HDR_PQ = (*SETTINGS[:52], 1, *SETTINGS[53:])


def notes(lighting: tuple[int, ...] = ON, settings: tuple[int, ...] = SETTINGS, order: str = "<", at: int = 8) -> bytes:
    """A directory of the maker's notes, whose values lie behind it; `at`: where it comes to lie."""
    values = [struct.pack(f"{order}{len(settings)}H", *settings), struct.pack(f"{order}{len(lighting)}i", *lighting)]
    begin = at + 2 + 2 * 12 + 4
    table = struct.pack(order + "H", 2)
    table += struct.pack(order + "HHII", 0x0001, 3, len(settings), begin)
    table += struct.pack(order + "HHII", 0x4018, 9, len(lighting), begin + len(values[0]))
    return table + bytes(4) + b"".join(values)


def stream(lighting: tuple[int, ...] = ON, settings: tuple[int, ...] = SETTINGS, order: str = "<") -> bytes:
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    return head + notes(lighting, settings, order)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def track(count: int, codec: bytes = b"CMP1", entry: bytes = b"CRAW") -> bytes:
    described = box(b"stsd", struct.pack(">II", 0, 1), box(entry, bytes(82), box(codec, bytes(52))))
    sizes = box(b"stsz", struct.pack(">III", 0, 0, count), bytes(4 * count))
    return box(b"trak", box(b"tkhd", bytes(84)), box(b"mdia", box(b"minf", box(b"stbl", described, sizes))))


def cr3(maker: bytes, *tracks: bytes, version: bytes = b"CanonCR3_001/00.10.00/00.00.00") -> bytes:
    own = box(b"uuid", CANON, box(b"CNCV", version), box(b"CMT3", maker), box(b"THMB", bytes(40)))
    moov = box(b"moov", own, box(b"mvhd", bytes(100)), *tracks)
    return box(b"ftyp", b"crx ", bytes(4), b"crx isom") + moov + box(b"mdat", bytes(64))


def usual(count: int = 1, preview: bytes = b"JPEG") -> list[bytes]:
    """A large preview, a small mosaic, the large one, and times and places of each."""
    return [track(count, preview), track(count), track(count), track(9, entry=b"CTMD")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (cr3(stream(), *usual(), track(1)), CanonFrames(dual_pixel=True)),
        (cr3(stream(R6), *usual()), CanonFrames(dual_pixel=False)),
        (cr3(stream(order=">"), *usual()), CanonFrames(dual_pixel=True)),
        (cr3(stream((20, 0, 0, 0, 0)), *usual()), CanonFrames(dual_pixel=None)),
        (cr3(stream(settings=HDR_PQ), *usual()), CanonFrames(dual_pixel=True, hdr_pq=True)),
        (cr3(stream(R6), *usual(preview=b"HEVC")), CanonFrames(dual_pixel=False, hdr_pq=True)),
        (cr3(stream(R6), *usual(36)), CanonFrames(pictures=36, dual_pixel=False)),
        (cr3(b"", version=b"CanonCRM0001/02.09.00/00.00.00"), CanonFrames(movie=True)),
        (cr3(stream()[:20], *usual()), CanonFrames()),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), CanonFrames()),
        (b"", CanonFrames()),
    ],
    ids=[
        "on",
        "off",
        "other order",
        "older body",
        "HDR PQ",
        "preview in HEVC",
        "burst",
        "movie",
        "cut",
        "PNG",
        "empty",
    ],
)
def test_what_the_header_says(tmp_path: Path, content: bytes, expected: CanonFrames) -> None:
    (tmp_path / "a.cr3").write_bytes(content)
    assert read_canon_frames(tmp_path / "a.cr3") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            cr3(stream(R6), *usual(70)),
            "is a raw burst, a roll of 70 photographs taken one after the other, not the two",
        ),
        (cr3(stream(), *usual(2)), "a roll of 2 photographs"),
        (cr3(b"", version=b"CanonCRM0001/02.09.00/00.00.00"), r"is a raw movie \(Cinema RAW Light\)"),
        (cr3(stream(R6), *usual()), "was taken with Dual Pixel RAW switched off, as the camera noted"),
        (cr3(stream(R6, HDR_PQ), *usual()), "switched off and HDR PQ on"),
    ],
    ids=["burst", "burst of two", "movie", "off", "HDR PQ"],
)
def test_files_without_a_pair_are_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "IMG_0001.CR3"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=rf"IMG_0001\.CR3 .*{message}.*\.$"):
        open_views(path)


def test_a_damaged_header_never_ends_in_a_traceback(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.cr3", cr3(stream(), *usual())
    random = np.random.default_rng(0)
    head = len(whole) - 72
    for _ in range(150):
        broken = bytearray(whole[: random.integers(1, head)] if random.random() < 0.3 else whole)
        for place in random.integers(0, len(broken), 3):
            broken[place] = random.choice([0, 1, 255, random.integers(256)])
        path.write_bytes(broken)
        assert isinstance(read_canon_frames(path), CanonFrames)


def cr2(raw: Raw, frames: list[np.ndarray], lighting: tuple[int, ...], settings: tuple[int, ...] = SETTINGS) -> bytes:
    """A CR2 with maker's notes, whose places count from the start of the file."""
    at = len(raw(frames, "cr2", tags={34665: ("I", 0)}))
    exposure = struct.pack("<HHHII", 1, 37500, 7, 400, at + 18) + bytes(4)
    return raw(frames, "cr2", tags={34665: ("I", at)}) + exposure + notes(lighting, settings, at=at + 18) + bytes(400)


def mosaics(count: int) -> list[np.ndarray]:
    """Frames of so many, all different, the first the brightest."""
    random = np.random.default_rng(1)
    first = random.integers(8000, 16000, (64, 96)).astype(np.uint16)
    return [first, *(first // 2 + random.integers(0, 50, first.shape).astype(np.uint16) for _ in range(count - 1))]


def test_two_frames_of_a_cr2_count_if_dual_pixel_raw_was_on(tmp_path: Path, raw: Raw) -> None:
    path = tmp_path / "photo.cr2"
    path.write_bytes(cr2(raw, mosaics(2), ON))
    assert open_views(path)["left"].shape == (3, 64, 96)
    path.write_bytes(cr2(raw, mosaics(2), R6))
    with pytest.raises(PictureError, match=r"photo\.cr2 was taken with Dual Pixel RAW switched off"):
        open_views(path)


@pytest.mark.parametrize(
    ("lighting", "settings", "why"),
    [
        (ON, SETTINGS, "it was taken with Dual Pixel RAW, so the second one was dropped"),
        (R6[:5], HDR_PQ, "it was taken with HDR PQ, or"),
        (R6[:5], SETTINGS, "it was not taken with Dual Pixel RAW switched on, or"),
    ],
)
def test_why_there_is_one_frame_only(
    tmp_path: Path, raw: Raw, lighting: tuple[int, ...], settings: tuple[int, ...], why: str
) -> None:
    path = tmp_path / "photo.cr2"
    path.write_bytes(cr2(raw, mosaics(1), lighting, settings))
    with pytest.raises(PictureError, match=rf"photo\.cr2 holds one frame only: {why}.*no two views\.$"):
        open_views(path)


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("kind", ["dng", "cr2"])
def test_more_than_two_frames_are_refused(tmp_path: Path, raw: Raw, kind: str, count: int) -> None:
    path = tmp_path / f"many.{kind}"
    path.write_bytes(raw(mosaics(count), kind))
    with pytest.raises(PictureError, match=r"many\.\w+ holds more than two frames, as a burst does"):
        open_views(path)

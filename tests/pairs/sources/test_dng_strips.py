"""Bits that a raw file declares against the bytes that its strips hold. The files are made here."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dualpix.errors import PictureError
from dualpix.pairs import open_views

Raw = Callable[..., bytes]
BITS, ROWS_PER_STRIP, COUNTS, OFFSETS = 258, 278, 279, 273
HEIGHT, WIDTH = 64, 96
BYTES = HEIGHT * WIDTH * 2 * 2
BALANCE = np.tile([[0.5, 1.0], [1.0, 0.625]], (HEIGHT // 2, WIDTH // 2))  # what filters RGGB pass of grey light


@pytest.fixture
def frames() -> list[np.ndarray]:
    left, right = (np.full((HEIGHT, WIDTH), 3000.0) for _ in "LR")
    left[8:28, 20:48] = right[8:28, 24:52] = 800
    return [np.rint(view * BALANCE).astype(np.uint16) for view in (left, right)]


def packed(frames: list[np.ndarray], bits: int) -> bytes:
    """Both samples of every pixel in so many bits, the highest first, each row from a byte of its own."""
    samples = np.stack(frames, -1).reshape(HEIGHT, -1, 1) >> np.arange(bits)[::-1] & 1
    return np.packbits(samples.reshape(HEIGHT, -1).astype(np.uint8), axis=1).tobytes()


def in_two_strips(data: bytes, gap: int) -> bytes:
    """The samples of a file that declares two strips moved to its end, with a gap between the strips."""
    half, start = BYTES // 2, len(data)
    moved = data + data[-BYTES:-half] + bytes(gap) + data[-half:]
    directory = bytearray(moved)
    (entries,) = struct.unpack_from("<H", moved, 8)
    at = next(at for at in range(10, 10 + 12 * entries, 12) if struct.unpack_from("<H", moved, at) == (OFFSETS,))
    struct.pack_into("<HHII", directory, at, OFFSETS, 4, 2, len(moved))
    return bytes(directory) + struct.pack("<II", start, start + half + gap)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 32])
def test_other_bits_than_the_strips_hold_are_refused(
    tmp_path: Path, raw: Raw, frames: list[np.ndarray], bits: int
) -> None:
    """12 bits declared over samples of 16 gave a picture of noise, without a word."""
    (tmp_path / "a.dng").write_bytes(raw(frames, tags={BITS: ("H", bits, bits)}))
    told = rf"a\.dng is damaged .*declares {bits} bits .*, {BYTES * bits // 16} bytes .* holds {BYTES}\); copy"
    with pytest.raises(PictureError, match=told):
        open_views(tmp_path / "a.dng")


def test_samples_that_differ_in_bits_are_refused(tmp_path: Path, raw: Raw, frames: list[np.ndarray]) -> None:
    (tmp_path / "a.dng").write_bytes(raw(frames, tags={BITS: ("H", 16, 12)}))
    with pytest.raises(PictureError, match="its samples have different bits: 16, 12"):
        open_views(tmp_path / "a.dng")


@pytest.mark.parametrize("padding", [0, 1, 15])
def test_twelve_bits_that_are_twelve_bits_are_read(
    tmp_path: Path, raw: Raw, frames: list[np.ndarray], padding: int
) -> None:
    samples = packed(frames, 12) + bytes(padding)
    whole = raw(frames)
    (tmp_path / "whole.dng").write_bytes(whole)
    short = raw(frames, tags={BITS: ("H", 12, 12), COUNTS: ("I", len(samples))})
    (tmp_path / "packed.dng").write_bytes(short[:-BYTES] + samples)
    found, expected = (open_views(tmp_path / name) for name in ("packed.dng", "whole.dng"))
    assert all(np.array_equal(found[view], expected[view]) for view in ("left", "right"))


def test_strips_follow_one_another(tmp_path: Path, raw: Raw, frames: list[np.ndarray]) -> None:
    """LibRaw reads on behind the first one."""
    tags = {ROWS_PER_STRIP: ("I", HEIGHT // 2), COUNTS: ("I", BYTES // 2, BYTES // 2)}
    (tmp_path / "one.dng").write_bytes(raw(frames))
    (tmp_path / "two.dng").write_bytes(in_two_strips(raw(frames, tags=tags), 0))
    assert np.array_equal(open_views(tmp_path / "two.dng")["left"], open_views(tmp_path / "one.dng")["left"])
    (tmp_path / "two.dng").write_bytes(in_two_strips(raw(frames, tags=tags), 1000))
    with pytest.raises(PictureError, match="its strips do not follow one another"):
        open_views(tmp_path / "two.dng")


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({COUNTS: ("I", BYTES // 2)}, f"{BYTES} bytes for a strip or tile that holds {BYTES // 2}"),
        ({COUNTS: ()}, "it has 0 strips or tiles where its tags declare 1"),
        ({ROWS_PER_STRIP: ("I", 1)}, f"it has 1 strips or tiles where its tags declare {HEIGHT}"),
        ({ROWS_PER_STRIP: ("I", 0)}, "its tag 278 is not one number of at least 1"),
    ],
)
def test_strips_that_cannot_be_are_refused(
    tmp_path: Path, raw: Raw, frames: list[np.ndarray], tags: dict[int, tuple], told: str
) -> None:
    (tmp_path / "a.dng").write_bytes(raw(frames, tags=tags))
    with pytest.raises(PictureError, match=told):
        open_views(tmp_path / "a.dng")

"""TIFF directories that promise what is not there: each is refused, none is filled up with black."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dualpix.errors import PictureError
from dualpix.io import read_picture

COMPRESSION, OFFSETS, COUNTS, TILE_OFFSETS, TILE_COUNTS = 259, 273, 279, 324, 325


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path} ")
    return str(caught.value)


def with_value(content: bytes, tag: int, number: int, value: int) -> bytes:
    """A little-endian TIFF, classic or big, with the value of that number in an entry replaced."""
    big = content[2] == 43
    directory = int.from_bytes(content[8:16] if big else content[4:8], "little")
    count = int.from_bytes(content[directory : directory + (8 if big else 2)], "little")
    size = 20 if big else 12
    for at in range(directory + (8 if big else 2), directory + count * size + 8, size):
        if int.from_bytes(content[at : at + 2], "little") == tag:
            kind = int.from_bytes(content[at + 2 : at + 4], "little")
            length = {3: 2, 4: 4, 16: 8}[kind]
            values = int.from_bytes(content[at + 4 : at + (12 if big else 8)], "little")
            place = at + (12 if big else 8)
            if length * values > size - (place - at):
                place = int.from_bytes(content[place : at + size], "little")
            place += number * length
            return content[:place] + value.to_bytes(length, "little") + content[place + length :]
    raise AssertionError(tag)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("packed", ["zlib", None])
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize(("what", "value"), [("offset", 0), ("count", 0), ("offset", 2**31), ("count", 2**31)])
def test_a_segment_that_is_nowhere_is_refused(
    tmp_path: Path, make, big: bool, packed: str | None, tiled: bool, what: str, value: int
) -> None:
    layout = {"tile": (16, 16)} if tiled else {"rowsperstrip": 16}
    content = make["tiff_by_library"](make["smooth"](), bigtiff=big, compression=packed, **layout)
    tag = {"offset": (OFFSETS, TILE_OFFSETS), "count": (COUNTS, TILE_COUNTS)}[what][tiled]
    limit = 2**15 if what == "count" and packed and not big and not tiled else value
    try:
        broken = with_value(content, tag, 1, min(value, limit) if value else 0)
    except OverflowError:  # tifffile writes short counts as short numbers
        broken = with_value(content, tag, 1, 65535)
    assert "is cut short" in refusal(tmp_path / "a.tif", broken)


@pytest.mark.parametrize("tiled", [False, True])
def test_a_plain_segment_shorter_than_its_pixels_is_refused(tmp_path: Path, make, tiled: bool) -> None:
    """The decoder would show the bytes behind it."""
    layout = {"tile": (16, 16)} if tiled else {"rowsperstrip": 16}
    content = make["tiff_by_library"](make["smooth"](), **layout)
    broken = with_value(content, (COUNTS, TILE_COUNTS)[tiled], 1, 10)
    assert "strips are shorter than its pixels" in refusal(tmp_path / "a.tif", broken)


def test_plain_strips_that_share_bytes_are_refused_unless_they_are_the_same(tmp_path: Path, make) -> None:
    levels = make["smooth"]()
    levels[16:32] = levels[:16]
    content = make["tiff_by_library"](levels, rowsperstrip=16)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        first = file.pages.first.dataoffsets[0]
    (tmp_path / "a.tif").write_bytes(with_value(content, OFFSETS, 1, first))
    same = read_picture(tmp_path / "a.tif").pixels
    (tmp_path / "a.tif").write_bytes(content)
    assert (same == read_picture(tmp_path / "a.tif").pixels).all()
    assert "overlap" in refusal(tmp_path / "a.tif", with_value(content, OFFSETS, 1, first + 6))


def test_a_predictor_without_a_compression_that_knows_it_is_refused(tmp_path: Path, make) -> None:
    """Some readers undo it, others pass over it."""
    packed = make["tiff_by_library"](make["smooth"](), compression="packbits", predictor=True)
    for content in (packed, with_value(packed, COMPRESSION, 0, 1)):
        assert "a predictor, which its compression does not know" in refusal(tmp_path / "a.tif", content)


def test_a_tag_given_twice_is_refused_if_it_says_two_things(tmp_path: Path, make) -> None:
    content = make["tiff"](make["smooth"]())
    count = struct.unpack("<H", content[8:10])[0]
    entries = [content[10 + 12 * i : 22 + 12 * i] for i in range(count)]
    height = next(entry for entry in entries if entry[:2] == struct.pack("<H", 257))
    for other, refused in ((height, False), (height[:8] + struct.pack("<I", 20), True)):
        table = sorted([*entries, other], key=lambda entry: entry[:2][::-1])
        moved = [
            entry[:8] + struct.pack("<I", struct.unpack("<I", entry[8:])[0] + 12) if entry[0:2] == b"\x11\1" else entry
            for entry in table
        ]
        again = content[:8] + struct.pack("<H", count + 1) + b"".join(moved) + content[10 + 12 * count :]
        if refused:
            assert "tag 257 occurs twice" in refusal(tmp_path / "a.tif", again)
        else:
            (tmp_path / "a.tif").write_bytes(again)
            assert read_picture(tmp_path / "a.tif").pixels.shape == (3, 40, 48)


@pytest.mark.parametrize(("kind", "count"), [(2, 1), (5, 1), (9, 1), (11, 1), (4, 0), (4, 17)])
def test_a_tag_of_a_strange_kind_is_refused(tmp_path: Path, make, kind: int, count: int) -> None:
    content = make["tiff"](make["smooth"]())
    at = content.index(struct.pack("<HHI", 256, 4, 1))
    broken = content[: at + 2] + struct.pack("<HI", kind, count) + content[at + 8 :]
    assert "damaged TIFF directory" in refusal(tmp_path / "a.tif", broken)


def test_an_unknown_tag_far_beyond_the_file_costs_nothing(tmp_path: Path, make) -> None:
    content = make["tiff_by_library"](make["smooth"](), bigtiff=True, extratags=[(34000, 1, 100, bytes(100), True)])
    at = content.index(struct.pack("<HHQ", 34000, 1, 100)) + 12
    for offset in (2**62, 2**63 + 5, len(content) + 1):
        (tmp_path / "a.tif").write_bytes(content[:at] + struct.pack("<Q", offset) + content[at + 8 :])
        assert read_picture(tmp_path / "a.tif").pixels.shape == (3, 40, 48)


@pytest.mark.parametrize(("extra", "told"), [("assocalpha", True), ("unassalpha", False)])
def test_colours_multiplied_by_their_transparency_are_told(tmp_path: Path, make, extra: str, told: bool) -> None:
    levels = np.concatenate([make["smooth"](), np.full((40, 48, 1), 99, np.uint8)], axis=2)
    tifffile.imwrite(tmp_path / "a.tif", levels, photometric="rgb", extrasamples=[extra], metadata=None)
    notes = read_picture(tmp_path / "a.tif").notes
    assert ("a.tif has premultiplied transparency: colours are too dark where it is not opaque." in notes) is told

"""AVIF and HEIF, made by Pillow, libavif and libheif: levels, turns, colours, further pictures, damage."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from dualpix.errors import PictureError
from dualpix.io import Picture, read_picture, suffix_of
from dualpix.io.profiles import is_srgb
from dualpix.pairs import open_views

DEEP = (np.mgrid[:48, :64, :3].sum(0) * 6 % 1024).astype(np.uint16)


def levels(bits: int) -> np.ndarray:
    return (DEEP >> 2).astype(np.uint8) if bits == 8 else DEEP << (bits - 10)


def avif(bits: int = 8) -> bytes:
    more = {} if bits == 8 else {"bitspersample": bits}
    return bytes(imagecodecs.avif_encode(levels(bits), level=100, **more))


def heif(bits: int = 8, **options: object) -> bytes:
    mode, data = ("RGB", levels(8)) if bits == 8 else ("RGB;16", levels(bits) << (16 - bits))
    buffer = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
        made = pillow_heif.from_bytes(mode, (64, 48), data.tobytes())
        made.save(buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


def read(folder: Path, content: bytes) -> Picture:
    path = folder / "picture"
    path.write_bytes(content)
    return read_picture(path)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize(("name", "make", "apart"), [("AVIF", avif, 0), ("HEIF", heif, 1)])
def test_levels_are_read_at_their_depth(
    tmp_path: Path, name: str, make: Callable[[int], bytes], apart: int, bits: int
) -> None:
    picture = read(tmp_path, make(bits))
    assert (picture.format, picture.depth, picture.notes) == (name, 8 if bits == 8 else 16, ())
    found = np.round(picture.pixels.permute(1, 2, 0).numpy().astype(float) * (2**bits - 1))
    assert np.abs(found - levels(bits)).max() <= apart
    assert suffix_of(tmp_path / "picture") == {"AVIF": ".avif", "HEIF": ".heic"}[name]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turn_is_told_and_the_rows_stay(tmp_path: Path, orientation: int) -> None:
    """Pillow's writer makes a turn and a mirror of the number in EXIF."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(levels(8)).save(buffer, "AVIF", exif=exif, quality=100, subsampling="4:4:4")
    picture = read(tmp_path, buffer.getvalue())
    assert picture.metadata.orientation == orientation and picture.pixels.shape == (3, 48, 64)
    assert np.abs(picture.pixels.permute(1, 2, 0).numpy() * 255 - levels(8)).max() < 1.5


@pytest.mark.parametrize(
    ("kind", "value", "orientation"), [("irot", 1, 8), ("irot", 2, 3), ("irot", 3, 6), ("imir", 0, 4), ("imir", 1, 2)]
)
def test_turns_and_mirrors_that_libheif_carries_out_are_undone(
    tmp_path: Path, kind: str, value: int, orientation: int
) -> None:
    """They take the place of the file's clean aperture, without which it has 16 rows more."""
    plain = heif(10)
    at = plain.index(b"clap") - 4
    boxes = b"\0\0\0\x09" + kind.encode() + bytes([value]) + b"\0\0\0\x1ffree" + bytes(23)
    picture = read(tmp_path, plain[:at] + boxes + plain[at + 40 :])
    assert picture.metadata.orientation == orientation
    assert np.abs(picture.pixels.permute(1, 2, 0).numpy()[:48] * 1023 - DEEP).max() < 1.5


def test_colours_by_numbers_become_a_profile_or_a_sentence(tmp_path: Path) -> None:
    for content in (avif(10), heif(10)):
        at = content.index(b"nclx")
        for numbers, words in (((12, 13), "as a colour profile"), ((9, 16), "primaries 9, PQ"), ((9, 18), "HLG")):
            told = b"".join(number.to_bytes(2, "big") for number in numbers)
            picture = read(tmp_path, content[: at + 4] + told + content[at + 8 :])
            assert [words in note and "nclx" in note for note in picture.notes] == [True]
            assert is_srgb(picture.metadata.icc) == (numbers[0] != 12)


def test_profile_and_exif_are_carried(tmp_path: Path) -> None:
    profile = bytes(imagecodecs.cms_profile("adobergb"))
    exif = Image.Exif()
    exif[0x0110] = "A camera"
    buffer = io.BytesIO()
    Image.fromarray(levels(8)).save(buffer, "AVIF", icc_profile=profile, exif=exif, xmp=b"<x/>")
    for content in (buffer.getvalue(), heif(8, icc_profile=profile, exif=exif.tobytes(), xmp=b"<x/>")):
        metadata = read(tmp_path, content).metadata
        assert metadata.exif and b"A camera" in metadata.exif and metadata.xmp == b"<x/>"


def test_two_pictures_in_one_file_are_the_views(tmp_path: Path) -> None:
    file = pillow_heif.HeifFile()
    for view in (levels(8), levels(8)[:, ::-1]):
        file.add_frombytes("RGB", (64, 48), np.ascontiguousarray(view).tobytes())
    file.save(tmp_path / "both.heic", quality=-1, chroma=444)
    views = open_views(tmp_path / "both.heic")
    for view, wanted in ((views["left"], levels(8)), (views["right"], levels(8)[:, ::-1])):
        assert np.abs(view.permute(1, 2, 0).numpy() * 255 - wanted).max() < 1.5


@pytest.mark.parametrize("make", [avif, heif])
def test_damage_ends_in_one_sentence(tmp_path: Path, make: Callable[[], bytes]) -> None:
    content = make()
    for length in (20, 60, 200, len(content) - 1):
        with pytest.raises(PictureError, match=r"cut short|damaged"):
            read(tmp_path, content[:length])
    for words in (b"ispe", b"iloc", b"pitm", b"iprp"):
        with pytest.raises(PictureError, match="damaged"):
            read(tmp_path, content.replace(words, b"free"))
    with pytest.raises(PictureError, match="is an animation"):
        read(tmp_path, content + b"\0\0\0\x08moov")
    huge = content.replace(
        b"ispe" + bytes(4) + (64).to_bytes(4, "big"), b"ispe" + bytes(4) + (60000).to_bytes(4, "big")
    )
    with pytest.raises(PictureError):
        read(tmp_path, huge)


def test_without_its_package_heif_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = heif()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError, match=r"read by pillow-heif, which is not installed; get it by: .*\[heif\]"):
        read(tmp_path, content)

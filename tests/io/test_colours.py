"""Colours told by chunks of PNG and tags of EXIF and TIFF are carried along as a profile, or named."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from dualpix.errors import PictureError
from dualpix.io import Picture, check_output, read_picture, write_picture
from dualpix.io.profiles import is_linear, is_srgb

P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
REC709 = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)


def gamma(value: int) -> bytes:
    return struct.pack(">I", value)


def with_chunks(tmp_path: Path, make, grey: bool = False, **chunks: bytes) -> Picture:
    extra = b"".join(make["chunk"](kind.encode(), body) for kind, body in chunks.items())
    levels = make["smooth"]()
    (tmp_path / "a.png").write_bytes(make["png"](levels[:, :, 0] if grey else levels, extra))
    return read_picture(tmp_path / "a.png")


def shown(icc: bytes, levels: np.ndarray) -> np.ndarray:
    """What Pillow shows of 8-bit levels with that profile, on an sRGB screen."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    picture = Image.fromarray(levels)
    done = ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(done)


@pytest.mark.parametrize(
    "chunks",
    [
        {},
        {"gAMA": gamma(45455)},
        {"gAMA": gamma(45455), "cHRM": REC709},
        {"sRGB": b"\0", "gAMA": gamma(100000)},
        {"cICP": bytes([1, 13, 0, 1])},
        {"cHRM": REC709},
        {"gAMA": gamma(0)},
        {"gAMA": b"1", "cHRM": b"too short"},
    ],
)
def test_srgb_told_in_any_way_is_nothing_to_tell(tmp_path: Path, make, chunks: dict[str, bytes]) -> None:
    picture = with_chunks(tmp_path, make, **chunks)
    assert picture.metadata.icc is None
    assert picture.notes == ()


@pytest.mark.parametrize(
    ("chunks", "grey", "linear"),
    [
        ({"gAMA": gamma(100000)}, False, True),
        ({"gAMA": gamma(100000)}, True, True),
        ({"gAMA": gamma(55556)}, False, False),
        ({"cHRM": P3}, False, False),
        ({"gAMA": gamma(45455), "cHRM": ADOBE}, False, False),
        ({"cICP": bytes([12, 13, 0, 1])}, False, False),
        ({"cICP": bytes([9, 8, 0, 1])}, False, True),
        ({"cICP": bytes([12, 13, 0, 1]), "sRGB": b"\0"}, False, False),
    ],
)
def test_other_colours_become_a_profile(
    tmp_path: Path, make, chunks: dict[str, bytes], grey: bool, linear: bool
) -> None:
    picture = with_chunks(tmp_path, make, grey, **chunks)
    assert "carried over as a colour profile" in " ".join(picture.notes)
    assert not is_srgb(picture.metadata.icc)
    assert is_linear(picture.metadata.icc) is linear
    assert ("linear light" in " ".join(picture.notes)) is linear
    with pytest.raises(PictureError, match="a colour profile other than sRGB"):
        check_output(tmp_path / "b.jxl", metadata=picture.metadata)
    write_picture(tmp_path / "b.png", picture.pixels, 8, metadata=picture.metadata, grey=grey)
    with Image.open(tmp_path / "b.png") as written:
        assert written.info["icc_profile"] == picture.metadata.icc


def test_the_profile_shows_the_light_that_the_chunk_tells(tmp_path: Path, make) -> None:
    levels = np.full((16, 16, 3), 128, np.uint8)
    linear = with_chunks(tmp_path, make, gAMA=gamma(100000)).metadata.icc
    light = 128 / 255
    assert abs(shown(linear, levels)[0, 0, 1] - 255 * (1.055 * light ** (1 / 2.4) - 0.055)) <= 1
    square = with_chunks(tmp_path, make, gAMA=gamma(50000)).metadata.icc
    assert abs(shown(square, levels)[0, 0, 1] - 255 * (1.055 * light ** (2 / 2.4) - 0.055)) <= 1


@pytest.mark.parametrize("cicp", [bytes([9, 16, 0, 1]), bytes([9, 18, 0, 1]), bytes([200, 13, 0, 1])])
def test_colours_that_no_profile_can_tell_are_named(tmp_path: Path, make, cicp: bytes) -> None:
    (note,) = with_chunks(tmp_path, make, cICP=cicp).notes
    assert "cICP" in note
    assert "cannot be carried over" in note


def test_adobe_rgb_told_by_exif_alone_is_carried_along(tmp_path: Path, make) -> None:
    """As the design rule for camera file systems has it: uncalibrated, with the index R03."""
    for interop, expected in (({1: "R03"}, "EXIF (Adobe RGB)"), ({1: "R98"}, "not sRGB, without saying which")):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA001] = 65535
        exif.get_ifd(0x8769)[0xA005] = interop
        exif[0x8769] = exif.get_ifd(0x8769)
        (tmp_path / "a.jpg").write_bytes(make["by_pillow"](make["smooth"](), "JPEG", exif=exif.tobytes()))
        picture = read_picture(tmp_path / "a.jpg")
        assert expected in " ".join(picture.notes)
        assert (picture.metadata.icc is not None) is ("Adobe" in expected)
        assert picture.metadata.icc is None or not is_srgb(picture.metadata.icc)


def test_primaries_of_a_tiff_are_carried_along(tmp_path: Path, make) -> None:
    p3 = tuple(part for value in (0.68, 0.32, 0.265, 0.69, 0.15, 0.06) for part in (round(value * 10000), 10000))
    rec709 = tuple(part for value in (0.64, 0.33, 0.3, 0.6, 0.15, 0.06) for part in (round(value * 10000), 10000))
    straight = tuple(range(0, 65536, 257))
    for tags, colours in (
        ([(319, 5, 6, p3, True)], True),
        ([(319, 5, 6, rec709, True)], False),
        ([(301, 3, 256, straight, True)], True),
    ):
        (tmp_path / "a.tif").write_bytes(make["tiff_by_library"](make["smooth"](), extratags=tags))
        picture = read_picture(tmp_path / "a.tif")
        assert (picture.metadata.icc is not None) is colours
        assert ("primaries and curve" in " ".join(picture.notes)) is colours
        assert is_linear(picture.metadata.icc) is (tags[0][0] == 301)


@pytest.mark.parametrize("junk", [b"junk" * 100, b"", bytes(36) + b"acsp"])
def test_what_is_no_profile_is_left_out_and_said(tmp_path: Path, junk: bytes) -> None:
    Image.effect_noise((32, 32), 20).convert("RGB").save(tmp_path / "a.tif", icc_profile=junk or b"\0")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.metadata.icc is None
    assert any("holds a damaged colour profile: it is left out" in note for note in picture.notes)


def test_a_damaged_profile_leaves_the_word_to_what_else_tells_the_colours(tmp_path: Path, make) -> None:
    p3 = tuple(part for value in (0.68, 0.32, 0.265, 0.69, 0.15, 0.06) for part in (round(value * 10000), 10000))
    tags = [(319, 5, 6, p3, True), (34675, 7, 8, b"no icc..", True)]
    (tmp_path / "a.tif").write_bytes(make["tiff_by_library"](make["smooth"](), extratags=tags))
    picture = read_picture(tmp_path / "a.tif")
    left_out, carried = picture.notes
    assert picture.metadata.icc and left_out.endswith("it is left out.") and "carried over" in carried

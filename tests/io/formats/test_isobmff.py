"""AVIF and HEIF: levels, turns, colours, further pictures, sizes that are too large, damage.

AVIF is made by libavif, through Pillow and imagecodecs; `heic/make.py` tells how the HEIC files were made.
"""

import io
import sys
from importlib.util import find_spec
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from dualpix.errors import PictureError
from dualpix.io import Picture, read_picture, suffix_of
from dualpix.io.formats.coded_sizes import coded_sizes
from dualpix.io.formats.isobmff_index import Item, index_of
from dualpix.io.profiles import is_srgb
from dualpix.pairs import open_views

HEIC = {path.stem: path.read_bytes() for path in (Path(__file__).parent / "heic").glob("*.heic")}
NEEDS_HEIF = pytest.mark.skipif(find_spec("pi_heif") is None, reason="needs pi-heif: pip install -e '.[heif]'")
BOTH = ["AVIF", pytest.param("HEIF", marks=NEEDS_HEIF)]


def levels(bits: int, height: int = 48, width: int = 64) -> np.ndarray:
    """H x W x 3: a ramp that looks alike in no two directions; of 10 bits, or those shifted."""
    y, x, channel = np.mgrid[:height, :width, :3]
    deep = ((5 * x + 11 * y + 300 * channel) % 1024).astype(np.uint16)
    return (deep >> 2).astype(np.uint8) if bits == 8 else deep << (bits - 10)


def avif(bits: int = 8, picture: np.ndarray | None = None) -> bytes:
    more = {} if bits == 8 else {"bitspersample": bits}
    return bytes(imagecodecs.avif_encode(levels(bits) if picture is None else picture, level=100, **more))


def made(name: str, bits: int = 8) -> bytes:
    return avif(bits) if name == "AVIF" else HEIC[str(bits)]


def read(folder: Path, content: bytes) -> Picture:
    path = folder / "picture"
    path.write_bytes(content)
    return read_picture(path)


def numbers(picture: Picture, bits: int = 8) -> np.ndarray:
    """H x W x 3, of so many bits."""
    return np.round(picture.pixels.permute(1, 2, 0).numpy().astype(float) * (2**bits - 1))


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("name", BOTH)
def test_levels_are_read_at_their_depth(tmp_path: Path, name: str, bits: int) -> None:
    """By one off at most, and that in HEIF of 10 and 12 bits alone, which was made of YCbCr."""
    picture = read(tmp_path, made(name, bits))
    assert (picture.format, picture.depth, picture.notes) == (name, 8 if bits == 8 else 16, ())
    assert np.abs(numbers(picture, bits) - levels(bits)).max() <= (0 if name == "AVIF" or bits == 8 else 1)
    assert suffix_of(tmp_path / "picture") == {"AVIF": ".avif", "HEIF": ".heic"}[name]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turn_is_told_and_the_rows_stay(tmp_path: Path, orientation: int) -> None:
    """Pillow's writer makes a turn and a mirror of the number in EXIF."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(levels(8)).save(buffer, "AVIF", exif=exif, quality=100, subsampling="4:4:4")
    picture = read(tmp_path, buffer.getvalue())
    assert picture.metadata.orientation == orientation and picture.pixels.shape == (3, 48, 64)
    assert np.abs(numbers(picture) - levels(8)).max() < 2


@NEEDS_HEIF
def test_turns_and_mirrors_that_libheif_carries_out_are_undone(tmp_path: Path) -> None:
    """They take the place of the file's clean aperture, without which it has 16 rows more."""
    plain = HEIC["10"]
    at = plain.index(b"clap") - 4
    for kind, value, orientation in (("irot", 1, 8), ("irot", 2, 3), ("irot", 3, 6), ("imir", 0, 4), ("imir", 1, 2)):
        boxes = b"\0\0\0\x09" + kind.encode() + bytes([value]) + b"\0\0\0\x1ffree" + bytes(23)
        picture = read(tmp_path, plain[:at] + boxes + plain[at + 40 :])
        assert picture.metadata.orientation == orientation
        assert np.abs(numbers(picture, 10)[:48] - levels(10)).max() <= 1


@NEEDS_HEIF
def test_tiles_are_put_together_as_phones_write_them(tmp_path: Path) -> None:
    picture = read(tmp_path, HEIC["grid"])
    assert np.array_equal(numbers(picture), levels(8, 60, 100))
    assert picture.metadata.orientation == 6 and b"A camera" in picture.metadata.exif


@pytest.mark.parametrize("name", BOTH)
def test_colours_by_numbers_become_a_profile_or_a_sentence(tmp_path: Path, name: str) -> None:
    content = made(name, 10)
    at = content.index(b"nclx")
    for cicp, words in (((12, 13), "as a colour profile"), ((9, 16), "primaries 9, PQ"), ((9, 18), "HLG")):
        told = b"".join(number.to_bytes(2, "big") for number in cicp)
        picture = read(tmp_path, content[: at + 4] + told + content[at + 8 :])
        assert [words in note and "nclx" in note for note in picture.notes] == [True]
        assert is_srgb(picture.metadata.icc) == (cicp[0] != 12)


@pytest.mark.parametrize("name", BOTH)
def test_profile_and_notes_are_carried_and_alpha_is_left(tmp_path: Path, name: str) -> None:
    profile, exif, buffer = bytes(imagecodecs.cms_profile("adobergb")), Image.Exif(), io.BytesIO()
    exif[0x0110] = "A camera"
    noted = {"icc_profile": profile, "exif": exif, "xmp": b"<x/>", "quality": 100, "subsampling": "4:4:4"}
    Image.fromarray(np.dstack([levels(8), levels(8)[:, :, 0]])).save(buffer, "AVIF", **noted)
    picture = read(tmp_path, buffer.getvalue() if name == "AVIF" else HEIC["noted"])
    metadata = picture.metadata
    assert metadata.exif and b"A camera" in metadata.exif and metadata.xmp == b"<x/>"
    assert metadata.icc and len(metadata.icc) == len(profile) and not is_srgb(metadata.icc)
    assert "alpha channel" in picture.notes[0]
    assert np.abs(numbers(picture) - levels(8)).max() < 2


@NEEDS_HEIF
def test_two_pictures_in_one_file_are_the_views(tmp_path: Path) -> None:
    (tmp_path / "both.heic").write_bytes(HEIC["two"])
    views = open_views(tmp_path / "both.heic")
    for view, wanted in ((views["left"], levels(8)), (views["right"], levels(8)[:, ::-1])):
        assert np.abs(view.permute(1, 2, 0).numpy() * 255 - wanted).max() < 1.5


def of_size(width: int, height: int) -> bytes:
    return b"ispe" + bytes(4) + width.to_bytes(4, "big") + height.to_bytes(4, "big")


@pytest.mark.parametrize("name", BOTH)
def test_what_is_coded_larger_than_told_is_refused_before_it_is_decoded(tmp_path: Path, name: str) -> None:
    side = 256 if name == "AVIF" else 2048
    flat = avif(picture=np.full((side, side, 3), 90, np.uint8)) if name == "AVIF" else HEIC["flat"]
    assert read(tmp_path, flat).pixels.shape == (3, side, side)
    with pytest.raises(PictureError, match="damaged index"):
        read(tmp_path, flat.replace(of_size(side, side), of_size(64, 48)))
    with pytest.raises(PictureError, match="more than the limit"):
        read(tmp_path, flat.replace(of_size(side, side), of_size(2**16, 2**16)))


@NEEDS_HEIF
def test_tiles_must_be_as_many_and_as_large_as_told(tmp_path: Path) -> None:
    grid, rows = HEIC["grid"], bytes((0, 0, 0, 1, 0, 100, 0, 60))
    assert grid.count(rows) == 1
    for told in (bytes((0, 0, 0, 1, 255, 255, 255, 255)), bytes((0, 0, 99, 99, 0, 100, 0, 60))):
        with pytest.raises(PictureError, match="damaged index"):
            read(tmp_path, grid.replace(rows, told))
    with pytest.raises(PictureError, match="damaged index"):
        read(tmp_path, grid.replace(of_size(64, 64), of_size(2**14, 2**14)))
    with pytest.raises(PictureError, match=r"a way that cannot be read \('grid'\)"):  # tiles of tiles
        read(tmp_path, grid.replace(b"hvc1\0", b"grid\0", 1))
    with pytest.raises(PictureError, match="a small part of a far larger picture"):
        read(tmp_path, HEIC["8"].replace(of_size(64, 64), of_size(2**14, 2**14)))


def test_the_sizes_that_streams_tell_are_those_that_their_encoders_were_given(tmp_path: Path) -> None:
    """Those of a film too, whose header is longer than that of a still picture (SVT-AV1, through FFmpeg)."""
    av = pytest.importorskip("av")
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this FFmpeg has no SVT-AV1")
    film = av.open(str(tmp_path / "film.mp4"), "w").add_stream("libsvtav1", 30, options={"preset": "12"})
    film.width, film.height, film.pix_fmt = 322, 178, "yuv420p"
    packets = [*film.encode(av.VideoFrame(322, 178, "yuv420p")), *film.encode()]
    item = Item(b"av01", properties=[(b"av1C", b"\x81\0\0\0")])
    assert set(coded_sizes(item, bytes(packets[0]))) == {(322, 178)}
    (tmp_path / "flat.heic").write_bytes(HEIC["flat"])
    with (tmp_path / "flat.heic").open("rb") as file:
        picture = index_of(file).picture
    assert set(coded_sizes(picture, b"")) == {(2048, 2048)}
    record = picture.property(b"hvcC")
    begin = record.index(b"\x42\x01")  # the second of three parameter sets, behind its length
    unit = record[begin : begin + int.from_bytes(record[begin - 2 : begin], "big")]
    inside = len(unit).to_bytes((record[21] & 3) + 1, "big") + unit
    assert list(coded_sizes(picture, b"\0\0\0\2\2\1" + inside)) == [(2048, 2048)] * 2


@pytest.mark.parametrize("name", BOTH)
def test_damage_ends_in_one_sentence(tmp_path: Path, name: str) -> None:
    content = made(name)
    for length in (20, 60, 200, len(content) - 1):
        with pytest.raises(PictureError, match=r"cut short|damaged"):
            read(tmp_path, content[:length])
    for words in (b"ispe", b"iloc", b"pitm", b"iprp", b"av1C" if name == "AVIF" else b"hvcC"):
        with pytest.raises(PictureError, match="damaged"):
            read(tmp_path, content.replace(words, b"free"))
    with pytest.raises(PictureError, match="is an animation"):
        read(tmp_path, content + b"\0\0\0\x08moov")
    for words, told in ((b"j2k1", "j2k1"), (b"j\0k\n", r"j\\x00k\\n")):
        with pytest.raises(PictureError, match=rf"a way that cannot be read \('{told}'\); save it as"):
            read(tmp_path, content.replace(b"av01", words).replace(b"hvc1", words))


def test_without_its_package_heif_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(PictureError, match=r"read by pi-heif, which is not installed; get it by: .*\[heif\]"):
        read(tmp_path, HEIC["8"])

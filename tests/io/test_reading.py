import os
import random
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.errors import PictureError
from dualpix.io import Metadata, read_picture


def levels_of(path: Path, top: int) -> np.ndarray:
    picture = read_picture(path)
    assert picture.pixels.dtype == torch.float32 and picture.pixels.is_contiguous()
    return np.round(picture.pixels.double().numpy() * top).astype(int).transpose(1, 2, 0)


def refusal(path: Path, **arguments: float) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(path, **arguments)
    message = str(caught.value)
    assert str(path) in message and message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize("ending", ["png", "tif", "big-endian.tif"])
def test_all_65536_levels_are_read_exactly(tmp_path: Path, make, ending: str) -> None:
    """Pillow would read the upper eight bits only."""
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    levels = np.stack([ramp, ramp[::-1], ramp.T], axis=-1)
    path = tmp_path / f"ramp.{ending}"
    path.write_bytes(make["png"](levels) if ending == "png" else make["tiff"](levels, "<" if ending == "tif" else ">"))
    assert read_picture(path).depth == 16
    np.testing.assert_array_equal(levels_of(path, 65535), levels)
    assert levels_of(path, 65535).max() == 65535 and float(read_picture(path).pixels.max()) == 1


@pytest.mark.parametrize("build", ["png", "tiff"])
def test_all_256_levels_are_read_exactly(tmp_path: Path, make, build: str) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    levels = np.stack([ramp, ramp[::-1], ramp.T], axis=-1)
    path = tmp_path / "ramp"
    path.write_bytes(make[build](levels))
    assert read_picture(path).depth == 8
    np.testing.assert_array_equal(levels_of(path, 255), levels)


def test_every_kind_is_read(tmp_path: Path, kind) -> None:
    path = tmp_path / kind.name
    path.write_bytes(kind.content)
    picture = read_picture(path)
    assert picture.path == path and picture.depth == kind.depth
    assert np.abs(picture.pixels.numpy().transpose(1, 2, 0) - kind.pixels).max() <= kind.tolerance


@pytest.mark.parametrize("share", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, kind, share: float) -> None:
    path = tmp_path / kind.name
    least = 8 if kind.name.startswith("plain") else 1  # less may take only the line's end, and so nothing
    path.write_bytes(kind.content[: min(len(kind.content) - least, int(share * len(kind.content)))])
    refusal(path)


def test_a_thumbnail_does_not_hide_that_a_jpeg_is_cut_short(tmp_path: Path, make) -> None:
    content = make["by_pillow"](make["smooth"](), "JPEG")
    thumbnail = b"Exif\0\0\xff\xd8 small picture \xff\xd9"
    content = content[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail + content[2:]
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    read_picture(path)
    path.write_bytes(content[:-200])
    assert "cut short" in refusal(path)


@pytest.mark.parametrize("rounds", [25, pytest.param(500, marks=pytest.mark.slow)])
def test_damaged_bytes_end_in_a_picture_error_or_a_picture(tmp_path: Path, kind, rounds: int) -> None:
    """The long run makes more than 10,000 mutations, all kinds together, none of which may take five seconds."""
    dice = random.Random(kind.name)
    path = tmp_path / "damaged"
    for _ in range(rounds):
        content = bytearray(kind.content)
        for _ in range(dice.choice((1, 2, 8))):
            at = dice.randrange(dice.choice((len(content), min(len(content), 120))))
            content[at] = dice.choice((0, 255, 127, content[at] ^ 1 << dice.randrange(8)))
        path.write_bytes(content)
        begin = time.process_time()
        try:
            pixels = read_picture(path, limit_megapixels=1).pixels
        except PictureError as error:
            assert str(path) in str(error)
        else:
            assert len(pixels) == 3 and 0 <= pixels.min() <= pixels.max() <= 1
        assert time.process_time() - begin < 5


def test_a_jpeg_inside_a_tiff_may_not_be_larger_than_declared_or_cut_short(tmp_path: Path, make) -> None:
    """The decoder would take its memory from the embedded header, and fill what is missing with grey."""
    content = make["tiff_by_library"](make["smooth"](), compression="jpeg", rowsperstrip=16)
    sizes = struct.pack(">HH", 16, 48)
    assert content.count(b"\xff\xc0\0\x11\x08" + sizes) == 2  # and a last one of 8 rows
    path = tmp_path / "picture.tif"
    path.write_bytes(content.replace(sizes, struct.pack(">HH", 60000, 60000), 1))
    assert "a JPEG inside it has another size" in refusal(path)
    path.write_bytes(content.replace(b"\xff\xd9", b"\0\0", 1))
    assert "cut short" in refusal(path)
    path.write_bytes(content)
    read_picture(path)


def test_a_tiff_with_an_empty_strip_is_not_filled_with_zeros(tmp_path: Path, make) -> None:
    path = tmp_path / "sparse.tif"
    path.write_bytes(make["tiff"](make["smooth"](), tags={279: 0}))
    assert "cut short" in refusal(path)


def test_a_strip_that_unpacks_to_more_than_declared_is_refused(tmp_path: Path, make) -> None:
    packed = zlib.compress(bytes(50_000_000), 9)
    content = make["tiff"](make["smooth"](), tags={259: 8, 279: len(packed)})
    path = tmp_path / "bomb.tif"
    path.write_bytes(content[: -40 * 48 * 3] + packed)
    assert "damaged" in refusal(path)


def test_a_colour_profile_that_unpacks_to_very_much_does_no_harm(tmp_path: Path, make) -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(10**7)) for _ in range(10)) + packer.flush()
    path = tmp_path / "bomb.png"
    path.write_bytes(make["png"](make["smooth"](), extra=make["chunk"](b"iCCP", b"x\0\0" + bomb)))
    assert read_picture(path).metadata.icc is None


def test_a_file_far_larger_than_its_pixels_is_refused(tmp_path: Path, make) -> None:
    path = tmp_path / "padded.png"
    path.write_bytes(make["png"](make["smooth"]()))
    os.truncate(path, 10**9)
    assert "far larger" in refusal(path)


def test_float_tiffs_must_be_finite_and_in_range(tmp_path: Path, make) -> None:
    path = tmp_path / "float.tif"
    pixels = np.linspace(0, 1, 20 * 20 * 3, dtype=np.float32).reshape(20, 20, 3)
    for dtype in (np.float32, np.float64):
        path.write_bytes(make["tiff"](pixels.astype(dtype)))
        assert read_picture(path).depth == 16
        np.testing.assert_array_equal(read_picture(path).pixels.numpy().transpose(1, 2, 0), pixels)
    for value, said in (
        (np.nan, "NaN"),
        (np.inf, "NaN or Inf"),
        (-0.01, "outside [0, 1]"),
        (255, "outside [0, 1]"),
    ):
        pixels[3, 4, 1] = value
        path.write_bytes(make["tiff"](pixels))
        assert said in refusal(path)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_grey_is_repeated_and_alpha_dropped_with_a_note(tmp_path: Path, make, channels: int) -> None:
    levels = np.concatenate([make["smooth"](np.uint16), make["smooth"](np.uint16)[::-1, :, :1]], axis=-1)
    path = tmp_path / "picture.png"
    path.write_bytes(make["png"](levels[:, :, :channels]))
    picture = read_picture(path)
    expected = levels[:, :, :3] if channels == 4 else np.repeat(levels[:, :, :1], 3, axis=-1)
    np.testing.assert_array_equal(levels_of(path, 65535), expected)
    assert picture.grey == (channels < 3)
    assert [("grey" in note, "alpha" in note) for note in picture.notes] == {
        1: [(True, False)],
        2: [(True, False), (False, True)],
        4: [(False, True)],
    }[channels]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_an_orientation_tag_turns_nothing(tmp_path: Path, make, format: str) -> None:
    """Disparity runs along the rows of the sensor, so rows have to stay rows."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path, profile = tmp_path / "picture", bytes(36) + b"acsp" + bytes(100)
    path.write_bytes(make["by_pillow"](make["smooth"](), format, exif=exif.tobytes(), icc_profile=profile))
    picture = read_picture(path)
    assert picture.pixels.shape == (3, 40, 48) and picture.metadata.orientation == 6
    assert len(picture.notes) == 1 and "not rotated" in picture.notes[0]
    assert picture.metadata.icc == profile


def test_plain_files_carry_neither_notes_nor_metadata(tmp_path: Path, make) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(make["png"](make["smooth"]()))
    picture = read_picture(path)
    assert (picture.notes, picture.metadata, picture.grey) == ((), Metadata(), False)


def test_the_content_counts_and_not_the_name(tmp_path: Path, kind) -> None:
    for name in ("Ansicht größe 左.PNG", "x.jpg", "no-extension", "x" * 251 + ".TIF"):
        path = tmp_path / name
        path.write_bytes(kind.content)
        assert read_picture(path).pixels.shape == (3, 40, 48)


@pytest.mark.parametrize(("height", "width"), [(15, 40), (40, 15), (1, 1)])
def test_pictures_smaller_than_16_pixels_are_refused(tmp_path: Path, make, height: int, width: int) -> None:
    path = tmp_path / "small.png"
    path.write_bytes(make["png"](make["smooth"](height=height, width=width)))
    assert f"{width} x {height} pixels; both sides must have at least 16" in refusal(path)
    path.write_bytes(make["png"](make["smooth"](height=16, width=16)))
    assert read_picture(path).pixels.shape == (3, 16, 16)


def test_the_limit_is_the_callers_to_set(tmp_path: Path, make) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(make["png"](make["smooth"]()))
    assert "limit of 0.001 megapixels" in refusal(path, limit_megapixels=0.001)
    read_picture(path, limit_megapixels=0.00192)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert "is empty (0 bytes)" in refusal(tmp_path / "empty.png")
    assert "does not exist" in refusal(tmp_path / "missing.png")
    assert "is a folder" in refusal(tmp_path)
    assert "cannot be opened" in refusal(tmp_path / "empty.png" / "inside.png")
    assert "cannot be opened" in refusal(tmp_path / ("x" * 300 + ".png"))
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")
    assert "An empty text is not the path" in refusal("")


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="no file at hand that cannot be read")
def test_a_disk_that_fails_is_named(tmp_path: Path) -> None:
    """Its first bytes belong to nobody, and the system answers as a broken disk does."""
    assert "/proc/self/mem cannot be read: Input/output error" in refusal(Path("/proc/self/mem"))


def test_a_file_without_permission_is_refused(as_nobody: Path) -> None:
    assert "theirs.png cannot be opened: Permission denied" in refusal(as_nobody / "theirs.png")


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_low_bits_of_sixteen_are_told(tmp_path: Path, make, bits: int) -> None:
    """Alpha, which is full, does not hide them; a photograph that is only dark is left in peace."""
    levels = make["smooth"](np.uint16) >> (16 - bits)
    levels[0, 0] = 2**bits - 1
    opaque = np.dstack([levels, np.full(levels.shape[:2], 65535, np.uint16)])
    path = tmp_path / "a.png"
    for content in (make["png"](levels), make["png"](levels[:, :, 0]), make["png"](opaque)):
        path.write_bytes(content)
        assert f"only the lowest {bits} of its 16 bits (no value is above {2**bits - 1})" in str(
            read_picture(path).notes
        )
    for fine in (levels << (16 - bits), make["smooth"](np.uint16) // 6, make["smooth"](np.uint8)):
        path.write_bytes(make["png"](fine))
        assert read_picture(path).notes == ()


def test_floats_without_a_profile_are_told_to_be_taken_as_srgb(tmp_path: Path, make) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(make["tiff"](make["smooth"]().astype(np.float32) / 255))
    assert "taken as sRGB, not linear light" in str(read_picture(path).notes)

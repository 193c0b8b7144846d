"""What the command line does with picture files besides their pixels: format, metadata, and files that are no good."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from dualpix import __version__
from dualpix.weights import checkpoint
from small_networks import TINY, tiny

Command = Callable[..., tuple[int, str, str]]
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WEIGHTS = ("-w", "w.safetensors")
TINY_WEIGHTS = ("-w", "tiny.safetensors")


@pytest.fixture
def portrait(folder: Path) -> Path:
    """A pair of JPEG files from a camera that was held upright, grey.pgm pairs beside it."""
    exif = Image.Exif()
    exif[271], exif[274], exif[305] = "Canon", 8, "Camera 1.0"
    exif.get_ifd(34665)[34855] = 800
    for name in "LR":
        with Image.open(folder / f"p_{name}.png") as view:
            view.save(folder / f"p_{name}.jpg", quality=95, exif=exif, icc_profile=ICC)
            view.convert("L").save(folder / f"p_{name}.pgm")
    return folder


def test_format_and_metadata_follow_the_left_view(dualpix: Command, portrait: Path) -> None:
    code, out, err = dualpix("deblur", "p_L.jpg", "p_R.jpg", "-o", "sharp", *WEIGHTS)
    assert code == 0 and out.startswith("sharp.jpg: 256 x 224 pixels")
    assert "orientation tag 8" in err
    with Image.open(portrait / "sharp.jpg") as made:
        exif = made.getexif()
        assert made.format == "JPEG" and made.size == (256, 224) and made.info["icc_profile"] == ICC
        assert (exif[271], exif[274], exif.get_ifd(34665)[34855]) == ("Canon", 8, 800)
        assert exif[305] == f"dualpix {__version__}, mccnet-fast, weights w"


def test_stripped_pictures_stand_upright_without_a_tag(dualpix: Command, portrait: Path) -> None:
    for name, options in (("tagged.png", []), ("stripped.png", ["--strip-metadata"])):
        assert dualpix("deblur", "p_L.jpg", "p_R.jpg", "-o", name, *WEIGHTS, *options)[0] == 0
    with Image.open(portrait / "tagged.png") as tagged, Image.open(portrait / "stripped.png") as stripped:
        assert not stripped.info and not stripped.getexif()
        np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(tagged)), np.asarray(stripped))


def test_grey_views_give_a_grey_picture(dualpix: Command, portrait: Path) -> None:
    assert dualpix("deblur", "p_L.pgm", "p_R.pgm", "-o", "sharp", *WEIGHTS)[0] == 0
    with Image.open(portrait / "sharp.pgm") as made:
        assert made.mode == "L" and made.size == (256, 224)
    code, _, err = dualpix("deblur", "p_L.png", "p_R.png", "-o", "sharp2.pgm", *WEIGHTS)
    assert code == 1 and ".pgm holds grey only" in err


def test_a_bomb_or_a_stump_leaves_no_output(dualpix: Command, portrait: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 16, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + bytes(99)
    (portrait / "bomb.png").write_bytes(bomb)
    whole = (portrait / "p_L.jpg").read_bytes()
    (portrait / "stump.jpg").write_bytes(whole[: len(whole) // 2])
    before = sorted(os.listdir(portrait))
    for name, said in (("bomb.png", "declares 60000 x 60000 pixels"), ("stump.jpg", "is cut short")):
        code, out, err = dualpix("deblur", name, "p_R.png", "-o", "out.png", *WEIGHTS)
        assert (code, out) == (1, "") and err.startswith(f"dualpix: {name} {said}") and err.count("\n") == 1
    assert sorted(os.listdir(portrait)) == before


@pytest.fixture
def tiny_weights(folder: Path) -> Path:
    """The folder, with weights of a network that is quick."""
    checkpoint.save(folder / "tiny.safetensors", tiny(), "mccnet-fast", TINY)
    return folder


def test_an_upright_pair_gives_the_lying_ones_picture_turned(dualpix: Command, tiny_weights: Path) -> None:
    """In a folder as by itself."""
    code, _, _ = dualpix("deblur", "p_L.png", "p_R.png", "-o", "lying/", *TINY_WEIGHTS)
    assert code == 0
    expected = np.asarray(Image.open(tiny_weights / "lying" / "p.png"))
    for degrees, way in ((90, Image.Transpose.ROTATE_90), (270, Image.Transpose.ROTATE_270)):
        (tiny_weights / "up").mkdir(exist_ok=True)
        for side in "LR":
            with Image.open(tiny_weights / f"p_{side}.png") as view:
                view.transpose(way).save(tiny_weights / "up" / f"p{degrees}_{side}.png")
        code, _, err = dualpix("deblur", f"up/p{degrees}_L.png", f"up/p{degrees}_R.png", "-o", "lying", *TINY_WEIGHTS)
        assert code == 0 and "stands upright" in err
        made = np.asarray(Image.open(tiny_weights / "lying" / f"p{degrees}.png"))
        assert np.array_equal(made, np.rot90(expected, degrees // 90))
    code, _, _ = dualpix("deblur", "up", "-o", "many", *TINY_WEIGHTS)
    assert code == 0
    for degrees in (90, 270):
        one, other = (tiny_weights / place / f"p{degrees}.png" for place in ("lying", "many"))
        assert one.read_bytes() == other.read_bytes()


def test_two_folders_and_a_list_make_the_same_pictures(dualpix: Command, tiny_weights: Path) -> None:
    for side, place in (("L", "first"), ("R", "second")):
        (tiny_weights / place).mkdir()
        (tiny_weights / f"p_{side}.png").rename(tiny_weights / place / "p.png")
    (tiny_weights / "list.csv").write_text("left;right\nfirst/p.png;second/p.png\n")
    assert dualpix("deblur", "first", "second", "-o", "a", *TINY_WEIGHTS)[0] == 0
    assert dualpix("deblur", "list.csv", "-o", "b", *TINY_WEIGHTS)[0] == 0
    assert dualpix("deblur", "first/p.png", "second/p.png", "-o", "c/", *TINY_WEIGHTS)[0] == 0
    (tiny_weights / "first/p.png").rename(tiny_weights / "first/L_p.png")
    (tiny_weights / "second/p.png").rename(tiny_weights / "first/R_p.png")
    assert dualpix("deblur", "first/[LR]_*", "-o", "d", *TINY_WEIGHTS)[0] == 0
    made = [(tiny_weights / place).read_bytes() for place in ("a/p.png", "b/first/p.png", "c/p.png", "d/p.png")]
    assert len(set(made)) == 1
    code, _, err = dualpix(
        "deblur", "first/[LR]_*", "-o", "d", *TINY_WEIGHTS, "--depth", "16", "--format", "jpg", "--resume"
    )
    assert code == 1 and "holds 8 bits, not 16" in err

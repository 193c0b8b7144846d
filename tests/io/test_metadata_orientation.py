"""Whatever the orientation tag, a viewer shows input and output the same way up, and rows stay sensor rows."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from dualpix.io import Metadata, read_picture, write_picture


def levels() -> np.ndarray:
    y, x = np.mgrid[:24, :40]
    return np.stack([x * 6, y * 10, (x + y) * 4], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("target", ["png", "tif", "webp", "jxl", "ppm"])
def test_a_viewer_shows_input_and_output_the_same_way_up(tmp_path: Path, orientation: int, target: str) -> None:
    """By a tag where viewers obey one, else by turning the picture."""
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(levels()).save(tmp_path / "in.png", exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "in.png")))
    picture, path = read_picture(tmp_path / "in.png"), tmp_path / f"out.{target}"
    write_picture(path, picture.pixels, 8, metadata=picture.metadata)
    if target == "jxl":
        np.testing.assert_array_equal(imagecodecs.jpegxl_decode(path.read_bytes()), shown)
    else:
        np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(Image.open(path))), shown)
    if target in ("png", "tif", "webp"):  # rows stay rows, as in the input
        stored = tifffile.imread(path) if target == "tif" else np.asarray(Image.open(path))
        np.testing.assert_array_equal(stored, levels())
    # Without any metadata the picture still stands upright.
    stripped = tmp_path / f"stripped.{target}"
    write_picture(stripped, picture.pixels, 8, metadata=Metadata(orientation=orientation))
    decoded = imagecodecs.jpegxl_decode(stripped.read_bytes()) if target == "jxl" else np.asarray(Image.open(stripped))
    np.testing.assert_array_equal(decoded, shown)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_of_a_jpeg_xl_is_in_its_own_header(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    Image.fromarray(levels()).save(buffer, "JPEG", quality=95, exif=exif)
    (tmp_path / "in.jxl").write_bytes(imagecodecs.jpegxl_encode_jpeg(buffer.getvalue(), usecontainer=True))
    picture = read_picture(tmp_path / "in.jxl")
    assert picture.pixels.shape == (3, 24, 40) and picture.metadata.orientation == orientation
    write_picture(tmp_path / "out.png", picture.pixels, 8, metadata=picture.metadata)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(buffer)), int)
    assert np.abs(np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "out.png")), int) - shown).max() < 12

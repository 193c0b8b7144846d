"""Depth as files that other programs read, and in words; and that it lies as the views do."""

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from dualpix.errors import PictureError
from dualpix.inference.disparity import Disparity, disparity
from dualpix.inference.metres import describe_metres, meaning_of, write_metres
from dualpix.inference.optics import Optics
from dualpix.io import Metadata
from dualpix.simulation.simulate import read_depth
from small_networks import tiny

OPTICS = Optics(focus_m=1, f_number=4, focal_mm=50, pitch_um=36000 / 1680, rho=0.3, rho_fall=0.5)


def made() -> torch.Tensor:
    depth_m = torch.linspace(0.4, 30, 20 * 31).view(1, 20, 31)
    depth_m[0, 0, :3] = torch.tensor([math.inf, 70.0, 1e-5])
    return depth_m


def test_a_tiff_holds_metres_and_infinity(tmp_path: Path) -> None:
    depth_m = made()
    write_metres(tmp_path / "d.tif", depth_m, Metadata(software="dualpix; " + meaning_of("d.tif")))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "d.tif"), depth_m[0].numpy())
    with Image.open(tmp_path / "d.tif") as picture:
        assert picture.mode == "F" and picture.tag_v2[305].endswith("metres, inf beyond infinity")
        np.testing.assert_array_equal(np.asarray(picture), depth_m[0].numpy())


def test_a_png_holds_millimetres_that_the_simulator_takes(tmp_path: Path) -> None:
    write_metres(tmp_path / "d.png", made())
    with Image.open(tmp_path / "d.png") as picture:
        levels = np.asarray(picture)
    assert levels.dtype == np.uint16 and levels[0, :3].tolist() == [65535, 65535, 1]
    assert np.abs(levels[1:] - 1000 * made()[0, 1:].numpy()).max() <= 0.51
    torch.testing.assert_close(read_depth(tmp_path / "d.png")[1:], made()[0, 1:], atol=6e-4, rtol=0)


def test_a_depth_is_turned_upright_where_the_file_tells_no_orientation(tmp_path: Path) -> None:
    depth_m = made()
    write_metres(tmp_path / "tagged.tif", depth_m, Metadata(orientation=6, software="dualpix"))
    write_metres(tmp_path / "bare.tif", depth_m, Metadata(orientation=6))
    with tifffile.TiffFile(tmp_path / "tagged.tif") as file:
        assert file.pages[0].tags[274].value == 6 and file.pages[0].shape == (20, 31)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "bare.tif"), np.rot90(depth_m[0].numpy(), -1))


def test_other_files_are_refused_and_none_is_replaced_unasked(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"d\.jpg cannot hold a depth; .*\.tif or \.tiff for floating-point metres"):
        write_metres(tmp_path / "d.jpg", made())
    assert not list(tmp_path.iterdir())
    for name in ("d.tif", "d.png"):
        write_metres(tmp_path / name, made())
        with pytest.raises(PictureError, match="exists already"):
            write_metres(tmp_path / name, made())
        write_metres(tmp_path / name, 2 * made(), overwrite=True)
    assert float(tifffile.imread(tmp_path / "d.tif")[3, 3]) == pytest.approx(2 * float(made()[0, 3, 3]))


def test_the_words_count_pixels_by_their_confidence() -> None:
    """0.1 / (0.3 * 15.3509) dioptres around 1 / 2 m are 1.92 to 2.09 m; a quarter of the confidence is at infinity."""
    depth_m = torch.tensor([[[0.5, 2.0, 2.0, math.inf, 9.0]]])
    found = Disparity(depth_m, torch.tensor([[[0.5, 1.0, 0.5, 2 / 3, 0.0]]]), depth_m=depth_m)
    words = "median 2 m, 1.92 m to 2.09 m with 0.1 px more or less; 25% beyond infinity"
    assert describe_metres(found, OPTICS) == words
    far = Disparity(depth_m, torch.ones(1, 1, 5), depth_m=torch.full((1, 1, 5), math.inf))
    assert describe_metres(far, OPTICS) == "median infinity; 100% beyond infinity"


def test_rho_falls_along_the_rows_of_the_sensor_however_the_camera_was_held() -> None:
    left, right = torch.rand(2, 3, 32, 96, generator=torch.Generator().manual_seed(0))
    network = tiny()
    plain = disparity(left, right, network, turn="none", metres=OPTICS)
    turned = disparity(left.rot90(-1, (1, 2)), right.rot90(-1, (1, 2)), network, turn="left", metres=OPTICS)
    assert plain.depth_m is not None and turned.depth_m is not None
    torch.testing.assert_close(turned.depth_m.rot90(1, (1, 2)), plain.depth_m, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(plain.depth_m, OPTICS.depth_m(plain.disparity_px))
    assert float(plain.disparity_px.std()) > 0.1
    assert disparity(left, right, network, turn="none").depth_m is None

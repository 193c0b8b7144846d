"""`dualpix disparity` and `--metres`: optics from EXIF or from options, and what is refused before any work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from camera_exif import F_NUMBER, FILM_LENGTH, FOCAL_LENGTH, exif, focus_range, ratio, short
from dualpix.inference.optics import Optics
from dualpix.weights import checkpoint
from small_networks import TINY, tiny

Command = Callable[..., tuple[int, str, str]]
WEIGHTS = ("-w", "tiny.safetensors")
GIVEN = ("--focus-distance", "1", "--f-number", "4", "--focal-length", "50", "--sensor-width", "36", "--rho", "0.3")
OPTICS = {"focus_m": 1.0, "f_number": 4.0, "focal_mm": 50.0, "pitch_um": 36000 / 256, "rho": 0.3}


@pytest.fixture
def folder(folder: Path) -> Path:
    """With weights of a network that takes no time."""
    checkpoint.save(folder / "tiny.safetensors", tiny(), "mccnet-fast", TINY)
    return folder


def depth_of(levels: np.ndarray, **optics: float) -> np.ndarray:
    disparity_px = torch.from_numpy((levels.astype(np.float64) - 32768) / 512)
    return Optics(**OPTICS | optics).depth_m(disparity_px[None])[0].numpy()


def test_given_optics_turn_the_disparity_into_metres(dualpix: Command, folder: Path) -> None:
    (folder / "camera.csv").write_text(
        "pair,quantity,value,low,high,count\nall,rho at the middle,0.4,,,9\nall,rho's share lost at the sides,0.1,,,9\n"
    )
    files = ("-o", "d.tif", "--metres", "m.tif")
    code, out, err = dualpix("disparity", "p_L.png", "p_R.png", *files, *GIVEN, *WEIGHTS)
    assert (code, err) == (0, "")
    assert "m.tif: metres, inf beyond infinity; median " in out
    assert "(50 mm, f/4, focused at 1 m, pixels of 141 um, rho 0.3 in the middle and 0.13 at the sides)" in out
    levels, metres = tifffile.imread(folder / "d.tif"), tifffile.imread(folder / "m.tif")
    assert metres.dtype == np.float32 and metres.shape == levels.shape
    np.testing.assert_allclose(1 / metres, 1 / depth_of(levels), atol=4e-3)  # half a level of the disparity
    words = ("--rho", "camera.csv", "--metres", "m.png")
    code, out, _ = dualpix("disparity", "p_L.png", "p_R.png", *GIVEN, *words, *WEIGHTS)
    assert code == 0 and "m.png: millimetres = level" in out and "rho 0.4 in the middle and 0.36 at the sides" in out
    with Image.open(folder / "m.png") as picture:
        found = np.asarray(picture) / 1000
    expected = depth_of(levels, rho=0.4, rho_fall=0.1)
    np.testing.assert_allclose(1 / found, 1 / np.minimum(expected, 65.535), atol=4e-3)


def test_optics_come_from_a_cameras_own_files(dualpix: Command, folder: Path) -> None:
    """Two JPEGs with a maker note; deblurred on the way, with the metadata stripped."""
    told = {F_NUMBER: ratio(4, 1), FOCAL_LENGTH: ratio(50, 1), FILM_LENGTH: short(50)}
    block = exif(told, {0x93: focus_range(250, 200, 20)})
    for side in "LR":
        with Image.open(folder / f"p_{side}.png") as view:
            view.save(folder / f"p_{side}.jpg", quality=98, subsampling=0, exif=b"Exif\0\0" + block)
    words = ("-o", "s.png", "--metres", "m.tif", "--strip-metadata")
    code, out, err = dualpix("deblur", "p_L.jpg", "p_R.jpg", *words, *WEIGHTS)
    assert code == 0 and "50 mm, f/4, focused at 2.22 m, pixels of 127 um, rho 0.23 in the middle" in out
    assert "Note: The depth rests on the rho of a Canon EOS R6 Mark II, 0.23 at f/4;" in err and "give --rho." in err
    assert tifffile.imread(folder / "m.tif").shape == (224, 256) and (folder / "s.png").exists()
    code, out, _ = dualpix("disparity", "p_L.jpg", "p_R.jpg", "--metres", "n.tif", "--focus-distance", "inf", *WEIGHTS)
    assert code == 0 and "focused at infinity" in out


REFUSED = [
    (("--metres", "m.tif"), 1, "For metres the focus distance, f-number, focal length and pixel pitch must be known"),
    (("--metres", "m.tif", *GIVEN[2:]), 1, "give --focus-distance in metres."),
    (("--metres", "m.tif", *GIVEN, "--pixel-pitch", "5"), 1, "give --pixel-pitch or --sensor-width, not both"),
    (("--metres", "m.tif", *GIVEN, "--rho", "none.csv"), 1, "none.csv cannot be read"),
    (("--metres", "m.tif", *GIVEN, "--f-number", "0"), 1, "The f-number cannot be 0"),
    (("--metres", "m.jpg", *GIVEN), 1, "m.jpg cannot hold a depth"),
    (("--metres", "p_L.png", *GIVEN), 1, "is one of the inputs"),
    (("-o", "m.tif", "--metres", "m.tif", *GIVEN), 1, "a name of its own"),
    (("-o", "m.tif", *GIVEN), 2, "together with --metres"),
    ((), 2, "name a file to write"),
]


def test_it_refuses_before_any_work(dualpix: Command, folder: Path) -> None:
    before = sorted(folder.iterdir())
    for words, exit_code, said in REFUSED:
        code, _, err = dualpix("disparity", "p_L.png", "p_R.png", *WEIGHTS, *words)
        assert code == exit_code and said in " ".join(err.replace("│", " ").split()), err
        assert sorted(folder.iterdir()) == before

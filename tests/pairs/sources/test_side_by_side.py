"""Both views in one picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpix.errors import PairError
from dualpix.pairs import open_views


def save(path: Path, height: int, width: int, mode: str = "RGB") -> np.ndarray:
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(levels).save(path)
    return levels


@pytest.mark.parametrize("layout", ["side-by-side", "top-bottom"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_halves_are_the_views(tmp_path: Path, layout: str, mode: str) -> None:
    levels = save(tmp_path / "both.png", 64, 80, mode)
    views = open_views(tmp_path / "both.png", layout=layout)
    first, second = np.split(levels, 2, axis=1 if layout == "side-by-side" else 0)
    for view, half in ((views["left"], first), (views["right"], second)):
        expected = half.transpose(2, 0, 1) if half.ndim == 3 else np.repeat(half[None], 3, axis=0)
        np.testing.assert_array_equal(np.rint(view.numpy() * 255), expected)
    assert (views["name"], views["depth"], views["grey"], views["quarter_turns"]) == ("both", 8, mode == "L", 0)


@pytest.mark.parametrize(
    ("layout", "height", "width", "message"),
    [
        ("side-by-side", 32, 65, "both.png has an odd width of 65 pixels"),
        ("top-bottom", 33, 64, "both.png has an odd height of 33 pixels"),
        ("side-by-side", 32, 24, "The two halves of .*both.png: .* at least 16"),
    ],
)
def test_pictures_that_cannot_be_cut_are_refused(
    tmp_path: Path, layout: str, height: int, width: int, message: str
) -> None:
    save(tmp_path / "both.png", height, width)
    with pytest.raises(PairError, match=message):
        open_views(tmp_path / "both.png", layout=layout)


def test_equal_halves_are_refused(tmp_path: Path) -> None:
    """The same view twice."""
    half = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(np.concatenate([half, half], axis=1)).save(tmp_path / "both.png")
    with pytest.raises(PairError, match=r"The two halves of .*both.png: both views hold the same pixels"):
        open_views(tmp_path / "both.png", layout="side-by-side")

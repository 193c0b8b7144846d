"""`dualpix refocus`: pictures, folders, moving pictures, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import dualpix as package

Command = Callable[..., tuple[int, str, str]]


def test_a_pair_keeps_its_depth_and_the_focus_moves(folder: Path, dualpix: Command) -> None:
    code, out, err = dualpix(
        "refocus", "deep_L.tif", "deep_R.tif", "-o", "out.tif", "--aperture", "2", "--sweep", "sweep.webp"
    )
    assert (code, err) == (0, "")
    assert out.startswith("out.tif: 256 x 224 pixels") and "in focus at 0.0 px" in out
    written = tifffile.imread(folder / "out.tif")
    expected = package.refocus(folder / "deep_L.tif", folder / "deep_R.tif", aperture=2)
    assert written.dtype == np.uint16
    assert np.abs(written / 65535 - expected.permute(1, 2, 0).numpy()).max() < 1e-4
    with Image.open(folder / "sweep.webp") as moving:
        assert moving.n_frames == 30 and moving.size == (256, 224)


def test_a_folder_is_resumed_only_for_the_same_focus(folder: Path, dualpix: Command) -> None:
    (folder / "pairs").mkdir()
    for side in "LR":
        with Image.open(folder / f"p_{side}.png") as view:
            view.crop((0, 64, 96, 160)).save(folder / "pairs" / f"p_{side}.png")
    first = dualpix("refocus", "pairs", "-o", "made", "--focus-at", "40,80")
    again = dualpix("refocus", "pairs", "-o", "made", "--focus-at", "40,80", "--resume")
    other = dualpix("refocus", "pairs", "-o", "made", "--focus-at", "40,10", "--resume")
    assert "1 pictures made" in first[1] and "1 were finished before" in again[1] and "1 pictures made" in other[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--aperture", "-1"], "aperture must be a number from 0 to 8, not -1.0"),
        (["--focus", "40"], "Nothing in this picture has a disparity of 40 px"),
        (["--focus-at", "3"], "'3' is no point to focus on"),
        (["--focus-at", "3,4", "--focus", "2"], "--focus and --focus-at each ask for one"),
        (["--focus-at", "3,4", "--focus", "0"], "--focus and --focus-at each ask for one"),
        (["--sweep", "out.webp", "-o", "out.webp"], "give every file a name of its own"),
        (["--focus-at", "900,4"], "900,4 lies outside of the picture"),
        (["--sweep", "x.gif"], "end its name in .webp"),
        (["--sweep", "x.webp", "--aperture", "0"], "all frames are alike"),
    ],
)
def test_what_is_refused(folder: Path, dualpix: Command, words: list[str], told: str) -> None:
    code, out, err = dualpix("refocus", "p_L.png", "p_R.png", "-o", "out.png", *words)
    assert code in (1, 2) and out == "" and told in " ".join(err.replace("│", " ").split())
    assert not (folder / "out.png").exists()

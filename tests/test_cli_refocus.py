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
    assert code == 0 and err.startswith("Changed ") and err.endswith(".\n") and err.count("\n") == 1
    assert out.startswith("out.tif: 256 x 224 pixels") and "in focus at 0.0 px" in out
    written = tifffile.imread(folder / "out.tif")
    expected = package.refocus(folder / "deep_L.tif", folder / "deep_R.tif", aperture=2)
    assert written.dtype == np.uint16
    assert np.abs(written / 65535 - expected.permute(1, 2, 0).numpy()).max() < 1e-4
    with Image.open(folder / "sweep.webp") as moving:
        assert moving.n_frames == 30 and moving.size == (256, 224)


@pytest.fixture
def pairs(folder: Path) -> Path:
    """A folder with one small pair, `pairs/p`."""
    (folder / "pairs").mkdir()
    for side in "LR":
        with Image.open(folder / f"p_{side}.png") as view:
            view.crop((0, 64, 96, 160)).save(folder / "pairs" / f"p_{side}.png")
    return folder / "pairs"


def test_a_folder_is_resumed_only_for_the_same_focus(pairs: Path, dualpix: Command) -> None:
    first = dualpix("refocus", "pairs", "-o", "made", "--focus-at", "40,80")
    again = dualpix("refocus", "pairs", "-o", "made", "--focus-at", "40,80", "--resume")
    other = dualpix("refocus", "pairs", "-o", "made", "--focus-at", "40,10", "--resume")
    assert "1 pictures made" in first[1] and "1 were finished before" in again[1] and "1 pictures made" in other[1]


def test_a_folder_has_the_sweep_of_each_pair_alone(pairs: Path, dualpix: Command) -> None:
    """What is missing of it is made with its picture, and one that is there is kept."""
    many = ("refocus", "pairs", "-o", "made", "--aperture", "2", "-w", "w.safetensors", "--sweep", "moving", "--resume")
    code, out, _ = dualpix(*many, "--dry-run")
    assert code == 0 and "made/p.png, moving/p.webp" in out
    assert "1 pictures made" in dualpix(*many)[1]
    pair = map(str, sorted(pairs.iterdir()))
    code, _, err = dualpix("refocus", *pair, "-o", "one.png", *many[4:8], "--sweep", "one.webp")
    assert code == 0, err
    made = [Path(name).read_bytes() for name in ("moving/p.webp", "made/p.png")]
    assert made == [Path(name).read_bytes() for name in ("one.webp", "one.png")]
    assert "1 were finished before" in dualpix(*many)[1]
    Path("moving/p.webp").unlink()
    assert "1 pictures made" in dualpix(*many)[1]
    assert Path("moving/p.webp").read_bytes() == made[0] and Path("made/p.png").read_bytes() == made[1]


def test_rho_comes_from_a_calibration_and_other_ways_to_deblur_count(pairs: Path, dualpix: Command) -> None:
    Path("camera.csv").write_text("pair,quantity,value\nall,rho at the middle,0.2\n")
    pair = ("refocus", *map(str, sorted(pairs.iterdir())), "--aperture", "2")
    for name, words in (
        ("file", ["--rho", "camera.csv"]),
        ("number", ["--rho", "0.2"]),
        ("other", ["--rho", "0.4", "--mirror"]),
    ):
        code, out, err = dualpix(*pair, "-o", f"{name}.png", *words)
        assert code == 0 and ("mean of 4 mirrored" in out) == (name == "other"), err
    made = {path.stem: np.asarray(Image.open(path)).tobytes() for path in Path().glob("*.png")}
    assert made["file"] == made["number"] != made["other"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--aperture", "-1"], "aperture must be a number from 0 to 8, not -1.0"),
        (["--focus", "40"], "Nothing in this picture has a disparity of 40 px"),
        (["--focus-at", "3"], "'3' is no point to focus on"),
        (["--focus-at", "3,4", "--focus", "2"], "--focus and --focus-at each ask for one"),
        (["--focus-at", "3,4", "--focus", "0"], "--focus and --focus-at each ask for one"),
        (["--sweep", "out.webp", "-o", "out.webp"], "would be written twice; give every file a name of its own"),
        (["--sweep", "p_L.png"], "end its name in .webp"),
        (["--rho", "none.csv"], "none.csv cannot be read"),
        (["--focus-at", "900,4"], "900,4 lies outside of the picture"),
        (["--sweep", "x.gif"], "end its name in .webp"),
        (["--sweep", "x.webp", "--aperture", "0"], "all frames are alike"),
    ],
)
def test_what_is_refused(folder: Path, dualpix: Command, words: list[str], told: str) -> None:
    code, out, err = dualpix("refocus", "p_L.png", "p_R.png", "-o", "out.png", *words)
    assert code in (1, 2) and out == "" and told in " ".join(err.replace("│", " ").split())
    assert not (folder / "out.png").exists()

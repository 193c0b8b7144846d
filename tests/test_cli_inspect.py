"""extract, inspect and deblur of one file, through the command line."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dualpix.pairs import SOURCES
from dualpix.weights import checkpoint
from small_networks import TINY, tiny

Views = Callable[..., tuple[np.ndarray, np.ndarray]]
Command = Callable[..., tuple[int, str, str]]
SMALL = ["--weights", "w.safetensors"]


@pytest.fixture(autouse=True)
def _more_files(folder: Path, raw: Callable[..., bytes]) -> None:
    """`both.png` side by side; `raw.dng` of two frames, `single.dng` of one; `t_left.pgm` upright, with its mate."""
    views = [np.asarray(Image.open(folder / f"p_{side}.png")) for side in "LR"]
    Image.fromarray(np.concatenate(views, axis=1)).save(folder / "both.png")
    left, right = (view[:64, :96, 1].astype(np.uint16) * 20 for view in views)
    (folder / "raw.dng").write_bytes(raw([left + right, left]))
    (folder / "single.dng").write_bytes(raw([left]))
    for side, view in zip(("left", "right"), (left, right), strict=True):
        turned = np.rot90(view * 8 + 4096, -1).astype(">u2")
        (folder / f"t_{side}.pgm").write_bytes(b"P5 64 96 65535 " + turned.tobytes())


def test_a_side_by_side_picture_is_deblurred_like_its_two_halves(folder: Path, dualpix: Command) -> None:
    code, out, err = dualpix("deblur", "both.png", "--layout", "side-by-side", "-o", "one", *SMALL)
    assert code == 0 and "Note" not in err and out.startswith("one.png: 256 x 224 pixels")
    assert dualpix("deblur", "p_L.png", "p_R.png", "-o", "two.png", *SMALL)[0] == 0
    one, two = (np.asarray(Image.open(folder / name)) for name in ("one.png", "two.png"))
    np.testing.assert_array_equal(one, two)


def test_a_raw_file_is_deblurred_and_what_is_uncertain_is_said(folder: Path, dualpix: Command) -> None:
    code, out, err = dualpix("deblur", "raw.dng", "-o", "sharp", *SMALL)
    assert code == 0 and out.startswith("sharp.tif: 96 x 64 pixels")
    assert "awaits confirmation on a camera's own file" in err


def test_upright_views_of_a_pixel_give_an_upright_picture(folder: Path, dualpix: Command) -> None:
    code, out, _ = dualpix("deblur", "t_left.pgm", "-o", "sharp.png", *SMALL)
    assert code == 0 and out.startswith("sharp.png: 64 x 96 pixels")
    with Image.open(folder / "sharp.png") as picture:
        assert picture.size == (64, 96) and picture.mode.startswith(("L", "I")) and 274 not in picture.getexif()


def test_swapped_views_are_refused_until_they_are_exchanged(dualpix: Command) -> None:
    """The guard of deblur, and the way out that it names."""
    code, _, err = dualpix("deblur", "p_R.png", "p_L.png", "-o", "out.png", *SMALL)
    assert code == 1 and "look swapped" in err and "--swap" in err
    assert dualpix("deblur", "p_R.png", "p_L.png", "-o", "out.png", "--swap", *SMALL)[0] == 0


def test_extract_writes_a_folder_or_two_files(folder: Path, dualpix: Command) -> None:
    code, out, _ = dualpix("extract", "both.png", "--layout", "side-by-side", "-o", "views")
    assert (code, out.split(":")[0]) == (0, "views/both_L.tif and views/both_R.tif")
    code, out, _ = dualpix("extract", "both.png", "--layout", "side-by-side", "-o", "l.png", "r.png")
    assert (code, out) == (0, "l.png and r.png: 256 x 224 pixels each\n")
    np.testing.assert_array_equal(Image.open(folder / "l.png"), Image.open(folder / "p_L.png"))
    assert dualpix("deblur", "l.png", "r.png", "-o", "out.png", *SMALL)[0] == 0


def test_extract_recovers_highlights_for_one_stop(folder: Path, dualpix: Command) -> None:
    assert dualpix("extract", "raw.dng", "-o", "plain")[0] == 0
    code, out, err = dualpix("extract", "raw.dng", "-o", "more", "--recover-highlights")
    assert code == 0 and out.startswith("more/raw_L.tif and") and "1 EV above that of the sum" in err
    plain, more = (tifffile.imread(folder / name / "raw_L.tif") / 65535 for name in ("plain", "more"))
    light = [((levels + 0.055) / 1.055) ** 2.4 for levels in (plain, more)]  # sRGB
    counted = (plain > 0.3) & (plain < 0.99)
    assert counted.mean() > 0.5
    ratio = light[1][counted] / light[0][counted]  # but for a few pixels, where demosaicing takes another direction
    assert (np.abs(ratio - 0.5) < 0.002).mean() > 0.97


def test_inspect_tells_in_words_and_in_json(folder: Path, dualpix: Command) -> None:
    code, out, err = dualpix("inspect", "p_L.png", "p_R.png", "--picture", "d.png")
    assert (code, err) == (0, "") and "verdict          a dual-pixel pair, left and right in order" in out
    assert (folder / "d.png").is_file()
    code, out, err = dualpix("inspect", "p_R.png", "p_L.png")
    assert code == 0 and "but its views look swapped" in out and err.startswith("Note: The views look swapped")
    code, out, _ = dualpix("inspect", "both.png", "--layout", "side-by-side", "--swap", "--json")
    assert code == 0 and json.loads(out)["order"] == "swapped"


def test_wide_disparity_is_told_and_deblurred_at_several_scales(folder: Path, views: Views, dualpix: Command) -> None:
    for name, view in zip("LR", views(10, 288, 512), strict=True):
        Image.fromarray((view // 257).astype(np.uint8)).save(folder / f"wide_{name}.png")
    checkpoint.save(folder / "tiny.safetensors", tiny(), "mccnet-fast", TINY)
    pair = ["wide_L.png", "wide_R.png"]
    code, out, _ = dualpix("inspect", *pair)
    assert code == 0 and "scale            up to 10 pixels apart" in out and "joins it with 1/3 of the size" in out
    code, out, err = dualpix("deblur", *pair, "-o", "o.png", "-w", "tiny.safetensors", "--force")
    assert code == 0 and "(whole, joined with 1/3 of the size," in out and "Note: The views lie" not in err
    code, out, _ = dualpix("deblur", *pair, "-o", "alone.png", "-w", "tiny.safetensors", "--force", "--scale", "1")
    assert code == 0 and "(whole, fp32 on cpu" in out
    assert "scale  " not in dualpix("inspect", "p_L.png", "p_R.png")[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["extract", "single.dng", "-o", "views"], "single.dng holds one frame only"),
        (["deblur", "single.dng", "-o", "out.png"], "single.dng holds one frame only"),
        (["inspect", "single.dng"], "single.dng holds one frame only"),
        (["inspect", "both.png"], "both.png is one picture; give the other view as well"),
        (["deblur", "both.png", "-o", "out.png"], "both.png is one picture; give the other view as well"),
        (["inspect", "both.png", "--layout", "sbs"], "no layout called 'sbs'; choose from: raw"),
        (["inspect", "p_L.png", "p_R.png", "--layout", "npz"], "are two files, to which the layout"),
        (["inspect", "p_L.png", "p_L.png"], "given as both views"),
        (["extract", "raw.dng", "-o", "l.png", "l.png"], "l.png was named for both views"),
        (["extract", "t_left.pgm", "-o", "v", "--recover-highlights"], "or leave out --recover-highlights."),
        (["inspect", "p_L.png", "p_R.png", "--picture", "p_L.png", "--overwrite"], "one of the inputs"),
    ],
)
def test_bad_input_is_one_sentence(folder: Path, dualpix: Command, words: list[str], says: str) -> None:
    before = sorted(folder.iterdir())
    code, out, err = dualpix(*words)
    assert (code, out) == (1, "") and says in err and err.count("\n") == 1 and err.startswith("dualpix: ")
    assert [path for path in sorted(folder.iterdir()) if path.suffix] == before


def test_without_rawpy_the_sentence_says_what_to_install(dualpix: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    code, _, err = dualpix("inspect", "raw.dng")
    assert code == 1 and "pip install -e '.[raw]'" in err and err.count("\n") == 1


@pytest.mark.parametrize("command", ["deblur", "extract", "inspect"])
def test_the_help_names_every_layout(dualpix: Command, command: str) -> None:
    code, out, _ = dualpix(command, "--help")
    told = " ".join(out.replace("-\n", "-").split()).replace("- ", "-")
    assert code == 0 and [name for name in SOURCES if name not in told] == []

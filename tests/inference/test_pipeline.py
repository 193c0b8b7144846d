"""The way from a pair's files to the file of its picture, which every entry point takes."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from dualpix import __version__
from dualpix.errors import PairError, PictureError
from dualpix.inference import batch
from dualpix.inference.deblur import deblur_pair
from dualpix.inference.pipeline import DeblurOptions, deblur_views, load_pair, name_output, save_result
from dualpix.io import check_output
from dualpix.web import pipeline as page
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import Checkpoint

Command = Callable[..., tuple[int, str, str]]
NAME = f"dualpix {__version__}"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def opened(folder: Path) -> Checkpoint:
    for side in "LR":
        with Image.open(folder / f"p_{side}.png") as picture:
            picture.save(folder / f"tagged_{side}.png", icc_profile=PROFILE)
    return checkpoint.load("w.safetensors")


def test_all_doors_write_the_same_file(dualpix: Command, folder: Path, opened: Checkpoint) -> None:
    pair = "tagged_L.png", "tagged_R.png"
    assert dualpix("deblur", *pair, "-o", "single.png", "-w", "w.safetensors")[0] == 0
    settings = DeblurOptions(software=NAME)
    jobs = batch.list_jobs(".", "many", settings, include=["tagged*"])
    outcomes: list[batch.Outcome] = []
    batch.run_jobs(jobs, batch.open_weights("w.safetensors"), settings, outcomes.append)
    assert [outcome.state for outcome in outcomes] == ["made"]
    order = page.Upload(folder, *map(Path, pair))
    checked = page.check(order, opened)
    page.deblur(order, opened, DeblurOptions(force=True), lambda done, total: None)
    download = page.render(order, checked, ".png", 8, 1.0)
    single = (folder / "single.png").read_bytes()
    assert (folder / "many" / "tagged.png").read_bytes() == single and download.read_bytes() == single
    with Image.open("single.png") as picture:
        assert picture.info["icc_profile"] == PROFILE
        assert picture.getexif()[305] == f"{NAME}, mccnet-fast, weights w"
    mixed = page.render(order, checked, ".png", 8, 0.25)
    with Image.open(mixed) as picture:
        assert picture.getexif()[305] == f"{NAME}, mccnet-fast, weights w, strength 0.25"
    for source, output in ((pair, "quarter.png"), (("-o", "many"), "many/tagged.png")):
        words = (*source, "-o", output) if source is pair else (".", *source, "--include", "tagged*", "--resume")
        code, _, errors = dualpix("deblur", *words, "-w", "w.safetensors", "--strength", "0.25")
        assert code == 0 and (folder / output).read_bytes() == mixed.read_bytes(), errors


def test_choices_reach_the_picture_and_the_file(folder: Path, opened: Checkpoint) -> None:
    choices = DeblurOptions(mirror=True, depth=16, swap=True, force=True, strip_metadata=True)
    views, inherited = load_pair(Path("out.tif"), Path("tagged_L.png"), Path("tagged_R.png"), opened, choices)
    with Image.open("p_R.png") as picture:
        assert np.array_equal(np.asarray(picture), (views["left"] * 255).round().permute(1, 2, 0).numpy())
    done = deblur_views(views, opened, choices)
    expected = deblur_pair(dict(views), opened, mirror=True).picture
    assert done.plan.mirror and torch.equal(done.picture, expected) and "swapped" in done.warnings[0]
    with pytest.raises(PairError, match="force=True"):
        deblur_views(views, opened, DeblurOptions())
    assert save_result(Path("out.tif"), done.picture, inherited) == []
    with tifffile.TiffFile("out.tif") as file:
        levels, tags = file.asarray(), file.pages[0].tags
        assert levels.dtype == np.uint16 and "Software" not in tags and 34675 not in tags
    assert np.abs(levels / 65535 - expected.permute(1, 2, 0).numpy()).max() <= 0.51 / 65535


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_the_picture_lies_as_the_views_do_in_their_files(folder: Path, opened: Checkpoint, turns: int) -> None:
    """Of views that were turned counter-clockwise so often, it is turned clockwise as often."""
    views, _ = load_pair(Path("out.png"), Path("p_L.png"), Path("p_R.png"), opened, DeblurOptions())
    plain = deblur_views(views, opened, DeblurOptions()).picture
    views["quarter_turns"] = turns
    turned = deblur_views(views, opened, DeblurOptions()).picture
    np.testing.assert_array_equal(turned.numpy(), np.rot90(plain.numpy(), 4 - turns, (1, 2)))


def test_what_stands_in_the_way_is_told_before_any_work(folder: Path, opened: Checkpoint) -> None:
    left, right = Path("tagged_L.png"), Path("tagged_R.png")
    with pytest.raises(PictureError, match="one of the inputs"):
        load_pair(left, left, right, opened, DeblurOptions(), overwrite=True)
    with pytest.raises(PictureError, match="exists already"):
        load_pair(Path("deep_L.tif"), left, right, opened, DeblurOptions())
    with pytest.raises(PictureError, match=r"\.pgm holds grey only"):
        load_pair(Path("out.pgm"), left, right, opened, DeblurOptions())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such system")
def test_devices_and_pipes_are_no_places_for_a_picture(tmp_path: Path) -> None:
    """Neither is replaced, and no file is made beside it."""
    for name in ("pipe", "pipe.png"):
        os.mkfifo(tmp_path / name)
    for asked in ("", "/dev/null", str(tmp_path / "pipe"), str(tmp_path / "pipe.png")):
        with pytest.raises(PictureError, match="not a place for a picture"):
            name_output(asked, Path("a_L.png"), Path("a_R.png"), ".png")
    with pytest.raises(PictureError, match="not a regular file"):
        check_output(tmp_path / "pipe.png", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "pipe.png"]

"""The files of Google's dual-pixel app."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dualpix.errors import PairError
from dualpix.pairs import open_views, restore_orientation

HEIGHT, WIDTH = 48, 64


def save(folder: Path, height: int = HEIGHT, width: int = WIDTH, stem: str = "20200101_120000_000") -> np.ndarray:
    """A pair as the app writes it: "P5 W H 65535 " and big-endian samples. Returns both, 2 x H x W."""
    levels = np.random.default_rng(0).integers(64, 1024, (2, height, width)) * 65535 // 1023
    for side, view in zip(("left", "right"), levels, strict=True):
        content = f"P5 {width} {height} 65535 ".encode() + view.astype(">u2").tobytes()
        (folder / f"{stem}_{side}.pgm").write_bytes(content)
    return levels


def shown(levels: np.ndarray) -> np.ndarray:
    linear = np.clip((levels - 4096) / (65535 - 4096), 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("given", ["left", "right"])
def test_either_file_finds_the_other(tmp_path: Path, given: str) -> None:
    levels = save(tmp_path)
    views = open_views(tmp_path / f"20200101_120000_000_{given}.pgm")
    assert (views["name"], views["depth"], views["grey"]) == ("20200101_120000_000", 16, True)
    for name, view in zip(("left", "right"), levels, strict=True):
        assert views[name].shape == (3, HEIGHT, WIDTH)
        np.testing.assert_allclose(views[name][1], shown(view), atol=1e-5)
    assert "one green plane in linear light" in views["notes"][0] and len(views["notes"]) == 1


def test_two_files_of_the_app_are_read_like_one(tmp_path: Path) -> None:
    save(tmp_path)
    left, right = (tmp_path / f"20200101_120000_000_{side}.pgm" for side in ("left", "right"))
    both, one = open_views(left, right), open_views(left)
    assert both["left"].equal(one["left"]) and both["right"].equal(one["right"])
    assert open_views(right, left)["left"].equal(one["right"])


def test_other_grey_pictures_of_such_names_stay_as_they_are(tmp_path: Path) -> None:
    for side, levels in zip(("left", "right"), save(tmp_path), strict=True):
        content = f"P5\n{WIDTH} {HEIGHT}\n65535\n".encode() + levels.astype(">u2").tobytes()
        (tmp_path / f"a_{side}.pgm").write_bytes(content)
    views = open_views(tmp_path / "a_left.pgm", tmp_path / "a_right.pgm")
    np.testing.assert_allclose(views["left"][0], levels_of(tmp_path / "a_left.pgm") / 65535, atol=1e-6)
    assert "linear" not in " ".join(views["notes"])


def levels_of(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes()[-2 * HEIGHT * WIDTH :], ">u2").reshape(HEIGHT, WIDTH)


def test_upright_views_are_turned_to_rows_and_the_result_back(tmp_path: Path) -> None:
    levels = save(tmp_path, height=64, width=48)
    views = open_views(tmp_path / "20200101_120000_000_left.pgm")
    assert views["quarter_turns"] == 1 and any("turned by a quarter" in note for note in views["notes"])
    np.testing.assert_allclose(views["left"][0], np.rot90(shown(levels[0])), atol=1e-5)
    np.testing.assert_allclose(restore_orientation(views["right"], views)[0], shown(levels[1]), atol=1e-5)


@pytest.mark.parametrize("upright", [False, True])
def test_flat_pictures_get_their_height_back(tmp_path: Path, upright: bool) -> None:
    """2016 x 756 samples of a 4:3 scene, here 128 x 48."""
    size = {"height": 128, "width": 48} if upright else {"height": 48, "width": 128}
    levels = save(tmp_path, **size)
    views = open_views(tmp_path / "20200101_120000_000_left.pgm")
    assert views["left"].shape == (3, 96, 128)
    view = np.rot90(levels[0]) if upright else levels[0]
    inner = (view[1:-1] * 0.75 + view[2:] * 0.25)[:10]
    np.testing.assert_allclose(views["left"][0, 3:23:2], shown(inner), atol=1e-4)


def test_a_file_without_its_partner_is_refused(tmp_path: Path) -> None:
    """A missing mate."""
    save(tmp_path)
    (tmp_path / "20200101_120000_000_right.pgm").unlink()
    with pytest.raises(PairError, match=r"_left\.pgm has no 20200101_120000_000_right\.pgm beside it; copy both files"):
        open_views(tmp_path / "20200101_120000_000_left.pgm")


def test_told_to_be_of_a_pixel_it_still_needs_the_name(tmp_path: Path) -> None:
    save(tmp_path)
    other = (tmp_path / "20200101_120000_000_left.pgm").rename(tmp_path / "x.pgm")
    with pytest.raises(PairError, match=r"x\.pgm is not named NAME_left\.pgm or NAME_right\.pgm"):
        open_views(other, layout="pixel")


def test_the_same_frame_twice_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    right = tmp_path / "20200101_120000_000_right.pgm"
    right.write_bytes((tmp_path / "20200101_120000_000_left.pgm").read_bytes())
    with pytest.raises(PairError, match="both views hold the same pixels"):
        open_views(right)


def test_black_and_white_of_the_app_are_black_and_white(tmp_path: Path) -> None:
    save(tmp_path)
    left = tmp_path / "20200101_120000_000_left.pgm"
    levels = np.full((HEIGHT, WIDTH), 4096)
    levels[:, 32:] = 65535
    left.write_bytes(f"P5 {WIDTH} {HEIGHT} 65535 ".encode() + levels.astype(">u2").tobytes())
    view = open_views(left)["left"]
    torch.testing.assert_close(view[:, :, [0, -1]], torch.tensor([0.0, 1.0]).expand(3, HEIGHT, 2))

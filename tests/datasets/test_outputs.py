from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpix.datasets.outputs import PicturesIn
from dualpix.errors import DataError, PictureError


def save(path: Path, level: int) -> None:
    Image.fromarray(np.full((20, 24, 3), level, dtype=np.uint8)).save(path)


def level(pictures: PicturesIn, name: str) -> int:
    return round(pictures({"name": name}).mean().item() * 255)


def test_pictures_are_found_by_their_name_or_by_its_beginning(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 10)
    save(tmp_path / "a_L.png", 20)
    save(tmp_path / "b_dpdnet.tif", 30)
    save(tmp_path / "bb.png", 40)
    (tmp_path / "c.txt").write_text("no picture")
    pictures = PicturesIn(tmp_path)
    assert [level(pictures, name) for name in ("a", "b", "bb")] == [10, 30, 40]
    with pytest.raises(PictureError, match=r"no picture called c or c_\*"):
        pictures({"name": "c"})
    assert pictures.taken_twice() == {}


def test_more_than_one_fitting_picture_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("a_1.png", "a_2.png", "b.png", "b.tif"):
        save(tmp_path / name, 10)
    pictures = PicturesIn(tmp_path)
    for name, listed in (("a", "a_1.png, a_2.png"), ("b", "b.png, b.tif")):
        with pytest.raises(PictureError, match=listed):
            pictures({"name": name})


@pytest.mark.parametrize("order", [("a", "a_1"), ("a_1", "a")])
def test_another_samples_own_picture_is_noticed(tmp_path: Path, order: tuple[str, str]) -> None:
    save(tmp_path / "a_1.png", 10)
    pictures = PicturesIn(tmp_path)
    for name in order:
        pictures({"name": name})
    assert list(pictures.taken_twice()) == ["a"]
    assert "a_1.png is that of a_1" in pictures.taken_twice()["a"]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        PicturesIn(tmp_path / "none")

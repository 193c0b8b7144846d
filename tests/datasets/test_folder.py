from pathlib import Path

import pytest
import torch
from PIL import Image

from dualpix.datasets import Folder, open_dataset
from dualpix.errors import DataError, PairError, PictureError, RecipeError


def grey(picture: torch.Tensor) -> int:
    return round(float(picture.mean()) * 255)


def test_folders_for_each_view(tmp_path: Path, write_png) -> None:
    for number, name in enumerate(("b", "a")):
        write_png(tmp_path / "left" / f"{name}.png", 10 + number)
        write_png(tmp_path / "right" / f"{name}.tif", 20 + number)
        write_png(tmp_path / "sharp" / f"{name}.png", 30 + number)
    data = Folder(tmp_path)
    assert [sample["name"] for sample in data] == ["a", "b"]
    assert [grey(data[0][key]) for key in ("left", "right", "sharp")] == [11, 21, 31]
    torch.testing.assert_close(data[0]["center"], (data[0]["left"] + data[0]["right"]) / 2)


def test_pictures_side_by_side(tmp_path: Path, write_png) -> None:
    for end, value in (("_L", 40), ("_R", 50), ("_C", 60), ("_sharp", 70)):
        write_png(tmp_path / f"one{end}.png", value)
    for end in ("_L", "_R"):
        write_png(tmp_path / f"two{end}.png")
    write_png(tmp_path / "holiday.png")
    data = open_dataset(tmp_path)
    assert [sample["name"] for sample in data] == ["one", "two"]
    assert [grey(data[0][key]) for key in ("left", "right", "center", "sharp")] == [40, 50, 60, 70]
    assert "sharp" not in data[1]
    assert data.found == f"2 pairs, 1 of them with a sharp picture, in {tmp_path}"


def test_a_view_without_a_partner_is_named(tmp_path: Path, write_png) -> None:
    for name in ("a_L", "a_R", "b_R"):
        write_png(tmp_path / f"{name}.png")
    with pytest.raises(PairError, match=r"b_R\.png"):
        open_dataset(tmp_path)


def test_different_sizes_are_reported_for_the_pair_at_fault(tmp_path: Path, write_png) -> None:
    write_png(tmp_path / "a_L.png")
    write_png(tmp_path / "a_R.png", height=17)
    with pytest.raises(PairError, match=r"24 x 16.*24 x 17"):
        Folder(tmp_path)[0]


def test_an_unknown_layout_says_what_the_folder_holds(tmp_path: Path, write_png) -> None:
    write_png(tmp_path / "holiday.png")
    (tmp_path / "more").mkdir()
    with pytest.raises(DataError, match=r"it holds holiday\.png, more/\. Expected DPDD"):
        open_dataset(tmp_path)


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it holds nothing"):
        open_dataset(tmp_path)
    with pytest.raises(PairError, match="holds no pairs"):
        Folder(tmp_path)


@pytest.mark.parametrize(("name", "state"), [("nowhere", "does not exist"), ("file", "is a file")])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str, state: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=state):
        open_dataset(tmp_path / name)


def test_a_layout_can_be_named(tmp_path: Path, write_png) -> None:
    for place in ("left", "right", "inputL", "inputR"):
        write_png(tmp_path / place / "a.png", 200 if place.startswith("input") else 100)
    assert grey(open_dataset(tmp_path, layout="folder")[0]["left"]) == 100
    assert grey(open_dataset(tmp_path, layout="dpdd")[0]["left"]) == 200
    with pytest.raises(RecipeError, match="folder"):
        open_dataset(tmp_path, layout="folders")
    with pytest.raises(DataError, match="no splits"):
        open_dataset(tmp_path, layout="folder", split="test")


def test_what_was_changed_on_reading_is_told(tmp_path: Path, write_png) -> None:
    write_png(tmp_path / "a_L.png")
    write_png(tmp_path / "a_R.png", 90)
    assert "notes" not in Folder(tmp_path)[0]
    Image.open(tmp_path / "a_R.png").convert("RGBA").save(tmp_path / "a_R.png")
    assert Folder(tmp_path)[0]["notes"] == ["a_R.png has an alpha channel (transparency): it is ignored."]


def test_views_of_a_kind_that_is_not_read_are_told(tmp_path: Path, write_png) -> None:
    for name in ("a_L", "a_R", "b_L", "b_R"):
        write_png(tmp_path / f"{name}.png")
    for name in ("b_L", "b_R", "thumbs"):
        Image.new("RGB", (24, 16)).save(tmp_path / f"{name}.gif")
    assert Folder(tmp_path).names == ["a", "b"]  # of the second, those that can be read
    for side in "LR":
        (tmp_path / f"b_{side}.png").unlink()
    data = Folder(tmp_path)
    assert data.names == ["a", "b"]
    with pytest.raises(PictureError, match=r"b_L\.gif is not a .* \(it looks like GIF\)"):
        data[1]

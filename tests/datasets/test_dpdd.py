"""Pictures are told apart by their grey value: scene number times ten, plus one for each kind of picture."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from dualpix.datasets import Dpdd, open_dataset
from dualpix.datasets.dpdd import LAYOUTS
from dualpix.errors import DataError, PairError, PictureError

KINDS = {"left": 1, "right": 2, "center": 3, "sharp": 4}
ENDS = {"left": "_L", "right": "_R", "center": "", "sharp": ""}
# As in DPDD: the sharp shot has another number than the blurred ones, so the names of two scenes can even cross.
SCENES = [("1P0A0917", "1P0A0916"), ("1P0A1002", "1P0A1003"), ("1P0A1112", "1P0A1114")]


def make(root: Path, layout: int, write_png, split: str = "test", leave_out: tuple = (), scenes=SCENES) -> Path:
    for number, (blurred, sharp) in enumerate(scenes, start=1):
        for kind, place in LAYOUTS[layout].items():
            if kind not in leave_out:
                name = (sharp if kind == "sharp" else blurred) + ENDS[kind]
                write_png(root / place.format(split=split) / f"{name}.png", 10 * number + KINDS[kind])
    return root


def grey(picture: torch.Tensor) -> int:
    assert picture.dtype == torch.float32 and picture.shape == (3, 16, 24)
    return round(float(picture.mean()) * 255)


@pytest.mark.parametrize("layout", range(len(LAYOUTS)))
def test_every_layout_gives_the_right_pictures_in_sorted_order(tmp_path: Path, write_png, layout: int) -> None:
    data = Dpdd(make(tmp_path, layout, write_png), split="test")
    assert [sample["name"] for sample in data] == [blurred for blurred, _ in SCENES]
    for number, sample in enumerate(data, start=1):
        assert {kind: grey(sample[kind]) - 10 * number for kind in KINDS} == KINDS


def test_names_are_sorted_without_the_mark_of_the_view(tmp_path: Path, write_png) -> None:
    """`a1_L` sorts before `a_L`, but `a` before `a1`: sorting whole names would pair views with another centre."""
    data = Dpdd(make(tmp_path, 0, write_png, scenes=[("a", "b"), ("a1", "c")]), split="test")
    for sample in data:
        assert grey(sample["center"]) // 10 == grey(sample["left"]) // 10 == grey(sample["sharp"]) // 10


def test_the_centre_is_the_mean_where_it_is_missing(tmp_path: Path, write_png) -> None:
    root = make(tmp_path, 1, write_png, leave_out=("center",))
    sample = Dpdd(root, split="test")[0]
    torch.testing.assert_close(sample["center"], torch.full((3, 16, 24), (11 + 12) / 2 / 255))


def test_sharp_pictures_may_be_missing(tmp_path: Path, write_png) -> None:
    data = Dpdd(make(tmp_path, 0, write_png, leave_out=("sharp",)), split="test")
    assert "sharp" not in data[0] and "without sharp" in data.found


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_missing_picture_is_reported_with_counts_and_places(tmp_path: Path, write_png, kind: str) -> None:
    folder = make(tmp_path, 0, write_png) / LAYOUTS[0][kind].format(split="test")
    next(folder.iterdir()).unlink()
    with pytest.raises(DataError, match="different numbers") as error:
        Dpdd(tmp_path, split="test")
    assert f"2 in {folder}" in str(error.value) and "3 in" in str(error.value)


@pytest.mark.parametrize(("kind", "end"), [("right", "_R"), ("center", "")])
def test_equal_counts_of_different_scenes_are_reported(tmp_path: Path, write_png, kind: str, end: str) -> None:
    folder = make(tmp_path, 0, write_png) / LAYOUTS[0][kind].format(split="test")
    (folder / f"1P0A1002{end}.png").rename(folder / f"1P0A9999{end}.png")
    with pytest.raises(DataError, match=rf"1P0A1002_L\.png is next to .*1P0A1112{end}\.png"):
        Dpdd(tmp_path, split="test")


def test_names_with_nothing_in_common_are_paired_by_order(tmp_path: Path, write_png) -> None:
    folder = make(tmp_path, 1, write_png) / LAYOUTS[1]["right"].format(split="test")
    for path in folder.iterdir():
        path.rename(path.with_stem(f"right-{path.stem}"))
    assert [grey(sample["right"]) for sample in Dpdd(tmp_path)] == [12, 22, 32]


def number(write_png, root: Path, names: dict[str, list[str]], values: dict[str, list[int]]) -> Path:
    places = {"left": "inputL", "right": "inputR", "center": "inputC", "sharp": "target"}
    for kind, stems in names.items():
        for stem, value in zip(stems, values.get(kind, range(1, len(stems) + 1)), strict=True):
            write_png(root / places[kind] / f"{stem}.png", 10 * value + KINDS[kind])
    return root


@pytest.mark.parametrize("kind", ["right", "center", "sharp"])
def test_numbers_pair_whatever_zeros_stand_before_them(tmp_path: Path, write_png, kind: str) -> None:
    """In sorted order, 10 stands before 2, but 010 behind 002."""
    plain, padded = ["1", "2", "10", "11"], ["001", "002", "010", "011"]
    names = {"left": plain, "right": plain, "sharp": plain} | {kind: padded}
    data = Dpdd(number(write_png, tmp_path, names, {}))
    assert len(data) == 4
    for sample in data:
        scenes = {one: grey(sample[one]) // 10 for one in names}
        assert set(scenes.values()) == {1 + plain.index(sample["name"])}


def test_sharp_shots_with_numbers_of_their_own_follow_in_the_order_of_numbers(tmp_path: Path, write_png) -> None:
    names = {"left": ["s1", "s9", "s15"], "right": ["s1", "s9", "s15"], "sharp": ["s2", "s8", "s100"]}
    for sample in Dpdd(number(write_png, tmp_path, names, {})):
        assert grey(sample["sharp"]) // 10 == grey(sample["left"]) // 10


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("right", ["2", "3", "4", "5"]),
        ("right", ["a", "b", "c", "d"]),
        ("right", ["5", "6", "7", "8"]),
        ("sharp", ["001", "002", "003", "005"]),
        ("sharp", ["2", "3", "4", "5"]),
        ("sharp", ["1", "01", "3", "4"]),
    ],
)
def test_names_that_do_not_agree_are_refused(tmp_path: Path, write_png, kind: str, names: list[str]) -> None:
    given = {"left": ["1", "2", "3", "4"], "right": ["1", "2", "3", "4"], "sharp": ["1", "2", "3", "4"]} | {kind: names}
    with pytest.raises(DataError, match=r"must have the same name, or the same numbers in it.* is next to "):
        Dpdd(number(write_png, tmp_path, given, {}))


def test_empty_folders_are_reported(tmp_path: Path) -> None:
    for place in ("inputL", "inputR", "target"):
        (tmp_path / place).mkdir()
    with pytest.raises(DataError, match="there are no pictures"):
        Dpdd(tmp_path)


def test_a_missing_split_names_those_that_are_there(tmp_path: Path, write_png) -> None:
    root = make(tmp_path, 0, write_png, split="val")
    with pytest.raises(DataError, match=r"'train'.*train_l/source.*has these splits: val"):
        Dpdd(root, split="train")


def test_pictures_of_different_sizes_are_reported(tmp_path: Path, write_png) -> None:
    root = make(tmp_path, 0, write_png)
    write_png(root / "test_c/target/1P0A0916.png", width=20)
    with pytest.raises(PairError, match=r"1P0A0917.*24 x 16.*1P0A0916\.png is 20 x 16"):
        Dpdd(root)[0]


def test_files_that_are_no_pictures_are_left_alone(tmp_path: Path, write_png) -> None:
    root = make(tmp_path, 0, write_png)
    (root / "test_c/source/notes.txt").write_text("not a picture")
    (root / "test_l/source/._1P0A0917_L.png").write_bytes(b"left behind by another system")
    assert len(Dpdd(root)) == 3


def test_open_dataset_finds_layout_and_split(tmp_path: Path, write_png) -> None:
    data = open_dataset(make(tmp_path, 0, write_png, split="val"))
    assert isinstance(data, Dpdd) and data.found == "3 scenes of DPDD, split 'val', with center and with sharp pictures"


def test_open_dataset_prefers_a_split_that_is_there(tmp_path: Path, write_png) -> None:
    """A trainer prefers train, and must not be given the test split while there is another."""
    for split in ("test", "train"):
        make(tmp_path, 0, write_png, split=split)
    found = {prefer: open_dataset(tmp_path, prefer=prefer).found for prefer in ("test", "train", "val")}
    assert "'test'" in found["test"] and "'train'" in found["train"] and "'test'" in found["val"]
    assert "'train'" in open_dataset(tmp_path, split="train", prefer="test").found


@pytest.mark.slow
def test_the_real_set() -> None:
    """Point DUALPIX_DPDD at a copy: every scene reads, and its views are nearest to its own sharp picture."""
    if "DUALPIX_DPDD" not in os.environ:
        pytest.skip("DUALPIX_DPDD does not say where DPDD is")
    data = open_dataset(os.environ["DUALPIX_DPDD"])
    assert len(data)
    for sample in data:
        mean = (sample["left"] + sample["right"]) / 2
        assert float((mean - sample["center"]).abs().mean()) < 0.02
        for other in data:
            if other["name"] != sample["name"] and other["sharp"].shape == mean.shape:
                assert (mean - sample["sharp"]).abs().mean() < (mean - other["sharp"]).abs().mean()


def test_scenes_of_a_kind_that_is_not_read_are_told(tmp_path: Path, write_png) -> None:
    root = make(tmp_path, 1, write_png)
    for file in root.rglob("*1002*"):
        Image.new("RGB", (24, 16)).save(file.with_suffix(".gif"))
        file.unlink()
    data = Dpdd(root, split="test")
    assert len(data) == 3
    with pytest.raises(PictureError, match="it looks like GIF"):
        data[1]

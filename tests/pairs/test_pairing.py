"""Pairs are found in whole trees by the usual names, and what cannot be paired is said."""

import os
from pathlib import Path

import pytest
from PIL import Image

from dualpix.datasets import Folder, open_dataset
from dualpix.errors import PairError, as_flag, spelled_as
from dualpix.inference.batch.jobs import list_jobs
from dualpix.pairs import find_pairs
from dualpix.pairs.pairing import find_tree, find_two
from dualpix.pairs.views import find_named_pairs


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def places(root: Path, **options: object) -> dict[str, tuple[str, ...]]:
    """From place to files, of what can be used."""
    found = find_tree(root, **options)  # type: ignore[arg-type]
    return {
        str(one.place): tuple(str(path.relative_to(root)) for path in (one.left, one.right) if path)
        for one in found
        if not one.problem
    }


@pytest.mark.parametrize(
    ("left", "right", "place"),
    [
        ("a_L.png", "a_R.png", "a"),
        ("a-left.TIF", "a-right.TIF", "a"),
        ("A_b_Left.jpg", "A_b_Right.jpg", "A_b"),
        ("trip/day 1/ä_l.PNG", "trip/day 1/ä_r.PNG", "trip/day 1/ä"),
        ("left/a.png", "right/a.png", "a"),
        ("l/a.png", "r/a.png", "a"),
        ("L/x/a.png", "R/x/a.png", "x/a"),
        ("trip/Left/a_L.png", "trip/Right/a_R.png", "trip/a"),
        ("test/inputL/1P0A.png", "test/inputR/1P0A.png", "test/1P0A"),
        ("test_l/source/7.png", "test_r/source/7.png", "test/7"),
        ("dpdd/val_l/source/7.png", "dpdd/val_r/source/7.png", "dpdd/val/7"),
        ("scene_l/a.png", "scene_r/a.png", "scene/a"),
        ("L_001.png", "R_001.png", "001"),
        ("left_001.png", "right_001.png", "001"),
        ("x/001.left.png", "x/001.right.png", "x/001"),
        ("IMG 0001 L.png", "IMG 0001 R.png", "IMG 0001"),
        ("IMG (L).png", "IMG (R).png", "IMG"),
        ("IMG_7[left].png", "IMG_7[right].png", "IMG_7"),
        ("imageL/1.png", "imageR/1.png", "1"),
        ("x/left_view/1.png", "x/right_view/1.png", "x/1"),
        ("views_left/left_1.png", "views_right/right_1.png", "views/1"),
        ("trip left/a.png", "trip right/a.png", "trip/a"),
        ("x/A/1.png", "x/B/1.png", "x/1"),
    ],
)
def test_the_usual_names_make_pairs(tmp_path: Path, left: str, right: str, place: str) -> None:
    touch(tmp_path, left, right)
    assert places(tmp_path) == {place: (left, right)}


def test_the_same_names_make_training_pairs_and_names_of_samples(tmp_path: Path) -> None:
    for number, (left, right) in enumerate(
        [("L_1.png", "R_1.png"), ("imageL/1.png", "imageR/1.png"), ("A/1.png", "B/1.png")]
    ):
        root = tmp_path / str(number)
        touch(root, left, right, "sharp/1.png")
        assert find_named_pairs(root) == {"1": (root / left, root / right)}
        opened = open_dataset(root)
        assert isinstance(opened, Folder) and opened.scenes["1"]["sharp"] == root / "sharp/1.png"


def test_what_only_sounds_like_a_side_is_a_photograph(tmp_path: Path) -> None:
    """And folders called A and B may hold pairs of their own, or two trips."""
    touch(tmp_path, "vitamin R.png", "left_turn.png", "A/a_L.png", "A/a_R.png", "B/b_L.png", "B/b_R.png")
    assert list(places(tmp_path)) == ["A/a", "B/b"]
    touch(tmp_path / "trips", "A/1.png", "B/2.png")
    with pytest.raises(PairError, match=r"A/1\.png, B/2\.png; name the views NAME_L and NAME_R"):
        find_tree(tmp_path / "trips")


def test_a_folder_without_pairs_is_told_what_would_make_one(tmp_path: Path) -> None:
    touch(tmp_path, "IMG_12a.png", "IMG_12b.png", "flowers.png", "sea.png")
    with pytest.raises(
        PairError, match=r"IMG_12b\.png, flowers\.png, \.\.\.; .*IMG_12_L\.png and IMG_12_R\.png\).*\.csv"
    ):
        find_tree(tmp_path)


def test_folders_of_equal_names_are_told_to_be_given_as_two(tmp_path: Path) -> None:
    touch(tmp_path, "cam 0/1.png", "cam 1/1.png")
    with pytest.raises(PairError, match=r"but cam 0/1\.png, cam 1/1\.png; .*deblur .*/cam 0 .*/cam 1\)"):
        find_tree(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PairError, match="and no pictures"):
        find_tree(tmp_path / "empty")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a_L.png", "a_R.png", "L_b.png", "R_b.png"], ["a"]),
        (["imageL/a_L.png", "imageL/a_R.png", "imageR/a_L.png", "imageR/a_R.png"], ["imageL/a", "imageR/a"]),
        (["A/1.mpo", "B/1.mpo"], ["A/1", "B/1"]),
        (["L_1.mpo", "R_1.mpo", "L_2.dng", "R_2.dng"], ["L_1", "L_2", "R_1", "R_2"]),
        (["left/left 1.png", "right/left 1.png"], ["left 1"]),
        (["left/a.png", "right/a.png", "L_a.png", "R_a.png"], ["a"]),
        (["trip left/left/a.png", "trip left/right/a.png", "trip right/x_L.png"], ["trip left/a"]),
    ],
)
def test_what_sure_marks_find_is_found_as_before(tmp_path: Path, names: list[str], found: list[str]) -> None:
    """Places and files of version 0.1.0, which knew no other marks."""
    touch(tmp_path, *names)
    assert sorted(places(tmp_path)) == found
    assert all(Path(file).name not in ("L_a.png", "R_a.png") for pair in places(tmp_path).values() for file in pair)


def test_two_folders_are_the_left_and_the_right_views(tmp_path: Path) -> None:
    one, two, out = (tmp_path / name for name in ("one", "two", "one/out"))
    touch(
        tmp_path, "one/x/a.png", "two/x/a.png", "one/b_L.png", "two/b_R.png", "one/c.png", "one/L_d.png", "two/R_d.png"
    )
    found = find_two(one, two)
    expected = [("b", True), ("c", False), ("d", True), ("x/a", True)]
    assert [(str(pair.place), pair.right is not None) for pair in found] == expected
    assert found[1].problem.endswith("add it, or leave this one out (exclude=).")
    with spelled_as(as_flag):
        assert find_two(one, two)[1].problem.endswith("leave this one out (--exclude).")
    touch(tmp_path, "one/out/b.png")
    assert [job.place for job in list_jobs(one, out, right=two)] == ["b.png", "c.png", "d.png", "x/a.png"]
    assert [job.place for job in list_jobs(one, out, right=two, include=["x/*"])] == ["x/a.png"]
    with pytest.raises(PairError, match="was given for both views"):
        find_two(one, two / ".." / "one")
    touch(tmp_path, "three/z.png")
    with pytest.raises(PairError, match="no files of equal names, but"):
        find_two(tmp_path / "one", tmp_path / "three")


def test_a_pattern_stands_for_the_pairs_that_are_like_it(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}_{side}.png" for name in ("trip/a", "trip/b", "c") for side in "LR"))
    assert [job.place for job in list_jobs(tmp_path / "trip" / "*_L.png", tmp_path / "out")] == ["a.png", "b.png"]
    assert [job.place for job in list_jobs(tmp_path / "t*" / "b*", tmp_path / "out")] == ["trip/b.png"]
    with pytest.raises(PairError, match="passes include=, exclude= and the pattern"):
        list_jobs(tmp_path / "trip" / "*.tif", tmp_path / "out")


def test_only_views_are_taken_from_data_sets(tmp_path: Path) -> None:
    names = [f"{part}_{side}/{kind}/1.png" for part in ("test", "train") for side in "lrc" for kind in ("source",)]
    touch(tmp_path, *names, *(name.replace("source", "target") for name in names))
    assert places(tmp_path) == {
        f"{part}/1": (f"{part}_l/source/1.png", f"{part}_r/source/1.png") for part in ("test", "train")
    }


def test_what_is_no_view_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a_L.png", "a_R.png", "a_C.png", "sharp/a.png", "._a_L.png", ".hidden/b_L.png", "notes_l.txt")
    touch(tmp_path, "out/c_L.png", "left/alone.png")
    (tmp_path / "again").symlink_to(tmp_path)
    assert places(tmp_path, leave_out=[tmp_path / "out"]) == {"a": ("a_L.png", "a_R.png")}


def test_files_with_both_views_stand_alone(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.CR3", "2.cr2", "3.dng", "4.npz", "5.png")
    assert places(tmp_path) == {"x/1": ("x/1.CR3",), "2": ("2.cr2",), "3": ("3.dng",), "4": ("4.npz",)}
    assert places(tmp_path, layout="top-bottom")["5"] == ("5.png",)


def test_a_lonely_view_is_a_problem_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "a_L.png", "a_R.png", "b_L.png", "c_R.png", "d_L.png", "d_left.png", "d_R.png")
    problems = {found.left.name: found.problem for found in find_tree(tmp_path)}
    assert problems["a_L.png"] == ""
    assert "b_L.png; add it" in problems["b_L.png"] and "c_R.png; add it" in problems["c_R.png"]
    assert "d_L.png" in problems["d_L.png"] and "d_left.png are the same view" in problems["d_L.png"]


def test_one_name_in_two_formats_is_two_pairs(tmp_path: Path) -> None:
    touch(tmp_path, "a_L.png", "a_R.png", "a_L.tif", "a_R.tif")
    assert [(one.left.suffix, one.problem) for one in find_tree(tmp_path)] == [(".png", ""), (".tif", "")]


def test_names_composed_differently_are_one(tmp_path: Path) -> None:
    """As a disk of a Mac and one of another system write the same letter."""
    touch(tmp_path, "left/\u00e9.png", "right/e\u0301.png")
    assert len(places(tmp_path)) == 1


def test_patterns_choose_pairs_by_either_file(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}_{side}.png" for name in ("x/y/a", "x/b", "c") for side in "LR"))
    assert list(places(tmp_path, include=["x/*"])) == ["x/b", "x/y/a"]
    assert list(places(tmp_path, include=["x/*"], exclude=["a_R*"])) == ["x/b"]
    assert list(places(tmp_path, exclude=["x/*"])) == ["c"]
    with pytest.raises(PairError, match="include="):
        find_tree(tmp_path, include=["*.tif"])


def test_names_that_are_no_text_are_found(tmp_path: Path) -> None:
    for side in b"LR":
        with open(os.fsencode(tmp_path) + b"/\xff_" + bytes([side]) + b".png", "wb"):
            pass
    long = "x" * 249
    touch(tmp_path, f"{long}_L.png"[-255:], f"{long}_R.png"[-255:])
    assert len(places(tmp_path)) == 2


def test_no_pairs_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    with pytest.raises(PairError, match="no pairs"):
        find_tree(tmp_path)
    with pytest.raises(PairError, match="not a folder"):
        find_tree(tmp_path / "a.png")


def test_links_that_lead_nowhere_are_found_and_cost_nothing(tmp_path: Path) -> None:
    for side in "LR":
        (tmp_path / f"a_{side}.png").symlink_to(tmp_path / "missing")
        (tmp_path / f"b_{side}.png").symlink_to(tmp_path / f"b_{side}.png")
        (tmp_path / f"c_{side}.png").touch()
    assert [found.place.name for found in find_tree(tmp_path)] == ["a", "b", "c"]


@pytest.mark.parametrize("ending", [".jfif", ".JPE", ".jif", ".pnm", ".dat", ""])
def test_a_picture_of_any_ending_is_taken(tmp_path: Path, ending: str) -> None:
    for side, shade in (("L", 90), ("R", 91)):
        with (tmp_path / f"a_{side}{ending}").open("wb") as file:
            Image.new("RGB", (20, 20), (shade,) * 3).save(file, "JPEG")
        (tmp_path / f"b_{side}.txt").write_text("P3 is a model\n")
    assert places(tmp_path) == {"a": (f"a_L{ending}", f"a_R{ending}")}
    assert [path.name for pair in find_pairs(tmp_path) for path in pair] == [f"a_L{ending}", f"a_R{ending}"]
    (job,) = list_jobs(tmp_path, tmp_path / "out")
    assert job.place == "a.jpg"


def test_views_of_a_kind_that_is_not_read_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "a_L.png", "a_R.png", "c_L.bmp")
    for name in ("b_L.gif", "b_R.dat", "alone.gif"):
        (tmp_path / name).write_bytes(b"GIF89a" + bytes(20))
    (tmp_path / "d_L.psd").write_bytes(b"8BPS" + bytes(20))
    problems = {found.left.name: found.problem for found in find_tree(tmp_path) if found.problem}
    assert sorted(problems) == ["b_L.gif", "b_R.dat", "d_L.psd"]
    assert "is GIF, which cannot be read; convert it" in problems["b_R.dat"]


def test_an_unmarked_mpo_holds_both_views(tmp_path: Path) -> None:
    touch(tmp_path, "both.mpo", "a_L.mpo", "a_R.mpo")
    assert places(tmp_path) == {"both": ("both.mpo",), "a": ("a_L.mpo", "a_R.mpo")}

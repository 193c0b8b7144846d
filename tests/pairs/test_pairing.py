"""Pairs are found in whole trees by the usual names, and what cannot be paired is said."""

import os
from pathlib import Path

import pytest
from PIL import Image

from dualpix.errors import PairError
from dualpix.inference.batch.jobs import list_jobs
from dualpix.pairs import find_pairs
from dualpix.pairs.pairing import find_tree


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
    ],
)
def test_the_usual_names_make_pairs(tmp_path: Path, left: str, right: str, place: str) -> None:
    touch(tmp_path, left, right)
    assert places(tmp_path) == {place: (left, right)}


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
    assert places(tmp_path, leave_out=tmp_path / "out") == {"a": ("a_L.png", "a_R.png")}


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
    assert "is GIF, which is not read; convert it" in problems["b_R.dat"]


def test_an_unmarked_mpo_holds_both_views(tmp_path: Path) -> None:
    touch(tmp_path, "both.mpo", "a_L.mpo", "a_R.mpo")
    assert places(tmp_path) == {"both": ("both.mpo",), "a": ("a_L.mpo", "a_R.mpo")}

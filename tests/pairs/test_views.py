import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dualpix.errors import PairError, PictureError
from dualpix.io import write_picture
from dualpix.pairs import check_pair, find_pairs, read_pair, require_pair


def said(left: torch.Tensor, right: torch.Tensor) -> list[str]:
    """The warnings of a pair, each as its telling word."""
    words = ("Hardly", "swapped", "columns", "misaligned", "bright", "no disparity")
    warnings = check_pair(left, right)
    assert all(warning.endswith(".") and "\n" not in warning for warning in warnings)
    return [next(word for word in words if word in warning) for warning in warnings]


def test_a_pair_is_read_by_name(tmp_path: Path) -> None:
    left, right = torch.rand(3, 20, 30), torch.rand(3, 20, 30)
    write_picture(tmp_path / "wall_L.png", left)
    write_picture(tmp_path / "wall_R.tif", right)
    pair = read_pair(tmp_path / "wall_L.png", str(tmp_path / "wall_R.tif"))
    assert (pair["name"], pair["depth"], pair["notes"]) == ("wall", 16, [])
    torch.testing.assert_close(pair["left"], left, atol=1e-5, rtol=0)
    torch.testing.assert_close(pair["right"], right, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"height": 41}, r"differ in size \(48 x 40 and 48 x 41\)"),
        ({"dtype": np.uint16}, r"differ in bit depth \(8 bits and 16 bits\)"),
        ({"grey": True}, r"differ in channels \(colour and grey\)"),
        ({}, "both views hold the same pixels"),
    ],
)
def test_views_that_do_not_belong_together_are_refused(tmp_path: Path, make, other: dict, message: str) -> None:
    left, right = tmp_path / "a_L.png", tmp_path / "a_R.png"
    left.write_bytes(make["png"](make["smooth"]()))
    levels = make["smooth"](other.get("dtype", np.uint8), height=other.get("height", 40))
    right.write_bytes(make["png"](levels[:, :, 0] if other.get("grey") else levels))
    with pytest.raises(PairError, match=message) as caught:
        read_pair(left, right)
    assert str(left) in str(caught.value) and str(right) in str(caught.value)


def test_one_file_given_twice_is_refused(tmp_path: Path, make) -> None:
    left = tmp_path / "a.png"
    left.write_bytes(make["png"](make["smooth"]()))
    (tmp_path / "b.png").symlink_to(left)
    (tmp_path / "c.png").hardlink_to(left)
    for right in (left, tmp_path / "b.png", tmp_path / "c.png"):
        with pytest.raises(PairError, match="was given as both views"):
            read_pair(left, right)


def test_a_missing_view_is_named(tmp_path: Path, make) -> None:
    left, right = tmp_path / "a_L.png", tmp_path / "a_R.png"
    left.write_bytes(make["png"](make["smooth"]()))
    for pair in ((left, right), (right, left)):
        with pytest.raises(PictureError, match=f"{right} does not exist"):
            read_pair(*pair)


def test_notes_tell_what_reading_changed_and_what_differs(tmp_path: Path, make) -> None:
    for name, step, white in (("a_L.png", 1, b"one"), ("a_R.png", -1, b"other")):
        profile = bytes(36) + b"acsp" + white + bytes(100)
        content = make["by_pillow"](make["smooth"]()[::step, :, 0], "PNG", icc_profile=profile)
        (tmp_path / name).write_bytes(content)
    notes = read_pair(tmp_path / "a_L.png", tmp_path / "a_R.png")["notes"]
    assert ["grey" in note for note in notes] == [True, True, False] and "different colour profiles" in notes[2]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (torch.rand(3, 20, 30), torch.rand(3, 20, 31)),
        (torch.rand(1, 20, 30), torch.rand(1, 20, 30)),
        (torch.rand(20, 30), torch.rand(20, 30)),
        (torch.rand(3, 15, 30), torch.rand(3, 15, 30)),
        (torch.rand(3, 20, 30), torch.rand(3, 20, 30) * 255),
        (torch.rand(3, 20, 30), torch.rand(3, 20, 30) - 0.5),
        (torch.full((3, 20, 30), torch.nan), torch.rand(3, 20, 30)),
        (torch.rand(3, 20, 30), torch.rand(3, 20, 30) / torch.zeros(3, 20, 30)),
        (torch.ones(3, 20, 30), torch.ones(3, 20, 30)),
    ],
)
def test_tensors_that_are_no_pair_are_refused(left: torch.Tensor, right: torch.Tensor) -> None:
    with pytest.raises(PairError, match=r"^left and right: .+\.$"):
        require_pair(left, right)
    require_pair(torch.zeros(3, 16, 16), torch.ones(3, 16, 16))


@pytest.mark.parametrize("blurs_px", [(0, 6), (8, 0, 3), (6,), (-3, 0, 8, 8)])
def test_a_good_pair_gives_no_warning_and_a_swapped_one_does(defocused, blurs_px: tuple[float, ...]) -> None:
    left, right = defocused(*blurs_px)
    assert said(left, right) == []
    front = sum(c < 0 for c in blurs_px)
    assert said(right, left) == ([] if front else ["swapped"])


def test_as_much_in_front_as_behind_says_nothing_either_way(defocused) -> None:
    left, right = defocused(-6, 0, 6)
    assert said(left, right) == said(right, left) == []


@pytest.mark.parametrize("blurs_px", [(0, 6), (8, 0, 3), (8, 4, 0, -4)])
def test_disparity_along_columns_is_told(defocused, blurs_px: tuple[float, ...]) -> None:
    left, right = (view.transpose(1, 2) for view in defocused(*blurs_px))
    assert said(left, right) == said(right, left) == ["columns"]


def test_views_that_are_moved_apart_are_told(defocused) -> None:
    left, right = defocused(0, 6)
    assert said(left[:, 3:], right[:, :-3]) == ["misaligned"]
    assert "about 3 pixels" in check_pair(left[:, 3:], right[:, :-3])[0]
    assert said(left[:, :, 40:], right[:, :, :-40]) == ["Hardly"]
    assert said(left, right.flip(2)) == ["Hardly"]


def test_views_of_different_scenes_are_told(defocused) -> None:
    assert "Hardly" in said(defocused(0, 6)[0], defocused(0, 6, seed=1)[1])


def test_copies_of_one_view_are_told(defocused) -> None:
    left, _ = defocused(0, 6)
    noise = 0.01 * torch.randn(left.shape, generator=torch.Generator().manual_seed(0))
    assert said(left, (left + noise).clamp(0, 1)) == ["no disparity"]


def test_brightness_that_differs_is_told(defocused) -> None:
    left, right = defocused(0, 6)
    assert said(left, right * 0.95) == []
    assert said(left, right * 0.8) == said(left * 0.8, right) == []
    assert said(left, right * 0.38) == said(left * 0.38, right) == ["bright"]
    assert "left view is 2.6" in check_pair(left, right * 0.38)[0]
    assert said(left, torch.zeros_like(right)) == ["bright"]


def test_noise_alone_changes_no_verdict(defocused) -> None:
    noise = 0.03 * torch.randn(2, 3, 256, 320, generator=torch.Generator().manual_seed(0))
    left, right = ((view + grain).clamp(0, 1) for view, grain in zip(defocused(0, 6), noise, strict=True))
    assert said(left, right) == [] and said(right, left) == ["swapped"]


@pytest.mark.parametrize("size", [16, 63, 70])
def test_pictures_too_small_to_tell_give_no_warning(defocused, size: int) -> None:
    left, right = (view[:, :size, :size] for view in defocused(0, 6))
    assert said(left, right) == said(right, left) == []


@pytest.mark.slow
def test_real_pairs_pass_and_their_swapped_and_turned_copies_do_not() -> None:
    """Point DUALPIX_DPDD at a copy of the test split."""
    if "DUALPIX_DPDD" not in os.environ:
        pytest.skip("DUALPIX_DPDD does not say where DPDD is")
    pairs = find_pairs(os.environ["DUALPIX_DPDD"])
    for paths in pairs:
        pair = read_pair(*paths)
        left, right = pair["left"], pair["right"]
        assert said(left, right) == [] and said(right, left) == ["swapped"]
        assert said(left.transpose(1, 2), right.transpose(1, 2)) == ["columns"]
    assert pairs


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    "marks", [("_L", "_R"), ("_l", "_r"), ("_left", "_right"), ("-Left", "-Right"), ("_LEFT", "_R")]
)
def test_marked_pairs_are_found_side_by_side(tmp_path: Path, marks: tuple[str, str]) -> None:
    left, right = marks
    touch(tmp_path, f"b c{left}.png", f"b c{right}.PNG", f"é{left}.tif", f"é{right}.tif")
    touch(tmp_path, "alone.png", "notes_L.txt", ".hidden_L.png", ".dualpix-12.partial", "skip_L/x_L.png")
    found = [(a.relative_to(tmp_path).name, b.relative_to(tmp_path).name) for a, b in find_pairs(tmp_path)]
    assert found == [(f"b c{left}.png", f"b c{right}.PNG"), (f"é{left}.tif", f"é{right}.tif")]


@pytest.mark.parametrize(
    ("lefts", "rights"),
    [("left", "right"), ("inputL", "inputR"), ("test_l/source", "test_r/source"), ("test_l", "test_r")],
)
@pytest.mark.parametrize("marks", [("", ""), ("_L", "_R")])
def test_pairs_are_found_in_parallel_folders(tmp_path: Path, lefts: str, rights: str, marks: tuple[str, str]) -> None:
    touch(tmp_path, f"{lefts}/2{marks[0]}.png", f"{lefts}/1{marks[0]}.png")
    touch(tmp_path, f"{rights}/1{marks[1]}.png", f"{rights}/2{marks[1]}.png")
    assert find_pairs(tmp_path) == [
        (tmp_path / lefts / f"{n}{marks[0]}.png", tmp_path / rights / f"{n}{marks[1]}.png") for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds no pairs and no pictures; name the views NAME_L and NAME_R"),
        (("a.png", "b.png"), "holds no pairs"),
        (("a_L.png", "a_R.png", "b_L.png"), "No other view was found for .*b_L.png; add"),
        (("a_L.png", "b_L.png", "c_R.png", "d_R.png"), "a_L.png, .*b_L.png, .*c_R.png and 1 more; add"),
        (("left/a.png", "right/b.png"), "No other view was found for .*left/a.png, .*right/b.png; add"),
        (("a_L.png", "a_L.tif", "a_R.png"), "a_L.png and .*a_L.tif are the same view"),
    ],
)
def test_folders_that_cannot_be_paired_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(PairError, match=message):
        find_pairs(tmp_path)


def test_a_file_is_no_folder_of_pairs(tmp_path: Path) -> None:
    touch(tmp_path, "a_L.png")
    for path in (tmp_path / "a_L.png", tmp_path / "missing"):
        with pytest.raises(PairError, match="is not a folder"):
            find_pairs(path)


def test_slanted_stripes_far_out_of_focus_are_not_taken_for_misaligned(defocused) -> None:
    """As the blur hides all but the stripes, a match may slide along them."""
    y, x = np.mgrid[:256, :320, :1][:2]
    left, right = defocused(10, stripes=np.sign(np.sin((x + 0.3 * y) * 0.1)))
    assert said(left, right) == []


@pytest.mark.parametrize(("wave", "noise"), [(0.2, 0.15), (0.3, 0.15), (0.4, 0.15), (0.9, 0.2), (0.9, 0.25)])
def test_stripes_in_focus_are_not_taken_for_vertical_disparity(wave: float, noise: float) -> None:
    """Along stripes noise moves the match far more than across them."""
    dice = torch.Generator().manual_seed(0)
    x, y = torch.arange(384.0), torch.arange(384.0)[:, None]
    stripes = 0.5 + 0.3 * torch.sin(x * 0.9 + wave * torch.sin(y * 0.38)).expand(3, 384, 384)
    left, right = ((stripes + noise * torch.randn(3, 384, 384, generator=dice)).clamp(0, 1) for _ in "lr")
    assert "columns" not in said(left, right)

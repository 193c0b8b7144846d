"""Calibrating: files in, numbers with their spread out, and one sentence for what cannot be measured."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dualpix.calibration.calibrate import calibrate, measure
from dualpix.calibration.numbers import Number
from dualpix.errors import PairError
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, render
from dualpix.simulation.sensor import Tone
from dualpix.simulation.simulate import CAMERAS, simulate_from_depth

Command = Callable[..., tuple[int, str, str]]
LENS = Lens(rho=0.4, softness_px=0.3, softness_rel=0.08)
TONE = Tone(0.3)
HEIGHT, WIDTH, SPARE = 192, 288, 24


@pytest.fixture(scope="module")
def scene() -> tuple[Tensor, Tensor, Tensor]:
    """Left, right, sharp, display-encoded, 3 H W: the left third in focus, the rest 7 px behind."""
    rng = np.random.default_rng(0)
    shape = (3, HEIGHT + 2 * SPARE, WIDTH + 2 * SPARE)
    waves = sum(gaussian_filter(rng.standard_normal(shape), (0, s, s), mode="wrap") * s for s in (0.7, 2, 5, 12))
    colour = torch.from_numpy((0.45 + 0.15 * waves).clip(0.02, 0.9)).float()
    alpha, near = torch.ones(shape[1:]), torch.zeros(shape[1:])
    near[:, : SPARE + WIDTH // 3] = 1
    layers = [Layer(colour, alpha, torch.full(shape[1:], 7.0)), Layer(colour.flip(1), near, torch.zeros(shape[1:]))]
    left, right = render(layers, LENS, SPARE)
    sharp = (colour.flip(1) * near + colour * (1 - near))[:, SPARE:-SPARE, SPARE:-SPARE]
    return tuple(TONE.encode(x) for x in (left, right, sharp))  # type: ignore[return-value]


def write(path: Path, picture: Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
    return path


@pytest.fixture
def files(tmp_path: Path, scene: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, picture in zip(("left", "right", "sharp"), scene, strict=True):
        write(tmp_path / f"{name}.png", picture)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_with_the_sharp_picture_everything_is_told(files: Path) -> None:
    done = calibrate("left.png", "right.png", "sharp.png")
    numbers = done.together
    assert list(done.pairs) == ["left"] and done.pairs["left"] == numbers
    assert numbers["rho"].value == pytest.approx(LENS.rho, rel=0.01)
    assert 0.97 < numbers["rho by matching"].value / LENS.rho < 1.2  # fine detail lies further apart than the middles
    assert numbers["blur px"].high == pytest.approx(7, rel=0.02)
    # A third of the width is in focus, but windows are as wide: one column of seven lies within it, the next is torn.
    assert 1 / 7 <= numbers["share in focus"].value <= 1 / 3
    assert numbers["share in front of what is out of focus"].value == 0
    assert abs(numbers["shading tilt"].value) < 0.001
    shares = [n.value for name, n in numbers.items() if name.startswith("share of blur")]
    assert sum(shares) == pytest.approx(1)
    for number in numbers.values():
        assert number.count > 0 and (number.low is None or number.low <= number.value + 1e-9)


def simulated(folder: Path, depths_m: list[float], quarters: int) -> list[str]:
    """The files of a simulated pair and its sharp picture: squares at these depths, one above the other, turned."""
    squares = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0))
    sharp = squares.repeat_interleave(8, 1).repeat_interleave(8, 2)
    depth_m = torch.tensor(depths_m).repeat_interleave(320 // len(depths_m))[:, None].expand(320, 480)
    made = simulate_from_depth(sharp, depth_m, CAMERAS["5d-mark-iv-50mm-f4"])
    views = {"left": made["left"], "right": made["right"], "sharp": sharp}
    turned = {name: picture.rot90(quarters, (1, 2)) for name, picture in views.items()}
    return [str(write(folder / f"{quarters}" / f"{name}.png", picture)) for name, picture in turned.items()]


def is_same(one: dict[str, Number], other: dict[str, Number]) -> bool:
    """Up to rounding: turned pictures lie otherwise in memory, and sums may take another order."""
    return one.keys() == other.keys() and all(
        found.count == other[name].count and found.value == pytest.approx(other[name].value, rel=1e-9, nan_ok=True)
        for name, found in one.items()
    )


@pytest.mark.parametrize(("quarters", "way"), [(1, "right"), pytest.param(3, "left", marks=pytest.mark.slow)])
def test_an_upright_copy_gives_the_same_numbers(tmp_path: Path, quarters: int, way: str) -> None:
    """As programs that export do, the pixels are turned, and nothing says so."""
    files, copies = (simulated(tmp_path, [1.5], turns) for turns in (0, quarters))
    lying, upright = calibrate(*files), calibrate(*copies)
    assert is_same(upright.together, lying.together) and upright.missing == lying.missing and lying.notes == []
    assert upright.notes == [f"left stands upright: it was turned by a quarter to the {way}."]
    chosen = calibrate(*copies, turn=way)
    assert is_same(chosen.together, lying.together) and chosen.notes == []
    try:
        unturned = calibrate(*copies, turn="none").together
    except PairError:
        unturned = {}
    assert not is_same(unturned, lying.together)


def test_of_an_upright_pair_half_in_front_of_the_focus_the_doubt_is_told(dualpix: Command, tmp_path: Path) -> None:
    code, _, err = dualpix("calibrate", *simulated(tmp_path, [1.5, 0.8], 1)[:2])
    assert code == 0 and "stands upright" in err and "have it turned the other way" in err


def test_without_it_the_rest_is_told_and_the_gap_named(scene: tuple[Tensor, Tensor, Tensor]) -> None:
    numbers, missing = measure(*scene[:2])
    assert numbers["rho from views alone"].value == pytest.approx(LENS.rho, rel=0.08)
    assert numbers["blur from views alone px"].value == pytest.approx(7, rel=0.03)
    assert 0.97 < numbers["disparity px"].high / (7 * LENS.rho) < 1.2
    assert "rho" not in numbers and "tone contrast" not in numbers
    assert len(missing) >= 1 and "Without SHARP" in missing[0] and "tone" in missing[0]


def test_folders_are_measured_together(files: Path, scene: tuple[Tensor, Tensor, Tensor]) -> None:
    for name, mark, picture in zip(("l", "r"), ("_L", "_R"), scene[:2], strict=True):
        write(files / name / f"a{mark}.png", picture)
        write(files / name / f"b{mark}.png", picture.flip(1) * 0.9)
    seen = []
    done = calibrate("l", "r", progress=lambda at, total: seen.append((at, total)))
    assert list(done.pairs) == ["a", "b"] and seen == [(1, 2), (2, 2)]
    both = done.together["disparity px"]
    middles = [numbers["disparity px"].value for numbers in done.pairs.values()]
    assert both.value == pytest.approx(np.mean(middles)) and both.low <= min(middles) + 0.1
    rows = list(csv.DictReader(done.csv().splitlines()))
    assert {row["pair"] for row in rows} == {"a", "b", "all"}
    assert [float(r["value"]) for r in rows if r["quantity"] == "disparity px"][:2] == pytest.approx(middles, rel=1e-4)


def test_the_door_prints_and_writes(dualpix: Command, files: Path) -> None:
    code, out, err = dualpix("calibrate", "left.png", "right.png", "-o", "camera.csv")
    assert code == 0 and "disparity px" in out and "Note: Without SHARP" in err
    assert (files / "camera.csv").read_text().startswith("pair,quantity,value,low,high,count\n")
    code, _, err = dualpix("calibrate", "left.png", "right.png", "-o", "camera.csv")
    assert code == 1 and "--overwrite" in err


def bad_files(folder: Path, scene: tuple[Tensor, Tensor, Tensor]) -> None:
    left, right, sharp = scene
    write(folder / "narrow.png", right[:, :, :-3])
    write(folder / "narrow_sharp.png", sharp[:, :-3])
    write(folder / "tiny_L.png", left[:, :100, :100])
    write(folder / "tiny_R.png", right[:, :100, :100])
    write(folder / "flat_L.png", torch.full((3, HEIGHT, WIDTH), 0.5))
    write(folder / "flat_R.png", torch.full((3, HEIGHT, WIDTH), 0.51))
    write(folder / "other.png", sharp.flip(2))
    write(folder / "lefts" / "a.png", left)
    write(folder / "rights" / "b.png", right)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["left.png", "narrow.png"], "differ in size"),
        (["left.png", "right.png", "narrow_sharp.png"], "the sharp picture is 288 x 189, the left view 288 x 192"),
        (["tiny_L.png", "tiny_R.png"], "is 100 x 100; calibration needs 160 px"),
        (["flat_L.png", "flat_R.png"], "too little texture"),
        (["right.png", "left.png"], "rho comes out negative, so the views look swapped"),
        (["left.png", "right.png", "other.png"], "does not fit the views"),
        (["left.png", "rights"], "Files and folders are mixed"),
        (["lefts", "rights"], "'a' is not in all of"),
        (["left.png", "none.png"], "does not exist"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_sentence(
    dualpix: Command, files: Path, scene: tuple[Tensor, Tensor, Tensor], words: list[str], says: str
) -> None:
    bad_files(files, scene)
    code, out, err = dualpix("calibrate", *words)
    assert (code, out) == (1, "") and says in err and err.count("\n") == 1


def test_views_that_look_swapped_are_measured_when_told(scene: tuple[Tensor, Tensor, Tensor]) -> None:
    left, right, _ = scene
    with pytest.raises(PairError, match="exchange LEFT and RIGHT"):
        measure(right, left)
    numbers, _ = measure(right, left, force=True)
    assert numbers["blur from views alone px"].value < 0


def test_large_pictures_are_cut_to_their_middle_rows(
    scene: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure(*scene[:2])[0]["disparity px"].count
    monkeypatch.setattr("dualpix.calibration.calibrate.MOST_PIXELS", WIDTH * 165)
    assert measure(*scene[:2])[0]["disparity px"].count == pytest.approx(whole * 3 / 4, abs=3)

"""Pairs whose disparity runs down the columns are turned for the work, and what is made of them turned back."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import dualpix
from dualpix.errors import PairError, RecipeError
from dualpix.inference.deblur import deblur, deblur_pair
from dualpix.io import read_picture
from dualpix.pairs import find_pairs, inspect_views, open_views
from dualpix.pairs.turning import TURNS, lay_along_rows, restore_orientation
from small_networks import tiny

DEMO = Path(dualpix.__file__).parent / "demo_pair"


def bundled(turns: int = 0, rows: int = 480) -> dict[str, torch.Tensor]:
    """The pair inside the package, 640 x 480 or its corner, its pixels turned counter-clockwise as a program that
    exports does."""
    views = {name: read_picture(DEMO / f"{name}.png").pixels[:, :rows, : rows * 4 // 3] for name in ("left", "right")}
    return {name: torch.rot90(view, turns, (1, 2)).contiguous() for name, view in views.items()}


def noisy(views: dict[str, torch.Tensor], sigma: float) -> dict[str, torch.Tensor]:
    dice = torch.Generator().manual_seed(0)
    noise = {name: sigma / 255 * torch.randn(view.shape, generator=dice) for name, view in views.items()}
    return {name: (view + noise[name]).clamp(0, 1) for name, view in views.items()}


@pytest.mark.parametrize("sigma", [0, 12, 25])
@pytest.mark.parametrize("turns", [0, 1, 3])
def test_quarter_turns_are_found_and_undone(turns: int, sigma: float) -> None:
    """Noise of 25 of 255 levels is beyond ISO 25,600 of a full frame."""
    views = noisy(bundled(turns), sigma)
    laid = lay_along_rows(views)
    assert laid["quarter_turns"] == (-turns) % 4
    assert laid["inspection"].odd == {} and laid["inspection"].order == "left, right"
    assert len(laid["notes"]) == (turns != 0)
    assert restore_orientation(laid["left"], laid).equal(views["left"])


def test_upside_down_is_asked_about_and_turned_when_told() -> None:
    views, lying = bundled(2), bundled()
    assert list(lay_along_rows(views)["inspection"].odd) == ["swapped"]
    laid = lay_along_rows(views, "half")
    assert laid["left"].equal(lying["left"]) and laid["right"].equal(lying["right"])


@pytest.mark.parametrize(("turn", "turns"), [("none", 0), ("left", 1), ("half", 2), ("right", 3)])
def test_what_the_user_says_is_done_and_nothing_compared(turn: str, turns: int) -> None:
    views = bundled()
    laid = lay_along_rows(views, turn)
    assert laid["quarter_turns"] == turns and "inspection" not in laid
    assert laid["left"].equal(torch.rot90(views["left"], turns, (1, 2)))
    with pytest.raises(RecipeError, match="There is no turn called 'lfet'"):
        lay_along_rows(views, "lfet")
    assert TURNS["auto"] is None


def test_which_way_is_asked_only_where_it_is_by_chance(defocused) -> None:
    left, right = (view.transpose(1, 2).contiguous() for view in defocused(-6, 0, 6))
    found = lay_along_rows({"left": left, "right": right})["inspection"]
    assert list(found.odd) == ["upright"] and "exchange the views" in found.odd["upright"]
    with pytest.raises(PairError, match="To say which way, give turn='left' or turn='right'"):
        deblur_pair({"left": left, "right": right}, tiny(), strict=True)
    assert found.order == "unknown"


def test_from_files_the_views_are_laid_and_exchanged_after_that(folder: Path) -> None:
    left, right = (tifffile.imread(f"deep_{side}.tif") for side in "LR")
    for side, view in (("L", left), ("R", right)):
        tifffile.imwrite(f"up_{side}.tif", np.rot90(view).copy())
    lying, laid = open_views("deep_L.tif", "deep_R.tif"), open_views("up_L.tif", "up_R.tif")
    assert laid["quarter_turns"] == 3 and laid["left"].equal(lying["left"])
    swapped = open_views("up_L.tif", "up_R.tif", swap=True)
    assert swapped["left"].equal(lying["right"]) and "inspection" not in swapped
    assert open_views("up_L.tif", "up_R.tif", turn="none")["quarter_turns"] == 0


@pytest.mark.parametrize("turns", [1, 3])
def test_the_sharp_picture_is_that_of_the_lying_pair(turns: int) -> None:
    """To the bit, from arrays; the command does the same from files."""
    upright, lying = bundled(turns, 240), bundled(rows=240)
    with pytest.warns(UserWarning, match="stands upright"):
        picture = deblur(upright["left"], upright["right"], tiny(), guard=False)
    expected = deblur_pair({**lying, "name": "lying"}, tiny(), guard=False).picture
    assert picture.equal(torch.rot90(expected, turns, (1, 2)))


def test_samples_of_any_data_are_turned_too_unless_told_otherwise() -> None:
    """So an upright set is evaluated like a lying one, with every picture of a sample; views that were read are not
    turned again."""
    lying = bundled(rows=240) | {"center": bundled(rows=240)["left"], "name": "pair"}
    upright = {name: torch.rot90(view, 1, (1, 2)) for name, view in lying.items() if isinstance(view, torch.Tensor)}
    network = tiny()
    expected = deblur_pair(lying, network).picture
    done = deblur_pair({**upright, "name": "pair"}, network)
    assert done.picture.equal(torch.rot90(expected, 1, (1, 2))) and "stands upright" in done.warnings[0]
    kept = deblur_pair({**upright, "name": "pair"}, network, turn="none")
    assert not kept.picture.equal(done.picture) and "along columns" in kept.warnings[0]
    assert lay_along_rows(upright)["center"].equal(lying["center"])


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0, 10])
def test_real_pairs_are_laid_right_whichever_way_they_are_turned(sigma: float) -> None:
    """Point DUALPIX_DPDD at a copy of the test split."""
    if "DUALPIX_DPDD" not in os.environ:
        pytest.skip("DUALPIX_DPDD does not say where DPDD is")
    for left, right in find_pairs(os.environ["DUALPIX_DPDD"]):
        pair = {"left": read_picture(left).pixels, "right": read_picture(right).pixels}
        for turns in (0, 1, 3):
            turned = {name: torch.rot90(view, turns, (1, 2)).contiguous() for name, view in pair.items()}
            laid = lay_along_rows(noisy(turned, sigma))
            assert laid["quarter_turns"] == (-turns) % 4 and laid["inspection"].odd == {}
        upside_down = [torch.rot90(view, 2, (1, 2)) for view in pair.values()]
        assert list(inspect_views(*upside_down).odd) == ["swapped"]

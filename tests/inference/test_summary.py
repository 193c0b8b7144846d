"""The line after a run: shares counted by hand, blur against the recipe, and what to do."""

from dataclasses import replace

import pytest
import torch

import dualpix
from dualpix.errors import PairError, as_flag, spelled_as
from dualpix.inference.comparison import compare
from dualpix.inference.deblur import deblur_pair
from dualpix.inference.summary import RunReport, summarise, trained_px
from dualpix.pairs.matching import Matches
from dualpix.weights import checkpoint
from small_networks import tiny


def matches(px: float, count: int = 20) -> Matches:
    across = torch.full((count,), px / 2)
    return Matches(across, 0 * across, across, across, 0 * across, count, count, 2)


def test_the_range_is_that_of_the_recipe_in_the_weights() -> None:
    card = checkpoint.read_card(checkpoint.DEFAULT_WEIGHTS)
    assert card["recipe"]["far_px"] == [4.0, 24.0]
    assert trained_px(card["recipe"]) == pytest.approx(9.6)
    assert trained_px({}) is trained_px({"far_px": "wide"}) is None


def test_changed_counts_blocks_beyond_the_noise() -> None:
    views = torch.full((3, 64, 160), 0.5)
    made = views.clone()
    made[:, :32, :80] += 0.02  # a quarter of the picture, by 5 levels
    made[:, 32:] += 0.004
    found = compare(made, [views])
    calm, noisy = (
        summarise(found, noise, matches(3.0), {}, (1,), scale="auto", tells_disparity=True) for noise in (0.0, 0.02)
    )
    assert (calm.changed, noisy.changed) == (0.25, 0.0)
    assert str(calm) == "Changed 25 % of the picture; the views lie up to 3.0 pixels apart."


@pytest.mark.parametrize(
    ("px", "scales", "scale", "tells", "end"),
    [
        (5.0, (1,), "auto", True, "5.0 pixels apart, and the weights were trained on up to 9.6."),
        (21.0, (3, 1), "auto", True, "that the weights were trained on, so 1/3 of the size was joined in."),
        (
            21.0,
            (1,),
            "1",
            True,
            "21.0 pixels apart, more than the 9.6 that the weights were trained on; give --scale auto.",
        ),
        (12.0, (1,), "auto", True, "; give --scale 1/2."),
        (21.0, (1,), "auto", False, "; reduce both views to 1/3 of their size first."),
    ],
)
def test_what_to_do_beyond_it(px: float, scales: tuple[int, ...], scale: str, tells: bool, end: str) -> None:
    found = compare(torch.zeros(3, 32, 32), [torch.zeros(3, 32, 32)])
    report = summarise(
        found, 0.0, matches(px), {"far_px": [4, 24]}, scales, scale=scale, tells_disparity=tells, mixed_in=0.0
    )
    with spelled_as(as_flag):
        assert str(report).endswith(end)
    assert bool(report.advice) == (px > 9.6 and scales == (1,))
    known = {"changed": 0.0, "disparity_px": px, "trained_px": 9.6, "mixed_in": 0.0}
    assert report.as_json() == known | {"skipped": None, "computed": None}


def test_what_was_left_out_is_said_first() -> None:
    report = RunReport(0.41, 5.2, 9.6, skipped=0.284, computed=0.8)
    assert str(report).startswith(
        "Left 28 % of the picture as it was taken, since it is sharp there, and changed 41 %; the"
    )


def test_too_few_blocks_say_so() -> None:
    report = RunReport(0.0004, None, 9.6)
    assert (
        str(report) == "Changed less than 0.1 % of the picture; too little detail to tell how far the views lie apart."
    )


def test_the_public_function_says_what_the_run_said() -> None:
    texture = torch.nn.functional.avg_pool2d(torch.rand(1, 3, 132, 204, generator=torch.manual_seed(0)), 5, 1)[0]
    left, right = texture[:, :, 4:].contiguous(), texture[:, :, :-4].contiguous()
    done = deblur_pair({"left": left, "right": right, "name": "made"}, tiny(), precision="fp32", guard=False)
    assert (
        done.report is not None
        and 0 < done.report.changed <= 1
        and done.report.disparity_px == pytest.approx(4, abs=0.1)
    )
    found = dualpix.report(left, right, done.picture, tiny())
    assert found == replace(done.report, mixed_in=None, skipped=None, computed=None)
    assert dualpix.report(left, right, done.picture).trained_px == pytest.approx(9.6)
    with pytest.raises(PairError, match="The result is 195 x 128, but the views are 196 x 128"):
        dualpix.report(left, right, done.picture[:, :, 1:], tiny())

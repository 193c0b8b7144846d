import pytest
import torch

from dualpix.inference.deblur import deblur_pair
from dualpix.pairs.brightness import match_brightness


@pytest.mark.parametrize("gain", [1.24, 2.0])
def test_the_darker_view_is_raised_to_the_other(defocused, gain: float) -> None:
    left, right = defocused(0, 6)
    a, b, told = match_brightness(left, right / gain)
    assert a.equal(left) and f"{gain:.2f}" in told and "left view is" in told
    torch.testing.assert_close(b.mean(), left.mean(), rtol=0.01, atol=0)
    b, a, told = match_brightness(right / gain, left)
    assert a.equal(left) and "right view is" in told
    assert b.max() <= 1


def test_clipped_places_do_not_count() -> None:
    """Where the brighter view is clipped it says only how much light there was at least."""
    dark = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    _, raised, _ = match_brightness((1.5 * dark).clamp(0, 1), dark)
    torch.testing.assert_close(raised, (1.5 * dark).clamp(0, 1), rtol=1e-3, atol=1e-3)


def test_views_about_as_bright_are_used_as_they_are(defocused) -> None:
    left, right = defocused(0, 6)
    a, b, told = match_brightness(left, right * 0.95)
    assert a is left and b.equal(right * 0.95) and told == ""
    black = torch.zeros_like(left)
    assert match_brightness(black, black)[2] == ""


def test_a_darker_view_is_matched_on_the_way_to_the_picture(folder, defocused) -> None:
    left, right = defocused(0, 6)
    done = deblur_pair({"left": left, "right": right / 1.24, "name": ""}, "w.safetensors", strict=True)
    raised = match_brightness(left, right / 1.24)[1]
    expected = deblur_pair({"left": left, "right": raised, "name": ""}, "w.safetensors")
    assert done.picture.equal(expected.picture) and expected.warnings == ()
    assert done.warnings == ("The left view is 1.24 times as bright as the other, which was brightened to match.",)

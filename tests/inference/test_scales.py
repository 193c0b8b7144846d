"""At which scales a pair is deblurred, and how they are joined."""

import pytest
import torch
import torch.nn.functional as F

from dualpix.errors import MachineError
from dualpix.inference import scales
from dualpix.inference.deblur import deblur_pair
from dualpix.pairs.matching import Matches
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, composite, render
from dualpix.simulation.sensor import Tone


def _matches(disparity_px: float, reduction: int = 4, count: int = 40) -> Matches:
    across = torch.full((count,), disparity_px / reduction)
    zero = torch.zeros(count)
    return Matches(across, zero, zero, zero, count, count, reduction)


@pytest.mark.parametrize(
    ("disparity_px", "steps"),
    [(9.4, (1,)), (16.0, (2, 1)), (-24.0, (3, 1)), (32.0, (4, 2, 1)), (500.0, (12, 6, 3, 1))],
)
def test_scales_are_chosen_by_the_disparity(disparity_px: float, steps: tuple[int, ...]) -> None:
    assert scales.choose(_matches(disparity_px), "auto", (4480, 6720)) == steps


def test_scales_leave_enough_of_a_small_picture_and_of_one_that_tells_nothing() -> None:
    assert scales.choose(_matches(500.0), "auto", (256, 256)) == (2, 1)
    assert scales.choose(_matches(500.0, count=3), "auto", (4480, 6720)) == (1,)


def test_scales_may_be_given_and_others_are_refused() -> None:
    assert scales.choose(_matches(0.0), "1/4", (64, 64)) == (4, 2, 1)
    assert scales.choose(_matches(500.0), "1", (4480, 6720)) == (1,)
    with pytest.raises(MachineError, match=r"There is no scale '1/5'; choose from: auto, 1, 1/2"):
        scales.choose(_matches(0.0), "1/5", (64, 64))


@pytest.mark.parametrize("by", [2, 3])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_rows_enlarged_apart_are_those_of_the_whole(by: int, mode: str) -> None:
    small = torch.rand(3, 31, 20)
    whole = F.interpolate(small[None], scale_factor=float(by), mode=mode)[0]
    for first, last in ((0, 7), (7, 50), (50, 31 * by)):
        part = scales.enlarge(small, by, first, last, 20 * by - 1, mode)
        torch.testing.assert_close(part, whole[:, first:last, :-1])


def test_joining_has_no_seam_and_takes_in_full_what_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    fine, mean, correction, share = (
        torch.rand(3, 90, 64),
        torch.rand(3, 90, 64),
        torch.rand(3, 45, 32),
        torch.rand(1, 45, 32),
    )
    whole = scales.join(fine.clone(), mean, correction, 2, share, 2)
    monkeypatch.setattr(scales, "ROWS", 13)
    torch.testing.assert_close(scales.join(fine.clone(), mean, correction, 2, share, 2), whole)
    assert torch.equal(scales.join(fine.clone(), mean, correction, 2, torch.ones(1, 45, 32), 2), fine)


def test_wide_blur_gains_from_a_smaller_scale_and_focus_keeps_its_pixels() -> None:
    torch.manual_seed(0)
    coarse = (
        F.interpolate(torch.rand(1, 3, 608 // by, 992 // by), (608, 992), mode="bilinear")[0] for by in (32, 16, 8)
    )
    far = torch.stack([*coarse]).mean(0)
    near = torch.rand(3, 608, 992) * 0.3 + 0.2
    alpha = torch.zeros(608, 992)
    alpha[:, :368] = 1
    layers = [Layer(far, torch.ones(608, 992), torch.full((608, 992), 60.0)), Layer(near, alpha, torch.zeros(608, 992))]
    views = render(layers, Lens(rho=0.42, split=0.3), 112)
    sharp, _ = composite(layers, 112)
    left, right, sharp = Tone().encode(torch.stack([*views, sharp]))
    sample = {"left": left, "right": right, "name": "wide"}
    one, several = (deblur_pair(sample, scale=scale, precision="fp32") for scale in ("1", "1/4"))
    assert one.plan.scales == (1,) and several.plan.scales == (4, 2, 1)

    def error(picture: torch.Tensor) -> float:
        return float((picture - sharp)[..., 330:740].square().mean())

    assert error(several.picture) < 0.9 * error(one.picture)
    kept = (several.picture - one.picture)[:, 64:-64, 64:180].square().mean().sqrt()
    assert float(kept) < 10 ** (-45 / 20)

"""Kernels against what is known of discs, ramps and half discs on paper, and against their own symmetries."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import j1
from torch import Tensor

from dualpix.simulation.kernels import Lens, kernels, pupil, reach_px

BLURS = (-30.0, -12.3, -4.0, -1.1, -0.3, 0.1, 0.5, 0.77, 2.0, 5.5, 9.25, 20.0, 30.0)

LENSES = {
    "ramp": Lens(rho=0.5),
    "weak ramp": Lens(rho=0.22),
    "half disc": Lens(rho=0.848, split=1.0),
    "saturating": Lens(rho=0.6, split=0.7),
    "bright rim": Lens(rho=0.4, rim=0.9, rim_order=6),
    "bright centre": Lens(rho=0.35, rim=-0.5, rim_order=1.5),
    "soft": Lens(rho=0.4, softness_px=0.6, softness_rel=0.1),
    "eight blades": Lens(rho=0.4, blades=8),
    "clipped above": Lens(rho=0.4, clip=(0.0, 0.4)),
}
"""Openings and splits that a mirror leaves as they are."""

OFF_AXIS = {
    "skewed": Lens(rho=0.3, split=0.5, skew=0.25),
    "clipped aside": Lens(rho=0.3, clip=(0.45, 0.2)),
    "seven blades": Lens(rho=0.4, blades=7),
    "one-sided": Lens(rho=0.5, side=0.4, uneven=(0.1, 0.1, -0.1)),
    "everything": Lens(0.3, 0.3, 2.0, 0.6, 0.5, 0.08, 6, -0.2, (-0.4, 0.1), 0.05),
}

each_lens = pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)
any_lens = pytest.mark.parametrize("lens", (LENSES | OFF_AXIS).values(), ids=LENSES | OFF_AXIS)


def centroid(kernel: Tensor) -> tuple[float, float]:
    """Mean x and y of a kernel, from its middle."""
    axis = torch.arange(kernel.shape[-1], dtype=torch.float64) - kernel.shape[-1] // 2
    return float((kernel.double().sum(0) * axis).sum()), float((kernel.double().sum(1) * axis).sum())


@any_lens
def test_kernels_are_shares_of_light(lens: Lens) -> None:
    for blur_px in (0.0, *BLURS):
        pair = kernels(lens, blur_px)
        assert pair.shape == (2, *2 * (2 * reach_px(lens, blur_px) + 1,))
        assert float(pair.min()) >= 0
        assert pair.double().sum((1, 2)).tolist() == pytest.approx([1, 1], abs=1e-6)


@each_lens
def test_each_view_mirrors_the_other(lens: Lens) -> None:
    for blur_px in BLURS:
        left, right = kernels(lens, blur_px)
        assert torch.allclose(right, left.flip(1), atol=1e-7), blur_px


@any_lens
def test_the_other_side_of_the_focal_plane_turns_kernels_round(lens: Lens) -> None:
    for blur_px in BLURS:
        assert torch.allclose(kernels(lens, -blur_px), kernels(lens, blur_px).flip(1, 2), atol=1e-7), blur_px


@each_lens
def test_the_other_side_of_the_focal_plane_exchanges_the_views(lens: Lens) -> None:
    if lens.clip != (0.0, 0.0):
        lens = Lens(rho=0.4)  # a pupil clipped above lands upside down, which is no exchange
    for blur_px in BLURS:
        assert torch.allclose(kernels(lens, -blur_px), kernels(lens, blur_px).flip(0), atol=1e-7), blur_px


def test_a_pupil_clipped_aside_is_mirrored_at_the_other_side_of_the_frame() -> None:
    here, there = (Lens(rho=0.3, skew=0.2 * x, clip=(0.4 * x, 0.1), softness_px=0.3) for x in (1, -1))
    for blur_px in BLURS:
        assert torch.allclose(kernels(there, blur_px), kernels(here, blur_px).flip(0).flip(2), atol=1e-6), blur_px


@any_lens
@pytest.mark.parametrize("blur_px", BLURS)
def test_disparity_is_rho_times_blur(lens: Lens, blur_px: float) -> None:
    (left_x, left_y), (right_x, right_y) = map(centroid, kernels(lens, blur_px))
    wanted = lens.rho * blur_px
    # Where the split is not symmetric the two normalisations shift both views a little.
    share = 0.01 if lens in LENSES.values() else 0.02
    assert right_x - left_x == pytest.approx(wanted, abs=max(0.01, share * abs(wanted)))
    if lens in LENSES.values():
        assert left_x + right_x == pytest.approx(0, abs=1e-4)
        assert left_y == pytest.approx(right_y, abs=1e-4)


def test_no_blur_is_no_change() -> None:
    left, right = kernels(Lens(rho=0.848, split=1.0), 0.0)
    assert torch.equal(left, right)
    assert int((left > 0).sum()) == 1
    assert float(left[left.shape[0] // 2, left.shape[1] // 2]) == 1


@pytest.mark.parametrize("blur_px", [2.0, 5.5, -9.25, 24.0])
def test_together_the_views_see_a_flat_disc(blur_px: float) -> None:
    both = kernels(Lens(rho=0.3), blur_px).mean(0).double()
    axis = torch.arange(len(both)) - len(both) // 2
    assert float((both.sum(1) * axis**2).sum()) == pytest.approx(blur_px**2 / 4, abs=0.2 + 0.005 * blur_px**2)
    radius = torch.hypot(axis[:, None].double(), axis[None].double())
    assert float(both[radius > abs(blur_px) + 1.5].sum()) == 0
    inside = both[radius < abs(blur_px) - 1.5]
    if inside.numel():
        assert inside.numpy() == pytest.approx(1 / (math.pi * blur_px**2), rel=0.12)
        assert float(inside.mean()) == pytest.approx(1 / (math.pi * blur_px**2), rel=0.01)


def test_the_spectrum_of_both_views_is_that_of_a_disc() -> None:
    blur_px, frequency = 7.0, np.arange(1, 13) / 128
    both = kernels(Lens(rho=0.5), blur_px).mean(0).double().numpy()
    axis = np.arange(len(both)) - len(both) // 2
    seen = np.array([(both.sum(0) * np.cos(2 * np.pi * f * axis)).sum() for f in frequency])
    disc = 2 * j1(2 * np.pi * frequency * blur_px) / (2 * np.pi * frequency * blur_px)
    assert seen == pytest.approx(disc * np.sinc(frequency) ** 2, abs=0.004)  # the splat is a triangle


def test_a_ramp_is_a_ramp_and_a_step_is_a_step() -> None:
    u, _, weight, g = pupil(Lens(rho=0.4))
    assert torch.allclose(g, 0.8 * u, atol=0.002)
    assert float(weight.sum()) == pytest.approx(1, abs=1e-5)
    u, _, _, g = pupil(Lens(rho=0.848, split=1.0))
    assert torch.allclose(g, u.sign(), atol=0.01)
    assert torch.allclose(pupil(Lens(rho=0.3, split=1.0))[3], 0.3 / (8 / (3 * math.pi)) * u.sign(), atol=0.002)


@pytest.mark.parametrize(
    ("lens", "most"),
    [
        (Lens(split=1.0), 8 / (3 * math.pi)),
        (Lens(), 8 / (3 * math.pi)),  # a ramp may grow steeper until it is a step
        (Lens(split=1.0, rim=1.0, rim_order=40.0), 4 / math.pi),  # nothing but the rim
        (Lens(split=1.0, blades=4), None),
        (Lens(split=1.0, rim=-0.6, rim_order=1.0), None),
        (Lens(split=1.0, clip=(0.0, 0.5)), None),
    ],
)
def test_rho_ends_where_the_pupil_ends(lens: Lens, most: float | None) -> None:
    u, _, weight, _ = pupil(replace(lens, rho=0.1))
    limit = float(2 * (weight * u.abs()).sum())  # a step, for whatever opening
    if most is not None:
        assert limit == pytest.approx(most, rel=0.01 if lens.rim == 0 else 0.03)
    x_left, x_right = (centroid(view)[0] for view in kernels(replace(lens, rho=limit * 0.985), 12.0))
    assert x_right - x_left == pytest.approx(12 * limit, rel=0.025)
    with pytest.raises(ValueError, match="is more than this pupil allows"):
        pupil(replace(lens, rho=limit * 1.01))


def test_rims_blades_and_clips_change_the_opening_as_told() -> None:
    u, w, flat, _ = pupil(Lens())
    radius = torch.hypot(u, w)
    rim, centre = (pupil(Lens(rim=rim, rho=0.3))[2] for rim in (0.8, -0.8))
    assert float(rim[radius > 0.95].mean()) > 3 * float(rim[radius < 0.3].mean())
    assert float(centre[radius > 0.95].mean()) < 0.5 * float(centre[radius < 0.3].mean())
    bladed, clipped = (len(pupil(lens)[0]) / len(flat) for lens in (Lens(blades=6), Lens(clip=(0.5, 0.0))))
    assert 6 / (2 * math.pi) * math.sin(math.pi / 3) < bladed < 1  # between the inscribed hexagon and the disc
    assert 0.6 < clipped < 0.95
    assert float(pupil(Lens(clip=(0.5, 0.0)))[0].mean()) > 0.05


def test_softness_adds_its_variance() -> None:
    def variance(lens: Lens) -> float:
        both = kernels(lens, 8.0).mean(0).double()
        axis = torch.arange(len(both)) - len(both) // 2
        return float((both.sum(1) * axis**2).sum())

    added = variance(Lens(softness_px=0.7, softness_rel=0.1)) - variance(Lens())
    assert added == pytest.approx(0.7**2 + 0.8**2, rel=0.03)


def test_a_wider_reach_only_adds_darkness() -> None:
    narrow, wide = kernels(Lens(), 3.0), kernels(Lens(), 3.0, 9)
    rest = 9 - narrow.shape[-1] // 2
    assert torch.equal(wide[:, rest:-rest, rest:-rest], narrow)
    assert float(wide.sum()) == pytest.approx(float(narrow.sum()))


@pytest.mark.parametrize("blur_px", BLURS)
def test_an_opening_off_the_centre_moves_both_views_alike(blur_px: float) -> None:
    lens = Lens(rho=0.4, decentre=-0.05)
    reach = reach_px(lens, blur_px)
    for moved, plain in zip(kernels(lens, blur_px), kernels(replace(lens, decentre=0.0), blur_px, reach), strict=True):
        assert centroid(moved)[0] - centroid(plain)[0] == pytest.approx(-0.05 * blur_px, abs=0.01)
        assert centroid(moved)[1] == pytest.approx(centroid(plain)[1], abs=1e-4)

"""What a disparity claims is compared with the photograph: rho comes out, and a strip called sharp does not pass."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.inference.reblurring import USUAL_RHO, reblur


def texture(height: int, width: int) -> Tensor:
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(3))
    return F.avg_pool2d(noise[None], 3, 1, 1)[0]


def disc(radius: float) -> Tensor:
    """By counting sub-pixels, unlike the package's own kernels."""
    fine = (torch.arange(41 * 8) + 0.5) / 8 - 20.5
    inside = (torch.hypot(fine[:, None], fine[None]) <= radius).float()
    counted = F.avg_pool2d(inside[None, None], 8)
    return counted / counted.sum()


def blurred(picture: Tensor, radius: float) -> Tensor:
    return F.conv2d(F.pad(picture[:, None], (20,) * 4, "reflect"), disc(radius))[:, 0]


@pytest.mark.parametrize(("rho", "disparity_px"), [(0.25, 1.5), (0.5, 3.0), (0.4, -2.4)])
def test_rho_is_that_of_the_photograph(rho: float, disparity_px: float) -> None:
    sharp = texture(96, 128)
    photograph = blurred(sharp, abs(disparity_px) / rho)
    found = reblur(sharp, photograph, torch.full((1, 48, 64), disparity_px), torch.ones(1, 48, 64))
    assert found.rho == pytest.approx(rho, rel=0.15)
    assert reblur(sharp, photograph, torch.full((1, 48, 64), disparity_px), torch.ones(1, 48, 64), 0.3).rho == 0.3


def test_nothing_out_of_focus_tells_no_rho() -> None:
    sharp = texture(64, 64)
    assert reblur(sharp, sharp, torch.zeros(1, 64, 64), torch.ones(1, 64, 64)).rho == USUAL_RHO


def test_what_is_called_sharp_but_is_not_is_not_trusted() -> None:
    sharp = texture(96, 160)
    photograph = torch.cat([sharp[..., :80], blurred(sharp, 6.0)[..., 80:]], 2)
    true = torch.zeros(1, 96, 160)
    true[..., 80:] = 2.4
    wrong = true.clone()
    wrong[..., 80:120] = 0  # a strip beside what is sharp
    found = reblur(sharp, photograph, true, torch.ones_like(true), 0.4)
    right, doubted = found.trust(true)[0, 20:-20], found.trust(wrong)[0, 20:-20]
    assert float(right[:, 10:70].min()) > 0.9 and float(right[:, 92:150].mean()) > 0.9
    assert float(doubted[:, 90:110].max()) < 0.1

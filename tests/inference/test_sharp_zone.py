"""What is in focus is found, and nothing blurred is taken for it; what is kept is the photograph, bit for bit."""

from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dualpix.inference.sharp_zone import BLOCK_PX, Zone, find_zone
from dualpix.pairs.sample import mean_view
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, render


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Coloured detail of a few pixels, 3 H W."""
    noise = torch.rand(1, 3, height + 4, width + 4, generator=torch.Generator().manual_seed(seed))
    return (2 * functional.avg_pool2d(noise, 5, 1)[0] - 0.5).clamp(0, 1)


@cache
def half_blurred(blur_px: float, noise: float = 0.0, turned: bool = False) -> tuple[Tensor, Tensor]:
    """A pair by the renderer whose right half, or lower one if `turned`, is blurred by so many pixels of radius."""
    margin = 16
    light = texture(256 + 2 * margin, 384 + 2 * margin) ** 2.2
    cover = torch.zeros(light.shape[1:])
    cover[: cover.shape[0] // 2 if turned else None, : None if turned else cover.shape[1] // 2] = 1
    behind = Layer(light, torch.ones_like(cover), torch.full_like(cover, blur_px))
    views = render([behind, Layer(light, cover, torch.zeros_like(cover))], Lens(), margin).clamp(0, 1) ** (1 / 2.2)
    views += noise * torch.randn(views.shape, generator=torch.Generator().manual_seed(1))
    return views[0].clamp(0, 1), views[1].clamp(0, 1)


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("blur_px", [3.0, 10.0])
def test_the_blurred_half_is_made_anew_and_the_sharp_one_kept(blur_px: float, noise: float) -> None:
    share = find_zone(*half_blurred(blur_px, noise), noise).share[0]
    assert (share[:, 12:] == 1).all()
    assert (share[:, :7] == 0).all()


def test_noise_alone_is_no_blur() -> None:
    flat = torch.full((3, 160, 160), 0.4)
    noisy = [flat + 0.02 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(n)) for n in (1, 2)]
    luminance_noise = 0.02 * (0.299**2 + 0.587**2 + 0.114**2) ** 0.5
    assert not find_zone(noisy[0], noisy[1], luminance_noise).needed.any()


def test_an_edge_along_the_rows_tells_nothing_and_counts_as_blurred() -> None:
    ramp = ((torch.arange(320.0) - 160) / 40).clamp(-0.5, 0.5) + 0.5
    view = ramp[None, :, None].expand(3, 320, 320).contiguous()
    share = find_zone(view, view, 0.0).share[0]
    assert (share[9:11] == 1).all() and not share[:4].any() and not share[16:].any()


def test_what_is_kept_is_the_photograph_and_the_rest_the_result_bit_for_bit() -> None:
    left, right = half_blurred(6.0)
    zone = find_zone(left, right, 0.0)
    made = texture(256, 384, seed=5)
    picture = made.clone()
    kept = zone.restore(picture, left, right)
    share = functional.interpolate(zone.share[None], scale_factor=BLOCK_PX, mode="bilinear")[0, 0]
    assert torch.equal(picture[:, share == 0], mean_view(left, right)[:, share == 0])
    assert torch.equal(picture[:, share == 1], made[:, share == 1])
    assert kept == pytest.approx(float((share == 0).float().mean())) and 0.3 < kept < 0.5


def test_sides_need_not_divide() -> None:
    left, right = (view[:, :187, :205] for view in half_blurred(6.0))
    zone = find_zone(left, right, 0.0)
    assert zone.share.shape == (1, 12, 13) and zone.size == (187, 205)
    assert 0 < zone.restore(torch.zeros(3, 187, 205), left, right) < 1


def test_nothing_is_restored_where_all_is_needed() -> None:
    picture = torch.zeros(3, 32, 32)
    assert Zone(torch.ones(1, 2, 2), (32, 32)).restore(picture, picture + 1, picture + 1) == 0
    assert not picture.any()

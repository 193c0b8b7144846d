import pytest
import torch

from dualpix.pairs.matching import match_blocks, noise_of


@pytest.mark.parametrize(("across", "down"), [(0, 0), (3, 0), (-5, 2), (0, -4), (7, 7)])
def test_a_whole_shift_is_found(defocused, across: int, down: int) -> None:
    left, _ = defocused(0)
    matches = match_blocks(left, left.roll((down, across), (1, 2)))
    assert matches.reduction == 1 and matches.found > 0.8 * matches.textured > 30
    torch.testing.assert_close(matches.across.median(), torch.tensor(float(across)), atol=0.15, rtol=0.05)
    torch.testing.assert_close(matches.down.median(), torch.tensor(float(down)), atol=0.15, rtol=0.05)


@pytest.mark.parametrize("deviation", [0.0, 0.003, 0.02])
def test_noise_is_measured_beside_detail(defocused, deviation: float) -> None:
    """Of one channel's deviation, where all three have the same noise."""
    view = defocused(8.0)[0]
    noise = torch.randn(view.shape[1:], generator=torch.Generator().manual_seed(0))
    assert noise_of(view + deviation * noise) == pytest.approx(deviation, rel=0.1, abs=5e-4)
    assert noise_of(torch.zeros(3, 20, 30)) == 0


@pytest.mark.parametrize("blur_px", [2.0, 4.0, 8.0, -4.0, -8.0])
def test_disparity_follows_the_signed_blur(defocused, blur_px: float) -> None:
    """A ramp over a disc moves its centre by a quarter of the radius each way: d = c / 2."""
    matches = match_blocks(*defocused(blur_px))
    assert float(matches.across.median()) == pytest.approx(blur_px / 2, rel=0.25)
    assert float(matches.down.abs().median()) < 0.2


def test_large_pictures_are_reduced_and_say_so(defocused) -> None:
    left, right = (view.repeat_interleave(5, 1).repeat_interleave(5, 2) for view in defocused(3.0))
    matches = match_blocks(left, right)
    assert matches.reduction == 2
    assert float(matches.across.median()) * matches.reduction == pytest.approx(5 * 1.5, rel=0.25)


def test_straight_edges_are_found_but_not_trusted() -> None:
    """Along a straight edge a shift cannot be told."""
    bars = (torch.arange(256) // 20 % 2).float().expand(3, 256, 256)
    matches = match_blocks(bars, bars.roll(2, 2))
    assert matches.found > 0 and len(matches.across) == 0


@pytest.mark.parametrize("size", [(16, 16), (63, 200), (64, 64)])
def test_small_and_flat_pictures_have_nothing_to_match(size: tuple[int, int]) -> None:
    matches = match_blocks(torch.full((3, *size), 0.3), torch.full((3, *size), 0.3))
    assert (matches.textured, matches.found, len(matches.across), len(matches.down)) == (0, 0, 0, 0)

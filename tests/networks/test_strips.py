"""Strips: part by part, the same as at once; and never more rows than the strip and its reach."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.mccnet_fast import MCCNetFast
from dualpix.networks.strips import in_strips


@torch.no_grad()
@pytest.mark.parametrize("units", [1, 5, 8, 13])
@pytest.mark.parametrize("length", [1, 3, 8])
def test_strips_give_what_the_whole_gives(units: int, length: int) -> None:
    """With inputs and results of two scales each, and zero padding at the picture's own edges only."""
    torch.manual_seed(0)
    fine, coarse = torch.rand(2, 3, 4 * units, 6), torch.rand(2, 3, 2 * units, 3)
    convolve = nn.Conv2d(3, 5, 5, padding=2)  # reaches 2 rows
    heights: list[int] = []

    def stage(fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        heights.append(fine.shape[2])
        joined = convolve(fine + F.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(joined[:, :4], 2), F.avg_pool2d(joined, 4)

    results = in_strips(stage, (fine, coarse), units, 1, length)
    assert max(heights) <= 4 * (length + 2) and len(heights) == -(-units // length)
    whole = in_strips(stage, (fine, coarse), units, 1, None)
    assert [result.shape for result in results] == [(2, 1, 8 * units, 12), (2, 5, units, 1)]
    for result, expected in zip(results, whole, strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("strip_rows", "depths"), [(16, (1, 2, 1, 1, 1, 2, 2)), (40, (2, 3, 1, 1, 1, 1, 4)), (7, ())])
@pytest.mark.parametrize("width", [None, 42])
def test_a_network_in_strips_is_the_same_network(strip_rows: int, depths: tuple[int, ...], width: int | None) -> None:
    torch.manual_seed(1)
    network = MCCNetFast(**({"depths": depths} if depths else {}), max_disparity=3)  # type: ignore[arg-type]
    for parameter in network.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.03)
    left, right = torch.rand(2, 1, 3, 112, 48)
    whole = network.correction(left, right, width)
    network.strip_rows = strip_rows
    torch.testing.assert_close(network.correction(left, right, width), whole, rtol=0, atol=1e-6)
    assert whole.abs().max() > 1e-3

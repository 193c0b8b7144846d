"""The pieces that work in place, against the plain operations."""

import pytest
import torch
from torch.nn import functional as F

from dualpix.networks.layers.correlation import correlate_rows
from dualpix.networks.layers.in_place import Normed, Window, halved, picture_of


@torch.no_grad()
@pytest.mark.parametrize(
    ("full_width", "width", "reach"), [(1, 1, 0), (16, 16, 8), (37, 37, 5), (64, 50, 8), (40, 1, 7), (31, 31, 100)]
)
def test_the_window_gathers_what_the_correlation_gathers(full_width: int, width: int, reach: int) -> None:
    torch.manual_seed(full_width)
    maps = torch.randn(3, 4, full_width, 6)  # query, key and value of 4 rows
    window = Window(full_width, width, reach, maps)
    padded = [window.empty(4, 6) for _ in maps]
    for held, inner in zip(padded, maps, strict=True):
        window.inner(held).copy_(inner)
    query, key, value = padded
    found = window.gather(query, key, value, 0.7)[:, :full_width]
    wanted = correlate_rows(*map(picture_of, maps), reach, width, 0.7)
    torch.testing.assert_close(picture_of(found), wanted)


@torch.no_grad()
@pytest.mark.parametrize("height", [1, 2, 16, 17, 50])
def test_normed_strips_are_what_a_convolution_sees(height: int) -> None:
    torch.manual_seed(height)
    maps, weight, bias = torch.randn(height, 7, 5), torch.randn(5), torch.randn(5)
    wanted = F.pad(F.layer_norm(maps, (5,), weight, bias, 1e-6), (0, 0, 0, 0, 1, 1))
    rows = 0
    for first, last, normed in Normed(weight, bias).strips(maps):
        torch.testing.assert_close(normed, wanted[first : last + 2])
        maps[first:last] = torch.nan  # changed in place: no later strip may look at these again
        rows += last - first
    assert rows == height


@torch.no_grad()
def test_halved_is_average_pooling() -> None:
    maps = torch.randn(6, 10, 3)
    torch.testing.assert_close(picture_of(halved(maps)), F.avg_pool2d(picture_of(maps), 2))

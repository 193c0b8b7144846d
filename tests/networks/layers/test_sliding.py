"""Maps of which a few rows exist at a time, against the plain layers."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.layers.blocks import Merge, Upsampling
from dualpix.networks.layers.in_place import picture_of
from dualpix.networks.layers.sliding import Rows, convolved, merged, pooled


def rows_of(maps: Tensor, step: int) -> Rows:
    return Rows(len(maps), step, lambda first, last: maps[first:last])


def all_rows(rows: Rows, step: int) -> Tensor:
    read = rows.reader()
    return torch.cat([read(at, min(at + step, rows.height)) for at in range(0, rows.height, step)])


@pytest.mark.parametrize("whole_steps", [False, True])
@pytest.mark.parametrize("reach", [0, 2, 30])
def test_readers_see_the_rows_around(reach: int, whole_steps: bool) -> None:
    maps = torch.rand(23, 3, 2)
    wanted = F.pad(maps, (0, 0, 0, 0, reach, reach))
    for step in (1, 4, 50):
        read = Rows(23, 5, lambda first, last: maps[first:last], whole_steps).reader(reach)
        for first in range(0, 23, step):
            last = min(first + step, 23)
            assert torch.equal(read(first, last), wanted[first : last + 2 * reach])


def test_every_row_is_made_once_and_kept_for_the_slowest_reader() -> None:
    maps, made = torch.rand(40, 3, 2), []

    def make(first: int, last: int) -> Tensor:
        made.extend(range(first, last))
        return maps[first:last].clone()

    rows = Rows(40, 4, make)
    ahead, behind = rows.reader(1), rows.reader(2)
    for first in range(0, 40, 4):
        ahead(first, first + 4)
        if first >= 12:
            assert torch.equal(behind(first - 12, first - 8)[2:-2], maps[first - 12 : first - 8])
        assert sum(len(strip) for _, strip in rows._strips) <= 12 + 4 + 2 + 4
    assert made == list(range(40))


@torch.no_grad()
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("height", [1, 2, 13])
def test_convolutions_and_pools_are_the_plain_ones(kernel: int, height: int) -> None:
    layer = nn.Conv2d(3, 5, kernel, padding=kernel // 2)
    maps = torch.randn(2 * height, 6, 3)
    wanted = F.leaky_relu(layer(picture_of(maps)), 0.3)
    for step in (1, 3, 8):
        found = convolved(rows_of(maps, step), layer, 0.3)
        torch.testing.assert_close(picture_of(all_rows(found, step)), wanted)
        small = pooled(rows_of(maps, step), rows_of(2 * maps, step))
        wanted_small = F.max_pool2d(picture_of(maps), 2)
        both = torch.cat([wanted_small, 2 * wanted_small], 1)
        torch.testing.assert_close(picture_of(all_rows(small, step)), both)


@torch.no_grad()
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("doublings", [(0, 1, 2), (-1, 0, 1), (-2, -1, 0), (1, 0, 0)])
def test_merged_is_what_merge_makes(doublings: tuple[int, ...], mode: Upsampling) -> None:
    merge = Merge((2, 3, 4), 5, doublings, mode)
    maps = [
        torch.randn(int(12 / 2**double), int(8 / 2**double), channels)
        for channels, double in zip(merge.channels, doublings, strict=True)
    ]
    wanted = merge([picture_of(part) for part in maps])
    for step in (1, 3, 5, 50):
        found = merged(merge, [rows_of(part, step) for part in maps])
        torch.testing.assert_close(picture_of(all_rows(found, step)), wanted)

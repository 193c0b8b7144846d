"""The shared layers against their plain definitions."""

from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from dualpix.networks.layers.blocks import Merge, Upsampling, upsample


@pytest.mark.parametrize("mode", get_args(Upsampling))
def test_merge_is_a_1x1_convolution_of_the_resized_and_concatenated_maps(mode: Upsampling) -> None:
    torch.manual_seed(0)
    maps = [torch.randn(2, channels, 24 // 2**scale, 40 // 2**scale) for scale, channels in enumerate((3, 5, 4, 2))]
    merge = Merge((3, 5, 4, 2), 6, (-1, 0, 1, 2), mode)
    plain = [F.avg_pool2d(maps[0], 2), maps[1], *(F.interpolate(m, size=(12, 20), mode=mode) for m in maps[2:])]
    torch.testing.assert_close(merge(maps), F.conv2d(torch.cat(plain, 1), merge.weight, merge.bias))


def test_up_sampling_takes_pixels_as_areas() -> None:
    ramp = torch.tensor([0.0, 4.0]).expand(1, 1, 2, 2)
    assert upsample(ramp, 2, "bilinear")[0, 0, 0].tolist() == [0, 1, 3, 4]
    assert upsample(ramp, 2, "nearest")[0, 0, 0].tolist() == [0, 0, 4, 4]

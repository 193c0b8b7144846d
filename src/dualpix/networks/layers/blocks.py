"""Layers that several networks share."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Upsampling = Literal["bilinear", "nearest"]


def convolution(channels_in: int, channels_out: int, kernel: int) -> nn.Conv2d:
    """A convolution with bias, stride 1 and as many zeros around as keep the size."""
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)


def leaky_pair(channels: tuple[int, int, int], kernels: tuple[int, int] = (3, 3), slope: float = 0.2) -> nn.Sequential:
    """Conv-LeakyReLU-Conv-LeakyReLU."""
    steps: list[nn.Module] = []
    for (wide_in, wide_out), kernel in zip(pairwise(channels), kernels, strict=True):
        steps += [convolution(wide_in, wide_out, kernel), nn.LeakyReLU(slope, inplace=True)]
    return nn.Sequential(*steps)


def upsample(maps: Tensor, factor: int, mode: Upsampling) -> Tensor:
    """B C H W -> B C fH fW; bilinear takes pixels as areas (corners not aligned)."""
    return F.interpolate(maps, scale_factor=factor, mode=mode, align_corners=False if mode == "bilinear" else None)


class Merge(nn.Conv2d):
    """Bring maps of several scales to one scale, concatenate them and convolve 1 x 1.

    A 1 x 1 convolution of a concatenation is the sum of 1 x 1 convolutions of its parts, and commutes with
    up-sampling. So each map is convolved at its own scale, then up-sampled, then added: the same result without the
    many-channelled tensor at the large scale. Maps to be reduced are averaged over squares first.
    """

    def __init__(
        self, channels: Sequence[int], channels_out: int, doublings: Sequence[int], mode: Upsampling = "bilinear"
    ) -> None:
        """Build the layer.

        Args:
            channels: Of each map.
            channels_out: Of the result.
            doublings: How often the size of each map has to be doubled; negative for halvings.
            mode: How maps are enlarged.
        """
        super().__init__(sum(channels), channels_out, 1)
        self.channels, self.doublings, self.mode = list(channels), tuple(doublings), mode

    def forward(self, maps: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """Maps B C_i H_i W_i -> B channels_out H W."""
        merged: Tensor | None = None
        weights = torch.split(self.weight, self.channels, dim=1)
        for part, weight, doublings in zip(maps, weights, self.doublings, strict=True):
            reduced = F.avg_pool2d(part, 2**-doublings) if doublings < 0 else part
            small = F.conv2d(reduced, weight, self.bias if merged is None else None)
            sized = upsample(small, 2**doublings, self.mode) if doublings > 0 else small
            merged = sized if merged is None else merged.add_(sized)
        assert merged is not None
        return merged


def he_initialise(network: nn.Module, slope: float) -> None:
    """Draw every convolution as He et al. (ICCV 2015) do for leaky units of this slope; biases zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=slope)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

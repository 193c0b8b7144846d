"""Restormer, as its authors set it up for dual-pixel pairs: a transformer whose attention is between channels.

S. W. Zamir, A. Arora, S. Khan, M. Hayat, F. S. Khan, M.-H. Yang, "Restormer: Efficient Transformer for High-Resolution
Image Restoration", CVPR 2022.

| paper                                        | here               |
|----------------------------------------------|--------------------|
| 3, Fig. 2: encoder, decoder, refinement      | `Restormer`        |
| 3.1, multi-Dconv head transposed attention   | `ChannelAttention` |
| 3.2, gated-Dconv feed-forward network        | `GatedForward`     |

Each channel is compared with each other over the whole picture, so the cost is linear in the number of pixels, and
every output pixel depends on all of the picture: `receptive_radius_px` is None, and it cannot be cut into bands.

26,132,548 parameters; 141.38 G multiply-adds of convolutions at 256 x 256 (published: 141 G) and 4059.08 G at
1120 x 1680, where attention adds 398.84 G.

Training, after the paper: mean absolute error between output and sharp picture, and nothing else.

What differs with two views from the paper's network for one: both enter as six channels, and the output is not added to
the input; instead the embedding of the input is projected and added before the last convolution.

As in the authors' settings, no convolution has a bias, and the normalisation has one. Their augmentation also turns the
views by quarters and mirrors them without exchanging them; `pairs.flips` does not.

Letters: B batch, C channels, H W the picture's size.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.arguments import Channels, Depth
from dualpix.networks.spec import NetworkSpec


class Restormer(nn.Module):
    """Left and right view, each B 3 H W in [0, 1] -> the sharp picture, B 3 H W, not clipped.

    channels: at full size; doubled with each halving. blocks: at full size, 1/2, 1/4 and 1/8; the decoder mirrors them.
    refinement: blocks after the decoder. heads: of the attention at each size. expansion: of the feed-forward networks.
    """

    spec = NetworkSpec(views=("left", "right"), size_multiple=8)

    def __init__(
        self,
        *,
        channels: Channels = 48,
        blocks: tuple[Depth, Depth, Depth, Depth] = (4, 6, 6, 8),
        refinement: Depth = 4,
        heads: tuple[Channels, Channels, Channels, Channels] = (1, 2, 4, 8),
        expansion: Annotated[float, Field(ge=0.5, le=16)] = 2.66,
    ) -> None:
        super().__init__()
        full, half, quarter, deepest = widths = tuple(channels * 2**level for level in range(4))
        if channels % 2 or any(width % count for width, count in zip(widths, heads, strict=True)):
            raise ValueError(f"channels must be even, and {widths} must divide by heads={heads}")

        def transform(width: int, level: int, depth: int | None = None) -> nn.Sequential:
            depth = blocks[level] if depth is None else depth
            return nn.Sequential(*(TransformerBlock(width, heads[level], expansion) for _ in range(depth)))

        self.embed = bare(6, full, 3)
        self.encode_full = transform(full, 0)
        self.to_half = nn.Sequential(bare(full, full // 2, 3), nn.PixelUnshuffle(2))
        self.encode_half = transform(half, 1)
        self.to_quarter = nn.Sequential(bare(half, half // 2, 3), nn.PixelUnshuffle(2))
        self.encode_quarter = transform(quarter, 2)
        self.to_deepest = nn.Sequential(bare(quarter, quarter // 2, 3), nn.PixelUnshuffle(2))
        self.deepest = transform(deepest, 3)
        self.up_quarter = nn.Sequential(bare(deepest, 2 * deepest, 3), nn.PixelShuffle(2))
        self.reduce_quarter = bare(2 * quarter, quarter, 1)
        self.decode_quarter = transform(quarter, 2)
        self.up_half = nn.Sequential(bare(quarter, 2 * quarter, 3), nn.PixelShuffle(2))
        self.reduce_half = bare(2 * half, half, 1)
        self.decode_half = transform(half, 1)
        self.up_full = nn.Sequential(bare(half, 2 * half, 3), nn.PixelShuffle(2))
        self.decode_full = transform(2 * full, 0)  # The skip is concatenated here and not reduced.
        self.refine = transform(2 * full, 0, refinement)
        self.skip = bare(full, 2 * full, 1)
        self.head = bare(2 * full, 3, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Both views, B 3 H W each in [0, 1] -> the sharp picture, B 3 H W."""
        embedded = self.embed(torch.cat([left, right], 1))  # B C H W
        full = self.encode_full(embedded)
        half = self.encode_half(self.to_half(full))  # B 2C H/2 W/2
        quarter = self.encode_quarter(self.to_quarter(half))  # B 4C H/4 W/4
        deep = self.deepest(self.to_deepest(quarter))  # B 8C H/8 W/8
        deep = self.reduce_quarter(torch.cat([self.up_quarter(deep), quarter], 1))
        deep = self.decode_quarter(deep)
        deep = self.reduce_half(torch.cat([self.up_half(deep), half], 1))
        deep = self.decode_half(deep)
        deep = self.decode_full(torch.cat([self.up_full(deep), full], 1))  # B 2C H W
        painted: Tensor = self.head(self.refine(deep) + self.skip(embedded))
        return painted


class TransformerBlock(nn.Module):
    """Attention and a feed-forward network, each of the normalised maps and added to them."""

    def __init__(self, channels: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm_attend, self.norm_forward = ChannelNorm(channels), ChannelNorm(channels)
        self.attend = ChannelAttention(channels, heads)
        self.feed = GatedForward(channels, int(channels * expansion))

    def forward(self, maps: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        maps = maps + self.attend(self.norm_attend(maps))
        fed: Tensor = maps + self.feed(self.norm_forward(maps))
        return fed


class ChannelAttention(nn.Module):
    """3.1: every channel gathers from the channels of its head what resembles it over the whole picture."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.project = bare(channels, 3 * channels, 1)
        self.spread = depthwise(3 * channels)
        self.out = bare(channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        queries, keys, values = (
            part.reshape(len(maps), self.heads, -1, maps.shape[-2] * maps.shape[-1])  # B heads C/heads H*W
            for part in self.spread(self.project(maps)).chunk(3, 1)
        )
        likeness = F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).transpose(-1, -2) * self.temperature
        gathered = likeness.softmax(-1) @ values
        attended: Tensor = self.out(gathered.reshape(maps.shape))
        return attended

    def attention_macs(self, maps: Tensor) -> int:
        """Multiply-adds of comparing the channels of each head and of gathering them."""
        return 2 * maps.numel() * (maps.shape[1] // self.heads)


class GatedForward(nn.Module):
    """3.2: twice the inner channels, one half gating the other."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.widen, self.spread = bare(channels, 2 * inner, 1), depthwise(2 * inner)
        self.out = bare(inner, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        gate, value = self.spread(self.widen(maps)).chunk(2, 1)
        fed: Tensor = self.out(F.gelu(gate) * value)
        return fed


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        pixels = F.layer_norm(maps.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-5)
        return pixels.permute(0, 3, 1, 2)


def bare(channels: int, channels_out: int, kernel: int) -> nn.Conv2d:
    """A convolution without bias that keeps the size."""
    return nn.Conv2d(channels, channels_out, kernel, padding=kernel // 2, bias=False)


def depthwise(channels: int) -> nn.Conv2d:
    """A 3 x 3 convolution of each channel by itself, without bias."""
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)

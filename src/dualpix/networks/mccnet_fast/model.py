"""MCCNet-fast: MCCNet's ideas (siamese encoder, correlation along rows at two scales, multi-scale fusion) at half size.

Not from the paper; made for two CPU cores. What differs from `mccnet`, and why:

* The views are taken apart 2 x 2 into channels (pixel-unshuffle), so the finest features live at half size: a full-size
  convolution on few channels spends most of its time on moving memory.
* Blocks are normalised, gated and residual (after NAFNet, Chen et al., ECCV 2022, and ConvNeXt, Liu et al., CVPR 2022),
  which an un-normalised UNet is not, so it learns with a ten times larger rate. The mixing is a dense 3x3 convolution:
  on CPUs it reaches near the peak rate, where depthwise convolutions stay far below.
* Correlation looks at a window of `max_disparity` columns, not at the whole row: training crops and photographs then
  look alike to the softmax, and the cost is linear in the width.
* Correlated features go on into the deeper levels too, so that the fused trunk sees disparity as well as the decoder.
* The output is a correction of the mean of the two views. Its features are normalised and its scale is small: without
  that, a single step of Adam on the last layer changes the picture visibly, and training does not start (measured).

Shapes: B batch, C channels, H W the picture's size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.arguments import Channels, Depth, Disparity
from dualpix.networks.layers.correlation import correlate_rows, log_attention
from dualpix.networks.spec import NetworkSpec

STRIDE = 0.1  # the picture's change for one unit of the head's output


class MCCNetFast(nn.Module):
    """Left and right view, B 3 H W in [0, 1] -> sharp picture B 3 H W.

    widths: channels at 1/2, 1/4, 1/8 and 1/16 of the size.
    depths: blocks at 1/2 and 1/4 in the encoder, at 1/8 before the bottom, at 1/16, and at 1/8, 1/4, 1/2 after it.
    max_disparity: half-width of the correlation window in columns of each scale's own features.
    """

    def __init__(
        self,
        *,
        widths: tuple[Channels, Channels, Channels, Channels] = (40, 80, 160, 192),
        depths: tuple[Depth, Depth, Depth, Depth, Depth, Depth, Depth] = (1, 2, 3, 3, 2, 2, 2),
        max_disparity: Disparity = 8,
    ) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.stem = nn.Conv2d(12, half, 3, padding=1)
        self.encode_half = blocks(half, depths[0])
        self.to_quarter = nn.Conv2d(half, quarter, 2, stride=2)
        self.encode_quarter = blocks(quarter, depths[1])
        self.correlate_half = Correlation(half, max_disparity)
        self.correlate_quarter = Correlation(quarter, max_disparity)
        self.fuse_half = Fusion(2 * half, 2 * quarter, half)
        self.fuse_quarter = Fusion(2 * quarter, 2 * half, quarter)
        self.to_eighth = nn.Conv2d(2 * quarter, eighth, 2, stride=2)
        self.encode_eighth = blocks(eighth, depths[2])
        self.to_sixteenth = nn.Conv2d(eighth, sixteenth, 2, stride=2)
        self.bottom = blocks(sixteenth, depths[3])
        self.up_eighth = Up(sixteenth, eighth)
        self.decode_eighth = blocks(eighth, depths[4])
        self.up_quarter = Up(eighth, quarter)
        self.decode_quarter = blocks(quarter, depths[5])
        self.up_half = Up(quarter, half)
        self.decode_half = blocks(half, depths[6])
        self.head_norm = Norm(half)
        self.head = nn.Conv2d(half, 12, 3, padding=1)
        self.depths = depths
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.spec = NetworkSpec(
            views=("left", "right"),
            size_multiple=16,
            receptive_radius_px=self._receptive_radius_px(),
            tells_correction=True,
            residual=True,
            takes_width=True,
            attention_radius_px=self._attention_radius_px(),
            receptive_columns_px=self._receptive_radius_px() + 4 * max_disparity,
        )

    def _receptive_radius_px(self) -> int:
        """Rows above and below that an output pixel may depend on: every 3x3 convolution adds one row of its scale."""
        d = self.depths
        half, quarter, eighth, sixteenth = 2 + d[0] + d[6], d[1] + d[5], d[2] + d[4], d[3]
        return 2 * half + 4 * quarter + 8 * eighth + 16 * sixteenth + 2 * 16

    def _attention_radius_px(self) -> int:
        """Rows above and below that `log_attention` of a row may depend on: those of the stem and its blocks."""
        return 2 * (1 + self.depths[0])

    def forward(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        """`width`: number of valid columns, if the rest is padding that no correlation may look at."""
        return (left + right) / 2 + self.correction(left, right, width)

    def correction(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        """What is added to the mean of the views, B 3 H W; apart, so that low precision need not round the picture."""
        half_width, quarter_width = (None if width is None else (width + scale - 1) // scale for scale in (2, 4))
        views = torch.cat([left, right])  # 2B 3 H W
        half = self.encode_half(self.stem(F.pixel_unshuffle(views, 2)))  # 2B C H/2 W/2
        quarter = self.encode_quarter(self.to_quarter(half))  # 2B C H/4 W/4
        half = self.correlate_half(half, half_width)  # B 2C H/2 W/2
        quarter = self.correlate_quarter(quarter, quarter_width)  # B 2C H/4 W/4
        skip_half = self.fuse_half.here(half) + F.interpolate(self.fuse_half.there(quarter), scale_factor=2.0)
        skip_quarter = self.fuse_quarter.here(quarter) + self.fuse_quarter.there(F.avg_pool2d(half, 2))
        eighth = self.encode_eighth(self.to_eighth(quarter))
        deep = self.bottom(self.to_sixteenth(eighth))
        deep = self.decode_eighth(self.up_eighth(deep, eighth))
        deep = self.decode_quarter(self.up_quarter(deep, skip_quarter))
        deep = self.decode_half(self.up_half(deep, skip_half))
        return STRIDE * F.pixel_shuffle(self.head(self.head_norm(deep)), 2)

    def log_attention(self, left: Tensor, right: Tensor, reach_px: int, width: int | None = None) -> Tensor:
        """Return the logarithms of the finest correlation's attention, as `correlation.log_attention` gives them.

        Args:
            left: The left view, B 3 H W in [0, 1].
            right: The right view, of the same shape.
            reach_px: The largest offset either way, in pixels of the picture.
            width: Valid columns, if the rest is padding.

        Returns:
            2B K H/2 W/2, first of the left views to the right ones. K is odd, its middle no offset, its step a column
            of 2 pixels; it ends at `reach_px`, or where the window of the correlation does.
        """
        half = self.encode_half(self.stem(F.pixel_unshuffle(torch.cat([left, right]), 2)))  # 2B C H/2 W/2
        return self.correlate_half.log_attention(half, reach_px // 2, None if width is None else -(-width // 2))


class Correlation(nn.Module):
    """Correlate two views along rows and join what each gathers to its own features: 2B C H W -> B 2C H W."""

    def __init__(self, channels: int, max_disparity: int) -> None:
        super().__init__()
        self.norm = Norm(channels)
        self.project = Pointwise(channels, channels, bias=False)
        self.join = Pointwise(2 * channels, channels)
        self.max_disparity = max_disparity

    def forward(self, views: Tensor, width: int | None) -> Tensor:
        """The batch holds all left views, then all right views."""
        normed = self.norm(views)
        seen = self.project(normed)
        gathered = correlate_rows(seen, _swap(seen), _swap(normed), self.max_disparity, width)  # 2B C H W
        joined = views + self.join(torch.cat([normed, gathered], 1))
        return torch.cat(joined.chunk(2), 1)

    def log_attention(self, views: Tensor, reach: int, width: int | None) -> Tensor:
        """2B C H W -> 2B K H W: where either view looks in the other, `reach` columns at most."""
        seen = self.project(self.norm(views))
        reach = min(reach, self.max_disparity)
        return log_attention(seen, seen.roll(len(seen) // 2, 0), reach, self.max_disparity, width)

    def attention_macs(self, views: Tensor, width: int | None) -> int:
        """Multiply-adds of the scores and of gathering: both over every pixel's window, cut at the picture's edges."""
        batch, channels, height, columns = views.shape
        reach = min(self.max_disparity, columns - 1)
        pairs = columns * (2 * reach + 1) - reach * (reach + 1)
        return 2 * batch * height * pairs * channels


def _swap(views: Tensor) -> Tensor:
    """Exchange the halves of the batch. Slices would do; but the backward pass of each fills the whole batch anew."""
    left, right = views.chunk(2)
    return torch.cat([right, left])


class Fusion(nn.Module):
    """Both views' features of this scale and of the other, added up at this scale: one skip connection.

    1x1 convolutions and resampling commute: `there` comes after reducing and before enlarging, where it is cheaper.
    """

    def __init__(self, here: int, there: int, out: int) -> None:
        super().__init__()
        self.here = Pointwise(here, out)
        self.there = Pointwise(there, out, bias=False)


class Up(nn.Module):
    """To twice the size, plus the skip connection."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.expand = Pointwise(channels, 4 * out)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """B C_in H W and B C 2H 2W -> B C 2H 2W."""
        up: Tensor = F.pixel_shuffle(self.expand(deep), 2)
        return up + skip


class Block(nn.Module):
    """Normalise, 3x3 convolution to twice the channels, gate, 1x1 convolution, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Norm(channels)
        self.mix = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.out = Pointwise(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        value, gate = self.mix(self.norm(x)).chunk(2, 1)
        mixed: Tensor = x + self.out(value * gate)
        return mixed


class Norm(nn.Module):
    """Layer normalisation over the channels of each pixel; free of copies when memory is channels-last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        rows = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6)
        return rows.permute(0, 3, 1, 2)


class Pointwise(nn.Linear):
    """A 1x1 convolution as one matrix product over all pixels, which CPUs do faster than a convolution of size 1."""

    def forward(self, x: Tensor) -> Tensor:
        """B C_in H W -> B C_out H W."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def blocks(channels: int, depth: int) -> nn.Sequential:
    """`depth` blocks, one after another."""
    return nn.Sequential(*(Block(channels) for _ in range(depth)))

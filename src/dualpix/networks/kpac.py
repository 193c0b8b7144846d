"""KPAC: deblurs by one kernel applied at five dilations, as the inverse of a larger blur is a wider copy of one kernel.

H. Son, J. Lee, S. Cho, S. Lee, "Single Image Defocus Deblurring Using Kernel-Sharing Parallel Atrous Convolutions",
ICCV 2021, and its released code.

| paper                                     | here                            |
|-------------------------------------------|---------------------------------|
| whole network                             | `KPAC`                          |
| kernel-sharing parallel atrous block      | `AtrousBlock`                   |
| atrous convolutions that share one kernel | `SharedKernel`                  |
| scale attention, shape attention          | `AtrousBlock.scale`, `.shape`   |

Variants, at 1120 x 1680, parameters and multiply-adds: `KPAC()`, two levels, 1,578,277 and 391.33 G; `levels=3`,
2,057,893 and 230.80 G; `levels=3, dual=True`, 2,061,493 and 237.58 G. Table 1 of the MCCNet paper has the first: its
730.9 G are two for each multiply-add without those of the two transposed convolutions, 730.64 G. What the remaining
0.27 G (0.04 %) are is not known: the paper names no counter, and several sums of biases and activations would fit.

Choices the paper leaves open
* The authors' pictures are in [-1, 1]. The network converts on the way in and out; so its last layer paints twice
  what is added to the picture.
* The average of a whole map, which shape attention starts from, is one over any size; theirs is built for one size.
  Hence the network sees the whole picture (`receptive_radius_px` is None), and a crop is not deblurred as the picture
  it is of.
* A convolution of stride 2 sees one pixel more below and to the right, as TensorFlow pads.
* `dual` with two levels is not published.
* No weights are shipped and none loaded: convolutions are drawn with the authors' deviation of 0.04, biases are zero.

Letters: B batch, H and W rows and columns, C channels.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.arguments import Channels
from dualpix.networks.layers.blocks import convolution, leaky_pair
from dualpix.networks.spec import NetworkSpec

SLOPE = 0.2
DILATIONS = (1, 2, 3, 4, 5)
BLOCKS = 2
DEVIATION = 0.04


class KPAC(nn.Module):
    """The view center and, if `dual`, left and right, B 3 H W in [0, 1] -> sharp picture B 3 H W, not clipped.

    levels: halvings of the size before the blocks that deblur. dual: the network sees left and right, and what it
    paints is added to center. width: channels at full and half size; 48 is the paper.

    >>> network = KPAC(levels=3, dual=True)
    >>> network(*torch.rand(3, 1, 3, 32, 48)).shape
    torch.Size([1, 3, 32, 48])
    """

    def __init__(
        self, *, levels: Literal[2, 3] = 2, dual: bool = False, width: Annotated[Channels, Field(ge=4)] = 48
    ) -> None:
        super().__init__()
        if levels not in (2, 3):
            raise ValueError(f"levels must be 2 or 3, not {levels}")
        views = ("center", "left", "right") if dual else ("center",)
        self.spec = NetworkSpec(views, size_multiple=2**levels, tells_correction=True, residual=True)
        wide = 2 * width
        scales = (width, width, wide, wide)[: levels + 1]  # channels at 1, 1/2, 1/4, 1/8
        self.stem = leaky_pair((6 if dual else 3, width, width), (5, 3), SLOPE)
        self.encoder = nn.ModuleList(halve(scales[i], scales[i + 1]) for i in range(levels))
        self.blocks = nn.ModuleList(AtrousBlock(wide, width) for _ in range(BLOCKS))
        self.gather = leaky_pair(((1 + BLOCKS) * wide, wide, wide), (3, 3), SLOPE)
        above = list(reversed(scales[:-1]))  # channels at 1/4 (if three levels), 1/2, 1
        self.up = nn.ModuleList(double(*pair) for pair in zip([wide, *above[:-1]], above, strict=True))
        self.decoder = nn.ModuleList(leaky(convolution(2 * channels, channels, 3)) for channels in above[:-1])
        self.paint = convolution(2 * width, 3, 5)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=DEVIATION)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, center: Tensor, left: Tensor | None = None, right: Tensor | None = None) -> Tensor:
        """The centre view, and both views if dual, B 3 H W each in [0, 1] -> the sharp picture, B 3 H W."""
        return center + self._predict(center, left, right)

    def correction(self, center: Tensor, left: Tensor | None = None, right: Tensor | None = None) -> Tensor:
        """What is added to the mean of the views, B 3 H W; apart, so that low precision need not round the picture."""
        painted = self._predict(center, left, right)
        if len(self.spec.views) == 1 or left is None or right is None:
            return painted
        return painted + (center - (center + left + right) / 3)

    def _predict(self, center: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
        """What is added to the view center."""
        skips = [self.stem(2 * self._seen(center, left, right) - 1)]  # B C H W
        for encode in self.encoder:
            skips.append(encode(skips[-1]))  # B C H/s W/s, s = 2, 4 and, if three levels, 8
        deblurred = [skips.pop()]
        for block in self.blocks:
            deblurred.append(block(deblurred[-1]))
        maps = self.gather(torch.cat(deblurred, dim=1))
        for up, decode in zip(self.up, [*self.decoder, self.paint], strict=True):
            maps = decode(torch.cat([up(maps), skips.pop()], dim=1))
        painted: Tensor = maps / 2
        return painted

    def _seen(self, center: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
        if len(self.spec.views) == 1:
            return center
        if left is None or right is None:
            raise ValueError("KPAC(dual=True) takes the views center, left and right")
        return torch.cat([left, right], dim=1)  # B 6 H W


class AtrousBlock(nn.Module):
    """One kernel at five dilations; each pixel weighs the dilations, the whole picture weighs the kernel's channels."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.shared = SharedKernel(channels, inner)
        widths = (channels, 32, 32, 16, 16)
        dilated = [nn.Conv2d(widths[i], widths[i + 1], 5, padding=4, dilation=2) for i in range(len(widths) - 1)]
        self.scale = nn.Sequential(
            *map(leaky, dilated), convolution(widths[-1], len(DILATIONS), 5), nn.Sigmoid()
        )  # B 5 H W
        self.shape = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            leaky(convolution(channels, inner // 4, 1)),
            convolution(inner // 4, inner, 1),
            nn.Sigmoid(),
        )  # B C_inner 1 1
        self.fuse = leaky(convolution(len(DILATIONS) * inner, channels, 3))

    def forward(self, maps: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        shape = self.shape(maps)
        scales = self.scale(maps).split(1, dim=1)
        sharpened = [
            F.leaky_relu(self.shared(maps, dilation), SLOPE) * scale * shape
            for dilation, scale in zip(DILATIONS, scales, strict=True)
        ]
        fused: Tensor = self.fuse(torch.cat(sharpened, dim=1))
        return fused


class SharedKernel(nn.Conv2d):
    """A 5 x 5 convolution without bias, whose dilation is chosen at each call."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 5, bias=False)

    def forward(self, maps: Tensor, dilation: int) -> Tensor:  # type: ignore[override]
        """B C_in H W -> B C_out H W, the taps `dilation` pixels apart."""
        return F.conv2d(maps, self.weight, padding=2 * dilation, dilation=dilation)


class Stride(nn.Conv2d):
    """A 3 x 3 convolution to half the size, centred half a pixel below and to the right of the middle of each four."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, stride=2)

    def forward(self, input: Tensor) -> Tensor:
        """B C H W, filled up by a row below and a column on the right."""
        return super().forward(F.pad(input, (0, 1, 0, 1)))


def halve(channels_in: int, channels_out: int) -> nn.Sequential:
    """To half the size, and a convolution there: B C_in H W -> B C_out H/2 W/2."""
    return nn.Sequential(leaky(Stride(channels_in, channels_out)), leaky(convolution(channels_out, channels_out, 3)))


def double(channels_in: int, channels_out: int) -> nn.Sequential:
    """To twice the size: B C_in H W -> B C_out 2H 2W."""
    return leaky(nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1))


def leaky(layer: nn.Module) -> nn.Sequential:
    """The layer and its activation."""
    return nn.Sequential(layer, nn.LeakyReLU(SLOPE, inplace=True))

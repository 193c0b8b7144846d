"""DPDNet: a plain UNet on both views, the first network for defocus deblurring from dual pixels.

A. Abuolaim and M. S. Brown, "Defocus Deblurring Using Dual-Pixel Data", ECCV 2020. Built as in the authors' Keras code.

| paper, 5.1 and Fig. 5        | here                     |
|------------------------------|--------------------------|
| encoder, E1 to E4            | `UNet.encoder`, `pair`   |
| bottleneck                   | `UNet.bottom`            |
| decoder, D4 to D1            | `UNet.decoder`, `UNetUp` |
| output, sigmoid              | `UNet.head`              |
| one picture instead of views | `DPDNetSingle`           |

31,035,151 parameters and 1574.30 G multiply-adds at 1120 x 1680; with one picture 31,033,423 and 1571.05 G.

Choices, and what to know
* `up_kernel=2` is the authors' code. MCCNet's Table 1 (34.52 M, 1883.74 G) counts another reading: `up_kernel=3` has
  34,516,751 parameters and 1882.58 G multiply-adds, 1883.74 G with one more operation for each bias added.
* Colours are in RGB order; the authors' are BGR, which only permutes weights (`weights.foreign.keras` does).
* Weights start as theirs: He-normal (not cut at two deviations, which Keras does), Glorot-uniform in the last layer.
* The rectifier on the three channels before the last layer is the authors'. A network in which all three are dark
  everywhere would learn nothing; none of 60 started so.

Letters: B batch, H and W rows and columns, C channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.arguments import Channels, Kernel, Share
from dualpix.networks.layers.blocks import convolution, he_initialise, upsample
from dualpix.networks.spec import NetworkSpec

Widths = tuple[Channels, Channels, Channels, Channels, Channels]


class UNet(nn.Module):
    """Pictures side by side as channels, B 3V H W -> B 3 H W in [0, 1]."""

    def __init__(self, views: tuple[str, ...], widths: Widths, up_kernel: int, dropout: float) -> None:
        super().__init__()
        radius_px = receptive_radius_px(bottom_convolutions=2)
        self.spec = NetworkSpec(views, 16, radius_px, receptive_columns_px=radius_px)
        *skips, bottom = widths
        inputs = (3 * len(views), *skips)
        encoder = [pair(*channels) for channels in zip(inputs, skips, strict=False)]
        encoder[-1].append(nn.Dropout(dropout))
        self.encoder = nn.ModuleList(encoder)
        self.pool = nn.MaxPool2d(2)
        self.bottom = pair(skips[-1], bottom).append(nn.Dropout(dropout))
        belows = (bottom, *reversed(skips))
        self.decoder = nn.ModuleList(
            UNetUp(*channels, up_kernel) for channels in zip(belows, reversed(skips), strict=False)
        )
        self.head = nn.Sequential(*head(skips[0]), nn.Sigmoid())
        he_initialise(self, slope=0.0)
        nn.init.xavier_uniform_(self.head.get_parameter("2.weight"))

    def paint(self, maps: Tensor) -> Tensor:
        """The views side by side as channels, B C H W -> the sharp picture, B 3 H W in [0, 1]."""
        skips = []
        for encode in self.encoder:
            skips.append(encode(maps))  # B C H/s W/s, s = 1, 2, 4, 8
            maps = self.pool(skips[-1])
        maps = self.bottom(maps)  # B C H/16 W/16
        for decode in self.decoder:
            maps = decode(maps, skips.pop())  # B C H/s W/s, s = 8, 4, 2, 1
        painted: Tensor = self.head(maps)
        return painted


class DPDNet(UNet):
    """Left and right view, each B 3 H W in [0, 1] -> the sharp picture, B 3 H W, in [0, 1] by a sigmoid.

    >>> network = DPDNet(widths=(8, 16, 32, 64, 128))
    >>> network(torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96)).shape
    torch.Size([1, 3, 64, 96])
    """

    def __init__(
        self, *, widths: Widths = (64, 128, 256, 512, 1024), up_kernel: Kernel = 2, dropout: Share = 0.4
    ) -> None:
        """Build the network.

        Args:
            widths: Channels at full size, 1/2, 1/4, 1/8 and 1/16.
            up_kernel: Side of the convolution after each up-sampling.
            dropout: Share of the features at 1/8 and 1/16 that training leaves out, as `torch.manual_seed` has it.
        """
        super().__init__(("left", "right"), widths, up_kernel, dropout)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Both views, B 3 H W each in [0, 1] -> the sharp picture, B 3 H W."""
        return self.paint(torch.cat([left, right], dim=1))


class DPDNetSingle(UNet):
    """The same for one picture, B 3 H W in [0, 1]; the arguments are those of `DPDNet`."""

    def __init__(
        self, *, widths: Widths = (64, 128, 256, 512, 1024), up_kernel: Kernel = 2, dropout: Share = 0.4
    ) -> None:
        super().__init__(("center",), widths, up_kernel, dropout)

    def forward(self, center: Tensor) -> Tensor:
        """The centre view, B 3 H W in [0, 1] -> the sharp picture, B 3 H W."""
        return self.paint(center)


class UNetUp(nn.Module):
    """Twice the size, a convolution to the skip's channels, the skip put before it, and a pair of convolutions."""

    def __init__(self, channels_below: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.reduce = SameConvolution(channels_below, channels, kernel)
        self.convolve = pair(2 * channels, channels)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """B C_below H/2 W/2 and B C H W -> B C H W."""
        up = F.relu(self.reduce(upsample(below, 2, "nearest")))
        decoded: Tensor = self.convolve(torch.cat([skip, up], dim=1))
        return decoded


class SameConvolution(nn.Conv2d):
    """A convolution that keeps the size; an even kernel looks further down and right than up and left, as in Keras."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__(channels_in, channels_out, kernel, padding=kernel // 2)

    def forward(self, input: Tensor) -> Tensor:
        """B C_in H W -> B C_out H W."""
        surplus = 1 - self.kernel_size[0] % 2
        return super().forward(input)[..., surplus:, surplus:]


def pair(channels_in: int, channels: int) -> nn.Sequential:
    """Conv-ReLU-Conv-ReLU, 3 x 3."""
    first, second = convolution(channels_in, channels, 3), convolution(channels, channels, 3)
    return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))


def head(channels: int) -> list[nn.Module]:
    """From the last features to three colours: a 3 x 3 convolution, rectified, then a 1 x 1."""
    return [convolution(channels, 3, 3), nn.ReLU(inplace=True), convolution(3, 3, 1)]


def receptive_radius_px(bottom_convolutions: int) -> int:
    """Return how many rows a UNet of this shape sees up or down.

    A convolution at 1/s of the size adds s, nearest up-sampling to 1/s adds s.
    """
    scales = 1 + 2 + 4 + 8
    encoder, upsampling, up_convolutions, decoder = 2 * scales, scales, scales, 2 * scales
    return encoder + 16 * bottom_convolutions + upsampling + up_convolutions + decoder + 1

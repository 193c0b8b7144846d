"""MDP: deblurs a single picture, having learnt to guess the two dual-pixel views of it as well.

A. Abuolaim, M. Afifi, M. S. Brown, "Improving Single-Image Defocus Deblurring: How Dual-Pixel Images Help Through
Multi-Task Learning", WACV 2022, and its released code.

| paper                                | here                   |
|--------------------------------------|------------------------|
| shared encoder                       | `MDP.encoder1` to `4`  |
| early decoder of each picture        | `EarlyDecoder`         |
| fusion, late decoder of each picture | `MDP.fuse`, `Late...`  |

Takes the combined view alone: a method of one picture, compared with methods of two. Left and right view are made only
to be trained on; `forward` leaves their late decoders out, `outputs` does not.

Counts at 1120 x 1680: 46,860,397 parameters (Table 1 of the MCCNet paper cuts that to 46.8 M). All three pictures cost
3874.28 G multiply-adds, the sharp one alone 2634.62 G. The 7751.27 G of Table 1 are two for each of the 3874.28 G, one
for each bias added and four for each output of a pooling: the same network in another unit.

Choices the paper leaves open
* None in the layers, which follow the released code. It reads pictures as BGR, this as RGB: that matters only for the
  authors' weights.
* The ReLU on three channels right before the sigmoid is theirs. Such a layer can die in the first steps; if a training
  stays at a grey picture, begin it with another seed.

Training, in the paper: with S sharp, L and R views, C the input, and every term a mean square,
w0 |S' - S|^2 + w1 |[L', R'] - [L, R]|^2 + w2 |(L' + R') / 2 - C|^2 + w3 |(L' - R') - (L - R)|^2.
First on 2090 pairs without a sharp picture (S taken to be C, its decoders frozen), w = 1, 1, 0.2, 0.2; then on DPDD,
w = 1, 0.2, 0.2, 0.2.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.arguments import Channels, Kernel
from dualpix.networks.dpdnet import SameConvolution, head, pair
from dualpix.networks.layers.blocks import convolution, he_initialise, upsample
from dualpix.networks.spec import NetworkSpec

PICTURES = ("left", "right", "sharp")


class MDP(nn.Module):
    """The combined view, B 3 H W in [0, 1] -> the sharp picture, B 3 H W in [0, 1].

    width: channels at full size; they double at each of four halvings. 64 is the paper.
    up_kernel: size of the convolutions after up-sampling; 2 is the paper.

    >>> network = MDP(width=8)
    >>> network(torch.rand(1, 3, 32, 48)).shape
    torch.Size([1, 3, 32, 48])
    """

    # Rows that an output row may depend on: encoder 2 + 4 + 8 + 8; early decoders, at 1/16 to 1/4, 16 + 8 + 8; late
    # decoders 4 + 3; up-sampling, and the pixel below that its convolution sees, twice 8 + 4 + 2 + 1.
    spec = NetworkSpec(("center",), size_multiple=16, receptive_radius_px=91, receptive_columns_px=91)

    def __init__(self, *, width: Channels = 64, up_kernel: Kernel = 2) -> None:
        super().__init__()
        self.encoder1 = pair(3, width)
        self.encoder2 = pair(width, 2 * width)
        self.encoder3 = pair(2 * width, 4 * width)
        self.encoder4 = single(4 * width, 8 * width)
        self.pool = nn.MaxPool2d(2)
        self.early = nn.ModuleDict({name: EarlyDecoder(width, up_kernel) for name in PICTURES})
        self.late = nn.ModuleDict({name: LateDecoder(width, up_kernel) for name in PICTURES})
        he_initialise(self, slope=0)
        for decoder in self.late.values():
            nn.init.xavier_uniform_(decoder.paint[2].weight)  # type: ignore[index, union-attr]

    def forward(self, center: Tensor) -> Tensor:
        """The centre view, B 3 H W in [0, 1] -> the sharp picture, B 3 H W."""
        full, fused = self._fuse(center)
        sharp: Tensor = self.late["sharp"](full, fused)
        return sharp

    def outputs(self, center: Tensor) -> dict[str, Tensor]:
        """All that the network is trained to paint: "left", "right" and "sharp", each B 3 H W in [0, 1]."""
        full, fused = self._fuse(center)
        return {name: self.late[name](full, fused) for name in PICTURES}

    def _fuse(self, center: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's maps at full size, and at half size its own with those of the three early decoders."""
        full = self.encoder1(center)  # B C H W
        half = self.encoder2(self.pool(full))  # B 2C H/2 W/2
        quarter = self.encoder3(self.pool(half))  # B 4C H/4 W/4
        eighth = self.encoder4(self.pool(quarter))  # B 8C H/8 W/8
        sixteenth = self.pool(eighth)  # B 8C H/16 W/16
        decoded = [self.early[name](sixteenth, eighth, quarter) for name in PICTURES]
        return full, torch.cat([half, *decoded], dim=1)  # B C H W, B 8C H/2 W/2


class EarlyDecoder(nn.Module):
    """From 1/16 of the size to 1/2, with the encoder's maps at 1/8 and 1/4."""

    def __init__(self, width: int, up_kernel: int) -> None:
        super().__init__()
        self.bottom = single(8 * width, 16 * width)
        self.up_eighth = UpConvolution(16 * width, 8 * width, up_kernel)
        self.decode_eighth = single(16 * width, 8 * width)
        self.up_quarter = UpConvolution(8 * width, 4 * width, up_kernel)
        self.decode_quarter = pair(8 * width, 4 * width)
        self.up_half = UpConvolution(4 * width, 2 * width, up_kernel)

    def forward(self, sixteenth: Tensor, eighth: Tensor, quarter: Tensor) -> Tensor:
        """B 8C H/16 W/16, B 8C H/8 W/8, B 4C H/4 W/4 -> B 2C H/2 W/2."""
        maps = self.up_eighth(self.bottom(sixteenth))
        maps = self.up_quarter(self.decode_eighth(torch.cat([eighth, maps], dim=1)))
        half: Tensor = self.up_half(self.decode_quarter(torch.cat([quarter, maps], dim=1)))
        return half


class LateDecoder(nn.Module):
    """From the fused maps at 1/2 of the size to the picture, with the encoder's maps at full size."""

    def __init__(self, width: int, up_kernel: int) -> None:
        super().__init__()
        self.decode_half = pair(8 * width, 2 * width)
        self.up_full = UpConvolution(2 * width, width, up_kernel)
        self.decode_full = pair(2 * width, width)
        self.paint = nn.Sequential(*head(width), nn.Sigmoid())

    def forward(self, full: Tensor, fused: Tensor) -> Tensor:
        """B C H W, B 8C H/2 W/2 -> B 3 H W."""
        maps = self.up_full(self.decode_half(fused))
        picture: Tensor = self.paint(self.decode_full(torch.cat([full, maps], dim=1)))
        return picture


class UpConvolution(nn.Module):
    """Twice the size, a convolution, a ReLU: B C_in H W -> B C_out 2H 2W."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.reduce = SameConvolution(channels_in, channels_out, kernel)

    def forward(self, maps: Tensor) -> Tensor:
        """B C_in H W -> B C_out 2H 2W."""
        return F.relu(self.reduce(upsample(maps, 2, "nearest")))


def single(channels_in: int, channels_out: int) -> nn.Sequential:
    """Conv-ReLU, 3 x 3."""
    return nn.Sequential(convolution(channels_in, channels_out, 3), nn.ReLU(inplace=True))

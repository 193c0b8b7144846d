"""RDPD: a UNet on both views of each frame of a film, with a memory at its bottom. A still is a film of one frame.

A. Abuolaim, M. Delbracio, D. Kelly, M. S. Brown, P. Milanfar, "Learning to Reduce Defocus Blur by Realistically
Modeling Dual-Pixel Data", ICCV 2021. Built as in the authors' Keras code; RDPD+ is the same network, trained on real
pairs beside simulated ones.

| paper, 4 and Fig. 6                | here                      |
|------------------------------------|---------------------------|
| encoder, E1 to E4                  | `RDPD.encoder`            |
| bottleneck                         | `RDPD.bottom`, `ConvLSTM` |
| decoder, D4 to D1, output          | `RDPD.decoder`, `.head`   |
| distance from the centre, as input | `radius_of`               |

24,278,703 parameters and 517.95 G multiply-adds at 1120 x 1680 for each frame.

Choices, and what to know
* MCCNet's Table 1 (27.51 M, 612.05 G) counts another reading, here `up_kernel=3, bottom_convolutions=2,
  radius_map=False`: 27,508,623 parameters, 611.82 G multiply-adds, 612.42 G with one operation more for each bias.
  With the biases of the encoder alone it is 612.05; how Table 1 came to that is not known.
* The distance from the centre makes a crop differ from the same place in the photograph: with `radius_map` the network
  sees the whole picture (`receptive_radius_px` is None, so it is not run in bands), and crops need their piece of
  `radius_of` as `radius`. `radius_map=False` (24,278,415 parameters) is for training on crops alone.
* The authors clip the last layer to [0, 1], which stops learning where it is outside; `output="clipped"`. The default,
  "linear", gives the same picture once clipped. "sigmoid" is the alternative that their code offers.
* The memory's gates are Keras's: a hard sigmoid clip(0.2 x + 0.5, 0, 1), not PyTorch's of slope 1/6. Its features are
  dropped out by one mask for all frames, where theirs has one for each gate too.
* A still has nothing to remember: its convolution of the memory is one of zeros, counted but not computed, and learns
  nothing. It starts with the spread of Keras's orthogonal matrix, which would take seconds to make.
* Weights start as theirs otherwise: He-normal (not cut at two deviations), the forget gate's bias at 1, the last layer
  Glorot-uniform. The rectifier on three channels before it is theirs too. Colours are in RGB order, theirs in BGR.

Letters: B batch, T frames, H and W rows and columns, C channels.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from dualpix.networks.arguments import Depth, Kernel, Share
from dualpix.networks.dpdnet import UNetUp, Widths, head, pair, receptive_radius_px
from dualpix.networks.layers.blocks import convolution, he_initialise
from dualpix.networks.spec import NetworkSpec

Output = Literal["linear", "clipped", "sigmoid"]

LAST: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "clipped": partial(nn.Hardtanh, 0.0, 1.0),
    "sigmoid": nn.Sigmoid,
}


class State(NamedTuple):
    """What is remembered from frame to frame: `hidden` and `cell`, B C H/16 W/16 each."""

    hidden: Tensor
    cell: Tensor


class RDPD(nn.Module):
    """Left and right view, each B 3 H W in [0, 1] -> the sharp picture, B 3 H W, not clipped. For films: `sequence`.

    >>> network = RDPD(widths=(8, 16, 32, 64, 128))
    >>> network(torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96)).shape
    torch.Size([1, 3, 64, 96])
    """

    def __init__(
        self,
        *,
        widths: Widths = (32, 64, 128, 256, 512),
        up_kernel: Kernel = 2,
        bottom_convolutions: Annotated[Depth, Field(ge=1)] = 1,
        radius_map: bool = True,
        output: Output = "linear",
        dropout: Share = 0.4,
    ) -> None:
        """Build the network.

        Args:
            widths: Channels at full size, 1/2, 1/4, 1/8 and 1/16.
            up_kernel: Side of the convolution after each up-sampling.
            bottom_convolutions: How many come before the memory.
            radius_map: See the distance from the picture's centre too.
            output: Of the last layer; see the head of the file.
            dropout: Share of the features before the memory that training leaves out, as `torch.manual_seed` has it.
        """
        super().__init__()
        if output not in LAST:
            raise ValueError(f"output must be one of {', '.join(LAST)}, not {output!r}")
        self.radius_map = radius_map
        radius_px = None if radius_map else receptive_radius_px(bottom_convolutions + 1)
        self.spec = NetworkSpec(("left", "right"), 16, radius_px, receptive_columns_px=radius_px)
        *skips, bottom = widths
        inputs, belows = (6 + radius_map, *skips), (bottom, *reversed(skips))
        self.encoder = nn.ModuleList(pair(*channels) for channels in zip(inputs, skips, strict=False))
        self.pool = nn.MaxPool2d(2)
        self.bottom = nn.Sequential()
        for number in range(bottom_convolutions):
            channels = bottom if number else skips[-1]
            self.bottom.extend([convolution(channels, bottom, 3), nn.ReLU(inplace=True)])
        self.memory = ConvLSTM(bottom, bottom, dropout)
        self.decoder = nn.ModuleList(
            UNetUp(*channels, up_kernel) for channels in zip(belows, reversed(skips), strict=False)
        )
        self.head = nn.Sequential(*head(skips[0]), LAST[output]())
        self._initialise()

    def forward(self, left: Tensor, right: Tensor, radius: Tensor | None = None) -> Tensor:
        """radius: B 1 H W, the views' own piece of `radius_of`; None if they are whole photographs."""
        return self.outputs(left, right, radius)["sharp"]

    def outputs(self, left: Tensor, right: Tensor, radius: Tensor | None = None) -> dict[str, Tensor]:
        """`sharp`, and the memory after this frame: `hidden` and `cell`, B C H/16 W/16."""
        sharp, state = self.sequence(left.unsqueeze(1), right.unsqueeze(1), radius=radius)
        return {"sharp": sharp.squeeze(1), "hidden": state.hidden, "cell": state.cell}

    def sequence(
        self, left: Tensor, right: Tensor, state: State | None = None, radius: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Frames in order, each view B T 3 H W -> the sharp frames, B T 3 H W, and the memory after the last.

        state: the memory after the frame before these; None at the beginning of a film. A film cut into pieces that
        pass it on gives the same frames as the whole (in training, each piece draws a dropout mask of its own).
        """
        batch, frames = left.shape[:2]
        maps = torch.cat([left, right], dim=2).flatten(0, 1)  # BT 6 H W
        if self.radius_map:
            whole = radius_of(left).expand(batch, -1, -1, -1) if radius is None else radius
            maps = torch.cat([maps, whole.repeat_interleave(frames, 0)], dim=1)  # BT 7 H W
        skips = []
        for encode in self.encoder:
            skips.append(encode(maps))  # BT C H/s W/s, s = 1, 2, 4, 8
            maps = self.pool(skips[-1])
        remembered, state = self.memory(self.bottom(maps).unflatten(0, (batch, frames)), state)
        maps = remembered.flatten(0, 1)  # BT C H/16 W/16
        for decode in self.decoder:
            maps = decode(maps, skips.pop())  # BT C H/s W/s, s = 8, 4, 2, 1
        return self.head(maps).unflatten(0, (batch, frames)), state

    def _initialise(self) -> None:
        he_initialise(self, slope=0.0)
        nn.init.xavier_uniform_(self.head.get_parameter("2.weight"))
        recurrent = self.memory.recurrent.weight
        nn.init.normal_(recurrent, std=1 / math.sqrt(recurrent[0].numel()))
        with torch.no_grad():
            _, forget, _, _ = self.memory.get_parameter("input.bias").chunk(4)
            forget.fill_(1.0)


class ConvLSTM(nn.Module):
    """A long short-term memory whose products are 3 x 3 convolutions (Shi et al., NeurIPS 2015), without peepholes."""

    def __init__(self, channels_in: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.input = convolution(channels_in, 4 * channels, 3)
        self.recurrent = Recurrent(channels, 4 * channels, 3, padding=1, bias=False)

    def forward(self, frames: Tensor, state: State | None) -> tuple[Tensor, State]:
        """B T C_in H W -> B T C H W and the state after the last frame; None is a state of zeros."""
        kept = frames * self.dropout(torch.ones_like(frames[:, :1]))
        driven = self.input(kept.flatten(0, 1)).unflatten(0, frames.shape[:2])  # B T 4C H W
        hidden, cell = state if state is not None else (None, torch.zeros_like(driven[:, 0].chunk(4, 1)[0]))
        remembered = []
        for drive in driven.unbind(1):
            enter, forget, candidate, leave = (drive + self.recurrent(hidden, drive)).chunk(4, 1)
            cell = hard_sigmoid(forget) * cell + hard_sigmoid(enter) * torch.tanh(candidate)
            hidden = hard_sigmoid(leave) * torch.tanh(cell)
            remembered.append(hidden)
        assert hidden is not None
        return torch.stack(remembered, dim=1), State(hidden, cell)


class Recurrent(nn.Conv2d):
    """A convolution of what may be nothing yet."""

    def forward(self, hidden: Tensor | None, like: Tensor) -> Tensor:  # type: ignore[override]
        """B C H W, or None for zeros -> the convolution, of the shape of `like`."""
        if hidden is not None:
            return super().forward(hidden)
        # The sum of no weights: zero, and like a convolution of zeros it tells the weights that their gradient is zero.
        return self.weight[:0].sum().expand(like.shape)


def hard_sigmoid(x: Tensor) -> Tensor:
    """Keras's of version 2."""
    return (0.2 * x + 0.5).clamp(0, 1)


def radius_of(picture: Tensor) -> Tensor:
    """The distance from the centre of a picture, ... H W: 0 there and 1 in the corners, in steps of 1/255; 1 1 H W."""
    height, width = picture.shape[-2:]
    rows = torch.arange(height, device=picture.device, dtype=torch.float64) - (height - 1) / 2
    columns = torch.arange(width, device=picture.device, dtype=torch.float64) - (width - 1) / 2
    distance = (rows[:, None] ** 2 + columns**2).sqrt()  # H W
    levels = (255 * (distance / distance[0, 0])).floor()
    return (levels / 255).to(picture.dtype)[None, None]

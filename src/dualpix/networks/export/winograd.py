"""Blocks of mccnet-fast whose 3x3 convolutions take a quarter of the multiplications, by plain operations of a graph.

Winograd's F(4x4, 3x3), as Lavin and Gray (CVPR 2016) write it: tiles of 6x6 and kernels are transformed by small
matrices, multiplied number by number, that is by a matrix over channels for each of 36 places, and 4x4 results are
transformed back. For engines that only multiply one by one: WebAssembly.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.export.layers import GraphBlock, GraphNorm

TILE, WINDOW = 4, 6
"""Rows and columns of results that are made together, and of what they are made from."""

TAKEN = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
KERNEL_SCALE = 24.0
KERNEL = (
    (6.0, 0.0, 0.0),
    (-4.0, -4.0, -4.0),
    (-4.0, 4.0, -4.0),
    (1.0, 2.0, 4.0),
    (1.0, -2.0, 4.0),
    (0.0, 0.0, 24.0),
)
MADE = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)
"""Lavin and Gray's matrices for a row of what is taken, of a kernel and of what is made; that of the kernel is larger
by `KERNEL_SCALE`, for whole numbers, which 16 bits hold.
"""


class PlanarNorm(nn.Module):
    """Layer normalisation over channels without turning tensors about, in operations that engines do four at once."""

    def __init__(self, norm: GraphNorm) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(one.detach()[:, None, None], False) for one in (norm.weight, norm.bias))
        self.rounding = nn.Identity()

    def pixels(self, maps: Tensor) -> Tensor:
        """B C H W -> B H W C."""
        return self(maps).permute(0, 2, 3, 1)  # type: ignore[no-any-return]

    def forward(self, maps: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        apart = maps - maps.mean(1, keepdim=True)
        scale = ((apart * apart).mean(1, keepdim=True) + 1e-6).rsqrt()
        normed: Tensor = apart * scale * self.weight + self.bias
        return normed


class WinogradBlock(nn.Module):
    """`GraphBlock` with another way to its convolutions.

    Kernels are transformed in every run, which takes a hundredth of it: transformed ones are four times as large, and
    an engine would hold all of them.
    """

    taken: Tensor
    kernel: Tensor
    made: Tensor

    def __init__(self, block: GraphBlock) -> None:
        super().__init__()
        self.norm = PlanarNorm(block.norm)
        kernel = torch.tensor(KERNEL)
        self.register_buffer("taken", torch.tensor(TAKEN))
        self.register_buffer("kernel", torch.kron(kernel, kernel)[:, :, None, None])
        self.register_buffer("made", torch.tensor(MADE) / KERNEL_SCALE)
        halves = (block.value, block.gate)
        # 1 x places x out x in, so that one convolution transforms all kernels.
        kernels = [half.weight.detach().flatten(2).permute(2, 0, 1)[None] for half in halves]
        self.kernels = nn.ParameterList(nn.Parameter(one.contiguous(), False) for one in kernels)
        self.biases = nn.ParameterList(
            nn.Parameter(cast(Tensor, half.bias).detach()[:, None], False) for half in halves
        )
        self.out = nn.Parameter(block.out.weight.detach()[:, :, 0, 0], False)
        self.out_bias = nn.Parameter(cast(Tensor, block.out.bias).detach()[:, None], False)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        batch, channels, height, width = x.shape
        high, wide = (height + TILE - 1) // TILE, (width + TILE - 1) // TILE
        # Below each plane lies a row of tiles that is cut off again, so that a picture's planes are one plane, and
        # their windows one convolution.
        sides = (1, TILE * wide + 1 - width, 1, TILE * high + 3 - height)
        rows = channels * (high + 1)
        windows = self._windows(F.pad(self.norm(x), sides).reshape(batch, 1, TILE * rows, TILE * wide + 2))
        windows = windows.reshape(batch, WINDOW**2, channels, (high + 1) * wide)
        one = torch.full((1,), height, dtype=x.dtype, device=x.device).clamp(max=1)  # so that nothing is folded
        kernel = self.kernel * one
        value, gate = (
            self._convolved(windows, kernels, kernel) + bias
            for kernels, bias in zip(self.kernels, self.biases, strict=True)
        )
        del windows
        tiles = self.out @ (value * gate) + self.out_bias
        planes = F.pixel_shuffle(tiles.reshape(batch, TILE**2, rows, wide), TILE)
        mixed = planes.reshape(batch, channels, TILE * (high + 1), TILE * wide)
        return x + mixed[:, :, :height, :width]

    def _windows(self, planes: Tensor) -> Tensor:
        """B 1 H W -> (B and places in a column) x places in a row x rows of windows x windows in a row, transformed."""
        columns = F.conv2d(F.pad(planes, (0, 0, 0, 2)), self.taken[:, None, :, None], stride=(TILE, 1))
        return F.conv2d(columns.flatten(0, 1)[:, None], self.taken[:, None, None], stride=(1, TILE))

    def _convolved(self, windows: Tensor, kernels: Tensor, kernel: Tensor) -> Tensor:
        """B x places of a window x C T -> B x places of a tile x C T."""
        batch, _, channels, tiles = windows.shape
        # Without names for what is large, so that memory is counted as engines take it, which let go at once.
        columns = self.made @ (F.conv2d(kernels, kernel) @ windows).reshape(batch, WINDOW, -1)
        made = self.made @ columns.reshape(batch, TILE, WINDOW, -1)
        return made.reshape(batch, TILE**2, channels, tiles)


def by_winograd(module: nn.Module) -> nn.Module:
    """The same with such blocks, and such normalisation everywhere."""
    match module:
        case GraphBlock():
            return WinogradBlock(module)
        case GraphNorm():
            return PlanarNorm(module)
    for name, child in module.named_children():
        setattr(module, name, by_winograd(child))
    return module

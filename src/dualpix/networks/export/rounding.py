"""Rounding to 8 bits: what a layer takes and its weights, on grids that a few pictures have shown to be wide enough.

Engines recognise a convolution between such roundings and compute it in integers. Processors without VNNI add pairs of
products in 16 bits, where 2 x 255 x 127 overflows, and cut the sum off without a word (OpenVINO 2026.4.1 on AVX2: 0.17
of white away); 2 x 255 x 64 does not. So weights take half of the 8 bits, and a picture is the same on all processors.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

LEVELS = 255

WEIGHT_LEVELS = 64
"""The largest weight on its grid: two products with it and `LEVELS` add up to less than 2^15."""


class Rounding(nn.Module):
    """Passes tensors on; `watching`, it notes the range of their values; once `settle`d, it rounds them to 8 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.watching = False
        self.low = self.high = 0.0  # zero must be on the grid, since convolutions pad with it
        self.step: float | None = None
        self.zero = 0

    def forward(self, values: Tensor) -> Tensor:
        """Values of any shape, and as many."""
        if self.watching:
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        if self.step is None:
            return values
        low, high = (-128, 127) if self.zero == 0 and self.low < 0 else (0, LEVELS)
        return torch.fake_quantize_per_tensor_affine(values, self.step, self.zero, low, high)

    def settle(self) -> None:
        """Fix the grid: from zero, if nothing was below it, or else symmetrical, which engines multiply faster."""
        if self.low == 0:
            self.step = max(self.high, 1e-9) / LEVELS
        else:
            self.step = max(-self.low, self.high) / 127


class Convolution(nn.Conv2d):
    """A copy of a convolution, with a rounding before it; once `settle`d, its weights are rounded too.

    `rounded`: what it takes is rounded already.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, like: nn.Conv2d | None = None, rounded: bool = False
    ) -> None:
        out, into, *size = weight.shape
        stride, padding = (like.stride, like.padding) if like is not None else (1, 0)
        dilation, groups = (like.dilation, like.groups) if like is not None else (1, 1)
        super().__init__(into * groups, out, size, stride, padding, dilation, groups, bias is not None)  # type: ignore[arg-type]
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.rounding = nn.Identity() if rounded else Rounding()
        self.step: Tensor | None = None

    def settle(self) -> None:
        """Fix the grid of the weights, one for each channel that is made."""
        self.step = self.weight.abs().amax((1, 2, 3)).clamp_min(1e-9) / WEIGHT_LEVELS
        self.zero = torch.zeros_like(self.step, dtype=torch.int32)

    def forward(self, maps: Tensor) -> Tensor:
        """B C_in H W -> B C_out H W."""
        maps = self.rounding(maps)
        if self.step is None:
            return super().forward(maps)
        weight = torch.fake_quantize_per_channel_affine(
            self.weight, self.step, self.zero, 0, -WEIGHT_LEVELS, WEIGHT_LEVELS
        )
        made: Tensor = self._conv_forward(maps, weight, self.bias)
        return made


def pointwise(weight: Tensor, bias: Tensor | None = None, rounded: bool = False) -> Convolution:
    """A matrix, out x in, as a convolution of size 1."""
    return Convolution(weight[:, :, None, None], bias, rounded=rounded)


def round_layers(network: nn.Module, run: Callable[[], object], exact: Sequence[str] = ()) -> None:
    """Make every convolution of `network` one of 8 bits, but for those whose names begin with one of `exact`.

    `run` runs the network on a few pictures, from which the grids are taken.
    """
    chosen = {name: module for name, module in network.named_modules() if not f"{name}.".startswith(tuple(exact))}
    roundings = [module for module in chosen.values() if isinstance(module, Rounding)]
    for rounding in roundings:
        rounding.watching = True
    run()
    for rounding in roundings:
        rounding.watching = False
        rounding.settle()
    for module in chosen.values():
        if isinstance(module, Convolution):
            module.settle()

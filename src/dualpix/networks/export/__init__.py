"""Networks as graphs of plain operations, for engines other than PyTorch.

A graph takes one set of views of any size, and does inside what runners do outside: it fills up to what the network
needs by repeating the edge, keeps the columns so added out of the correlation, and cuts the result.
"""

import copy

import torch
from torch import Tensor, nn

from dualpix.errors import MachineError, option
from dualpix.networks.export import layers
from dualpix.networks.export.rounding import Convolution, pointwise
from dualpix.networks.layers import blocks
from dualpix.networks.layers.tracing import is_exporting
from dualpix.networks.mccnet import model as mccnet
from dualpix.networks.mccnet_fast import model as mccnet_fast
from dualpix.networks.spec import spec_of

FEW = 12
"""Channels of a layer that takes or makes pictures; such layers are not rounded to 8 bits: what they err is seen."""


class Graph(nn.Module):
    """Views 1 x 3 x H x W in [0, 1], named as `views` says -> the sharp picture 1 x 3 x H x W, not clipped."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.spec = spec_of(network)
        self.network = _rewritten(copy.deepcopy(network).eval().requires_grad_(False))

    def run(self, *views: Tensor) -> Tensor:
        """What `forward` does, for any number of views."""
        height, width = views[0].shape[2:]
        masked = {"width": width} if self.spec.takes_width else {}
        rows, columns = self._filling(height, views[0]), self._filling(width, views[0])
        filled = [view.index_select(2, rows).index_select(3, columns) for view in views]
        sharp: Tensor = self.network(*filled, **masked)
        return sharp[:, :, :height, :width]

    def _filling(self, size: int, like: Tensor) -> Tensor:
        """Indices that fill up `size` rows or columns to what the network needs, by repeating the last one."""
        whole = _opaque((size + self.spec.size_multiple - 1) // self.spec.size_multiple) * self.spec.size_multiple
        return torch.arange(whole, device=like.device).clamp(max=size - 1)

    def samples(self) -> tuple[Tensor, ...]:
        """Views to trace with, of a size that nothing divides."""
        return tuple(
            torch.rand(1, 3, 4 * self.spec.size_multiple + 5, 6 * self.spec.size_multiple + 11) for _ in self.spec.views
        )


def _opaque(count: int) -> int:
    """Return the same number, hidden from `torch.export`.

    Otherwise that reasons for minutes about all sizes that depend on it, and forbids those that the sample does not
    have.
    """
    if not is_exporting():
        return count
    hidden = torch.full((1,), count, dtype=torch.int64).item()
    torch._check(hidden >= 1)  # type: ignore[no-untyped-call]
    return hidden  # type: ignore[return-value]


# Engines name what goes in after the arguments, hence a class for each set of views.


class _Pair(Graph):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.run(left, right)


class _Single(Graph):
    def forward(self, center: Tensor) -> Tensor:
        return self.run(center)


class _Triple(Graph):
    def forward(self, center: Tensor, left: Tensor, right: Tensor) -> Tensor:
        return self.run(center, left, right)


GRAPHS: dict[tuple[str, ...], type[Graph]] = {
    ("left", "right"): _Pair,
    ("center",): _Single,
    ("center", "left", "right"): _Triple,
}


def graph_of(network: nn.Module) -> Graph:
    """The graph of a network, a copy with the same weights. Raises MachineError if its views are none known here."""
    views = spec_of(network).views
    if views not in GRAPHS:
        raise MachineError(
            f"{type(network).__name__} takes the views {', '.join(views)}, and no other engine than torch is prepared"
            f" for that; leave {option('engine', None)} out."
        )
    return GRAPHS[views](network).eval()


def _rewritten(module: nn.Module) -> nn.Module:
    """The same with layers of those forms that engines run fast."""
    match module:
        case mccnet_fast.Block():
            return layers.GraphBlock(module)
        case mccnet_fast.Correlation():
            return layers.GraphCorrelation(module)
        case mccnet_fast.Norm():
            return layers.GraphNorm(module)
        case mccnet_fast.Pointwise():
            return pointwise(module.weight, module.bias)
        case mccnet.CrossCorrelation():
            return layers.GraphCrossCorrelation(module, _rewritten)
        case blocks.Merge():
            return layers.GraphMerge(module)
    if type(module) is nn.Conv2d:
        return Convolution(module.weight, module.bias, module)
    for name, child in module.named_children():
        setattr(module, name, _rewritten(child))
    return module

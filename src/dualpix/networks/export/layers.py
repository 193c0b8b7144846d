"""Layers of mccnet-fast and mccnet in a form that engines run fast: the same results from the same weights.

Normalisation looks at the channels of a pixel, so it wants them side by side (B H W C); convolutions want B C H W,
which engines keep side by side too, and turning one into the other is then free if nothing lies between the two.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.export.rounding import Convolution, Rounding, pointwise
from dualpix.networks.layers import blocks
from dualpix.networks.layers.banded import correlate_pixels
from dualpix.networks.mccnet import model as mccnet
from dualpix.networks.mccnet_fast import model as mccnet_fast


class GraphNorm(nn.Module):
    """Layer normalisation over channels."""

    def __init__(self, norm: mccnet_fast.Norm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.rounding = Rounding()

    def pixels(self, maps: Tensor) -> Tensor:
        """B C H W -> B H W C."""
        batch, channels, height, width = maps.shape
        # Of three dimensions, since OpenVINO has a fast normalisation over the last one only of those.
        rows = maps.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        normed = F.layer_norm(rows, (channels,), self.weight, self.bias, 1e-6)
        return normed.reshape(batch, height, width, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        rounded: Tensor = self.rounding(self.pixels(maps))
        return rounded.permute(0, 3, 1, 2)


class GraphBlock(nn.Module):
    """The gate's two halves are convolutions of their own, since cutting a tensor apart by channels is a copy."""

    def __init__(self, block: mccnet_fast.Block) -> None:
        super().__init__()
        self.norm = GraphNorm(block.norm)
        halves = zip(block.mix.weight.chunk(2), block.mix.bias.chunk(2), strict=True)  # type: ignore[union-attr]
        self.value, self.gate = (Convolution(weight, bias, block.mix, rounded=True) for weight, bias in halves)
        self.out = pointwise(block.out.weight, block.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        normed = self.norm(x)
        mixed: Tensor = x + self.out(self.value(normed) * self.gate(normed))
        return mixed


class GraphCorrelation(nn.Module):
    """That of mccnet-fast, with fewer tensors.

    The scores of projected features with projected features are those of twice projected ones with plain ones, which
    are what is gathered too: one tensor less to cut into blocks. What is gathered is joined by a product of its own,
    instead of being laid beside the features first.
    """

    def __init__(self, correlation: mccnet_fast.Correlation) -> None:
        super().__init__()
        self.norm = GraphNorm(correlation.norm)
        project = correlation.project.weight
        self.project = nn.Parameter(project.shape[0] ** -0.5 * project.T @ project, requires_grad=False)
        own, other = correlation.join.weight.chunk(2, 1)
        self.own, self.other = pointwise(own, correlation.join.bias, rounded=True), pointwise(other)
        self.max_disparity = correlation.max_disparity

    def forward(self, views: Tensor, width: int | None) -> Tensor:
        """2B C H W -> B 2C H W."""
        width = views.shape[3] if width is None else width
        batch = views.shape[0] // 2
        normed = self.norm.pixels(views)  # 2B H W C
        seen = F.linear(normed, self.project)
        left, right = normed[:batch], normed[batch:]
        gathered = [
            correlate_pixels(query, other, other, self.max_disparity, width)
            for query, other in ((seen[:batch], right), (seen[batch:], left))
        ]
        own = self.own(self.norm.rounding(normed).permute(0, 3, 1, 2))
        joined = views + own + self.other(torch.cat(gathered).permute(0, 3, 1, 2))
        return torch.cat([joined[:batch], joined[batch:]], 1)


class GraphCrossCorrelation(nn.Module):
    """That of mccnet, whose features and projections stay as they are."""

    def __init__(self, correlation: nn.Module, rewrite: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        assert isinstance(correlation, mccnet.CrossCorrelation)
        self.block, self.project = rewrite(correlation.block), rewrite(correlation.project)
        self.project_value = rewrite(correlation.project_value)
        self.max_disparity = correlation.max_disparity
        scale = correlation.score_scale
        self.scale = correlation.project.out_channels**-0.5 if scale is None else scale

    def forward(self, maps: Tensor, width: int | None = None) -> Tensor:
        """2B C H W -> 2B C H W."""
        width = maps.shape[3] if width is None else width
        batch = maps.shape[0] // 2
        seen = self.project(maps + self.block(maps)).permute(0, 2, 3, 1)  # 2B H W C
        value = self.project_value(maps).permute(0, 2, 3, 1)
        mine, theirs = slice(None, batch), slice(batch, None)
        gathered = [
            correlate_pixels(self.scale * seen[one], seen[other], value[other], self.max_disparity, width)
            for one, other in ((mine, theirs), (theirs, mine))
        ]
        return maps + torch.cat(gathered).permute(0, 3, 1, 2)


class GraphMerge(nn.Module):
    """A convolution for each of the maps that are brought to one scale and added."""

    def __init__(self, merge: blocks.Merge) -> None:
        super().__init__()
        weights = torch.split(merge.weight, merge.channels, dim=1)
        self.parts = nn.ModuleList(
            Convolution(weight, merge.bias if number == 0 else None) for number, weight in enumerate(weights)
        )
        self.doublings, self.mode = merge.doublings, merge.mode

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps B C_i H_i W_i -> B channels_out H W."""
        sized = []
        for part, convolve, doublings in zip(maps, self.parts, self.doublings, strict=True):
            small = convolve(F.avg_pool2d(part, 2**-doublings) if doublings < 0 else part)
            sized.append(blocks.upsample(small, 2**doublings, self.mode) if doublings > 0 else small)
        merged = sized[0]
        for more in sized[1:]:
            merged = merged + more
        return merged

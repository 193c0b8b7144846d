"""MCCNet-fast in stages, for engines with little memory: each a graph of its own, from rows of features to others.

Rows around a strip that a stage depends on are few where features are fine, and many only where they are coarse and
small. So one stage after another, each in strips, gives the whole picture with far fewer rows computed twice, and in a
fraction of the memory, than the whole network does in bands. What `networks.mccnet_fast.streaming` does inside PyTorch.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.errors import CheckpointError
from dualpix.networks.export import Graph
from dualpix.networks.mccnet_fast.model import STRIDE, MCCNetFast


@dataclass(frozen=True)
class Features:
    """Rows of features that pass from stage to stage: batch x channels x H/step_px x W/step_px."""

    batch: int
    channels: int
    step_px: int


@dataclass(frozen=True)
class Stage:
    """A part of the network.

    Args:
        name: What it is called.
        module: Takes `inputs` and gives `outputs`, in order.
        inputs: Features by name.
        outputs: Features by name.
        reach_px: Rows of the picture above and below that an output row depends on.
        multiple_px: What rows of the picture are taken in multiples of.
        takes_width: The module takes `width` besides, the columns of the picture that are no padding, of shape 1.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Features]
    outputs: dict[str, Features]
    reach_px: int
    multiple_px: int
    takes_width: bool = False


VIEW = Features(1, 3, 1)


class _See(nn.Module):
    """Both views -> what is skipped at half size, what it lends to a quarter, and both views' features at a quarter."""

    def __init__(self, network: MCCNetFast) -> None:
        super().__init__()
        self.stem, self.encode, self.shrink = network.stem, network.encode_half, network.to_quarter
        self.correlate = network.correlate_half
        self.here, self.there = network.fuse_half.here, network.fuse_quarter.there

    def forward(self, left: Tensor, right: Tensor, width: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = self.encode(self.stem(F.pixel_unshuffle(torch.cat([left, right]), 2)))
        quarter = self.shrink(half)
        half = self.correlate(half, (width + 1) // 2)
        return self.here(half), self.there(F.avg_pool2d(half, 2)), quarter


class _Match(nn.Module):
    """Features at a quarter -> what is skipped there, what they lend to half size, and features at an eighth."""

    def __init__(self, network: MCCNetFast) -> None:
        super().__init__()
        self.encode, self.correlate, self.shrink = (
            network.encode_quarter,
            network.correlate_quarter,
            network.to_eighth,
        )
        self.here, self.there = network.fuse_quarter.here, network.fuse_half.there

    def forward(self, quarter: Tensor, half_lent: Tensor, width: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        quarter = self.correlate(self.encode(quarter), (width + 3) // 4)
        return self.here(quarter) + half_lent, self.there(quarter), self.shrink(quarter)


class _Think(nn.Module):
    """Features at an eighth -> the same, which have seen far around."""

    def __init__(self, network: MCCNetFast) -> None:
        super().__init__()
        self.encode, self.shrink, self.bottom = network.encode_eighth, network.to_sixteenth, network.bottom
        self.up, self.decode = network.up_eighth, network.decode_eighth

    def forward(self, eighth: Tensor) -> Tensor:
        eighth = self.encode(eighth)
        deep: Tensor = self.decode(self.up(self.bottom(self.shrink(eighth)), eighth))
        return deep


class _Draw(nn.Module):
    """All that was kept -> the sharp picture."""

    def __init__(self, network: MCCNetFast) -> None:
        super().__init__()
        self.up_quarter, self.decode_quarter = network.up_quarter, network.decode_quarter
        self.up_half, self.decode_half = network.up_half, network.decode_half
        self.norm, self.head = network.head_norm, network.head

    def forward(
        self, deep: Tensor, skip_quarter: Tensor, quarter_lent: Tensor, skip_half: Tensor, left: Tensor, right: Tensor
    ) -> Tensor:
        quarter = self.decode_quarter(self.up_quarter(deep, skip_quarter))
        skip = skip_half + F.interpolate(quarter_lent, scale_factor=2.0)
        half = self.decode_half(self.up_half(quarter, skip))
        return (left + right) / 2 + STRIDE * F.pixel_shuffle(self.head(self.norm(half)), 2)


def stages_of(graph: Graph, network: nn.Module) -> tuple[Stage, ...]:
    """Return the stages, in the order in which they depend on one another.

    Args:
        graph: What `graph_of` made of the network.
        network: The network itself, whose numbers of blocks say how far rows depend on others.

    Raises:
        CheckpointError: It is another network than mccnet-fast.
    """
    if not isinstance(network, MCCNetFast):
        raise CheckpointError(
            f"Only mccnet-fast can be exported in stages, not {type(network).__name__}; export it as a whole."
        )
    d, rewritten = network.depths, cast(MCCNetFast, graph.network)
    half, quarter, eighth = network.stem.out_channels, network.to_quarter.out_channels, network.to_eighth.out_channels
    skip_half, skip_quarter = Features(1, half, 2), Features(1, quarter, 4)
    views = {"left": VIEW, "right": VIEW}
    seen = {"skip_half": skip_half, "half_lent": Features(1, quarter, 4), "quarter": Features(2, quarter, 4)}
    matched = {"skip_quarter": skip_quarter, "quarter_lent": Features(1, half, 4), "eighth": Features(1, eighth, 8)}
    deep = {"deep": Features(1, eighth, 8)}
    kept = {"skip_quarter": skip_quarter, "quarter_lent": matched["quarter_lent"], "skip_half": skip_half}
    far_px, near_px = _up(8 * d[4], 16) + 16 * d[3] + 8 * d[2], 4 * d[5] + _up(2 * (d[6] + 1), 4)
    given = {"quarter": seen["quarter"], "half_lent": seen["half_lent"]}
    stages = (
        Stage("see", _See(rewritten), views, seen, 2 * (1 + d[0]), 4, takes_width=True),
        Stage("match", _Match(rewritten), given, matched, 4 * d[1], 8, takes_width=True),
        Stage("think", _Think(rewritten), {"eighth": matched["eighth"]}, deep, far_px, 16),
        Stage("draw", _Draw(rewritten), deep | kept | views, {"sharp": VIEW}, near_px, 8),
    )
    for stage in stages:
        stage.module.eval()
    return stages


def _up(rows_px: int, step_px: int) -> int:
    """Rounded up to whole rows of coarser features, which the rows of finer ones lie in."""
    return -(-rows_px // step_px) * step_px

"""A result beside its views, by blocks: what was changed in each, and what was there to be changed.

All that is looked at after a run comes from these few numbers a block, taken from some rows of the picture at a time,
so that it needs little memory and time beside the network.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_PX = 16
STRIP_BLOCKS = 4  # rows of blocks at a time


@dataclass(frozen=True)
class Comparison:
    """Blocks of a result and of the mean of its views, levels in [0, 1], display-encoded.

    Brightness is the mean of the three channels, and colour what each differs from that by.

    Attributes:
        shift: Mean of the result less that of the views, 3 h w.
        level: Mean of the views, 3 h w.
        change: Mean square of the difference, of all channels and of their brightness alone, 2 h w.
        texture: Variance of the views, in the same way, 2 h w.
        block_px: Side of a block, in pixels.
    """

    shift: Tensor
    level: Tensor
    change: Tensor
    texture: Tensor
    block_px: int


def compare(picture: Tensor, views: Sequence[Tensor], block_px: int = BLOCK_PX) -> Comparison:
    """Compare `picture`, 3 H W in [0, 1], with the mean of `views`, one or more of the same shape."""
    found = [_of_strip(picture[:, rows], mean_of(views, rows), block_px) for rows in strips(picture.shape[1], block_px)]
    shift, level, change, texture = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
    return Comparison(shift, level, change, texture, block_px)


def strips(height: int, block_px: int) -> Iterator[slice]:
    """Rows of whole blocks, some at a time, down to the last row."""
    step = STRIP_BLOCKS * block_px
    for first in range(0, height, step):
        yield slice(first, min(first + step, height))


def mean_of(views: Sequence[Tensor], rows: slice) -> Tensor:
    """The mean of some rows of `views`, in memory of its own."""
    total = views[0][:, rows].clone()
    for view in views[1:]:
        total += view[:, rows]
    return total.div_(len(views))


def block_means(values: Tensor, block_px: int) -> Tensor:
    """Means over blocks of C H W: C h w. The last ones of a row or column may hold fewer pixels."""
    return F.avg_pool2d(values[None], block_px, ceil_mode=True, count_include_pad=False)[0]


def near_means(values: Tensor, side: int) -> Tensor:
    """Means of h w, whatever stands before, over `side` x `side` around each place that exist; `side` is odd."""
    return F.avg_pool2d(values, side, 1, side // 2, count_include_pad=False)


def _of_strip(result: Tensor, mean: Tensor, block_px: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    difference = result - mean
    shift, level = block_means(difference, block_px), block_means(mean, block_px)
    change = block_means(_squares(difference), block_px)
    texture = block_means(_squares(mean), block_px)
    texture -= torch.stack([level.square().mean(0), level.mean(0).square()])
    return shift, level, change, texture.clamp_(min=0)


def _squares(values: Tensor) -> Tensor:
    """Mean square over the channels of 3 H W, and square of their mean, 2 H W."""
    return torch.stack([values.square().mean(0), values.mean(0).square_()])

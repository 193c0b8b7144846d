"""A few rows at a time: the pieces of which networks are put together that run without gradients.

A layer that makes a tensor of the whole picture's size spends as long on memory as on arithmetic: each byte goes out to
the memory and comes back for the next layer, and the system clears every page of a new tensor first. So maps are
changed in place, strip by strip, and all that a layer makes in between stays in the cache.

Maps here are H W C, contiguous, of one picture: what channels-last memory holds for a batch of one.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIP_BYTES = 2**20
"""Size of a strip of the map that is changed. Several times as much is needed in between, and fits two cores' cache."""

MOST_ROWS = 16

VECTOR = 32
"""Numbers of 16 bits that PyTorch normalises at once where a processor has the longest vectors; the rest one by one."""


def strips(maps: Tensor) -> Iterator[tuple[int, int]]:
    """(first, last + 1) rows of strips of `maps`, H W C, about `STRIP_BYTES` each."""
    height, width, channels = maps.shape
    rows = max(1, min(MOST_ROWS, STRIP_BYTES // (width * channels * maps.element_size())))
    return ((first, min(first + rows, height)) for first in range(0, height, rows))


def picture_of(maps: Tensor) -> Tensor:
    """H W C -> 1 C H W, the same memory, channels-last."""
    return maps[None].permute(0, 3, 1, 2)  # Not [None] last, whose stride would not look channels-last.


def maps_of(picture: Tensor) -> Tensor:
    """1 C H W -> H W C, the same memory if it is channels-last."""
    return picture[0].permute(1, 2, 0).contiguous()


def normalised(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """H W C, normalised over C; in fp32 if what was given is bf16 and fp32 is quicker."""
    channels = maps.shape[-1]
    if maps.dtype is torch.bfloat16 and channels % VECTOR:  # half of the time with 40 channels
        maps, weight, bias = maps.float(), weight.float(), bias.float()
    return F.layer_norm(maps, (channels,), weight, bias, 1e-6)


class Normed:
    """Strips of normalised maps, each with the row above and below that a 3 x 3 convolution needs.

    Beyond the edges these are zeros. The maps may be changed in place as the strips are taken, up to the end of each.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def strips(self, maps: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """(first, last + 1) rows, and the normalised rows first - 1 to last + 1, H W C."""
        height, width, channels = maps.shape
        held: Tensor | None = None
        for first, last in strips(maps):
            rows = last - first
            if held is None or len(held) != rows + 2:
                fresh = maps.new_zeros(rows + 2, width, channels)
                if held is not None:
                    fresh[0] = held[-2]
                held = fresh
            elif first:
                held[0] = held[-2]
            below = min(last + 1, height)
            held[1 : 1 + below - first] = normalised(maps[first:below], self.weight, self.bias)
            if below == last:
                held[-1] = 0
            yield first, last, held


def add_product(maps: Tensor, features: Tensor, weight: Tensor) -> None:
    """Compute maps += features @ weight, over the last dimension: H W C, H W D, D C. `maps` must be contiguous."""
    maps.view(-1, maps.shape[-1]).addmm_(features.reshape(-1, features.shape[-1]), weight)


def add_linear(maps: Tensor, features: Tensor, linear: nn.Linear) -> None:
    """Compute maps += linear(features): H W C, H W D. `maps` must be contiguous."""
    if maps.dtype is torch.bfloat16:  # Two passes over the maps are fewer numbers rounded, and up to twice as quick.
        maps += F.linear(features, linear.weight, linear.bias)
    else:
        add_product(maps, features, linear.weight.t())
        maps += linear.bias


def halved(maps: Tensor) -> Tensor:
    """2H 2W C -> H W C, the mean of each 2 x 2; several times quicker than average pooling of so few rows."""
    height, width, channels = maps.shape
    pairs = maps.view(height // 2, 2, width, channels)
    columns = pairs[:, 0].add(pairs[:, 1]).view(height // 2, width // 2, 2, channels)
    return columns[:, :, 0].add(columns[:, :, 1]).mul_(0.25)


class Window:
    """`correlation.correlate_rows` with a window, in fewer and smaller matrix products.

    A row is cut into blocks of queries, and each block's keys are a piece of the row that overlaps the next one's. With
    zeros around, so many that pieces lie equally far apart across the ends of rows, all those of a strip are one batch.
    """

    BLOCK = 16

    def __init__(self, full_width: int, width: int, max_disparity: int, like: Tensor) -> None:
        """full_width: columns; width: those nobody may look beyond."""
        self.full_width, self.width = full_width, width
        self.reach = min(max_disparity, full_width - 1)
        self.keys = self.BLOCK + 2 * self.reach
        self.blocks = -(-(full_width + 2 * self.reach) // self.BLOCK)
        self.padded_width = self.blocks * self.BLOCK
        starts = self.BLOCK * torch.arange(self.blocks, device=like.device).view(-1, 1, 1)
        query = starts + torch.arange(self.BLOCK, device=like.device)[:, None]
        key = starts + torch.arange(self.keys, device=like.device) - self.reach
        seen = ((query - key).abs() <= self.reach) & (key >= 0) & (key < width)
        seen |= query >= width  # What these find is not used, but a softmax over nothing would be slow NaN.
        self.mask = torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(~seen, -torch.inf)
        self.masks = self.mask  # once for each row, for as many rows as there were last

    def empty(self, rows: int, channels: int) -> Tensor:
        """Zeros R+1 P C for `rows` rows of keys or values; `inner` is their place."""
        return self.mask.new_zeros(rows + 1, self.padded_width, channels)

    def inner(self, padded: Tensor) -> Tensor:
        """R+1 P C -> R W C, the same memory."""
        return padded[:-1, self.reach : self.reach + self.full_width]

    def aligned(self, padded: Tensor) -> Tensor:
        """R+1 P C -> RP C, the same memory, where column i stands as in what `gather` returns."""
        flat = padded.view(-1, padded.shape[-1])
        return flat[self.reach : self.reach + (len(padded) - 1) * self.padded_width]

    def gather(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """All R+1 P C -> R P C; of its columns those from W on mean nothing, from `width` to W they are zero."""
        rows, channels = len(query) - 1, query.shape[-1]
        queries = self.aligned(query).view(-1, self.BLOCK, channels)
        if len(self.masks) != rows * self.blocks:
            self.masks = self.mask.repeat(rows, 1, 1)
        scores = torch.baddbmm(self.masks, queries, self._pieces(key).transpose(1, 2), alpha=scale)
        found = torch.bmm(scores.softmax(-1), self._pieces(value)).view(rows, self.padded_width, -1)
        if self.width < self.full_width:
            found[:, self.width :] = 0
        return found

    def _pieces(self, padded: Tensor) -> Tensor:
        channels = padded.shape[-1]
        shape = ((len(padded) - 1) * self.blocks, self.keys, channels)
        return padded.as_strided(shape, (self.BLOCK * channels, channels, 1), padded.storage_offset())

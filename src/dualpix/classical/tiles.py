"""A picture in tiles that repeat without a seam, as the Fourier transform takes them to do."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class Tiles:
    """Equal tiles of V C H W views, each with a border on all sides, of one size good for Fourier transforms."""

    def __init__(self, views: Tensor, border: int, tile_px: int) -> None:
        self.views, self.border = views, border
        shape = views.shape[-2:]
        counts = [-(-side // tile_px) for side in shape]
        self.steps = [-(-side // count) for side, count in zip(shape, counts, strict=True)]
        self.size = [_fast_size(step + 2 * border) for step in self.steps]
        fades = [_fade(side, border // 2) for side in self.size]
        self.fade = fades[0][:, None] * fades[1]
        self.smooth = _wide_blur(self.size, border / 6)

    def places(self) -> list[tuple[slice, slice]]:
        """Rows and columns of the picture that each tile is for."""
        rows, columns = (
            [slice(start, min(start + step, side)) for start in range(0, side, step)]
            for side, step in zip(self.views.shape[-2:], self.steps, strict=True)
        )
        return [(row, column) for row in rows for column in columns]

    def cut(self, rows: slice, columns: slice) -> Tensor:
        """The tile with its border, made to repeat without a seam: V C h w."""
        tile = self.with_border(self.views, rows, columns)
        if len(tile) == 2:
            _, turned = _mirrored(columns.start - self.border, self.size[1], self.views.shape[-1])
            tile = torch.where(turned, tile.flip(0), tile)
        return self._blur(tile).lerp_(tile, self.fade)

    def with_border(self, plane: Tensor, rows: slice, columns: slice) -> Tensor:
        """The part of ... H W that the tile covers, mirrored where it goes beyond: ... h w."""
        height, width = plane.shape[-2:]
        down, _ = _mirrored(rows.start - self.border, self.size[0], height)
        across, _ = _mirrored(columns.start - self.border, self.size[1], width)
        return plane.index_select(-2, down).index_select(-1, across)

    def inner(self, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        """A tile ... h w without its border."""
        height, width = rows.stop - rows.start, columns.stop - columns.start
        return tile[..., self.border : self.border + height, self.border : self.border + width]

    def without(self, alien: Tensor, tile: Tensor) -> Tensor:
        """The tile V C h w with its `alien` pixels (h w) replaced by the mean of the others, the nearest first."""
        own = (~alien).to(tile)
        mean = (tile * own).sum((-2, -1), keepdim=True) / own.sum()
        around = (self._blur(tile * own) + 1e-3 * mean) / (self._blur(own) + 1e-3)
        return torch.where(alien, around, tile)

    def spread(self, radius: Tensor) -> Tensor:
        """Which pixels h w lie within `radius` (h w, whole pixels, 0 for none) of some other."""
        for _ in range(int(radius.max()) - 1):
            radius = torch.maximum(radius, F.max_pool2d(radius[None], 3, 1, 1)[0] - 1)
        return radius > 0

    def _blur(self, tile: Tensor) -> Tensor:
        blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(tile) * self.smooth, s=self.size)
        return blurred


def _mirrored(start: int, count: int, side: int) -> tuple[Tensor, Tensor]:
    """Places start ... start + count - 1 of a line of `side` pixels that goes on mirrored for ever.

    Returns where each of them lies on the line, and whether it is seen in the mirror.
    """
    index = torch.arange(start, start + count) % (2 * side)
    turned = index >= side
    return torch.where(turned, 2 * side - 1 - index, index), turned


def _fade(side: int, width: int) -> Tensor:
    """1, falling to 0 over `width` at both ends."""
    ends = 0.5 - 0.5 * torch.cos((torch.arange(width) + 0.5) * (torch.pi / width))
    return torch.cat([ends, torch.ones(side - 2 * width), ends.flip(0)])


def _wide_blur(size: Sequence[int], sigma_px: float) -> Tensor:
    down, across = torch.fft.fftfreq(size[0]), torch.fft.rfftfreq(size[1])
    return torch.exp(-2 * (torch.pi * sigma_px) ** 2 * (down[:, None] ** 2 + across**2))


def _fast_size(least: int) -> int:
    """The next even number without prime factors beyond 5."""
    size = least + least % 2
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2

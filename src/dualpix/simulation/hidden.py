"""A picture cut into layers of equal blur, each continued behind what is nearer.

A pixel between two blurs is shared by their layers, so slants have no steps. Each layer goes on behind what is nearer,
by diffusion of its own colours and of how much of it there is, so that the blurred edge of a foreground shows
background and not the foreground once more. What is far from where a layer is seen is made up in a picture of samples,
which a whole picture has few of; the rest from the rows at hand.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.depth import JUMP_PX, push_pull

GRID = 16
"""Rows and columns that are cut out begin and end on multiples of it, and so reduced is the picture of samples."""

SAMPLED = 4  # one row in so many, and one column, is a sample
FILL = 4  # reduction in which layers are continued behind others: what is made up has no detail
RIM_PX = 1  # a picture mixes the colours of both sides of an edge that far into the far side
LEAST = 1e-6


class Strip(NamedTuple):
    """Rows of a picture from `first` on: light 3 h w, signed blur h w, and what is mixed with something nearer, h w."""

    first: int
    light: Tensor
    blur_px: Tensor
    rim: Tensor

    def part(self, rows: slice, columns: slice) -> "Strip":
        """Some of them, counted as `first` is, and some columns."""
        there = slice(rows.start - self.first, rows.stop - self.first)
        return Strip(rows.start, *(plane[..., there, columns] for plane in self[1:]))


@dataclass(frozen=True)
class Layers:
    """Layers of a picture, by number, the nearest first.

    Args:
        nodes: Their radii of blur, rising.
        near: Where each, and what there is of it behind others, may be seen, N h w, GRID times reduced.
        samples: Every SAMPLED-th pixel.
    """

    nodes: list[float]
    near: Tensor
    samples: Strip
    _far: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, blur_px: Tensor, nodes: list[float], reaches: list[int], light: Callable[[int], Tensor]) -> "Layers":
        """The layers of a map of blur, H W, whose sides are multiples of GRID.

        `reaches` are those of their discs, in pixels; `light` gives the light of one pixel in so many, either way, from
        the half of that on.
        """
        low, high = -F.max_pool2d(-blur_px[None], GRID)[0], F.max_pool2d(blur_px[None], GRID)[0]
        ends = [-torch.inf, *nodes, torch.inf]
        there = [(high > ends[number]) & (low < ends[number + 2]) for number in range(len(nodes))]
        # A layer is seen behind the blurred edges of nearer ones, and there itself blurred.
        near = [_spread(own, -(-(max(reaches) + reach) // GRID)) for own, reach in zip(there, reaches, strict=True)]
        sampled_px = blur_px[SAMPLED // 2 :: SAMPLED, SAMPLED // 2 :: SAMPLED]
        return cls(nodes, torch.stack(near), Strip(0, light(SAMPLED), sampled_px, rim_of(sampled_px)))

    def windows(self, number: int, first: int, last: int, reach_px: int) -> Iterator[tuple[slice, slice]]:
        """Rows and columns that hold all that may be seen of a layer in these rows, and GRID more on all sides.

        They begin and end on multiples of GRID, and lie so far apart that what reaches `reach_px` does not overlap.
        """
        near = self.near[number, first // GRID : last // GRID]
        for begin, end in _runs(near.any(0), 2 + 2 * -(-reach_px // GRID)):
            rows = near[:, begin:end].any(1).nonzero()
            top, bottom = first // GRID + int(rows[0]) - 1, first // GRID + int(rows[-1]) + 2
            across = slice(max(0, begin - 1) * GRID, min(end + 1, near.shape[1]) * GRID)
            yield slice(max(first, top * GRID), min(last, bottom * GRID)), across

    def planes(self, rows: Strip, columns: slice, number: int, reduction: int) -> Tensor:
        """Premultiplied light and cover, 4 h w, of one layer, reduced, and continued behind what is nearer.

        Args:
            rows: Those columns of the rows, as `windows` gives both.
            columns: Which these are.
            number: Of the layer.
            reduction: Of the planes, from 1 to GRID / 2.
        """
        seen, own = self._shares(rows.blur_px, number)
        if reduction == 1 and seen is None:
            return torch.cat([rows.light * own, own])
        step = FILL if reduction == 1 else reduction
        values, weight = _sure(rows, seen, own, step)
        places = slice(rows.first // GRID, rows.first // GRID + own.shape[1] // GRID), _divided(columns, GRID)
        made_up = _continued(values, (4 * weight).clamp_max_(1), self._far_of(number)[:, *places], step)
        near = self.near[number, *places]
        if not bool(near.all()):
            made_up *= F.interpolate(near[None, None].float(), scale_factor=float(GRID // step))[0]
        if reduction > 1:
            return made_up
        assert seen is not None
        large = enlarged(made_up, step)
        # The share of what is made up and that of what is seen, in place of a mixture of both.
        large.mul_(1 - seen)
        large[:3].addcmul_(rows.light, own)
        large[3:].add_(own)
        return large

    def _shares(self, blur_px: Tensor, number: int) -> tuple[Tensor | None, Tensor]:
        """How much of each pixel belongs to a layer or to farther ones, None for all, and to it alone, 1 h w each."""
        seen, farther = (self._share(blur_px, place) for place in (number, number + 1))
        if seen is not None and bool((seen == 1).all()):
            seen = None
        if farther is None:
            return seen, torch.ones_like(blur_px)[None] if seen is None else seen
        return seen, 1 - farther if seen is None else seen - farther

    def _share(self, blur_px: Tensor, number: int) -> Tensor | None:
        """How much of each pixel belongs to a layer or to farther ones, 1 h w; None at either end."""
        if number in (0, len(self.nodes)):
            return None
        before, node = self.nodes[number - 1], self.nodes[number]
        return ((blur_px[None] - before) / (node - before)).clamp_(0, 1)

    def _far_of(self, number: int) -> Tensor:
        """Layer and its continuation in the whole picture, GRID times reduced, 4 h w."""
        if number not in self._far:
            seen, own = self._shares(self.samples.blur_px, number)
            values, weight = _sure(self.samples, seen, own, GRID // SAMPLED)
            self._far[number] = push_pull(values, (4 * weight[0]).clamp_max_(1))
        return self._far[number]


def rounded_up(length: int, to: int = GRID) -> int:
    """The next multiple."""
    return -(-length // to) * to


def rim_of(blur_px: Tensor) -> Tensor:
    """Pixels of a map of blur, h w, whose colours are mixed with something nearer: 1 there, else 0."""
    side = 2 * RIM_PX + 1
    nearest = -F.max_pool2d(F.max_pool2d(-blur_px[None], (side, 1), 1, (RIM_PX, 0)), (1, side), 1, (0, RIM_PX))[0]
    return (blur_px - nearest > JUMP_PX).float()


def enlarged(planes: Tensor, by: int) -> Tensor:
    """C h w, so many times enlarged, between pixels in proportion."""
    if by == 1:
        return planes
    return F.interpolate(planes[None], scale_factor=float(by), mode="bilinear", align_corners=False)[0]


def _sure(rows: Strip, seen: Tensor | None, own: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """Light and cover of a layer where nothing is mixed in, 4 h w, and how much of it there is, 1 h w; reduced."""
    if seen is None:
        kept = own - rows.rim * own.square()
        sure = 1 - rows.rim * own
    else:
        kept = own - rows.rim * own.square() / seen.clamp_min(LEAST)
        sure = seen - rows.rim * own
    reduced = _reduced(torch.cat([rows.light * kept, kept, sure]), by)
    return reduced[:4] / reduced[4:].clamp_min(LEAST), reduced[4:]


def _continued(values: Tensor, known: Tensor, far: Tensor, step: int) -> Tensor:
    """`push_pull` of values 4 h w, reduced `step` times, of which so much is known, 1 h w, with `far` at its bottom."""
    below = far
    if 2 * step < GRID:
        coarse = _reduced(torch.cat([values * known, known]), 2)
        below = _continued(coarse[:4] / coarse[4:].clamp_min(LEAST), (4 * coarse[4:]).clamp_max_(1), far, 2 * step)
    return torch.lerp(enlarged(below, 2), values, known)


def _reduced(planes: Tensor, by: int) -> Tensor:
    """Means of C h w; several times as fast as pooling, row upon row first."""
    count, height, width = planes.shape
    rows = planes.view(count, height // by, by, width).sum(2)
    return rows.view(count, height // by, width // by, by).sum(3).div_(by * by)


def _spread(there: Tensor, by: int) -> Tensor:
    """Places h w, and those that lie up to so many from one of them."""
    near = F.max_pool2d(there[None].float(), (2 * by + 1, 1), 1, (by, 0))
    return F.max_pool2d(near, (1, 2 * by + 1), 1, (0, by))[0] > 0


def _runs(there: Tensor, apart: int) -> list[tuple[int, int]]:
    """First and last + 1 of the places that are True, with fewer than `apart` others between two of them."""
    runs: list[tuple[int, int]] = []
    for place in there.nonzero().flatten().tolist():
        if runs and place - runs[-1][1] < apart:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs


def _divided(places: slice, by: int) -> slice:
    return slice(places.start // by, places.stop // by)

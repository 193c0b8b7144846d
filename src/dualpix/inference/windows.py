"""Run a network on a part of a picture: on few rectangles that hold all that is needed, as if it ran on the whole.

Each rectangle is computed with the rows and columns around it that its pixels depend on, so it equals the same part of
the whole picture, and the price is that what lies around is computed as well. Hence rectangles are chosen by the pixels
that they compute in the end; where that is no less than the whole picture, the whole is run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dualpix.inference import planning
from dualpix.inference.bands import Done, Progress
from dualpix.inference.engines import AnyRunner
from dualpix.inference.sharp_zone import BLOCK_PX, Zone
from dualpix.networks.spec import NetworkSpec
from dualpix.pairs.sample import Sample, mean_view

MOST_CELLS = 24
"""Of a side of the grid on which rectangles are chosen; choosing takes the fifth power of them."""

EXTRA_PX = 50_000
"""What a rectangle costs besides its pixels, in pixels: memory, calls, forms compiled for its size."""

Once: TypeAlias = Callable[..., Done]
Span: TypeAlias = tuple[int, int]
Costs: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rectangle:
    """A rectangle of a picture: (first, last + 1) of rows and of columns, and of those that are computed for it."""

    rows: Span
    columns: Span
    rows_around: Span
    columns_around: Span

    @property
    def computed_px(self) -> int:
        """Pixels that are computed."""
        return (self.rows_around[1] - self.rows_around[0]) * (self.columns_around[1] - self.columns_around[0])


def run_where(once: Once, runner: AnyRunner, zone: Zone) -> Once:
    """`once`, which runs a sample, on windows that hold all of `zone` where that is less than the picture.

    Elsewhere the picture is the mean of the views. Samples of another size than that of the zone are run whole.
    """

    def run(sample: Sample, progress: Progress | None = None, held_bytes: int = 0) -> Done:
        if sample["left"].shape[1:] != zone.size:
            return once(sample, progress=progress, held_bytes=held_bytes)
        windows = cover(zone, runner.spec)
        if windows is None:
            return once(sample, progress=progress, held_bytes=held_bytes)
        return _run(once, runner, sample, windows, progress, held_bytes)

    return run


def _run(
    once: Once,
    runner: AnyRunner,
    sample: Sample,
    windows: tuple[Rectangle, ...],
    progress: Progress | None,
    held_bytes: int,
) -> Done:
    views: Sample = {name: sample[name] for name in ("left", "right", "center") if name in sample}
    picture = mean_view(sample["left"], sample["right"])
    held_bytes += picture.nbytes + sum(view.nbytes for view in views.values())
    plans, notes = [_nothing(runner, held_bytes)], list[str]()
    for number, window in enumerate(windows):
        rows, columns = slice(*window.rows_around), slice(*window.columns_around)
        part: Sample = {name: view[:, rows, columns] for name, view in views.items()}
        step = None if progress is None else _nth(progress, number, len(windows))
        made, plan, said = once({**part, "name": sample["name"]}, progress=step, held_bytes=held_bytes)
        top, left = window.rows[0] - rows.start, window.columns[0] - columns.start
        height, width = (last - first for first, last in (window.rows, window.columns))
        picture[:, slice(*window.rows), slice(*window.columns)] = made[:, top : top + height, left : left + width]
        plans.append(plan)
        notes += said
    if progress is not None and not windows:
        progress(1, 1)
    computed = sum(window.computed_px for window in windows) / picture[0].numel()
    most = max(plans, key=lambda plan: plan.peak_bytes)
    bands = tuple(band for plan in plans for band in plan.bands)
    return picture, replace(most, bands=bands, windows=len(windows), computed=computed), tuple(dict.fromkeys(notes))


def _nothing(runner: AnyRunner, held_bytes: int) -> planning.Plan:
    """How nothing is computed."""
    peak_bytes = planning.PROCESS_BYTES + 2 * runner.weight_bytes + held_bytes
    device = str(runner.device) if runner.engine == "torch" else f"{runner.device}, {runner.engine}"
    return planning.Plan((), runner.spec.receptive_radius_px or 0, runner.precision, device, peak_bytes)


def _nth(progress: Progress, number: int, count: int) -> Progress:
    def step(done: int, total: int) -> None:
        if done < total or number + 1 == count:
            progress(number * total + done, count * total)

    return step


def cover(zone: Zone, spec: NetworkSpec) -> tuple[Rectangle, ...] | None:
    """Choose windows that hold all blocks that are needed and compute few pixels; None for the whole picture.

    Rectangles come from cutting the picture from side to side again and again: the best of all such ways.
    """
    if spec.receptive_radius_px is None:
        return None
    height, width = zone.size
    columns_px = spec.receptive_columns_px
    around = spec.receptive_radius_px, width if columns_px is None else columns_px
    needed = zone.needed
    if columns_px is None:
        needed = needed.any(1, keepdim=True).expand_as(needed)
    rectangles = _Cuts(needed.numpy(), zone.size, around).best()
    windows = tuple(_window(blocks, zone.size, around, spec.size_multiple) for blocks in rectangles)
    is_less = sum(window.computed_px + EXTRA_PX for window in windows) < height * width
    return windows if is_less else None


class _Cuts:
    """All ways to cut a grid of cells into rectangles from side to side, and what the best costs.

    Args:
        needed: Which blocks of `BLOCK_PX` have to be made, h w.
        size: Height and width of the picture in pixels.
        around: Rows and columns that are computed around a rectangle.
    """

    def __init__(self, needed: Mask, size: tuple[int, int], around: tuple[int, int]) -> None:
        self.needed = needed
        self.blocks = -(-max(needed.shape) // MOST_CELLS)
        self.cells = tuple(-(-side // self.blocks) for side in needed.shape)
        self.bounds: dict[Span, Costs] = {(1, 1): self._bounds()}
        self.costs: dict[Span, Costs] = {}
        self.whole: dict[Span, Costs] = {}
        rows, columns = self.cells
        for shape in ((tall, wide) for tall in range(1, rows + 1) for wide in range(1, columns + 1)):
            if shape != (1, 1):
                self.bounds[shape] = self._joined(shape)
            self.whole[shape] = self._pixels(self.bounds[shape], size, around)
            self.costs[shape] = self.whole[shape]
            for costs in (first + second for _, first, second in self._parts(shape)):
                self.costs[shape] = np.minimum(self.costs[shape], costs)

    def best(self) -> list[tuple[Span, Span]]:
        """The rectangles of the best way: first and last + 1 of rows and columns in blocks, no larger than needed."""
        return self._best(self.cells, (0, 0))

    def _best(self, shape: Span, place: Span) -> list[tuple[Span, Span]]:
        cost = self.costs[shape][place]
        if cost == 0:
            return []
        if cost == self.whole[shape][place]:
            return [self._shrunk(shape, place)]
        for (first, second, moved), one, other in self._parts(shape):
            if one[place] + other[place] == cost:
                beside = (place[0] + moved[0], place[1] + moved[1])
                return self._best(first, place) + self._best(second, beside)
        raise AssertionError("the best cost is that of one of the ways")

    def _parts(self, shape: Span) -> Iterator[tuple[tuple[Span, Span, Span], Costs, Costs]]:
        """Both parts of each cut: their shapes and where the second lies from the first; their costs, by place."""
        tall, wide = shape
        counts = [cells - side + 1 for cells, side in zip(self.cells, shape, strict=True)]
        for rows in range(1, tall):
            parts = (rows, wide), (tall - rows, wide), (rows, 0)
            yield parts, self.costs[parts[0]][: counts[0]], self.costs[parts[1]][rows : rows + counts[0]]
        for columns in range(1, wide):
            parts = (tall, columns), (tall, wide - columns), (0, columns)
            yield parts, self.costs[parts[0]][:, : counts[1]], self.costs[parts[1]][:, columns : columns + counts[1]]

    def _bounds(self) -> Costs:
        """Of each cell: -first and last + 1 of the rows and of the columns that are needed in it; -inf without any."""
        (rows, columns), blocks = self.cells, self.blocks
        padded = np.zeros((rows * blocks, columns * blocks), bool)
        padded[: self.needed.shape[0], : self.needed.shape[1]] = self.needed
        bounds = []
        for place in (np.arange(len(padded))[:, None], np.arange(padded.shape[1])[None]):
            for value in (-place, place + 1):
                held = np.where(padded, value.astype(np.float64), -np.inf)
                bounds.append(held.reshape(rows, blocks, columns, blocks).max((1, 3)))
        return np.stack(bounds)

    def _joined(self, shape: Span) -> Costs:
        """The bounds of rectangles of several cells, from those of smaller ones."""
        tall, wide = shape
        if tall > 1:
            return np.maximum(self.bounds[tall - 1, wide][:, :-1], self.bounds[1, wide][:, tall - 1 :])
        return np.maximum(self.bounds[1, wide - 1][:, :, :-1], self.bounds[1, 1][:, :, wide - 1 :])

    def _pixels(self, bounds: Costs, size: tuple[int, int], around: tuple[int, int]) -> Costs:
        """What a rectangle costs that holds all that is needed within these bounds; nothing where nothing is."""
        sides = []
        for first, last, length, more in zip(-bounds[::2], bounds[1::2], size, around, strict=True):
            sides.append(np.minimum(last * BLOCK_PX + more, length) - np.maximum(first * BLOCK_PX - more, 0))
        return np.where(np.isfinite(bounds[0]), sides[0] * sides[1] + EXTRA_PX, 0.0)

    def _shrunk(self, shape: Span, place: Span) -> tuple[Span, Span]:
        top, left = (first * self.blocks for first in place)
        part = self.needed[top : top + shape[0] * self.blocks, left : left + shape[1] * self.blocks]
        rows, columns = (np.flatnonzero(part.any(axis)) for axis in (1, 0))
        return (top + int(rows[0]), top + int(rows[-1]) + 1), (left + int(columns[0]), left + int(columns[-1]) + 1)


def _window(blocks: tuple[Span, Span], size: tuple[int, int], around: tuple[int, int], multiple: int) -> Rectangle:
    """The window of a rectangle of blocks: half a block more on each side, as far as their shares reach."""
    inner, outer = [], []
    for (first, last), length, more in zip(blocks, size, around, strict=True):
        inner.append((max(first * BLOCK_PX - BLOCK_PX // 2, 0), min(last * BLOCK_PX + BLOCK_PX // 2, length)))
        # Both from the start and from the end by a multiple, as mirrored pictures start from there.
        start, end = max(inner[-1][0] - more, 0), max(length - inner[-1][1] - more, 0)
        outer.append((start // multiple * multiple, length - end // multiple * multiple))
    return Rectangle(inner[0], inner[1], outer[0], outer[1])

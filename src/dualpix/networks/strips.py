"""Run a part of a network on a few rows of the picture at a time.

Where a part looks only a few rows up and down, its inner features need not exist for the whole picture at once: only
what it takes and what it gives does. Features of a few rows also stay in the cache.
"""

from collections.abc import Callable, Sequence

from torch import Tensor


def in_strips(
    stage: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], units: int, reach: int, length: int | None
) -> Sequence[Tensor]:
    """What `stage(*inputs)` gives, B C H W each of any scale, computed `length` units at a time; None for all at once.

    units: how many groups of rows the picture has that must not be parted, as reducing them takes all; the height of
    whatever `stage` takes and gives is a multiple of it. reach: units above and below that its results depend on.
    The results lie channels-last in memory. Nothing differs from a run at once: a strip is computed with its reach.
    """
    if length is None or length >= units:
        return stage(*inputs)
    wholes: list[Tensor] = []
    for start in range(0, units, length):
        stop = min(start + length, units)
        top, bottom = max(0, start - reach), min(units, stop + reach)
        parts = stage(*(_rows(tensor, top, bottom, units) for tensor in inputs))
        wholes = wholes or [_blank(part, part.shape[2] // (bottom - top) * units) for part in parts]
        for whole, part in zip(wholes, parts, strict=True):
            _rows(whole, start, stop, units).copy_(_rows(part, start - top, stop - top, bottom - top))
    return wholes


def _rows(tensor: Tensor, first: int, last: int, units: int) -> Tensor:
    rows = tensor.shape[2] // units
    return tensor[:, :, first * rows : last * rows]


def _blank(like: Tensor, height: int) -> Tensor:
    batch, channels, _, width = like.shape
    return like.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)

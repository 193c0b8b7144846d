"""Maps of which only a few rows exist at a time: the pieces of networks that slide down a picture, without gradients.

A row of a convolution's output needs but a few rows of its input. So nothing is computed until it is asked for, from
the end of the network back to its start, some rows at a time; what has been computed is kept while anybody still needs
it, and no longer. No convolution is computed twice, memory does not grow with the height, and what is at work stays in
the cache.

Maps are H W C, of one picture, as in `in_place`.
"""

from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.layers.blocks import Merge, Upsampling, upsample
from dualpix.networks.layers.in_place import add_product, halved, maps_of, picture_of

Make = Callable[[int, int], Tensor]
"""(first, last + 1) -> these rows, R W C. Whoever gets them must not change them."""


class Rows:
    """Maps whose rows are made when first asked for, and forgotten when all readers have passed.

    step: most rows made at a time. whole_steps: also the fewest; for maps of which larger ones ask for a row or two at
    a time, so that the maps before them are not made in steps as small.
    """

    def __init__(self, height: int, step: int, make: Make, whole_steps: bool = False) -> None:
        self.height, self.step, self._whole_steps = height, step, whole_steps
        self._make = make
        self._made = 0
        self._strips: deque[tuple[int, Tensor]] = deque()  # The first row of each, and the rows.
        self._needed_from: list[int] = []

    def reader(self, reach: int = 0, again: int = 0) -> Make:
        """Give the rows asked for, with `reach` more above and below, zeros beyond the edges.

        A reader goes down: it asks for each row once, but for the last `again` rows.
        """
        number = len(self._needed_from)
        self._needed_from.append(0)

        def read(first: int, last: int) -> Tensor:
            top, bottom = max(first - reach, 0), min(last + reach, self.height)
            found = self._rows(top, bottom)
            self._needed_from[number] = max(last - reach - again, 0)
            self._forget()
            above, below = top - (first - reach), last + reach - bottom
            return F.pad(found, (0, 0, 0, 0, above, below)) if above or below else found

        return read

    def _rows(self, first: int, last: int) -> Tensor:
        self._make_until(last)
        pieces = [
            rows[max(first - at, 0) : last - at] for at, rows in self._strips if at < last and first < at + len(rows)
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _forget(self) -> None:
        needed_from = min(self._needed_from)
        while self._strips and self._strips[0][0] + len(self._strips[0][1]) <= needed_from:
            self._strips.popleft()
        if self._strips:
            at, rows = self._strips[0]
            if 2 * (needed_from - at) > len(rows):  # A copy of the rest takes less than the strip that it is part of.
                self._strips[0] = needed_from, rows[needed_from - at :].clone()

    def _make_until(self, last: int) -> None:
        if self._whole_steps:
            last = min(-(-last // self.step) * self.step, self.height)
        while self._made < last:
            until = min(self._made + self.step, last)
            self._strips.append((self._made, self._make(self._made, until)))
            self._made = until


def convolve(maps: Tensor, layer: nn.Conv2d, slope: float | None = None) -> Tensor:
    """K-1+R W C -> R W D, then a leaky unit of that slope, if any."""
    if layer.kernel_size == (1, 1):
        made = F.linear(maps, layer.weight[:, :, 0, 0], layer.bias)
    else:
        across = (0, layer.kernel_size[1] // 2)
        made = maps_of(F.conv2d(picture_of(maps), layer.weight, layer.bias, padding=across))
    return made if slope is None else F.leaky_relu(made, slope, inplace=True)


def convolved(source: Rows, layer: nn.Conv2d, slope: float | None = None) -> Rows:
    """`source` after a convolution and, with `slope`, a leaky unit."""
    around = source.reader(layer.kernel_size[0] // 2)
    return Rows(source.height, source.step, lambda first, last: convolve(around(first, last), layer, slope))


def convolved_pair(source: Rows, pair: nn.Sequential) -> Rows:
    """`source` after a `blocks.leaky_pair`."""
    first, unit, second, _ = pair
    slope: float = unit.negative_slope  # type: ignore[assignment]
    return convolved(convolved(source, first, slope), second, slope)  # type: ignore[arg-type]


def pooled(*sources: Rows) -> Rows:
    """The largest of each 2 x 2; the channels of several maps are put side by side."""
    readers = [source.reader() for source in sources]

    def make(first: int, last: int) -> Tensor:
        pools = [maps_of(F.max_pool2d(picture_of(read(2 * first, 2 * last)), 2)) for read in readers]
        return pools[0] if len(pools) == 1 else torch.cat(pools, -1)

    return Rows(sources[0].height // 2, sources[0].step, make)


def merged(merge: Merge, sources: Sequence[Rows]) -> Rows:
    """What `merge` makes of maps of several sizes."""
    alike: list[tuple[Make, Tensor]] = []
    larger: list[Make] = []
    weights = torch.split(merge.weight[:, :, 0, 0], merge.channels, 1)
    for source, weight, doublings in zip(sources, weights, merge.doublings, strict=True):
        if doublings > 0:
            larger.append(_enlarged(_times(source, weight), 2**doublings, merge.mode))
        else:
            alike.append((_halved(source, -doublings), weight.t()))

    def make(first: int, last: int) -> Tensor:
        total: Tensor | None = None
        for read, weight in alike:
            maps = read(first, last)
            if total is None:
                total = F.linear(maps, weight.t(), merge.bias)
            else:
                add_product(total, maps, weight)
        assert total is not None  # One of the sources has the size of what is made.
        for read in larger:
            total += read(first, last)
        return total

    here = sources[merge.doublings.index(0)]
    return Rows(here.height, here.step, make)


def _times(source: Rows, weight: Tensor) -> Rows:
    read = source.reader()
    return Rows(source.height, source.step, lambda first, last: F.linear(read(first, last), weight), whole_steps=True)


def _halved(source: Rows, times: int) -> Make:
    """Rows of `source` averaged over squares."""
    read = source.reader()

    def make(first: int, last: int) -> Tensor:
        maps = read(first * 2**times, last * 2**times)
        for _ in range(times):
            maps = halved(maps)
        return maps

    return make


def _enlarged(source: Rows, factor: int, mode: Upsampling) -> Make:
    """Rows of `source` up-sampled, from those around them: one more at either side, repeated beyond the edges."""
    read = source.reader(again=3)

    def make(first: int, last: int) -> Tensor:
        top, bottom = max(first // factor - 1, 0), min(-(-last // factor) + 1, source.height)
        large = maps_of(upsample(picture_of(read(top, bottom)), factor, mode))
        return large[first - top * factor : last - top * factor]

    return make

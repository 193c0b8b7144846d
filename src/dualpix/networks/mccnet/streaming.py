"""MCCNet sliding down the picture: the same picture as `MCCNet` makes, in memory that the height does not change.

Follows `MCCNet` stage by stage; see there for the paper's words, and `sliding` for how rows come about.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.layers.correlation import correlate_rows
from dualpix.networks.layers.in_place import add_product, maps_of, picture_of
from dualpix.networks.layers.sliding import Rows, convolve, convolved, convolved_pair, merged, pooled
from dualpix.networks.mccnet.model import CrossCorrelation, Decoder, MCCNet, MultiScaleExtraction


class MCCNetInStrips(nn.Module):
    """Computes what `network` does, without gradients; for pictures one at a time, or a batch of them one by one.

    step: rows of every map, whatever its size, that are made at a time.
    `spec.steady_state_rows`: about as many as lie between the lowest row seen and the highest not yet painted; in
    pictures higher than that the features need no more memory.
    """

    def __init__(self, network: MCCNet, step: int = 8) -> None:
        super().__init__()
        self.network, self.step = network, step
        self.residual = network.residual
        rows = (network.spec.receptive_radius_px or 0) + 10 * step
        self.spec = replace(network.spec, steady_state_rows=rows)
        self._most_rows: int | None = None

    @contextmanager
    def dry_run(self) -> Iterator[None]:
        """Compute the first rows only, within this context.

        They take a little more than one step of the smallest maps: from there on all repeats itself, and so does the
        memory.
        """
        self._most_rows = (self.spec.size_multiple + 3) * self.step
        try:
            yield
        finally:
            self._most_rows = None

    def forward(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        """Both views, B 3 H W each in [0, 1] -> the sharp picture, B 3 H W; `width`: columns that are not padding."""
        painted = self._predict(left, right, width)
        return painted.add_((left + right) / 2) if self.residual else painted

    def correction(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        """The same without the mean of the views, which is added by `forward`."""
        painted = self._predict(left, right, width)
        return painted if self.residual else painted.sub_((left + right) / 2)

    def log_attention(self, left: Tensor, right: Tensor, reach_px: int, width: int | None = None) -> Tensor:
        """As the network has it."""
        return self.network.log_attention(left, right, reach_px, width)

    @torch.no_grad()
    def _predict(self, left: Tensor, right: Tensor, width: int | None) -> Tensor:
        """B 3 H W; zero where the padding is not looked at."""
        width = left.shape[-1] if width is None else width
        seen = -(-width // self.spec.size_multiple) * self.spec.size_multiple
        painted = torch.zeros_like(left)
        for number in range(len(left)):
            self._paint_one(left[number, ..., :seen], right[number, ..., :seen], width, painted[number, ..., :seen])
        return painted

    def _paint_one(self, left: Tensor, right: Tensor, width: int, painted: Tensor) -> None:
        """Views and painted picture 3 H W."""
        rows = self._slide(left, right, width)
        read = rows.reader()
        for first in range(0, min(rows.height, self._most_rows or rows.height), self.step):
            last = min(first + self.step, rows.height)
            painted[:, first:last] = read(first, last).permute(2, 0, 1)

    def _slide(self, left: Tensor, right: Tensor, width: int) -> Rows:
        network = self.network
        views = [left, right] if network.correlation else [torch.cat([left, right])]
        full = [convolved_pair(_rows_of(view, self.step), network.encoder1) for view in views]
        half = [convolved_pair(pooled(maps), network.encoder2) for maps in full]
        quarter = [_encoded(pooled(maps), network.encoder3) for maps in half]
        eighth = _encoded(pooled(*quarter), network.encoder4)
        if network.correlation:
            half = _correlated(network.cc1, half, (width + 1) // 2)
            quarter = _correlated(network.cc2, quarter, (width + 3) // 4)
        if network.fusion:
            scales = zip(full, half, quarter, strict=True)
            fused = [[_fused(scale, maps) for scale in network.fuse.scales] for maps in scales]  # type: ignore[arg-type]
            full, half, quarter = (list(maps) for maps in zip(*fused, strict=True))
        decoded = _decoded(network.decoder3, eighth, quarter)
        decoded = _decoded(network.decoder2, decoded, half)
        decoded = _decoded(network.decoder1, decoded, full)
        first, last = network.head
        return convolved(convolved(decoded, first), last)  # type: ignore[arg-type]


def _rows_of(view: Tensor, step: int) -> Rows:
    """C H W -> its rows."""
    return Rows(view.shape[1], step, lambda first, last: maps_of(view[None, :, first:last]))


def _encoded(maps: Rows, encoder: nn.Sequential) -> Rows:
    pair, extract = encoder
    return _extracted(convolved_pair(maps, pair), extract)  # type: ignore[arg-type]


def _extracted(maps: Rows, extract: nn.Module) -> Rows:
    if not isinstance(extract, MultiScaleExtraction):
        return maps
    slope = extract.activate.negative_slope
    around = maps.reader(2)

    def make_first(first: int, last: int) -> Tensor:
        seen = around(first, last)
        return torch.cat([convolve(seen[1:-1], extract.first3, slope), convolve(seen, extract.first5, slope)], -1)

    around_first = Rows(maps.height, maps.step, make_first).reader(2)
    read = maps.reader()
    of3, of5 = torch.split(extract.merge.weight[:, :, 0, 0], extract.merge.channels, 1)

    def make(first: int, last: int) -> Tensor:
        seen = around_first(first, last)
        extracted = F.linear(convolve(seen, extract.second5, slope), of5, extract.merge.bias)
        if extract.residual:
            extracted.add_(read(first, last))
        add_product(extracted, convolve(seen[1:-1], extract.second3, slope), of3.t())
        return extracted

    return Rows(maps.height, maps.step, make)


def _correlated(correlation: CrossCorrelation, views: list[Rows], width: int) -> list[Rows]:
    """`width`: the valid columns."""
    project = correlation.project_value
    queries = [_query(correlation, maps) for maps in views]
    values = [convolved(maps, project) if isinstance(project, nn.Conv2d) else maps for maps in views]

    def gathered(own: int, other: int) -> Rows:
        read, *readers = (maps.reader() for maps in (views[own], queries[own], queries[other], values[other]))

        def make(first: int, last: int) -> Tensor:
            found = _gather(correlation, *(seen(first, last)[:, :width] for seen in readers))
            maps = read(first, last).clone()
            maps[:, :width] += found
            return maps

        return Rows(views[own].height, views[own].step, make)

    return [gathered(0, 1), gathered(1, 0)]


def _gather(correlation: CrossCorrelation, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """R W C each. Along whole rows, PyTorch's attention takes two thirds of the time of `correlate_rows`."""
    reach, scale = correlation.max_disparity, correlation.score_scale
    if reach is not None and reach < query.shape[1] - 1:
        return maps_of(correlate_rows(picture_of(query), picture_of(key), picture_of(value), reach, scale=scale))
    one_head = [maps[:, None] for maps in (query, key, value)]  # Each row by itself.
    return F.scaled_dot_product_attention(one_head[0], one_head[1], one_head[2], scale=scale)[:, 0]


def _query(correlation: CrossCorrelation, maps: Rows) -> Rows:
    wide, unit, narrow = correlation.block
    block = convolved(convolved(maps, wide, unit.negative_slope), narrow)  # type: ignore[arg-type]
    read, added = maps.reader(), block.reader()

    def make(first: int, last: int) -> Tensor:
        return convolve(read(first, last) + added(first, last), correlation.project)

    return Rows(maps.height, maps.step, make)


def _fused(scale: nn.Sequential, maps: tuple[Rows, ...]) -> Rows:
    merge, extract, project = scale
    return convolved(_extracted(merged(merge, maps), extract), project)  # type: ignore[arg-type]


def _decoded(decoder: Decoder, below: Rows, skips: list[Rows]) -> Rows:
    return convolved_pair(merged(decoder.merge, [below, *skips]), decoder.convolve)

"""MCCNet-fast strip by strip: the same picture as `MCCNetFast` makes, in a fraction of the memory and less time.

Nothing is concatenated: a 1x1 convolution of several maps is the sum of one of each. What each block adds is added in
place, and a correlated view takes the place of the one before.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.layers.in_place import (
    Normed,
    Window,
    add_linear,
    add_product,
    halved,
    maps_of,
    normalised,
    picture_of,
    strips,
)
from dualpix.networks.mccnet_fast.model import STRIDE, Block, Correlation, MCCNetFast, Up

Views = tuple[Tensor, Tensor]  # left and right maps, H W C


class MCCNetFastInStrips(nn.Module):
    """Computes what `network` does, without gradients; for pictures one at a time, or a batch of them one by one.

    strip_rows: rows of the picture whose finest features exist at a time. Those of 64 stay in a processor's cache, and
    twice as many were measured to be no faster.
    """

    def __init__(self, network: MCCNetFast, strip_rows: int = 64) -> None:
        super().__init__()
        self.strip_rows = strip_rows
        self.network = network
        self.spec = replace(network.spec, steady_state_rows=3 * strip_rows)

    def forward(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        """Both views, B 3 H W each in [0, 1] -> the sharp picture, B 3 H W; `width`: columns that are not padding."""
        return self.correction(left, right, width).add_((left + right) / 2)

    @torch.no_grad()
    def correction(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        """The same without the mean of the views, which is added by `forward`."""
        width = left.shape[-1] if width is None else width
        return torch.cat(
            [self._correction(*pair, width) for pair in zip(torch.split(left, 1), torch.split(right, 1), strict=True)]
        )

    def log_attention(self, left: Tensor, right: Tensor, reach_px: int, width: int | None = None) -> Tensor:
        """As the network has it."""
        return self.network.log_attention(left, right, reach_px, width)

    def _correction(self, left: Tensor, right: Tensor, width: int) -> Tensor:
        network = self.network
        skip_half, lent, quarter = self._see_half(left, right, -(-width // 2))
        for maps in quarter:
            _run_blocks(network.encode_quarter, maps)
        _correlate(network.correlate_quarter, quarter, -(-width // 4))
        skip_quarter = _project_views(network.fuse_quarter.here, quarter, onto=lent)
        lent = _project_views(network.fuse_half.there, quarter)
        eighth = _shrink_views(network.to_eighth, quarter)
        del quarter
        _run_blocks(network.encode_eighth, eighth)
        deep = _run_blocks(network.bottom, _shrink(network.to_sixteenth, eighth))
        deep = _run_blocks(network.decode_eighth, _up(network.up_eighth, deep, eighth))
        deep = _run_blocks(network.decode_quarter, _up(network.up_quarter, deep, skip_quarter))
        return self._predict(_run_blocks(network.decode_half, _up(network.up_half, deep, skip_half, lent)))

    def _see_half(self, left: Tensor, right: Tensor, width: int) -> tuple[Tensor, Tensor, Views]:
        """The skip connection at half size, H/2 W/2 C; what it lends to that of a quarter; both views' quarter.

        Some rows at a time, as both views' features at half size are as large as all else that is kept. Rows around
        are computed twice.
        """
        network = self.network
        height, full_width = left.shape[2] // 2, left.shape[3] // 2
        rows = max(4, self.strip_rows // 4 * 2)
        reach = 2 * -(-(1 + network.depths[0]) // 2)
        skip = left.new_empty(height, full_width, network.fuse_half.here.out_features)
        lent = left.new_empty(height // 2, full_width // 2, network.fuse_quarter.there.out_features)
        quarter = torch.empty_like(lent), torch.empty_like(lent)
        for first in range(0, height, rows):
            last = min(first + rows, height)
            top, bottom = max(0, first - reach), min(height, last + reach)
            seen = [self._encode(view[:, :, 2 * top : 2 * bottom]) for view in (left, right)]
            half = seen[0][first - top : last - top], seen[1][first - top : last - top]
            for maps, whole in zip(half, quarter, strict=True):
                whole[first // 2 : last // 2] = _shrink(network.to_quarter, maps)
            _correlate(network.correlate_half, half, width)
            skip[first:last] = _project_views(network.fuse_half.here, half)
            lent[first // 2 : last // 2] = _project_views(
                network.fuse_quarter.there, (halved(half[0]), halved(half[1]))
            )
        return skip, lent, quarter

    def _encode(self, view: Tensor) -> Tensor:
        """1 3 H W -> H/2 W/2 C."""
        stem = self.network.stem
        height, width = view.shape[2] // 2, view.shape[3] // 2
        maps = view.new_empty(height, width, stem.out_channels)
        for first, last in strips(maps):
            top, bottom = max(first - 1, 0), min(last + 1, height)
            apart = F.pixel_unshuffle(view[:, :, 2 * top : 2 * bottom], 2)
            around = F.pad(apart, (0, 0, top - first + 1, last + 1 - bottom))
            maps[first:last] = maps_of(F.conv2d(around, stem.weight, stem.bias, padding=(0, 1)))
        return _run_blocks(self.network.encode_half, maps)

    def _predict(self, maps: Tensor) -> Tensor:
        """H/2 W/2 C -> 1 3 H W."""
        head, norm = self.network.head, self.network.head_norm
        height, width, _ = maps.shape
        painted = maps.new_empty(1, 3, 2 * height, 2 * width)
        for first, last, normed in Normed(norm.weight, norm.bias).strips(maps):
            colours = F.conv2d(picture_of(normed), head.weight, head.bias, padding=(0, 1))
            torch.mul(F.pixel_shuffle(colours, 2), STRIDE, out=painted[:, :, 2 * first : 2 * last])
        return painted


def _run_blocks(blocks: nn.Sequential, maps: Tensor) -> Tensor:
    """Change `maps`, H W C, in place, and return them."""
    for block in blocks:
        _run_block(block, maps)  # type: ignore[arg-type]
    return maps


def _run_block(block: Block, maps: Tensor) -> None:
    for first, last, normed in Normed(block.norm.weight, block.norm.bias).strips(maps):
        mixed = F.conv2d(picture_of(normed), block.mix.weight, block.mix.bias, padding=(0, 1))
        value, gate = maps_of(mixed).chunk(2, -1)
        add_linear(maps[first:last], value * gate, block.out)


def _correlate(correlation: Correlation, views: Views, width: int) -> None:
    """Change both views' maps in place; `width`: the valid columns."""
    channels = views[0].shape[-1]
    window = Window(views[0].shape[1], width, correlation.max_disparity, views[0])
    norm, project = correlation.norm, correlation.project.weight.t()
    of_own, of_found = (weight.t() for weight in torch.split(correlation.join.weight, channels, 1))
    held: list[Tensor] = []
    for first, last in strips(views[0]):
        if not held or len(held[0]) != last - first + 1:
            held = [window.empty(last - first, channels) for _ in views]
        for maps, normed in zip(views, held, strict=True):
            window.inner(normed).copy_(normalised(maps[first:last], norm.weight, norm.bias))
        seen = [normed @ project for normed in held]
        for maps, own, other in zip(views, (0, 1), (1, 0), strict=True):
            found = window.gather(seen[own], seen[other], held[other], channels**-0.5)
            joined = torch.addmm(correlation.join.bias, window.aligned(held[own]), of_own)
            joined.addmm_(found.view(-1, channels), of_found)
            maps[first:last] += joined.view(found.shape)[:, : maps.shape[1]]


def _shrink(reduce: nn.Conv2d, maps: Tensor) -> Tensor:
    return maps_of(reduce(picture_of(maps)))


def _shrink_views(reduce: nn.Conv2d, views: Views) -> Tensor:
    """What `reduce` makes of both views' channels."""
    left, right = (weight.contiguous(memory_format=torch.channels_last) for weight in reduce.weight.chunk(2, 1))
    shrunk = F.conv2d(picture_of(views[0]), left, reduce.bias, reduce.stride)
    return maps_of(shrunk.add_(F.conv2d(picture_of(views[1]), right, None, reduce.stride)))


def _project_views(project: nn.Linear, views: Views, onto: Tensor | None = None) -> Tensor:
    """What `project` makes of both views' channels, H W C; added to `onto` in place, if given."""
    height, width, channels = views[0].shape
    projected = views[0].new_zeros(height, width, project.out_features) if onto is None else onto
    left, right = (weight.t() for weight in torch.split(project.weight, channels, 1))
    for first, last in strips(views[0]):
        strip = projected[first:last]
        add_product(strip, views[0][first:last], left)
        add_product(strip, views[1][first:last], right)
        if project.bias is not None:
            strip += project.bias
    return projected


def _up(up: Up, deep: Tensor, skip: Tensor, lent: Tensor | None = None) -> Tensor:
    """Add to `skip`, 2H 2W C, in place, what `up` makes of `deep`, H W D; and `lent`, H W C, repeated."""
    width = deep.shape[1]
    channels = skip.shape[-1]
    weight, bias = (_corners_first(values, channels) for values in (up.expand.weight, up.expand.bias))
    for first, last in strips(deep):
        rows = last - first
        expanded = F.linear(deep[first:last], weight, bias).view(rows, width, 2, 2, channels)
        if lent is not None:
            expanded += lent[first:last, :, None, None]
        skip[2 * first : 2 * last].view(rows, 2, width, 2, channels).add_(expanded.transpose(1, 2))
    return skip


def _corners_first(values: Tensor, channels: int) -> Tensor:
    """4C ... ordered by channel, then corner, as pixel-shuffle takes them -> ordered by corner, then channel."""
    return values.view(channels, 4, -1).transpose(0, 1).reshape(values.shape)

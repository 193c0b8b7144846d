"""Render the layers of a scene as seen through the two half apertures: the left and right view, in linear light.

A layer is one object. Each of its pixels is spread by the kernel of its own blur, and all are summed. (Slices of one
surface must not be composited over one another, since the background would shine through at every seam.) Objects are
then composited from back to front. Parts of far objects that are hidden by nearer ones are in the layers too, as in the
real world.

Example:
    >>> import torch
    >>> far = Layer(torch.rand(3, 64, 64), torch.ones(64, 64), torch.full((64, 64), 4.0))
    >>> lens = Lens(rho=0.4)
    >>> margin = margin_px(lens, [far])
    >>> render([far], lens, margin).shape == (2, 3, 64 - 2 * margin, 64 - 2 * margin)
    True
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dualpix.simulation.kernels import Lens, reach_px
from dualpix.simulation.spreading import STEP_PX, Axis, cost_ns, spread, trimmed


@dataclass(frozen=True)
class Layer:
    """One object of a scene.

    Attributes:
        colour: In linear light, 3 x H x W.
        alpha: Opacity, H x W in [0, 1].
        blur_px: Signed blur radius in pixels, H x W.
    """

    colour: Tensor
    alpha: Tensor
    blur_px: Tensor


def margin_px(lens: Lens, layers: Sequence[Layer]) -> int:
    """How many pixels the layers must extend beyond the picture on each side, so that its edges get all their light."""
    return max(reach_px(lens, float(layer.blur_px.abs().max())) for layer in layers)


def render(layers: Sequence[Layer], lens: Lens, margin: int, whole: bool = False) -> Tensor:
    """Render the views of a scene.

    Args:
        layers: From back to front, all of one size; the first is opaque everywhere.
        lens: The shape of the point-spread functions.
        margin: Pixels to be cut off at each side (see `margin_px`).
        whole: Render one view through the whole aperture instead of two.

    Returns:
        Left and right view in linear light, 2 x 3 x H x W; 1 x 3 x H x W if `whole`.
    """
    light, cover, _ = scatter(layers[0], lens, margin, whole)
    views = light.div_(cover.clamp_min(1e-6))
    for layer in layers[1:]:
        light, cover, place = scatter(layer, lens, margin, whole)
        views[..., *place].mul_(1 - cover).add_(light)
    return views


def composite(layers: Sequence[Layer], margin: int) -> tuple[Tensor, Tensor]:
    """Composite the layers without blur.

    Args:
        layers: From back to front, all of one size.
        margin: Pixels to be cut off at each side.

    Returns:
        The all-in-focus picture in linear light, 3 x H x W, and its signed blur radius in pixels, H x W.
    """
    colour, blur_px = layers[0].colour, layers[0].blur_px
    for layer in layers[1:]:
        colour = layer.colour * layer.alpha + colour * (1 - layer.alpha)
        blur_px = torch.where(layer.alpha > 0.5, layer.blur_px, blur_px)
    inner = slice(margin, colour.shape[-2] - margin), slice(margin, colour.shape[-1] - margin)
    return colour[:, *inner], blur_px[inner]


def scatter(
    layer: Layer, lens: Lens, margin: int = 0, whole: bool = False
) -> tuple[Tensor, Tensor, tuple[slice, slice]]:
    """Spread the light of one object over both views.

    Args:
        layer: The object.
        lens: The shape of the point-spread functions.
        margin: Pixels to be cut off at each side.
        whole: Render one view through the whole aperture instead of two.

    Returns:
        Premultiplied light, 2 x 3 x h x w; coverage, 2 x 1 x h x w, at most 1; and the rows and columns of the picture,
        without the margin, to which both belong. The object is not seen outside of these.
    """
    thing, views = _Thing(layer, lens, whole), 1 if whole else 2
    height, width = layer.alpha.shape
    all_of_it = _part(thing, slice_radii(layer.blur_px), (margin, height - margin), (margin, width - margin), False)
    if all_of_it is None:
        return torch.zeros(views, 3, 0, 0), torch.zeros(views, 1, 0, 0), (slice(0, 0), slice(0, 0))
    rows, columns = (
        (axis.begin, axis.begin + axis.length) for axis in (all_of_it.rows.window, all_of_it.columns.window)
    )
    target = slice(rows[0] - margin, rows[1] - margin), slice(columns[0] - margin, columns[1] - margin)
    parts = _divided(thing, all_of_it)
    if len(parts) == 1:
        scattered = _scattered(thing, all_of_it)
    else:
        scattered = torch.zeros(views, 4, rows[1] - rows[0], columns[1] - columns[0])
        for part in parts:
            made, place = _scattered(thing, part), part.place(rows[0], columns[0])
            scattered[:, 3:, *place] = 1
            scattered[:, : made.shape[1], *place] = made
    if scattered.shape[1] == 3:
        return scattered, torch.ones(1, 1, 1, 1).expand(views, 1, *scattered.shape[2:]), target
    light, cover = scattered[:, :3], scattered[:, 3:]
    if float(cover.max()) > 1:
        excess = cover.clamp_min(1)
        light, cover = light / excess, cover / excess
    return light, cover, target


class _Thing:
    """One object while it is spread.

    `rows` and `columns`: the range that is not empty. `light`: premultiplied colour and alpha, 4 x H x W. `low` and
    `high`: its blur, with values that cannot be a minimum or maximum where nothing is.
    """

    def __init__(self, layer: Layer, lens: Lens, whole: bool) -> None:
        self.whole = whole
        self.lens, self.alpha, self.blur_px = lens, layer.alpha, layer.blur_px
        self.opaque = bool(layer.alpha.min() == 1)
        self.light = torch.cat([layer.colour if self.opaque else layer.colour * layer.alpha, layer.alpha[None]])
        self.rows, self.columns = (ends(layer.alpha.amax(axis) > 0) for axis in (1, 0))
        self.reaches: dict[float, int] = {}
        self.low = self.high = layer.blur_px
        if not self.opaque:
            there = layer.alpha > 0
            self.low, self.high = (torch.where(there, layer.blur_px, end) for end in (torch.inf, -torch.inf))

    def reach(self, node: float) -> int:
        """Radius of the kernel for that blur.

        Cached here: this is called often, and a look-up by the whole lens is slow.
        """
        if node not in self.reaches:
            self.reaches[node] = trimmed(self.lens, node, self.whole).shape[-1] // 2
        return self.reaches[node]


def ends(seen: Tensor) -> tuple[int, int]:
    """The first index where `seen` is true and the one behind the last; (0, 0) if there are none."""
    there = seen.nonzero()
    return (int(there[0]), int(there[-1]) + 1) if len(there) else (0, 0)


class _Span(NamedTuple):
    """One axis of what is spread: the range `source` gives light, the range `window` is computed.

    Both are indices of the layer. `everywhere`: whether the source fills all that the window can receive light from.
    """

    source: slice
    window: Axis
    everywhere: bool


class _Part(NamedTuple):
    """A window of an object and everything needed to compute it."""

    rows: _Span
    columns: _Span
    nodes: list[float]
    reach: int

    def place(self, row: int, column: int) -> tuple[slice, slice]:
        (top, height), (left, width) = self.rows.window, self.columns.window
        return slice(top - row, top - row + height), slice(left - column, left - column + width)

    def cost_ns(self) -> float:
        size = [span.source.stop - span.source.start for span in (self.rows, self.columns)]
        rows, columns = (_seen_from(span) for span in (self.rows, self.columns))
        return cost_ns(len(self.nodes), 2 * self.reach + 1, (size[0], size[1]), rows, columns)


def _seen_from(span: _Span) -> Axis:
    return Axis(span.window.begin - span.source.start, span.window.length)


def _part(
    thing: _Thing, nodes: list[float], rows: tuple[int, int], columns: tuple[int, int], made: bool = True
) -> _Part | None:
    """The part of an object seen in a window; None if nothing is seen.

    Pixels that are hidden or out of range may have more blur than those that are seen, so nodes are dropped where
    possible. `made`: whether kernels may be computed to learn their exact radius.
    """
    reach = max(thing.reach(node) if made else reach_px(thing.lens, node) for node in nodes)
    down, across = _span(thing.rows, reach, *rows), _span(thing.columns, reach, *columns)
    if down is None or across is None:
        return None
    if len(nodes) > 1:
        source = down.source, across.source
        low, high = float(thing.low[source].min()), float(thing.high[source].max())
        if low > high:
            return None
        first = max(i for i, node in enumerate(nodes) if node <= low)
        last = min(i for i, node in enumerate(nodes) if node >= high)
        if last - first + 1 < len(nodes):
            return _part(thing, nodes[first : last + 1], rows, columns, made)
    return _Part(down, across, nodes, reach) if made else _part(thing, nodes, rows, columns)


def _span(ends: tuple[int, int], reach: int, begin: int, end: int) -> _Span | None:
    """The range that holds something and lies within reach of the window."""
    first, last = max(ends[0], begin - reach), min(ends[1], end + reach)
    if first >= last:
        return None
    begin, end = max(begin, first - reach), min(end, last + reach)
    everywhere = first <= begin - reach and last >= end + reach
    return _Span(slice(first, last), Axis(begin, end - begin), everywhere)


def _divided(thing: _Thing, part: _Part) -> list[_Part]:
    """Split a window in halves, recursively, where that is faster: a smaller part of a slope needs fewer nodes."""
    if len(part.nodes) <= 2:
        return [part]
    rows, columns = ((axis.begin, axis.begin + axis.length) for axis in (part.rows.window, part.columns.window))
    # Split along the axis on which blur changes more.
    blur_px = thing.blur_px[part.rows.source, part.columns.source]
    down, across = (float((ends[0] - ends[-1]).abs().max()) for ends in (blur_px, blur_px.T))
    begin, end = rows if down >= across else columns
    middle = begin + -(-(end - begin) // (2 * STEP_PX)) * STEP_PX
    if middle >= end:
        return [part]
    halves = []
    for half in ((begin, middle), (middle, end)):
        smaller = _part(thing, part.nodes, *((half, columns) if down >= across else (rows, half)))
        halves += [] if smaller is None else [smaller]
    if sum(half.cost_ns() for half in halves) > 0.95 * part.cost_ns():
        return [part]
    return [smaller for half in halves for smaller in _divided(thing, half)]


def _scattered(thing: _Thing, part: _Part) -> Tensor:
    """Light and coverage of a part, 2 x 4 x h x w; light alone, 2 x 3 x h x w, where the coverage is 1 everywhere."""
    source, axes = (part.rows.source, part.columns.source), (_seen_from(part.rows), _seen_from(part.columns))
    if len(part.nodes) == 1:
        pairs, shares = [trimmed(thing.lens, part.nodes[0], thing.whole)], None
        if thing.opaque and part.rows.everywhere and part.columns.everywhere:
            return spread(thing.light[:3, *source], None, pairs, *axes).clamp_min_(0)
    else:
        cut = slices(thing.blur_px[source], part.nodes)
        shares = torch.stack([share for _, share in cut if share is not None])
        pairs = [trimmed(thing.lens, blur_px, thing.whole) for blur_px, _ in cut]
    return spread(thing.light[:, *source], shares, pairs, *axes).clamp_min_(0)


def slice_radii(blur_px: Tensor) -> list[float]:
    """The signed blur radii at which a blur map (H x W, pixels) is cut into slices; one if it is nearly constant."""
    return nodes_of(float(blur_px.min()), float(blur_px.max()))


def nodes_of(low: float, high: float) -> list[float]:
    """The same for blur between these two values."""
    return [round((low + high) / 2, 2)] if high - low < 0.05 else nodes_between(low, high)


def slices(blur_px: Tensor, nodes: Sequence[float]) -> list[tuple[float, Tensor | None]]:
    """Divide a blur map among nodes; a pixel between two nodes is shared linearly, so that the blur is continuous.

    Args:
        blur_px: Signed blur radius in pixels, H x W.
        nodes: Signed radii in rising order.

    Returns:
        For each node that has any: its radius, and every pixel's share, H x W; None for a share of 1 everywhere.
    """
    if len(nodes) == 1:
        return [(nodes[0], None)]
    cut: list[tuple[float, Tensor | None]] = []
    for before, node, after in zip([nodes[0] - 1, *nodes], nodes, [*nodes[1:], nodes[-1] + 1], strict=False):
        share = torch.minimum((blur_px - before) / (node - before), (after - blur_px) / (after - node)).clamp_min_(0)
        if float(share.max()) > 0:
            cut.append((node, share))
    return cut


def nodes_between(low: float, high: float) -> list[float]:
    """Signed radii from at most `low` to at least `high`: 0.5 px apart up to 4 px, 1 px up to 12 px, 2 px beyond.

    They are closer where blur is small, since a step is most visible there.
    """
    half = [k * 0.5 for k in range(9)] + [float(k) for k in range(5, 13)] + [float(k) for k in range(14, 100, 2)]
    every = [-k for k in reversed(half[1:])] + half
    first = max(i for i, node in enumerate(every) if node <= low)
    last = min(i for i, node in enumerate(every) if node >= high)
    return every[first : last + 1]

"""Layers of a scene, seen through the two half apertures: the left and right view, in linear light.

A layer is one object. Its pixels are scattered, each by the kernel of its own blur, and summed (slices of one surface
must never be composited over one another: what lies behind would shine through every seam); objects are then laid over
one another from back to front. Hidden parts of far objects are there, as in the world.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dualpix.optics.kernels import Lens, reach_px
from dualpix.optics.spreading import Axis, spread, trimmed


@dataclass(frozen=True)
class Layer:
    """One object. `colour` 3 H W in linear light, `alpha` H W in [0, 1], `blur_px` H W signed blur radius in pixels."""

    colour: Tensor
    alpha: Tensor
    blur_px: Tensor


def margin_px(lens: Lens, layers: Sequence[Layer]) -> int:
    """How much wider than the picture, on each side, the layers must be so that no light is missing at its edges."""
    return max(reach_px(lens, float(layer.blur_px.abs().max())) for layer in layers)


def render(layers: Sequence[Layer], lens: Lens, margin: int) -> Tensor:
    """The left and right view, 2 x 3 x H x W in linear light, of `layers` given from back to front.

    `margin` pixels are cut off each side. The first layer must be opaque everywhere.
    """
    light, cover, _ = scatter(layers[0], lens, margin)
    views = light.div_(cover.clamp_min_(1e-6))
    for layer in layers[1:]:
        light, cover, place = scatter(layer, lens, margin)
        views[..., *place].mul_(cover.neg_().add_(1)).add_(light)
    return views


def composite(layers: Sequence[Layer], margin: int) -> tuple[Tensor, Tensor]:
    """The all-in-focus picture, 3 H W in linear light, and its signed blur map in pixels, H W."""
    colour, blur_px = layers[0].colour, layers[0].blur_px
    for layer in layers[1:]:
        colour = layer.colour * layer.alpha + colour * (1 - layer.alpha)
        blur_px = torch.where(layer.alpha > 0.5, layer.blur_px, blur_px)
    inner = slice(margin, colour.shape[-2] - margin), slice(margin, colour.shape[-1] - margin)
    return colour[:, *inner], blur_px[inner]


def scatter(layer: Layer, lens: Lens, margin: int = 0) -> tuple[Tensor, Tensor, tuple[slice, slice]]:
    """Premultiplied light, 2 3 h w, and cover, 2 1 h w, of one object in both views, and their rows and columns.

    These count from `margin` pixels inside the layer's edges; outside them the object is not seen. Cover is at most 1.
    """
    nodes = slice_radii(layer.blur_px)
    filled = [layer.alpha.amax(axis) > 0 for axis in (1, 0)]
    rows, columns = (_span(seen, _reach(lens, nodes), margin) for seen in filled)
    if len(nodes) > 1:
        # What is hidden, or out of sight, may be blurred more than what is seen.
        nodes = _needed(layer, nodes, rows.source, columns.source)
        rows, columns = (_span(seen, _reach(lens, nodes), margin) for seen in filled)
    source = rows.source, columns.source
    alpha, target = layer.alpha[source], (rows.target, columns.target)
    if alpha.numel() == 0:
        return torch.zeros(2, 3, 0, 0), torch.zeros(2, 1, 0, 0), (slice(0, 0), slice(0, 0))
    opaque = bool(alpha.min() == 1)
    colour = layer.colour[:, *source] if opaque else layer.colour[:, *source] * alpha
    if len(nodes) == 1 and opaque and rows.everywhere and columns.everywhere:
        light = spread(colour, None, [trimmed(lens, nodes[0])], rows.window, columns.window)
        return light.clamp_min_(0), torch.ones(2, 1, *light.shape[2:]), target
    cut = slices(layer.blur_px[source], nodes)
    shares = None if len(nodes) == 1 else torch.stack([share for _, share in cut if share is not None])
    pairs = [trimmed(lens, blur_px) for blur_px, _ in cut]
    scattered = spread(torch.cat([colour, alpha[None]]), shares, pairs, rows.window, columns.window).clamp_min_(0)
    light, cover = scattered[:, :3], scattered[:, 3:]
    if float(cover.max()) > 1:
        excess = cover.clamp_min(1)
        light, cover = light / excess, cover / excess
    return light, cover, target


class Span(NamedTuple):
    """One axis of a scattered object: `source` in the layer, the `window` that is seen, from the source's first pixel,
    and its place, the `target`, in the picture. `everywhere`: the source fills all that the window can see."""

    source: slice
    window: Axis
    target: slice
    everywhere: bool


def _span(seen: Tensor, reach: int, margin: int) -> Span:
    """Only what is there, and within reach of the picture."""
    length, there = len(seen), seen.nonzero()
    first, last = (int(there[0]), int(there[-1]) + 1) if len(there) else (0, 0)
    first, last = max(first, margin - reach), min(last, length - margin + reach)
    if first >= last:
        return Span(slice(0, 0), Axis(0, 0), slice(0, 0), False)
    begin, end = max(margin, first - reach), min(length - margin, last + reach)
    everywhere = first <= begin - reach and last >= end + reach
    return Span(slice(first, last), Axis(begin - first, end - begin), slice(begin - margin, end - margin), everywhere)


def _reach(lens: Lens, nodes: Sequence[float]) -> int:
    return max(trimmed(lens, node).shape[-1] // 2 for node in nodes)


def _needed(layer: Layer, nodes: list[float], rows: slice, columns: slice) -> list[float]:
    """The nodes that share in what is there in these rows and columns."""
    blur_px, there = layer.blur_px[rows, columns], layer.alpha[rows, columns] > 0
    low = float(torch.where(there, blur_px, torch.inf).min()) if there.numel() else torch.inf
    high = float(torch.where(there, blur_px, -torch.inf).max()) if there.numel() else -torch.inf
    first = max((i for i, node in enumerate(nodes) if node <= low), default=0)
    last = min((i for i, node in enumerate(nodes) if node >= high), default=len(nodes) - 1)
    return nodes[first : last + 1]


def slice_radii(blur_px: Tensor) -> list[float]:
    """The signed blur radii at which a blur map is cut into slices: only one where it is as good as constant."""
    low, high = float(blur_px.min()), float(blur_px.max())
    return [round((low + high) / 2, 2)] if high - low < 0.05 else nodes_between(low, high)


def slices(blur_px: Tensor, nodes: Sequence[float]) -> list[tuple[float, Tensor | None]]:
    """Cut a blur map at `nodes`: (signed blur radius, share of every pixel, None for all of it), empty ones left out.

    A pixel between two nodes is shared linearly, so the blur is continuous.
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
    """Signed radii from below `low` to above `high`: 0.5 px apart up to 4 px, 1 px up to 12, 2 px beyond.

    They lie closer where blur is small, where a step shows most.
    """
    half = [k * 0.5 for k in range(9)] + [float(k) for k in range(5, 13)] + [float(k) for k in range(14, 100, 2)]
    every = [-k for k in reversed(half[1:])] + half
    first = max(i for i, node in enumerate(every) if node <= low)
    last = min(i for i, node in enumerate(every) if node >= high)
    return every[first : last + 1]

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
from torch.nn import functional as F

from dualpix.optics.kernels import Lens, kernels, reach_px


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
    views = light / cover.clamp_min(1e-6)
    for layer in layers[1:]:
        light, cover, place = scatter(layer, lens, margin)
        views[..., *place].mul_(1 - cover).add_(light)
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
    reach = max(reach_px(lens, node) for node in nodes)
    seen = layer.alpha > 0
    rows, columns = (_span(seen.any(axis), reach, margin) for axis in (1, 0))
    alpha = layer.alpha[rows.source, columns.source]
    if alpha.numel() == 0:
        return torch.zeros(2, 3, 0, 0), torch.zeros(2, 1, 0, 0), (slice(0, 0), slice(0, 0))
    premultiplied = torch.cat([layer.colour[:, rows.source, columns.source] * alpha, alpha[None]])  # 4 h w
    size = rows.transform, columns.transform
    total = torch.zeros(2, 4, size[0], size[1] // 2 + 1, dtype=torch.complex64)
    for blur_px, share in slices(layer.blur_px[rows.source, columns.source], nodes):
        spectrum = torch.fft.rfft2(premultiplied if share is None else premultiplied * share, s=size)
        total.addcmul_(spectrum[None], kernel_spectra(lens, blur_px, reach, size)[:, None])
    scattered = torch.fft.irfft2(total, s=size)[..., rows.cut, columns.cut].clamp_min(0)
    cover = scattered[:, 3:]
    excess = cover.clamp_min(1)
    return scattered[:, :3] / excess, cover / excess, (rows.target, columns.target)


class Span(NamedTuple):
    """One axis of a scattered object: `source` in the layer, the length of the `transform`, what to `cut` from the
    result (which starts one reach before the source), and its place, the `target`, in the picture."""

    source: slice
    transform: int
    cut: slice
    target: slice


def _span(seen: Tensor, reach: int, margin: int) -> Span:
    """Only what is there, and within reach of the picture, is transformed, and no padding beyond what keeps the far
    end of a cyclic convolution out of the picture."""
    length, there = len(seen), seen.nonzero()
    first, last = (int(there[0]), int(there[-1]) + 1) if len(there) else (0, 0)
    first, last = max(first, margin - reach), min(last, length - margin + reach)
    if first >= last:
        return Span(slice(0, 0), 0, slice(0, 0), slice(0, 0))
    begin, end = max(margin, first - reach), min(length - margin, last + reach)
    shift = reach - first
    shortest = max(last + reach - begin, end + shift)
    return Span(
        slice(first, last), fast_size(shortest), slice(begin + shift, end + shift), slice(begin - margin, end - margin)
    )


def kernel_spectra(lens: Lens, blur_px: float, reach: int, size: tuple[int, int]) -> Tensor:
    """Transforms, 2 x H x (W / 2 + 1), of both views' kernels, centred on row and column `reach` of H x W.

    What reaches beyond H x W is cut off: it would land outside the picture.
    """
    pair = kernels(lens, blur_px)
    spare = reach - pair.shape[-1] // 2
    # Row by row first: most rows of the padded kernel are empty.
    rows = torch.fft.rfft(F.pad(pair, (spare, 0, spare, 0)), n=size[1])
    spectra: Tensor = torch.fft.fft(rows, n=size[0], dim=-2)
    return spectra


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
        if bool(share.any()):
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


def fast_size(length: int) -> int:
    """A length, no shorter, that Fourier transforms are quick at: a multiple of 16 without large prime factors."""
    length = -(-length // 16) * 16
    while True:
        rest = length
        for prime in (2, 3, 5, 7, 11):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 16

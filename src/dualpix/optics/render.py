"""Layers of a scene, seen through the two half apertures: the left and right view, in linear light.

A layer is one object. Its pixels are scattered, each by the kernel of its own blur, and summed (slices of one surface
must never be composited over one another: what lies behind would shine through every seam); objects are then laid over
one another from back to front. Hidden parts of far objects are there, as in the world.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
    views = torch.zeros(1)
    for depth, layer in enumerate(layers):
        light, cover = scatter(layer, lens)
        views = light / cover.clamp_min(1e-6) if depth == 0 else light + (1 - cover) * views
    height, width = views.shape[-2:]
    return views[..., margin : height - margin, margin : width - margin]


def composite(layers: Sequence[Layer], margin: int) -> tuple[Tensor, Tensor]:
    """The all-in-focus picture, 3 H W in linear light, and its signed blur map in pixels, H W."""
    colour, blur_px = layers[0].colour, layers[0].blur_px
    for layer in layers[1:]:
        colour = layer.colour * layer.alpha + colour * (1 - layer.alpha)
        blur_px = torch.where(layer.alpha > 0.5, layer.blur_px, blur_px)
    inner = slice(margin, colour.shape[-2] - margin), slice(margin, colour.shape[-1] - margin)
    return colour[:, *inner], blur_px[inner]


def scatter(layer: Layer, lens: Lens) -> tuple[Tensor, Tensor]:
    """Premultiplied light, 2 3 H W, and cover, 2 1 H W, of one object in both views. Cover is at most 1."""
    premultiplied = torch.cat([layer.colour * layer.alpha, layer.alpha[None]])  # 4 H W
    height, width = layer.alpha.shape
    total: Tensor | None = None
    reach = reach_px(lens, float(layer.blur_px.abs().max()))
    size = fast_size(height + reach), fast_size(width + reach)
    for blur_px, share in slices(layer.blur_px):
        spectrum = torch.fft.rfft2(premultiplied if share is None else premultiplied * share, s=size)
        seen = spectrum[None] * kernel_spectra(lens, blur_px, size)[:, None]  # 2 4 H W/2
        total = seen if total is None else total.add_(seen)
    assert total is not None
    scattered = torch.fft.irfft2(total, s=size)[..., :height, :width].clamp_min_(0)
    cover = scattered[:, 3:]
    excess = cover.clamp_min(1)
    return scattered[:, :3] / excess, cover / excess


def kernel_spectra(lens: Lens, blur_px: float, size: tuple[int, int]) -> Tensor:
    """Transforms of both views' kernels, centred on the first pixel of a picture of `size`: 2 x H x (W / 2 + 1)."""
    pair = kernels(lens, blur_px)
    reach = pair.shape[-1] // 2
    padded = F.pad(pair, (0, size[1] - pair.shape[-1], 0, size[0] - pair.shape[-2]))
    return torch.fft.rfft2(padded.roll((-reach, -reach), (1, 2)))


def slices(blur_px: Tensor) -> list[tuple[float, Tensor | None]]:
    """Cut a blur map into slices of one blur each: (signed blur radius, share of every pixel, None for all of it).

    A pixel between two slices is shared linearly, so the blur is continuous. Slices lie closer where blur is small,
    where a step shows most.
    """
    low, high = float(blur_px.min()), float(blur_px.max())
    if high - low < 0.05:
        return [(round((low + high) / 2, 2), None)]
    nodes = nodes_between(low, high)
    where = torch.bucketize(blur_px.contiguous(), torch.tensor(nodes)).clamp(1, len(nodes) - 1)
    grid = torch.tensor(nodes)
    part = ((blur_px - grid[where - 1]) / (grid[where] - grid[where - 1])).clamp(0, 1)
    cut = []
    for index, node in enumerate(nodes):
        share = torch.where(where == index, part, 0) + torch.where(where == index + 1, 1 - part, 0)
        if bool(share.any()):
            cut.append((node, share))
    return cut


def nodes_between(low: float, high: float) -> list[float]:
    """Signed radii from below `low` to above `high`: 0.5 px apart up to 4 px, 1 px up to 12, 2 px beyond."""
    half = [k * 0.5 for k in range(9)] + [float(k) for k in range(5, 13)] + [float(k) for k in range(14, 100, 2)]
    every = [-k for k in reversed(half[1:])] + half
    first = max(i for i, node in enumerate(every) if node <= low)
    last = min(i for i, node in enumerate(every) if node >= high)
    return every[first : last + 1]


def fast_size(length: int) -> int:
    """The next length whose only prime factors are 2, 3 and 5."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1

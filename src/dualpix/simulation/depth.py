"""Cut a picture with a depth map into the layers that the renderer takes.

A single picture does not show what is hidden, so three things are made up in the least visible way: depth that is
missing, or mixed at edges, is taken from its surroundings; surfaces continue behind nearer ones; and so do their
colours.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.errors import DataError
from dualpix.simulation.camera import Camera
from dualpix.simulation.render import Layer

MAX_BLUR_PX = 64.0
JUMP_PX = 1.0  # neighbouring pixels whose blur differs by more than this belong to different objects


def blur_from_depth(depth_m: Tensor, camera: Camera) -> Tensor:
    """Convert a depth map to signed blur.

    Unknown depths are filled from their surroundings. Edges are hardened: values between those of the two sides come
    from resampling, and would form a surface that does not exist.

    Args:
        depth_m: Depth along the optical axis in metres, H x W. Infinity is allowed; 0, negative numbers and NaN mean
            unknown.
        camera: The camera that sees it.

    Returns:
        Signed blur radius in pixels, H x W.

    Raises:
        DataError: No depth is known, or the blur would exceed `MAX_BLUR_PX`.
    """
    known = depth_m > 0
    if not bool(known.any()):
        raise DataError("The depth map holds no depth above zero; give metres along the optical axis.")
    blur_px = torch.as_tensor(camera.blur_px(depth_m.where(known, camera.focus_m)))  # type: ignore[arg-type]
    if float(blur_px.abs().max()) > MAX_BLUR_PX:
        worst = float(blur_px.flatten()[blur_px.abs().argmax()])
        raise DataError(
            f"A point {camera.depth_m(worst):.3g} m away would have a blur of {worst:.0f} px, but {MAX_BLUR_PX:g} px is"
            " the most; move the focus nearer to it, reduce the picture, or limit the depth."
        )
    return harden(_median(_fill(blur_px, known)))


def _fill(blur_px: Tensor, known: Tensor) -> Tensor:
    """Give unknown pixels the farthest blur around them, without intermediate values.

    Most gaps in a depth camera's map lie behind the edge of something near, where one of its two lenses saw nothing.
    """
    if bool(known.all()):
        return blur_px
    coarse = F.max_pool2d(blur_px.where(known, -torch.inf)[None], 2, ceil_mode=True)
    below = _fill(coarse[0], coarse[0] > -torch.inf)
    return blur_px.where(known, F.interpolate(below[None, None], blur_px.shape)[0, 0])


def _windows(picture: Tensor, side: int) -> Tensor:
    """The side x side neighbours of every pixel of H x W, as side^2 x H x W."""
    padded = F.pad(picture[None, None], (side // 2,) * 4, mode="replicate")
    return F.unfold(padded, side)[0].view(-1, *picture.shape)


def _median(picture: Tensor) -> Tensor:
    return _windows(picture, 3).median(dim=0).values


def harden(blur_px: Tensor) -> Tensor:
    """Give each pixel near an edge of the blur map (H x W, pixels) the value of one side, the one it is closer to."""
    high = F.max_pool2d(blur_px[None], 5, stride=1, padding=2)[0]
    low = -F.max_pool2d(-blur_px[None], 5, stride=1, padding=2)[0]
    snapped = torch.where(blur_px - low < high - blur_px, low, high)
    return torch.where(high - low > JUMP_PX, snapped, blur_px)


def layers_from_blur(colour: Tensor, blur_px: Tensor) -> list[Layer]:
    """Cut a picture into layers by its blur map.

    The range of blur is cut at as few values as separate all neighbouring pixels more than `JUMP_PX` apart, so that no
    layer has an edge inside. Laid over one another, the layers show `colour` again.

    Args:
        colour: The picture in linear light, 3 x H x W.
        blur_px: Its signed blur radius in pixels, H x W.

    Returns:
        Layers from back to front.
    """
    return layers_between(colour, blur_px, cuts_between_jumps(blur_px), int(blur_px.abs().max()) + 2)


def bands_of(blur_px: Tensor, cuts: Sequence[float]) -> list[Tensor]:
    """Where a blur map lies between two cuts, H x W of bool, from the largest blur to the least."""
    ends = [torch.inf, *reversed(cuts), -torch.inf]
    return [(blur_px > low) & (blur_px <= high) for high, low in pairwise(ends)]


def layers_between(colour: Tensor, blur_px: Tensor, cuts: Sequence[float], by_px: int) -> list[Layer]:
    """Cut a picture into layers at given values of its blur, on any device.

    Args:
        colour: The picture in linear light, 3 x H x W.
        blur_px: Its signed blur radius in pixels, H x W.
        cuts: The values, in rising order.
        by_px: How far surfaces go on behind nearer ones.

    Returns:
        Layers from back to front.
    """
    layers: list[Layer] = []
    farther = torch.zeros_like(blur_px, dtype=torch.bool)
    for band in bands_of(blur_px, cuts):
        farther = farther | band
        layers.append(_layer(colour, blur_px, band, farther, 0 if not layers else by_px))
    return layers


def _layer(colour: Tensor, blur_px: Tensor, band: Tensor, not_nearer: Tensor, by_px: int) -> Layer:
    """The visible part of one band of blur, continued behind nearer bands, or opaque everywhere for `by_px` of 0."""
    # Pixels at an edge mix the colours of both sides, so the continuation starts one pixel further in.
    sure = -F.max_pool2d(-band[None].float(), 3, stride=1, padding=1)[0]
    sure = torch.where(sure.any(), sure, band.float())
    made_up = push_pull(torch.cat([colour, blur_px[None]]), sure)
    alpha = _continued(band, not_nearer, by_px) if by_px else torch.ones_like(blur_px)
    return Layer(torch.where(band, colour, made_up[:3]), alpha, torch.where(band, blur_px, made_up[3]))


def _continued(band: Tensor, not_nearer: Tensor, by_px: int) -> Tensor:
    """`band` and, up to `by_px` pixels behind nearer bands, whatever is closer to it than to anything farther away."""
    grown, rest = band, not_nearer & ~band
    for _ in range(by_px):
        free = ~(grown | rest)
        if _is_known(free) and not bool(free.any()):
            break
        more, less = (_grown_by_one(part) & free for part in (grown, rest))
        grown, rest = grown | (more & ~less), rest | less
    return grown.float()


def _is_known(values: Tensor) -> bool:
    """Whether looking at values costs nothing; another device would have to finish all it was asked for before."""
    return values.device.type == "cpu"


def _grown_by_one(mask: Tensor) -> Tensor:
    """A mask H x W with the eight neighbours of its pixels added; a hundred times as fast as max pooling of floats."""
    rows = mask.clone()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    grown = rows.clone()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return grown


def cuts_between_jumps(blur_px: Tensor) -> list[float]:
    """The fewest values, in rising order, such that one lies between any two neighbours more than `JUMP_PX` apart."""
    jumps = np.concatenate([_jumps(blur_px[1:], blur_px[:-1]), _jumps(blur_px[:, 1:], blur_px[:, :-1])])
    cuts: list[tuple[float, float]] = []
    for low, high in jumps[np.argsort(jumps[:, 1], kind="stable")].tolist():
        if cuts and low < cuts[-1][1]:
            cuts[-1] = (max(cuts[-1][0], low), cuts[-1][1])  # one value separates this jump too
        else:
            cuts.append((low, high))
    return [(low + high) / 2 for low, high in cuts]


def _jumps(a: Tensor, b: Tensor) -> np.ndarray:
    pairs = torch.stack([torch.minimum(a, b), torch.maximum(a, b)], -1).double()
    found = pairs[pairs[..., 1] - pairs[..., 0] > JUMP_PX]
    # Rounding to hundredths keeps the number of different jumps small.
    return np.unique((found * 100).round().numpy(), axis=0) / 100


def push_pull(values: Tensor, known: Tensor) -> Tensor:
    """Interpolate values smoothly from where they are known (push-pull: Gortler et al., "The lumigraph", 1996).

    Args:
        values: C x H x W.
        known: Weight of each pixel, H x W in [0, 1]; 0 where it is unknown.
    """
    weight = known.to(values.dtype)[None]
    if weight.numel() == 1 or (_is_known(weight) and bool((weight == 1).all())):
        return values * (weight > 0)
    coarse = F.avg_pool2d(torch.cat([values * weight, weight])[None], 2, ceil_mode=True)[0]
    averages = coarse[:-1] / coarse[-1].clamp_min(1e-9)
    below = push_pull(averages, (coarse[-1] * 4).clamp_max(1))
    spread = F.interpolate(below[None], values.shape[1:], mode="bilinear", align_corners=False)[0]
    return values * weight + spread * (1 - weight)

"""A picture with a depth map, cut into the layers that the renderer takes.

A single picture does not show what is hidden, so three things are made up, in the way that shows least: depth that is
missing or mixed at edges is taken from beside it, surfaces go on behind nearer ones, and their colours with them.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.errors import DataError
from dualpix.simulation.camera import Camera
from dualpix.simulation.render import Layer

MAX_BLUR_PX = 64.0
JUMP_PX = 1.0  # neighbours whose blur differs by more than this belong to different objects


def blur_from_depth(depth_m: Tensor, camera: Camera) -> Tensor:
    """Signed blur in pixels, H W, of a depth map H W in metres along the axis; infinity is allowed.

    Zero, negative and NaN mean unknown and are filled from beside them. Edges are made hard: values that lie between
    those of the two sides are an artefact of resampling, and would become a surface of their own. Raises `DataError` if
    no depth is known, or blur would exceed `MAX_BLUR_PX`.
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
    """Give what is unknown the farthest blur around it, without in-between values: most gaps are what one of the depth
    camera's two eyes could not see, behind the edge of something near."""
    if bool(known.all()):
        return blur_px
    coarse = F.max_pool2d(blur_px.where(known, -torch.inf)[None], 2, ceil_mode=True)
    below = _fill(coarse[0], coarse[0] > -torch.inf)
    return blur_px.where(known, F.interpolate(below[None, None], blur_px.shape)[0, 0])


def _windows(picture: Tensor, side: int) -> Tensor:
    """The side x side neighbours of every pixel of H W, as side^2 H W."""
    padded = F.pad(picture[None, None], (side // 2,) * 4, mode="replicate")
    return F.unfold(padded, side)[0].view(-1, *picture.shape)


def _median(picture: Tensor) -> Tensor:
    return _windows(picture, 3).median(dim=0).values


def harden(blur_px: Tensor) -> Tensor:
    """Give pixels on an edge the value of the nearer of its two sides."""
    high = F.max_pool2d(blur_px[None], 5, stride=1, padding=2)[0]
    low = -F.max_pool2d(-blur_px[None], 5, stride=1, padding=2)[0]
    snapped = torch.where(blur_px - low < high - blur_px, low, high)
    return torch.where(high - low > JUMP_PX, snapped, blur_px)


def layers_from_blur(colour: Tensor, blur_px: Tensor) -> list[Layer]:
    """Layers from back to front of a picture 3 H W in linear light with its signed blur H W in pixels.

    The range of blur is cut at as few places as will separate all neighbours more than `JUMP_PX` apart, so that no
    layer has an edge within itself. Together the layers show `colour` again.
    """
    cuts = [float(blur_px.max()), *reversed(cuts_between_jumps(blur_px)), -torch.inf]
    bands = [(blur_px > low) & (blur_px <= high) for high, low in pairwise(cuts)]
    layers: list[Layer] = []
    farther = torch.zeros_like(blur_px, dtype=torch.bool)
    for band in bands:
        farther |= band
        layers.append(_layer(colour, blur_px, band, farther, opaque=not layers))
    return layers


def _layer(colour: Tensor, blur_px: Tensor, band: Tensor, not_nearer: Tensor, opaque: bool) -> Layer:
    """What is seen of one band, continued behind what is nearer."""
    # At its edge a picture mixes the colours of both sides, so what is made up is made from a pixel further in.
    sure = -F.max_pool2d(-band[None].float(), 3, stride=1, padding=1)[0]
    sure = sure if bool(sure.any()) else band.float()
    made_up = push_pull(torch.cat([colour, blur_px[None]]), sure)
    alpha = torch.ones_like(blur_px) if opaque else _continued(band, not_nearer, int(blur_px.abs().max()) + 2)
    return Layer(torch.where(band, colour, made_up[:3]), alpha, torch.where(band, blur_px, made_up[3]))


def _continued(band: Tensor, not_nearer: Tensor, by_px: int) -> Tensor:
    """`band` and, up to `by_px` behind what is nearer, all that lies nearer to it than to anything farther."""
    grown, rest = band, not_nearer & ~band
    for _ in range(by_px):
        free = ~(grown | rest)
        if not bool(free.any()):
            break
        more, less = (_grown_by_one(part) & free for part in (grown, rest))
        grown, rest = grown | (more & ~less), rest | less
    return grown.float()


def _grown_by_one(mask: Tensor) -> Tensor:
    """A mask H W with the eight neighbours of all that is in it. A hundred times as quick as pooling floats."""
    rows = mask.clone()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    grown = rows.clone()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return grown


def cuts_between_jumps(blur_px: Tensor) -> list[float]:
    """The fewest values, rising, such that one lies between any two neighbours more than `JUMP_PX` apart."""
    jumps = np.concatenate([_jumps(blur_px[1:], blur_px[:-1]), _jumps(blur_px[:, 1:], blur_px[:, :-1])])
    cuts: list[tuple[float, float]] = []
    for low, high in jumps[np.argsort(jumps[:, 1], kind="stable")].tolist():
        if cuts and low < cuts[-1][1]:
            cuts[-1] = (max(cuts[-1][0], low), cuts[-1][1])  # cut by the same value
        else:
            cuts.append((low, high))
    return [(low + high) / 2 for low, high in cuts]


def _jumps(a: Tensor, b: Tensor) -> np.ndarray:
    pairs = torch.stack([torch.minimum(a, b), torch.maximum(a, b)], -1).double()
    found = pairs[pairs[..., 1] - pairs[..., 0] > JUMP_PX]
    # Hundredths keep the count of different jumps small.
    return np.unique((found * 100).round().numpy(), axis=0) / 100


def push_pull(values: Tensor, known: Tensor) -> Tensor:
    """Carry `values`, C H W, from where `known`, H W in [0, 1], smoothly into the rest (Gortler et al., 1996)."""
    weight = known.to(values.dtype)[None]
    if bool((weight == 1).all()) or weight.numel() == 1:
        return values * (weight > 0)
    coarse = F.avg_pool2d(torch.cat([values * weight, weight])[None], 2, ceil_mode=True)[0]
    averages = coarse[:-1] / coarse[-1].clamp_min(1e-9)
    below = push_pull(averages, (coarse[-1] * 4).clamp_max(1))
    spread = F.interpolate(below[None], values.shape[1:], mode="bilinear", align_corners=False)[0]
    return values * weight + spread * (1 - weight)

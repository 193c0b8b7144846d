"""A picture that is sharp everywhere, and its map of blur, seen through a lens: what is out of focus becomes discs.

The picture is cut into layers of equal blur, laid over one another from back to front, in linear light. A pixel between
two blurs is shared by their layers, so slants have no steps. Each layer goes on behind what is nearer, by diffusion of
its own colours and of how much of it there is, so that the blurred edge of a foreground shows background and not the
foreground once more. Wide blur is made in a reduced picture, which shows nothing finer.
"""

from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.depth import JUMP_PX, push_pull
from dualpix.simulation.kernels import Lens, reach_px
from dualpix.simulation.spreading import Axis, spread, trimmed

NODES_PX = (0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 5.5, 7.5, 10.0, 13.0, 17.0, 22.0, 28.0, 36.0, 46.0, 60.0, 78.0, 100.0)
"""Blur radii of layers; neighbours cannot be told apart when they are mixed."""

LEVELS = ((26.0, 8), (12.0, 4), (6.0, 2))
"""From these radii on, blur is made in a picture reduced so many times."""

FILL = 4  # reduction in which layers are continued behind others: what is made up has no detail
RIM_PX = 1  # a picture mixes the colours of both sides of an edge that far into the far side
HIGHLIGHT, HIGHLIGHT_PX = (
    0.8,
    31,
)  # linear light above which a highlight may have been cut off; wider ones are no lights


class _Scene(NamedTuple):
    """Picture 3 H W in linear light, signed blur H W, and what of it is mixed with something nearer, H W."""

    light: Tensor
    blur_px: Tensor
    rim: Tensor


def refocus_light(light: Tensor, blur_px: Tensor, blades: int = 0) -> Tensor:
    """The picture through a lens.

    Args:
        light: what is sharp everywhere, 3 H W in linear light.
        blur_px: radius of the blur that each pixel is to have, H W, positive behind the plane in focus.
        blades: of the aperture; 0 for a round one.

    Returns:
        3 H W in linear light.
    """
    lens, size = Lens(rho=0.1, blades=blades), light.shape[-2:]
    nodes = nodes_of(float(blur_px.min()), float(blur_px.max()))
    if nodes == [0.0]:
        return light
    margin = 8 * -(-reach_px(lens, max(abs(node) for node in nodes)) // 8)
    scene = _padded(light, blur_px, margin)
    canvas: Tensor | None = None
    for reduction, group in groupby(reversed(range(len(nodes))), lambda number: reduction_of(nodes[number])):
        made, cover = _together(scene, nodes, list(group), reduction, lens, margin)
        large = _enlarged(torch.cat([made, cover]), reduction)
        canvas = large[:3] if canvas is None else canvas.mul_(1 - large[3:]).add_(large[:3])
    assert canvas is not None
    return canvas[:, margin : margin + size[0], margin : margin + size[1]].clamp_min(0)


def nodes_of(low: float, high: float) -> list[float]:
    """Signed radii, rising, from below `low` to above `high`."""
    every = [-node for node in reversed(NODES_PX[1:])] + list(NODES_PX)
    first = max((i for i, node in enumerate(every) if node <= low), default=0)
    last = min((i for i, node in enumerate(every) if node >= high), default=len(every) - 1)
    return every[first : last + 1]


def reduction_of(node: float) -> int:
    """How many times the picture is reduced in which such blur is made."""
    return next((reduction for least, reduction in LEVELS if abs(node) >= least), 1)


def _padded(light: Tensor, blur_px: Tensor, margin: int) -> _Scene:
    """Mirrored at its edges, so that no light is missing there; sides become multiples of all reductions."""
    height, width = blur_px.shape
    pads = (margin, margin + -width % 8, margin, margin + -height % 8)
    mode = "reflect" if margin + 8 < min(height, width) else "replicate"
    light, blur_px = F.pad(light[None], pads, mode)[0], F.pad(blur_px[None, None], pads, mode)[0, 0]
    side = 2 * RIM_PX + 1
    nearest = -F.max_pool2d(F.max_pool2d(-blur_px[None], (side, 1), 1, (RIM_PX, 0)), (1, side), 1, (0, RIM_PX))[0]
    return _Scene(light, blur_px, (blur_px - nearest > JUMP_PX).float())


def _together(
    scene: _Scene, nodes: list[float], group: list[int], reduction: int, lens: Lens, margin: int
) -> tuple[Tensor, Tensor]:
    """Layers of one reduction, the farthest first, laid over one another: premultiplied light and cover."""
    size = [side // reduction for side in scene.blur_px.shape]
    light, cover = torch.zeros(3, *size), torch.zeros(1, *size)
    for number in group:
        box = _box(scene.blur_px, nodes, number, margin)
        if box is None:
            continue
        planes = _layer(_Scene(*(plane[..., *box] for plane in scene)), nodes, number, reduction)
        blurred = _blurred(planes, nodes[number], reduction, lens)
        place = [slice(side.start // reduction, side.stop // reduction) for side in box]
        rest = 1 - blurred[3:]
        light[:, *place].mul_(rest).add_(blurred[:3])
        cover[:, *place].mul_(rest).add_(blurred[3:])
    return light, cover


def _box(blur_px: Tensor, nodes: list[float], number: int, margin: int) -> tuple[slice, slice] | None:
    """Rows and columns in which a layer, and what there is of it behind others, can be seen; in multiples of 8."""
    low = nodes[number - 1] if number else -torch.inf
    high = nodes[number + 1] if number + 1 < len(nodes) else torch.inf
    there = (blur_px > low) & (blur_px < high)
    found = []
    for axis in (1, 0):
        lines = there.any(axis).nonzero()
        if not len(lines):
            return None
        first, last = int(lines[0]) - 2 * margin, int(lines[-1]) + 1 + 2 * margin
        found.append(slice(max(0, first // 8 * 8), min(-(-last // 8) * 8, len(there) if axis else there.shape[1])))
    return found[0], found[1]


def _layer(scene: _Scene, nodes: list[float], number: int, reduction: int) -> Tensor:
    """Premultiplied light and cover, 4 h w, of one layer, reduced, and continued behind what is nearer."""
    seen, farther = (_share(scene.blur_px, nodes, place) for place in (number, number + 1))
    cover = 1 - farther / seen.clamp_min(1e-6)
    whole = torch.cat([scene.light * cover, cover])
    if reduction == 1 and bool((seen == 1).all()):
        return whole
    step = FILL if reduction == 1 else reduction
    sure = seen - scene.rim * (seen - farther)
    weight = _reduced(sure, step)
    small = _reduced(whole * sure, step) / weight.clamp_min(1e-6)
    made_up = push_pull(small, (4 * weight[0]).clamp_max(1))
    if reduction == 1:
        return torch.lerp(_enlarged(made_up, step), whole, seen)
    shown = _reduced(seen, step)
    return torch.lerp(made_up, _reduced(whole * seen, step) / shown.clamp_min(1e-6), shown)


def _share(blur_px: Tensor, nodes: list[float], number: int) -> Tensor:
    """How much of each pixel belongs to a layer or to farther ones, 1 H W."""
    if number == 0:
        return torch.ones_like(blur_px)[None]
    if number == len(nodes):
        return torch.zeros_like(blur_px)[None]
    return ((blur_px[None] - nodes[number - 1]) / (nodes[number] - nodes[number - 1])).clamp_(0, 1)


def _blurred(planes: Tensor, node: float, reduction: int, lens: Lens) -> Tensor:
    if node == 0:
        return planes
    # Reducing and enlarging blur too, and so does laying light on whole pixels: variances of discs add up.
    added = (reduction**2 - 1) / 12 + (reduction**2 - 1) / 6 + (reduction**2 / 6 if reduction > 1 else 0)
    radius = (max(node * node - 4 * added, 1.0) ** 0.5) / reduction
    kernel = trimmed(lens, round(radius if node > 0 else -radius, 3), whole=True)
    height, width = planes.shape[1:]
    return spread(planes, None, [kernel], Axis(0, height), Axis(0, width))[0].clamp_min_(0)


def _reduced(planes: Tensor, by: int) -> Tensor:
    return F.avg_pool2d(planes[None] if planes.ndim == 3 else planes[None, None], by)[0]


def _enlarged(planes: Tensor, by: int) -> Tensor:
    if by == 1:
        return planes
    return F.interpolate(planes[None], scale_factor=float(by), mode="bilinear", align_corners=False)[0]


def brighten_highlights(light: Tensor, gain: float) -> Tensor:
    """Small clipped highlights, 3 H W in linear light, up to `gain` times as bright, as they were before the file.

    A lamp that a file shows as white spreads over a disc, and would be grey in it. Wide bright areas, such as skies,
    stay as they are.
    """
    if gain == 1:
        return light
    over = ((light.amin(0) - HIGHLIGHT) / (1 - HIGHLIGHT)).clamp_(0, 1)
    side, half = HIGHLIGHT_PX, HIGHLIGHT_PX // 2
    around = F.avg_pool2d(F.avg_pool2d(over[None], (side, 1), 1, (half, 0)), (1, side), 1, (0, half))[0]
    return light * (1 + (gain - 1) * over * (1 - 4 * around).clamp_min_(0))

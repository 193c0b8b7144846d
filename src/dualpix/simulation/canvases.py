"""Render many scenes at once, on any device: one batched transform for all layers of all scenes at a time.

`render.render` divides each layer into small windows, which suits a processor's caches. Here every layer keeps its
whole canvas, so that all have one size, and what a layer needs of a blur radius is computed together for all layers:
the first radius of each, then the second of each, and so on. Which radii a layer needs is known beforehand from the
range of its blur; no value is asked for on the way. Tests compare the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.kernel_stacks import kernel_stack
from dualpix.simulation.kernels import Lens, reach_px
from dualpix.simulation.painting import inverse, moved, numbers
from dualpix.simulation.render import Layer, nodes_of
from dualpix.simulation.spreading import fast_size

WHOLE_SHARE = 1e9
"""Distance to the neighbours of a radius that has none, so that its share of every pixel rounds to 1."""


@dataclass(frozen=True)
class Stack:
    """The layers of several scenes, as one tensor for each of their parts; all are S x S.

    Attributes:
        scenes: For each rank, from the back on, the layers of that rank: those of scene 0, 1, 2 and so on, as indices.
            Scenes come in falling order of their number of layers, so that every rank's scenes are the first ones.
        ranges: The least and the largest signed blur of each layer in pixels.
        lenses: For each layer, the number of its lens.
        colour: In linear light, T x 3 x S x S.
        alpha: Opacity, T x 1 x S x S.
        blur_px: Signed blur radius, T x 1 x S x S.
        margin: Pixels of S to be cut off at each side.
    """

    scenes: Sequence[Sequence[int]]
    ranges: Sequence[tuple[float, float]]
    lenses: Sequence[int]
    colour: Tensor
    alpha: Tensor
    blur_px: Tensor
    margin: int

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns without the margin."""
        ends = slice(self.margin, self.alpha.shape[-1] - self.margin)
        return ends, ends

    def ranked(self, parts: Tensor, rank: int) -> Tensor:
        """Those of T things that belong to layers of that rank."""
        return parts.index_select(0, moved(torch.tensor(self.scenes[rank]), parts.device))


def stacked(
    scenes: Sequence[Sequence[Layer]],
    ranges: Sequence[Sequence[tuple[float, float]]],
    lenses: Sequence[int],
    margin: int,
) -> Stack:
    """Put the layers of scenes into one `Stack`.

    Args:
        scenes: The layers of each, from back to front, all of one size, in falling order of their number.
        ranges: The least and the largest signed blur in pixels of each layer of each scene.
        lenses: The number of each scene's lens.
        margin: Pixels to be cut off at each side.
    """
    layers, place, ranks = [], 0, []
    for rank in range(len(scenes[0])):
        deep = [scene for scene in scenes if len(scene) > rank]
        layers += [scene[rank] for scene in deep]
        ranks.append(range(place, place + len(deep)))
        place += len(deep)
    owners = [scene for rank in ranks for scene in range(len(rank))]
    depths = [rank for rank, slots in enumerate(ranks) for _ in slots]
    return Stack(
        ranks,
        [ranges[scene][rank] for scene, rank in zip(owners, depths, strict=True)],
        [lenses[scene] for scene in owners],
        torch.stack([layer.colour for layer in layers]),
        torch.stack([layer.alpha for layer in layers])[:, None],
        torch.stack([layer.blur_px for layer in layers])[:, None],
        margin,
    )


def render_together(stack: Stack, lenses: Sequence[Lens], aperture: float = 1.0, whole: bool = False) -> Tensor:
    """Render the views of all scenes, as `render.render` does for one.

    Args:
        stack: The layers.
        lenses: The lenses that the stack's numbers mean.
        aperture: Factor of all blur.
        whole: Render one view through the whole aperture instead of two.

    Returns:
        Views in linear light, B x 2 x 3 x H x W; B x 1 x 3 x H x W if `whole`.
    """
    light = _spread(stack, lenses, aperture, whole)[..., *stack.inner].clamp_min(0)
    light, cover = light[:, :, :3], light[:, :, 3:]
    light, cover = light / cover.clamp_min(1), cover.clamp_max(1)
    views = stack.ranked(light, 0) / stack.ranked(cover, 0).clamp_min(1e-6)
    for rank in range(1, len(stack.scenes)):
        near = slice(len(stack.scenes[rank]))
        views[near] = views[near] * (1 - stack.ranked(cover, rank)) + stack.ranked(light, rank)
    return views


def composite_together(stack: Stack) -> tuple[Tensor, Tensor]:
    """Composite the layers of all scenes without blur, as `render.composite` does for one.

    Returns:
        The all-in-focus pictures in linear light, B x 3 x H x W, and their blur in pixels, B x 1 x H x W.
    """
    parts = [part[..., *stack.inner] for part in (stack.colour, stack.alpha, stack.blur_px)]
    colour, _, blur_px = (stack.ranked(part, 0) for part in parts)
    for rank in range(1, len(stack.scenes)):
        near = slice(len(stack.scenes[rank]))
        its_colour, its_alpha, its_blur_px = (stack.ranked(part, rank) for part in parts)
        colour[near] = its_colour * its_alpha + colour[near] * (1 - its_alpha)
        blur_px[near] = torch.where(its_alpha > 0.5, its_blur_px, blur_px[near])
    return colour, blur_px


@dataclass(frozen=True)
class _Turn:
    """One radius of each of the first layers: its place among all kernels, and the radii before and after it."""

    kernels: list[int]
    nodes: list[tuple[float, float, float]]


def _spread(stack: Stack, lenses: Sequence[Lens], aperture: float, whole: bool) -> Tensor:
    """Light and coverage of every layer, T x 2 x 4 x S x S, or T x 1 x 4 x S x S."""
    device, size = stack.alpha.device, stack.alpha.shape[-1]
    nodes = [nodes_of(low * aperture, high * aperture) for low, high in stack.ranges]
    order = sorted(range(len(nodes)), key=lambda slot: -len(nodes[slot]))
    chosen = moved(torch.tensor(order), device)
    turns, wanted = _turns([nodes[slot] for slot in order], [stack.lenses[slot] for slot in order])
    reach = max(reach_px(lenses[lens], radius) for lens, radius in wanted)
    length = fast_size(size + max(0, reach - stack.margin))
    spectra = _spectra(wanted, lenses, reach, length, whole, device)
    alpha, blur_px = (part.index_select(0, chosen) for part in (stack.alpha, stack.blur_px * aperture))
    light = torch.cat([stack.colour.index_select(0, chosen) * alpha, alpha], 1)
    total = torch.zeros(len(order), spectra.shape[1], 4, length, length // 2 + 1, dtype=spectra.dtype, device=device)
    for turn in turns:
        count = len(turn.kernels)
        parts = light[:count]
        if any(after - before < WHOLE_SHARE for before, _, after in turn.nodes):
            parts = parts * _shares(blur_px[:count], turn.nodes)
        spectrum = torch.fft.rfft2(parts, s=(length, length))
        kernel = spectra.index_select(0, moved(torch.tensor(turn.kernels), device))
        total[:count].addcmul_(spectrum[:, None], kernel[:, :, None])
    seen = torch.fft.irfft2(total, s=(length, length))[..., :size, :size]
    back = moved(inverse(order), device)
    return seen.index_select(0, back)


def _turns(nodes: Sequence[Sequence[float]], lenses: Sequence[int]) -> tuple[list[_Turn], list[tuple[int, float]]]:
    """The turns, and the lens and radius of each kernel that they need."""
    wanted: dict[tuple[int, float], int] = {}
    turns = []
    for turn in range(len(nodes[0])):
        places, neighbours = [], []
        for own, lens in zip(nodes, lenses, strict=True):
            if turn >= len(own):
                break
            places.append(wanted.setdefault((lens, own[turn]), len(wanted)))
            alone = WHOLE_SHARE if len(own) == 1 else 1.0
            before = own[turn - 1] if turn else own[0] - alone
            after = own[turn + 1] if turn + 1 < len(own) else own[-1] + alone
            neighbours.append((before, own[turn], after))
        turns.append(_Turn(places, neighbours))
    return turns, list(wanted)


def _shares(blur_px: Tensor, nodes: Sequence[tuple[float, float, float]]) -> Tensor:
    """How much of every pixel belongs to a radius between two others, as `render.slices` divides them."""
    before, node, after = (
        numbers([each for three in nodes for each in three], blur_px.device).view(-1, 3).T[..., None, None, None]
    )
    rising, falling = (blur_px - before) / (node - before), (after - blur_px) / (after - node)
    return torch.minimum(rising, falling).clamp_min(0)


def _spectra(
    wanted: Sequence[tuple[int, float]],
    lenses: Sequence[Lens],
    reach: int,
    length: int,
    whole: bool,
    device: torch.device,
) -> Tensor:
    """Transforms of kernels whose centre is the first pixel, N x 2 x L x (L / 2 + 1), or N x 1 x ... if `whole`."""
    by_lens: dict[int, list[int]] = {}
    for place, (lens, _) in enumerate(wanted):
        by_lens.setdefault(lens, []).append(place)
    order = [place for places in by_lens.values() for place in places]
    stacks = [kernel_stack(lenses[n], [wanted[p][1] for p in places], reach, device) for n, places in by_lens.items()]
    pairs = torch.cat(stacks)
    if whole:
        pairs = pairs.mean(1, keepdim=True)
    padded = F.pad(pairs, (0, length - pairs.shape[-1]) * 2).roll((-reach, -reach), (2, 3))
    back = moved(inverse(order), device)
    return torch.fft.rfft2(padded).index_select(0, back)

"""Random scenes: a background and a few objects in front of and behind the focal plane, with their blur drawn directly.

Positions are drawn as signed blur radii c, not as depths: c is affine in 1 / z, so a plane in space is a plane in c,
and a wanted range of blur is met exactly. The defaults of `Layout` follow measurements on real Canon 5D Mark IV pairs
at f/4, with wider ranges: most blur is behind the focal plane, up to 20 px and more, and most surfaces are slanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dualpix.simulation.landscapes import draw_landscape, with_depth
from dualpix.simulation.render import Layer, ends
from dualpix.simulation.sensor import Tone
from dualpix.simulation.textures import SHAPES, TEXTURES, photo, rough, rough_photo


@dataclass(frozen=True)
class Layout:
    """Distribution of scenes. Blur is in pixels of the simulated picture; shares are in [0, 1].

    Attributes:
        far_px: Range of the background's blur, log-uniform.
        far_tail_px: The upper end of that range for one scene in ten.
        near_px: Largest blur of objects in front of the focal plane; most stay below a quarter of it.
        single: Share of scenes that show one surface only.
        max_objects: Most objects in front of the background.
        photos: Share of surfaces that show a photograph.
        slant_px: Largest change of blur from pixel to pixel on a slanted surface.
        shade: Each surface's linear light is multiplied by e^-shade to e^0.1, log-uniform.
        balanced: Share of scenes whose blur is drawn by its disparity, from each of `DISPARITIES_PX` equally often.
        behind: Share of these scenes' surfaces that lie behind the focal plane.
        native: Share of scenes at a camera's full resolution: blur of 0.3 to 3 px, photographs reduced until they are
            sharp.
        landscapes: Share of scenes that are one photograph with its map of depth, where photographs have one.
        rough: Share of surfaces with a fine texture without edges, such as bark, plaster, asphalt, foliage and rock.
        reduced: Least factor by which photographs are reduced.
    """

    far_px: tuple[float, float] = (2.0, 20.0)
    far_tail_px: float = 28.0
    near_px: float = 12.0
    single: float = 0.4
    max_objects: int = 4
    photos: float = 0.72
    slant_px: float = 0.03
    shade: float = 0.5
    balanced: float = 0.1
    behind: float = 0.7
    native: float = 0.1
    landscapes: float = 0.5
    rough: float = 0.25
    reduced: float = 1.0


SHAPE_SHARES = (0.2, 0.35, 0.22, 0.1, 0.05, 0.08)

NATIVE_BLUR_PX = (0.3, 3.0)

DISPARITIES_PX = ((0.0, 0.4), (0.4, 1.5), (1.5, 3.5), (3.5, 8.0))
"""About the quartiles of the disparities in DPDD's test pictures, at their full size (a public study of 2026)."""


def draw_scene(
    rng: np.random.Generator,
    photos: Sequence[Tensor],
    size: int,
    tone: Tone,
    layout: Layout | None = None,
    rho: float = 0.4,
) -> list[Layer]:
    """Draw a random scene.

    Args:
        rng: Source of randomness.
        photos: Photographs, uint8, 3 x H x W each, display-encoded, or 4 x H x W with inverse depth.
        size: Side of the scene in pixels.
        tone: Decodes photographs and patterns to linear light.
        layout: Distribution of scenes.
        rho: The lens's disparity per blur radius, which matters only where blur is drawn by its disparity.

    Returns:
        Layers from back to front, size x size; the first is opaque everywhere.
    """
    layout = layout or Layout()
    if rng.random() < layout.landscapes and (mapped := with_depth(photos)):
        return draw_landscape(rng, mapped, size, tone, rho, layout.far_tail_px)
    if rng.random() < layout.balanced:
        return _balanced_scene(rng, photos, size, tone, layout, rho)
    if rng.random() < layout.native:
        layout = replace(layout, far_px=NATIVE_BLUR_PX, far_tail_px=NATIVE_BLUR_PX[1], near_px=4.0, reduced=2.0)
    tail = rng.random() < 0.1
    far = layout.far_tail_px if tail else layout.far_px[1]
    far = float(np.exp(rng.uniform(np.log(layout.far_px[0]), np.log(far))))
    everywhere = torch.ones(size, size)
    layers = [_layer(rng, photos, everywhere, _background(rng, far), tone, layout)]
    if rng.random() < layout.single:
        return layers
    for _ in range(int(rng.integers(1, layout.max_objects + 1))):
        layers.append(_layer(rng, photos, _shape(rng, size), _object(rng, far, layout), tone, layout))
    return [layers[0]] + sorted(layers[1:], key=lambda layer: -float(layer.blur_px.mean()))


def _balanced_scene(
    rng: np.random.Generator, photos: Sequence[Tensor], size: int, tone: Tone, layout: Layout, rho: float
) -> list[Layer]:
    count = 1 if rng.random() < layout.single else int(rng.integers(2, layout.max_objects + 2))
    blurs = [_blur_of_disparity(rng, layout, rho) for _ in range(count)]
    farthest = int(np.argmax(blurs))
    masks = [torch.ones(size, size) if number == farthest else _shape(rng, size) for number in range(count)]
    layers = [_layer(rng, photos, mask, blur, tone, layout) for mask, blur in zip(masks, blurs, strict=True)]
    return [layers.pop(farthest), *sorted(layers, key=lambda layer: -float(layer.blur_px.mean()))]


def _blur_of_disparity(rng: np.random.Generator, layout: Layout, rho: float) -> float:
    low, high = DISPARITIES_PX[rng.integers(len(DISPARITIES_PX))]
    blur_px = min(float(rng.uniform(low, high)) / rho, layout.far_tail_px)
    return float(blur_px) if rng.random() < layout.behind else -float(min(blur_px, layout.far_px[1]))


def _shape(rng: np.random.Generator, size: int) -> Tensor:
    shapes = list(SHAPES)
    return SHAPES[shapes[rng.choice(len(shapes), p=SHAPE_SHARES)]](rng, size)


def _background(rng: np.random.Generator, far: float) -> float:
    return far * float(rng.uniform(0.6, 1)) if rng.random() < 0.85 else float(rng.normal(0, 0.7))


def _object(rng: np.random.Generator, far: float, layout: Layout) -> float:
    """Signed blur of an object: in focus, between focus and background, a little off, or in front."""
    kind = rng.random()
    if kind < 0.35:
        return float(rng.normal(0, 0.5))
    if kind < 0.85:
        return float(rng.uniform(0, far))
    if kind < 0.93:
        return float(rng.uniform(1, 4))
    return -float(rng.uniform(1, layout.near_px if rng.random() < 0.2 else layout.near_px / 4))


def _layer(
    rng: np.random.Generator, photos: Sequence[Tensor], alpha: Tensor, blur_px: float, tone: Tone, layout: Layout
) -> Layer:
    size = alpha.shape[-1]
    texture = _texture(rng, photos, size, layout)
    seen = tuple(slice(*ends(alpha.amax(axis) > 0)) for axis in (1, 0))
    colour = tone.decode(texture[:, *seen])
    if rng.random() < 0.3:
        colour = _brighten(rng, colour)
    whole = torch.zeros(3, size, size)  # only visible pixels need a colour
    torch.mul(colour, float(np.exp(rng.uniform(-layout.shade, 0.1))), out=whole[:, *seen])
    return Layer(whole, alpha, _plane(rng, size, blur_px, layout))


def _texture(rng: np.random.Generator, photos: Sequence[Tensor], size: int, layout: Layout) -> Tensor:
    if rng.random() < layout.rough:
        return rough_photo(rng, photos, size) if photos and rng.random() < 0.6 else rough(rng, size)
    if photos and rng.random() < layout.photos:
        return photo(rng, photos, size, layout.reduced)
    names = list(TEXTURES)
    return TEXTURES[names[rng.choice(len(names), p=[0.2, 0.25, 0.2, 0.35])]](rng, size)


def _brighten(rng: np.random.Generator, colour: Tensor) -> Tensor:
    """Undo the clipping of highlights: what a file shows as white may have been many times brighter."""
    over = ((colour - 0.85) / 0.15).clamp(0, 1)
    return colour * (1 + over * float(rng.uniform(0, 7)))


def _plane(rng: np.random.Generator, size: int, blur_px: float, layout: Layout) -> Tensor:
    """Blur of a plane with `blur_px` in the middle, slanted more often up and down (floors) than sideways."""
    if rng.random() < 0.4:
        return torch.full((size, size), float(blur_px))
    slant = layout.slant_px * np.exp(rng.uniform(np.log(0.1), 0))
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.6 else np.pi / 2 * rng.choice([-1, 1])
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    return blur_px + float(slant * np.sin(angle)) * axis[:, None] + float(slant * np.cos(angle)) * axis[None, :]

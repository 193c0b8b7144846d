"""Random scenes: a background and a few objects in front of and behind the focal plane, with their blur drawn directly.

Positions are drawn as signed blur radii c, not as depths: c is affine in 1 / z, so a plane in space is a plane in c,
and a wanted range of blur is met exactly. The defaults of `Layout` follow measurements on real Canon 5D Mark IV pairs
at f/4, with wider ranges: most blur is behind the focal plane, up to 20 px and more, and most surfaces are slanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dualpix.simulation.landscapes import draw_landscape, with_depth
from dualpix.simulation.painting import Canvas, Painting
from dualpix.simulation.render import Layer, ends
from dualpix.simulation.sensor import Tone
from dualpix.simulation.shapes import SHAPES
from dualpix.simulation.textures import TEXTURES, photo, rough, rough_photo


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


class PlannedScene(Protocol):
    """A scene that is decided but not painted."""

    def paint(self, tone: Tone, canvas: Canvas) -> list[Layer]:
        """Compute its layers, from back to front, in linear light; the first is opaque everywhere."""
        ...

    def blur_ranges(self, inset: int = 0) -> list[tuple[float, float]]:
        """The least and the largest signed blur of each layer in pixels, `inset` pixels inside of its edges."""
        ...


@dataclass(frozen=True)
class Slope:
    """Signed blur of a plane: in its middle, and its change per row and per column, in pixels."""

    middle: float
    down: float = 0.0
    across: float = 0.0

    def on(self, size: int, inset: int, canvas: Canvas) -> Tensor:
        """The blur of a square of `size` pixels, without `inset` at each edge."""
        if not self.down and not self.across:
            return torch.full((size - 2 * inset,) * 2, self.middle, device=canvas.device)
        axis = torch.arange(inset, size - inset, dtype=torch.float32, device=canvas.device) - (size - 1) / 2
        return self.middle + self.down * axis[:, None] + self.across * axis[None, :]

    def range(self, size: int, inset: int = 0) -> tuple[float, float]:
        """The least and the largest value, to the rounding of `on`: they lie in corners."""
        end = torch.tensor([inset, size - 1 - inset], dtype=torch.float32) - (size - 1) / 2
        corners = self.middle + self.down * end[:, None] + self.across * end[None, :]
        return float(corners.min()), float(corners.max())


@dataclass(frozen=True)
class Surface:
    """One object of a scene, not painted yet.

    Attributes:
        texture: What it looks like, display-encoded.
        shape: Its opacity; None for 1 everywhere.
        highlights: How much brighter than white the whitest was, 0 for not at all.
        gain: Factor of its linear light.
        blur: Where it stands.
    """

    texture: Painting
    shape: Painting | None
    highlights: float
    gain: float
    blur: Slope

    def paint(self, size: int, tone: Tone, canvas: Canvas) -> Layer:
        """Compute it, size x size."""
        alpha = torch.ones(size, size, device=canvas.device) if self.shape is None else self.shape(canvas)
        texture = self.texture(canvas)
        seen = (slice(None),) * 2
        if canvas.on_cpu:  # only visible pixels need a colour
            seen = tuple(slice(*ends(alpha.amax(axis) > 0)) for axis in (1, 0))  # type: ignore[assignment]
        colour = tone.decode(texture[:, *seen])
        if self.highlights:
            colour = colour * (1 + ((colour - 0.85) / 0.15).clamp(0, 1) * self.highlights)
        whole = torch.zeros(3, size, size, device=canvas.device)
        torch.mul(colour, self.gain, out=whole[:, *seen])
        return Layer(whole, alpha, self.blur.on(size, 0, canvas))


@dataclass(frozen=True)
class Objects:
    """A background and objects in front of it, from back to front."""

    surfaces: Sequence[Surface]
    size: int

    def paint(self, tone: Tone, canvas: Canvas) -> list[Layer]:
        """See `PlannedScene`."""
        return [surface.paint(self.size, tone, canvas) for surface in self.surfaces]

    def blur_ranges(self, inset: int = 0) -> list[tuple[float, float]]:
        """See `PlannedScene`."""
        return [surface.blur.range(self.size, inset) for surface in self.surfaces]


def draw_scene(
    rng: np.random.Generator,
    photos: Sequence[Tensor],
    size: int,
    layout: Layout | None = None,
    rho: float = 0.4,
) -> PlannedScene:
    """Draw a random scene.

    Args:
        rng: Source of randomness.
        photos: Photographs, uint8, 3 x H x W each, display-encoded, or 4 x H x W with inverse depth.
        size: Side of the scene in pixels.
        layout: Distribution of scenes.
        rho: The lens's disparity per blur radius, which matters only where blur is drawn by its disparity.

    Returns:
        The scene, to be painted with the same photographs.
    """
    layout = layout or Layout()
    if rng.random() < layout.landscapes and (mapped := with_depth(photos)):
        return draw_landscape(rng, photos, mapped, size, rho, layout.far_tail_px)
    if rng.random() < layout.balanced:
        return _balanced_scene(rng, photos, size, layout, rho)
    if rng.random() < layout.native:
        layout = replace(layout, far_px=NATIVE_BLUR_PX, far_tail_px=NATIVE_BLUR_PX[1], near_px=4.0, reduced=2.0)
    tail = rng.random() < 0.1
    far = layout.far_tail_px if tail else layout.far_px[1]
    far = float(np.exp(rng.uniform(np.log(layout.far_px[0]), np.log(far))))
    background = _surface(rng, photos, size, None, _background(rng, far), layout)
    if rng.random() < layout.single:
        return Objects([background], size)
    objects = [
        _surface(rng, photos, size, _shape(rng, size), _object(rng, far, layout), layout)
        for _ in range(int(rng.integers(1, layout.max_objects + 1)))
    ]
    return Objects([background, *_from_back(objects)], size)


def _from_back(surfaces: Sequence[Surface]) -> list[Surface]:
    return sorted(surfaces, key=lambda surface: -surface.blur.middle)


def _balanced_scene(
    rng: np.random.Generator, photos: Sequence[Tensor], size: int, layout: Layout, rho: float
) -> Objects:
    count = 1 if rng.random() < layout.single else int(rng.integers(2, layout.max_objects + 2))
    blurs = [_blur_of_disparity(rng, layout, rho) for _ in range(count)]
    farthest = int(np.argmax(blurs))
    masks = [None if number == farthest else _shape(rng, size) for number in range(count)]
    surfaces = [_surface(rng, photos, size, mask, blur, layout) for mask, blur in zip(masks, blurs, strict=True)]
    return Objects([surfaces.pop(farthest), *_from_back(surfaces)], size)


def _blur_of_disparity(rng: np.random.Generator, layout: Layout, rho: float) -> float:
    low, high = DISPARITIES_PX[rng.integers(len(DISPARITIES_PX))]
    blur_px = min(float(rng.uniform(low, high)) / rho, layout.far_tail_px)
    return float(blur_px) if rng.random() < layout.behind else -float(min(blur_px, layout.far_px[1]))


def _shape(rng: np.random.Generator, size: int) -> Painting:
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


def _surface(
    rng: np.random.Generator,
    photos: Sequence[Tensor],
    size: int,
    shape: Painting | None,
    blur_px: float,
    layout: Layout,
) -> Surface:
    texture = _texture(rng, photos, size, layout)
    # A photograph clips highlights: what it shows as white may have been many times brighter.
    highlights = float(rng.uniform(0, 7)) if rng.random() < 0.3 else 0.0
    gain = float(np.exp(rng.uniform(-layout.shade, 0.1)))
    return Surface(texture, shape, highlights, gain, _slope(rng, blur_px, layout))


def _texture(rng: np.random.Generator, photos: Sequence[Tensor], size: int, layout: Layout) -> Painting:
    if rng.random() < layout.rough:
        return rough_photo(rng, photos, size) if photos and rng.random() < 0.6 else rough(rng, size)
    if photos and rng.random() < layout.photos:
        return photo(rng, photos, size, layout.reduced)
    names = list(TEXTURES)
    return TEXTURES[names[rng.choice(len(names), p=[0.2, 0.25, 0.2, 0.35])]](rng, size)


def _slope(rng: np.random.Generator, blur_px: float, layout: Layout) -> Slope:
    """A plane with `blur_px` in the middle, slanted more often up and down (floors) than sideways."""
    if rng.random() < 0.4:
        return Slope(blur_px)
    slant = layout.slant_px * np.exp(rng.uniform(np.log(0.1), 0))
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.6 else np.pi / 2 * rng.choice([-1, 1])
    return Slope(blur_px, float(slant * np.sin(angle)), float(slant * np.cos(angle)))

"""What objects look like: photographs, patterns, text.

Every function takes a NumPy `Generator` and a side length N in pixels, draws all that is random, and returns a
`Painting` of float32, 3 x N x N in [0, 1], display-encoded.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.painting import Canvas, Painting
from dualpix.simulation.shapes import grid, letters, noise

Place = tuple[int, int, int, int]
"""A square crop of a photograph: the photograph's number, top, left and side."""


def photo(rng: np.random.Generator, photos: Sequence[Tensor], size: int, reduced: float = 1.0) -> Painting:
    """A crop of a random photograph, usually the sharpest of three, with random scale and mirroring.

    Args:
        rng: Source of randomness.
        photos: Photographs, uint8, 3 x H x W each.
        size: Side of the crop in pixels.
        reduced: Least factor by which the photograph is reduced, if it is large enough.
    """
    number = int(rng.integers(len(photos)))
    shape = photos[number].shape[1:]
    scale = min(reduced * float(rng.choice([1.0, 1.0, 1.4, 2.0])), min(shape) / size)
    side = min(int(size * scale), *shape)
    places = [_place(rng, number, shape, side) for _ in range(3 if rng.random() < 0.7 else 1)]
    turns = rng.random() < 0.5, rng.random() < 0.1, rng.random() < 0.1
    return partial(_photo, places, size, turns)


def _photo(places: Sequence[Place], size: int, turns: tuple[bool, bool, bool], canvas: Canvas) -> Tensor:
    crop = _best([_cut(canvas.photos, place) for place in places], _detail).float()
    if places[0][3] != size:
        crop = F.interpolate(crop[None], (size, size), mode="bilinear", antialias=True)[0]
    crop = crop.div_(255)
    across, upright, diagonal = turns
    if across:
        crop = crop.flip(2)
    if upright:
        crop = crop.flip(1)
    return crop.transpose(1, 2) if diagonal else crop


def _place(rng: np.random.Generator, number: int, shape: Sequence[int], side: int) -> Place:
    top, left = (int(rng.integers(length - side + 1)) for length in shape)
    return number, top, left, side


def _cut(photos: Sequence[Tensor], place: Place) -> Tensor:
    number, top, left, side = place
    return photos[number][:3, top : top + side, left : left + side]


def _best(crops: Sequence[Tensor], merit: Callable[[Tensor], Tensor]) -> Tensor:
    """The crop, of several of one size, with most merit, chosen where the crops are."""
    if len(crops) == 1:
        return crops[0]
    return torch.stack(list(crops)).index_select(0, torch.stack([merit(crop) for crop in crops]).argmax()[None])[0]


def _detail(crop: Tensor) -> Tensor:
    green = crop[1, ::2, ::2].float()
    return green.diff(dim=0).abs().mean() + green.diff(dim=1).abs().mean()


def rough_photo(rng: np.random.Generator, photos: Sequence[Tensor], size: int) -> Painting:
    """The one of twelve small crops of photographs with most detail in all of its parts, extended by mirroring.

    Args:
        rng: Source of randomness.
        photos: Photographs, uint8, 3 x H x W each.
        size: Side of the result in pixels.
    """
    side = size // 2
    chosen = [int(rng.integers(len(photos))) for _ in range(12)]
    places = [_place(rng, number, photos[number].shape[1:], min(side, *photos[number].shape[1:])) for number in chosen]
    if len({place[3] for place in places}) > 1:  # how far it has to be extended depends on which one it is
        places = [max(places, key=lambda place: float(_least_detail(_cut(photos, place))))]
    length = places[0][3]
    while length < size:
        length *= 2
    top, left = (int(rng.integers(length - size + 1)) for _ in range(2))
    return partial(_rough_photo, places, size, top, left)


def _rough_photo(places: Sequence[Place], size: int, top: int, left: int, canvas: Canvas) -> Tensor:
    crop = _best([_cut(canvas.photos, place) for place in places], _least_detail).float()[None] / 255
    while crop.shape[-1] < size:
        crop = torch.cat([crop, crop.flip(3)], 3)
        crop = torch.cat([crop, crop.flip(2)], 2)
    return crop[0, :, top : top + size, left : left + size]


def _least_detail(crop: Tensor) -> Tensor:
    """Detail of the least detailed sixteenth, in relation to the most detailed one: large if detail is even."""
    green = crop[1].float()
    slopes = (green.diff(dim=0)[:, :-1].abs() + green.diff(dim=1)[:-1].abs())[None, None]
    parts = F.adaptive_avg_pool2d(slopes, 4)
    return parts.min() ** 2 / parts.max().clamp_min(1e-3)


def rough(rng: np.random.Generator, size: int) -> Painting:
    """Ridged or plain noise of a random spectrum, stretched and rotated: bark, plaster, asphalt, foliage, rock."""
    field: Painting = noise(rng, size, float(rng.uniform(0.3, 1.3)))
    if rng.random() < 0.5:
        coarse = noise(rng, size, float(rng.uniform(0.8, 1.8)))
        field = partial(_patched, field, coarse, rng.random() < 0.5)
    if rng.random() < 0.4:
        field = partial(_ridged, field, float(rng.uniform(1, 2)))
    if rng.random() < 0.5:  # bark and planks run one way
        field = partial(_stretched, field, int(size * rng.uniform(0.15, 0.6)), rng.random() < 0.5)
    shade = noise(rng, size, 2.0)
    depth = float(rng.uniform(0, 0.08))
    return _two_colours(rng, partial(_relief, field, float(rng.uniform(0.08, 0.35)), shade, depth))


def _patched(field: Painting, coarse: Painting, folded: bool, canvas: Canvas) -> Tensor:
    seen, amount = field(canvas), coarse(canvas)
    return seen * (0.3 + (amount.abs() if folded else torch.sigmoid(2 * amount)))


def _ridged(field: Painting, gain: float, canvas: Canvas) -> Tensor:
    return -field(canvas).abs() * gain


def _stretched(field: Painting, long: int, turned: bool, canvas: Canvas) -> Tensor:
    seen = field(canvas)
    seen = F.interpolate(seen[None, None, :long], seen.shape, mode="bilinear", align_corners=False)[0, 0]
    return seen.T if turned else seen


def _relief(field: Painting, gain: float, shade: Painting, depth: float, canvas: Canvas) -> Tensor:
    return (field(canvas) * gain + 0.5 + shade(canvas) * depth).clamp(0, 1)


def flat(rng: np.random.Generator, size: int) -> Painting:
    """A colour with a slight gradient, which shows neither blur nor disparity."""
    colour = rng.random(3).astype(np.float32)
    down, across = (float(slope) for slope in rng.normal(0, 0.15, 2))
    return partial(_flat, colour, down, across, size)


def _flat(colour: np.ndarray, down: float, across: float, size: int, canvas: Canvas) -> Tensor:
    y, x = grid(size, canvas)
    tilted: Tensor = canvas.take(colour)[:, None, None] + (down * x + across * y) / size
    return tilted.clamp(0, 1)


def cloud(rng: np.random.Generator, size: int) -> Painting:
    """Noise with a 1 / f^k amplitude spectrum, in a random pair of colours."""
    return _two_colours(rng, partial(_scaled, noise(rng, size, float(rng.uniform(0.8, 1.6))), 0.25))


def stripes(rng: np.random.Generator, size: int) -> Painting:
    """Stripes, or a checked pattern where two sets of stripes cross."""
    waves = [_wave(rng)]
    if rng.random() < 0.4:
        waves.append(_wave(rng))
    return _two_colours(rng, partial(_scaled, partial(_waves, waves, size), float(rng.uniform(0.7, 4))))


def page(rng: np.random.Generator, size: int) -> Painting:
    """Lines of text in two colours."""
    return _two_colours(rng, letters(rng, size))


def _scaled(field: Painting, gain: float, canvas: Canvas) -> Tensor:
    return (field(canvas) * gain + 0.5).clamp(0, 1)


Wave = tuple[float, float, float, float]
"""Cosine and sine of its direction, its frequency in radians a pixel, and its phase."""


def _wave(rng: np.random.Generator) -> Wave:
    angle, period = rng.uniform(0, np.pi), float(np.exp(rng.uniform(np.log(3), np.log(60))))
    return float(np.cos(angle)), float(np.sin(angle)), 2 * np.pi / period, float(rng.uniform(0, 6.3))


def _waves(waves: Sequence[Wave], size: int, canvas: Canvas) -> Tensor:
    y, x = grid(size, canvas)
    first, *others = [torch.sin((x * cos + y * sin) * frequency + phase) for cos, sin, frequency, phase in waves]
    return first * others[0] if others else first


def _two_colours(rng: np.random.Generator, mix: Painting) -> Painting:
    grey = rng.random((2, 1)) if rng.random() < 0.6 else rng.random((2, 3))
    pair = np.broadcast_to(grey, (2, 3)).astype(np.float32)
    return partial(_mixed, pair, mix)


def _mixed(pair: np.ndarray, mix: Painting, canvas: Canvas) -> Tensor:
    colours, amount = canvas.take(pair), mix(canvas)
    return colours[0][:, None, None] * amount + colours[1][:, None, None] * (1 - amount)


TEXTURES: dict[str, Callable[[np.random.Generator, int], Painting]] = {
    "flat": flat,
    "cloud": cloud,
    "stripes": stripes,
    "page": page,
}

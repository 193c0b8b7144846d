"""What objects look like: photographs, patterns, text; and their shapes: discs, polygons, bars, nets, letters.

Every function takes a NumPy `Generator` and a side length N in pixels. Pictures are float32, 3 x N x N in [0, 1],
display-encoded; masks are float32, N x N in [0, 1], anti-aliased.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&%!?.,:;+-/()"
SYMBOLS = LETTERS + "      "


def photo(rng: np.random.Generator, photos: Sequence[Tensor], size: int, reduced: float = 1.0) -> Tensor:
    """A crop of a random photograph, usually the sharpest of three, with random scale and mirroring.

    Args:
        rng: Source of randomness.
        photos: Photographs, uint8, 3 x H x W each.
        size: Side of the crop in pixels.
        reduced: Least factor by which the photograph is reduced, if it is large enough.
    """
    source = photos[int(rng.integers(len(photos)))]
    scale = min(reduced * float(rng.choice([1.0, 1.0, 1.4, 2.0])), min(source.shape[1:]) / size)
    side = min(int(size * scale), *source.shape[1:])
    crops = [_crop(rng, source, side) for _ in range(3 if rng.random() < 0.7 else 1)]
    crop = (max(crops, key=_detail) if len(crops) > 1 else crops[0]).float()
    if side != size:
        crop = F.interpolate(crop[None], (size, size), mode="bilinear", antialias=True)[0]
    crop = crop.div_(255)
    if rng.random() < 0.5:
        crop = crop.flip(2)
    if rng.random() < 0.1:
        crop = crop.flip(1)
    return crop.transpose(1, 2) if rng.random() < 0.1 else crop


def _crop(rng: np.random.Generator, source: Tensor, side: int) -> Tensor:
    top, left = (int(rng.integers(length - side + 1)) for length in source.shape[1:])
    return source[:3, top : top + side, left : left + side]


def _detail(crop: Tensor) -> float:
    green = crop[1, ::2, ::2].float()
    return float(green.diff(dim=0).abs().mean() + green.diff(dim=1).abs().mean())


def rough_photo(rng: np.random.Generator, photos: Sequence[Tensor], size: int) -> Tensor:
    """The one of twelve small crops of photographs with most detail in all of its parts, extended by mirroring.

    Args:
        rng: Source of randomness.
        photos: Photographs, uint8, 3 x H x W each.
        size: Side of the result in pixels.
    """
    side = size // 2
    sources = [photos[int(rng.integers(len(photos)))] for _ in range(12)]
    crops = [_crop(rng, source, min(side, *source.shape[1:])) for source in sources]
    crop = max(crops, key=_least_detail).float()[None] / 255
    while crop.shape[-1] < size or crop.shape[-2] < size:
        crop = torch.cat([crop, crop.flip(3)], 3)
        crop = torch.cat([crop, crop.flip(2)], 2)
    top, left = (int(rng.integers(length - size + 1)) for length in crop.shape[-2:])
    return crop[0, :, top : top + size, left : left + size]


def _least_detail(crop: Tensor) -> float:
    """Detail of the least detailed sixteenth, in relation to the most detailed one: large if detail is even."""
    green = crop[1].float()
    slopes = (green.diff(dim=0)[:, :-1].abs() + green.diff(dim=1)[:-1].abs())[None, None]
    parts = F.adaptive_avg_pool2d(slopes, 4)
    return float(parts.min() ** 2 / parts.max().clamp_min(1e-3))


def rough(rng: np.random.Generator, size: int) -> Tensor:
    """Ridged or plain noise of a random spectrum, stretched and rotated: bark, plaster, asphalt, foliage, rock."""
    field = noise(rng, size, float(rng.uniform(0.3, 1.3)))
    if rng.random() < 0.5:
        coarse = noise(rng, size, float(rng.uniform(0.8, 1.8)))
        field = field * (0.3 + (coarse.abs() if rng.random() < 0.5 else torch.sigmoid(2 * coarse)))
    if rng.random() < 0.4:
        field = -field.abs() * float(rng.uniform(1, 2))
    if rng.random() < 0.5:  # bark and planks run one way
        long = int(size * rng.uniform(0.15, 0.6))
        field = F.interpolate(field[None, None, :long], (size, size), mode="bilinear", align_corners=False)[0, 0]
        field = field.T if rng.random() < 0.5 else field
    shade = noise(rng, size, 2.0) * float(rng.uniform(0, 0.08))
    return _two_colours(rng, (field * float(rng.uniform(0.08, 0.35)) + 0.5 + shade).clamp(0, 1))


def flat(rng: np.random.Generator, size: int) -> Tensor:
    """A colour with a slight gradient, which shows neither blur nor disparity."""
    colour = torch.tensor(rng.random(3), dtype=torch.float32)
    y, x = _grid(size)
    slope = rng.normal(0, 0.15, 2)
    tilted: Tensor = colour[:, None, None] + (slope[0] * x + slope[1] * y) / size
    return tilted.clamp(0, 1)


def cloud(rng: np.random.Generator, size: int) -> Tensor:
    """Noise with a 1 / f^k amplitude spectrum, in a random pair of colours."""
    tones = noise(rng, size, float(rng.uniform(0.8, 1.6)))
    return _two_colours(rng, (tones * 0.25 + 0.5).clamp(0, 1))


def noise(rng: np.random.Generator, size: int, power: float) -> Tensor:
    """Gaussian noise of standard deviation 1, N x N, with a 1 / f^power amplitude spectrum."""
    f = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]).clamp_min(1 / size)
    white = torch.from_numpy(rng.standard_normal((size, size), dtype=np.float32))
    field: Tensor = torch.fft.irfft2(torch.fft.rfft2(white) / f**power, s=(size, size))
    unit: Tensor = (field - field.mean()) / field.std().clamp_min(1e-6)
    return unit


def stripes(rng: np.random.Generator, size: int) -> Tensor:
    """Stripes, or a checked pattern where two sets of stripes cross."""
    wave = _wave(rng, size)
    if rng.random() < 0.4:
        wave = wave * _wave(rng, size)
    return _two_colours(rng, (wave * float(rng.uniform(0.7, 4)) + 0.5).clamp(0, 1))


def page(rng: np.random.Generator, size: int) -> Tensor:
    """Lines of text in two colours."""
    return _two_colours(rng, letters(rng, size))


def _wave(rng: np.random.Generator, size: int) -> Tensor:
    y, x = _grid(size)
    angle, period = rng.uniform(0, np.pi), float(np.exp(rng.uniform(np.log(3), np.log(60))))
    return torch.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period) + rng.uniform(0, 6.3))


def _two_colours(rng: np.random.Generator, mix: Tensor) -> Tensor:
    grey = rng.random((2, 1)) if rng.random() < 0.6 else rng.random((2, 3))
    pair = torch.tensor(np.broadcast_to(grey, (2, 3)).copy(), dtype=torch.float32)
    return pair[0][:, None, None] * mix + pair[1][:, None, None] * (1 - mix)


TEXTURES: dict[str, Callable[[np.random.Generator, int], Tensor]] = {
    "flat": flat,
    "cloud": cloud,
    "stripes": stripes,
    "page": page,
}


def _grid(size: int) -> tuple[Tensor, Tensor]:
    axis = torch.arange(size, dtype=torch.float32)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x


def _turned(rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
    """Coordinates around a random centre, rotated by a random angle (half of the time not at all)."""
    y, x = _grid(size)
    x, y = x - rng.uniform(0.1, 0.9) * size, y - rng.uniform(0.1, 0.9) * size
    angle = 0.0 if rng.random() < 0.5 else rng.uniform(0, np.pi)
    return x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) - y * np.sin(angle)


def disc(rng: np.random.Generator, size: int) -> Tensor:
    """An ellipse, small ones more often: the density of radii falls as r^-3 within limits, as in dead-leaves models."""
    v, u = _turned(rng, size)
    radius = 8 / np.sqrt(rng.uniform((8 / (size * 0.4)) ** 2, 1)) * 1.5
    flat = rng.uniform(0.3, 1)
    inside: Tensor = (1 - torch.hypot(u, v / flat) / radius) * radius * flat
    return (inside + 0.5).clamp(0, 1)


def polygon(rng: np.random.Generator, size: int) -> Tensor:
    """A convex polygon: the intersection of three to six half planes."""
    v, u = _turned(rng, size)
    sides = int(rng.integers(3, 7))
    inside = torch.full((size, size), 1e3)
    for angle in np.sort(rng.uniform(0, 2 * np.pi / sides, sides)) + np.arange(sides) * 2 * np.pi / sides:
        inside = torch.minimum(inside, rng.uniform(0.08, 0.4) * size - (u * np.cos(angle) + v * np.sin(angle)))
    return (inside + 0.5).clamp(0, 1)


def blob(rng: np.random.Generator, size: int) -> Tensor:
    """Noise cut at a level: ragged like foliage."""
    field = noise(rng, size, float(rng.uniform(1.3, 2.2)))
    return ((field - float(rng.uniform(0.2, 1.2))) * 6 + 0.5).clamp(0, 1)


def bars(rng: np.random.Generator, size: int) -> Tensor:
    """One to eight thin parallel bars, 1 to 8 px wide."""
    v, _ = _turned(rng, size)
    width, gap = float(np.exp(rng.uniform(0, np.log(8)))), float(rng.uniform(8, 60))
    mask = torch.zeros(size, size)
    for k in range(int(rng.integers(1, 9))):
        mask = torch.maximum(mask, (width / 2 - (v - k * gap).abs() + 0.5).clamp(0, 1))
    return mask


def net(rng: np.random.Generator, size: int) -> Tensor:
    """A grid of wires, 1 to 4 px thick."""
    v, u = _turned(rng, size)
    width, mesh = rng.uniform(1, 4), rng.uniform(10, 40)
    near = [mesh / 2 - ((axis % mesh) - mesh / 2).abs() for axis in (u, v)]
    return (width / 2 - torch.minimum(near[0], near[1]) + 0.5).clamp(0, 1)


def letters(rng: np.random.Generator, size: int) -> Tensor:
    """Random words in lines, upright or rotated."""
    height = float(np.exp(rng.uniform(np.log(8), np.log(80))))
    count = int(2.2 * size / height) + 1
    lines = [rng.integers(len(SYMBOLS), size=count) for _ in range(int(size / height) + 1)]
    sheet = _printed(np.stack(lines), height, size)
    if rng.random() < 0.4:
        sheet = np.asarray(Image.fromarray(sheet).rotate(float(rng.uniform(-30, 30)), Image.Resampling.BILINEAR))
    return torch.from_numpy(sheet.astype(np.float32) / 255)


def _printed(lines: np.ndarray, height: float, size: int) -> np.ndarray:
    """Lines of text, as rows of indices of `SYMBOLS`, on a square sheet of bytes.

    Prints the same as `ImageDraw.text`, but draws each letter only once. Letters of this font stand on whole pixels and
    only neighbours can touch, so every other letter goes on a sheet of its own.
    """
    # FreeType computes in 64ths of a pixel, and rounds halves towards the top.
    tops = [math.ceil(round(line * height * 1.25 * 64) / 64 - 0.5) for line in range(len(lines))]
    lines = lines[: sum(top < size for top in tops)]
    type_ = _cast(ImageFont.load_default(height), np.unique(lines))
    pens = np.cumsum(type_.advance[lines], 1) - type_.advance[lines]
    every_other = [_set(type_, lines[:, first::2], (pens + type_.left[lines])[:, first::2], size) for first in (0, 1)]
    high = type_.ink.shape[1]
    sheet = np.zeros((size + high, size), np.uint8)
    for line, top in zip(_over(*every_other), tops, strict=False):
        rows = sheet[top : top + high]
        rows[:] = _over(rows, line)
    return sheet[:size]


class _Type(NamedTuple):
    """Letters side by side, and their measures by index in `SYMBOLS`.

    `ink`: columns x rows from the top of a line. `first`: first column of each letter; `wide`: number of its columns;
    `left`: its offset from the pen; `advance`: how far it moves the pen.
    """

    ink: np.ndarray
    first: np.ndarray
    wide: np.ndarray
    left: np.ndarray
    advance: np.ndarray


def _cast(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, numbers: np.ndarray) -> _Type:
    boxes = np.zeros((len(SYMBOLS), 4), np.int64)
    advance = np.zeros(len(SYMBOLS), np.int64)
    for number in numbers:
        boxes[number], advance[number] = font.getbbox(SYMBOLS[number]), font.getlength(SYMBOLS[number])
    left, wide = boxes[:, 0], boxes[:, 2] - boxes[:, 0]
    first = np.cumsum(wide) - wide
    row = Image.new("L", (max(1, int(wide.sum())), max(1, int(boxes[:, 3].max()))))
    draw = ImageDraw.Draw(row)
    for number in numbers:
        draw.text((int(first[number] - left[number]), 0), SYMBOLS[number], fill=255, font=font)
    return _Type(np.ascontiguousarray(np.asarray(row).T), first, wide, left, advance)


def _set(type_: _Type, letters: np.ndarray, starts: np.ndarray, size: int) -> np.ndarray:
    """Lines of letters that do not touch, starting at the columns `starts`: lines x rows x size, bytes."""
    spare = int(type_.wide.max())
    seen, count = starts < size, len(letters)
    line = np.broadcast_to(np.arange(count)[:, None], letters.shape)[seen]
    letters, starts = letters[seen], starts[seen]
    wide = type_.wide[letters]
    within = np.arange(wide.sum()) - np.repeat(np.cumsum(wide) - wide, wide)
    made = np.zeros((count, size + 2 * spare, type_.ink.shape[1]), np.uint8)
    made[np.repeat(line, wide), np.repeat(starts + spare, wide) + within] = type_.ink[
        np.repeat(type_.first[letters], wide) + within
    ]
    lines: np.ndarray = made[:, spare : spare + size].transpose(0, 2, 1)
    return lines


def _over(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Ink on ink, bytes."""
    both: np.ndarray = 255 - ((255 - one.astype(np.uint16)) * (255 - other) + 127) // 255
    return both


SHAPES: dict[str, Callable[[np.random.Generator, int], Tensor]] = {
    "disc": disc,
    "polygon": polygon,
    "blob": blob,
    "bars": bars,
    "net": net,
    "letters": letters,
}

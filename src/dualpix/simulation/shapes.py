"""The shapes of objects: discs, polygons, ragged blobs, bars, nets, letters.

Every function takes a NumPy `Generator` and a side length N in pixels, draws all that is random, and returns a
`Painting` of a mask: float32, N x N in [0, 1], anti-aliased.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dualpix.simulation.painting import Canvas, Painting

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&%!?.,:;+-/()"
SYMBOLS = LETTERS + "      "


def noise(rng: np.random.Generator, size: int, power: float) -> Painting:
    """Gaussian noise of standard deviation 1, N x N, with a 1 / f^power amplitude spectrum."""
    return partial(_noise, rng.standard_normal((size, size), dtype=np.float32), power)


def _noise(white: np.ndarray, power: float, canvas: Canvas) -> Tensor:
    size, device = len(white), canvas.device
    down, across = torch.fft.fftfreq(size, device=device), torch.fft.rfftfreq(size, device=device)
    f = torch.hypot(down[:, None], across[None]).clamp_min(1 / size)
    field: Tensor = torch.fft.irfft2(torch.fft.rfft2(canvas.take(white)) / f**power, s=(size, size))
    unit: Tensor = (field - field.mean()) / field.std().clamp_min(1e-6)
    return unit


def grid(size: int, canvas: Canvas) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel, N x N each."""
    axis = torch.arange(size, dtype=torch.float32, device=canvas.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x


class _Frame(NamedTuple):
    """Coordinates around a centre, rotated."""

    x: float
    y: float
    cos: float
    sin: float

    def of(self, size: int, canvas: Canvas) -> tuple[Tensor, Tensor]:
        y, x = grid(size, canvas)
        x, y = x - self.x, y - self.y
        return x * self.sin + y * self.cos, x * self.cos - y * self.sin


def _turned(rng: np.random.Generator, size: int) -> _Frame:
    """A random centre and a random angle (half of the time none)."""
    x, y = (float(rng.uniform(0.1, 0.9) * size) for _ in range(2))
    angle = 0.0 if rng.random() < 0.5 else rng.uniform(0, np.pi)
    return _Frame(x, y, float(np.cos(angle)), float(np.sin(angle)))


def disc(rng: np.random.Generator, size: int) -> Painting:
    """An ellipse, small ones more often: the density of radii falls as r^-3 within limits, as in dead-leaves models."""
    frame = _turned(rng, size)
    radius = float(8 / np.sqrt(rng.uniform((8 / (size * 0.4)) ** 2, 1)) * 1.5)
    return partial(_disc, frame, radius, float(rng.uniform(0.3, 1)), size)


def _disc(frame: _Frame, radius: float, flat: float, size: int, canvas: Canvas) -> Tensor:
    v, u = frame.of(size, canvas)
    inside: Tensor = (1 - torch.hypot(u, v / flat) / radius) * radius * flat
    return (inside + 0.5).clamp(0, 1)


def polygon(rng: np.random.Generator, size: int) -> Painting:
    """A convex polygon: the intersection of three to six half planes."""
    frame = _turned(rng, size)
    sides = int(rng.integers(3, 7))
    angles = np.sort(rng.uniform(0, 2 * np.pi / sides, sides)) + np.arange(sides) * 2 * np.pi / sides
    edges = [(float(rng.uniform(0.08, 0.4) * size), float(np.cos(angle)), float(np.sin(angle))) for angle in angles]
    return partial(_polygon, frame, edges, size)


def _polygon(frame: _Frame, edges: Sequence[tuple[float, float, float]], size: int, canvas: Canvas) -> Tensor:
    v, u = frame.of(size, canvas)
    inside = torch.full((size, size), 1e3, device=canvas.device)
    for reach, cos, sin in edges:
        inside = torch.minimum(inside, reach - (u * cos + v * sin))
    return (inside + 0.5).clamp(0, 1)


def blob(rng: np.random.Generator, size: int) -> Painting:
    """Noise cut at a level: ragged like foliage."""
    field = noise(rng, size, float(rng.uniform(1.3, 2.2)))
    return partial(_blob, field, float(rng.uniform(0.2, 1.2)))


def _blob(field: Painting, level: float, canvas: Canvas) -> Tensor:
    return ((field(canvas) - level) * 6 + 0.5).clamp(0, 1)


def bars(rng: np.random.Generator, size: int) -> Painting:
    """One to eight thin parallel bars, 1 to 8 px wide."""
    frame = _turned(rng, size)
    width, gap = float(np.exp(rng.uniform(0, np.log(8)))), float(rng.uniform(8, 60))
    return partial(_bars, frame, width, gap, int(rng.integers(1, 9)), size)


def _bars(frame: _Frame, width: float, gap: float, count: int, size: int, canvas: Canvas) -> Tensor:
    v, _ = frame.of(size, canvas)
    mask = torch.zeros(size, size, device=canvas.device)
    for k in range(count):
        mask = torch.maximum(mask, (width / 2 - (v - k * gap).abs() + 0.5).clamp(0, 1))
    return mask


def net(rng: np.random.Generator, size: int) -> Painting:
    """A grid of wires, 1 to 4 px thick."""
    frame = _turned(rng, size)
    return partial(_net, frame, float(rng.uniform(1, 4)), float(rng.uniform(10, 40)), size)


def _net(frame: _Frame, width: float, mesh: float, size: int, canvas: Canvas) -> Tensor:
    v, u = frame.of(size, canvas)
    near = [mesh / 2 - ((axis % mesh) - mesh / 2).abs() for axis in (u, v)]
    return (width / 2 - torch.minimum(near[0], near[1]) + 0.5).clamp(0, 1)


def letters(rng: np.random.Generator, size: int) -> Painting:
    """Random words in lines, upright or rotated, printed on the CPU."""
    height = float(np.exp(rng.uniform(np.log(8), np.log(80))))
    count = int(2.2 * size / height) + 1
    lines = [rng.integers(len(SYMBOLS), size=count) for _ in range(int(size / height) + 1)]
    angle = float(rng.uniform(-30, 30)) if rng.random() < 0.4 else 0.0
    sheet = _printed(np.stack(lines), height, size)
    if angle:
        sheet = np.array(Image.fromarray(sheet).rotate(angle, Image.Resampling.BILINEAR))
    return partial(_sheet, sheet)


def _sheet(sheet: np.ndarray, canvas: Canvas) -> Tensor:
    return canvas.take(sheet).float() / 255


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


SHAPES: dict[str, Callable[[np.random.Generator, int], Painting]] = {
    "disc": disc,
    "polygon": polygon,
    "blob": blob,
    "bars": bars,
    "net": net,
    "letters": letters,
}

"""Pictures of pictures: results side by side with enlarged details, as in figures 7 and 8 of the MCCNet paper.

Everything is a float32 RGB C H W tensor in [0, 1]; nothing is read or written here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dualpix.machine.files import legible

CELL_PX = 240
GAP_PX = 8
LABEL_PX = 28
FONT_PX = 17
BORDER_PX = 3
SIDES_PER_WINDOW = 9  # a detail is this small a part of the picture's shorter side
COLOURS = ((0.90, 0.10, 0.10), (0.05, 0.65, 0.15), (0.10, 0.35, 0.95), (0.95, 0.65, 0.05))
INK = 0.15

Window = tuple[int, int, int]
"""Top row, left column and side of a square, in pixels."""


@dataclass(frozen=True)
class Scene:
    """One row of a comparison.

    `pictures`: from label to 3 x H x W picture, the blurred input first. `sharp`: the ground truth, if known, of the
    same size.
    """

    name: str
    pictures: Mapping[str, Tensor]
    sharp: Tensor | None = None


def comparison(scenes: Sequence[Scene], details: int = 2) -> Tensor:
    """Draw one row for each scene: its input with boxes, then `details` enlarged windows of every picture, 3 x H x W.

    The windows are those where the pictures differ most (`find_windows`). Raises ValueError for no scenes, or for
    pictures of different sizes in one scene.
    """
    if not scenes:
        raise ValueError("A comparison needs at least one scene.")
    rows = [_draw_scene(scene, details) for scene in scenes]
    width = max(row.shape[-1] for row in rows)
    parts = [F.pad(row, (GAP_PX, width - row.shape[-1] + GAP_PX, 0, GAP_PX), value=1.0) for row in rows]
    return torch.cat(parts, dim=1)


def find_windows(pictures: Sequence[Tensor], sharp: Tensor | None, count: int, side_px: int) -> list[Window]:
    """The `count` squares in which some picture is furthest ahead of another, best first, at least a side apart.

    A picture's error in a square is the standard deviation of its difference from `sharp`, so that a mere change of
    brightness does not count; without `sharp`, of its difference from the mean of all pictures. Squares lie on a grid
    of a quarter of their side. Fewer are returned when no more fit.
    """
    truth = torch.stack(list(pictures)).mean(dim=0) if sharp is None else sharp
    step = max(1, side_px // 4)
    errors = torch.stack([_local_deviation(picture - truth, side_px, step) for picture in pictures])  # P h w
    best = errors.amin(dim=0) if sharp is not None and len(pictures) > 1 else torch.zeros_like(errors[0])
    lead = errors.amax(dim=0) - best
    windows: list[Window] = []
    while len(windows) < count and bool((lead >= 0).any()):
        row, column = divmod(int(lead.argmax()), lead.shape[1])
        windows.append((row * step, column * step, side_px))
        reach = -(-2 * side_px // step) - 1
        lead[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = -1
    return windows


def _local_deviation(difference: Tensor, side_px: int, step: int) -> Tensor:
    """Root mean square over the channels of the standard deviation in each square, C H W -> h w."""
    moments = F.avg_pool2d(torch.stack([difference, difference * difference]), side_px, step)  # 2 C h w
    return (moments[1] - moments[0] ** 2).clamp(min=0).mean(dim=0).sqrt()


def _draw_scene(scene: Scene, details: int) -> Tensor:
    shown = dict(scene.pictures) if scene.sharp is None else {**scene.pictures, "ground truth": scene.sharp}
    shapes = {tuple(picture.shape) for picture in shown.values()}
    if len(shapes) != 1:
        sizes = ", ".join(map(str, sorted(shapes)))
        raise ValueError(f"The pictures of {scene.name!r} must have one size, not {sizes}.")
    pictures = {label: picture.detach().float().cpu().clamp(0, 1) for label, picture in shown.items()}
    truth = None if scene.sharp is None else pictures["ground truth"]
    first = next(iter(pictures.values()))
    windows = find_windows([pictures[label] for label in scene.pictures], truth, details, _window_side(first))
    columns = [_with_label(scene.name, _overview(first, windows, details))]
    columns += [_with_label(label, _details(picture, windows, details)) for label, picture in pictures.items()]
    gap = torch.ones(3, columns[0].shape[1], GAP_PX)
    return torch.cat([part for column in columns for part in (column, gap)][:-1], dim=2)


def _window_side(picture: Tensor) -> int:
    """About a ninth of the shorter side, such that whole pixels fill a cell."""
    wanted = max(1.0, min(picture.shape[-2:]) / SIDES_PER_WINDOW)
    return int(min(CELL_PX // max(1, round(CELL_PX / wanted)), *picture.shape[-2:]))


def _column_height(details: int) -> int:
    return details * CELL_PX + (details - 1) * GAP_PX


def _overview(picture: Tensor, windows: Sequence[Window], details: int) -> Tensor:
    """The whole picture as high as its column of details, with a box around each window."""
    height = _column_height(details)
    scale = height / picture.shape[1]
    width = max(1, round(picture.shape[2] * scale))
    small = F.interpolate(picture[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)
    for number, (top, left, side) in enumerate(windows):
        _draw_box(small, (round(top * scale), round(left * scale), round(side * scale)), number)
    return small


def _details(picture: Tensor, windows: Sequence[Window], details: int) -> Tensor:
    """The windows below one another, each enlarged to a cell with square pixels and a border in its box's colour."""
    column = torch.ones(3, _column_height(details), CELL_PX)
    for number, (top, left, side) in enumerate(windows):
        cut = picture[:, top : top + side, left : left + side]
        cell = F.interpolate(cut[None], (CELL_PX, CELL_PX), mode="nearest")[0]
        _draw_box(cell, (0, 0, CELL_PX), number)
        start = number * (CELL_PX + GAP_PX)
        column[:, start : start + CELL_PX] = cell
    return column


def _draw_box(picture: Tensor, window: Window, number: int) -> None:
    """Draw the inside border of `window` into `picture`, in the colour of detail `number`."""
    top, left, side = window
    frame = torch.zeros(picture.shape[1:], dtype=torch.bool)
    frame[top : top + side, left : left + side] = True
    frame[top + BORDER_PX : top + side - BORDER_PX, left + BORDER_PX : left + side - BORDER_PX] = False
    picture[:, frame] = torch.tensor(COLOURS[number % len(COLOURS)])[:, None]


def _with_label(text: str, column: Tensor) -> Tensor:
    """`column` with a line of dark text on white above it, cut short where it does not fit."""
    width = column.shape[2]
    font = ImageFont.load_default(FONT_PX)
    shown = legible(text)
    while shown and font.getlength(shown) > width:
        shown = shown.removesuffix("...")[:-1] + "..." if len(shown) > 4 else ""
    strip = Image.new("L", (width, LABEL_PX), 255)
    ImageDraw.Draw(strip).text((0, LABEL_PX // 2), shown, fill=round(255 * INK), font=font, anchor="lm")
    label = torch.from_numpy(np.array(strip, dtype=np.float32) / 255)
    return torch.cat([label.expand(3, -1, -1), column], dim=1)

"""A picture that is sharp everywhere, and its map of blur, seen through a lens: what is out of focus becomes discs.

The picture is cut into layers of equal blur (`hidden.py`), laid over one another from back to front, in linear light.
Wide blur is made in a reduced picture, which shows nothing finer. All that is done in bands of rows, which are as good
as the whole: each is made from the rows around it that its discs reach.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.hidden import GRID, Layers, Strip, enlarged, rim_of, rounded_up
from dualpix.simulation.kernels import Lens
from dualpix.simulation.sensor import Tone
from dualpix.simulation.spreading import Axis, spread, trimmed

NODES_PX = (0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 5.5, 7.5, 10.0, 13.0, 17.0, 22.0, 28.0, 36.0, 46.0, 60.0, 78.0, 100.0)
"""Blur radii of layers; neighbours cannot be told apart when they are mixed."""

LEVELS = ((26.0, 8), (12.0, 4), (6.0, 2))
"""From these radii on, blur is made in a picture reduced so many times."""

BAND_ROWS = 512
"""Rows of a band at most: few enough for a processor's cache, and many beside those around them."""

ROW_BYTES_A_PIXEL = 180
"""Memory of each pixel of a band and the rows around it, while its layers are blurred."""

HIGHLIGHT, HIGHLIGHT_PX = (
    0.8,
    31,
)  # linear light above which a highlight may have been cut off; wider ones are no lights

Band = tuple[int, int]


def refocus_light(light: Tensor, blur_px: Tensor, blades: int = 0, bands: Sequence[Band] | None = None) -> Tensor:
    """The picture through a lens.

    Args:
        light: what is sharp everywhere, 3 H W in linear light.
        blur_px: radius of the blur that each pixel is to have, H W, positive behind the plane in focus.
        blades: of the aperture; 0 for a round one.
        bands: first and last + 1 of the rows that are made at once; None for BAND_ROWS each. Others give the same.

    Returns:
        3 H W in linear light.
    """
    made = torch.empty_like(light)
    for (first, last), rows in _seen(_Light(light), blur_px, blades, bands):
        made[:, first:last] = rows
    return made


def refocus(
    picture: Tensor, blur_px: Tensor, blades: int = 0, highlights: float = 1.0, bands: Sequence[Band] | None = None
) -> Tensor:
    """As `refocus_light`, of a display-encoded picture, 3 H W in [0, 1], whose `highlights` are brightened."""
    made = torch.empty_like(picture)
    for (first, last), rows in _seen(_Light(picture, Tone(), highlights), blur_px, blades, bands):
        made[:, first:last] = Tone().encode(rows)
    return made


def reach_of(low_px: float, high_px: float) -> int:
    """Rows around a band that it depends on, where blur lies between these two radii."""
    return _margin(nodes_of(low_px, high_px), Lens(rho=0.1)) + 2 * GRID


def nodes_of(low: float, high: float) -> list[float]:
    """Signed radii, rising, from below `low` to above `high`."""
    every = [-node for node in reversed(NODES_PX[1:])] + list(NODES_PX)
    first = max((i for i, node in enumerate(every) if node <= low), default=0)
    last = min((i for i, node in enumerate(every) if node >= high), default=len(every) - 1)
    return every[first : last + 1]


def reduction_of(node: float) -> int:
    """How many times the picture is reduced in which such blur is made."""
    return next((reduction for least, reduction in LEVELS if abs(node) >= least), 1)


def brighten_highlights(light: Tensor, gain: float) -> Tensor:
    """Small clipped highlights, 3 H W in linear light, up to `gain` times as bright, as they were before the file.

    A lamp that a file shows as white spreads over a disc, and would be grey in it. Wide bright areas, such as skies,
    stay as they are.
    """
    if gain == 1:
        return light
    over = ((light.amin(0) - HIGHLIGHT) / (1 - HIGHLIGHT)).clamp_(0, 1)
    if float(over.max()) == 0:
        return light
    side, half = HIGHLIGHT_PX, HIGHLIGHT_PX // 2
    around = F.avg_pool2d(F.avg_pool2d(over[None], (side, 1), 1, (half, 0)), (1, side), 1, (0, half))[0]
    return light * (1 + (gain - 1) * over * (1 - 4 * around).clamp_min_(0))


@dataclass(frozen=True)
class _Light:
    """Where linear light comes from: a picture in light itself, or one that `tone` decodes."""

    picture: Tensor
    tone: Tone | None = None
    highlights: float = 1.0

    def rows(self, first: int, last: int) -> Tensor:
        top, bottom = max(0, first - HIGHLIGHT_PX), min(self.picture.shape[1], last + HIGHLIGHT_PX)
        if self.highlights == 1:
            top, bottom = first, last
        light = brighten_highlights(self._decoded(self.picture[:, top:bottom]), self.highlights)
        return light[:, first - top : last - top]

    def samples(self, rows: Tensor, columns: Tensor) -> Tensor:
        return self._decoded(self.picture[:, rows][:, :, columns])

    def _decoded(self, part: Tensor) -> Tensor:
        return part if self.tone is None else self.tone.decode(part)


@dataclass(frozen=True)
class _Scene:
    """A picture mirrored at its edges by `margin`, so that no light is missing there; places count from there.

    Args:
        light: Of the picture.
        blur_px: H W, mirrored.
        down: The picture's row of each row.
        across: The picture's column of each column.
        margin: Multiple of GRID.
        lens: Of the blur.
        layers: What each of them shows and hides.
    """

    light: _Light
    blur_px: Tensor
    down: Tensor
    across: Tensor
    margin: int
    lens: Lens
    layers: Layers

    def rows(self, first: int, last: int) -> Strip:
        at = self.down[first:last]
        low, high = int(at.min()), int(at.max()) + 1
        light = self.light.rows(low, high)[:, at - low][:, :, self.across]
        blur_px = self.blur_px[first:last]
        return Strip(first, light, blur_px, rim_of(blur_px))


def _seen(light: _Light, blur_px: Tensor, blades: int, bands: Sequence[Band] | None) -> Iterator[tuple[Band, Tensor]]:
    """Bands, and their rows of the picture through the lens, 3 h W in linear light."""
    height, width = blur_px.shape
    bands = bands or [(first, min(first + BAND_ROWS, height)) for first in range(0, height, BAND_ROWS)]
    nodes = nodes_of(float(blur_px.min()), float(blur_px.max()))
    if nodes == [0.0]:
        yield from ((band, light.rows(*band)) for band in bands)
        return
    scene = _scene(light, blur_px, nodes, Lens(rho=0.1, blades=blades))
    inner = slice(scene.margin, scene.margin + width)
    for first, last in bands:
        yield (first, last), _band(scene, first + scene.margin, last + scene.margin)[..., inner].clamp_min_(0)


def _scene(light: _Light, blur_px: Tensor, nodes: list[float], lens: Lens) -> _Scene:
    margin = _margin(nodes, lens)
    down, across = (_mirrored(side, margin) for side in blur_px.shape)
    wide_px = blur_px[down][:, across]
    reaches = [_reach_of(node, lens) for node in nodes]
    layers = Layers.of(wide_px, nodes, reaches, lambda by: light.samples(down[by // 2 :: by], across[by // 2 :: by]))
    return _Scene(light, wide_px, down, across, margin, lens, layers)


def _margin(nodes: list[float], lens: Lens) -> int:
    return rounded_up(max(_reach_of(node, lens) for node in nodes))


def _reach_of(node: float, lens: Lens) -> int:
    """Pixels that a disc reaches in the picture in which it is made, at full size."""
    return _kernel(node, lens).shape[-1] // 2 * reduction_of(node)


def _mirrored(length: int, margin: int) -> Tensor:
    """Which of `length` places stands where, in a row mirrored at both ends that is longer by `margin` twice."""
    place = torch.arange(-margin, rounded_up(length + margin))
    period = max(2 * length - 2, 1)
    return (place % period - (length - 1)).abs_().neg_().add_(length - 1)


def _band(scene: _Scene, first: int, last: int) -> Tensor:
    """Rows of the mirrored picture through the lens, 3 h W."""
    nodes = scene.layers.nodes
    there = scene.rows(*_around(scene, first, last, scene.margin + 2 * GRID))
    canvas: Tensor | None = None
    for reduction, group in groupby(reversed(range(len(nodes))), lambda number: reduction_of(nodes[number])):
        top, bottom = first, last
        if reduction > 1:  # enlarging looks at neighbours
            top, bottom = first // reduction * reduction - reduction, rounded_up(last, reduction) + reduction
        made, cover = _together(scene, there, list(group), reduction, (top, bottom))
        large = enlarged(torch.cat([made, cover]), reduction)[:, first - top : last - top]
        canvas = large[:3] if canvas is None else canvas.mul_(1 - large[3:]).add_(large[:3])
    assert canvas is not None
    return canvas


def _around(scene: _Scene, first: int, last: int, by: int) -> Band:
    """Rows from `by` before to `by` behind, on multiples of GRID, as far as there are such."""
    return max(0, (first - by) // GRID * GRID), min(len(scene.down), rounded_up(last + by))


def _together(scene: _Scene, there: Strip, group: list[int], reduction: int, band: Band) -> tuple[Tensor, Tensor]:
    """Layers of one reduction, the farthest first, laid over one another: premultiplied light and cover."""
    size = ((band[1] - band[0]) // reduction, len(scene.across) // reduction)
    light, cover = torch.zeros(3, *size), torch.zeros(1, *size)
    for number in group:
        kernel = _kernel(scene.layers.nodes[number], scene.lens)
        wide = kernel.shape[-1] // 2
        around = _around(scene, *band, wide * reduction + GRID)
        for rows, columns in scene.layers.windows(number, *around, wide * reduction):
            down, row_axis = _reached(rows, band[0], reduction, wide, size[0])
            across, column_axis = _reached(columns, 0, reduction, wide, size[1])
            if row_axis.length <= 0:
                continue
            planes = scene.layers.planes(there.part(rows, columns), columns, number, reduction)
            if wide:
                planes = spread(planes, None, [kernel], row_axis, column_axis)[0].clamp_min_(0)
            else:
                planes = planes[:, row_axis.begin : row_axis.begin + row_axis.length]
            rest = 1 - planes[3:]
            light[:, down, across].mul_(rest).add_(planes[:3])
            cover[:, down, across].mul_(rest).add_(planes[3:])
    return light, cover


def _reached(source: slice, origin: int, reduction: int, wide: int, length: int) -> tuple[slice, Axis]:
    """Where discs of so many pixels bring light from a window of the picture, of `length` places after `origin`.

    First in places, then counted from the window's own first pixel.
    """
    begin, end = ((place - origin) // reduction for place in (source.start, source.stop))
    first, last = max(0, begin - wide), min(end + wide, length)
    return slice(first, last), Axis(first - begin, last - first)


def _kernel(node: float, lens: Lens) -> Tensor:
    """Of the disc of that radius, in a picture as reduced as it is made in, 1 K K."""
    if node == 0:
        return torch.ones(1, 1, 1)
    reduction = reduction_of(node)
    # Reducing and enlarging blur too, and so does laying light on whole pixels: variances of discs add up.
    added = (reduction**2 - 1) / 12 + (reduction**2 - 1) / 6 + (reduction**2 / 6 if reduction > 1 else 0)
    radius = (max(node * node - 4 * added, 1.0) ** 0.5) / reduction
    return trimmed(lens, round(radius if node > 0 else -radius, 3), whole=True)

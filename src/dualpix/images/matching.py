"""How far the content of one view lies from that of the other, block by block, to a fraction of a pixel.

Coarse and robust rather than dense: enough to tell whether two pictures can be the views of one dual-pixel photograph.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_PX = 64
REACH_PX = 12
WORKING_SIDE_PX = 800
MIN_TEXTURE = 0.004  # root mean square of the band-passed luminance
MIN_CORRELATION = 0.7
MIN_BEND = 0.005  # drop of the correlation one pixel from its peak, both sides together, along either axis
MIN_EVENNESS = 0.05  # of the drops along the two axes: below that, the weaker one tells of noise more than of place
LUMINANCE = torch.tensor([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Matches:
    """Displacements right minus left of N trusted blocks, in pixels of a picture reduced `reduction` times.

    across, down: along rows and along columns, each of shape N; positive to the right and downwards.
    rows, columns: the middles of the blocks in that picture, each of shape N.
    textured: how many blocks had enough structure to be looked for; found: how many of these the other view holds near
    the same place. Not all of these are trusted: along a straight or very soft edge anything matches.
    """

    across: Tensor
    down: Tensor
    rows: Tensor
    columns: Tensor
    textured: int
    found: int
    reduction: int


def match_blocks(left: Tensor, right: Tensor) -> Matches:
    """Match half-overlapping blocks of two pictures 3 x H x W by normalised correlation of band-passed luminance."""
    reduction = max(1, round(max(left.shape[1:]) / WORKING_SIDE_PX))
    bands = [_band(_luminance(view, reduction)) for view in (left, right)]
    a, b = (_blocks(band) for band in bands)
    rows, columns = _middles(bands[0])
    energy_a, energy_b = a.square().sum((1, 2)), b.square().sum((1, 2))
    textured = (torch.minimum(energy_a, energy_b) / BLOCK_PX**2).sqrt() > MIN_TEXTURE
    a, b, scale = a[textured], b[textured], (energy_a * energy_b).sqrt()[textured]
    if not len(a):
        none = a.new_zeros(0)
        return Matches(none, none, none, none, 0, 0, reduction)
    size = 2 * BLOCK_PX
    spectrum = torch.fft.rfft2(a, s=(size, size)).conj() * torch.fft.rfft2(b, s=(size, size))
    correlation = torch.fft.irfft2(spectrum, s=(size, size)).roll((REACH_PX, REACH_PX), (1, 2))
    span = 2 * REACH_PX + 1
    across, down, bends, found = _peaks(correlation[:, :span, :span] / scale[:, None, None])
    weak, strong = bends.aminmax(dim=0)
    trusted = found & (weak > MIN_BEND) & (weak > MIN_EVENNESS * strong)
    places = rows[textured][trusted], columns[textured][trusted]
    return Matches(across[trusted], down[trusted], *places, len(a), int(found.sum()), reduction)


def _luminance(view: Tensor, reduction: int) -> Tensor:
    grey = torch.einsum("c,chw->hw", LUMINANCE.to(view), view).float()[None]
    return F.avg_pool2d(grey, reduction)[0]


def _band(grey: Tensor) -> Tensor:
    """What lies between two box-like blurs: no brightness differences, little noise, and edges of blurred things."""

    def blur(picture: Tensor, size: int) -> Tensor:
        for _ in range(2):
            picture = F.avg_pool2d(picture[None], size, 1, size // 2, count_include_pad=False)[0]
        return picture

    return blur(grey[None], 3)[0] - blur(grey[None], 11)[0]


def _blocks(band: Tensor) -> Tensor:
    if min(band.shape) < BLOCK_PX:
        return band.new_zeros(0, BLOCK_PX, BLOCK_PX)
    window = torch.hann_window(BLOCK_PX, periodic=False).to(band)
    blocks = band.unfold(0, BLOCK_PX, BLOCK_PX // 2).unfold(1, BLOCK_PX, BLOCK_PX // 2)
    return blocks.reshape(-1, BLOCK_PX, BLOCK_PX) * window * window[:, None]


def _middles(band: Tensor) -> tuple[Tensor, Tensor]:
    """Where the blocks of `_blocks` have their middles: rows and columns."""
    counts = (max(0, side // (BLOCK_PX // 2) - 1) for side in band.shape)
    down, across = ((torch.arange(count) + 1) * (BLOCK_PX // 2) for count in counts)
    return down.repeat_interleave(len(across)).float(), across.repeat(len(down)).float()


def _peaks(correlation: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sub-pixel peak positions (across, down) of N x S x S surfaces by a parabola on either axis; the two curvatures,
    2 x N; and whether the peak is high and inside the surface."""
    span, each = correlation.shape[1], torch.arange(len(correlation))
    height, index = correlation.flatten(1).max(1)
    row, column = index // span, index % span
    inside = (row > 0) & (row < span - 1) & (column > 0) & (column < span - 1)
    row, column = row.clamp(1, span - 2), column.clamp(1, span - 2)
    middle = correlation[each, row, column]
    above, below = correlation[each, row - 1, column], correlation[each, row + 1, column]
    before, after = correlation[each, row, column - 1], correlation[each, row, column + 1]
    bend_down, bend_across = 2 * middle - above - below, 2 * middle - before - after
    across = column - span // 2 + 0.5 * (after - before) / bend_across.clamp_min(1e-6)
    down = row - span // 2 + 0.5 * (below - above) / bend_down.clamp_min(1e-6)
    return across, down, torch.stack([bend_down, bend_across]), inside & (height > MIN_CORRELATION)

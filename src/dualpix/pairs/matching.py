"""Displacements between the two views, block by block, to a fraction of a pixel.

Coarse and robust rather than dense: enough to decide whether two pictures can be the views of one dual-pixel
photograph.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_PX = 64
REACH_PX = 12
WORKING_SIDE_PX = 800
MIN_TEXTURE = 0.004  # root mean square of the band-passed luminance
MIN_OF_NOISE = 1.0  # energy of structure over that of noise: with less, noise alone keeps a block from being matched
MIN_CORRELATION = 0.7
MIN_BEND = 0.005  # drop of the correlation one pixel from its peak, both sides together, along either axis
MIN_EVENNESS = 0.05  # smaller over larger of the drops along the two axes; below it the smaller one is mostly noise
NOISE_STRIPS = 16
MOVED_PX = 0.3  # from here on, the fineness of a block says whether blur can have displaced it
CHANCE = 3.0  # standard deviations of a correlation that noise alone gives
NORMAL_MEDIAN = 0.6745  # median of the absolute value of a normal distribution, in standard deviations
CROSS_GAIN = 6.0  # square root of the sum of squares of (1, -2, 1) x (1, -2, 1)
LUMINANCE = torch.tensor([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Matches:
    """Displacements, right minus left, of N trusted blocks, in pixels of the reduced picture.

    Attributes:
        across: Along rows, shape N, positive to the right.
        down: Along columns, shape N, positive downwards.
        rows: Row of each block's centre in the reduced picture, shape N.
        columns: Column of each block's centre, shape N.
        fineness: Energy of the finest detail that both views share, as a share of the energy of the detail by which the
            block was matched, shape N; 0 for blocks that moved less than `MOVED_PX`.
        textured: How many blocks had enough structure, compared with their noise, to be looked for.
        found: How many of these the other view holds near the same place. Not all of them are trusted: along a straight
            or very soft edge every place matches.
        reduction: Factor by which the picture was reduced.
        farther_px: What larger blocks show of displacements beyond the reach of these, see `widest_px`; 0 if nothing.
    """

    across: Tensor
    down: Tensor
    rows: Tensor
    columns: Tensor
    fineness: Tensor
    textured: int
    found: int
    reduction: int
    farther_px: float = 0.0

    @property
    def widest_px(self) -> float:
        """The displacement along rows, in pixels of the views, that 98 % of the blocks stay within, either way."""
        here = float(self.across.abs().quantile(0.98)) * self.reduction if len(self.across) else 0.0
        return max(here, self.farther_px)


def match_blocks(left: Tensor, right: Tensor, coarser: int = 1) -> Matches:
    """Match half-overlapping blocks of two pictures by normalised correlation of their band-passed luminance.

    Noise is independent in the two views, so it adds to the energy of a block but not to what two blocks have in
    common. It is estimated and subtracted; otherwise a noisy pair would correlate as little as two different pictures.

    Args:
        left: Left view, 3 x H x W in [0, 1].
        right: Right view, of the same shape.
        coarser: How many times more than usual to reduce the pictures first.
    """
    reduction = coarser * max(1, round(max(left.shape[1:]) / WORKING_SIDE_PX))
    greys = torch.stack([_luminance(view, reduction) for view in (left, right)])
    blocks = torch.stack([_blocks(_band(grey)) for grey in greys])  # 2 N S S
    rows, columns = _middles(greys[0])
    energy = blocks.square().sum((2, 3))  # 2 N
    likely = _is_textured(energy)
    blocks, energy, rows, columns = blocks[:, likely], energy[:, likely], rows[likely], columns[likely]
    if len(rows):
        common = _correlation(*blocks)
        # Detail that both views share is not noise, however fine it is.
        apart = (energy.sum(0) - 2 * common.flatten(1).amax(1)).clamp_min(0)
        noise = torch.minimum(torch.stack([_noise_energy(grey) for grey in greys])[:, likely], apart)
        energy = energy - noise
        textured = _is_textured(energy) & (energy > MIN_OF_NOISE * noise).all(0)
        common, energy, rows, columns = common[textured], energy[:, textured], rows[textured], columns[textured]
    if not len(rows):
        none = energy.new_zeros(0)
        return Matches(none, none, none, none, none, 0, 0, reduction)
    across, down, bends, found = _peaks(common / energy.prod(0).sqrt()[:, None, None])
    weak, strong = bends.aminmax(dim=0)
    trusted = found & (weak > MIN_BEND) & (weak > MIN_EVENNESS * strong)
    textured_count, found_count = len(rows), int(found.sum())
    across, down, rows, columns = (values[trusted] for values in (across, down, rows, columns))
    fineness = _fineness(greys, across, down, rows, columns, common[trusted].flatten(1).amax(1))
    return Matches(across, down, rows, columns, fineness, textured_count, found_count, reduction)


def _fineness(greys: Tensor, across: Tensor, down: Tensor, rows: Tensor, columns: Tensor, common: Tensor) -> Tensor:
    """`Matches.fineness` of blocks of the views `greys`, 2 x H x W; `common`: the energy they share as matched."""
    shares = torch.zeros_like(across)
    far = (torch.hypot(across, down) > MOVED_PX).nonzero().flatten()
    if len(far):
        half = BLOCK_PX // 2
        places = (rows[far] / half - 1) * (greys.shape[2] // half - 1) + columns[far] / half - 1
        fine = [_blocks(grey - _blur(grey, 3))[places.long()] for grey in greys]
        surface = _correlation(*fine)
        # A peak of the finest detail is narrow, and lies within a pixel of that of coarser detail.
        row, column = (values[far].round().long() + REACH_PX for values in (down, across))
        peak = F.max_pool2d(surface, 3, 1, 1)[torch.arange(len(far)), row, column]
        chance = surface.flatten(1).abs().median(1).values / NORMAL_MEDIAN
        shares[far] = ((peak - CHANCE * chance) / common[far]).clamp_min(0)
    return shares


def _is_textured(energy: Tensor) -> Tensor:
    """Whether a block has structure in both views, from energies 2 x N."""
    return (energy.amin(0).clamp_min(0) / BLOCK_PX**2).sqrt() > MIN_TEXTURE


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Correlation of blocks N x S x S, for displacements up to `REACH_PX` either way: N x K x K."""
    size, span = 2 * BLOCK_PX, 2 * REACH_PX + 1
    spectrum = torch.fft.rfft2(a, s=(size, size)).conj() * torch.fft.rfft2(b, s=(size, size))
    whole: Tensor = torch.fft.irfft2(spectrum, s=(size, size)).roll((REACH_PX, REACH_PX), (1, 2))
    return whole[:, :span, :span]


def _luminance(view: Tensor, reduction: int) -> Tensor:
    grey = torch.einsum("c,chw->hw", LUMINANCE.to(view), view).float()[None]
    return F.avg_pool2d(grey, reduction)[0]


def _band(grey: Tensor) -> Tensor:
    """Difference of two box-like blurs: no brightness and little noise, but the edges even of blurred things."""
    return _blur(grey, 3) - _blur(grey, 11)


def _blur(grey: Tensor, size: int) -> Tensor:
    picture = grey[None, None]
    for _ in range(2):
        picture = F.avg_pool2d(picture, size, 1, size // 2, count_include_pad=False)
    return picture[0, 0]


def _blocks(band: Tensor) -> Tensor:
    return _cut(band) * _window().to(band)


def _window() -> Tensor:
    line = torch.hann_window(BLOCK_PX, periodic=False)
    return line * line[:, None]


def _cut(plane: Tensor) -> Tensor:
    """Half-overlapping blocks N x BLOCK_PX x BLOCK_PX of a plane H x W; none of a plane smaller than a block."""
    if min(plane.shape) < BLOCK_PX:
        return plane.new_zeros(0, BLOCK_PX, BLOCK_PX)
    blocks = plane.unfold(0, BLOCK_PX, BLOCK_PX // 2).unfold(1, BLOCK_PX, BLOCK_PX // 2)
    return blocks.reshape(-1, BLOCK_PX, BLOCK_PX)


def _noise_energy(grey: Tensor) -> Tensor:
    """What white noise adds to the energy of each of the N windowed blocks of the band-passed `grey`, H x W."""
    point = torch.zeros(BLOCK_PX, BLOCK_PX)
    point[BLOCK_PX // 2, BLOCK_PX // 2] = 1
    return _band(point).square().sum() * _window().square().sum() * _noise(grey).square()


def _noise(grey: Tensor) -> Tensor:
    """Standard deviation of white noise in each block.

    From second differences across both axes, in which structure is weak (Immerkaer, "Fast noise variance estimation",
    1996), but by their median, which ignores the few sharp places.
    """
    cross = F.pad(grey[None], (1, 1, 1, 1), mode="replicate")[0].diff(n=2, dim=0).diff(n=2, dim=1)
    return _cut(cross.abs()).flatten(1).median(1).values / (NORMAL_MEDIAN * CROSS_GAIN)


def noise_of(view: Tensor) -> float:
    """Estimate the noise of a picture, taken as white, from the blocks of some strips of it.

    Args:
        view: 3 x H x W in [0, 1].

    Returns:
        The standard deviation of its luminance in the same unit: the median over all blocks; 0 if there are none.
    """
    strips = torch.linspace(0, max(view.shape[1] - BLOCK_PX, 0), NOISE_STRIPS).long().tolist()
    blocks = [_noise(_luminance(view[:, top : top + BLOCK_PX], 1)) for top in strips]
    return float(torch.cat(blocks).median()) if len(blocks[0]) else 0.0


def _middles(band: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the centres of the blocks of `_blocks`."""
    counts = (max(0, side // (BLOCK_PX // 2) - 1) for side in band.shape)
    down, across = ((torch.arange(count) + 1) * (BLOCK_PX // 2) for count in counts)
    return down.repeat_interleave(len(across)).float(), across.repeat(len(down)).float()


def _peaks(correlation: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Peaks of N x S x S correlation surfaces to a fraction of a pixel, by a parabola along either axis.

    Returns:
        Positions across and down; the two curvatures, 2 x N; and whether the peak is high and inside the surface.
    """
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

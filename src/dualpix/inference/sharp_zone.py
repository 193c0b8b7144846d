"""Where a pair is sharp already, found without a network: there its picture may stay as it was taken.

What is out of focus lies apart in the two views, along the rows, by some 0.4 pixels for each pixel of blur radius. So
where views that are moved by no more than `FOCUS_PX` explain all of the difference between them, nothing is blurred by
more than 1.25 pixels of radius. Differences are looked at in blocks and at several sizes, since what is blurred widely
differs by little from pixel to pixel, and noise by much. Along an edge that runs with the rows nothing differs however
blurred it is; where there are no others, it counts as blurred. Where there is neither edge nor difference, there is
nothing to sharpen. How the numbers were found, and what they cost, is in `results/only-blurred.md`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.inference.comparison import near_means, strips
from dualpix.inference.scales import enlarge
from dualpix.io.writing import LUMINANCE
from dualpix.pairs.sample import mean_view

BLOCK_PX = 16
REDUCTIONS = (1, 2, 4, 8)
FOCUS_PX = 0.5
"""Disparity up to which a block is in focus."""

LEVEL = 1 / 255
"""Difference (root mean square over a block and those around it) that nobody sees."""

OF_NOISE = 1.5
"""Mean square of a difference, as a factor on what noise makes of it, up to which it is noise."""

PLAINLY = 2.0
"""Times `FOCUS_PX` and `LEVEL`, beyond which a block is blurred whatever lies around; up to there half of the blocks in
`AROUND` x `AROUND` have to be so, as a few are by chance."""
AROUND = 5

SMALLEST = 5
"""Blocks a side of the smallest zone that is left as it is: to leave less saves nothing."""


@dataclass(frozen=True)
class Zone:
    """What a network is to make of a picture.

    Attributes:
        share: Weight of the network's result in each block of `BLOCK_PX`, 0 to 1, 1 h w: 1 where something is blurred,
            0 where the picture stays as it was taken, and between them along the border, inside what is sharp.
        size: Height and width of the picture.
    """

    share: Tensor
    size: tuple[int, int]

    @property
    def needed(self) -> Tensor:
        """Which blocks the network has to make, h w."""
        return self.share[0] > 0

    def restore(self, picture: Tensor, left: Tensor, right: Tensor) -> float:
        """Put the mean of the views, 3 H W each, into `picture`, 3 H W, by the share; in place.

        Returns the share of the picture's area that is the mean of the views and nothing else, 0 to 1.
        """
        if bool((self.share == 1).all()):
            return 0.0
        height, width = self.size
        kept = 0
        for rows in strips(height, BLOCK_PX):
            weight = enlarge(self.share, BLOCK_PX, rows.start, rows.stop, width, "bilinear")
            here = picture[:, rows]
            torch.lerp(mean_view(left[:, rows], right[:, rows]), here, weight, out=here)
            kept += int((weight == 0).sum())
        return kept / (height * width)


def find_zone(left: Tensor, right: Tensor, noise: float) -> Zone:
    """Find out where a pair is blurred.

    Args:
        left: The left view, 3 x H x W in [0, 1], display-encoded.
        right: The right view, of the same shape and brightness.
        noise: Standard deviation of the noise of a view's luminance.
    """
    sharp = _opened(~_is_blurred(left, right, noise), SMALLEST)
    share = near_means(_grown(~sharp, 3)[None].float(), 3)
    return Zone(share, (left.shape[1], left.shape[2]))


def _is_blurred(left: Tensor, right: Tensor, noise: float) -> Tensor:
    """Whether each block is blurred or may be, h w."""
    found = []
    for rows in strips(left.shape[1], BLOCK_PX):
        # With a block more on either side, as gradients and reduced pixels reach over the border.
        top, bottom = max(rows.start - BLOCK_PX, 0), min(rows.stop + BLOCK_PX, left.shape[1])
        near = torch.stack([_energies(left[:, top:bottom], right[:, top:bottom], by) for by in REDUCTIONS])
        first = (rows.start - top) // BLOCK_PX
        found.append(near[:, :, first : first + -(-(rows.stop - rows.start) // BLOCK_PX)])
    energies = near_means(torch.cat(found, dim=2), 3)
    may_be = _exceeds(energies, noise, FOCUS_PX, LEVEL)
    is_plain = _exceeds(energies, noise, PLAINLY * FOCUS_PX, PLAINLY * LEVEL)
    return is_plain | (may_be & (near_means(may_be[None].float(), AROUND)[0] >= 0.5))


def _exceeds(energies: Tensor, noise: float, focus_px: float, level: float) -> Tensor:
    """Whether a block is blurred by more than that, or nothing tells, h w; `energies`: one 3 h w for each reduction."""
    steps = torch.tensor(REDUCTIONS, dtype=torch.float32)[:, None, None]
    difference, across, down = energies.unbind(1)
    unseen = OF_NOISE * 2 * (noise / steps).square() + level**2
    across, down = ((focus_px / steps).square() * energy for energy in (across, down))
    is_apart = difference > unseen + across
    # One size at which a shift would be seen tells for all.
    is_unknown = (down > unseen).any(0) & ~(across > unseen).any(0)
    return is_apart.any(0) | is_unknown


def _energies(left: Tensor, right: Tensor, by: int) -> Tensor:
    """Means over each block, 3 h w, of the squares of: difference of the views, gradient along rows, and down."""
    weights = torch.tensor(LUMINANCE).to(left)
    greys = torch.stack([torch.einsum("c,chw->hw", weights, view) for view in (left, right)])
    a, b = F.avg_pool2d(greys[None], by, ceil_mode=True, count_include_pad=False)[0]
    wide = F.pad(((a + b) / 2)[None], (1, 1, 1, 1), mode="replicate")[0]
    across = (wide[1:-1, 2:] - wide[1:-1, :-2]) / 2
    down = (wide[2:, 1:-1] - wide[:-2, 1:-1]) / 2
    squares = torch.stack([b - a, across, down]).square_()
    return F.avg_pool2d(squares[None], BLOCK_PX // by, ceil_mode=True, count_include_pad=False)[0]


def _grown(mask: Tensor, blocks: int) -> Tensor:
    """Whether any block of `blocks` x `blocks` around is in `mask`, h w."""
    return F.max_pool2d(mask[None, None].float(), blocks, 1, blocks // 2)[0, 0] > 0


def _opened(mask: Tensor, blocks: int) -> Tensor:
    """What of `mask`, h w, squares of `blocks` x `blocks` inside it cover; they may stick out of the picture."""
    return _grown(~_grown(~mask, blocks), blocks)

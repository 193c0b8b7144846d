"""From a rough map of disparity to a soft matte that ends at the picture's own edges.

The disparity comes from windows some forty pixels wide, so where it changes it does not tell to which side a pixel
belongs. There, and where it is unsure, the sharp picture decides. First what is known spreads within the picture's
surfaces (the domain transform, `classical/propagation.py`), then the guided filter (`guided.py`), fitted at a reduced
size and applied to the colours of full size, makes it end as softly as the picture's own edges do. The constants were
chosen on simulated scenes (`results/selective.md`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.classical.propagation import domain_transform
from dualpix.inference import guided
from dualpix.inference.guided import GuidedFilter
from dualpix.inference.scales import enlarge, reduce

REACH_PX = 16.0
"""Pixels of the picture on either side of a change of the share in which disparity does not tell the sides apart."""

SIDE_PX = 28.0
"""Width of the picture's left and right margins, in which views cannot be followed, and disparity tends to 0."""

SPREAD_PX, SPREAD_COLOUR = 40.0, 0.3
"""How far what is known spreads within a surface, and the difference of colour that is as far as that."""

RADIUS_PX = 24.0
"""Of the guided filter's window, in pixels of the picture."""

SMOOTHNESS = 1e-4
"""What is added to the variance of colours: differences below a hundredth of the range are no edges."""

FIT_BY = 2
"""The fit is made at so much less than the size of the share."""

LEAST_SURE, LEAST_KNOWN = 0.01, 1e-3
DECIDED, FIRM = (0.3, 0.7), (0.2, 0.8)
"""Shares that become 0 and 1 after spreading, and after fitting."""

ROWS = 256


def refine(share: Tensor, sure: Tensor, guide: Tensor, by: int) -> Tensor:
    """The soft matte at full size, 1 H W, of a rough `share`, 1 h w, `by` times smaller.

    Args:
        share: what the disparity says, 0 to 1.
        sure: how sure that is, 0 to 1, alike.
        guide: the sharp picture, 3 H W.
        by: how many times smaller the share is.
    """
    small = reduce(guide, by)
    known = known_share(share, sure, by)
    spread = domain_transform(torch.cat([known * share, known]).numpy(), small.numpy(), SPREAD_PX / by, SPREAD_COLOUR)
    decided = _steeper(torch.from_numpy(spread[:1] / spread[1:]), DECIDED)
    by *= FIT_BY
    fitted = GuidedFilter(reduce(small, FIT_BY), round(RADIUS_PX / by), SMOOTHNESS).fit(reduce(decided, FIT_BY))
    matte = torch.empty(1, *guide.shape[1:])
    for first in range(0, guide.shape[1], ROWS):
        rows = guide[:, first : first + ROWS]
        here = enlarge(fitted, by, first, first + rows.shape[1], rows.shape[2], "bilinear")
        matte[:, first : first + ROWS] = _steeper(guided.apply(here, rows), FIRM)
    return matte


def known_share(share: Tensor, sure: Tensor, by: int) -> Tensor:
    """How much what the disparity says of a pixel counts, 1 h w: little beside changes and at the picture's sides."""
    known = sure.clamp_min(LEAST_SURE) * (1 - near_change(share, REACH_PX / by))
    aside = min(round(SIDE_PX / by), known.shape[2] // 4)
    known[..., :aside] = known[..., known.shape[2] - aside :] = 0
    return known.clamp_min(LEAST_KNOWN)


def _steeper(share: Tensor, ends: tuple[float, float]) -> Tensor:
    return ((share - ends[0]) / (ends[1] - ends[0])).clamp(0, 1)


def near_change(share: Tensor, reach: float) -> Tensor:
    """1 within `reach` pixels of where a share, 1 h w, passes from one side of a half to the other, else 0."""
    side = (share > 0.5).to(share)
    return (dilated(side, round(reach)) - (1 - dilated(1 - side, round(reach)))).clamp(0, 1)


def dilated(plane: Tensor, radius: int) -> Tensor:
    """The largest value within a square window, 1 h w."""
    if radius < 1:
        return plane
    side = 2 * radius + 1
    rows = F.max_pool2d(plane, (1, side), 1, (0, radius))
    return F.max_pool2d(rows, (side, 1), 1, (radius, 0))

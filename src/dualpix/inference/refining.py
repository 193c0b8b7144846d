"""A map of disparity made fit to cut a picture by: unsure places filled, edges where the picture has its own.

What the cross-correlation finds is as coarse as its windows, some 22 pixels, and unsure where nothing has texture.
First unsure places take over what is sure on the same surface (`classical.propagation`). Then each pixel takes the
disparity that most of what lies near and looks alike has: the most frequent one, not the mean, since at an edge the
mean is a surface that does not exist. The filter of each disparity's share is the guided one, as in Rhemann et al.,
"Fast cost-volume filtering for visual correspondence and beyond", CVPR 2011.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.classical.propagation import domain_transform
from dualpix.inference import guided
from dualpix.inference.guided import GuidedFilter
from dualpix.inference.reblurring import USUAL_RHO, reblur
from dualpix.inference.scales import reduce

LARGEST_PX = 500_000  # pixels at which the map gets its edges; a larger one is reduced first
VOTED_PX = 125_000  # pixels at which neighbourhoods are compared
STEP_PX, MOST_STEPS = 0.5, 16  # disparity from one share to the next
RADIUS_PX, LEAST_PX = 12, 6  # of a neighbourhood, at full size, but in the picture so reduced at least
STEEP_PX = 0.08  # change of disparity from pixel to pixel that is half an edge
SAME = 1e-3  # variance of colour below which the filter takes a neighbourhood for one surface
ROWS = 256  # joined at once, so that it takes little memory
FILL_PX, FILL_COLOUR = 90.0, 0.6  # how far, and over what difference of colour, what is sure is carried
UNSURE, SURE = 0.15, 0.6  # confidence up to which the filled disparity is taken, and from which on the found one


def refine(
    disparity_px: Tensor, confidence: Tensor, guide: Tensor, photograph: Tensor | None = None, rho: float | None = None
) -> tuple[Tensor, float]:
    """The disparity at the size of `guide`, with its edges.

    Args:
        disparity_px: as found, 1 h w, in pixels of the guide's size.
        confidence: in it, 1 h w.
        guide: the sharp picture, 3 H W, display-encoded; may be larger.
        photograph: as it was, 3 H W, which the disparity is to explain; None leaves that out.
        rho: disparity per radius of blur; None finds out.

    Returns:
        The disparity, 1 H W, and rho.
    """
    step = _reduction(guide, LARGEST_PX)
    small = reduce(guide, step)
    more = _reduction(small, VOTED_PX)
    coarse = reduce(small, more)
    both = F.interpolate(
        torch.cat([disparity_px, confidence])[None], coarse.shape[1:], mode="bilinear", align_corners=False
    )[0]
    found, sure = both[:1], both[1:]
    if photograph is not None:
        again = reblur(guide, photograph, found, sure, rho)
        rho, sure = again.rho, sure * again.trust(found)
    filled = filled_along(found, sure, coarse)
    weight = (0.05 + sure) * _level(filled, step * more)
    filtering = GuidedFilter(coarse, max(LEAST_PX, RADIUS_PX // (step * more)), SAME)
    refined = _most_frequent(filled, weight, filtering, small)
    return refined if step == 1 else _at_full_size(refined, small, guide, step), rho or USUAL_RHO


def _reduction(picture: Tensor, largest_px: int) -> int:
    step = 1
    while picture[0].numel() > largest_px * step * step:
        step += 1
    return step


def filled_along(disparity_px: Tensor, confidence: Tensor, guide: Tensor) -> Tensor:
    """Unsure places with the disparity of sure ones, near along the picture's surfaces.

    Args:
        disparity_px: 1 h w.
        confidence: in it, 0 to 1, 1 h w.
        guide: the sharp picture at that size, 3 h w; what is found is carried in a picture of VOTED_PX at most.
    """
    step = _reduction(guide, VOTED_PX)
    weight = confidence.square() + 1e-5
    planes, small = reduce(torch.cat([weight * disparity_px, weight]), step), reduce(guide, step)
    carried = torch.from_numpy(domain_transform(planes.numpy(), small.numpy(), FILL_PX, FILL_COLOUR, 2))
    carried = carried[:1] / carried[1:].clamp_min(1e-9)
    if step > 1:
        height, width = guide.shape[1:]
        carried = F.interpolate(carried[None], scale_factor=float(step), mode="bilinear", align_corners=False)[0]
        carried = carried[:, :height, :width]
    share = ((confidence - UNSURE) / (SURE - UNSURE)).clamp(0, 1)
    return torch.lerp(carried, disparity_px, share)


def _level(disparity_px: Tensor, step: int) -> Tensor:
    """Weight that is low on what windows make of an edge, a steep slope from one side to the other: 0 to 1, 1 H W."""
    down, across = (F.pad(disparity_px.diff(dim=axis).abs(), pad) for axis, pad in ((1, (0, 0, 0, 1)), (2, (0, 1))))
    steep = F.max_pool2d(torch.maximum(down, across)[None], 5, 1, 2)[0]
    return 1 / (1 + (steep / (step * STEEP_PX)) ** 4) + 1e-3


def _most_frequent(disparity_px: Tensor, weight: Tensor, filtering: GuidedFilter, guide: Tensor) -> Tensor:
    """The disparity that most of each pixel's neighbourhood has, weighted, along the edges of the guide, 1 H W."""
    low, high = float(disparity_px.min()), float(disparity_px.max())
    count = min(MOST_STEPS, 2 + int((high - low) / STEP_PX))
    step = max(high - low, 1e-3) / (count - 1)
    best, found = torch.full_like(guide[:1], -torch.inf), torch.zeros_like(guide[:1])
    before, at = torch.zeros_like(best), torch.zeros_like(best)
    for number in range(count + 1):
        level = low + number * step
        share = (1 - (disparity_px - level).abs() / step).clamp_min(0)
        after = _at_size_of(guide, filtering.fit(share * weight)) if number < count else torch.zeros_like(at)
        if number:
            mean = level - step + step * (after - before) / (before + at + after).clamp_min(1e-9)
            score = at + torch.maximum(before, after)  # two neighbours share what lies between them
            better = score > best
            best, found = torch.where(better, score, best), torch.where(better, mean, found)
        before, at = at, after
    return found


def _at_size_of(guide: Tensor, fitted: Tensor) -> Tensor:
    """What the coefficients make of the colours of a larger picture, at least 0."""
    if fitted.shape[1:] != guide.shape[1:]:
        fitted = F.interpolate(fitted[None], guide.shape[1:], mode="bilinear", align_corners=False)[0]
    return guided.apply(fitted, guide).clamp_min_(0)


def _at_full_size(small: Tensor, small_guide: Tensor, guide: Tensor, step: int) -> Tensor:
    """Each pixel takes the value of that one of its four neighbours in the small picture that is most like it.

    In between values of both sides of an edge would be a surface that does not exist.
    """
    height, width = guide.shape[1:]
    smooth = F.interpolate(small[None], scale_factor=float(step), mode="bilinear", align_corners=False)
    smooth = smooth[0, 0, :height, :width]
    rows, columns = ((torch.arange(side) + 0.5) / step - 0.5 for side in (height, width))
    for first in range(0, height, ROWS):
        there = slice(first, first + ROWS)
        nearest = _nearest(small[0], small_guide, guide[:, there], rows[there], columns)
        apart = (smooth[there] - nearest).abs() >= 2 * STEP_PX
        smooth[there] = torch.where(apart, nearest, smooth[there])
    return smooth[None]


def _nearest(small: Tensor, small_guide: Tensor, guide: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Of the four pixels of `small`, h w, around each of these places, that one's whose colour is the most alike."""
    best, nearest = torch.full(guide.shape[1:], torch.inf), torch.zeros(guide.shape[1:])
    for down in (0, 1):
        for across in (0, 1):
            row = (rows.floor().long() + down).clamp(0, small.shape[0] - 1)
            column = (columns.floor().long() + across).clamp(0, small.shape[1] - 1)
            away = (guide - small_guide[:, row][:, :, column]).abs_().sum(0)
            closer = away < best
            best, nearest = torch.where(closer, away, best), torch.where(closer, small[row][:, column], nearest)
    return nearest

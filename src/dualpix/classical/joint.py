"""Deconvolution of both views of a dual-pixel photograph at once, by a signed map of the blur, given or estimated.

The two half apertures blur one picture x by two kernels that mirror one another: left = k_L(c) * x, right = k_R(c) * x,
c the signed blur radius. Solved together (`deconvolution`, two data terms) they are better conditioned than either
alone, because the kernels lose different frequencies. No paper has this row: with the true map it shows how far known
optics go without learning, with the estimated map how much of that a classic stereo matcher saves.

The map comes from the disparity of the views, d = rho c, found by matching along rows: normalised correlation of
windows on a grid of cells, smoothed along four directions so that neighbours agree but for edges of the picture
(Hirschmueller, "Stereo processing by semiglobal matching and mutual information", TPAMI 2008), refined by a parabola,
and spread from where it is certain to where it is not by weighted least squares that stop at edges.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.classical.deconvolution import HyperLaplacian, check_map, deconvolve_levels, place_among
from dualpix.errors import DataError

Kernels: TypeAlias = Callable[[float], Tensor]
"""From a signed blur radius in pixels to the kernels of the left and the right view, 2 x K x K, each of sum 1."""

KNOWN_OPTICS = HyperLaplacian(weight=420, alpha=1.0)

LEVEL_PX = 0.5
LEVEL_SHARE = 0.1  # large radii may be coarser: what counts is the misfit in relation to the radius
FOREIGN = 3.0  # levels: what is further in front or behind is kept out

SPECTRUM_PX = 128  # of the natural texture that stands for the scene when disparity is turned into blur
CELL_PX = 4
BAND_PX = 31  # slower changes than this are shading, not structure
NOISE = 0.004  # root mean square of the band-passed luminance below which a window says little
STEP_PENALTY, JUMP_PENALTY = 0.03, 0.25  # for disparities of neighbours that differ by one pixel, and by more
EDGE = 0.04  # difference of luminance between cells that counts as an edge
MIN_CORRELATION = 0.5
CLEAR_BEND = 0.01  # fall of the correlation around its peak that makes it certain
SMOOTHNESS = 0.1
FILL_STEPS = 200
LUMINANCE = torch.tensor([0.299, 0.587, 0.114])


def deblur_views(
    left: Tensor, right: Tensor, blur_px: Tensor, kernels: Kernels, prior: HyperLaplacian = KNOWN_OPTICS
) -> Tensor:
    """Deconvolve both views together. Results at steps of 0.5 px or 10 % of the radius are blended.

    Args:
        left: The left view, 3 H W in [0, 1], in linear light, where blur is a convolution.
        right: The right view, likewise.
        blur_px: The signed radius of the blur, H W, positive behind the focal plane.
        kernels: Those of the two views at a radius.
        prior: What is assumed of sharp pictures.

    Returns:
        The sharp picture, 3 H W in [0, 1], in linear light.

    Raises:
        DataError: The views and the map have different sizes, or the map is not finite.
    """
    _check_views(left, right)
    check_map(left, blur_px, "map of signed blur")
    levels = blur_levels(float(blur_px.min()), float(blur_px.max()))
    pairs = [kernels(float(level)) for level in levels]
    return deconvolve_levels(torch.stack([left, right]), pairs, place_among(levels, blur_px), prior, FOREIGN).clamp(
        0, 1
    )


def match_disparity(left: Tensor, right: Tensor, reach_px: int = 16) -> tuple[Tensor, Tensor]:
    """Match two views along their rows.

    Args:
        left: The left view, 3 H W in [0, 1]. Display values, in which dark structure counts as much as bright, serve
            best.
        right: The right view, of the same shape.
        reach_px: The largest disparity either way.

    Returns:
        The disparity x_right - x_left in pixels, positive behind the focal plane, and how certain it is (0 to 1), both
        H W.

    Raises:
        DataError: The views have different sizes, or no structure to match.
    """
    _check_views(left, right)
    size = left.shape[-2:]
    grey = torch.einsum("c,vchw->vhw", LUMINANCE, torch.stack([left, right]).float())  # 2 H W
    guide = _cells(_padded(grey.mean(0)))
    cost, energy = _matching_cost(_padded(_band(grey)), reach_px)
    trust = energy / (energy + NOISE**2)
    total = _agree(cost * trust[..., None], guide)
    found, bend = _lowest(total)
    correlation = 1 - cost.gather(2, found.round().long()[..., None])[..., 0]
    confidence = trust * (bend / CLEAR_BEND).clamp(0, 1) * (correlation > MIN_CORRELATION)
    if float(confidence.max()) < 0.05:
        raise DataError("The two views hold no structure by which to match them; give a map of the blur instead.")
    filled = _fill(found - reach_px, confidence, guide)
    return _enlarge(filled, size), _enlarge(confidence, size)


def blur_from_disparity(disparity_px: Tensor, kernels: Kernels, most_px: float = 32.0) -> Tensor:
    """Return the signed radius of the blur in pixels of places with this disparity; of the same shape.

    It is at most `most_px` either way. Matching sees the peak of the views' correlation, which for lopsided kernels is
    not the distance rho c of their centres: it is computed for a scene of natural texture (power 1 / f^2), band-passed
    as for matching.
    """
    levels = blur_levels(0.0, most_px)
    peaks = torch.stack([_correlation_peak(kernels(float(level))) for level in levels]).cummax(0).values
    peaks = peaks + 1e-4 * torch.arange(len(peaks))  # ascending, even where the kernels say nothing
    place = place_among(peaks, disparity_px.abs())
    below = place.long().clamp_max(len(levels) - 2)
    return levels[below].lerp(levels[below + 1], place - below).copysign(disparity_px)


def _correlation_peak(pair: Tensor) -> Tensor:
    size = SPECTRUM_PX
    down, across = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)
    square = down**2 + across**2
    weight = square / (square + 0.5 / BAND_PX**2) ** 2  # 1 / f^2, and nothing slower than the band
    left, right = torch.fft.rfft2(pair, s=(size, size))
    line = torch.fft.irfft2(left.conj() * right * weight, s=(size, size))[0].roll(size // 2)
    return _lowest(-line / line.max())[0] - size // 2


def _check_views(left: Tensor, right: Tensor) -> None:
    if left.shape != right.shape:
        sizes = [f"{view.shape[-1]} x {view.shape[-2]}" for view in (left, right)]
        raise DataError(f"The left view is {sizes[0]}, but the right view is {sizes[1]} (width x height).")


def blur_levels(low: float, high: float) -> Tensor:
    """Radii from `low` to `high`, both reached, closer to one another around 0."""

    def outwards(end: float) -> list[float]:
        radii = [0.0]
        while radii[-1] < end:
            radii.append(radii[-1] + max(LEVEL_PX, LEVEL_SHARE * radii[-1]))
        return radii

    every = torch.tensor([-r for r in outwards(-low)][:0:-1] + outwards(high))
    first, last = (int(torch.bucketize(torch.tensor(end), every)) for end in (low, high))
    return every[max(0, first - (float(every[first]) > low)) : last + 1]


def _padded(pictures: Tensor) -> Tensor:
    """... H W with its last row and column repeated up to whole cells."""
    height, width = (-side % CELL_PX for side in pictures.shape[-2:])
    flat = F.pad(pictures.reshape(1, -1, *pictures.shape[-2:]), (0, width, 0, height), mode="replicate")
    return flat.reshape(*pictures.shape[:-2], *flat.shape[-2:])


def _band(grey: Tensor) -> Tensor:
    """V H W less its local mean, a little smoothed."""

    def box(x: Tensor, size: int) -> Tensor:
        return F.avg_pool2d(x[None], size, 1, size // 2, count_include_pad=False)[0]

    return box(grey, 3) - box(box(grey, BAND_PX), BAND_PX)


def _cells(plane: Tensor) -> Tensor:
    return F.avg_pool2d(plane[None], CELL_PX)[0]


def _window(plane: Tensor) -> Tensor:
    """Means over cells and their neighbours, H W -> h w: a window of 5 cells a side, heavier in its middle."""
    cells = _cells(plane)[None]
    for _ in range(2):
        cells = F.avg_pool2d(cells, 3, 1, 1, count_include_pad=False)
    return cells[0]


def _matching_cost(band: Tensor, reach_px: int) -> tuple[Tensor, Tensor]:
    """1 - normalised correlation of the windows for every disparity -reach ... reach, and the windows' energy.

    They are h w 2 reach + 1 and h w. The views are shifted half the disparity each, so that the result belongs to the
    centre view.
    """
    left, right = F.pad(band[None], (reach_px, reach_px, 0, 0), mode="replicate")[0]
    width = band.shape[-1]
    costs = []
    for disparity in range(-reach_px, reach_px + 1):
        ahead = disparity // 2
        a = left[:, reach_px - (disparity - ahead) :][:, :width]
        b = right[:, reach_px + ahead :][:, :width]
        norm = (_window(a * a) * _window(b * b)).sqrt()
        costs.append(1 - _window(a * b) / norm.clamp_min(1e-10))
    return torch.stack(costs, dim=-1), _window(band.square().mean(0))


def _agree(cost: Tensor, guide: Tensor) -> Tensor:
    """The mean of the cheapest paths through `cost` (h w D) that reach each cell from left, right, above and below."""
    across = _sweep(cost.transpose(0, 1), guide.T).transpose(0, 1)
    back = _sweep(cost.transpose(0, 1).flip(0), guide.T.flip(0)).flip(0).transpose(0, 1)
    down = _sweep(cost, guide)
    up = _sweep(cost.flip(0), guide.flip(0)).flip(0)
    return (across + back + down + up) / 4


def _sweep(cost: Tensor, guide: Tensor) -> Tensor:
    """Least cost of a path from the first line to each cell, less what all disparities of a cell have in common."""
    jump = JUMP_PENALTY / (1 + guide.diff(dim=0).abs() / EDGE)
    out = cost.clone()
    for line in range(1, len(cost)):
        before = out[line - 1]
        least = before.min(dim=1, keepdim=True).values
        reached = torch.minimum(before, least + jump[line - 1][:, None].clamp_min(STEP_PENALTY))
        near = F.pad(before, (1, 1), value=torch.inf)
        neighbour = torch.minimum(near[:, :-2], near[:, 2:]) + STEP_PENALTY
        out[line] += torch.minimum(reached, neighbour) - least
    return out


def _lowest(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Where along the last axis `cost` is least, to a fraction of a step, and how much it rises on both sides.

    A least value at an end counts as no rise.
    """
    middle = cost.argmin(dim=-1, keepdim=True).clamp(1, cost.shape[-1] - 2)
    before, at, after = (cost.gather(-1, middle + offset)[..., 0] for offset in (-1, 0, 1))
    bend = before + after - 2 * at
    shift = (0.5 * (before - after) / bend.clamp_min(1e-6)).clamp(-1, 1)
    return middle[..., 0] + shift, torch.where((before >= at) & (after >= at), bend, 0)


def _fill(values: Tensor, confidence: Tensor, guide: Tensor) -> Tensor:
    """The h w map that minimises confidence (map - values)^2 + smoothness (differences of neighbours)^2.

    The guide's edges loosen the smoothness. Solved by conjugate gradients.
    """
    down = SMOOTHNESS * torch.exp(-guide.diff(dim=0).abs() / EDGE) + 1e-4
    across = SMOOTHNESS * torch.exp(-guide.diff(dim=1).abs() / EDGE) + 1e-4

    def system(x: Tensor) -> Tensor:
        flow_down, flow_across = down * x.diff(dim=0), across * x.diff(dim=1)
        spread = F.pad(flow_down, (0, 0, 1, 0)) - F.pad(flow_down, (0, 0, 0, 1))
        return confidence * x + spread + F.pad(flow_across, (1, 0)) - F.pad(flow_across, (0, 1))

    x = torch.full_like(values, float((confidence * values).sum() / confidence.sum()))
    rest = confidence * values - system(x)
    scale = confidence + F.pad(down, (0, 0, 1, 0)) + F.pad(down, (0, 0, 0, 1))
    scale = scale + F.pad(across, (1, 0)) + F.pad(across, (0, 1))
    step = towards = rest / scale
    gain = (rest * towards).sum()
    for _ in range(FILL_STEPS):
        if float(gain) < 1e-9:
            break
        change = system(step)
        length = gain / (step * change).sum()
        x, rest = x + length * step, rest - length * change
        towards = rest / scale
        gain, old = (rest * towards).sum(), gain
        step = towards + gain / old * step
    return x


def _enlarge(cells: Tensor, size: tuple[int, ...]) -> Tensor:
    height, width = size
    full = F.interpolate(cells[None, None], scale_factor=CELL_PX, mode="bilinear", align_corners=False)[0, 0]
    return full[:height, :width]

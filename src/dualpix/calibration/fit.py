"""Signed blur and rho of a real pair with its sharp picture, window by window: the fit behind `dualpix calibrate`.

In linear light both views are the sharp picture S convolved with the kernels of `simulation.kernels`, so their mean and
half their difference are M = S * C and D = rho S * (C g / rho). For every radius of a grid, M is regressed on S * C,
its two derivatives (S may be slightly misaligned) and a constant, and D on S * (C g / rho). The radius with the least
error is the blur, the factor of D is rho, and its sign is that of the blur. One convolution serves all windows of the
frame.

Everything here takes one channel, H x W, in linear light.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.kernels import Lens, kernels, reach_px
from dualpix.simulation.spreading import fast_size, kernel_spectra

BLOCK_PX = 32
BLOCKS = 3  # a window has 3 x 3 blocks, and windows are one block apart
RADII = (0.02, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 21.0, 24.0, 28.0)
COARSE_RADII = (0.02, 1.5, 3.0, 6.0, 10.0, 16.0)
# The pairs of maps in `_regress` whose covariance is needed.
NEEDED = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2), (0, 3), (1, 3), (2, 3), (3, 3)]
NEEDED += [(0, 4), (2, 4), (4, 4), (0, 5), (2, 5), (4, 5), (5, 5)]
TYPICAL = Lens(rho=0.3, softness_px=0.3, softness_rel=0.08)
MIN_VARIANCE = 4e-6  # of a window's light; below it the window counts as flat
MIN_EXPLAINED = 0.9
STILL_PX = 0.12  # a small radius with less disparity than this is the file's softness, not defocus
SOFT_PX = 3.5
FARTHEST_PX = 4.0  # a larger misalignment of a window is an error of the fit


@dataclass(frozen=True)
class Field:
    """What was found in the windows of a frame, each a tensor h x w (rows and columns of windows).

    Attributes:
        x: Centre of the window, from -1 to 1 over the frame's width.
        y: The same over its height.
        blur_px: Signed blur radius in pixels, 0 where the window is in focus.
        disparity_px: rho times the blur.
        rho: Disparity over blur radius; NaN where nothing is blurred.
        shift_x_px: How far the sharp picture lies to the right of the views.
        shift_y_px: How far it lies below them.
        variance: Of the light of M.
        explained: Share of the variance of M that the fit explains.
        split_explained: Share of the variance of D that the fit explains.
    """

    x: Tensor
    y: Tensor
    blur_px: Tensor
    disparity_px: Tensor
    rho: Tensor
    shift_x_px: Tensor
    shift_y_px: Tensor
    variance: Tensor
    explained: Tensor
    split_explained: Tensor

    @property
    def good(self) -> Tensor:
        """Windows with enough texture and a good fit, in which blur is known."""
        near = torch.maximum(self.shift_x_px.abs(), self.shift_y_px.abs()) < FARTHEST_PX
        return (self.variance > MIN_VARIANCE) & (self.explained > MIN_EXPLAINED) & near

    @property
    def split(self) -> Tensor:
        """Windows in which rho is known too."""
        return self.good & (self.explained > 0.95) & (self.split_explained > 0.5) & (self.blur_px.abs() >= 2)


def fit_field(
    left: Tensor, right: Tensor, sharp: Tensor, lens: Lens = TYPICAL, radii: Sequence[float] = RADII
) -> Field:
    """Fit blur and rho in windows of 96 px, 32 px apart.

    Args:
        left: Left view, one channel in linear light, H x W.
        right: Right view, of the same size.
        sharp: The sharp picture, of the same size, aligned within a pixel or two (see `align`).
        lens: Gives the shape of the kernels; its rho does not matter.
        radii: Blur radii in pixels that are tried, in rising order.

    Raises:
        ValueError: The pictures differ in size, or are smaller than a window.
    """
    height, width = left.shape
    if left.shape != right.shape or left.shape != sharp.shape or min(height, width) < BLOCK_PX * BLOCKS:
        raise ValueError(f"three pictures of one size, {BLOCK_PX * BLOCKS} px or more, are needed, not {left.shape}")
    mean = sharp.mean()
    middle, half = (left + right) / 2 - mean, (right - left) / 2
    spread = Convolver(sharp - mean, reach_px(lens, max(radii)))
    fits = [_regress(middle, half, *spread(lens, radius)) for radius in radii]
    return _best(torch.stack(fits), torch.tensor(radii, dtype=torch.float64))


class Convolver:
    """One picture, H x W, convolved with kernels of any radius; prepared once.

    The picture is mirrored by `reach_px` at its edges. Results nearer to an edge than a kernel extends beyond that are
    wrong.
    """

    def __init__(self, picture: Tensor, reach_px: int) -> None:
        self.reach, self.shape = min(reach_px, *(side - 1 for side in picture.shape)), picture.shape
        padded = F.pad(picture[None, None], (self.reach,) * 4, mode="reflect")[0, 0]
        self.size = fast_size(padded.shape[0]), fast_size(padded.shape[1])
        self.spectrum = torch.fft.rfft2(padded, s=self.size)

    def __call__(self, lens: Lens, blur_px: float) -> tuple[Tensor, Tensor]:
        """S * C and S * (C g / rho), each H x W, for the radius `blur_px`."""
        half = reach_px(lens, blur_px)
        views = torch.fft.irfft2(self.spectrum * kernel_spectra(kernels(lens, blur_px), half, self.size), s=self.size)
        rows, columns = (slice(self.reach, self.reach + side) for side in self.shape)
        left, right = views.roll((-half, -half), (1, 2))[:, rows, columns]
        return (left + right) / 2, (right - left) / (2 * lens.rho)


def windows(pictures: Tensor) -> Tensor:
    """Means over windows, N x H x W to N x h x w."""
    return F.avg_pool2d(F.avg_pool2d(pictures, BLOCK_PX).double(), BLOCKS, 1)


def _regress(middle: Tensor, half: Tensor, even: Tensor, odd: Tensor) -> Tensor:
    """Fit one radius in every window: errors of M and D, gain, shifts x and y, rho, variances of M and D: 8 x h x w."""
    down, across = torch.gradient(even)
    maps = [even, across, down, middle, odd, half]
    means = windows(torch.stack(maps))
    covariance = means.new_zeros(*means.shape[1:], 6, 6)
    for i, j in NEEDED:
        covariance[..., i, j] = windows((maps[i] * maps[j])[None])[0] - means[i] * means[j]
        covariance[..., j, i] = covariance[..., i, j]
    of_middle, error_middle = _solve(covariance, [0, 1, 2], 3)
    of_half, error_half = _solve(covariance, [4, 0, 2], 5)
    gain = of_middle[..., 0].clamp_min(0.05)
    shifts = of_middle[..., 1] / gain, of_middle[..., 2] / gain
    variances = covariance[..., 3, 3], covariance[..., 5, 5]
    return torch.stack([error_middle, error_half, gain, *shifts, of_half[..., 0] / gain, *variances])


def _solve(covariance: Tensor, sources: list[int], target: int) -> tuple[Tensor, Tensor]:
    """Least squares of one map on others, in every window: factors, h x w x n, and the remaining variance, h x w."""
    square = covariance[..., sources, :][..., sources]
    ridge = 1e-10 + 1e-6 * square.diagonal(dim1=-2, dim2=-1)
    across = covariance[..., sources, target]
    factors = torch.linalg.solve(square + torch.diag_embed(ridge), across)
    return factors, (covariance[..., target, target] - (factors * across).sum(-1)).clamp_min(1e-12)


def _best(fits: Tensor, radii: Tensor) -> Field:
    """The radius of least error in every window, interpolated in the grid of radii, and the values that go with it."""
    error = fits[:, 0] + fits[:, 1]
    index = error.argmin(0)
    inner = index.clamp(1, len(radii) - 2)
    near = torch.stack([inner - 1, inner, inner + 1])
    radius = vertex(radii[near], error.gather(0, near)).clamp(radii[near[0]], radii[near[2]])
    at_end = index != inner
    radius = torch.where(at_end, radii[index], radius)
    product = fits[:, 5] * radii[:, None, None]
    disparity = torch.where(at_end, product.gather(0, index[None])[0], _between(radii, product, radius))
    picked = fits.gather(0, index[None, None].expand(1, *fits.shape[1:]))[0]
    return _field(picked, radius, disparity)


def _field(picked: Tensor, radius: Tensor, disparity: Tensor) -> Field:
    still = (radius <= SOFT_PX) & (disparity.abs() < STILL_PX)
    blur_px = torch.where(still, 0.0, radius * disparity.sign())
    height, width = radius.shape
    y, x = torch.meshgrid(*(_places(count) for count in (height, width)), indexing="ij")
    return Field(
        x=x,
        y=y,
        blur_px=blur_px,
        disparity_px=torch.where(still, 0.0, disparity),
        rho=torch.where(still, torch.nan, disparity.abs() / radius),
        shift_x_px=picked[3],
        shift_y_px=picked[4],
        variance=picked[6],
        explained=1 - picked[0] / picked[6].clamp_min(1e-12),
        split_explained=1 - picked[1] / picked[7].clamp_min(1e-12),
    )


def _places(count: int) -> Tensor:
    """Centres of windows from -1 to 1 over the frame; an incomplete block at the end is ignored."""
    whole = count + BLOCKS - 1
    return (torch.arange(count, dtype=torch.float64) + BLOCKS / 2) / whole * 2 - 1


def vertex(x: Tensor, y: Tensor) -> Tensor:
    """Abscissa of the minimum of the parabola through three points.

    Args:
        x: Abscissas in rising order, 3 x h x w.
        y: Ordinates, 3 x h x w.

    Returns:
        h x w; the middle abscissa where the parabola has no minimum.
    """
    first, last = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    bend = (last - first) / (x[2] - x[0])
    return torch.where(bend > 0, (x[0] + x[1]) / 2 - first / (2 * bend.clamp_min(1e-18)), x[1])


def _between(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
    """Linear interpolation of values n x h x w, known at n abscissas, at the abscissas h x w."""
    above = torch.searchsorted(x, at.contiguous()).clamp(1, len(x) - 1)
    low, high = x[above - 1], x[above]
    share = (at - low) / (high - low)
    return torch.lerp(y.gather(0, above[None] - 1)[0], y.gather(0, above[None])[0], share)


def align(left: Tensor, right: Tensor, sharp: Tensor, lens: Lens = TYPICAL, rounds: int = 2) -> Tensor:
    """Register the sharp picture to the views by a shift that changes linearly over the frame (a tripod was touched).

    Works for misalignments up to about two pixels.

    Args:
        left: Left view, one channel in linear light, H x W.
        right: Right view, of the same size.
        sharp: The sharp picture, of the same size.
        lens: Gives the shape of the kernels.
        rounds: How often the shift is estimated and corrected.

    Returns:
        The sharp picture, resampled, H x W.
    """
    moved = sharp
    for _ in range(rounds):
        field = fit_field(left, right, moved, lens, COARSE_RADII)
        good = field.good
        if int(good.sum()) < 12:
            return moved
        places = torch.stack([torch.ones_like(field.x), field.x, field.y], -1)[good]
        shifts = [robust_fit(places, shift[good], 0.15) for shift in (field.shift_x_px, field.shift_y_px)]
        moved = _move(moved, torch.stack(shifts).float())
        if max(float(shift.abs().sum()) for shift in shifts) < 0.2:
            break
    return moved


def _move(picture: Tensor, shifts: Tensor) -> Tensor:
    """Resample a picture so that it appears `shifts` pixels further left and up (2 x 3: constant, per x, per y)."""
    height, width = picture.shape
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    across, down = (a + b * x + c * y for a, b, c in shifts)
    grid = torch.stack([x + across * 2 / (width - 1), y + down * 2 / (height - 1)], -1)
    there = F.grid_sample(picture[None, None], grid[None], "bicubic", "reflection", align_corners=True)
    return there[0, 0]


def robust_fit(sources: Tensor, target: Tensor, scale: float, rounds: int = 12) -> Tensor:
    """Robust linear regression: iterated least squares with Cauchy weights.

    Args:
        sources: N x n.
        target: N.
        scale: Deviation at which a point's weight falls to a quarter.
        rounds: Number of iterations.

    Returns:
        The factors of the sources, n.
    """
    weight, factors = torch.ones_like(target), target.new_zeros(sources.shape[1])
    for _ in range(rounds):
        factors = torch.linalg.lstsq(sources * weight[:, None], (target * weight)[:, None]).solution[:, 0]
        weight = 1 / (1 + ((target - sources @ factors) / scale) ** 2)
    return factors

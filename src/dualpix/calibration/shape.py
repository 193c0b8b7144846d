"""The shape of the point-spread functions and the tone curve, fitted to patches of uniform blur.

Shapes are compared by how well they explain the views: for every shape each patch chooses its own radius, and the
errors, relative to the patch's best, are added up. Spreads come from repeating the choice with bootstrap samples of the
patches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dualpix.calibration.fit import BLOCK_PX, BLOCKS, TYPICAL, Convolver, Field
from dualpix.simulation.kernels import Lens
from dualpix.simulation.sensor import Tone

SIDE_PX = BLOCK_PX * BLOCKS
SPARE_PX = 44
MOST_PATCHES = 6
LEAST_PATCHES = 3
SMALLEST_PX, LARGEST_PX = 4.0, 20.0
RESAMPLES = 60
START = replace(TYPICAL, rho=0.2)  # small enough for every shape
CONTRASTS = (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SOFTNESSES = (0.0, 0.05, 0.1, 0.15, 0.22)
RIMS = (-0.8, -0.4, 0.0, 0.4, 0.8)
SPLITS = (0.0, 0.4, 0.7, 0.9, 1.0)


@dataclass(frozen=True)
class Patch:
    """A place of uniform blur.

    Attributes:
        views: Both views, display-encoded, 2 x H x W.
        sharp: The sharp picture, with `SPARE_PX` more on each side.
        blur_px: Signed blur radius in pixels.
    """

    views: Tensor
    sharp: Tensor
    blur_px: float


@dataclass(frozen=True)
class FittedValue:
    """The best value of one parameter, with its spread.

    Attributes:
        value: The best value.
        low: 10th percentile over bootstrap samples of the patches.
        high: 90th percentile.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Shape:
    """The fitted shape.

    Attributes:
        lens: With the best `softness_rel`, `rim` and `split`; its rho has no meaning.
        choices: These three with their spreads.
        rho_ratio: rho under this lens over rho under `TYPICAL`.
    """

    lens: Lens
    choices: dict[str, FittedValue]
    rho_ratio: float


def find_patches(left: Tensor, right: Tensor, sharp: Tensor, field: Field) -> list[Patch]:
    """Find the places with most texture whose blur is uniform, at most `MOST_PATCHES`, which do not overlap.

    Args:
        left: Left view, display-encoded, H x W.
        right: Right view, of the same size.
        sharp: The sharp picture, of the same size, aligned.
        field: What was found in them.
    """
    blur = field.blur_px
    smooth = torch.nn.functional.pad(blur[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    around = smooth.unfold(0, 3, 1).unfold(1, 3, 1).flatten(2)
    even = (around - blur[..., None]).abs().amax(-1) < (0.15 * blur.abs()).clamp_min(1)
    still = torch.maximum(field.shift_x_px.abs(), field.shift_y_px.abs()) < 1
    usable = field.split & even & still & (blur.abs() >= SMALLEST_PX) & (blur.abs() <= LARGEST_PX)
    order = (field.variance * usable).flatten().argsort(descending=True)[: int(usable.sum())]
    chosen: list[tuple[int, int]] = []
    for row, column in (divmod(int(i), blur.shape[1]) for i in order):
        top, start = row * BLOCK_PX, column * BLOCK_PX
        inside = min(top, start) >= SPARE_PX
        inside &= top + SIDE_PX + SPARE_PX <= left.shape[0] and start + SIDE_PX + SPARE_PX <= left.shape[1]
        apart = all(max(abs(row - a), abs(column - b)) >= BLOCKS for a, b in chosen)
        if inside and apart and len(chosen) < MOST_PATCHES:
            chosen.append((row, column))
    return [_cut(left, right, sharp, row, column, float(blur[row, column])) for row, column in chosen]


def _cut(left: Tensor, right: Tensor, sharp: Tensor, row: int, column: int, blur_px: float) -> Patch:
    top, start = row * BLOCK_PX, column * BLOCK_PX
    inner = slice(top, top + SIDE_PX), slice(start, start + SIDE_PX)
    outer = slice(top - SPARE_PX, top + SIDE_PX + SPARE_PX), slice(start - SPARE_PX, start + SIDE_PX + SPARE_PX)
    return Patch(torch.stack([left[inner], right[inner]]), sharp[outer], blur_px)


def fit_tone(patches: Sequence[Patch], lens: Lens = TYPICAL) -> FittedValue | None:
    """Fit the contrast of the tone curve (`Tone.contrast`) by the error in display values.

    Args:
        patches: From `find_patches`.
        lens: Gives the shape of the kernels.

    Returns:
        None if there are too few patches.
    """
    if len(patches) < LEAST_PATCHES:
        return None
    errors = torch.tensor([[_fit(patch, lens, Tone(k))[0] for k in CONTRASTS] for patch in patches])
    return _choose(errors, CONTRASTS)


def fit_shape(patches: Sequence[Patch], tone: Tone) -> Shape | None:
    """Find the lens that explains the patches best.

    Softness and rim are varied together, since one can compensate the other; the split is fitted before, by itself.

    Args:
        patches: From `find_patches`.
        tone: The display encoding of the views.

    Returns:
        None if there are too few patches.
    """
    if len(patches) < LEAST_PATCHES:
        return None
    errors = [[_fit(patch, _with(START, split=value), tone)[0] for value in SPLITS] for patch in patches]
    split = _choose(torch.tensor(errors), SPLITS)
    lenses = [[_with(START, split=split.value, softness_rel=s, rim=r) for r in RIMS] for s in SOFTNESSES]
    grid = torch.tensor([[[_fit(patch, lens, tone)[0] for lens in row] for row in lenses] for patch in patches])
    softness, rim = _choose(grid.amin(2), SOFTNESSES), _choose(grid.amin(1), RIMS)
    lens = _with(START, split=split.value, softness_rel=softness.value, rim=rim.value)
    ratios = [_fit(patch, lens, tone)[1] / _fit(patch, TYPICAL, tone)[1] for patch in patches]
    return Shape(lens, {"softness_rel": softness, "rim": rim, "split": split}, float(torch.tensor(ratios).median()))


def _with(lens: Lens, **changes: float) -> Lens:
    """The lens with changed numbers, rounded so that its kernels are found in the cache."""
    return replace(lens, **{name: round(value, 2) for name, value in changes.items()})  # type: ignore[arg-type]


def _fit(patch: Patch, lens: Lens, tone: Tone) -> tuple[float, float]:
    """The least error of both views over radii near the patch's, in squared display values, and rho there."""
    views, sharp = tone.decode(patch.views), tone.decode(patch.sharp)
    mean = sharp.mean()
    spread = Convolver(sharp - mean, 0)
    step = max(0.25, round(0.06 * abs(patch.blur_px) * 4) / 4)
    middle = round(abs(patch.blur_px) * 4) / 4
    slope = _slope(tone, patch.views)
    found = [_residual(views - mean, slope, spread(lens, middle + k * step)) for k in range(-2, 3)]
    errors, rhos = zip(*found, strict=True)
    index = min(max(errors.index(min(errors)), 1), 3)
    before, at, after = errors[index - 1 : index + 2]
    bend = before - 2 * at + after
    # Between the radii that were tried, the error is taken as a parabola.
    least = at - (after - before) ** 2 / (8 * bend) if bend > 0 and at == min(errors) else min(errors)
    return max(least, 0.2 * min(errors)), rhos[errors.index(min(errors))]


def _residual(views: Tensor, slope: Tensor, spread: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Error of the views' mean and half difference together, and rho, at one radius."""
    inner = slice(SPARE_PX, -SPARE_PX)
    even, odd = spread
    down, across = torch.gradient(even)
    weight = slope.flatten().double()[:, None]
    maps = [m[inner, inner].flatten() for m in (even, down, torch.ones_like(even), across, odd)]
    a, d, one, x, b = (m.double()[:, None] * weight for m in maps)
    middle, half = ((views[1] + sign * views[0]).flatten().double()[:, None] / 2 * weight for sign in (1, -1))
    # Only the mean may be shifted along the row: a shift of the difference is what rho measures.
    of_middle, error = _least_squares(torch.cat([a, d, one, x], 1), middle)
    of_half, rest = _least_squares(torch.cat([b, d, one, a], 1), half)
    return error + rest, abs(of_half / of_middle)


def _least_squares(sources: Tensor, target: Tensor) -> tuple[float, float]:
    """The factor of the first source, and the mean square of the residual."""
    square = sources.T @ sources
    factors = torch.linalg.solve(square + 1e-9 * torch.diag(square.diagonal()), sources.T @ target)
    return float(factors[0]), float((sources @ factors - target).square().mean())


def _slope(tone: Tone, views: Tensor) -> Tensor:
    """Derivative of display values by light, H x W, which turns errors of light into visible ones."""
    step, display = 1 / 512, views.mean(0)
    high, low = (display + step).clamp_max(1), (display - step).clamp_min(0)
    return ((high - low) / (tone.decode(high) - tone.decode(low)).clamp_min(1e-5)).clamp_max(8)


def _choose(errors: Tensor, values: Sequence[float]) -> FittedValue:
    """The value of least error over all patches (N x values), interpolated between those tried, and its spread."""
    relative = (errors / errors.amin(1, keepdim=True)).double()
    best = _lowest(relative.mean(0), values)
    draws = torch.randint(len(errors), (RESAMPLES, len(errors)), generator=torch.Generator().manual_seed(0))
    spread = torch.tensor([_lowest(relative[draw].mean(0), values) for draw in draws])
    low, high = (float(spread.quantile(share)) for share in (0.1, 0.9))
    return FittedValue(best, low, high)


def _lowest(errors: Tensor, values: Sequence[float]) -> float:
    """The minimum of the parabola through the least error and its neighbours, limited to their range."""
    index = min(max(int(errors.argmin()), 1), len(values) - 2)
    (x0, x1, x2), (y0, y1, y2) = values[index - 1 : index + 2], errors[index - 1 : index + 2].tolist()
    first, last = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = (last - first) / (x2 - x0)
    if bend <= 0:
        return values[int(errors.argmin())]
    return float(min(max((x0 + x1) / 2 - first / (2 * bend), x0), x2))

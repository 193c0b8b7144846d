"""Deconvolution by a known blur, of one kernel or one that varies over the picture, under a hyper-Laplacian prior.

Krishnan and Fergus, "Fast image deconvolution using hyper-Laplacian priors", NIPS 2009: of one or more views y_v of the
same x, each blurred by its own kernel k_v, minimise

    weight / 2  sum_v |k_v * x - y_v|^2  +  |x(right) - x|^alpha + |x(below) - x|^alpha,   summed over pixels,

by replacing the differences with free variables w held to them by beta / 2 |w - difference|^2, and solving in turn for
x (one division of Fourier transforms) and w (`shrink`, pixel by pixel) while beta grows.

Two-stage methods for defocus (JNB, EBDB, DMENet) all end here: `deblur_by_map` deconvolves by Gaussians of several
sizes and takes every pixel from the results nearest to its size. It follows the public script of DMENet's authors in
its numbers (alpha 1.5, weight 16.8 for DPDD, 33 levels at quantiles of the map), on display values as they do.

Chosen here: the Fourier transform takes a picture to repeat, so it is cut into tiles with a border that is mirrored at
the picture's edge and faded into itself where it wraps round (the script: copied edge pixels, edgetaper four times). A
tile needs only the levels that occur in it and fits the cache, which makes it several times faster. Sigma 0, a kernel
of one pixel, leaves the picture as it is instead of passing it through the prior.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from dualpix.classical.tiles import Tiles
from dualpix.errors import DataError

Mode: TypeAlias = Literal["fast", "faithful"]

FAST_LEVELS = 10
FAST_STEP_PX = 0.3  # of sigma; finer levels, blended, change the result by less than 0.02 dB
FAITHFUL_QUANTILES = 32
TILE_PX = 256
SMALLEST_BORDER_PX = 16
SAME_LEVEL = 1e-3  # rounding does not decide about a plane exactly at the largest distance that is kept
TABLE_REACH = 2.0  # differences of neighbours stay within [-1, 1], but for ringing
TABLE_STEPS = 1 << 14


@dataclass(frozen=True)
class HyperLaplacian:
    """How much detail is believed: the prior and the way to its optimum.

    weight: of the data against the prior. A wrong kernel does the less harm the smaller it is: 16.8 suits estimated
        Gaussians, 2000 with alpha 2/3 kernels that are known.
    alpha: the power of the prior, 0 < alpha < 2.
    betas: the penalties of the splitting, one step each.
    """

    weight: float = 16.8
    alpha: float = 1.5
    betas: tuple[float, ...] = tuple(8 ** (step / 2) for step in range(6))  # 1, times 2 sqrt 2, below 256


def deconvolve(picture: Tensor, kernel: Tensor, prior: HyperLaplacian | None = None) -> Tensor:
    """The picture C H W that, convolved with `kernel` (K x K, K odd, sum 1), gives `picture`; not clipped."""
    return deconvolve_levels(picture[None], [kernel[None]], torch.zeros(picture.shape[-2:]), prior)


def deblur_by_map(
    picture: Tensor, sigma_px: Tensor, mode: Mode = "fast", prior: HyperLaplacian | None = None
) -> Tensor:
    """Undo Gaussian blur of standard deviation `sigma_px` (H x W, pixels, >= 0) in `picture` 3 H W; result in [0, 1].

    "fast" blends linearly between at most 10 equally spaced sizes; "faithful" has up to 33, at quantiles of the map's
    different values, and takes each pixel from the next smaller one. Raises `DataError` for a map of another size, or
    with values that are no blur.
    """
    check_map(picture, sigma_px, "blur map")
    if float(sigma_px.min()) < 0:
        raise DataError(f"The blur map goes down to {float(sigma_px.min()):.3g} px; sizes of blur must be 0 or more.")
    levels = _equal_levels(sigma_px) if mode == "fast" else quantile_levels(sigma_px)
    place = place_among(levels, sigma_px)
    place = place if mode == "fast" else place.floor()
    kernels = [gaussian(float(level))[None] for level in levels]
    return deconvolve_levels(picture[None], kernels, place, prior).clamp(0, 1)


def deconvolve_levels(
    views: Tensor,
    kernels: Sequence[Tensor],
    place: Tensor,
    prior: HyperLaplacian | None = None,
    foreign: float = math.inf,
) -> Tensor:
    """Deconvolve by several kernels and blend: V C H W -> C H W, not clipped.

    views: pictures of one scene. Two of them are taken to be left and right, mirror images of one another in their
        blur, so that beyond its sides each goes on as the other, mirrored.
    kernels: for each level, one kernel per view, V K K with odd K, sum 1, to be convolved with. At a level of 1 x 1
        kernels the result is the mean of the views.
    place: H W, for each pixel its level; between two levels (2.25) the results are mixed.
    foreign: pixels more than this many levels away belong to other things, whose edges a level's kernel cannot explain
        and would surround with waves; before a level is solved, they, and what lower levels (nearer things) blur over
        it, are replaced by what lies around them, and these places stay as they are.
    """
    prior = prior or HyperLaplacian()
    _check_kernels(views, kernels)
    reach = max(kernel.shape[-1] // 2 for kernel in kernels)
    spreads = torch.tensor([_spread(kernel) for kernel in kernels])
    tiles = Tiles(views, max(SMALLEST_BORDER_PX, 2 * reach), TILE_PX)
    spectra: dict[int, Tensor] = {}
    out = torch.empty_like(views[0])
    for rows, columns in tiles.places():
        near = tiles.with_border(place, rows, columns)
        shares = {level: (1 - (near - level).abs()).clamp_min_(0) for level in range(len(kernels))}
        shares = {level: share for level, share in shares.items() if bool(tiles.inner(share, rows, columns).any())}
        tile = tiles.cut(rows, columns)
        spectrum = torch.fft.rfft2(tile)
        mixed = torch.zeros_like(tile[0])
        for level, share in shares.items():
            if kernels[level].shape[-1] == 1:
                mixed += share * tile.mean(0)
                continue
            if level not in spectra:
                spectra[level] = transfer_function(kernels[level], tiles.size)
            alien = _alien(near, level, foreign, spreads, tiles)
            own = tiles.without(alien, tile) if bool(alien.any()) else tile
            data = spectrum if own is tile else torch.fft.rfft2(own)
            solved = solve(own.mean(0), data, spectra[level], prior)
            mixed += share * torch.where(alien, tile.mean(0), solved)
        out[:, rows, columns] = tiles.inner(mixed, rows, columns)
    return out


def _alien(place: Tensor, level: int, foreign: float, spreads: Tensor, tiles: Tiles) -> Tensor:
    """Which pixels h w a level cannot explain: those of other levels, and what is blurred over it from in front."""
    most = foreign + SAME_LEVEL
    behind, in_front = place > level + most, place < level - most
    if not bool(in_front.any()):
        return behind
    covered = behind | tiles.spread((spreads[place.round().long()] + 1) * in_front)
    return behind | in_front if bool(covered.all()) else covered


def _spread(kernels: Tensor) -> int:
    """The half width in pixels of the square that holds 95 % of the kernels V K K."""
    offset = torch.arange(kernels.shape[-1]).sub(kernels.shape[-1] // 2).abs()
    ring = torch.maximum(offset[:, None], offset)
    held = torch.bincount(ring.flatten(), kernels.mean(0).flatten()).cumsum(0)
    return int((held < 0.95).sum())


def place_among(levels: Tensor, values: Tensor) -> Tensor:
    """Where `values` lie among the ascending `levels`, counted in levels: halfway between the first two is 0.5."""
    if len(levels) == 1:
        return torch.zeros_like(values)
    below = (torch.bucketize(values.contiguous(), levels, right=True) - 1).clamp(0, len(levels) - 2)
    return below + ((values - levels[below]) / (levels[below + 1] - levels[below])).clamp(0, 1)


def gaussian(sigma_px: float) -> Tensor:
    """A sampled Gaussian, K x K, sum 1, out to three standard deviations; 1 x 1 where that is less than a pixel."""
    reach = int(3 * sigma_px + 0.5)
    offset = torch.arange(-reach, reach + 1, dtype=torch.float32)
    line = torch.softmax(-(offset**2) / (2 * max(sigma_px, 1e-3) ** 2), dim=0)
    return line[:, None] * line


def shrink(difference: Tensor, beta: float, alpha: float) -> Tensor:
    """The w that minimises |w|^alpha + beta / 2 (w - difference)^2, for each entry: towards 0, with the same sign."""
    if alpha == 1.5:  # with t = sqrt(w): beta t^2 + 1.5 t = beta difference
        root = difference.abs().mul_(4 * beta * beta).add_(2.25).sqrt_().sub_(1.5).mul_(0.5 / beta)
        return root.square_().copysign_(difference)
    if alpha == 1:
        return difference.abs().sub_(1 / beta).clamp_min_(0).copysign_(difference)
    start, step = shrink_table(alpha, beta)
    index = difference.abs().mul_(TABLE_STEPS / TABLE_REACH).clamp_max_(TABLE_STEPS)
    below = index.int().clamp_max_(TABLE_STEPS - 1)
    first, rise = (x.index_select(0, below.flatten()).view_as(index) for x in (start, step))
    less = torch.addcmul(first, rise, index.sub_(below))
    return difference.abs().sub_(less).copysign_(difference)


@lru_cache(maxsize=64)
def shrink_table(alpha: float, beta: float) -> tuple[Tensor, Tensor]:
    """By how much `shrink` lessens 0 ... TABLE_REACH in equal steps, and the differences from one to the next.

    w = 0, or else the larger root of alpha w^(alpha - 1) + beta (w - v) = 0, which lies between the least value of
    the left side and v: found by bisection, and kept where it costs less than 0.
    """
    if not 0 < alpha < 2:
        raise ValueError(f"alpha={alpha} is no hyper-Laplacian; choose 0 < alpha < 2")
    v = torch.linspace(0, TABLE_REACH, TABLE_STEPS + 1, dtype=torch.float64)
    lowest = 0.0 if alpha >= 1 else (alpha * (1 - alpha) / beta) ** (1 / (2 - alpha))
    low, high = torch.full_like(v, lowest), v.clamp_min(lowest)
    for _ in range(60):
        w = (low + high) / 2
        too_small = alpha * w ** (alpha - 1) + beta * (w - v) < 0
        low, high = torch.where(too_small, w, low), torch.where(too_small, high, w)
    w = torch.where(high**alpha + beta / 2 * (high - v) ** 2 < beta / 2 * v**2, high, 0)
    less = v - w
    return less[:-1].float(), less.diff().float()


def check_map(picture: Tensor, blur: Tensor, what: str) -> None:
    """Raise `DataError` unless `blur`, called `what`, is an H x W map of finite numbers of the size of `picture`."""
    if blur.shape != picture.shape[-2:]:
        sizes = [" x ".join(map(str, reversed(thing.shape))) for thing in (blur, picture[0])]
        raise DataError(
            f"The {what} is {sizes[0]}, but the picture is {sizes[1]} (width x height); they must be equal."
        )
    if not bool(torch.isfinite(blur).all()):
        raise DataError(
            f"The {what} holds NaN or infinity, which is no size of blur; a picture without any edge gives such a map."
        )


def _check_kernels(views: Tensor, kernels: Sequence[Tensor]) -> None:
    for kernel in kernels:
        if (
            kernel.ndim != 3
            or len(kernel) != len(views)
            or kernel.shape[1] != kernel.shape[2]
            or not kernel.shape[1] % 2
        ):
            raise ValueError(
                f"{len(views)} views need kernels {len(views)} x K x K of odd K, not {tuple(kernel.shape)}"
            )


def _equal_levels(sigma_px: Tensor) -> Tensor:
    low, high = (float(x) for x in sigma_px.aminmax())
    return torch.linspace(low, high, min(FAST_LEVELS, 1 + int((high - low) / FAST_STEP_PX + 0.999)))


def quantile_levels(sigma_px: Tensor) -> Tensor:
    """The smallest value, the largest, and 32 quantiles between them of the different values, however frequent."""
    values: Tensor = torch.unique(sigma_px).double()
    inner = torch.linspace(0, len(values) - 1, FAITHFUL_QUANTILES + 2, dtype=torch.float64)[1:-1]
    between = values[inner.floor().long()].lerp(values[inner.ceil().long()], inner.frac())
    levels: Tensor = torch.unique(torch.cat([values[:1], between, values[-1:]]).float())
    return levels


def transfer_function(kernels: Tensor, size: Sequence[int]) -> Tensor:
    """Transforms V h w/2+1 of kernels V K K, their middle at the origin."""
    reach = kernels.shape[-1] // 2
    field = torch.zeros(len(kernels), *size)
    field[:, : 2 * reach + 1, : 2 * reach + 1] = kernels
    spectrum: Tensor = torch.fft.rfft2(field.roll((-reach, -reach), (1, 2)))
    return spectrum


@lru_cache(maxsize=16)
def _difference_power(height: int, width: int) -> Tensor:
    """|transform|^2 of both differences together, h w/2+1."""
    down, across = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    return 4 * (torch.sin(torch.pi * down[:, None]) ** 2 + torch.sin(torch.pi * across) ** 2)


def solve(start: Tensor, views: Tensor, kernels: Tensor, prior: HyperLaplacian) -> Tensor:
    """The optimum C h w from `start`, on a picture that repeats.

    `views` V C h w/2+1 and `kernels` V h w/2+1 are transforms.
    """
    height, width = start.shape[-2:]
    data = (kernels.conj()[:, None] * views).sum(0)
    power = kernels.abs().square().sum(0)
    differences = _difference_power(height, width)
    x = start
    for beta in prior.betas:
        trust = beta / prior.weight
        right = shrink(x.roll(-1, -1).sub_(x), beta, prior.alpha)
        below = shrink(x.roll(-1, -2).sub_(x), beta, prior.alpha)
        back = right.roll(1, -1).sub_(right).add_(below.roll(1, -2)).sub_(below)
        spectrum = torch.fft.rfft2(back).mul_(trust).add_(data).div_(power + trust * differences)
        x = torch.fft.irfft2(spectrum, s=(height, width))
    return x

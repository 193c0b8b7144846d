"""EBDB: blur from how fast edges fade when the picture is blurred again.

Karaali and Jung, "Edge-based defocus blur estimation with adaptive scale selection", IEEE Transactions on Image
Processing 27(3), 2018.

The slope of an edge of blur sigma, blurred again by s, goes as 1 / sqrt(sigma^2 + s^2); two values of s give sigma.

Steps and constants are those of the authors' released code, on luma in linear light: `edge_scales` (an edge counts if
Canny finds it at the four finest of nine scales), `edge_blur` (the second scale is half the coarsest at which the edge
still stands alone), `along_contours` (weighted least squares on each connected edge), and propagation by the domain
transform, which the code uses where the paper has a guided filter.

Choices left open, or ours:
- The ratio cannot tell blur once the two slopes are equal; they are held `LEAST_EXCESS` apart.
- The formula takes the blur for a Gaussian. For a disc of radius r, which is what a lens gives, it returns r / 2 up to
  r = 2 px but r itself above 6 px, because the middle of a disc's line spread is flat. `disc=True` puts that right by
  the slopes of discs (`disc_response`), and returns the Gaussian of equal variance, r / 2.
- Slopes that differ by no more than `ROUNDING` are equal, and equals stand: of a perfect step both columns are edge.
  Without that, the rounding of pixels would choose one of them anew at every scale.
- `fast` and `faithful` are the same: four seconds of one core at 1120 x 1680 leave nothing worth a difference.
"""

import math
from functools import lru_cache

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualpix.classical.pictures import Array, colours, linear_luma
from dualpix.classical.propagation import domain_transform, spread
from dualpix.errors import PictureError
from dualpix.tables import pick

LEAST_PX = 32
SCALES = np.arange(1, 5.01, 0.5)
SCALES_NEEDED = 4
HIGH_SHARE = 0.7  # of all pixels have a slope below Canny's upper threshold
LOW_OF_HIGH = 0.4
SLOPE_BINS = 64
LEAST_SLOPE = 1e-4  # by Sobel's sums: less than one level of 8 bits gives, even in the shadows
ROUNDING = 2e-6  # of Sobel's sums: ten times the last bit of a float32 pixel, passed through both filters
ROUNDING_PER_PX = 3e-7  # the same of slopes by a Gaussian's derivative
FIRST_PX = 1.0
SECOND_OF_SCALE = 0.5
LEAST_EXCESS = 1e-3  # of the squared ratio over 1
MOST_PX = 5.0
SMOOTHNESS = 10.0
GUIDE_SMOOTHING_PX = 7.0
GUIDE_COLOUR_RANGE = 0.5
SPREAD_OF_SIDE = 1 / 8
SPREAD_COLOUR_RANGE = 3.75
PROPAGATION_ITERATIONS = 5
MODES = {"fast": None, "faithful": None}
NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))  # the other four are the same pairs seen from the other end

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]
Slopes = NDArray[np.float64]


def blur_map(picture: Tensor, mode: str = "fast", disc: bool = False) -> Tensor:
    """Standard deviation of the Gaussian blur, in pixels, from 0 to 5: H W, of one picture 3 H W in [0, 1].

    mode: "fast" or "faithful", which are the same here. disc: take the blur for a disc's (see above).
    Raises `PictureError` for a picture without edges, below 32 pixels a side, or with NaN; `RecipeError` for an unknown
    mode.
    """
    pick(MODES, mode, "mode")
    pixels = colours(picture, LEAST_PX)
    luma = linear_luma(pixels)
    edges, last_scale, found = edge_scales(luma)
    if not edges.any():
        raise PictureError(
            "The picture has no clear edge anywhere, so EBDB has nothing to tell its blur by;"
            " give a picture with visible outlines."
        )
    sigma_px = along_contours(edges, edge_blur(luma, edges, last_scale, disc), found)
    return torch.from_numpy(_propagated(sigma_px, edges, pixels))


def edge_scales(luma: Array) -> tuple[Mask, Counts, Counts]:
    """Find the reliable edges of a luminance H W.

    Returns:
        Where they are, H W; and for each of the N edges the last of `SCALES` before it first disappears (its place, 3
        to 8), and at how many scales it is found.
    """
    found = np.stack([canny(luma, float(scale)) for scale in SCALES])  # 9 H W
    edges: Mask = np.logical_and.reduce(found[:SCALES_NEEDED])
    at_edges = found[:, edges]  # 9 N
    last: Counts = np.cumprod(at_edges, axis=0, dtype=np.int64).sum(axis=0) - 1
    return edges, last, at_edges.sum(axis=0)


def canny(luma: Array, scale: float) -> Mask:
    """Canny's edges with the automatic thresholds of the authors' tool: a quantile of all slopes, and a share of it."""
    # In float64, so that what is rounded is the picture alone, of which `ROUNDING` is the bound.
    smooth = scipy.ndimage.gaussian_filter(luma.astype(np.float64), scale, mode="nearest")
    down, across = (scipy.ndimage.sobel(smooth, axis=axis) for axis in (0, 1))
    slope = np.hypot(down, across)
    histogram, borders = np.histogram(slope, bins=SLOPE_BINS, range=(0, max(float(slope.max()), LEAST_SLOPE)))
    enough = int(np.argmax(np.cumsum(histogram) > HIGH_SHARE * slope.size))
    high = max(float(borders[enough + 1]), LEAST_SLOPE)
    # Where most slopes are the greatest, `high` is the greatest one itself, which only its own last bit would reach.
    thin = _crests(down, across, slope, LOW_OF_HIGH * high - ROUNDING)
    labels, count = scipy.ndimage.label(thin, np.ones((3, 3)))
    strong = np.zeros(count + 1, dtype=bool)
    strong[labels[thin & (slope >= high - ROUNDING)]] = True
    edges: Mask = strong[labels]
    return edges


def _crests(down: Slopes, across: Slopes, slope: Slopes, least: float) -> Mask:
    """Where the `slope` H W is at least `least` and no smaller than before and behind, one pixel along its direction.

    That is never on the border. Between pixels the slope is interpolated.
    """
    width = slope.shape[1]
    inner = np.zeros(slope.shape, dtype=bool)
    inner[1:-1, 1:-1] = slope[1:-1, 1:-1] >= least
    places = np.flatnonzero(inner)
    steps_down, steps_across = down.flat[places], across.flat[places]
    one_down, one_across = (np.where(step < 0, -1, 1) for step in (steps_down, steps_across))
    sizes = np.abs(steps_down), np.abs(steps_across)
    straight = np.where(sizes[0] > sizes[1], one_down * width, one_across)
    slant = np.minimum(*sizes) / np.maximum(*sizes)
    stands = np.ones(len(places), dtype=bool)
    for way in (1, -1):
        ahead = slope.flat[places + way * straight]
        aslant = slope.flat[places + way * (one_down * width + one_across)]
        stands &= slope.flat[places] + ROUNDING >= ahead + slant * (aslant - ahead)
    crests = np.zeros(slope.shape, dtype=bool)
    crests.flat[places[stands]] = True
    return crests


def edge_blur(luma: Array, edges: Mask, last_scale: Counts, disc: bool = False) -> Array:
    """Blur in pixels of each edge pixel, N, from 0 to 5, in the order of `edges` (H W) read by rows."""
    seconds_px = SECOND_OF_SCALE * SCALES
    sigma_px = np.zeros(len(last_scale), dtype=np.float32)
    for place in np.unique(last_scale):
        second_px = float(seconds_px[place])
        radius = 2 * math.ceil(2 * second_px) + 1
        chosen = last_scale == place
        first, second = (_slope(luma, scale, radius)[edges][chosen] for scale in (FIRST_PX, second_px))
        # In the middle of an even ramp the two are equal: blur without end, but for a last bit that makes it none.
        equal = np.abs(first - second) <= ROUNDING_PER_PX
        ratio = np.where(equal, np.nextafter(1, 2), first / np.maximum(second, np.finfo(np.float32).tiny))
        sigma_px[chosen] = blur_from_ratio(ratio, second_px)
        if disc:
            radii, responses = disc_response(second_px)
            sigma_px[chosen] = np.interp(sigma_px[chosen], responses, radii / 2)
    return np.minimum(sigma_px, np.float32(MOST_PX))


def _slope(luma: Array, scale: float, radius: int) -> Slopes:
    exact = luma.astype(np.float64)
    down, across = (
        scipy.ndimage.gaussian_filter(exact, scale, order=order, radius=radius, mode="reflect")
        for order in ((1, 0), (0, 1))
    )
    slope: Slopes = np.hypot(down, across)
    return slope


def blur_from_ratio(ratio: Array | Slopes, second_px: float) -> Array:
    """Return sigma in pixels of a Gaussian edge whose slope at scale 1 is `ratio` times that at `second_px`.

    It is 0 where no Gaussian gives such a ratio.
    """
    square = ratio.astype(np.float64) ** 2
    excess = np.maximum(square - 1, LEAST_EXCESS)
    variance = np.where(square > 1, (second_px**2 - square * FIRST_PX**2) / excess, 0)
    return np.sqrt(np.maximum(variance, 0)).astype(np.float32)


@lru_cache(maxsize=len(SCALES))
def disc_response(second_px: float) -> tuple[Array, Array]:
    """Radii of discs in pixels, and the sigma that `blur_from_ratio` finds for an edge blurred by each.

    The line spread of a disc of radius r is a half ellipse; smoothed by a Gaussian of s, its middle has the height
    exp(-z) (I0(z) + I1(z)) / (s sqrt(2 pi)), with z = r^2 / 4 s^2 and modified Bessel functions I.
    """
    radii = np.arange(0, 40, 0.05)
    first, second = (_disc_slope(radii, scale) for scale in (FIRST_PX, second_px))
    responses = blur_from_ratio((first / second).astype(np.float32), second_px)
    return radii.astype(np.float32), np.maximum.accumulate(responses)


def _disc_slope(radii: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    z = radii**2 / (4 * scale**2)
    return np.asarray((scipy.special.ive(0, z) + scipy.special.ive(1, z)) / scale)


def along_contours(edges: Mask, values: Array, found: Counts) -> Array:
    """Smooth `values`, N, along every 8-connected edge.

    The result x minimises the sum, over all edge pixels i, of
    (1 + found_i) (x_i - values_i)^2 + `SMOOTHNESS` sum over neighbours j of (x_i - x_j)^2. Each pair of
    neighbours is in the sum twice, once from either end. No edge has a say in another.
    """
    ones, others = _neighbouring_pairs(edges)
    count, pairs = len(values), len(ones)
    difference = scipy.sparse.csr_array(
        (np.repeat([1.0, -1.0], pairs), (np.tile(np.arange(pairs), 2), np.concatenate([ones, others]))),
        shape=(pairs, count),
    )
    trust = 1.0 + found
    system = scipy.sparse.diags_array(trust) + 2 * SMOOTHNESS * (difference.T @ difference)
    smooth = scipy.sparse.linalg.spsolve(system.tocsc(), trust * values, permc_spec="MMD_AT_PLUS_A")
    return np.asarray(smooth, dtype=np.float32)


def _neighbouring_pairs(edges: Mask) -> tuple[Counts, Counts]:
    """Both ends of all pairs of edge pixels that touch, as their places among the edge pixels."""
    numbers = np.full(edges.shape, -1, dtype=np.int64)
    numbers[edges] = np.arange(np.count_nonzero(edges))
    padded = np.pad(numbers, 1, constant_values=-1)
    height, width = edges.shape
    ends = []
    for down, right in NEIGHBOURS:
        other = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        both = edges & (other >= 0)
        ends.append((numbers[both], other[both]))
    ones, others = (np.concatenate(side) for side in zip(*ends, strict=True))
    return ones, others


def _propagated(sigma_px: Array, edges: Mask, pixels: Array) -> Array:
    """The values of the edges, spread over the whole picture: H W."""
    values = np.zeros(edges.shape, dtype=np.float32)
    values[edges] = sigma_px
    guide = domain_transform(pixels, pixels, GUIDE_SMOOTHING_PX, GUIDE_COLOUR_RANGE, PROPAGATION_ITERATIONS)
    spatial_px = min(edges.shape) * SPREAD_OF_SIDE
    return spread(values, edges, guide, spatial_px, SPREAD_COLOUR_RANGE, PROPAGATION_ITERATIONS).clip(0, MOST_PX)

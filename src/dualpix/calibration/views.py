"""What two views show without the sharp picture: disparity, shading, noise, and the loss by lossy coding.

Views are display-encoded, one channel (green), H x W in [0, 1]; light is what `Tone.decode` makes of them.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.calibration.fit import BLOCK_PX, BLOCKS, robust_fit, windows
from dualpix.simulation.coding import as_jpeg
from dualpix.simulation.sensor import Tone

REACH_PX = 16
MIN_CORRELATION = 0.8
MIN_DEVIATION = 2 / 255
FLAT_PX = 16
FLAT_SHARE = 0.15
LEVELS = 12
QUALITIES = (40, 50, 60, 70, 80, 85, 90, 95, 98)
RESAMPLES = 40
# Immerkaer (1996): 0 for planes and for edges along rows and columns; white noise keeps its variance.
RESIDUAL = torch.tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6


@dataclass(frozen=True)
class Line:
    """Opposite shading, as in `simulation.sensor.Sensor`: right over left is (1 + m x + b) / (1 - m x - b).

    All numbers are NaN if there are too few blocks.

    Attributes:
        tilt: m, at the sides of the frame.
        offset: b, half the relative difference of exposure.
        tilt_error: Uncertainty of m, from the scatter of the blocks.
        blocks: How many blocks were used.
    """

    tilt: float
    offset: float
    tilt_error: float
    blocks: int


@dataclass(frozen=True)
class Noise:
    """Noise of one view: variance = shot x + read^2 for light x in [0, 1].

    Attributes:
        shot: Variance of shot noise at white.
        read: Standard deviation of read noise.
        shot_range: 10th and 90th percentile over bootstrap samples of the blocks.
        read_range: The same for `read`.
        blocks: How many blocks were used.
    """

    shot: float
    read: float
    shot_range: tuple[float, float]
    read_range: tuple[float, float]
    blocks: int


def match_rows(left: Tensor, right: Tensor) -> Tensor:
    """Match windows of 96 px, 32 px apart, by normalised correlation along rows.

    A parabola through the peak gives an accuracy of 0.05 px on textures.

    Args:
        left: Left view, H x W in [0, 1].
        right: Right view, of the same size.

    Returns:
        Disparity x_R - x_L in pixels, h x w; NaN where it could not be determined.
    """
    size = BLOCK_PX * BLOCKS
    inner = left[:, REACH_PX:-REACH_PX]
    if min(inner.shape) < size:
        return left.new_zeros(0, 0, dtype=torch.float64)
    mean, power = windows(torch.stack([inner, inner * inner]))
    spread = (power - mean**2).clamp_min(0).sqrt()
    scores = []
    for shift in range(2 * REACH_PX + 1):
        other = right[:, shift : shift + inner.shape[1]]
        there, square, product = windows(torch.stack([other, other * other, inner * other]))
        deviation = (square - there**2).clamp_min(0).sqrt()
        scores.append((product - mean * there) / (spread * deviation).clamp_min(1e-9))
    score = torch.stack(scores)
    height, index = score.max(0)
    known = (index > 0) & (index < 2 * REACH_PX) & (height > MIN_CORRELATION) & (spread > MIN_DEVIATION)
    middle = index.clamp(1, 2 * REACH_PX - 1)
    before, at, after = (score.gather(0, (middle + k)[None])[0] for k in (-1, 0, 1))
    peak = middle + 0.5 * (after - before) / (2 * at - before - after).clamp_min(1e-9)
    return torch.where(known, peak - REACH_PX, torch.nan)


def fit_shading(left: Tensor, right: Tensor) -> Line:
    """Fit the opposite shading of the two views to the means of unclipped blocks.

    Args:
        left: Left view in linear light, H x W.
        right: Right view, of the same size.
    """
    a, b = (F.avg_pool2d(view[None], BLOCK_PX)[0].double() for view in (left, right))
    highest = F.max_pool2d(torch.maximum(left, right)[None], BLOCK_PX)[0]
    usable = (torch.minimum(a, b) > 0.005) & (highest < 0.95)
    ratio = ((b - a) / (a + b))[usable]
    width = left.shape[1]
    x = ((torch.arange(a.shape[1]) + 0.5) * BLOCK_PX / width * 2 - 1).double().expand(a.shape)[usable]
    if len(ratio) < 12:
        return Line(float("nan"), float("nan"), float("nan"), len(ratio))
    sources = torch.stack([x, torch.ones_like(x)], 1)
    tilt, offset = robust_fit(sources, ratio, 0.01)
    scatter = float((ratio - sources @ torch.stack([tilt, offset])).abs().median()) / 0.6745
    return Line(float(tilt), float(offset), 1.28 * scatter / (float(x.std()) * len(x) ** 0.5), len(x))


def fit_noise(left: Tensor, right: Tensor, tone: Tone, depth: int) -> Noise | None:
    """Estimate the noise of one view from the flattest blocks of 16 px at every brightness.

    Blocks are chosen by their smoothed texture, so that the choice does not favour blocks with little noise. The
    variance of rounding is subtracted.

    Args:
        left: Left view, display-encoded, H x W.
        right: Right view, of the same size.
        tone: The display encoding.
        depth: Bits per channel of the files.

    Returns:
        None if there are no flat blocks.
    """
    lights, variances = zip(*(_flat_blocks(view, tone, depth) for view in (left, right)), strict=True)
    light, variance = torch.cat(lights), torch.cat(variances)
    if len(light) < 2 * LEVELS:
        return None
    shot, read = _line(light, variance)
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randint(len(light), (len(light),), generator=generator) for _ in range(RESAMPLES)]
    spread = torch.tensor([_line(light[draw], variance[draw]) for draw in draws])
    ranges = [tuple(spread[:, i].quantile(torch.tensor([0.1, 0.9])).tolist()) for i in (0, 1)]
    return Noise(shot, read, ranges[0], ranges[1], len(light))


def _flat_blocks(view: Tensor, tone: Tone, depth: int) -> tuple[Tensor, Tensor]:
    """Light and its variance in the flattest blocks at each brightness."""
    residual = F.conv2d(view[None, None], RESIDUAL[None, None])[0, 0]
    power = F.avg_pool2d(residual.square()[None, :-2, :-2], FLAT_PX)[0].flatten().double()
    inner = view[2:-2, 2:-2]
    mean = F.avg_pool2d(inner[None], FLAT_PX)[0].flatten()[: len(power)]
    smooth = F.avg_pool2d(view[None, None], 5, 1)[0, 0]
    level, square = F.avg_pool2d(torch.stack([smooth, smooth**2]), FLAT_PX).flatten(1)
    texture = square - level**2
    usable = (mean > 0.06) & (mean < 0.94)
    mean, power, texture = mean[usable], power[usable], texture[usable]
    flat = torch.zeros_like(usable[usable])
    for level in range(LEVELS):
        here = ((mean * LEVELS).long() == level).nonzero()[:, 0]
        count = int(len(here) * FLAT_SHARE)
        flat[here[texture[here].argsort()[:count]]] = True
    mean, power = mean[flat], power[flat]
    step = 1 / 512
    slope = ((tone.decode(mean + step) - tone.decode(mean - step)) / (2 * step)).double()
    rounding = 1 / (12 * (2**depth - 1) ** 2)
    return tone.decode(mean).double(), (power - rounding).clamp_min(0) * slope**2


def _line(light: Tensor, variance: Tensor) -> tuple[float, float]:
    """Shot and read noise: a line through the medians at every brightness, weighted by the inverse of the variances."""
    edges = light.quantile(torch.linspace(0, 1, LEVELS + 1, dtype=light.dtype))
    index = torch.bucketize(light, edges[1:-1])
    x = torch.stack([light[index == i].median() for i in range(LEVELS) if bool((index == i).any())])
    y = torch.stack([variance[index == i].median() for i in range(LEVELS) if bool((index == i).any())])
    weight = 1 / (y + 0.05 * y.mean() + 1e-15)
    sources = torch.stack([x, torch.ones_like(x)], 1) * weight[:, None]
    shot, square = torch.linalg.lstsq(sources, (y * weight)[:, None]).solution[:, 0].tolist()
    if shot < 0:
        return 0.0, float((y * weight).sum() / weight.sum()) ** 0.5
    if square < 0:
        return float((y * weight * x * weight).sum() / (x * weight).square().sum()), 0.0
    return abs(shot), square**0.5


def coding_error(left: Tensor, right: Tensor, disparity: Tensor) -> float | None:
    """Root mean square error of one view, in display values, by whatever differs between the two views in focus.

    It includes noise as well as the loss by coding.

    Args:
        left: Left view, H x W.
        right: Right view, of the same size.
        disparity: From `match_rows`; windows without disparity are used.

    Returns:
        None if there are no such windows.
    """
    still = disparity.abs() < 0.08
    if int(still.sum()) < 4:
        return None
    inner = (left - right)[:, REACH_PX:-REACH_PX]
    mean, power = windows(torch.stack([inner, inner * inner]))
    # Half of the variance of the difference belongs to each view; the lower quartile has the least remaining disparity.
    return math.sqrt(max(0.0, float(((power - mean**2) / 2)[still].quantile(0.25))))


def equal_quality(view: Tensor, disparity: Tensor, error: float) -> float | None:
    """The JPEG quality at which coding this view would cause a given error, whatever codec really was used.

    An upper bound: the view may have lost its finest detail already, and errors that both views share are not seen. The
    view is encoded again on a shifted block grid, so that its own JPEG coding does not make the errors smaller.

    Args:
        view: 3 x H x W, display-encoded.
        disparity: From `match_rows`; windows without disparity are used.
        error: From `coding_error`.

    Returns:
        The quality, 40 to 98; None if even the highest causes more.
    """
    still = disparity.abs() < 0.08
    clear = view[:, 4:, 4 + REACH_PX : -REACH_PX]
    errors = []
    for quality in QUALITIES:
        wrong = (as_jpeg(clear, quality, "444") - clear)[1]
        power = F.pad(wrong.square(), (4, 0, 4, 0))
        errors.append(float(windows(power[None])[0][still].quantile(0.25)) ** 0.5)
    if error < errors[-1]:
        return None
    worse = [i for i, each in enumerate(errors) if each >= error]
    if not worse:
        return float(QUALITIES[0])
    i = worse[-1]
    share = (errors[i] - error) / max(errors[i] - errors[i + 1], 1e-12) if i + 1 < len(errors) else 0.0
    return QUALITIES[i] + share * (QUALITIES[min(i + 1, len(errors) - 1)] - QUALITIES[i])

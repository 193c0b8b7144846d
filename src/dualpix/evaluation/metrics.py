"""How near a picture is to the truth: functions of (output, target) giving one number, and protocols to use them by.

Pictures are C H W or B C H W tensors in [0, 1], both of one shape; a batch gives the mean of its pictures' values.
Everything is computed in float64 over every pixel and channel, with no border cut off and nothing clipped; clipping and
rounding are part of a `Protocol`, because they change the numbers.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dualpix.errors import DualpixError, how_to_install
from dualpix.machine.modes import settled
from dualpix.plugins import Guarded, Table, in_words
from dualpix.tables import pick

C1 = 0.01**2
C2 = 0.03**2
UNIFORM_SIZE = 7
GAUSS_SIZE = 11
GAUSS_SIGMA = 1.5
FIT_ERROR = 1e-6  # what a fit of equal pictures may leave; a step of sixteen bits is fifteen times as large
FIT_STRIDE = 7  # every seventh pixel fixes twelve numbers well enough


@settled()
def psnr(output: Tensor, target: Tensor) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1, from the mean square over all pixels and channels.

    Infinite for equal pictures. For a batch, the mean of each picture's value, as every paper on DPDD reports it; see
    `mean_decibels`.

    Example:
        >>> round(psnr(torch.full((3, 8, 8), 0.5), torch.full((3, 8, 8), 0.6)), 3)
        20.0
    """
    outputs, targets = _pictures(output, target)
    return mean_decibels([_decibels(x, y) for x, y in zip(outputs, targets, strict=True)])


@settled()
def psnr_fitted(output: Tensor, target: Tensor) -> float:
    """PSNR in dB after the least-squares affine change of colour (3 x 4 for RGB) of the output to the target.

    The two shots of a DPDD scene differ in exposure by a few levels, which a network that never saw DPDD cannot know.
    The fit uses every seventh pixel in row order and its result is clipped to [0, 1]. Infinite where it makes the
    pictures equal.
    """
    outputs, targets = _pictures(output, target)
    return mean_decibels([_fitted_decibels(x, y) for x, y in zip(outputs, targets, strict=True)])


def _fitted_decibels(x: Tensor, y: Tensor) -> float:
    fitted = _colour_fit(x, y)
    return math.inf if float((fitted - y).abs().max()) < FIT_ERROR else _decibels(fitted, y)


@settled()
def mae(output: Tensor, target: Tensor) -> float:
    """Mean absolute error over all pixels and channels, on the [0, 1] scale."""
    outputs, targets = _pictures(output, target)
    return float((outputs - targets).abs().mean())


@settled()
def ssim(output: Tensor, target: Tensor) -> float:
    """Structural similarity by the DPDD protocol: 7 x 7 uniform window, sample covariance, mean over the RGB channels.

    The same as `structural_similarity(..., channel_axis=..., data_range=1)` of scikit-image, which the authors of DPDD
    and all who compare with them use: windows that cross the border are left out of the mean.
    Raises ValueError for pictures below 7 x 7.
    """
    window = torch.full((UNIFORM_SIZE,), 1 / UNIFORM_SIZE, dtype=torch.float64)
    pixels = UNIFORM_SIZE**2
    return _structural_similarity(output, target, window, pixels / (pixels - 1))


@settled()
def ssim_wang(output: Tensor, target: Tensor) -> float:
    """Structural similarity of Wang et al. (TIP 2004): 11 x 11 Gaussian window, sigma 1.5, mean over the RGB channels.

    Not comparable with `ssim`: on a blurred photograph the two differ by 0.01, a whole step between published methods.
    Raises ValueError for pictures below 11 x 11.
    """
    offset = torch.arange(GAUSS_SIZE, dtype=torch.float64) - GAUSS_SIZE // 2
    window = torch.softmax(-(offset**2) / (2 * GAUSS_SIGMA**2), dim=0)
    return _structural_similarity(output, target, window, 1.0)


@settled()
def lpips(output: Tensor, target: Tensor) -> float:
    """Learned perceptual distance (Zhang et al., CVPR 2018) with AlexNet, version 0.1: 0 for equal pictures.

    RGB only, 32 pixels a side or more. Needs the extra `lpips` and, once, a network connection for AlexNet's weights;
    raises `DualpixError` without them.
    """
    outputs, targets = _pictures(output, target)
    network = alexnet_lpips()
    with torch.no_grad():
        distance: Tensor = network(outputs.float() * 2 - 1, targets.float() * 2 - 1)
    return float(distance.mean())


Metric = Callable[[Tensor, Tensor], float]


def _number(made: Any, *pictures: Tensor) -> float:
    """What a metric of another package gave, as a float, which it must be but for its type."""
    count = made.numel() if isinstance(made, Tensor) else made.size if isinstance(made, np.ndarray | np.generic) else 1
    if not isinstance(made, Real | Tensor | np.ndarray | np.generic) or count != 1:
        raise TypeError(f"it gives {in_words(made)} and not a number")
    if math.isnan(value := float(made)):
        raise ValueError("it gives NaN")
    return value


METRICS: Table[Metric] = Table(
    "metrics",
    {
        "psnr": psnr,
        "psnr-fitted": psnr_fitted,
        "ssim": ssim,
        "ssim-wang": ssim_wang,
        "mae": mae,
        "lpips": lpips,
    },
    guard=partial(Guarded, check=_number),
)


@dataclass(frozen=True)
class Protocol:
    """What has to be equal for two scores to be comparable.

    bits: both pictures are clipped to [0, 1] and rounded to this depth before they are compared.
    ssim: the name in `METRICS` of the SSIM it uses.
    words: all of it for the header of a table.
    """

    bits: int
    ssim: str
    words: str

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names in `METRICS`, in the order of a table's columns."""
        return ("psnr", "psnr-fitted", self.ssim, "mae")


PROTOCOLS: dict[str, Protocol] = {
    "dpdd-16bit": Protocol(16, "ssim", "16-bit sRGB, all pixels, SSIM with a 7 x 7 uniform window over RGB"),
    "dpdd-8bit": Protocol(8, "ssim", "8-bit sRGB, all pixels, SSIM with a 7 x 7 uniform window over RGB"),
    "wang": Protocol(8, "ssim-wang", "8-bit sRGB, all pixels, SSIM with an 11 x 11 Gaussian window over RGB"),
}


def measure(
    output: Tensor, target: Tensor, protocol: str = "dpdd-16bit", extra: Sequence[str] = ()
) -> dict[str, float]:
    """Return all metrics of a protocol, and further ones, by their names in `METRICS`.

    Args:
        output: The picture to be scored, C H W or B C H W in [0, 1].
        target: The truth, of the same shape.
        protocol: A name in `PROTOCOLS`.
        extra: Names in `METRICS`.

    Raises:
        RecipeError: There is no such protocol or metric.
        ValueError: The shapes differ, or a pixel is not finite.

    Example:
        >>> from dualpix import read_picture
        >>> blurred, sharp = read_picture("left.png").pixels, read_picture("sharp.png").pixels
        >>> scores = measure(blurred, sharp, "dpdd-8bit")
        >>> list(scores)
        ['psnr', 'psnr-fitted', 'ssim', 'mae']
        >>> scores["ssim"] < measure(sharp, sharp, "dpdd-8bit")["ssim"]
        True
    """
    rules = pick(PROTOCOLS, protocol, "protocol")
    names = dict.fromkeys((*rules.metrics, *extra))
    x, y = quantise(output, rules.bits), quantise(target, rules.bits)
    return {name: pick(METRICS, name, "metric")(x, y) for name in names}


def quantise(picture: Tensor, bits: int) -> Tensor:
    """`picture` in float64 as a file of that depth would hold it: clipped to [0, 1], rounded to 2^bits - 1 steps."""
    if not torch.isfinite(picture).all():
        raise ValueError("A picture to be scored has pixels that are NaN or infinite.")
    peak = (1 << bits) - 1
    return (picture.double().clamp(0, 1) * peak).round() / peak


def _pictures(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64 B C H W."""
    if output.shape != target.shape or output.ndim not in (3, 4) or output.numel() == 0:
        raise ValueError(
            "A metric compares two C H W or B C H W tensors of one shape,"
            f" not {tuple(output.shape)} and {tuple(target.shape)}."
        )
    shape = (-1, *output.shape[-3:])
    return output.detach().double().reshape(shape), target.detach().double().reshape(shape)


def mean_decibels(values: Sequence[float]) -> float:
    """Return the mean of the values in dB of several pictures.

    Those equal to their targets, which would make it infinite, are left out; it is infinite if all are.
    """
    finite = [value for value in values if value != math.inf]
    return _mean(finite) if finite else math.inf


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _decibels(x: Tensor, y: Tensor) -> float:
    return float(-10 * torch.log10((x - y).square().mean()))


def _colour_fit(x: Tensor, y: Tensor) -> Tensor:
    """C H W both: the affine change of x's colours that is nearest to y, clipped."""
    colours = x.flatten(1).T  # HW C
    ones = torch.ones(len(colours), 1, dtype=x.dtype, device=x.device)
    known = torch.cat([colours, ones], dim=1)
    # The driver that copes with a picture of fewer colours than unknowns exists on the CPU only.
    few, wanted = known[::FIT_STRIDE].cpu(), y.flatten(1).T[::FIT_STRIDE].cpu()
    fit: Tensor = torch.linalg.lstsq(few, wanted, driver="gelsd").solution.to(x.device)
    return (known @ fit).T.reshape(x.shape).clamp(0, 1)


def _structural_similarity(output: Tensor, target: Tensor, window: Tensor, unbias: float) -> float:
    """Mean SSIM; `window` is one side of a separable window, `unbias` turns its covariances into the wanted ones."""
    outputs, targets = _pictures(output, target)
    if min(outputs.shape[-2:]) < len(window):
        height, width = outputs.shape[-2:]
        side = f"{len(window)} x {len(window)}"
        raise ValueError(f"This SSIM needs pictures of {side} pixels or more, not {height} x {width}.")
    values = []
    for x, y in zip(outputs.flatten(0, 1), targets.flatten(0, 1), strict=True):  # one plane at a time saves memory
        maps = torch.stack([x, y, x * x + y * y, x * y])  # 4 H W
        mean_x, mean_y, mean_squares, mean_product = _local_means(maps, window)
        product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        covariance, variances = unbias * (mean_product - product), unbias * (mean_squares - squares)
        local = (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
        values.append(float(local.mean()))
    return _mean(values)


def _local_means(maps: Tensor, window: Tensor) -> Tensor:
    """Weighted means over every whole window, by shifted sums: in float64 five times faster than a convolution."""
    for axis in (-2, -1):
        length = maps.shape[axis] - len(window) + 1
        total = maps.narrow(axis, 0, length) * float(window[0])
        for shift in range(1, len(window)):
            total.add_(maps.narrow(axis, shift, length), alpha=float(window[shift]))
        maps = total
    return maps


@lru_cache(maxsize=1)
def alexnet_lpips() -> Any:
    """Return the network of `lpips`, loaded once."""
    try:
        import lpips as package
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision made for another torch
        raise DualpixError(
            f"The metric lpips needs an optional package that cannot be imported ({error}); install it with:"
            f" {how_to_install('lpips')}."
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls torchvision by names that are on their way out
        try:
            return package.LPIPS(net="alex", version="0.1", verbose=False).eval()
        except OSError as error:
            raise DualpixError(
                f"The metric lpips needs AlexNet's weights, which could not be downloaded ({error}); connect to the"
                " internet once, or leave lpips out."
            ) from error

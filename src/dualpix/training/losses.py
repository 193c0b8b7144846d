"""Training losses: functions of (output, target), both B C H W in [0, 1], giving one number to make small.

All compute in float32 whatever they are given: MS-SSIM subtracts nearly equal numbers, which bfloat16 cannot.

The paper (MCCNet, section 3.5) trains with "mix": Charbonnier and MS-SSIM with equal weight, after Zhao et al.,
"Loss functions for image restoration with neural networks", IEEE TCI 2017.
"""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.plugins import Guarded, Table, in_words

WANG_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first; Wang, Simoncelli, Bovik, 2003
GAUSS_SIZE = 11
GAUSS_SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2
SMALLEST_SIMILARITY = 1e-6  # a power below one has no finite slope at zero
FOURIER_SHARE = 0.05
SOBEL_SCALES = {3: 1 / 2, 7: 1 / 100, 11: 1 / 12096}  # by the kernel's side
SOBEL_ACROSS, SOBEL_DOWN = 0.03, 0.02


def charbonnier(output: Tensor, target: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(x^2 + epsilon^2) over all pixels and channels (equation 1 of the paper); `epsilon` when equal.

    Example:
        >>> charbonnier(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.5))
        tensor(0.5000)
    """
    difference = _float32_difference(output, target)
    return torch.sqrt(difference * difference + epsilon * epsilon).mean()


def ms_ssim(output: Tensor, target: Tensor) -> Tensor:
    """Multi-scale structural similarity, mean over the batch: at most 1, and 1 when the pictures are equal.

    Wang, Simoncelli and Bovik, 2003: 11 x 11 Gaussian window of sigma 1.5 with no padding, scales a 2 x 2 mean apart,
    contrast-structure at every scale and luminance at the coarsest only, negative means cut off at (almost) zero.
    Five scales need both sides to be 176 pixels or more. A smaller picture uses the scales that still hold a whole
    window (128 pixels: four), their weights divided by their sum, instead of inventing pixels beyond the border.
    Raises ValueError when not even one window fits (a side below 11 pixels).
    """
    _check(output, target)
    scales = _scales_that_fit(min(output.shape[-2:]))
    weights = _constant(WANG_WEIGHTS[:scales], output.device)
    with torch.autocast(output.device.type, enabled=False):
        x, y = output.float(), target.float()
        similarities = []
        for scale in range(scales):
            luminance, structure = _luminance_and_structure(x, y)
            last = scale == scales - 1
            per_picture = (luminance * structure if last else structure).mean(dim=(1, 2, 3))  # B
            similarities.append(per_picture.clamp(min=SMALLEST_SIMILARITY))
            if not last:
                x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        stacked = torch.stack(similarities, dim=-1)  # B scales
        return torch.pow(stacked, weights / weights.sum()).prod(dim=-1).mean()


def ms_ssim_loss(output: Tensor, target: Tensor) -> Tensor:
    """1 - `ms_ssim`."""
    return 1 - ms_ssim(output, target)


def mix(output: Tensor, target: Tensor) -> Tensor:
    """Charbonnier + (1 - MS-SSIM), equal weight: the loss of the paper."""
    return charbonnier(output, target) + ms_ssim_loss(output, target)


def mix_ssim(output: Tensor, target: Tensor) -> Tensor:
    """`mix`, but half of 1 - MS-SSIM replaced by half of 1 - SSIM: Charbonnier + (1 - MS-SSIM) / 2 + (1 - SSIM) / 2.

    Of MS-SSIM's weight less than a twentieth lies on the finest scale, where blur hides most, and which SSIM is about.
    SSIM is Wang et al.'s of 2004 (11 x 11 Gaussian window of sigma 1.5, no padding). Raises ValueError for a side below
    11 pixels.
    """
    return charbonnier(output, target) + 0.5 * ms_ssim_loss(output, target) + 0.5 * _ssim_loss(output, target)


def mix_ssim_near(output: Tensor, target: Tensor) -> Tensor:
    """`mix_ssim` against the target where it fits best, among half a pixel to each of four sides and as it is.

    Where exactly a blurred surface lies cannot be known to a fraction of a pixel, for kernels are not even; what cannot
    be known would be learnt as blur. The choice is made for windows of 16 pixels, and carries no gradient.
    """
    _check(output, target)
    return mix_ssim(output, _nearest(output.detach().float(), target.float()))


def mix_ssim_calm(output: Tensor, target: Tensor) -> Tensor:
    """`mix_ssim`, and a penalty on contrast that the target does not have: stripes and worms where detail is lost.

    Contrast is the deviation under a Gaussian window of 11 pixels, of what is finer than 5 x 5 pixels; half of what
    exceeds the target's is added.
    """
    return mix_ssim(output, target) + 0.5 * (_contrast(output) - _contrast(target)).clamp_min(0).mean()


def _nearest(output: Tensor, target: Tensor) -> Tensor:
    """For each window of 16 pixels the best of `target` as it is and half a pixel to the four sides."""
    half = _constant((3.0, -25.0, 150.0, 150.0, -25.0, 3.0), target.device) / 256  # Lagrange, order 5
    shifted = [target]
    with torch.autocast(target.device.type, enabled=False):
        for first in (2, 3):
            across = F.pad(target, (first, 5 - first, 0, 0), mode="replicate").flatten(0, 1)[:, None]
            down = F.pad(target, (0, 0, first, 5 - first), mode="replicate").flatten(0, 1)[:, None]
            shifted.append(F.conv2d(across, half.view(1, 1, 1, -1)).view(target.shape))
            shifted.append(F.conv2d(down, half.view(1, 1, -1, 1)).view(target.shape))
    errors = torch.stack([F.avg_pool2d((output - one).abs().mean(1, keepdim=True), 16, 16) for one in shifted])
    best = F.interpolate(errors.argmin(0).float(), target.shape[-2:]).long()  # B 1 H W
    return torch.stack(shifted).gather(0, best[None].expand(1, *target.shape))[0]


def _contrast(picture: Tensor) -> Tensor:
    with torch.autocast(picture.device.type, enabled=False):
        luma = picture.float().mean(1, keepdim=True)
        fine = luma - F.avg_pool2d(luma, 5, 1, 2, count_include_pad=False)
        return (_gaussian(fine * fine).clamp_min(0) + 1e-6).sqrt()


def fourier(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the real and imaginary parts of the two Fourier transforms.

    The transform keeps energy (it is divided by sqrt(H W)), so noise gives a value like its mean absolute error
    whatever the crop, while an error in few frequencies, which is what blur leaves, is not averaged away by its phase.
    """
    difference = _float32_difference(output, target)
    with torch.autocast(output.device.type, enabled=False):
        return torch.view_as_real(torch.fft.rfft2(difference, norm="ortho")).abs().mean()


def charbonnier_fourier(output: Tensor, target: Tensor) -> Tensor:
    """Charbonnier + 0.05 sqrt(H W) `fourier`, that is 0.05 of the plain, undivided transform's difference.

    Published deblurring networks weight the plain transform by 0.01 to 0.1 (MIMO-UNet, ICCV 2021: 0.1); at 128 x 128
    pixels 0.05 makes the Fourier part about six times the Charbonnier part.
    """
    height, width = output.shape[-2:]
    share = FOURIER_SHARE * math.sqrt(height * width)
    return charbonnier(output, target) + share * fourier(output, target)


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean of the squared differences."""
    return _float32_difference(output, target).square().mean()


def mae(output: Tensor, target: Tensor) -> Tensor:
    """Mean of the absolute differences."""
    return _float32_difference(output, target).abs().mean()


def edges(output: Tensor, target: Tensor) -> Tensor:
    """`mse` and, added to it, that of the edges at three scales: RDPD's loss (Abuolaim et al., ICCV 2021).

    Edges are responses of Sobel kernels of 3, 7 and 11 pixels, scaled by 1/2, 1/100 and 1/12096 and weighted by 0.03
    across and 0.02 down, without padding. The authors' code takes the kernels of 3 again in place of those of 7, and
    the edges of the first picture of a batch only; here all count. Raises ValueError for a side below 11 pixels.
    """
    difference = _float32_difference(output, target)
    largest = max(SOBEL_SCALES)
    if min(difference.shape[-2:]) < largest:
        raise ValueError(f"The edges need pictures of {largest} x {largest} pixels or more.")
    with torch.autocast(output.device.type, enabled=False):
        responses = [_sobel(difference, side) * scale for side, scale in SOBEL_SCALES.items()]
        return difference.square().mean() + torch.stack([edge.square().mean() for edge in responses]).sum()


def one_number(made: Any, *given: Any) -> Tensor:
    """What a loss or an objective of another package gave, which must be one number that gradients come from."""
    if not isinstance(made, Tensor) or made.numel() != 1 or not made.is_floating_point():
        raise TypeError(f"it gives {in_words(made)} and not a tensor of one number")
    learns = any(isinstance(one, Tensor) and one.requires_grad for one in given)
    if torch.is_grad_enabled() and learns and not made.requires_grad:
        raise ValueError("it gives a number without a gradient")
    return made


LOSSES: Table[Callable[[Tensor, Tensor], Tensor]] = Table(
    "losses",
    {
        "charbonnier": charbonnier,
        "ms-ssim": ms_ssim_loss,
        "mix": mix,
        "mix-ssim": mix_ssim,
        "mix-ssim-near": mix_ssim_near,
        "mix-ssim-calm": mix_ssim_calm,
        "fourier": fourier,
        "charbonnier-fourier": charbonnier_fourier,
        "mse": mse,
        "mae": mae,
        "edges": edges,
    },
    guard=partial(Guarded, check=one_number),
)


@lru_cache(maxsize=64)
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers on a device: brought there once, since the host waits for a copy of ordinary memory."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)


def _check(output: Tensor, target: Tensor) -> None:
    if output.shape != target.shape or output.ndim != 4:
        raise ValueError(
            f"A loss compares two B C H W tensors of one shape, not {tuple(output.shape)} and {tuple(target.shape)}."
        )


def _float32_difference(output: Tensor, target: Tensor) -> Tensor:
    _check(output, target)
    return output.float() - target.float()


def _sobel(picture: Tensor, side: int) -> Tensor:
    """Weighted derivatives across and down of every plane, B C H W -> B*C 2 H-side+1 W-side+1."""
    smooth = [math.comb(side - 1, k) for k in range(side)]
    narrow = [0, 0, *(math.comb(side - 3, k) for k in range(side - 2)), 0, 0]
    slope = [narrow[k] - narrow[k + 2] for k in range(side)]
    rows, columns = (_constant(tuple(map(float, one)), picture.device).to(picture.dtype) for one in (smooth, slope))
    across, down = SOBEL_ACROSS * torch.outer(rows, columns), SOBEL_DOWN * torch.outer(columns, rows)
    planes = picture.flatten(0, 1)[:, None]  # BC 1 H W
    return F.conv2d(planes, torch.stack([across, down])[:, None])


def _scales_that_fit(side: int) -> int:
    scales = sum(side >> scale >= GAUSS_SIZE for scale in range(len(WANG_WEIGHTS)))
    if scales == 0:
        raise ValueError(f"MS-SSIM needs pictures of {GAUSS_SIZE} x {GAUSS_SIZE} pixels or more; one side is {side}.")
    return scales


def _ssim_loss(output: Tensor, target: Tensor) -> Tensor:
    with torch.autocast(output.device.type, enabled=False):
        luminance, structure = _luminance_and_structure(output.float(), target.float())
        return 1 - (luminance * structure).mean()


def _luminance_and_structure(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The two factors of SSIM, B C H-10 W-10 each; both variances are only needed as a sum, which saves one blur."""
    maps = torch.cat([x, y, x * x + y * y, x * y], dim=1)  # B 4C H W
    mean_x, mean_y, mean_squares, mean_product = _gaussian(maps).chunk(4, dim=1)
    product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    luminance = (2 * product + C1) / (squares + C1)
    structure = (2 * (mean_product - product) + C2) / (mean_squares - squares + C2)
    return luminance, structure


def _gaussian(maps: Tensor) -> Tensor:
    """Weighted local means of every plane, B C H W -> B C H-10 W-10."""
    # One depthwise convolution over batch and channels: on a CPU many times faster than a batch of single planes.
    planes = maps.reshape(1, -1, *maps.shape[-2:])  # 1 BC H W
    count = planes.shape[1]
    offset = torch.arange(GAUSS_SIZE, device=maps.device, dtype=maps.dtype) - GAUSS_SIZE // 2
    window = torch.softmax(-(offset**2) / (2 * GAUSS_SIGMA**2), dim=0)
    down = F.conv2d(planes, window.view(1, 1, -1, 1).expand(count, 1, -1, 1), groups=count)
    both = F.conv2d(down, window.view(1, 1, 1, -1).expand(count, 1, 1, -1), groups=count)
    return both.reshape(*maps.shape[:2], *both.shape[-2:])

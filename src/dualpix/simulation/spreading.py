"""Fast convolution of a few planes with both views' kernels: directly where these are small, or by Fourier transforms.

Most of the simulator's time is spent here. Both methods agree to 1e-6 of the light.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.kernels import Lens, kernels

LANES = 16  # SIMD lanes of a processor: pixels, counted over all views, that one step of a convolution computes
STEP_PX = 64  # window sizes of direct convolutions are rounded up to it: the library compiles code for each new size
UNSEEN = 1e-6  # share of a point's light that may be cut off with the empty rim of its kernel


class Axis(NamedTuple):
    """One axis of a window: its `begin`, counted from the first pixel of the source, and its `length`."""

    begin: int
    length: int


@lru_cache(maxsize=1024)
def trimmed(lens: Lens, blur_px: float, whole: bool = False) -> Tensor:
    """The kernels of `kernels` without the rim that holds next to no light. Do not change them in place.

    Args:
        lens: The shape of the point-spread functions.
        blur_px: Signed blur radius in pixels.
        whole: Give their mean instead, the kernel of the whole aperture.

    Returns:
        2 x K x K, or 1 x K x K if `whole`; K is odd.
    """
    pair = kernels(lens, blur_px)
    if whole:
        pair = pair.mean(0, keepdim=True)
    middle = pair.shape[-1] // 2
    lanes = (pair.sum(1) + pair.sum(2)).amax(0).double()
    rims = (lanes + lanes.flip(0))[:middle].cumsum(0)
    spare = int((rims < UNSEEN).sum())
    return pair[:, spare : pair.shape[-1] - spare, spare : pair.shape[-1] - spare].contiguous()


def spread(planes: Tensor, shares: Tensor | None, pairs: Sequence[Tensor], rows: Axis, columns: Axis) -> Tensor:
    """Multiply planes by shares, convolve each product with its kernels, and sum.

    Args:
        planes: P x H x W.
        shares: N x H x W; None for a single one of 1 everywhere.
        pairs: N kernels of two views, 2 x K x K, or of one, 1 x K x K; K is odd and may differ.
        rows: The rows of the window to be computed.
        columns: Its columns.

    Returns:
        2 x P x h x w, or 1 x P x h x w for kernels of one view.
    """
    side = max(pair.shape[-1] for pair in pairs)
    height, width = planes.shape[1:]
    directly, transformed = _costs_ns(len(pairs), side, (height, width), rows, columns)
    if directly < transformed:
        return _directly(planes, shares, pairs, rows, columns)
    size = _transform_length(height, rows, side // 2), _transform_length(width, columns, side // 2)
    return _by_transforms(planes, shares, pairs, rows, columns, size)


def cost_ns(count: int, side: int, source: tuple[int, int], rows: Axis, columns: Axis) -> float:
    """Approximate time of `spread` in nanoseconds, with `count` kernels of `side` pixels."""
    return min(_costs_ns(count, side, source, rows, columns))


def _costs_ns(count: int, side: int, source: tuple[int, int], rows: Axis, columns: Axis) -> tuple[float, float]:
    """Time of the direct method and of Fourier transforms, fitted to measurements."""
    directly = (5 + 0.16 * count * side * (side + LANES // 2 - 1)) * _rounded(rows.length) * _rounded(columns.length)
    size = _transform_length(source[0], rows, side // 2) * _transform_length(source[1], columns, side // 2)
    return 5e5 + directly, 3e5 + 5e4 * count + (16 + 17 * count) * size


def _rounded(length: int) -> int:
    return -(-length // STEP_PX) * STEP_PX


def _directly(planes: Tensor, shares: Tensor | None, pairs: Sequence[Tensor], rows: Axis, columns: Axis) -> Tensor:
    """Direct convolution, several pixels of a row at a time.

    Libraries are slow at convolutions with two output channels. So the kernels are shifted to several phases, each an
    output channel of its own, and the convolution has a stride of as many pixels.
    """
    reach = max(pair.shape[-1] for pair in pairs) // 2
    height, width = _rounded(rows.length), _rounded(columns.length)
    views = len(pairs[0])
    phases = LANES // views
    padding = (
        *(reach - columns.begin, columns.begin + width + reach - planes.shape[2]),
        *(reach - rows.begin, rows.begin + height + reach - planes.shape[1]),
    )
    source = F.pad(planes, padding)[:, None]
    if shares is not None:
        source = source * F.pad(shares, padding)
    made = F.conv2d(
        source.contiguous(memory_format=torch.channels_last), _shifted(pairs, 2 * reach + 1, phases), stride=(1, phases)
    )
    pictures: Tensor = made.view(len(made), views, phases, height, -1).permute(1, 0, 3, 4, 2).flatten(3)
    return pictures[..., : rows.length, : columns.length]


def _shifted(pairs: Sequence[Tensor], side: int, phases: int) -> Tensor:
    """Weights of `_directly`, for correlation: LANES x N x side x (side + phases - 1), channels last.

    Phases are so ordered that neighbouring pixels of the picture lie beside one another in memory.
    """
    count, wide = len(pairs), side + phases - 1
    weights = torch.zeros(LANES, side, wide, count)
    each = side * wide * count
    centred = weights.as_strided(
        (LANES // phases, phases, side, side, count), (phases * each, each + count, wide * count, count, 1)
    )  # each phase one column further right
    for number, pair in enumerate(pairs):
        inner = slice((side - pair.shape[-1]) // 2, (side + pair.shape[-1]) // 2)
        centred[:, :, inner, inner, number] = pair.flip(1, 2)[:, None]
    return weights.permute(0, 3, 1, 2)


def _by_transforms(
    planes: Tensor, shares: Tensor | None, pairs: Sequence[Tensor], rows: Axis, columns: Axis, size: tuple[int, int]
) -> Tensor:
    """Convolution by Fourier transforms.

    Rows and columns are transformed in separate calls, which is faster than two-dimensional transforms, and rows
    outside of the window need not be transformed back.
    """
    reach = max(pair.shape[-1] for pair in pairs) // 2
    padding = (0, size[1] - planes.shape[2], 0, size[0] - planes.shape[1])
    planes = F.pad(planes, padding)
    if shares is not None:
        shares = F.pad(shares, padding)
    total = None
    for number, pair in enumerate(pairs):
        spectrum = torch.fft.fft(torch.fft.rfft(planes if shares is None else planes * shares[number]), dim=-2)
        kernel = kernel_spectra(pair, reach, size)
        if total is None:
            total = spectrum[None] * kernel[:, None]
        else:
            total.addcmul_(spectrum[None], kernel[:, None])
    assert total is not None
    down, across = (slice(axis.begin + reach, axis.begin + reach + axis.length) for axis in (rows, columns))
    # One view at a time, since both together do not fit into the cache.
    views = [torch.fft.irfft(torch.fft.ifft(view, dim=-2)[:, down], n=size[1])[..., across] for view in total]
    return torch.stack(views)


def kernel_spectra(pair: Tensor, reach: int, size: tuple[int, int]) -> Tensor:
    """Fourier transforms of both views' kernels, centred on row and column `reach`.

    Args:
        pair: 2 x K x K or 1 x K x K.
        reach: Where the centre goes, in pixels.
        size: Height and width of the transform; parts of a kernel beyond it are cut off, since they would land outside
            of the window.

    Returns:
        Complex, 2 x H x (W / 2 + 1).
    """
    spare = reach - pair.shape[-1] // 2
    # Row by row first: most rows of the padded kernel are empty.
    rows = torch.fft.rfft(F.pad(pair, (spare, 0, spare, 0)), n=size[1])
    spectra: Tensor = torch.fft.fft(rows, n=size[0], dim=-2)
    return spectra


def _transform_length(source: int, axis: Axis, reach: int) -> int:
    """The least length for which the wrap-around of a cyclic convolution stays outside of the window."""
    end = axis.begin + axis.length
    return fast_size(max(source + reach - axis.begin, end + reach, source))


def fast_size(length: int) -> int:
    """A length for which Fourier transforms are fast, no shorter than `length`.

    A multiple of 8 without large prime factors, or a power of two even if that is a little longer.
    """
    length = -(-length // 8) * 8
    power = 1 << (length - 1).bit_length()
    if power * 0.93 <= length:
        return power
    while True:
        rest = length
        for prime in (2, 3, 5, 7, 11):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 8

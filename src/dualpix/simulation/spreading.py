"""Convolution of a few planes with both views' kernels, the quick way: in place where kernels are small, by transforms.

Most of the simulator's time is spent here. Both ways give the same light to 1e-6 of it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.kernels import Lens, kernels

LANES = 16  # of a processor: as many pixels, in as many views as there are, are made in one step of a convolution
STEP_PX = (
    64  # windows of direct convolutions are rounded up to it: for each new size the library first writes a program
)
UNSEEN = 1e-6  # of the light of a point may be cut off with the empty rim of its kernel


class Axis(NamedTuple):
    """One axis of a window: where it `begins`, counted from the first pixel of the source, and its `length`."""

    begin: int
    length: int


@lru_cache(maxsize=1024)
def trimmed(lens: Lens, blur_px: float, whole: bool = False) -> Tensor:
    """`kernels` without their rim where next to nothing lands: 2 x K x K, K odd. Do not change them in place.

    whole: of their mean, that of the whole aperture, 1 x K x K.
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
    """Each of `planes`, P H W, times each of `shares`, N H W (None for one of all ones), convolved with each of N
    `pairs` of kernels, or single ones, and summed: 2 P h w, or 1 P h w, in a window."""
    side = max(pair.shape[-1] for pair in pairs)
    height, width = planes.shape[1:]
    directly, transformed = _costs_ns(len(pairs), side, (height, width), rows, columns)
    if directly < transformed:
        return _directly(planes, shares, pairs, rows, columns)
    size = _transform_length(height, rows, side // 2), _transform_length(width, columns, side // 2)
    return _by_transforms(planes, shares, pairs, rows, columns, size)


def cost_ns(count: int, side: int, source: tuple[int, int], rows: Axis, columns: Axis) -> float:
    """About how long `spread` takes with so many kernels of that side."""
    return min(_costs_ns(count, side, source, rows, columns))


def _costs_ns(count: int, side: int, source: tuple[int, int], rows: Axis, columns: Axis) -> tuple[float, float]:
    """As measured, for each pixel and each call: directly and by transforms."""
    directly = (5 + 0.16 * count * side * (side + LANES // 2 - 1)) * _rounded(rows.length) * _rounded(columns.length)
    size = _transform_length(source[0], rows, side // 2) * _transform_length(source[1], columns, side // 2)
    return 5e5 + directly, 3e5 + 5e4 * count + (16 + 17 * count) * size


def _rounded(length: int) -> int:
    return -(-length // STEP_PX) * STEP_PX


def _directly(planes: Tensor, shares: Tensor | None, pairs: Sequence[Tensor], rows: Axis, columns: Axis) -> Tensor:
    """With steps of several pixels along the rows and as many shifted copies of each kernel as outputs, because
    libraries are slow at convolutions with two outputs."""
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
    """Weights of `_directly`, for correlation: LANES x N x side x (side + phases - 1), channels last, so that phases
    come out beside one another, as they lie in the picture."""
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
    """Row by row first and then column by column, in two calls: quicker than both in one, and rows that are not wanted
    need not be transformed back."""
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
    # One view at a time: what both take does not fit into a cache.
    views = [torch.fft.irfft(torch.fft.ifft(view, dim=-2)[:, down], n=size[1])[..., across] for view in total]
    return torch.stack(views)


def kernel_spectra(pair: Tensor, reach: int, size: tuple[int, int]) -> Tensor:
    """Transforms, 2 x H x (W / 2 + 1), of both views' kernels, centred on row and column `reach` of H x W.

    What reaches beyond H x W is cut off: it would land outside the window.
    """
    spare = reach - pair.shape[-1] // 2
    # Row by row first: most rows of the padded kernel are empty.
    rows = torch.fft.rfft(F.pad(pair, (spare, 0, spare, 0)), n=size[1])
    spectra: Tensor = torch.fft.fft(rows, n=size[0], dim=-2)
    return spectra


def _transform_length(source: int, axis: Axis, reach: int) -> int:
    """No padding beyond what keeps the far end of a cyclic convolution out of the window."""
    end = axis.begin + axis.length
    return fast_size(max(source + reach - axis.begin, end + reach, source))


def fast_size(length: int) -> int:
    """A length, no shorter, that Fourier transforms are quick at: a multiple of 8 without large prime factors, or a
    power of two, even if it is a little longer."""
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

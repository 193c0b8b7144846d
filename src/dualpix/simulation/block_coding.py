"""Lossy coding as tensor operations, for many pictures at once on any device: what codecs lose, without their bits.

JPEG is computed as libjpeg does, but for rounding within its transforms. H.264 key frames and VP8 are modelled: 4 x 4
blocks are predicted from the pixels above and to the left, and what is left is transformed and quantised. An encoder
predicts from pixels it has coded already, one block after another; here the original pixels stand for these, so that
all blocks are computed at once. Steps and dead zones are fitted to the level and the spectrum of the errors of x264
and libwebp (results/simulator-speed.md). Filters that follow the transform are left out: at the qualities that are
drawn they do next to nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.coding import Coding
from dualpix.simulation.painting import moved, numbers

# ITU-T T.81, tables K.1 and K.2, row by row.
LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
CHROMA = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""

TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""ITU-R BT.601, as JFIF has it; video scales it to 219 and 224 levels."""
FROM_YCC = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def coded_together(pictures: Tensor, codings: Sequence[Coding | None]) -> Tensor:
    """Put each picture through the model of its own coding, if it has one.

    Args:
        pictures: B x 3 x H x W in [0, 1].
        codings: Of each.
    """
    for codec in ("jpeg", "vp8", "h264"):
        found = [(number, one) for number, one in enumerate(codings) if one is not None and one.codec == codec]
        if not found:
            continue
        some = moved(torch.tensor([number for number, _ in found]), pictures.device)
        own, qualities = pictures.index_select(0, some), [one.quality for _, one in found]
        if codec == "jpeg":
            coded = jpeg_together(own, qualities, [one.subsampling for _, one in found])
        elif codec == "vp8":
            coded = video_together(own, [vp8_step(quality) for quality in qualities], VP8)
        else:
            coded = video_together(own, [h264_step(quality) for quality in qualities], H264)
        pictures = pictures.index_copy(0, some, coded)
    return pictures


def jpeg_together(pictures: Tensor, qualities: Sequence[int], subsampling: Sequence[str]) -> Tensor:
    """Encode pictures as JPEG and decode them again.

    Args:
        pictures: B x 3 x H x W in [0, 1].
        qualities: libjpeg's quality of each, 1 to 100.
        subsampling: "444" or "420" of each.
    """
    levels = _levels(pictures)
    tables = [_tables(quality) for quality in qualities]
    luma, chroma = (numbers([x for pair in tables for x in pair[which]], pictures.device) for which in (0, 1))
    luma, chroma = (table.view(-1, 1, 1, 1, 8, 8) for table in (luma, chroma))
    planes = _mixed(levels, TO_YCC).round()
    y = _quantised(planes[:, :1], luma)
    full, half = (_chosen(subsampling, kind) for kind in ("444", "420"))
    colour = torch.zeros_like(planes[:, 1:])
    if full:
        some = moved(torch.tensor(full), pictures.device)
        whole = planes[:, 1:].index_select(0, some)
        colour = colour.index_copy(0, some, _quantised(whole, chroma.index_select(0, some)))
    if half:
        some = moved(torch.tensor(half), pictures.device)
        small = _quantised(_halved(planes[:, 1:].index_select(0, some)).round(), chroma.index_select(0, some))
        colour = colour.index_copy(0, some, _doubled(small, planes.shape[-2:]).round())
    return _mixed(torch.cat([y, colour], 1), FROM_YCC).round().clamp(0, 255) / 255


def _chosen(kinds: Sequence[str], kind: str) -> list[int]:
    return [number for number, one in enumerate(kinds) if one == kind]


def _tables(quality: int) -> tuple[list[int], list[int]]:
    """Libjpeg's tables for luma and chroma."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = (
        [min(255, max(1, (int(step) * scale + 50) // 100)) for step in table.split()] for table in (LUMA, CHROMA)
    )
    return luma, chroma


def _levels(pictures: Tensor) -> Tensor:
    return (pictures.clamp(0, 1) * 255).round()


def _mixed(planes: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """Mix three planes, B x 3 x H x W, without a matrix product, which some devices round to ten bits."""
    first, second, third = planes.unbind(1)
    return torch.stack([a * first + b * second + c * third for a, b, c in matrix], 1)


def _halved(planes: Tensor) -> Tensor:
    height, width = planes.shape[-2:]
    return F.avg_pool2d(F.pad(planes, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def _doubled(planes: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]


def _quantised(planes: Tensor, steps: Tensor) -> Tensor:
    """Quantise the 8 x 8 cosine transforms of planes of levels, B x C x H x W; steps are B x 1 x 1 x 1 x 8 x 8."""
    blocks, size = _blocks(planes - (128 if planes.shape[1] == 1 else 0), 8)
    basis = _cosines(8, planes.device)
    # In double precision, since some devices round factors of single precision to ten bits.
    steps = steps.double()
    coefficients = (basis @ blocks.double() @ basis.T / steps).round() * steps
    back = (basis.T @ coefficients @ basis).to(planes.dtype)
    offset = 128 if planes.shape[1] == 1 else 0
    return (_joined(back, size) + offset).round().clamp(offset - 128, offset + 127)


def _cosines(side: int, device: torch.device) -> Tensor:
    """The orthonormal cosine transform, side x side, in double precision."""
    k = torch.arange(side, dtype=torch.float64, device=device)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / (2 * side)) * math.sqrt(2 / side)
    return torch.cat([basis[:1] / math.sqrt(2), basis[1:]])


def _blocks(planes: Tensor, side: int) -> tuple[Tensor, Sequence[int]]:
    """B x C x H x W as B x C x rows x columns x side x side, continued beyond the edges; and H and W."""
    height, width = planes.shape[-2:]
    padded = F.pad(planes, (0, -width % side, 0, -height % side), mode="replicate")
    rows, columns = padded.shape[-2] // side, padded.shape[-1] // side
    return padded.unflatten(-1, (columns, side)).unflatten(-3, (rows, side)).transpose(-3, -2), (height, width)


def _joined(blocks: Tensor, size: Sequence[int]) -> Tensor:
    planes = blocks.transpose(-3, -2).flatten(-2).flatten(-3, -2)
    return planes[..., : size[0], : size[1]]


@dataclass(frozen=True)
class Model:
    """How a video codec's losses are modelled.

    Attributes:
        rounding: What is added before a coefficient, in steps, is cut to a whole number: 0.5 rounds, less leaves small
            ones out.
        chroma: The step of colour, as a factor of that of luma.
        adaptive: By how much the step of a macroblock changes with the logarithm of its variance (x264's `aq-mode` 1
            has 1.04 / 6).
        smooth: Whether colour is interpolated when it is enlarged.
        lost: What is taken off every value, in levels, before it is cut to a whole number; -0.5 rounds.
    """

    rounding: float
    chroma: float
    adaptive: float
    smooth: bool
    lost: float = -0.5


H264 = Model(rounding=1 / 6, chroma=1.0, adaptive=1.04 / 6, smooth=False, lost=0.75)
"""x264 by PyAV, which darkens pictures by about a level when it converts their colours."""

VP8 = Model(rounding=1 / 3, chroma=1.0, adaptive=0.0, smooth=True)
"""libwebp."""

AQ_ENERGY = 14.427  # log2 of the energy of a macroblock at which x264 leaves the step as it is


def h264_step(rate_factor: float) -> float:
    """The step that x264 uses at a constant rate factor, for `video_together`: its quantiser is 2.75 more."""
    return 0.625 * float(2 ** ((rate_factor + 2.75) / 6))


def vp8_step(quality: float) -> float:
    """The step that libwebp uses at a quality from 0 to 100, for `video_together`."""
    share = quality / 100
    straight = share * 2 / 3 if share < 0.75 else 2 * share - 1
    return float(127 * (1 - straight ** (1 / 3)) + 2) / 2


def video_together(pictures: Tensor, steps: Sequence[float], model: Model) -> Tensor:
    """Encode pictures as key frames of a video codec (4:2:0) and decode them again.

    Args:
        pictures: B x 3 x H x W in [0, 1].
        steps: Of quantisation, in levels of luma, for an orthonormal transform.
        model: Of the codec.
    """
    planes = _mixed(_levels(pictures), TO_YCC)
    y = (planes[:, :1] * (219 / 255) + 16).round()
    colour = (_halved(planes[:, 1:]) * (224 / 255)).round()
    step = numbers(steps, pictures.device)[:, None, None, None]
    step = step * (model.adaptive * (_energy(y) - AQ_ENERGY)).exp2() if model.adaptive else step + 0 * _energy(y)
    size = y.shape[-2:]
    y = _predicted(y, _each_block(step, 4, y), model.rounding)
    colour = _predicted(colour, _each_block(step * model.chroma, 2, colour), model.rounding)
    enlarged = _doubled(colour, size) if model.smooth else _repeated(colour)[..., : size[0], : size[1]]
    full = torch.cat([(y - 16) * (255 / 219), enlarged * (255 / 224)], 1)
    return (_mixed(full, FROM_YCC) - model.lost).floor().clamp(0, 255) / 255


def _repeated(planes: Tensor) -> Tensor:
    return planes.repeat_interleave(2, -1).repeat_interleave(2, -2)


def _energy(luma: Tensor) -> Tensor:
    """Logarithm to base 2 of each macroblock's sum of squared differences from its mean, B x 1 x rows x columns."""
    blocks, _ = _blocks(luma, 16)
    return blocks.var((-2, -1), unbiased=False).mul(256).clamp_min(1).log2()


def _each_block(steps: Tensor, across: int, planes: Tensor) -> Tensor:
    """The steps of macroblocks for the `across` x `across` blocks of each, as far as `planes` have blocks."""
    each = steps.repeat_interleave(across, -1).repeat_interleave(across, -2)
    rows, columns = (-(-side // 4) for side in planes.shape[-2:])
    return each[..., :rows, :columns, None, None]


def _predicted(planes: Tensor, steps: Tensor, rounding: float) -> Tensor:
    """Predict 4 x 4 blocks from their neighbours, and quantise the transforms of what is left."""
    blocks, size = _blocks(planes, 4)
    left = F.pad(blocks[:, :, :, :-1, :, 3:], (0, 0, 0, 0, 1, 0), mode="constant")
    above = F.pad(blocks[:, :, :-1, :, 3:, :], (0, 0, 0, 0, 0, 0, 1, 0), mode="constant")
    corner = F.pad(blocks[:, :, :-1, :-1, 3:, 3:], (0, 0, 0, 0, 1, 0, 1, 0), mode="constant")
    mean = (left.mean(-2, keepdim=True) + above.mean(-1, keepdim=True)) / 2
    guesses = [mean.expand_as(blocks), left.expand_as(blocks), above.expand_as(blocks), left + above - corner]
    wrong = torch.stack([(blocks - guess).abs().sum((-2, -1), keepdim=True) for guess in guesses])
    best = wrong.argmin(0)
    guess = guesses[0]
    for number in (1, 2, 3):
        guess = torch.where(best == number, guesses[number], guess)
    basis = _cosines(4, planes.device)
    sizes = (basis @ (blocks - guess).double() @ basis.T) / steps
    kept = sizes.sign() * (sizes.abs() + rounding).floor() * steps
    return _joined((basis.T @ kept @ basis).to(planes.dtype) + guess, size).round().clamp(-128, 255)

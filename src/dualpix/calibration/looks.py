"""Statistics for comparing real pairs with simulated ones: power spectra, edge profiles, distances of distributions.

Views are display-encoded, one channel, H x W in [0, 1].
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.calibration.fit import BLOCK_PX, BLOCKS, Field

TILE_PX = BLOCK_PX * BLOCKS
FREQUENCIES = torch.linspace(0.01, 0.5, 26)
EDGE_STEPS = torch.linspace(-2.0, 2.0, 41)
STRAIGHT_PX = 9


def spectra(picture: Tensor, chosen: Tensor) -> Tensor:
    """Radially averaged power spectra of windows, with a Hann window and without the mean.

    Args:
        picture: H x W.
        chosen: Which windows, h x w, as in `Field`.

    Returns:
        N x 25 in dB of display values, for the bands between `FREQUENCIES`, in cycles per pixel.
    """
    tiles = picture.unfold(0, TILE_PX, BLOCK_PX).unfold(1, TILE_PX, BLOCK_PX)[: chosen.shape[0], : chosen.shape[1]]
    tiles = tiles[chosen]
    if not len(tiles):
        return torch.zeros(0, len(FREQUENCIES) - 1)
    window = torch.hann_window(TILE_PX)[:, None] * torch.hann_window(TILE_PX)
    flat = (tiles - tiles.mean((1, 2), keepdim=True)) * window / window.square().mean().sqrt()
    power = torch.fft.fft2(flat).abs().square() / TILE_PX**2
    axis = torch.fft.fftfreq(TILE_PX)
    band = torch.bucketize(torch.hypot(axis[:, None], axis[None]), FREQUENCIES)
    means = [power[:, band == i].mean(1) for i in range(1, len(FREQUENCIES))]
    return 10 * torch.log10(torch.stack(means, 1) + 1e-12)


def edge_profiles(view: Tensor, sharp: Tensor, field: Field, low_px: float, high_px: float) -> Tensor:
    """Profiles of the view across straight vertical edges of the sharp picture, where |blur| lies in a range.

    Each profile runs along its row, to the right behind the focal plane and to the left in front of it, so that the
    left view always comes first.

    Args:
        view: H x W in linear light.
        sharp: The aligned sharp picture, H x W in linear light.
        field: What was found in the pair.
        low_px: Least blur radius in pixels.
        high_px: Largest blur radius in pixels.

    Returns:
        N x 41, sampled at `EDGE_STEPS` blur radii from the edge; 0 well before the edge, 1 well after it.
    """
    rows, columns, radius, sign = _edges(sharp, field, low_px, high_px)
    if not len(rows):
        return torch.zeros(0, len(EDGE_STEPS))
    profiles = []
    for row, column, r, s in zip(rows.tolist(), columns.tolist(), radius.tolist(), sign.tolist(), strict=True):
        band = view[row - 2 : row + 3].mean(0)
        places = column + 0.5 + s * EDGE_STEPS * r
        before = places.floor().long()
        share = places - before
        profiles.append(band[before] * (1 - share) + band[before + 1] * share)
    stacked = torch.stack(profiles)
    dark, bright = stacked[:, :8].mean(1, keepdim=True), stacked[:, -8:].mean(1, keepdim=True)
    step = bright - dark
    normal = (stacked - dark) / torch.where(step.abs() < 1e-3, 1e-3, step)
    # A profile that is uneven far from its edge has other edges nearby.
    ends = torch.maximum((normal[:, :8]).abs().amax(1), (normal[:, -8:] - 1).abs().amax(1))
    return normal[(ends < 0.15) & (step[:, 0].abs() > 0.02)]


def _edges(sharp: Tensor, field: Field, low_px: float, high_px: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows, columns, |blur| and sign of the blur of strong vertical edges."""
    height, width = sharp.shape
    across = F.avg_pool2d((sharp[:, 1:] - sharp[:, :-1])[None], (STRAIGHT_PX, 1), 1, (STRAIGHT_PX // 2, 0))[0]
    peak = F.max_pool2d(across.abs()[None], (1, 2 * int(high_px) + 1), 1, (0, int(high_px)))[0] == across.abs()
    strong = peak & (across.abs() > 0.04)
    place_y, place_x = (
        ((torch.arange(side) - TILE_PX / 2) / BLOCK_PX).round().long().clamp(0, count - 1)
        for side, count in zip((height, width - 1), field.blur_px.shape, strict=True)
    )
    blur, good = (plane[place_y[:, None], place_x[None]] for plane in (field.blur_px, field.good))
    margin = int(2 * high_px) + 2
    strong &= good & (blur.abs() >= low_px) & (blur.abs() <= high_px)
    strong[:, :margin] = strong[:, -margin:] = False
    strong[:2] = strong[-2:] = False
    rows, columns = strong.nonzero(as_tuple=True)
    thin = slice(None, None, max(1, len(rows) // 2000))
    rows, columns = rows[thin], columns[thin]
    at = blur[rows, columns]
    return rows, columns, at.abs().clamp_min(1), at.sign()


def moved(first: Tensor, second: Tensor) -> float:
    """Earth mover's distance of two sets of numbers: how far, on average, one must be moved to become the other.

    Args:
        first: N numbers.
        second: M numbers, in the same unit.
    """
    shares = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
    return float((first.double().quantile(shares) - second.double().quantile(shares)).abs().mean())

"""Disparity to a few hundredths of a pixel, from one that is right to a pixel or so, for what is measured by it.

The network draws what it finds to whole pixels, which a picture does not mind and a distance does. Here both views are
moved towards one another until they agree: the slope of the picture along the row tells how far that is yet (Lucas and
Kanade, IJCAI 1981), put together over a window by least squares. Views that are smoothed first agree where the middles
of their kernels do, at rho times the blur, while their fine detail lies up to a fifth further apart.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.io.writing import LUMINANCE
from dualpix.simulation.sensor import Tone

TYPICAL_TONE = Tone(0.3)
"""Blur adds up in light and not in levels; how developers turn one into the other differs, and matters little here."""

SMOOTH_PX = 1.5  # standard deviations
WINDOW_PX = 10.0
SLOW_PX = 20.0  # slower changes are shading, and not the scene's
CELL_PX = 4  # the window is so wide that it need not be looked at finer
ROUNDS = 5
BAND_ROWS, MARGIN_ROWS = 256, 64
FAINT = 1e-9


def register(left: Tensor, right: Tensor, disparity_px: Tensor, confidence: Tensor) -> Tensor:
    """The disparity of two views, refined; in bands of rows, so that it takes little memory.

    Args:
        left: The left view, 3 H W in [0, 1].
        right: The right view, likewise.
        disparity_px: Where to begin, 1 H W, in pixels.
        confidence: How reliable that is, 0 to 1, 1 H W.

    Returns:
        The disparity x_right - x_left in pixels, 1 H W, positive behind the plane in focus.
    """
    height, bands = left.shape[1], []
    for first in range(0, height, BAND_ROWS):
        top, end = max(0, first - MARGIN_ROWS), min(height, first + BAND_ROWS + MARGIN_ROWS)
        band = _register_band(*(plane[:, top:end] for plane in (left, right, disparity_px, confidence)))
        bands.append(band[:, first - top : first - top + BAND_ROWS])
    return torch.cat(bands, 1)


def _register_band(left: Tensor, right: Tensor, disparity_px: Tensor, confidence: Tensor) -> Tensor:
    weights = torch.tensor(LUMINANCE, device=left.device)
    light = TYPICAL_TONE.decode(torch.stack([left, right]))
    grey = _smooth(torch.einsum("c,vchw->vhw", weights, light), SMOOTH_PX)
    views = grey - _together(grey, SLOW_PX)
    found = _mean(disparity_px[0], confidence[0] + 1e-3)
    for _ in range(ROUNDS):
        # In the frame of the sharp picture, half of the disparity belongs to either view.
        moved = [_moved(view, shift) for view, shift in zip(views, (-found / 2, found / 2), strict=True)]
        middle = F.pad((moved[0] + moved[1])[None] / 2, (1, 1, 0, 0), mode="replicate")[0]
        slope = (middle[:, 2:] - middle[:, :-2]) / 2
        weight = slope.square() + FAINT
        found = _mean(found - slope * (moved[1] - moved[0]) / weight, weight)
    return found[None]


def _moved(view: Tensor, shift_px: Tensor) -> Tensor:
    """The view at places so far further right, H W, between two columns by their distance."""
    width = view.shape[1]
    place = (torch.arange(width, device=view.device) + shift_px).clamp(0, width - 1)
    below = place.long().clamp_max(width - 2)
    return view.gather(1, below).lerp(view.gather(1, below + 1), place - below)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean of the values, H W, over a window."""
    sums = _together(torch.stack([values * weight, weight]), WINDOW_PX)
    return sums[0] / sums[1]


def _together(planes: Tensor, sigma_px: float) -> Tensor:
    """Planes, N H W, smoothed widely: in cells, and back by bilinear weights."""
    height, width = planes.shape[1:]
    spare = (0, -width % CELL_PX, 0, -height % CELL_PX)
    cells = F.avg_pool2d(F.pad(planes[None], spare, mode="replicate"), CELL_PX)[0]
    wide = _smooth(cells, sigma_px / CELL_PX)[None]
    full = F.interpolate(wide, scale_factor=float(CELL_PX), mode="bilinear", align_corners=False)[0]
    return full[:, :height, :width]


def _smooth(planes: Tensor, sigma_px: float) -> Tensor:
    """Planes, N H W, convolved with a Gaussian; edges go on as they end."""
    reach = int(3 * sigma_px + 1)
    x = torch.arange(-reach, reach + 1, dtype=planes.dtype, device=planes.device)
    kernel = torch.exp(-0.5 * (x / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    rows = F.conv2d(F.pad(planes[:, None], (reach, reach, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    return F.conv2d(F.pad(rows, (0, 0, reach, reach), mode="replicate"), kernel.view(1, 1, -1, 1))[:, 0]

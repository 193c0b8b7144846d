"""Does a disparity explain the photograph? What is sharp everywhere, blurred as the disparity asks, must be it.

That tells two things. How wide the blur of a pixel of disparity is: rho, which differs between lenses and f-numbers.
And where the disparity is wrong: beside a foreground with much texture, windows of the matching see the foreground, and
call a strip of the background sharp that the photograph shows blurred.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.inference.scales import reduce
from dualpix.io.writing import LUMINANCE
from dualpix.simulation.kernels import Lens
from dualpix.simulation.spreading import Axis, spread, trimmed

LEVELS_PX = (0.0, 1.5, 2.5, 4.0, 6.0, 9.0, 13.0, 19.0)
"""Radii of blur, at full size, that are tried."""

LARGEST_PX = 500_000  # pixels at which they are
USUAL_RHO = 0.35  # between Canon at f/4 and a phone: results/calibration-dpdd-preview.md
RHOS = (0.15, 0.7)
TRIED = 12
FINE, ROUGH = 0.007, 0.02  # error of the photograph, root mean square, that counts: in focus, and of one out of focus
IN_FOCUS_PX = 3.0  # radius of blur up to which something claims, less and less, to be in focus
LEAST_GAIN = 0.02  # of the error, for which a rho is taken that is not the usual one


class Reblurred(NamedTuple):
    """`errors`: mean square error of each of LEVELS_PX, N h w; `rho`: the one that explains the photograph best."""

    errors: Tensor
    rho: float

    def trust(self, disparity_px: Tensor) -> Tensor:
        """How well disparities 1 h w explain the photograph, 0 to 1.

        Beside the blur that does best; and, where they claim to be in focus, by themselves.
        """
        blur_px = disparity_px / self.rho
        around = F.avg_pool2d(self.errors[None], 5, 1, 2, count_include_pad=False)[0]
        beside = (around.amin(0, keepdim=True) + ROUGH**2) / (_at(around, blur_px) + ROUGH**2)
        in_focus = (1 - blur_px.abs() / IN_FOCUS_PX).clamp(0, 1)
        return beside * (FINE**2 / (FINE**2 + _at(self.errors, blur_px))) ** in_focus


def reblur(
    picture: Tensor, photograph: Tensor, disparity_px: Tensor, confidence: Tensor, rho: float | None = None
) -> Reblurred:
    """Compare what is sharp everywhere, blurred again, with the photograph.

    Args:
        picture: Sharp everywhere, 3 H W.
        photograph: As it was, 3 H W.
        disparity_px: In pixels of the picture, 1 h w.
        confidence: In it, 1 h w.
        rho: Disparity per radius of blur, if it is known.
    """
    step, pixels = 1, picture[0].numel()
    while pixels > LARGEST_PX * step * step:
        step += 1
    weights = torch.tensor(LUMINANCE)
    sharp, seen = (reduce(torch.einsum("c,chw->hw", weights, x)[None], step) for x in (picture, photograph))
    errors = torch.cat([_error(sharp, seen, radius / step, disparity_px.shape[1:]) for radius in LEVELS_PX])
    return Reblurred(errors, _best_rho(errors, disparity_px, confidence) if rho is None else rho)


def _error(sharp: Tensor, seen: Tensor, radius: float, size: tuple[int, ...]) -> Tensor:
    """Mean square difference around each place, 1 h w."""
    blurred = sharp
    if radius:
        kernel = trimmed(Lens(rho=0.1), round(radius, 2), whole=True)
        pad = kernel.shape[-1] // 2
        padded = F.pad(sharp[None], (pad,) * 4, "replicate")[0]
        height, width = sharp.shape[1:]
        blurred = spread(padded, None, [kernel], Axis(pad, height), Axis(pad, width))[0]
    square = F.interpolate((blurred - seen).square()[None], size, mode="area")
    return F.avg_pool2d(square, 3, 1, 1, count_include_pad=False)[0]


def _at(errors: Tensor, blur_px: Tensor) -> Tensor:
    """The error of each place's own radius of blur, 1 h w."""
    levels = torch.tensor(LEVELS_PX)
    radius = blur_px.abs().clamp(0, LEVELS_PX[-1])
    above = torch.bucketize(radius, levels).clamp(1, len(levels) - 1)
    share = (radius - levels[above - 1]) / (levels[above] - levels[above - 1])
    return torch.lerp(errors.gather(0, above - 1), errors.gather(0, above), share)


def _best_rho(errors: Tensor, disparity_px: Tensor, confidence: Tensor) -> float:
    def wrong(rho: float) -> float:
        error = _at(errors, disparity_px / rho)
        return float((confidence * error / (error + ROUGH**2)).sum() / confidence.sum().clamp_min(1e-6))

    rhos = np.geomspace(*RHOS, TRIED).tolist()
    least, best = min((wrong(rho), rho) for rho in rhos)
    return best if least < (1 - LEAST_GAIN) * wrong(USUAL_RHO) else USUAL_RHO

"""Refocus a pair: the two views of a photograph in, one picture with another plane in focus or another aperture out."""

from dataclasses import replace
from typing import Unpack

from torch import Tensor

from dualpix.inference.bands import Progress
from dualpix.inference.deblur import WeightsLike, deblur
from dualpix.inference.focus import Refocus
from dualpix.inference.options import DeblurOptions, Keywords, options_of
from dualpix.io import PictureLike
from dualpix.machine.modes import settled


@settled()
def refocus(
    left: PictureLike,
    right: PictureLike,
    weights: WeightsLike = None,
    options: DeblurOptions | None = None,
    *,
    focus_px: float = 0.0,
    focus_at: tuple[int, int] | None = None,
    aperture: float = 1.0,
    rho: float | None = None,
    highlights: float = 2.0,
    blades: int = 0,
    progress: Progress | None = None,
    **keywords: Unpack[Keywords],
) -> Tensor:
    """Return the picture of a pair with another plane in focus and another aperture.

    The pair is deblurred, and what comes out is blurred again by its disparity, in linear light: the radius of the blur
    is aperture / rho * (disparity - focus). What is near covers what is far, which goes on behind it.

    Args:
        left: as `deblur` takes it.
        right: the other view, in the same way.
        weights: as `deblur` takes them, of a network that correlates.
        options: how the pair is deblurred, see `DeblurOptions`.
        focus_px: the disparity in pixels, x_right - x_left, of what is to be in focus.
        focus_at: (column, row) of a point of the picture whose disparity is taken instead.
        aperture: relative to the camera's, from 0, which leaves everything sharp, over 1, as the camera, to 8.
        rho: disparity per radius of blur; None finds it out.
        highlights: how many times as bright small clipped highlights are taken to be; 1 for as they are.
        blades: of the aperture; 0 for a round one.
        progress: as `deblur` takes it.
        keywords: fields of `DeblurOptions` one by one.

    Returns:
        The picture, float32 RGB 3 x H x W in [0, 1].

    Raises:
        PictureError: a value is out of its range, or nothing lies at that focus; and as `deblur` does.
        PairError: as `deblur` does.
        CheckpointError: the network tells no disparity; and as `deblur` does.
        MachineError: as `deblur` does.
    """
    asked = Refocus(
        focus_px=focus_px, focus_at=focus_at, aperture=aperture, rho=rho, highlights=highlights, blades=blades
    )
    chosen = replace(options_of(options, keywords), refocus=asked)
    return deblur(left, right, weights, chosen, progress=progress)

"""The same scenes rendered in another way: point by point of the lens, with no kernels, slices or transforms.

Seen through one point (u, w) of the pupil everything is sharp: each plane is only shifted, by its blur times (u, w),
and nearer planes cover farther ones. A view is the mean over the pupil. Slow, and exact where `over` between blurred
layers is an approximation.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import map_coordinates

Slant = tuple[float, float, float]
"""A plane of blur: in the middle of the layer, and its change per row and per column."""

Plane = tuple[np.ndarray, np.ndarray, float | Slant]
"""Colour C H W, alpha H W, and the signed blur in pixels."""

Pupil = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""u, w, the weights of the centre view, and g, all flat: weights of the views are weight (1 - g) and weight (1 + g)."""


def round_pupil(g: Callable[[np.ndarray], np.ndarray], rings: int = 20) -> Pupil:
    """A flat disc in rings of equal area, with a split that depends on u alone."""
    radii = np.sqrt((np.arange(rings) + 0.5) / rings)
    points = 4 * rings
    angles = (np.arange(points) + 0.5) * (2 * np.pi / points)
    u, w = (np.outer(radii, f(angles)).ravel() for f in (np.cos, np.sin))
    return u, w, np.full(u.size, 1 / u.size), g(u)


def half_disc(u: np.ndarray) -> np.ndarray:
    return np.sign(u)


def ramp(contrast: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda u: contrast * u


def see(planes: Sequence[Plane], pupil: Pupil, margin: int) -> np.ndarray:
    """The left and right view, 2 C H W in linear light, of planes given from back to front."""
    height, width = planes[0][1].shape
    views = np.zeros((2, len(planes[0][0]), height - 2 * margin, width - 2 * margin))
    for u, w, weight, g in zip(*pupil, strict=True):
        picture = _through(planes, float(u), float(w), margin)
        views[0] += weight * (1 - g) * picture
        views[1] += weight * (1 + g) * picture
    return views


def _through(planes: Sequence[Plane], u: float, w: float, margin: int) -> np.ndarray:
    picture: np.ndarray | None = None
    for colour, alpha, blur_px in planes:
        seen = np.concatenate([colour * alpha, alpha[None]])
        sharp = (
            _shifted(seen, blur_px, u, w, margin) if isinstance(blur_px, float) else _hit(seen, blur_px, u, w, margin)
        )
        picture = sharp[:-1] if picture is None else sharp[:-1] + (1 - sharp[-1]) * picture
    assert picture is not None
    return picture


def _shifted(seen: np.ndarray, blur_px: float, u: float, w: float, margin: int) -> np.ndarray:
    (top, y), (left, x) = (divmod(margin - blur_px * axis, 1) for axis in (w, u))
    height, width = (side - 2 * margin for side in seen.shape[1:])

    def window(down: int, across: int) -> np.ndarray:
        row, column = int(top) + down, int(left) + across
        return seen[:, row : row + height, column : column + width]

    upper = (1 - x) * window(0, 0) + x * window(0, 1)
    return (1 - y) * upper + y * ((1 - x) * window(1, 0) + x * window(1, 1))


def _hit(seen: np.ndarray, slant: Slant, u: float, w: float, margin: int) -> np.ndarray:
    """Where the rays of all pixels hit a plane: p with p + c(p) (w, u) = pixel, solved exactly as c is affine."""
    middle, down, across = slant
    rows, columns = np.mgrid[margin : seen.shape[1] - margin, margin : seen.shape[2] - margin].astype(float)
    centre = [(side - 1) / 2 for side in seen.shape[1:]]
    here = (middle + down * (rows - centre[0]) + across * (columns - centre[1])) / (1 + down * w + across * u)
    where = np.stack([rows - here * w, columns - here * u])
    return np.stack([map_coordinates(channel, where, order=1) for channel in seen])

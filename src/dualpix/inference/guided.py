"""The guided filter: a plane fitted, in each window, as a linear function of the colours of a picture.

K. He, J. Sun, X. Tang, "Guided image filtering", TPAMI 2013; fitted in a reduced picture and applied to the colours of
a larger one it is the fast one (He and Sun, 2015).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Of colours: the entries of a symmetric matrix, in the order in which six planes hold them."""


class GuidedFilter:
    """Fits planes to the colours of one picture.

    Args:
        guide: 3 h w.
        radius: of the square windows, in its pixels.
        flat: what is added to the variance of each colour; a window that varies less has one value.
    """

    def __init__(self, guide: Tensor, radius: int, flat: float) -> None:
        self.guide, self.radius = guide, radius
        self.mean = boxed(guide, radius)
        products = boxed(torch.stack([guide[a] * guide[b] for a, b in PAIRS]), radius)
        self.inverse = inverse(products - torch.stack([self.mean[a] * self.mean[b] for a, b in PAIRS]), flat)

    def fit(self, plane: Tensor) -> Tensor:
        """Coefficients 4 h w of a plane 1 h w: three times the colour plus the last, meaned over all windows."""
        means = boxed(torch.cat([plane * self.guide, plane]), self.radius)
        slope = times(self.inverse, means[:3] - means[3:] * self.mean)
        offset = means[3:] - (slope * self.mean).sum(0, keepdim=True)
        return boxed(torch.cat([slope, offset]), self.radius)


def apply(fitted: Tensor, guide: Tensor) -> Tensor:
    """The plane 1 H W that coefficients 4 H W, of the size of `guide` 3 H W, make of its colours."""
    plane: Tensor = torch.addcmul(fitted[3:], fitted[:1], guide[:1])
    plane.addcmul_(fitted[1:2], guide[1:2]).addcmul_(fitted[2:3], guide[2:])
    return plane


def inverse(matrix: Tensor, flat: float) -> Tensor:
    """Of A + `flat` for symmetric A, 6 h w in the order of `PAIRS`, by cofactors; alike."""
    a, b, c, d, e, f = matrix
    a, d, f = a + flat, d + flat, f + flat
    minors = torch.stack([d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b])
    determinant: Tensor = a * minors[0] + b * minors[1] + c * minors[2]
    return minors / determinant.clamp_min(1e-18)


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """A symmetric matrix, 6 h w in the order of `PAIRS`, by a vector 3 h w."""
    a, b, c, d, e, f = matrix
    p, q, r = vector
    return torch.stack([a * p + b * q + c * r, b * p + d * q + e * r, c * p + e * q + f * r])


def boxed(planes: Tensor, radius: int) -> Tensor:
    """The mean over a square window, C h w, of those pixels of it that are in the picture."""
    if radius < 1:
        return planes
    for axis in (1, 2):
        length = planes.shape[axis]
        sums = F.pad(planes.to(torch.float64).cumsum(axis), (1, 0) if axis == 2 else (0, 0, 1, 0))
        at = torch.arange(length)
        last, first = (at + radius + 1).clamp_max(length), (at - radius).clamp_min(0)
        shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
        counts = (last - first).to(torch.float64).view(shape)
        planes = ((sums.index_select(axis, last) - sums.index_select(axis, first)) / counts).to(torch.float32)
    return planes

"""Signed numbers, such as disparities, as colours."""

import torch
from torch import Tensor

from dualpix.io.curve import encode_srgb

CONES_FROM_OKLAB = torch.tensor(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
)
SRGB_FROM_CONES = torch.tensor(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def signed_colours(values: Tensor, most: float, confidence: Tensor | None = None) -> Tensor:
    """Return a picture of signed numbers: white for 0, red for positive, blue for negative ones.

    Steps are even in Oklab (Ottosson, 2020), so that equal differences look equal.

    Args:
        values: H x W.
        most: The absolute value from which on the colour is fully saturated.
        confidence: H x W, 0 to 1; what has little of it fades to dark grey. None for full confidence everywhere.

    Returns:
        float32 RGB, 3 x H x W in [0, 1], display-encoded.

    Example:
        >>> blue, white, red = signed_colours(torch.tensor([[-2.0, 0.0, 2.0]]), most=2)[:, 0].T
        >>> white.mul(255).round().int().tolist(), red.mul(255).round().int().tolist()
        ([245, 245, 245], [188, 68, 41])
    """
    share = (values / most).clamp(-1, 1)
    sure = torch.ones_like(share) if confidence is None else confidence.clamp(0, 1)
    hue = torch.where(share > 0, 0.6, 4.6)  # radians: red, blue
    chroma = 0.16 * share.abs() * sure
    lightness = 0.28 + (0.97 - 0.42 * share.abs() - 0.28) * sure
    lab = torch.stack([lightness, chroma * hue.cos(), chroma * hue.sin()])
    linear = torch.einsum("rc,chw->rhw", SRGB_FROM_CONES, torch.einsum("rc,chw->rhw", CONES_FROM_OKLAB, lab) ** 3)
    return torch.from_numpy(encode_srgb(linear.numpy()))

"""Signed numbers as colours."""

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
    """Signed numbers H W as colours, 3 H W: white for 0, red for `most` or more, blue for -`most` or less.

    Even in steps of Oklab (Ottosson, 2020), so that equal differences look equal. What has little `confidence` (H W,
    0 to 1) fades to dark grey.
    """
    share = (values / most).clamp(-1, 1)
    sure = torch.ones_like(share) if confidence is None else confidence.clamp(0, 1)
    hue = torch.where(share > 0, 0.6, 4.6)  # radians: red, blue
    chroma = 0.16 * share.abs() * sure
    lightness = 0.28 + (0.97 - 0.42 * share.abs() - 0.28) * sure
    lab = torch.stack([lightness, chroma * hue.cos(), chroma * hue.sin()])
    linear = torch.einsum("rc,chw->rhw", SRGB_FROM_CONES, torch.einsum("rc,chw->rhw", CONES_FROM_OKLAB, lab) ** 3)
    return torch.from_numpy(encode_srgb(linear.numpy()))

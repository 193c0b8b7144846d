"""What the renderer's tests build their scenes from: small layers with random textures, and lenses of every kind.

`MARGIN` pixels of scene lie beyond each edge of the picture.
"""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer

MARGIN = 15
SIDE = 60
WHOLE = SIDE + 2 * MARGIN

LENSES = {
    "ramp": Lens(rho=0.4),
    "half disc": Lens(rho=0.848, split=1.0),
    "rim": Lens(rho=0.5, rim=0.8, split=0.5),
    "soft": Lens(rho=0.4, softness_px=0.5, softness_rel=0.05),
    "eight blades": Lens(rho=0.3, blades=8, rim=-0.4),
}
OFF_AXIS = {
    "skewed and clipped": Lens(rho=0.3, skew=0.2, clip=(0.4, 0.1), split=0.4),
    "seven blades": Lens(rho=0.4, blades=7),
}


def texture(rng: np.random.Generator, height: int = WHOLE, width: int = WHOLE, smooth_px: float = 1.0) -> Tensor:
    """3 H W in linear light: noise of deviation 0.15 about 0.5, clipped to [0.02, 1]."""
    field = gaussian_filter(rng.standard_normal((3, height, width)), (0, smooth_px, smooth_px), mode="wrap")
    return torch.from_numpy((0.5 + 0.15 * field / field.std()).clip(0.02, 1)).float()


def plane(colour: Tensor, blur_px: float | Tensor, alpha: Tensor | None = None) -> Layer:
    size = colour.shape[1:]
    blur = blur_px if isinstance(blur_px, Tensor) else torch.full(size, blur_px)
    return Layer(colour, torch.ones(size) if alpha is None else alpha, blur)


def disc_and_bar(softness: float = 1.0) -> Tensor:
    y, x = torch.meshgrid(torch.arange(WHOLE) - 40.0, torch.arange(WHOLE) - 38.0, indexing="ij")
    disc = ((13 - torch.hypot(x, y)) / softness + 0.5).clamp(0, 1)
    bar = ((3.5 - (x - 20).abs()) / softness + 0.5).clamp(0, 1)
    return torch.maximum(disc, bar)


def slanted(middle: float, down: float, across: float, height: int = WHOLE, width: int = WHOLE) -> Tensor:
    y, x = (torch.arange(side) - (side - 1) / 2 for side in (height, width))
    return middle + down * y[:, None] + across * x


def inner(picture: Tensor) -> Tensor:
    return picture[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def psnr_db(a: np.ndarray | Tensor, b: np.ndarray | Tensor) -> float:
    return float(-10 * np.log10(np.mean((np.asarray(a, dtype=float) - np.asarray(b, dtype=float)) ** 2)))

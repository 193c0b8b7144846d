"""Point-spread functions of the two half apertures: k_L = C (1 - g), k_R = C (1 + g), C even and g odd in u.

Pupil coordinates (u, w) fill the unit disc; a point with signed blur radius c lands at image offset c (u, w), so one
formula serves both sides of the focal plane. Then (k_L + k_R) / 2 = C, k_R mirrors k_L, and the disparity
d = x_R - x_L = rho c with rho = 2 E[u g] for every c: behind the focal plane content lies further right in R.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lens:
    """The shape of the point-spread functions, independent of their size.

    rho: disparity per signed blur radius, 0 < rho < 0.849 (the ideal half disc).
    rim: 0 for a flat disc, up to 1 for a dark centre with a bright rim (Abuolaim et al., ICCV 2021), below 0 for a
        bright centre.
    rim_order: how sharply the rim sets in.
    split: 0 makes g a ramp in u; 1 makes it a step (an ideal half disc); between, a saturating tanh.
    softness_px: standard deviation of a Gaussian that softens the edge, in pixels, for every c.
    softness_rel: the same in units of |c|.
    blades: number of straight aperture blades, 0 for a round opening; even numbers keep the mirror symmetry exact.
    skew: shifts the split off the pupil's centre, as at the sides of the frame; 0 keeps the views mirror images.
    clip: (x, y) centre of a second unit-and-a-bit disc that clips the pupil off axis ("cat's eye"), (0, 0) for none.
    decentre: how far the whole opening lies off the lens's centre along u, in units of its radius: both views of a
        point move by decentre * c against its sharp place.
    """

    rho: float = 0.4
    rim: float = 0.0
    rim_order: float = 3.0
    split: float = 0.0
    softness_px: float = 0.0
    softness_rel: float = 0.0
    blades: int = 0
    skew: float = 0.0
    clip: tuple[float, float] = (0.0, 0.0)
    decentre: float = 0.0


@lru_cache(maxsize=64)
def pupil(lens: Lens, samples: int = 96) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Samples of the pupil: u, w, the weights of the centre view (sum 1) and g, each a flat tensor.

    g is scaled so that 2 E[u g] equals `lens.rho` on these very samples, and limited to [-1, 1]; a `rho` beyond
    what the shape can give raises ValueError.
    """
    axis = (torch.arange(samples, dtype=torch.float64) + 0.5) * (2 / samples) - 1
    w, u = torch.meshgrid(axis, axis, indexing="ij")
    weight = _opening(lens, u, w)
    keep = weight > 0
    u, w, weight = u[keep], w[keep], weight[keep] / weight.sum()
    return u.float(), w.float(), weight.float(), _split(lens, u, weight).float()


def _opening(lens: Lens, u: Tensor, w: Tensor) -> Tensor:
    radius = torch.hypot(u, w)
    inside = radius <= 1
    if lens.blades:
        step = 2 * math.pi / lens.blades
        angle = torch.atan2(w, u)
        inside &= radius * torch.cos((angle + step / 2) % step - step / 2) <= 0.5 + 0.5 * torch.cos(
            torch.tensor(step / 2)
        )
    if lens.clip != (0.0, 0.0):
        inside &= torch.hypot(u - lens.clip[0], w - lens.clip[1]) <= 1.15
    q = radius.clamp_min(1e-9) ** (2 * lens.rim_order)
    rise = 2 * q / (1 + q)
    return inside * (1 - lens.rim * (1 - rise) if lens.rim >= 0 else 1 + lens.rim * rise)


def _split(lens: Lens, u: Tensor, weight: Tensor) -> Tensor:
    """A g of mean 0 with 2 E[u g] = rho: a ramp or tanh, steepened only as far as rho asks."""
    steep = 1e-3 + 1 / max(1e-3, 1 - lens.split) - 1
    shape = torch.tanh(steep * (u + lens.skew)) / torch.tanh(torch.tensor(steep))

    def g_of(gain: float) -> Tensor:
        g = (gain * shape).clamp(-1, 1)
        return (g - (weight * g).sum()).clamp(-1, 1)

    def rho_of(gain: float) -> float:
        return float(2 * (weight * u * g_of(gain)).sum())

    low, high = 0.0, 1e4
    if rho_of(high) < lens.rho:
        raise ValueError(f"rho={lens.rho} is more than this pupil can give ({rho_of(high):.3f}); choose a smaller rho")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rho_of(middle) < lens.rho else (low, middle)
    return g_of(high)


def reach_px(lens: Lens, blur_px: float) -> int:
    """How far a kernel reaches from its centre, in whole pixels."""
    return int(abs(blur_px) * (1 + abs(lens.decentre)) + 3 * _softness(lens, blur_px) + 2)


def _softness(lens: Lens, blur_px: float) -> float:
    return float((lens.softness_px**2 + (lens.softness_rel * blur_px) ** 2) ** 0.5)


@lru_cache(maxsize=4096)
def kernels(lens: Lens, blur_px: float, reach: int | None = None) -> Tensor:
    """Left and right point-spread function of one signed blur radius: 2 x K x K, K = 2 reach + 1, each of sum 1.

    Pupil samples are splatted bilinearly, which keeps d = rho c below one pixel (area sampling does not).
    To be applied by convolution, not correlation. `reach` defaults to `reach_px`. Results are remembered: do not change
    them in place.
    """
    reach = reach_px(lens, blur_px) if reach is None else reach
    u, w, weight, g = pupil(lens, _samples(blur_px))
    size = 2 * reach + 1
    x, y = reach + blur_px * (u + lens.decentre), reach + blur_px * w
    left_edge, top_edge = x.floor(), y.floor()
    views = torch.stack([weight * (1 - g), weight * (1 + g)])
    out = torch.zeros(2, size * size)
    for dx, wx in ((0, 1 - (x - left_edge)), (1, x - left_edge)):
        for dy, wy in ((0, 1 - (y - top_edge)), (1, y - top_edge)):
            index = ((top_edge + dy) * size + left_edge + dx).long().clamp(0, size * size - 1)
            out.index_add_(1, index, views * (wx * wy))
    return _soften(out.view(2, size, size), _softness(lens, blur_px))


def _samples(blur_px: float) -> int:
    """At least four pupil samples for each pixel of the kernel, in steps that let `pupil` be remembered."""
    return 32 * max(1, -(-int(8 * abs(blur_px)) // 32))


def _soften(kernel: Tensor, sigma_px: float) -> Tensor:
    if sigma_px < 0.05:
        return kernel / kernel.sum((1, 2), keepdim=True)
    half = kernel.shape[-1] // 2
    x = torch.arange(-half, half + 1, dtype=torch.float32)
    blur = torch.exp(-0.5 * ((x[:, None] - x[None, :]) / sigma_px) ** 2)
    kernel = blur @ kernel @ blur.T
    return kernel / kernel.sum((1, 2), keepdim=True)

"""Point-spread functions of the two half apertures: k_L = C (1 - g), k_R = C (1 + g), each of sum 1.

Pupil coordinates (u, w) fill the unit disc. A point with the signed blur radius c is imaged at the offset c (u, w), so
one formula serves both sides of the focal plane. The disparity is d = x_R - x_L = rho c with rho = 2 E[u g] for every
c: behind the focal plane, content lies further right in the right view.

There are two families of pupils. In the even one, C is even and g odd in u, so k_R is the mirror image of k_L. In the
one-sided one (`Lens.side`), the pupil is divided by a line off its centre, each view sees one part, and both views are
scaled to the same brightness: the narrow view is a crescent, the broad one nearly the whole aperture, as at the sides
of a phone's pictures (Xin et al., "Defocus map estimation and deblurring from a single dual-pixel image", ICCV 2021,
measured on their kernels).

Example:
    >>> import torch
    >>> pair = kernels(Lens(rho=0.4), 6.0)  # 2 x K x K
    >>> columns = torch.arange(pair.shape[-1]) * 1.0
    >>> left, right = (pair.sum(1) * columns).sum(1)
    >>> round(float(right - left), 2)  # rho times the blur radius
    2.4
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lens:
    """The shape of the point-spread functions, independent of their size.

    Attributes:
        rho: Disparity per signed blur radius, 0 < rho < 0.849 (the ideal half disc).
        rim: 0 for a flat disc, up to 1 for a dark centre with a bright rim (Abuolaim et al., ICCV 2021), below 0 for a
            bright centre.
        rim_order: How steep the transition to the rim is.
        split: 0 makes g a ramp in u; 1 makes it a step (an ideal half disc); between, a saturating tanh.
        softness_px: Standard deviation of a Gaussian that softens the edge, in pixels, for every c.
        softness_rel: The same in units of |c|.
        blades: Number of straight aperture blades, 0 for a round opening; even numbers keep the mirror symmetry exact.
        skew: Shifts the split off the pupil's centre, as at the sides of the frame; 0 keeps the views mirror images.
        clip: Centre (x, y) of a second disc, of radius 1.15, that clips the pupil off axis ("cat's eye"); (0, 0) for
            none.
        decentre: Offset of the whole opening from the lens's centre along u, in units of its radius: both views of a
            point move by decentre * c from its sharp position.
        side: None for the even family. A number chooses the one-sided one: the right view sees what lies at u > -side,
            the left one the rest, with a transition as wide as `rho` requires. It has full effect below a blur radius
            of 8 px and decreases beyond, to a half at 15 px.
        rim_growth: Added to `rim` for each 10 px of signed blur radius, as spherical aberration does.
        shade: Gradients of the pupil's transmission in both views, as exponents at its edge: along w, upright (u^2 -
            w^2) and diagonal (2 u w).
        uneven: The same gradients, with opposite signs in the two views.
        aberrations: Transverse ray aberrations in pixels at the pupil's edge: spherical, coma along u and w,
            astigmatism upright and diagonal. They add to the blur whatever its radius is.
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
    side: float | None = None
    rim_growth: float = 0.0
    shade: tuple[float, float, float] = (0.0, 0.0, 0.0)
    uneven: tuple[float, float, float] = (0.0, 0.0, 0.0)
    aberrations: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)


@lru_cache(maxsize=64)
def pupil(lens: Lens, samples: int = 96, blur_px: float = 0.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sample the pupil.

    Args:
        lens: Its shape.
        samples: Samples along its diameter.
        blur_px: Signed blur radius; it matters only for lenses whose pupil changes with it.

    Returns:
        u, w, the weights of the mean of both views (sum 1) and g, each a flat tensor. g lies in [-1, 1] and has mean 0;
        2 E[u g] over these samples equals `lens.rho`.

    Raises:
        ValueError: The shape cannot have such a large `rho`.
    """
    u, w = positions(lens.blades, lens.clip, samples)
    weight = _transmission(lens, samples, blur_px)
    if lens.side is not None:
        weight, g = _one_sided(lens, u, w, weight, blur_px)
    else:
        g = _split(lens, u, weight)
    return u.float(), w.float(), weight.float(), g.float()


@lru_cache(maxsize=64)
def positions(blades: int, clip: tuple[float, float], samples: int) -> tuple[Tensor, Tensor]:
    """The samples u and w, flat, that lie within an opening (see `Lens`), `samples` along the pupil's diameter."""
    axis = (torch.arange(samples, dtype=torch.float64) + 0.5) * (2 / samples) - 1
    w, u = torch.meshgrid(axis, axis, indexing="ij")
    keep = _inside(blades, clip, u, w)
    return u[keep], w[keep]


def _transmission(lens: Lens, samples: int, blur_px: float) -> Tensor:
    """Weights of the samples, of sum 1."""
    rise, shade = _unblurred(lens, samples)
    rim = max(-0.9, min(0.9, lens.rim + lens.rim_growth * blur_px / 10)) if lens.rim_growth else lens.rim
    opening = (1 - rim * (1 - rise) if rim >= 0 else 1 + rim * rise) * shade
    return opening / opening.sum()


@lru_cache(maxsize=64)
def _unblurred(lens: Lens, samples: int) -> tuple[Tensor, Tensor]:
    """What does not depend on the blur: how far each sample belongs to the rim, and the gradients."""
    u, w = positions(lens.blades, lens.clip, samples)
    q = torch.hypot(u, w).clamp_min(1e-9) ** (2 * lens.rim_order)
    return 2 * q / (1 + q), tilts(lens.shade, u, w).exp()


def _inside(blades: int, clip: tuple[float, float], u: Tensor, w: Tensor) -> Tensor:
    radius = torch.hypot(u, w)
    there = radius <= 1
    if blades:
        step = 2 * math.pi / blades
        angle = torch.atan2(w, u)
        there &= radius * torch.cos((angle + step / 2) % step - step / 2) <= 0.5 + 0.5 * torch.cos(
            torch.tensor(step / 2)
        )
    if clip != (0.0, 0.0):
        there &= torch.hypot(u - clip[0], w - clip[1]) <= 1.15
    return there


def tilts(amounts: tuple[float, float, float], u: Tensor, w: Tensor) -> Tensor:
    """Gradients over the pupil: along w, upright and diagonal."""
    return amounts[0] * w + amounts[1] * (u * u - w * w) + amounts[2] * 2 * u * w


def _one_sided(lens: Lens, u: Tensor, w: Tensor, weight: Tensor, blur_px: float) -> tuple[Tensor, Tensor]:
    """Weights of the mean of both views, and g, with a dividing edge as wide as rho requires."""
    assert lens.side is not None
    line = u + lens.side * max(0.25, 1 - max(0.0, abs(blur_px) - 8) / 14)
    tilt = tilts(lens.uneven, u, w)

    def views_of(log_sharpness: float) -> tuple[Tensor, Tensor]:
        seen = torch.sigmoid(line * (4 * math.exp(log_sharpness)) + tilt).mul_(weight)
        left = weight - seen
        return left / left.sum(), seen / seen.sum()

    def rho_of(log_sharpness: float) -> float:
        left, right = views_of(log_sharpness)
        return float(torch.dot(u, right) - torch.dot(u, left))

    left, right = views_of(_root(rho_of, lens.rho, -math.log(1e3), -math.log(1e-2)))
    both = left + right
    return both / 2, (right - left) / both


def largest_rho(lens: Lens) -> float:
    """The largest `rho` that a lens of this shape can have at blur radii of -30, 0 and 30 px.

    Raises:
        ValueError: Not even 0.04 is possible.
    """
    for rho in torch.linspace(0.84, 0.04, 41).tolist():
        try:
            for blur_px in (-30.0, 0.0, 30.0):
                pupil(replace(lens, rho=rho), 32, blur_px)
        except ValueError:
            continue
        return float(rho)
    raise ValueError(f"no rho of 0.04 or more is possible with {lens}")


def _split(lens: Lens, u: Tensor, weight: Tensor) -> Tensor:
    """A g of mean 0 with 2 E[u g] = rho: a ramp or tanh, no steeper than rho requires."""
    steep = 1e-3 + 1 / max(1e-3, 1 - lens.split) - 1
    shape = torch.tanh(steep * (u + lens.skew)) / torch.tanh(torch.tensor(steep))

    def g_of(gain: float) -> Tensor:
        g = (gain * shape).clamp(-1, 1)
        return (g - (weight * g).sum()).clamp(-1, 1)

    def rho_of(gain: float) -> float:
        return float(2 * (weight * u * g_of(gain)).sum())

    low, reached, most = 0.0, 2.0, 1e4
    while reached < most and rho_of(reached) < lens.rho:
        low, reached = reached, 2 * reached
    return g_of(_root(rho_of, lens.rho, low, min(reached, most)))


def _root(rho_of: Callable[[float], float], rho: float, low: float, high: float) -> float:
    """Where a rising function, less than `rho` at `low`, is `rho`, to 1e-10.

    Illinois variant of regula falsi (Dowell and Jarratt, BIT 1971): each evaluation goes over the whole pupil, and
    bisection would need dozens.

    Raises:
        ValueError: It is less than `rho` at `high` too.
    """
    at_low, at_high, moved = rho_of(low) - rho, rho_of(high) - rho, 0
    if at_high < 0:
        raise ValueError(f"rho={rho} is more than this pupil allows ({at_high + rho:.3f}); choose a smaller rho")
    for _ in range(60):
        middle = (low * at_high - high * at_low) / (at_high - at_low) if at_high > at_low else (low + high) / 2
        value = rho_of(middle) - rho
        if abs(value) < 1e-10:
            return middle
        if value < 0:
            low, at_low, at_high = middle, value, at_high / 2 if moved < 0 else at_high
        else:
            high, at_high, at_low = middle, value, at_low / 2 if moved > 0 else at_low
        moved = -1 if value < 0 else 1
    return high


def stopped_down(lens: Lens) -> Lens:
    """The same lens with a small aperture, for the mean of both views: neither one-sided nor with aberrations."""
    straight = Lens(rho=min(lens.rho, 0.1), rim=lens.rim, rim_order=lens.rim_order, blades=lens.blades, clip=lens.clip)
    return replace(straight, softness_px=0.2, softness_rel=lens.softness_rel, decentre=lens.decentre)


def reach_px(lens: Lens, blur_px: float) -> int:
    """Radius of the kernel's support in whole pixels, for a signed blur radius."""
    spherical, *others = (abs(amount) for amount in lens.aberrations)
    farthest = abs(blur_px) * (1 + abs(lens.decentre)) + spherical + 2 * sum(others)
    return int(farthest + 3 * softness_px(lens, blur_px) + 2)


def softness_px(lens: Lens, blur_px: float) -> float:
    """Standard deviation in pixels of the Gaussian that softens the kernel."""
    return float((lens.softness_px**2 + (lens.softness_rel * blur_px) ** 2) ** 0.5)


@lru_cache(maxsize=4096)
def kernels(lens: Lens, blur_px: float, reach: int | None = None) -> Tensor:
    """Left and right point-spread function for one signed blur radius.

    Pupil samples are splatted bilinearly, which keeps d = rho c exact below one pixel too (area sampling does not).

    Args:
        lens: The shape.
        blur_px: Signed blur radius in pixels.
        reach: Radius of the kernels' support in pixels; `reach_px` by default.

    Returns:
        2 x K x K, K = 2 reach + 1, each of sum 1, to be applied by convolution, not correlation. Results are cached: do
        not change them in place.
    """
    reach = reach_px(lens, blur_px) if reach is None else reach
    u, w, weight, g = pupil(lens, samples_for(blur_px), blur_px if changes_with_blur(lens) else 0.0)
    size = 2 * reach + 1
    aside, down = transverse(lens, u, w)
    x, y = reach + blur_px * (u + lens.decentre) + aside, reach + blur_px * w + down
    left_edge, top_edge = x.floor(), y.floor()
    views = torch.stack([weight * (1 - g), weight * (1 + g)])
    out = torch.zeros(2, size * size)
    for dx, wx in ((0, 1 - (x - left_edge)), (1, x - left_edge)):
        for dy, wy in ((0, 1 - (y - top_edge)), (1, y - top_edge)):
            index = ((top_edge + dy) * size + left_edge + dx).long().clamp(0, size * size - 1)
            out.index_add_(1, index, views * (wx * wy))
    return _soften(out.view(2, size, size), softness_px(lens, blur_px))


def changes_with_blur(lens: Lens) -> bool:
    """Whether the pupil depends on the blur."""
    return bool(lens.side or lens.rim_growth)


def transverse(lens: Lens, u: Tensor, w: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """Transverse ray aberration at (u, w), in pixels along u and w (Welford, Aberrations of Optical Systems, 1986).

    Spherical aberration is balanced by defocus and coma by a shift, so that the picture stays where it is.
    """
    if not any(lens.aberrations):
        return 0.0, 0.0
    spherical, along_u, along_w, upright, diagonal = lens.aberrations
    radial = 3 * spherical * (u * u + w * w - 2 / 3)
    aside = along_u * (3 * u * u + w * w - 1) + along_w * 2 * u * w + upright * u + diagonal * w
    down = along_w * (u * u + 3 * w * w - 1) + along_u * 2 * u * w - upright * w + diagonal * u
    return radial * u + aside, radial * w + down


def samples_for(blur_px: float) -> int:
    """At least four pupil samples for each pixel of the kernel, rounded up so that few different pupils are cached."""
    return 32 * max(1, -(-int(8 * abs(blur_px)) // 32))


def _soften(kernel: Tensor, sigma_px: float) -> Tensor:
    if sigma_px < 0.05:
        return kernel / kernel.sum((1, 2), keepdim=True)
    half = kernel.shape[-1] // 2
    x = torch.arange(-half, half + 1, dtype=torch.float32)
    blur = torch.exp(-0.5 * ((x[:, None] - x[None, :]) / sigma_px) ** 2)
    kernel = blur @ kernel @ blur.T
    return kernel / kernel.sum((1, 2), keepdim=True)

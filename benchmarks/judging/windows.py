"""Windows of 64 px: how much they are blurred, what is left of the error there, and texture that nobody saw ("worms").

A defocused picture has lost nearly everything above the first zero of a disc's transfer, at 0.61 / c cycles per pixel
for a blur radius of c pixels. A result may put back what it infers there, but no more power than the truth has.
"""

from collections.abc import Callable

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2

SIDE, STEP = 64, 32
ZERO = 0.61  # of a disc's transfer, times the radius
HIGHEST = 0.35  # cycles per pixel; above it lie noise and the corners of the spectrum
RINGS = 14  # of equal width up to HIGHEST: wide enough that power in one is no matter of luck
RADII = (0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16)
CLASSES = {"< 3 px": (0, 3), "3-7 px": (3, 7), "7-10 px": (7, 10), "10-14 px": (10, 14), "> 14 px": (14, 1e9)}
BLURRED = tuple(CLASSES)[1:]
LEAST_CONTRAST = 1.5
SMALL = 1e-12


def windows(picture: np.ndarray) -> np.ndarray:
    """H W -> N x 64 x 64, row by row, 32 px apart."""
    view = np.lib.stride_tricks.sliding_window_view(picture, (SIDE, SIDE))[::STEP, ::STEP]
    return view.reshape(-1, SIDE, SIDE)


def places(shape: tuple[int, int]) -> np.ndarray:
    """The x of every window's middle, N, from -1 to 1 over the width."""
    rows, columns = ((length - SIDE) // STEP + 1 for length in shape)
    x = (np.arange(columns) * STEP + SIDE / 2) / shape[1] * 2 - 1
    return np.tile(x, rows)


def errors(output: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean square error of every window, N; both H W or H W 3."""
    squared = (output - truth) ** 2
    return windows(squared if squared.ndim == 2 else squared.mean(2)).mean((1, 2))


def excess(output: np.ndarray, truth: np.ndarray, radius_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power beyond the truth's in the bands that blur has removed, and the truth's power there, N each.

    output, truth: H W, display-encoded in [0, 1]. radius_px: N, of every window; both are 0 where no band is removed
    and where the radius is not known (NaN).
    """
    removed = np.arange(RINGS) * (HIGHEST / RINGS) >= ZERO / np.maximum(np.nan_to_num(radius_px), SMALL)[:, None]
    made, true = _ring_powers(output), _ring_powers(truth)
    return (np.maximum(made - true, 0) * removed).sum(1), (true * removed).sum(1)


def _ring_powers(picture: np.ndarray) -> np.ndarray:
    """N x RINGS."""
    hann = np.hanning(SIDE + 2)[1:-1]
    cut = windows(picture)
    spectra = np.abs(np.fft.rfft2((cut - cut.mean((1, 2), keepdims=True)) * (hann[:, None] * hann))) ** 2
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    ring = np.floor(frequency / (HIGHEST / RINGS)).astype(int)
    twice = np.where((np.arange(SIDE // 2 + 1) % (SIDE // 2)) == 0, 1.0, 2.0)  # the half that rfft2 leaves out
    member = (ring[..., None] == np.arange(RINGS)) * twice[None, :, None]
    return spectra.reshape(len(spectra), -1) @ member.reshape(-1, RINGS) / SIDE**4


def known_radius(blur_px: np.ndarray) -> np.ndarray:
    """Blur radius of every window, N, from a map of it: what a tenth of the window stays below, so that a sharp object
    in it is not held for texture that nobody saw."""
    return np.quantile(windows(np.abs(blur_px)), 0.1, axis=(1, 2))


def fitted_radius(
    blurred: np.ndarray, truth: np.ndarray, decode: Callable[[np.ndarray], np.ndarray],
    encode: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:  # fmt: skip
    """Radius in pixels of the disc that makes the truth most like the blurred picture, N, at most the last of `RADII`,
    by a parabola between these; NaN where all do alike.

    Both H W, display-encoded; `decode` and `encode` lead to linear light and back.
    """
    linear = decode(truth)
    off = np.stack([errors(blurred, encode(disc_blur(linear, radius)) if radius else truth) for radius in RADII])
    return np.where(off.max(0) >= LEAST_CONTRAST * off.min(0), _lowest(off), np.nan)


def _lowest(off: np.ndarray) -> np.ndarray:
    """Where the errors at `RADII`, n N, are lowest: the vertex of the parabola through the three next to the least."""
    radii, least = np.array(RADII, dtype=float), off.argmin(0)
    inner = np.clip(least, 1, len(radii) - 2)
    x = radii[[inner - 1, inner, inner + 1]]
    y = np.take_along_axis(off, np.stack([inner - 1, inner, inner + 1]), 0)
    first, last = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    bend = np.maximum((last - first) / (x[2] - x[0]), SMALL)
    between = np.clip((x[0] + x[1]) / 2 - first / (2 * bend), x[0], x[2])
    return np.where(least == 0, 0.0, between)


def disc_blur(picture: np.ndarray, radius_px: float) -> np.ndarray:
    """H W under an even disc with a soft edge of one pixel, mirrored beyond its borders."""
    reach = int(radius_px) + 2
    axis = np.arange(-reach, reach + 1)
    disc = np.clip(radius_px + 0.5 - np.hypot(axis[:, None], axis), 0, 1)
    padded = np.pad(picture, reach, mode="reflect")
    size = [next_fast_len(length + 2 * reach, real=True) for length in padded.shape]
    spread = irfft2(rfft2(padded, size) * rfft2(disc / disc.sum(), size), size)
    return spread[2 * reach : 2 * reach + picture.shape[0], 2 * reach : 2 * reach + picture.shape[1]]


def in_class(radius_px: np.ndarray, name: str) -> np.ndarray:
    low, high = CLASSES[name]
    return (radius_px >= low) & (radius_px < high)


def worms(excesses: np.ndarray, powers: np.ndarray, radius_px: np.ndarray) -> dict[str, float]:
    """Excess over the truth's power, each summed over the windows: by class, of "all" classes from 3 px, and of the
    "worst" tenth of these windows, as if all were like them. NaN for a class without windows."""
    of_class = {name: in_class(radius_px, name) for name in BLURRED}
    some = np.logical_or.reduce(list(of_class.values()))
    figures = {name: _ratio(excesses[chosen].sum(), powers[chosen].sum()) for name, chosen in of_class.items()}
    figures["all"] = _ratio(excesses[some].sum(), powers[some].sum())
    tenth = np.sort(excesses[some])[-max(1, some.sum() // 10) :]
    figures["worst"] = _ratio(tenth.mean(), powers[some].mean()) if some.any() else float("nan")
    return figures


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below > 0 else float("nan")

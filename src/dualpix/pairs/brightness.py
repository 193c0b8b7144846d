"""Match the brightness of the two views where the program that exported them did not."""

from torch import Tensor

CLIPPED = 0.98  # pixels above this level may be clipped and do not count
LEAST_RATIO = 1.15  # smaller ratios are left alone, which costs networks nothing measurable (`docs/cameras.md`)


def match_brightness(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, str]:
    """Brighten the darker view to match the other, if the mean brightness of both differs noticeably (by 15 % or more).

    One gain is applied to the display-encoded values. Since the sRGB curve is close to a power function, that equals a
    change of exposure.

    Args:
        left: Left view, 3 x H x W in [0, 1], display-encoded.
        right: Right view, of the same shape.

    Returns:
        Both views, clipped to [0, 1], and a sentence that says what was done; empty where nothing was.

    Example:
        >>> import torch
        >>> left, right, note = match_brightness(torch.full((3, 16, 16), 0.6), torch.full((3, 16, 16), 0.3))
        >>> note
        'The left view is 2.00 times as bright as the other, which was brightened to match.'
    """
    counted = (left < CLIPPED) & (right < CLIPPED)
    a, b = (float((view * counted).sum()) for view in (left, right))
    ratio = max(a, b) / max(min(a, b), 1e-6)
    if ratio < LEAST_RATIO or not counted.any():
        return left, right, ""
    brighter = "left" if a > b else "right"
    note = f"The {brighter} view is {ratio:.2f} times as bright as the other, which was brightened to match."
    if a > b:
        return left, (right * ratio).clamp(0, 1), note
    return (left * ratio).clamp(0, 1), right, note

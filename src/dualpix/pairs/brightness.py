"""Make one view as bright as the other, where the program that exported them did not."""

from torch import Tensor

CLIPPED = 0.98  # from here on a level says only how much light there was at least
LEAST_RATIO = 1.15  # below, views are used as they are, which costs networks nothing measurable (`docs/cameras.md`)


def match_brightness(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, str]:
    """Both views 3 x H x W in [0, 1] with the darker one raised to the other, and a sentence that says so, or "".

    By one gain on the display-encoded levels: under the sRGB curve, nearly a power, that is a gain in exposure.
    """
    counted = (left < CLIPPED) & (right < CLIPPED)
    a, b = (float((view * counted).sum()) for view in (left, right))
    ratio = max(a, b) / max(min(a, b), 1e-6)
    if ratio < LEAST_RATIO or not counted.any():
        return left, right, ""
    brighter = "left" if a > b else "right"
    told = f"The {brighter} view is {ratio:.2f} times as bright as the other, which was made as bright."
    if a > b:
        return left, (right * ratio).clamp(0, 1), told
    return (left * ratio).clamp(0, 1), right, told

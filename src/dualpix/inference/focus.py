"""What a picture is to be focused on, and how widely it is to be blurred elsewhere."""

import math
from dataclasses import dataclass
from typing import Any

from dualpix.errors import PictureError, option

MOST_APERTURE = 8.0
MOST_HIGHLIGHTS = 16.0
RHOS = (0.05, 0.85)  # up to the ideal half disc


@dataclass(frozen=True, kw_only=True)
class Refocus:
    """Another plane in focus and another aperture than the camera had; fields are keywords of `dualpix.refocus`.

    Args:
        focus_px: the disparity, x_right - x_left in pixels, of what is to be in focus: 0 for the plane that was,
            above for what lies behind it, below for what lies in front.
        focus_at: (x, y), a point of the picture whose own disparity is taken instead; columns from the left and rows
            from the top, as the picture's pixels lie in its file.
        aperture: its diameter relative to the camera's: 0 leaves everything sharp, 1 blurs as much as the camera did,
            2 twice as widely. At most 8.
        rho: disparity per radius of blur, which depends on lens and f-number; None finds the one with which aperture 1
            gives the photograph again, and `dualpix calibrate` measures it.
        highlights: how many times as bright small clipped highlights are taken to be as a file can show; 1 for as they
            stand there. At most 16.
        blades: of the aperture, from 5 on; 0 for a round one.

    Raises:
        PictureError: for a value out of its range, or two planes in focus.
    """

    focus_px: float = 0.0
    focus_at: tuple[int, int] | None = None
    aperture: float = 1.0
    rho: float | None = None
    highlights: float = 2.0
    blades: int = 0

    def __post_init__(self) -> None:
        _check("aperture", self.aperture, 0, MOST_APERTURE, "0 leaves everything sharp, and 1 blurs as the camera did")
        if self.rho is not None:
            _check("rho", self.rho, *RHOS, "it is disparity per radius of blur")
        _check("highlights", self.highlights, 1, MOST_HIGHLIGHTS, "1 leaves highlights as they are")
        if not _is_number(self.focus_px):
            raise PictureError(
                f"The focus cannot be {self.focus_px!r}; give a disparity in pixels, such as 2.5, or a point by"
                f" {option('focus-at', None)}."
            )
        if type(self.blades) is not int or not (self.blades == 0 or 5 <= self.blades <= 12):
            raise PictureError(f"An aperture cannot have {self.blades!r} blades; give 5 to 12, or 0 for a round one.")
        if self.focus_at is not None:
            self._check_point(self.focus_at)

    def _check_point(self, point: Any) -> None:
        if not isinstance(point, tuple) or len(point) != 2 or any(type(part) is not int or part < 0 for part in point):
            raise PictureError(
                f"{point!r} is no point to focus on; give its column and its row, counted from 0 at the top left."
            )
        if self.focus_px:
            both = f"{option('focus', None, python='focus_px=')} and {option('focus-at', None)}"
            raise PictureError(f"A picture has one plane in focus, and {both} each ask for one; give one of them.")


def _check(name: str, value: Any, least: float, most: float, meaning: str) -> None:
    if not _is_number(value) or not least <= value <= most:
        raise PictureError(f"{name} must be a number from {least:g} to {most:g}, not {value!r}; {meaning}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def parse_point(text: str) -> tuple[int, int]:
    """A point from a text such as "800,450". Raises `PictureError` for another."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise PictureError(f"{text!r} is no point to focus on; give its column and its row, such as 800,450.")
    return int(parts[0]), int(parts[1])

"""The options for depth in metres: lens, focus, sensor and rho, where the pictures do not tell them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dualpix.machine.urls import Location

FocusDistance = Annotated[
    float | None,
    typer.Option("--focus-distance", metavar="M", help="For metres: the distance in focus, or inf; else from EXIF."),
]
FNumber = Annotated[
    float | None, typer.Option("--f-number", metavar="N", help="For metres: the f-number; else from EXIF.")
]
FocalLength = Annotated[
    float | None,
    typer.Option("--focal-length", metavar="MM", help="For metres: the lens's focal length; else from EXIF."),
]
PixelPitch = Annotated[
    float | None,
    typer.Option(
        "--pixel-pitch", metavar="UM", help="For metres: the sensor's width over the picture's, in micrometres a pixel."
    ),
]
SensorWidth = Annotated[
    float | None,
    typer.Option("--sensor-width", metavar="MM", help="For metres, in place of the pitch; 36 for full frame."),
]
Rho = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER|FILE", help="For metres: disparity for a pixel of blur radius, or what calibrate -o wrote."
    ),
]
RhoFall = Annotated[
    float | None, typer.Option("--rho-fall", metavar="SHARE", help="For metres: how much of rho is lost at the sides.")
]


@dataclass(frozen=True)
class GivenOptics:
    """What was given of the optics."""

    focus_m: float | None = None
    f_number: float | None = None
    focal_mm: float | None = None
    pitch_um: float | None = None
    sensor_mm: float | None = None
    rho: str | None = None
    rho_fall: float | None = None

    def check(self, metres: Location | None) -> None:
        """Refuse optics that are of no use, since no metres are asked for."""
        if metres is None and self != GivenOptics():
            raise typer.BadParameter("give lens, focus and rho together with --metres OUT", param_hint="--metres")

    def known(self) -> dict[str, float | None]:
        """What was given, as keywords of `Optics.of`. Raises `DataError` for a file that holds no rho."""
        rho, fall = (None, None) if self.rho is None else rho_of(self.rho)
        return {
            "focus_m": self.focus_m,
            "f_number": self.f_number,
            "focal_mm": self.focal_mm,
            "pitch_um": self.pitch_um,
            "sensor_mm": self.sensor_mm,
            "rho": rho,
            "rho_fall": fall if self.rho_fall is None else self.rho_fall,
        }


def rho_of(text: str) -> tuple[float, float | None]:
    """rho, and its share lost at the sides, of a number or of a calibration's file; raises `DataError`."""
    try:
        return float(text), None
    except ValueError:
        from dualpix.calibration.rho import read_rho

        return read_rho(Path(text))

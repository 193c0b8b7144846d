"""Metres out of disparity, and disparity out of metres, by the thin lens."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from dualpix.errors import DataError, option, told
from dualpix.io.camera_settings import CameraSettings, camera_settings
from dualpix.simulation.camera import Camera

MOST_RHO = 0.85
"""The ideal half disc's, 8 / (3 pi)."""

SPLIT_SLOPE, SPLIT_LIMIT = 4.0, 0.69
"""How the pixels of a Canon EOS R6 Mark II split the light by the slope t of its rays, g = limit tanh(slope t / limit):
fitted to the micro-lens that Sdirt traces rays through (ICCV 2025, arXiv 2503.11213)."""

USUAL_FALL = 0.55
"""Share of rho that two Canons lose at the sides (`results/calibration-dpdd-preview.md`, `results/metres.md`)."""

ERROR_PX = 0.1


@dataclass(frozen=True, kw_only=True)
class Optics:
    """What turns disparity into metres: how the lens stood, and how the sensor splits its light.

    A thin lens of focal length f and f-number N, focused at the distance S, blurs a point at the distance z to a disc
    whose signed radius, in pixels of the pitch p, is c = A (1 / S - 1 / z) with A = f^2 / (2 p N (1 - f / S)), positive
    behind the plane in focus (Potmesil and Chakravarty, SIGGRAPH 1981). The disparity is d = rho(x) c, so it is affine
    in 1 / z (Garg et al., ICCV 2019), with rho(x) = rho (1 - rho_fall x^2) and x from -1 to 1 along the row, as
    `dualpix calibrate` measures it. Hence 1 / z = 1 / S - d / (rho(x) A).

    Args:
        focus_m: Distance of the plane in focus from the lens in metres; `math.inf` for infinity.
        f_number: Focal length over the diameter of the aperture.
        focal_mm: Focal length in millimetres; the lens's own, not the equivalent on 35-mm film.
        pitch_um: Pitch of the picture's pixels in micrometres: the sensor's width over the picture's.
        rho: Disparity for one pixel of blur radius, in the middle of the picture; None takes that of a Canon EOS R6
            Mark II at this f-number, and that of other cameras may be half as large again.
        rho_fall: Share of rho that is lost at the left and right edge; None takes that of two Canons, 0.55.

    Raises:
        DataError: No lens, sensor or picture has such a value.

    Example:
        >>> optics = Optics(focus_m=1, f_number=4, focal_mm=50, pitch_um=36000 / 1680, rho=0.3, rho_fall=0)
        >>> disparity_px = optics.disparity_px(torch.tensor([[0.8, 1.0, 2.0]]))
        >>> [round(value, 2) for value in disparity_px[0].tolist()]
        [-1.15, 0.0, 2.3]
        >>> [round(value, 2) for value in optics.depth_m(disparity_px)[0].tolist()]
        [0.8, 1.0, 2.0]
    """

    focus_m: float
    f_number: float
    focal_mm: float
    pitch_um: float
    rho: float | None = None
    rho_fall: float | None = None

    def __post_init__(self) -> None:
        for quantity in (FOCUS, F_NUMBER, FOCAL, PITCH):
            value = getattr(self, quantity.field)
            if not value > 0 or (math.isinf(value) and quantity != FOCUS):
                raise DataError(
                    f"The {quantity.words} cannot be {value:g}; give {quantity.option} {quantity.unit}, above 0."
                )
        if self.focus_m * 1000 <= self.focal_mm:
            raise DataError(
                f"A lens of {self.focal_mm:g} mm cannot focus at {self.focus_m:g} m; give {FOCUS.option} in metres,"
                f" more than its focal length, and {FOCAL.option} in millimetres."
            )
        if self.rho is not None and not 0 < self.rho <= MOST_RHO:
            raise DataError(
                f"rho, the disparity for a pixel of blur radius, cannot be {self.rho:g}; give {RHO} above 0 and up to"
                f" {MOST_RHO}."
            )
        if self.rho_fall is not None and not 0 <= self.rho_fall < 1:
            raise DataError(
                f"The share of rho that is lost at the sides cannot be {self.rho_fall:g}; give {RHO_FALL} from 0 to"
                " below 1."
            )

    @classmethod
    def of(cls, views: Mapping[str, Any], **given: float | None) -> Self:
        """The optics of a pair: what is given, and the rest from the EXIF block of its views.

        Args:
            views: What `dualpix.open_views` or `dualpix.read_pair` returns.
            given: Fields of `Optics`, and `sensor_mm`, the longer side of the sensor in millimetres, in place of the
                pitch; None counts as not given.

        Returns:
            The optics.

        Raises:
            DataError: A value is impossible, or neither given nor in the EXIF block; it is named.
        """
        size_px = (int(views["left"].shape[-2]), int(views["left"].shape[-1]))
        metadata = views.get("metadata")
        settings = camera_settings(metadata.exif if metadata else None, size_px)
        return cls(**_completed(settings, size_px, {name: value for name, value in given.items() if value is not None}))

    @property
    def camera(self) -> Camera:
        """The thin lens alone."""
        return Camera(self.focal_mm, self.f_number, self.focus_m, self.pitch_um)

    @property
    def middle_rho(self) -> float:
        """The rho in the middle of the picture: the given one, or the usual one at this f-number."""
        return usual_rho(self.f_number) if self.rho is None else self.rho

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence if rho was not given."""
        if self.rho is not None:
            return ()
        return (
            told(
                f"The depth rests on the rho of a Canon EOS R6 Mark II, {self.middle_rho:.2f} at f/{self.f_number:.3g};"
                " other cameras' may be half as large again, which would bring everything nearer to the plane in focus;"
                f" measure yours with `dualpix calibrate`, and give {RHO}."
            ),
        )

    def rho_along(self, width: int) -> Tensor:
        """The rho of each pixel of a row, W."""
        x = (torch.arange(width, dtype=torch.float64) + 0.5) * (2 / width) - 1
        fall = USUAL_FALL if self.rho_fall is None else self.rho_fall
        return self.middle_rho * (1 - fall * x * x)

    def depth_m(self, disparity_px: Tensor) -> Tensor:
        """The distance of points with a disparity.

        Args:
            disparity_px: ... x W, along whole rows, as sensor rows lie.

        Returns:
            Metres from the lens, of the same shape; infinity where the disparity exceeds that of infinity.
        """
        dioptres = 1 / self.focus_m - disparity_px.double() / self._px_per_dioptre(disparity_px.shape[-1])
        return torch.where(dioptres > 0, 1 / dioptres, torch.inf).to(disparity_px.dtype)

    def disparity_px(self, depth_m: Tensor) -> Tensor:
        """The disparity of points at a distance: the inverse of `Optics.depth_m`.

        Args:
            depth_m: Metres from the lens, ... x W, along whole rows; infinity is allowed.

        Returns:
            Pixels, of the same shape.
        """
        dioptres = 1 / self.focus_m - 1 / depth_m.double()
        return (dioptres * self._px_per_dioptre(depth_m.shape[-1])).to(depth_m.dtype)

    def within(self, depth_m: float, error_px: float = ERROR_PX) -> tuple[float, float]:
        """What an error of the disparity makes of a distance in the middle of the picture.

        Args:
            depth_m: The distance in metres.
            error_px: The error in pixels, either way.

        Returns:
            The nearest and the farthest distance in metres.
        """
        error = error_px / (self.middle_rho * self.camera.blur_px_per_dioptre)
        far = 1 / depth_m - error
        return 1 / (1 / depth_m + error), 1 / far if far > 0 else math.inf

    def _px_per_dioptre(self, width: int) -> Tensor:
        return self.rho_along(width) * self.camera.blur_px_per_dioptre

    def __str__(self) -> str:
        fall = USUAL_FALL if self.rho_fall is None else self.rho_fall
        focus = "infinity" if math.isinf(self.focus_m) else f"{self.focus_m:.3g} m"
        return (
            f"{self.focal_mm:g} mm, f/{self.f_number:.3g}, focused at {focus}, pixels of {self.pitch_um:.3g} um, rho"
            f" {self.middle_rho:.2g} in the middle and {self.middle_rho * (1 - fall):.2g} at the sides"
        )


def check_given(given: Mapping[str, float | None]) -> None:
    """Refuse what no optics can have, whatever the pictures tell of the rest.

    Args:
        given: As `Optics.of` takes it.

    Raises:
        DataError: A value is impossible, or the pitch is given twice.
    """
    known = {name: value for name, value in given.items() if value is not None}
    possible = {"focus_m": math.inf, "f_number": 4.0, "focal_mm": 1e-3} | (
        {} if "sensor_mm" in known else {"pitch_um": 5.0}
    )
    Optics(**_completed(CameraSettings(), (1, 1), possible | known))


def usual_rho(f_number: float) -> float:
    """The rho of a Canon EOS R6 Mark II: 2 E[u g], with u across the lens and g how its pixels split the rays.

    g = 0.69 tanh(4 t / 0.69) of the slope t = u / (2 N): see SPLIT_SLOPE.

    Example:
        >>> [round(usual_rho(f_number), 2) for f_number in (1.8, 4, 8)]
        [0.41, 0.23, 0.12]
    """
    u = (torch.arange(512, dtype=torch.float64) + 0.5) / 256 - 1
    share = (1 - u * u).sqrt()
    split = SPLIT_LIMIT * torch.tanh(SPLIT_SLOPE / SPLIT_LIMIT * u / (2 * f_number))
    return float(2 * (share * u * split).sum() / share.sum())


@dataclass(frozen=True)
class Quantity:
    """A quantity that optics consist of.

    Attributes:
        field: The field of `Optics`.
        words: What it is called.
        name: Its option on the command line.
        unit: In which unit it is given, in words.
    """

    field: str
    words: str
    name: str
    unit: str

    @property
    def option(self) -> str:
        """How to give it, for a message."""
        return option(self.name, None, python=f"{self.field}=")


FOCUS = Quantity("focus_m", "focus distance", "focus-distance", "in metres")
F_NUMBER = Quantity("f_number", "f-number", "f-number", "such as 1.8")
FOCAL = Quantity("focal_mm", "focal length", "focal-length", "in millimetres")
PITCH = Quantity("pitch_um", "pixel pitch", "pixel-pitch", "in micrometres")
SENSOR = option("sensor-width", None, python="sensor_mm=")
RHO, RHO_FALL = option("rho", None), option("rho-fall", None)


def _completed(settings: CameraSettings, size_px: tuple[int, int], given: dict[str, float]) -> dict[str, float]:
    """All fields of `Optics` that are known, what is given before what EXIF tells."""
    found = {"focus_m": settings.focus_m, "f_number": settings.f_number, "focal_mm": settings.focal_mm}
    known = {name: value for name, value in found.items() if value is not None} | given
    sensor_mm = known.pop("sensor_mm", None)
    if sensor_mm is not None and PITCH.field in given:
        raise DataError(f"The pixel pitch is given twice; give {PITCH.option} or {SENSOR}, not both.")
    if sensor_mm is not None and not 0 < sensor_mm < math.inf:
        raise DataError(f"A sensor cannot be {sensor_mm:g} mm wide; give {SENSOR} above 0.")
    sensor_mm = sensor_mm or settings.sensor_mm
    if sensor_mm and PITCH.field not in known:
        known[PITCH.field] = sensor_mm * 1000 / max(size_px)
    if missing := [quantity for quantity in (FOCUS, F_NUMBER, FOCAL, PITCH) if quantity.field not in known]:
        words = _listed([quantity.words for quantity in missing])
        ways = [f"{quantity.option} {quantity.unit}" for quantity in missing]
        other = f" or {SENSOR} in millimetres" if PITCH in missing else ""
        raise DataError(
            f"For metres the {words} must be known, and the pictures do not say: give {_listed(ways)}{other}."
        )
    return known


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

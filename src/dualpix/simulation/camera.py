"""The thin lens: depth in metres to signed blur in pixels (positive behind the focal plane)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Camera:
    """A lens focused at `focus_m` in front of a sensor whose *simulated* pixels are `pitch_um` wide.

    `pitch_um` is the pitch of the picture that is simulated: the sensor's pitch times the factor of any reduction.
    """

    focal_mm: float
    f_number: float
    focus_m: float
    pitch_um: float

    def __post_init__(self) -> None:
        if self.focus_m * 1000 <= self.focal_mm:
            raise ValueError(
                f"focus_m={self.focus_m} lies inside the focal length of {self.focal_mm} mm; focus farther away"
            )

    @property
    def blur_at_infinity_px(self) -> float:
        """Signed blur radius of a point at infinity: c_inf = f^2 / (2 p N (S - f)), in pixels."""
        return self.focal_mm**2 / (2 * self.pitch_um * 1e-3 * self.f_number * (self.focus_m * 1000 - self.focal_mm))

    @property
    def blur_px_per_dioptre(self) -> float:
        """Blur radius for a dioptre (1 / m) of distance from the focal plane: A = f^2 / (2 p N (1 - f / S)), in px m.

        So c = A (1 / S - 1 / z), which holds for a lens focused at infinity too.
        """
        nearness = 1 - self.focal_mm / (self.focus_m * 1000)
        return self.focal_mm**2 / (2 * self.pitch_um * self.f_number * nearness)

    def blur_px(self, depth_m: float) -> float:
        """Signed blur radius of a point at `depth_m` along the axis: c = c_inf (1 - S / z), affine in 1 / z.

        Works elementwise on arrays and tensors too. Zero at the focal plane, negative in front of it.
        """
        return self.blur_at_infinity_px * (1 - self.focus_m / depth_m)

    def depth_m(self, blur_px: float) -> float:
        """The inverse of `blur_px`, for `blur_px` below `blur_at_infinity_px`."""
        return self.focus_m / (1 - blur_px / self.blur_at_infinity_px)


CAMERAS = {
    "5d-mark-iv-50mm-f4": Camera(focal_mm=50, f_number=4, focus_m=1, pitch_um=36000 / 1680),
    "5d-mark-iv-85mm-f4": Camera(focal_mm=85, f_number=4, focus_m=2, pitch_um=36000 / 1680),
    "pixel-4": Camera(focal_mm=4.38, f_number=1.73, focus_m=0.45, pitch_um=2.8),
}

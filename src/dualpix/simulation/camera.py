"""The thin lens: from depth in metres to signed blur in pixels (positive behind the focal plane).

Example:
    >>> camera = CAMERAS["5d-mark-iv-50mm-f4"]  # focused at 1 m
    >>> [round(camera.blur_px(depth_m), 1) for depth_m in (0.8, 1.0, 2.0)]
    [-3.8, 0.0, 7.7]
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Camera:
    """A lens in front of a sensor, focused at a distance.

    Attributes:
        focal_mm: Focal length in millimetres.
        f_number: Focal length over the diameter of the aperture.
        focus_m: Distance of the focal plane from the lens in metres; beyond the focal length, or ValueError.
        pitch_um: Pitch of the pixels of the *simulated* picture in micrometres: the sensor's pitch times the factor of
            any reduction.
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
        """Signed blur radius of a point at infinity in pixels: c_inf = f^2 / (2 p N (S - f))."""
        return self.focal_mm**2 / (2 * self.pitch_um * 1e-3 * self.f_number * (self.focus_m * 1000 - self.focal_mm))

    @property
    def blur_px_per_dioptre(self) -> float:
        """Blur radius for a dioptre (1 / m) of distance from the focal plane: A = f^2 / (2 p N (1 - f / S)), in px m.

        So c = A (1 / S - 1 / z), which holds for a lens focused at infinity too.
        """
        nearness = 1 - self.focal_mm / (self.focus_m * 1000)
        return self.focal_mm**2 / (2 * self.pitch_um * self.f_number * nearness)

    def blur_px(self, depth_m: float) -> float:
        """Signed blur radius in pixels of a point at the depth z: c = c_inf (1 - S / z), affine in 1 / z.

        Args:
            depth_m: Depth along the optical axis in metres; arrays and tensors are computed elementwise.

        Returns:
            0 at the focal plane, negative in front of it, positive behind.
        """
        return self.blur_at_infinity_px * (1 - self.focus_m / depth_m)

    def depth_m(self, blur_px: float) -> float:
        """The depth in metres at which a blur occurs: the inverse of `Camera.blur_px`, below `blur_at_infinity_px`."""
        return self.focus_m / (1 - blur_px / self.blur_at_infinity_px)


CAMERAS = {
    "5d-mark-iv-50mm-f4": Camera(focal_mm=50, f_number=4, focus_m=1, pitch_um=36000 / 1680),
    "5d-mark-iv-85mm-f4": Camera(focal_mm=85, f_number=4, focus_m=2, pitch_um=36000 / 1680),
    "pixel-4": Camera(focal_mm=4.38, f_number=1.73, focus_m=0.45, pitch_um=2.8),
}

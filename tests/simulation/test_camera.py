"""The thin lens against the worked table of the research notes and against rays drawn by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dualpix.simulation.camera import CAMERAS, Camera

CANON_PITCH_UM = 36000 / 1680
cameras = pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)


@pytest.mark.parametrize(
    ("focal_mm", "f_number", "focus_m", "pitch_um", "at_infinity_px"),
    [
        (50, 4, 1, CANON_PITCH_UM, 15.4),
        (50, 4, 2, CANON_PITCH_UM, 7.5),
        (85, 4, 2, CANON_PITCH_UM, 22.0),
        (105, 4, 1.9, CANON_PITCH_UM, 35.8),
        (50, 22, 1, CANON_PITCH_UM, 2.8),
        (4.38, 1.73, 0.45, 2.8, 4.4),
    ],
)
def test_the_blur_at_infinity_of_known_cameras(
    focal_mm: float, f_number: float, focus_m: float, pitch_um: float, at_infinity_px: float
) -> None:
    camera = Camera(focal_mm, f_number, focus_m, pitch_um)
    assert camera.blur_at_infinity_px == pytest.approx(at_infinity_px, abs=0.05)
    assert camera.blur_px(1e12) == pytest.approx(camera.blur_at_infinity_px, rel=1e-9)
    assert camera.blur_px(math.inf) == camera.blur_at_infinity_px


@cameras
def test_the_focal_plane_half_way_and_the_inverse(camera: Camera) -> None:
    assert camera.blur_px(camera.focus_m) == 0
    assert camera.blur_px(camera.focus_m / 2) == pytest.approx(-camera.blur_at_infinity_px, rel=1e-9)
    assert camera.blur_px(camera.focus_m / 3) == pytest.approx(-2 * camera.blur_at_infinity_px, rel=1e-9)
    for depth_m in (0.3, 1.0, 2.5, 40.0):
        assert camera.depth_m(camera.blur_px(depth_m)) == pytest.approx(depth_m, rel=1e-9)


@cameras
def test_blur_is_affine_in_inverse_depth(camera: Camera) -> None:
    inverse = np.linspace(0.05, 4, 30)
    blurs = np.asarray(camera.blur_px(1 / inverse))  # type: ignore[arg-type]
    assert np.abs(np.diff(blurs, 2)).max() < 1e-9 * abs(blurs).max()
    assert (np.diff(blurs) < 0).all()


@cameras
@pytest.mark.parametrize("depth_m", [0.4, 1.3, 30.0])
def test_blur_is_where_a_ray_through_the_rim_of_the_lens_lands(camera: Camera, depth_m: float) -> None:
    """Similar triangles in millimetres, with the thin-lens equation and no formula of the package."""
    z, s, f = depth_m * 1000, camera.focus_m * 1000, camera.focal_mm
    image_of_point, sensor = 1 / (1 / f - 1 / z), 1 / (1 / f - 1 / s)
    rim = f / camera.f_number / 2
    lands_mm = rim * (1 - sensor / image_of_point)  # on the axis side of the rim until rays cross
    # A point behind the focus crosses before the sensor; the picture is turned round once it is looked at.
    assert camera.blur_px(depth_m) == pytest.approx(-lands_mm / (camera.pitch_um * 1e-3), rel=1e-9)


@cameras
def test_stopping_down_and_reducing_scale_blur(camera: Camera) -> None:
    stopped = replace(camera, f_number=2 * camera.f_number)
    reduced = replace(camera, pitch_um=4 * camera.pitch_um)
    for depth_m in (0.4, 1.3, 30.0):
        assert stopped.blur_px(depth_m) == pytest.approx(camera.blur_px(depth_m) / 2, rel=1e-9)
        assert reduced.blur_px(depth_m) == pytest.approx(camera.blur_px(depth_m) / 4, rel=1e-9)


def test_tensors_go_through_element_by_element() -> None:
    camera = CAMERAS["5d-mark-iv-50mm-f4"]
    depths = torch.tensor([[0.5, 1.0], [3.0, torch.inf]], dtype=torch.float64)
    blurs = camera.blur_px(depths)  # type: ignore[arg-type]
    wanted = [[camera.blur_px(float(depth)) for depth in row] for row in depths]
    assert torch.allclose(torch.as_tensor(blurs), torch.tensor(wanted, dtype=torch.float64))


def test_a_focus_inside_the_focal_length_is_refused() -> None:
    with pytest.raises(ValueError, match="lies inside the focal length of 50 mm; focus farther away"):
        Camera(50, 4, 0.05, 5)

"""Metres out of disparity, against values worked out by hand, drawn rays and the simulator's planes."""

import math
import re

import pytest
import torch
from torch import Tensor

import dualpix
from camera_exif import F_NUMBER, FILM_LENGTH, FOCAL_LENGTH, SUBJECT_DISTANCE, exif, ratio, short
from dualpix.errors import DataError, as_flag
from dualpix.inference.optics import Optics, usual_rho
from dualpix.io import Metadata
from dualpix.simulation.camera import Camera
from dualpix.simulation.kernels import Lens
from dualpix.simulation.simulate import simulate_from_depth
from made_textures import natural_texture

CANON = {"focus_m": 1.0, "f_number": 4.0, "focal_mm": 50.0, "pitch_um": 36000 / 1680}
PHONE = {"focus_m": 0.45, "f_number": 1.73, "focal_mm": 4.38, "pitch_um": 2.8}


def row(*values: float) -> Tensor:
    return torch.tensor([[values]], dtype=torch.float64)


def test_a_row_worked_out_by_hand() -> None:
    """A = 50^2 / (2 * 21.4286 * 4 * 0.95) = 15.3509 px m, so 2 m and infinity behind, and 0.5 m in front of 1 m, are
    blurred by 7.6754, 15.3509 and -15.3509 px. With a rho of 0.3 in the middle, half of that at the sides (x = +-1):
    three pixels lie at x = -2/3, 0 and 2/3, where rho is 0.3 * 7/9, 0.3 and 0.3 * 7/9."""
    optics = Optics(**CANON, rho=0.3, rho_fall=0.5)
    depth_m = row(0.5, 2.0, math.inf)
    disparity_px = row(-15.3509 * 0.3 * 7 / 9, 7.67544 * 0.3, 15.3509 * 0.3 * 7 / 9)
    torch.testing.assert_close(optics.disparity_px(depth_m), disparity_px, atol=2e-4, rtol=0)
    inner = row(-15.3509 * 0.3 * 7 / 9, 7.67544 * 0.3, 0.0)
    torch.testing.assert_close(optics.depth_m(inner), row(0.5, 2.0, 1.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("numbers", [CANON, PHONE, CANON | {"focus_m": math.inf}])
def test_depth_and_disparity_undo_each_other(numbers: dict) -> None:
    optics = Optics(**numbers, rho=0.4, rho_fall=0.3)
    depth_m = row(0.3, 0.44, 1.0, 2.5, 40.0, math.inf).expand(1, 3, 6)
    found = optics.depth_m(optics.disparity_px(depth_m[..., :-1]))
    torch.testing.assert_close(found, depth_m[..., :-1], rtol=1e-9, atol=0)
    assert bool(optics.depth_m(optics.disparity_px(depth_m) + 1e-9)[..., -1].isinf().all())


@pytest.mark.parametrize("depth_m", [0.4, 1.3, 30.0])
@pytest.mark.parametrize("focus_m", [1.0, 3.0, math.inf])
def test_disparity_is_rho_times_where_a_ray_through_the_rim_lands(depth_m: float, focus_m: float) -> None:
    """Similar triangles in millimetres, with the thin-lens equation and no formula of the package."""
    optics = Optics(**CANON | {"focus_m": focus_m}, rho=0.3, rho_fall=0)
    image_of_point, sensor = (1 / (1 / 50 - 1 / (1000 * z)) for z in (depth_m, focus_m))
    lands_px = 50 / 4 / 2 * (1 - sensor / image_of_point) / (36 / 1680)
    assert float(optics.disparity_px(row(depth_m))) == pytest.approx(-0.3 * lands_px, rel=1e-9)


def test_what_is_in_focus_lies_there_and_what_is_beyond_infinity_is_told() -> None:
    optics = Optics(**CANON, rho=0.3)
    assert optics.depth_m(torch.zeros(1, 2, 5)).tolist() == [[[1.0] * 5] * 2]
    assert optics.depth_m(torch.full((1, 2, 5), 9.0)).isinf().all()
    assert Optics(**CANON | {"focus_m": math.inf}, rho=0.3).depth_m(torch.zeros(1, 1, 3)).isinf().all()


def test_how_far_a_tenth_of_a_pixel_reaches() -> None:
    """At 2 m: 0.1 / (0.3 * 15.3509) = 0.0217143 dioptres around 0.5."""
    optics = Optics(**CANON, rho=0.3)
    assert optics.within(2.0) == pytest.approx((1 / 0.5217143, 1 / 0.4782857), rel=1e-5)
    assert optics.within(60.0)[1] == math.inf


@pytest.mark.parametrize(
    ("f_number", "traced"),
    [(1.4, 0.44), (1.8, 0.40), (2.0, 0.38), (2.8, 0.30), (4.0, 0.225), (5.6, 0.16), (8.0, 0.115)],
)
def test_the_usual_rho_is_that_of_traced_rays(f_number: float, traced: float) -> None:
    """Those of a Canon EOS R6 Mark II's pixel with a 50 mm lens, as the published ray tracer has it."""
    assert usual_rho(f_number) == pytest.approx(traced, rel=0.07)
    usual = Optics(**CANON | {"f_number": f_number})
    assert usual.middle_rho == usual_rho(f_number) and "rho of a Canon EOS R6 Mark II" in usual.warnings[0]
    assert Optics(**CANON, rho=0.3).warnings == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"f_number": 0}, "f-number cannot be 0; give --f-number such as 1.8, above 0"),
        ({"f_number": math.nan}, "f-number cannot be nan"),
        ({"focal_mm": -50}, "focal length cannot be -50; give --focal-length in millimetres, above 0"),
        ({"pitch_um": math.inf}, "pixel pitch cannot be inf; give --pixel-pitch in micrometres"),
        ({"focus_m": 0.05}, "A lens of 50 mm cannot focus at 0.05 m; give --focus-distance in metres"),
        ({"rho": 0.9}, "cannot be 0.9; give --rho above 0 and up to 0.85"),
        ({"rho_fall": 1}, "give --rho-fall from 0 to below 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wrong: dict, said: str) -> None:
    with pytest.raises(DataError) as caught:
        Optics(**CANON | wrong)
    assert said in caught.value.spelled(as_flag) and caught.value.spelled(as_flag).endswith(".")


def pair(exposure: dict | None = None, height: int = 40, width: int = 60) -> dict:
    metadata = Metadata() if exposure is None else Metadata(exif=exif(exposure))
    return {"left": torch.zeros(3, height, width), "metadata": metadata}


TOLD = {F_NUMBER: ratio(4, 1), FOCAL_LENGTH: ratio(50, 1), FILM_LENGTH: short(50), SUBJECT_DISTANCE: ratio(2, 1)}


def test_optics_come_from_exif_and_what_is_given_counts_more() -> None:
    """A diagonal of 43.267 mm, so 36 mm on 60 pixels; the pitch follows the picture, however small it was made."""
    told = Optics.of(pair(TOLD))
    assert (told.focal_mm, told.f_number, told.focus_m) == (50, 4, 2)
    assert told.pitch_um == pytest.approx(600, rel=1e-4)
    assert Optics.of(pair(TOLD, 20, 30)).pitch_um == pytest.approx(1200, rel=1e-4)
    assert Optics.of(pair(TOLD, 60, 40)).pitch_um == pytest.approx(600, rel=1e-4)
    mine = Optics.of(pair(TOLD), focus_m=3, f_number=None, sensor_mm=22.5, rho=0.3)
    assert (mine.focus_m, mine.f_number, mine.rho, mine.pitch_um) == (3, 4, 0.3, pytest.approx(375))


def test_what_is_missing_is_named_with_the_way_to_give_it() -> None:
    with pytest.raises(DataError) as caught:
        Optics.of(pair({F_NUMBER: ratio(4, 1), FOCAL_LENGTH: ratio(50, 1)}))
    assert str(caught.value) == (
        "For metres the focus distance and pixel pitch must be known, and the pictures do not say: give focus_m= in"
        " metres and pitch_um= in micrometres or sensor_mm= in millimetres."
    )
    with pytest.raises(DataError) as caught:
        Optics.of(pair(), f_number=4, sensor_mm=36, focus_m=2)
    assert caught.value.spelled(as_flag).endswith("give --focal-length in millimetres.")
    with pytest.raises(DataError, match="The pixel pitch is given twice"):
        Optics.of(pair(TOLD), pitch_um=5, sensor_mm=36)
    with pytest.raises(DataError, match="A sensor cannot be -1 mm wide"):
        Optics.of(pair(TOLD), sensor_mm=-1)


@pytest.mark.parametrize("depth_m", [0.8, 1.4])
def test_a_plane_rendered_by_the_simulator_is_found_where_it_stands(depth_m: float) -> None:
    camera = Camera(50, 4, 1, CANON["pitch_um"])
    made = simulate_from_depth(natural_texture(100, 150), torch.full((100, 150), depth_m), camera, Lens(rho=0.5))
    found = dualpix.disparity(made["left"], made["right"], metres=Optics(**CANON, rho=0.5, rho_fall=0))
    assert found.depth_m is not None and found.depth_m.shape == (1, 100, 150)
    assert float(found.depth_m[0, 16:-16, 24:-24].median()) == pytest.approx(depth_m, rel=0.04)


def test_its_words() -> None:
    words = str(Optics(**CANON, rho=0.3, rho_fall=0.5))
    assert words == "50 mm, f/4, focused at 1 m, pixels of 21.4 um, rho 0.3 in the middle and 0.15 at the sides"
    assert "focused at infinity" in str(Optics(**CANON | {"focus_m": math.inf}))
    assert re.search(r"rho 0\.23 in", str(Optics(**CANON)))

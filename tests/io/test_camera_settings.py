"""Lens, focus and sensor out of EXIF and Canon's maker note, in blocks made by hand and by Pillow."""

import math
import struct
from pathlib import Path

import pytest
from PIL import Image

from camera_exif import (
    F_NUMBER,
    FILM_LENGTH,
    FOCAL_LENGTH,
    HEIGHT,
    PLANE_ACROSS,
    PLANE_UNIT,
    SUBJECT_DISTANCE,
    WIDTH,
    exif,
    focus_range,
    ratio,
    short,
)
from dualpix.io import read_picture
from dualpix.io.camera_settings import CameraSettings, camera_settings

SIZE = (4480, 6720)
FILE_INFO, SHOT_INFO = 0x93, 0x04


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_canon_tells_lens_sensor_and_the_range_in_focus(order: str) -> None:
    """An EOS 5D Mark IV has 6720 pixels on 36 mm: 4741.3 an inch. 2.5 m and 2 m are 0.4 and 0.5 dioptres."""
    exposure = {
        F_NUMBER: ratio(18, 10, order),
        FOCAL_LENGTH: ratio(50, 1, order),
        WIDTH: short(6720, order),
        HEIGHT: short(4480, order),
        PLANE_ACROSS: ratio(6720000, 1417, order),
        PLANE_UNIT: short(2, order),
        SUBJECT_DISTANCE: ratio(3, 1, order),
    }
    told = camera_settings(exif(exposure, {FILE_INFO: focus_range(250, 200, 20, order)}, order), SIZE)
    assert (told.f_number, told.focal_mm) == (1.8, 50)
    assert told.focus_m == pytest.approx(1 / 0.45)
    assert told.sensor_mm == pytest.approx(36, abs=0.01)


@pytest.mark.parametrize(
    ("note", "focus_m"),
    [
        ({SHOT_INFO: focus_range(123, 123, 19)}, 1.23),
        ({SHOT_INFO: focus_range(300, 300, 19), FILE_INFO: focus_range(0, 0, 20)}, 3.0),  # 0 means unknown
        ({FILE_INFO: focus_range(65535, 400, 20)}, 8.0),  # from 4 m to infinity: 0 to 0.25 dioptres
        ({FILE_INFO: focus_range(65535, 65535, 20)}, math.inf),
        ({FILE_INFO: (3, 2, struct.pack("<HH", 4, 0))}, 7.0),  # an older, shorter array
        ({}, 7.0),
        (None, 7.0),
    ],
)
def test_the_distance_in_focus(note: dict | None, focus_m: float) -> None:
    told = camera_settings(exif({SUBJECT_DISTANCE: ratio(7, 1)}, note), SIZE)
    assert told.focus_m == pytest.approx(focus_m)


@pytest.mark.parametrize(
    ("entry", "focus_m"),
    [
        (ratio(0xFFFFFFFF, 1), math.inf),
        (ratio(0, 1), None),
        (ratio(5, 0), None),
        (short(3), 3.0),
        ((2, 2, b"9\0"), None),
    ],
)
def test_distances_that_exif_calls_infinite_or_unknown(entry: tuple, focus_m: float | None) -> None:
    assert camera_settings(exif({SUBJECT_DISTANCE: entry}), SIZE).focus_m == focus_m


def test_another_makers_note_is_not_read() -> None:
    assert camera_settings(exif({}, {FILE_INFO: focus_range(250, 200, 20)}, make=b"Nikon"), SIZE).focus_m is None


@pytest.mark.parametrize(
    ("exposure", "sensor_mm"),
    [
        # A phone: 4.38 mm like 27 mm on film, 3:4, so a diagonal of 7.02 mm and a side of 4 / 5 of it.
        ({FOCAL_LENGTH: ratio(438, 100), FILM_LENGTH: short(27)}, 43.267 * 4.38 / 27 * 0.8),
        # 5472 pixels at 2432 a centimetre are 22.5 mm.
        ({WIDTH: short(5472), PLANE_ACROSS: ratio(2432, 1), PLANE_UNIT: short(3)}, 22.5),
        # Reduced to a quarter by a program that wrote the new width: the film's focal length is believed.
        (
            {
                WIDTH: short(1680),
                PLANE_ACROSS: ratio(6720000, 1417),
                FOCAL_LENGTH: ratio(50, 1),
                FILM_LENGTH: short(50),
            },
            43.267 * 0.8,
        ),
        ({FILM_LENGTH: short(27)}, None),
        ({WIDTH: short(5472), PLANE_ACROSS: ratio(2432, 1), PLANE_UNIT: short(9)}, None),
    ],
)
def test_the_longer_side_of_the_sensor(exposure: dict, sensor_mm: float | None) -> None:
    told = camera_settings(exif(exposure), (3024, 4032)).sensor_mm
    assert told == (None if sensor_mm is None else pytest.approx(sensor_mm, rel=1e-4))


def test_what_pillow_writes_is_read(tmp_path: Path) -> None:
    made = Image.Exif()
    made[271] = "Canon"
    made.get_ifd(34665).update({33437: 2.8, 37386: 35.0, 37382: 1.5, 41989: 35})
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=made)
    picture = read_picture(tmp_path / "a.jpg")
    told = camera_settings(picture.metadata.exif, (40, 60))
    assert (told.f_number, told.focal_mm, told.focus_m) == pytest.approx((2.8, 35, 1.5))
    assert told.sensor_mm == pytest.approx(36, abs=1e-3)


def test_an_aperture_in_stops_stands_in_for_the_f_number() -> None:
    assert camera_settings(exif({0x9202: ratio(4, 1)}), SIZE).f_number == pytest.approx(4)


def test_damaged_blocks_tell_nothing_or_less() -> None:
    """Cut anywhere, a block gives settings or none, and no error."""
    whole = exif({F_NUMBER: ratio(18, 10), FOCAL_LENGTH: ratio(50, 1)}, {FILE_INFO: focus_range(250, 200, 20)})
    for length in range(0, len(whole), 7):
        assert isinstance(camera_settings(whole[:length], SIZE), CameraSettings)
    assert camera_settings(None, SIZE) == camera_settings(b"", SIZE) == CameraSettings()

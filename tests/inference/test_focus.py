"""What a picture can be focused on, and what is refused, each in one sentence that says what to give."""

from typing import Any

import pytest

from dualpix.errors import PictureError
from dualpix.inference.focus import Refocus, parse_point
from dualpix.inference.options import DeblurOptions


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"aperture": -0.5}, "from 0 to 8, not -0.5"),
        ({"aperture": float("nan")}, "from 0 to 8, not nan"),
        ({"aperture": "wide"}, "from 0 to 8, not 'wide'"),
        ({"aperture": True}, "not True"),
        ({"rho": 0.0}, "from 0.05 to 0.85"),
        ({"highlights": 0.5}, "from 1 to 16"),
        ({"blades": 3}, "5 to 12, or 0"),
        ({"focus_px": float("inf")}, "a disparity in pixels"),
        ({"focus_at": (3, -1)}, "its column and its row"),
        ({"focus_at": [3, 4]}, "its column and its row"),
        ({"focus_at": (3, 4), "focus_px": 2.0}, "one plane in focus"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(PictureError, match=words):
        Refocus(**fields)


def test_points_as_people_write_them() -> None:
    assert parse_point("800, 450") == (800, 450)
    for text in ("800", "800;450", "-1,3", "1.5,2", "a,b", "1,2,3", ""):
        with pytest.raises(PictureError, match="such as 800,450"):
            parse_point(text)


def test_journals_of_folders_know_what_was_asked_and_nothing_where_nothing_was() -> None:
    assert "refocus" not in DeblurOptions().shaping()
    first, second = (DeblurOptions(refocus=Refocus(aperture=a)).shaping() for a in (1.0, 2.0))
    assert first != second and first["refocus"] == {
        "focus_px": 0.0, "focus_at": None, "aperture": 1.0, "rho": None, "highlights": 2.0, "blades": 0
    }  # fmt: skip
    with pytest.raises(PictureError, match="give a `Refocus`"):
        DeblurOptions(refocus=2.0)


@pytest.mark.parametrize("others", [{"strength": 0.5}, {"keep_blur": "behind"}, {"mask": "mask.png"}])
def test_what_leaves_blur_contradicts_it(others: dict[str, Any]) -> None:
    with pytest.raises(PictureError, match="strength= and keep_blur= and mask= leave blur"):
        DeblurOptions(refocus=Refocus(), **others)

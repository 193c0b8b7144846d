"""What a raw file declares, its filters and its levels, is checked before it is used. See test_raw.py for the files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualpix.errors import PictureError
from dualpix.pairs import open_views
from dualpix.pairs.sources.dng_levels import read_levels

Raw = Callable[..., bytes]
FILTERS, BLACK_REPEAT, BLACK, WHITE = 33422, 50713, 50714, 50717
OF_COLUMNS, OF_ROWS, MATRIX, NEUTRAL = 50715, 50716, 50721, 50728
ROWS, COLUMNS = np.arange(64)[:, None] * 4, np.arange(96)[None] * 3
LEFT, RIGHT = np.full((64, 96), 3000.0), np.full((64, 96), 3000.0)
LEFT[8:28, 20:48] = RIGHT[8:28, 24:52] = 800
BALANCE = np.tile([[0.5, 1.0], [1.0, 0.625]], (32, 48))  # what filters RGGB pass of grey light


def ratios(levels: np.ndarray) -> list[int]:
    return [part for level in levels.ravel() for part in (2 * int(level), 2)]


def write(path: Path, raw: Raw, floors: tuple[Any, Any], tags: dict[int, Any], kind: str = "dng") -> Path:
    """A grey scene as two half views, each above its own floor."""
    views = [
        np.rint(view * BALANCE + floor).astype(np.uint16) for view, floor in zip((LEFT, RIGHT), floors, strict=True)
    ]
    path.write_bytes(raw(views, kind, tags=tags))
    return path


@pytest.mark.parametrize(
    ("floors", "tags"),
    [
        ((512, 640), {BLACK_REPEAT: (), BLACK: ("I", 512, 640)}),
        ((512, 640), {BLACK_REPEAT: ("H", 1, 1), BLACK: ("H", 512, 640)}),
        ((512, 512), {BLACK_REPEAT: (), BLACK: ("I", 512)}),
        ((512, 640), {BLACK_REPEAT: (), BLACK: ("r", 1024, 2, 1280, 2)}),
        (
            (np.tile([[500, 510], [520, 530]], (32, 48)), np.tile([[600, 610], [620, 630]], (32, 48))),
            {BLACK: ("I", 500, 600, 510, 610, 520, 620, 530, 630)},
        ),
        ((np.tile([[500], [520]], (32, 96)), 600), {BLACK_REPEAT: ("H", 2, 1), BLACK: ("I", 500, 600, 520, 600)}),
        ((0, 0), {BLACK_REPEAT: (), BLACK: ()}),
        ((ROWS + 500, ROWS + 640), {BLACK_REPEAT: (), BLACK: ("I", 500, 640), OF_ROWS: ("i", *ratios(ROWS))}),
        (
            (ROWS - COLUMNS + 500, ROWS - COLUMNS + 640),
            {
                BLACK_REPEAT: (),
                BLACK: ("I", 500, 640),
                OF_ROWS: ("i", *ratios(ROWS)),
                OF_COLUMNS: ("i", *ratios(-COLUMNS)),
            },
        ),
    ],
    ids=["one each", "one each, said so", "one", "fractions", "four each", "two rows each", "none", "rows", "columns"],
)
def test_each_sample_has_its_own_black(tmp_path: Path, raw: Raw, floors: Any, tags: dict[int, Any]) -> None:
    """Grey stays grey. LibRaw takes two levels of two samples for those of red and green; blue stays too bright."""
    views = open_views(write(tmp_path / "levels.dng", raw, floors, tags))
    for view, column in (("left", 34), ("right", 38)):
        for level, place in ((800, (18, column)), (3000, (50, 20))):
            wanted = 1.055 * (level / (0.98 * (15000 - np.max(floors[0])))) ** (1 / 2.4) - 0.055
            np.testing.assert_allclose(views[view][:, place[0], place[1]], wanted, atol=0.015)


def test_a_white_balance_that_is_not_told_is_a_note(tmp_path: Path, raw: Raw) -> None:
    for tags, is_told in (({}, True), ({NEUTRAL: ()}, False), ({NEUTRAL: ("r", 0, 1, 1, 1, 1, 1)}, False)):
        notes = open_views(write(tmp_path / "a.dng", raw, (0, 0), tags))["notes"]
        assert any("finds no white balance" in note for note in notes) is not is_told


def test_white_is_read_for_each_sample(tmp_path: Path, raw: Raw) -> None:
    levels = read_levels(write(tmp_path / "w.dng", raw, (0, 0), {WHITE: ("I", 15000, 14000)}))
    assert [one.white for one in levels] == [15000, 14000] and all((one.black == 0).all() for one in levels)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({WHITE: ("I", 100, 100)}, "white level, 100, must lie above its black level, 512"),
        ({WHITE: ("I", 512, 512)}, "must lie above its black level"),
        ({WHITE: ("I", 0, 0)}, "must lie above its black level"),
        ({WHITE: ("I", 10**6, 10**6)}, "not above 65535"),
        ({WHITE: ("I", 1, 2, 3)}, "declares 3 white levels for 2 samples"),
        ({BLACK: ("I", *[20000] * 4)}, "must lie above its black level, 20000"),
        ({BLACK: ("I", 512, 20000, 512, 512)}, "must lie above its black level, 20000"),
        ({BLACK: ("I", 1, 2, 3)}, "declares 3 black levels for 2 samples"),
        ({BLACK: ("r", *[1, 0] * 4)}, "divided by zero"),
        ({BLACK_REPEAT: ("H", 0, 0), BLACK: ("I", 512)}, "repeat every 0 x 0"),
        ({BLACK_REPEAT: ("H", 60000, 60000)}, "repeat every 60000 x 60000"),
        ({BLACK: ("i", *[-500, 1] * 4)}, "declares a black level of -500"),
        ({MATRIX: ("i", *[1, 0] * 9)}, "its colour matrix is singular"),
        ({BLACK_REPEAT: ("H", 2)}, "repeat every 2 photosites"),
        ({OF_ROWS: ("i", *[1, 1] * 63)}, "declares black levels of 63 rows and has 64"),
        ({OF_COLUMNS: ("i", 1, 0)}, "divided by zero"),
    ],
)
def test_levels_that_cannot_be_are_refused(tmp_path: Path, raw: Raw, tags: dict[int, Any], message: str) -> None:
    """Fault 66: two black pictures, or a traceback."""
    path = write(tmp_path / "levels.dng", raw, (512, 512), {BLACK: ("I", *[512] * 4)} | tags)
    with pytest.raises(PictureError, match=rf"levels\.dng is damaged.*{message}"):
        open_views(path)


@pytest.mark.parametrize("kind", ["dng", "cr2"])
@pytest.mark.parametrize(
    "filters",
    [(0, 0, 0, 0), (0, 0, 16, 0), (0, 1, 2, 1), (0, 1, 0, 1), (1, 1, 1, 1), (9, 9, 9, 9), (0, 1, 1, 255), (0, 3, 4, 2)],
)
def test_other_filters_than_of_three_colours_are_refused(tmp_path: Path, raw: Raw, kind: str, filters: Any) -> None:
    """Faults 65 and 67: an IndexError that depended on what was in memory before, and a view of one channel."""
    path = write(tmp_path / f"filters.{kind}", raw, (0, 0), {FILTERS: ("B", *filters)}, kind)
    with pytest.raises(PictureError, match=r"filters\.\w+ (does not hold a Bayer mosaic|is damaged)"):
        open_views(path)


@pytest.mark.parametrize("filters", [(0, 1, 1, 2), (2, 1, 1, 0), (1, 0, 2, 1), (1, 2, 0, 1)])
def test_all_four_ways_of_the_same_filters_are_read(tmp_path: Path, raw: Raw, filters: Any) -> None:
    path = write(tmp_path / "filters.dng", raw, (0, 0), {FILTERS: ("B", *filters)})
    assert open_views(path)["left"].shape == (3, 64, 96)

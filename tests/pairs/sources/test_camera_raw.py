"""Raw files of two frames. No camera's own file is at hand: these are made for the purpose, and LibRaw opens them."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rawpy

from dualpix.errors import PictureError
from dualpix.pairs import open_views
from dualpix.pairs.sources.camera_raw import is_raw

Raw = Callable[..., bytes]
BLACK = (512, 513, 511, 512)
WHITE = 15000 - 513  # as LibRaw understands a white of 15000
SAME = "gives the same frame twice"


def mosaic(grey: np.ndarray) -> np.ndarray:
    """What photosites RGGB record of grey light in the camera's own balance, without black."""
    balance = np.tile([[0.5, 1.0], [1.0, 0.625]], (grey.shape[0] // 2, grey.shape[1] // 2))
    return grey * balance


def halves(height: int = 64, width: int = 96, shift_px: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Two half views of grey patches, the upper ones further right in the second."""
    left = np.full((height, width), 3000.0)
    left[8:28, 20:48] = 800
    left[36:56, 60:84] = 6000
    right = left.copy()
    right[:32] = np.roll(left[:32], shift_px, axis=1)
    return mosaic(left), mosaic(right)


def frames(black: tuple[int, ...] = BLACK) -> list[np.ndarray]:
    """The sum and the first half, as Canon stores them."""
    floor = np.tile(np.reshape(black, (2, 2)), (32, 48))
    left, right = halves()
    return [np.rint(each + floor).astype(np.uint16) for each in (left + right, left)]


def srgb(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


@pytest.fixture
def dng(tmp_path: Path, raw: Raw) -> Path:
    path = tmp_path / "ünd so.DNG"
    path.write_bytes(raw(frames(), black=BLACK))
    return path


@pytest.fixture
def cr2(tmp_path: Path, raw: Raw) -> Path:
    path = tmp_path / "photo.cr2"
    path.write_bytes(raw([5 * frame for frame in frames((0, 0, 0, 0))], "cr2"))
    return path


def test_the_libraries_call_order_matters_as_we_think(cr2: Path) -> None:
    """Asked after opening, rawpy gives frame 0 for frame 1 and says nothing. Should this fail, that is mended."""
    with rawpy.imread(str(cr2), shot_select=0) as first, rawpy.imread(str(cr2), shot_select=1) as second:
        assert np.array_equal(first.raw_image, second.raw_image)


def test_both_frames_are_read(cr2: Path) -> None:
    """The synthetic two-directory raw: a patch seen 4 photosites further right by the second half."""
    views = open_views(cr2)
    left, right = views["left"][1], views["right"][1]
    assert left.shape == (64, 96) and views["depth"] == 16 and not views["grey"]
    assert abs(left - right).max() > 0.1
    assert abs(left[:32, 16:60] - right[:32, 20:64]).max() < 0.02
    assert abs(left[34:] - right[34:]).max() < 0.02


def test_levels_are_right_after_black_balance_and_curve(dng: Path) -> None:
    """Grey patches of known light, through black levels that differ by colour, white balance and the sRGB curve."""
    views = open_views(dng)
    white = 0.98 * WHITE / 2
    for view, column in (("left", 30), ("right", 38)):
        for place, level in (((18, column), 800), ((46, 72), 6000), ((32, 8), 3000)):
            pixel = views[view][:, place[0], place[1]]
            np.testing.assert_allclose(pixel, srgb(level / white), atol=0.012)


def test_colours_are_those_of_the_camera(tmp_path: Path, raw: Raw) -> None:
    """An even colour, red 3000, green 1500, blue 600 after the white balance of 2, 1 and 1.6."""
    half = np.tile([[1500.0, 1500.0], [1500.0, 375.0]], (32, 48))
    path = tmp_path / "red.dng"
    path.write_bytes(raw([np.rint(f).astype(np.uint16) for f in (2 * half + np.arange(96) % 2, half)]))
    views = open_views(path)
    for name in ("left", "right"):
        wanted = [srgb(level / (0.98 * 7500)) for level in (3000, 1500, 600)]
        np.testing.assert_allclose(views[name][:, 30, 40], wanted, atol=0.012)


def test_two_halves_as_two_samples_are_taken_as_they_are(tmp_path: Path, raw: Raw, dng: Path) -> None:
    """Half the light in each, and twice the exposure: the same picture as by difference."""
    floor = np.tile(np.reshape(BLACK, (2, 2)), (32, 48))
    path = tmp_path / "halves.dng"
    path.write_bytes(raw([np.rint(2 * half + floor).astype(np.uint16) for half in halves()], black=BLACK))
    views, same = open_views(path), open_views(dng)
    assert "as they are" in views["notes"][0] and "by difference" in same["notes"][0]
    for name in ("left", "right"):
        np.testing.assert_allclose(views[name], same[name], atol=0.01)


def test_one_half_that_is_brighter_is_matched(tmp_path: Path, raw: Raw) -> None:
    left, right = (half.astype(np.float64) for half in halves(shift_px=0))
    path = tmp_path / "uneven.dng"
    path.write_bytes(raw([np.rint(f).astype(np.uint16) for f in (left * 1.2 + right, left * 1.2)]))
    views = open_views(path)
    np.testing.assert_allclose(views["left"], views["right"], atol=0.01)
    assert any("1.20 times as bright" in note for note in views["notes"])


def test_clipped_highlights_are_white_in_both_views(tmp_path: Path, raw: Raw) -> None:
    """They neither turn green nor dark in the half that is a difference."""
    left, right = (half.copy() for half in halves())
    left[36:56, 60:84], right[36:56, 60:84] = 9000, 8500
    path = tmp_path / "bright.dng"
    path.write_bytes(raw([np.minimum(np.rint(f), 15000).astype(np.uint16) for f in (left + right, left)]))
    views = open_views(path)
    for view in ("left", "right"):
        assert views[view][:, 40:52, 64:80].min() > 0.99
    share = 100 * 20 * 24 / (64 * 96)
    assert any(f"{share:.2g} % of the photosites are clipped" in note for note in views["notes"])


@pytest.fixture
def bright(tmp_path: Path, raw: Raw) -> Path:
    """A patch of 10000 in each half, which the sum cannot hold and a half can."""
    left, right = (half.copy() for half in halves(shift_px=0))
    for half in (left, right):
        half[36:56, 60:84] = mosaic(np.full((20, 24), 10000.0))
    path = tmp_path / "bright.dng"
    path.write_bytes(raw([np.minimum(np.rint(f), 15000).astype(np.uint16) for f in (left + right, left)]))
    return path


def test_recovered_highlights_cost_one_stop(bright: Path) -> None:
    """Grey of a known level, by the sRGB curve: 3000 of 7500 as usual, of 15000 with highlights, and 10000 of 15000."""
    plain, more = open_views(bright), open_views(bright, recover_highlights=True)
    for views, level, place, white in (
        (plain, 7500, (46, 72), 7500),
        (plain, 3000, (32, 8), 7500),
        (more, 3000, (32, 8), 15000),
        (more, 10000, (46, 72), 15000),
    ):
        for name in ("left", "right"):
            wanted = min(1.0, srgb(level / (0.98 * white)))
            np.testing.assert_allclose(views[name][:, place[0], place[1]], wanted, atol=0.012)
    assert "1 EV above that of the sum" in more["notes"][-1] and " EV " not in " ".join(plain["notes"])


def test_only_raw_files_have_highlights_to_recover(tmp_path: Path, bright: Path) -> None:
    np.savez(tmp_path / "pair.npz", left=np.zeros((32, 32)), right=np.ones((32, 32)))
    for files in ((tmp_path / "pair.npz",), (bright, bright)):
        with pytest.raises(
            PictureError, match=r"no camera raw file of both views.* leave out recover_highlights=True\."
        ):
            open_views(*files, recover_highlights=True)


def test_frames_that_are_white_at_different_levels(tmp_path: Path, raw: Raw) -> None:
    """The half is white at 6000, the sum at 15000: what lies between is grey in both views, and of its level."""
    left, right = (half.copy() for half in halves(shift_px=0))
    for half in (left, right):
        half[36:56, 60:84] = mosaic(np.full((20, 24), 7000.0))
    path = tmp_path / "uneven.dng"
    content = [np.rint(left + right).astype(np.uint16), np.minimum(np.rint(left), 6000).astype(np.uint16)]
    path.write_bytes(raw(content, tags={50717: ("I", 15000, 6000)}))
    views = open_views(path)
    assert any("different white levels, 15000 and 6000 above black" in note for note in views["notes"])
    for name in ("left", "right"):
        for level, place in ((7000, (46, 72)), (3000, (32, 8))):
            wanted = srgb(level / (0.98 * 7500))
            np.testing.assert_allclose(views[name][:, place[0], place[1]], wanted, atol=0.012)


def test_what_is_uncertain_is_said(dng: Path) -> None:
    notes = " ".join(open_views(dng)["notes"])
    for words in ("awaits confirmation on a camera's own file", "sRGB curve", "exchange them"):
        assert words in notes


def test_the_cameras_words_come_along_and_rows_stay_rows(tmp_path: Path, raw: Raw) -> None:
    path = tmp_path / "upright.dng"
    path.write_bytes(raw(frames(), "dng", BLACK, {274: ("H", 6)}))
    views = open_views(path)
    assert b"Canon EOS 5D Mark IV" in views["metadata"].exif
    assert views["metadata"].orientation == 6 and views["left"].shape == (3, 64, 96)


def test_views_can_be_exchanged(dng: Path) -> None:
    plain, swapped = open_views(dng), open_views(dng, swap=True)
    assert plain["left"].equal(swapped["right"]) and plain["right"].equal(swapped["left"])


@pytest.mark.parametrize("kind", ["dng", "cr2"])
def test_a_raw_of_one_frame_is_refused(tmp_path: Path, raw: Raw, kind: str) -> None:
    path = tmp_path / f"single.{kind}"
    path.write_bytes(raw(frames()[:1], kind))
    with pytest.raises(PictureError, match=r"single\.\w+ holds one frame only: .+\.$"):
        open_views(path)


@pytest.mark.parametrize("kind", ["dng", "cr2"])
def test_one_frame_twice_is_refused(tmp_path: Path, raw: Raw, kind: str) -> None:
    """The guard that would catch the trap above, were it to come back."""
    path = tmp_path / f"twice.{kind}"
    path.write_bytes(raw([frames()[0]] * 2, kind))
    with pytest.raises(PictureError, match=SAME):
        open_views(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.3, 0.49, 0.51, 0.75, 0.99])
@pytest.mark.parametrize("kind", ["dng", "cr2"])
def test_a_raw_that_is_cut_short_is_refused(dng: Path, cr2: Path, kind: str, share: float) -> None:
    path = dng if kind == "dng" else cr2
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(PictureError, match=path.name):
        open_views(path)


def test_a_raw_that_declares_too_much_is_refused(dng: Path) -> None:
    with pytest.raises(PictureError, match=r"declares 96 x 64 pixels, more than the limit of 0\.001 megapixels"):
        open_views(dng, limit_megapixels=0.001)


def test_without_rawpy_one_sentence_says_what_to_install(dng: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(PictureError, match=r"rawpy, which is not installed; get it by: pip install -e"):
        open_views(dng)


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\x01", True),
        ("a.bin", b"II*\0\x10\0\0\0CR\x02\0", True),
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0", False),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\0", False),
        ("missing.tif", b"II*\0\x08\0\0\0\0\0\0\0", False),
    ],
)
def test_raw_files_are_known_by_their_first_bytes(tmp_path: Path, name: str, start: bytes, expected: bool) -> None:
    assert is_raw(tmp_path / name, start) is expected


def test_a_dng_is_known_without_its_extension(dng: Path) -> None:
    other = dng.rename(dng.with_suffix(".tif"))
    assert open_views(other)["left"].shape == (3, 64, 96)

"""The split of two frames into two halves, against halves that are known."""

import numpy as np
import pytest

from dualpix.pairs.sources.halves import CLIPPED_SHARE, shading, split_halves

HEIGHT, WIDTH, WHITE = 96, 128, 14000.0
COLOURS = np.tile(np.array([[0, 1], [3, 2]], np.uint8), (HEIGHT // 2, WIDTH // 2))


def light(seed: int = 0, top: float = 5000.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2 * top, top, (HEIGHT, WIDTH)).astype(np.float32)


def shade(strength: float = 0.2) -> np.ndarray:
    """Brighter to the right, by so much from the middle to the border."""
    return np.broadcast_to(1 + strength * np.linspace(-1, 1, WIDTH), (HEIGHT, WIDTH)).astype(np.float32)


def test_the_other_half_is_the_difference() -> None:
    a, b = light(0), light(1)
    halves = split_halves(a + b, a, (WHITE, WHITE), COLOURS)
    assert halves.by_difference and halves.clipped == 0 and halves.white == CLIPPED_SHARE * WHITE / 2
    # Noise that differs photosite by photosite is no shading: what is matched stays within its own uncertainty.
    np.testing.assert_allclose(halves.first / a, 1, atol=0.06)
    np.testing.assert_allclose(halves.second / b, 1, atol=0.06)
    np.testing.assert_allclose(halves.first * halves.second, a * b, rtol=1e-4)


def test_two_frames_of_like_brightness_are_both_halves() -> None:
    a, b = light(0), light(1)
    halves = split_halves(a, b, (WHITE, WHITE), COLOURS)
    assert not halves.by_difference and halves.white == CLIPPED_SHARE * WHITE
    np.testing.assert_allclose(halves.second / b, 1, atol=0.06)


@pytest.mark.parametrize("gains", [(1.0, 1.0, 1.0, 1.0), (1.2, 0.9, 1.1, 0.95)])
def test_gain_and_shading_are_taken_out_colour_by_colour(gains: tuple[float, ...]) -> None:
    scene = light()
    a = scene * shade() * np.array(gains, np.float32)[COLOURS]
    b = scene * shade(-0.2)
    halves = split_halves(a + b, a, (WHITE, WHITE), COLOURS)
    np.testing.assert_allclose(halves.first, halves.second, rtol=0.02)
    np.testing.assert_allclose(halves.first * halves.second, a * b, rtol=1e-3)


def test_shading_does_not_follow_a_displaced_thing() -> None:
    """An edge that two views see at different places differs strongly in one column of blocks."""
    a, b = np.full((2, HEIGHT, WIDTH), 4000, np.float32)
    a[:, :60], b[:, :64] = 1000, 1000
    ratio = shading(a, b, np.ones(a.shape, bool), WHITE, COLOURS)
    assert np.abs(ratio).max() < 0.02


def test_darkness_has_no_shading() -> None:
    dark = np.random.default_rng(0).normal(0, 3, (2, HEIGHT, WIDTH)).astype(np.float32)
    halves = split_halves(dark[0] + dark[1], dark[0], (WHITE, WHITE), COLOURS)
    np.testing.assert_array_equal(halves.first, dark[0])
    assert np.isfinite(halves.second).all() and halves.gain == 1


def test_clipped_photosites_are_not_darker_in_the_half_that_is_left_over() -> None:
    """The sum ends at white while the half goes on, so the plain difference would turn dark where light is most."""
    a, b = light(0), light(1)
    a[20:40, 30:60], b[20:40, 30:60] = 12000, 11000
    main = np.minimum(a + b, WHITE)
    plain = main - a
    assert plain[30, 45] < 3000
    halves = split_halves(main, a, (WHITE, WHITE), COLOURS)
    assert halves.clipped == pytest.approx(20 * 30 / (HEIGHT * WIDTH))
    for half in (halves.first, halves.second):
        assert half[20:40, 30:60].min() >= halves.white
    np.testing.assert_allclose(halves.second[:16] / b[:16], 1, atol=0.08)


def test_where_the_sum_is_clipped_a_dark_first_half_stays_dark() -> None:
    """At the edge of a light only one view may see it: the difference then still says what the other has at least."""
    a, b = light(0), light(1)
    a[20:40, 30:60], b[20:40, 30:60] = 1000, 20000
    halves = split_halves(np.minimum(a + b, WHITE), a, (WHITE, WHITE), COLOURS)
    np.testing.assert_allclose(halves.first[20:40, 30:60], 1000, rtol=0.06)
    assert halves.second[20:40, 30:60].min() > halves.white


def test_highlights_that_one_half_saw_are_recovered() -> None:
    """Light of 12000 in a half, 23000 in the sum, which ends at 14000: white is twice as bright, and grey remains."""
    a, b = light(0), light(1)
    a[20:40, 30:60], b[20:40, 30:60] = 12000, 11000
    a[60:70, 30:60] = b[60:70, 30:60] = 15000
    main, other = np.minimum(a + b, WHITE), np.minimum(a, WHITE)
    plain = split_halves(main, other, (WHITE, WHITE), COLOURS)
    halves = split_halves(main, other, (WHITE, WHITE), COLOURS, recover_highlights=True)
    assert (plain.headroom, halves.headroom) == (1, 2) and halves.white == 2 * plain.white == CLIPPED_SHARE * WHITE
    for half in (halves.first, halves.second):
        np.testing.assert_allclose(half[20:40, 30:60], 12000, rtol=0.03)
        assert half[60:70, 30:60].min() >= halves.white
    for name in ("first", "second"):
        np.testing.assert_array_equal(getattr(halves, name)[:20], getattr(plain, name)[:20])


def test_halves_that_are_both_there_have_no_highlights_to_recover() -> None:
    halves = split_halves(light(0), light(1), (WHITE, WHITE), COLOURS, recover_highlights=True)
    assert halves.headroom == 1 and halves.white == CLIPPED_SHARE * WHITE


def test_where_the_stored_half_clips_before_the_sum_the_sum_is_shared_out() -> None:
    """The half ends at 4000, the sum of 12000 does not: 6000 each, not 4000 and 8000."""
    a, b = light(0, 3500), light(1, 3500)
    a[20:40, 30:60] = b[20:40, 30:60] = 6000
    halves = split_halves(a + b, np.minimum(a, 4000), (WHITE, 4000), COLOURS)
    assert halves.clipped == 0 and halves.white == CLIPPED_SHARE * WHITE / 2
    for half in (halves.first, halves.second):
        np.testing.assert_allclose(half[20:40, 30:60], 6000, rtol=0.03)
    np.testing.assert_allclose(halves.first * halves.second, a * b, rtol=1e-4)


def test_two_halves_that_clip_at_different_levels_are_clipped_alike() -> None:
    a, b = light(0), light(1)
    a[20:40, 30:60] = b[20:40, 30:60] = 11000
    halves = split_halves(a, np.minimum(b, 10000), (WHITE, 10000), COLOURS)
    assert not halves.by_difference and halves.white == CLIPPED_SHARE * 10000
    for half in (halves.first, halves.second):
        assert half[20:40, 30:60].min() >= halves.white

"""The domain transform against SciPy's recursive filter and its own theory, and the spreading of a few known values."""

import numpy as np
import pytest
from scipy.signal import lfilter

from dualpix.classical.propagation import domain_transform, spread


def by_scipy(plane: np.ndarray, spatial_px: float, iterations: int) -> np.ndarray:
    """The filter where the guide is flat: first-order recursion along both axes, both ways."""
    for iteration in range(1, iterations + 1):
        step_px = spatial_px * np.sqrt(3) * 2 ** (iterations - iteration) / np.sqrt(4**iterations - 1)
        kept = np.exp(-np.sqrt(2) / step_px)
        for axis in (1, 0):
            for _ in "forth", "back":
                start = kept * np.take(plane, [0], axis)
                plane = np.flip(lfilter([1 - kept], [1, -kept], plane, axis, zi=start)[0], axis)
    return plane


def test_a_flat_guide_gives_plain_recursive_filters() -> None:
    signal = np.random.default_rng(0).random((2, 23, 31), dtype=np.float32)
    ours = domain_transform(signal, np.full((3, 23, 31), 0.4, dtype=np.float32), 4, 0.2, iterations=3)
    np.testing.assert_allclose(ours, [by_scipy(plane, 4, 3) for plane in signal.astype(float)], atol=1e-5)


def test_its_width_is_the_standard_deviation_asked_for() -> None:
    impulse = np.zeros((1, 1, 601), dtype=np.float32)
    impulse[0, 0, 300] = 1
    response = domain_transform(impulse, np.zeros((1, 1, 601), dtype=np.float32), 15, 1, iterations=5)[0, 0]
    assert response.sum() == pytest.approx(1, abs=1e-4)
    assert np.sqrt((response * (np.arange(601) - 300) ** 2).sum()) == pytest.approx(15, rel=0.01)


def test_a_constant_stays_whatever_the_guide() -> None:
    guide = np.random.default_rng(1).random((3, 40, 28), dtype=np.float32)
    kept = domain_transform(np.full((1, 40, 28), 2.5, dtype=np.float32), guide, 20, 0.1)
    np.testing.assert_allclose(kept, 2.5, rtol=1e-5)


@pytest.mark.parametrize("axis", [1, 2])
def test_nothing_leaks_across_a_strong_edge(axis: int) -> None:
    half = np.arange(40)[:, None] < 20
    side = np.broadcast_to(half if axis == 1 else half.T, (40, 40)).astype(np.float32)[None]
    sharp = domain_transform(side, side, spatial_px=10, colour_range=0.02)
    soft = domain_transform(side, side, spatial_px=10, colour_range=10)
    assert np.abs(sharp - side).max() < 1e-3
    assert np.abs(soft - side).max() > 0.3


def test_a_sum_of_channels_makes_the_distance() -> None:
    signal = np.random.default_rng(2).random((1, 16, 16), dtype=np.float32)
    guide = np.random.default_rng(3).random((1, 16, 16), dtype=np.float32)
    once = domain_transform(signal, 2 * guide, 5, 0.3)
    np.testing.assert_allclose(domain_transform(signal, np.repeat(guide, 2, 0), 5, 0.3), once, atol=1e-6)


def test_equal_values_spread_to_that_value() -> None:
    random = np.random.default_rng(4)
    known = random.random((50, 60)) < 0.01
    guide = random.random((3, 50, 60), dtype=np.float32)
    values = np.where(known, 1.75, np.nan).astype(np.float32)
    np.testing.assert_allclose(spread(values, known, guide, 8, 3.75), 1.75, rtol=1e-4)


def test_each_surface_takes_the_value_known_on_it() -> None:
    guide = np.zeros((1, 30, 40), dtype=np.float32)
    guide[:, :, 20:] = 1
    known = np.zeros((30, 40), dtype=bool)
    known[15, [12, 28]] = True
    values = np.zeros((30, 40), dtype=np.float32)
    values[15, 12], values[15, 28] = 1, 3
    dense = spread(values, known, guide, 10, 0.05)
    np.testing.assert_allclose(dense[:, :20], 1, atol=0.02)
    np.testing.assert_allclose(dense[:, 20:], 3, atol=0.02)


def test_what_is_too_far_takes_the_median() -> None:
    known = np.zeros((4, 900), dtype=bool)
    known[0, :3] = True
    values = np.where(known, np.float32([1, 2, 6] + [0] * 897), 0).astype(np.float32)
    dense = spread(values, known, np.zeros((1, 4, 900), dtype=np.float32), 2, 1)
    assert np.isfinite(dense).all() and dense[2, 899] == 2


def test_nothing_known_cannot_be_spread() -> None:
    with pytest.raises(ValueError, match="no known value"):
        spread(np.zeros((4, 4), dtype=np.float32), np.zeros((4, 4), dtype=bool), np.zeros((1, 4, 4)), 2, 1)

"""Schedules, worked out by hand."""

import pytest

from dualpix.training.recipes import Recipe
from dualpix.training.schedules import rate_at


def test_stable_warms_up_stays_and_falls() -> None:
    recipe = Recipe(learning_rate=1.0, schedule="stable", steps=100, warmup_steps=10, decay_steps=20)
    by_hand = {0: 0.1, 4: 0.5, 9: 1.0, 50: 1.0, 79: 1.0, 80: 1.0, 81: 0.95, 90: 0.5, 99: 0.05, 100: 0.0}
    assert {step: rate_at(recipe, step) for step in by_hand} == pytest.approx(by_hand)


def test_halving_halves() -> None:
    recipe = Recipe(learning_rate=1e-4, schedule="halving", halve_every=60, steps=200, warmup_steps=0)
    by_hand = {0: 1e-4, 59: 1e-4, 60: 5e-5, 119: 5e-5, 120: 2.5e-5, 180: 1.25e-5, 199: 1.25e-5}
    assert {step: rate_at(recipe, step) for step in by_hand} == pytest.approx(by_hand)


def test_cosine_goes_down_to_nothing() -> None:
    recipe = Recipe(learning_rate=2.0, schedule="cosine", steps=120, warmup_steps=4)
    by_hand = {0: 0.5, 40: 1.5, 60: 1.0, 80: 0.5, 120: 0.0}
    assert {step: rate_at(recipe, step) for step in by_hand} == pytest.approx(by_hand, abs=1e-3)
    assert rate_at(recipe, 60) == pytest.approx(1.0, abs=1e-12)

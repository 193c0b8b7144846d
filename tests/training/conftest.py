"""Small photographs, small recipes, and training in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.training.recipes import RECIPES, Recipe

PROGRAM = Path(__file__).with_name("run_recipe.py")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums over several threads differ in their last bits from machine to machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def few_validated(short_trainings: int) -> int:
    """As in `run_recipe.py`."""
    return short_trainings


@pytest.fixture(autouse=True)
def drawing(undrawn: None) -> None:
    """There is none, but where a file has a `drawing` of its own."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photographs of coloured patches, 80 x 72, each of another tint."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        patches = np.random.default_rng(number).uniform(0, 255, (12, 14, 3))
        patches[..., number % 3] *= 0.5
        Image.fromarray(patches.astype(np.uint8)).resize((80, 72), Image.Resampling.NEAREST).save(
            folder / f"{number:02d}.png"
        )
    return folder


@pytest.fixture
def quick() -> Callable[..., Recipe]:
    """`quick(steps=3)`: the recipe `tiny`, smaller still, with changes. Its pool stays as it is: `fresh` is 0."""

    def make(**changes: Any) -> Recipe:
        settings = {"crop": 32, "scene": 48, "pool": 3, "steps": 3, "fresh": 0.0, "validate_every": 10**6} | changes
        return replace(RECIPES["tiny"], **settings)

    return make


@pytest.fixture
def start() -> Callable[..., subprocess.Popen]:
    """`start(folder, photos, steps=12)`: the same training in a process of its own; see `run_recipe.py`."""
    started: list[subprocess.Popen] = []

    def run(*words: Any, environment: dict[str, str] | None = None) -> subprocess.Popen:
        command = [sys.executable, "-W", "error", str(PROGRAM), *map(str, words)]
        settings = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=settings))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()

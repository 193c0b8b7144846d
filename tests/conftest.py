"""Shared by all tests: one way to make small picture files, written by another library than the package reads with."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Writer = Callable[..., Path]


@pytest.fixture
def write_png() -> Writer:
    """`write_png(path, value, width=, height=)`: an 8-bit RGB PNG of one grey `value` (0..255), or of a given array."""

    def write(path: Path, value: int | np.ndarray = 128, width: int = 24, height: int = 16) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = value if isinstance(value, np.ndarray) else np.full((height, width, 3), value, dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write

"""Shared by all tests: small picture files, written by another library than the package reads with, and the command."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner

from dualpix import checkpoint, cli, networks

Writer = Callable[..., Path]
Views = Callable[..., tuple[np.ndarray, np.ndarray]]
Command = Callable[..., tuple[int, str, str]]
SMALL = {"fusion": False, "extraction": False}


@pytest.fixture
def write_png() -> Writer:
    """`write_png(path, value, width=, height=)`: an 8-bit RGB PNG of one grey `value` (0..255), or of a given array."""

    def write(path: Path, value: int | np.ndarray = 128, width: int = 24, height: int = 16) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = value if isinstance(value, np.ndarray) else np.full((height, width, 3), value, dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def views() -> Views:
    """`views(shift_px=2, height=224, width=256)`: a texture seen twice, H x W x 3 uint16. Its lower half is in focus;
    the right view sees the upper half `shift_px` further right."""

    def make(shift_px: int = 2, height: int = 224, width: int = 256) -> tuple[np.ndarray, np.ndarray]:
        noise = torch.rand(1, 3, height + 4, width + 24, generator=torch.Generator().manual_seed(0))
        smooth = torch.nn.functional.avg_pool2d(noise, 5, 1)[0].permute(1, 2, 0).numpy()
        texture = np.round(65535 * smooth).astype(np.uint16)
        left, right = texture[:, 10 : width + 10], texture[:, 10 - shift_px : width + 10 - shift_px].copy()
        right[height // 2 :] = left[height // 2 :]
        return left, right

    return make


@pytest.fixture
def folder(tmp_path: Path, views: Views, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, in which commands run: a good pair, `deep_L.tif` (16 bit) and `p_L.png` (8 bit) with their right
    views, and `w.safetensors`, the weights of a small MCCNet."""
    for name, view in zip("LR", views(), strict=True):
        tifffile.imwrite(tmp_path / f"deep_{name}.tif", view)
        Image.fromarray((view // 257).astype(np.uint8)).save(tmp_path / f"p_{name}.png")
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "w.safetensors", networks.create("mccnet", **SMALL), "mccnet", SMALL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dualpix() -> Command:
    """`dualpix("deblur", "--help")`, in this process: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(cli.app, list(words), prog_name="dualpix")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout, done.stderr

    return run

"""The examples that spread a folder over processes by an engine give what the command gives."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix import networks
from dualpix.weights import checkpoint

EXAMPLES = Path(__file__).parents[1] / "examples"
NARROW = {"widths": [4, 4, 4, 4, 4]}
NEEDS = {"futures": "concurrent.futures", "dask": "distributed", "daft": "daft", "spark": "pyspark"}


@pytest.mark.slow
@pytest.mark.parametrize("engine", NEEDS)
def test_engines_give_what_the_command_gives(engine: str, tmp_path: Path) -> None:
    if find_spec(NEEDS[engine]) is None:
        pytest.skip(f"{NEEDS[engine]} is not installed")
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "w.safetensors", networks.create("dpdnet", **NARROW), "dpdnet", NARROW)
    (tmp_path / "pairs").mkdir()
    for number in range(20):
        noise = np.random.default_rng(number).integers(0, 256, (12, 14, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        for side, first in (("L", 4), ("R", 2)):
            Image.fromarray(noise[:, first : first + 48]).save(tmp_path / "pairs" / f"{number}_{side}.png")
    for words in (
        ["-m", "dualpix", "deblur", "pairs", "-o", "whole", "-w", "w.safetensors"],
        [str(EXAMPLES / f"spread_{engine}.py"), "pairs", "out", "w.safetensors"],
    ):
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env={**os.environ}, capture_output=True, text=True, timeout=550
        )
        assert done.returncode == 0, done.stdout + done.stderr
    found = [{path.name: path.read_bytes() for path in (tmp_path / name).glob("*.png")} for name in ("whole", "out")]
    assert found[0] == found[1] and len(found[0]) == 20

"""Guard of the programs that make weights of weights: `benchmarks/deepen.py` and `benchmarks/average_weights.py`."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dualpix.networks import MCCNetFast
from dualpix.weights import checkpoint

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL = {"widths": [8, 8, 16, 16], "depths": [1, 1, 1, 1, 1, 1, 1], "max_disparity": 8}
DEEPER = "1 2 1 2 1 1 2"


def made(program: str, *words: object) -> str:
    """What it says that is wrong, if anything."""
    call = [sys.executable, str(BENCHMARKS / program), *map(str, words)]
    done = subprocess.run(call, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "small.safetensors", MCCNetFast(**SMALL), "mccnet-fast", SMALL, {}, dtype="fp32")
    return tmp_path / "small.safetensors"


def test_deeper_weights_compute_the_same_and_others_are_mixed_with_them(small: Path) -> None:
    deep, other, mean = (small.with_name(f"{name}.safetensors") for name in ("deep", "other", "mean"))
    assert not made("deepen.py", small, "--depths", *DEEPER.split(), "-o", deep)
    views = torch.rand(2, 1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    opened = [checkpoint.load(path).network.eval() for path in (small, deep)]
    with torch.no_grad():
        first, second = (network(*views) for network in opened)
    assert len(opened[1].state_dict()) > len(opened[0].state_dict())
    torch.testing.assert_close(first, second)

    # As a training writes it: arguments that are the default's are left out.
    known = checkpoint.load(deep)
    assert known.arguments["max_disparity"] == 8
    spared = {name: known.arguments[name] for name in ("widths", "depths")}
    moved = {name: weight + 1 for name, weight in known.network.state_dict().items()}
    known.network.load_state_dict(moved)
    checkpoint.save(other, known.network, known.name, spared, {}, dtype="fp32")
    assert not made("average_weights.py", other, deep, "--share", 0.25, "--store", "fp32", "-o", mean)
    found, before = (checkpoint.load(path).network.state_dict() for path in (mean, deep))
    for name, weight in found.items():
        torch.testing.assert_close(weight, before[name] + 0.25)


def test_other_networks_are_refused(small: Path) -> None:
    deep, none = (small.with_name(f"{name}.safetensors") for name in ("deep", "none"))
    assert not made("deepen.py", small, "--depths", *DEEPER.split(), "-o", deep)
    assert "hold different networks" in made("average_weights.py", small, deep, "-o", none)
    assert "fewer blocks than" in made("deepen.py", deep, "--depths", *[1] * 7, "-o", none)
    assert not none.exists()

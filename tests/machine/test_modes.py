"""A caller's modes: whatever a program has set PyTorch to, results are those of a fresh process."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import dualpix
from dualpix.machine.modes import settled
from dualpix.networks import create
from dualpix.weights import checkpoint
from small_networks import TINY


@contextmanager
def restored(get: Callable[[], Any], put: Callable[[Any], object], value: Any) -> Iterator[None]:
    before = get()
    put(value)
    try:
        yield
    finally:
        assert get() == value, "what the caller chose is not in force any more"
        put(before)


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64 by default": lambda: restored(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "bfloat16 by default": lambda: restored(torch.get_default_dtype, torch.set_default_dtype, torch.bfloat16),
    "another device": lambda: torch.device("meta"),
    "inference": torch.inference_mode,
    "no gradients": torch.no_grad,
    "gradients": torch.enable_grad,
    "rough products": lambda: restored(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "strict NumPy": lambda: np.errstate(all="raise"),
}


def scene(folder: Path) -> dict[str, Tensor]:
    """What is made inside of a mode: everything a user asks for with one call each."""
    left, right = (dualpix.read_picture(folder / f"{side}.png").pixels for side in "LR")
    weights = dualpix.load(folder / "w.safetensors")
    sharp = dualpix.deblur(left, right, weights)
    found = dualpix.disparity(left, right, weights)
    dualpix.write_picture(folder / "sharp.png", sharp, overwrite=True)
    made = {"left": left, "sharp": sharp, "map": found.disparity_px}
    with torch.device("cpu"), torch.autocast("cpu", enabled=False), torch.inference_mode(False):
        made |= {"weight": weights.network.state_dict()["head.weight"].clone()}
        made |= {"written": torch.tensor(np.asarray(Image.open(folder / "sharp.png")))}
        made |= {
            name: torch.tensor(dualpix.METRICS[name](sharp, right), dtype=torch.float64) for name in ("psnr", "ssim")
        }
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modes")
    torch.manual_seed(0)
    checkpoint.save(folder / "w.safetensors", create("mccnet-fast", **TINY), "mccnet-fast", TINY)
    texture = np.random.default_rng(0).integers(0, 256, (48, 70, 3), dtype=np.uint8)
    for side, start in (("L", 2), ("R", 0)):
        Image.fromarray(texture[:, start : start + 64]).save(folder / f"{side}.png")
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, Tensor]:
    return scene(folder)


@pytest.mark.parametrize("mode", MODES)
def test_the_callers_modes_change_no_result(mode: str, folder: Path, expected: dict[str, Tensor]) -> None:
    with MODES[mode]():
        found = scene(folder)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value), name
        assert not found[name].is_inference(), name


def test_two_threads_leave_what_the_caller_chose() -> None:
    """One comes in while another is inside, and goes out after it."""
    inside, out = threading.Event(), threading.Event()

    def stay() -> None:
        with settled():
            inside.set()
            assert out.wait(60) and torch.get_default_dtype() == torch.float32

    with restored(torch.get_default_dtype, torch.set_default_dtype, torch.float64):
        with settled():
            other = threading.Thread(target=stay)
            other.start()
            assert inside.wait(60)
        assert torch.get_default_dtype() == torch.float32  # for the other's sake
        out.set()
        other.join()
        assert torch.get_default_dtype() == torch.float64


FORKED = """
import os, sys, torch, dualpix
from dualpix.errors import MachineError
from dualpix.networks import create
torch.set_num_threads(2)
torch.manual_seed(0)
network = create("mccnet-fast", widths=(4, 4, 8, 8), depths=(1, 1, 0, 0, 0, 0, 0)).eval()
left = torch.rand(3, 96, 160)
right = left.roll(1, 2)
before = dualpix.deblur(left, right, network, precision="fp32")
sys.modules["openvino"] = sys  # as if it had been loaded
child = os.fork()
if child == 0:
    after = dualpix.deblur(left, right, network, precision="fp32")
    try:
        dualpix.deblur(left, right, network, engine="openvino")
        said = ""
    except MachineError as error:
        said = str(error)
    os._exit(7 if torch.allclose(before, after, atol=1e-5) and "spawn" in said else 8)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="where processes are forked")
def test_a_forked_process_goes_on_in_one_thread() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=120)
    assert done.returncode == 7, done.stderr

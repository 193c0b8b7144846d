"""What is made ready stays for the next picture, as long as the weights are the same."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from dualpix.inference import engines
from dualpix.inference.deblur import deblur_pair
from dualpix.inference.engines.pytorch import Runner
from dualpix.networks import create
from small_networks import TINY


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return create("mccnet-fast", **TINY).eval()


def sample(height: int = 40, width: int = 64) -> dict[str, Any]:
    left = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))
    return {"left": left, "right": left.roll(1, 2), "name": "pair"}


def times_run(network: nn.Module, pair: dict[str, Any]) -> int:
    """How often the network is run for a picture, for planning too."""
    runs, run = [], Runner.__call__

    def counted(runner: Runner, views: Sequence[torch.Tensor]) -> torch.Tensor:
        runs.append(runner)
        return run(runner, views)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "__call__", counted)
        deblur_pair(pair, network, precision="fp32", device="cpu")
    return len(runs)


def test_a_size_is_planned_once_and_the_network_copied_once(network: nn.Module) -> None:
    assert times_run(network, sample()) == 3  # two of them to plan
    assert times_run(network, sample()) == 1
    assert times_run(network, sample(width=72)) == 3
    assert times_run(network, sample()) == 1


@pytest.mark.parametrize("how", ["in place", "data", "buffer", "state", "attribute"])
def test_changed_weights_are_seen(network: nn.Module, how: str) -> None:
    """What changes `.data` counts no version up."""
    network.register_buffer("unused", torch.zeros(2))
    before = deblur_pair(sample(), network, precision="fp32").picture
    old = engines.start(network, "torch", "fp32", "auto")  # type: ignore[arg-type]
    bias = network.get_parameter("head.bias")
    if how == "in place":
        with torch.no_grad():
            bias += 0.3
    elif how == "data":
        bias.data += 0.3
    elif how == "buffer":
        network.get_buffer("unused").data += 1
    elif how == "attribute":
        network.spec = replace(network.spec, size_multiple=2 * network.spec.size_multiple)
    else:
        network.load_state_dict(network.state_dict() | {"head.bias": bias + 0.3})
    after = deblur_pair(sample(), network, precision="fp32").picture
    assert engines.start(network, "torch", "fp32", "auto") is not old  # type: ignore[arg-type]
    if how != "attribute":
        assert torch.equal(before, after) == (how == "buffer")


def test_a_signal_reaches_a_process_whose_engines_are_gone() -> None:
    """OpenVINO gives threads a stack for signals, and takes it away in the wrong order if there are several of it."""
    pytest.importorskip("openvino", reason="the extra dualpix[openvino] is not installed")
    code = f"""
import gc, signal, torch
from dualpix import networks
from dualpix.inference.engines.openvino import OpenvinoRunner
signal.signal(signal.SIGUSR1, lambda *_: print("heard"))
network = networks.create("mccnet-fast", **{TINY}).eval()
views = [torch.rand(3, 64, 64)] * 2
first, second = (OpenvinoRunner(network, "fp32", "cpu") for _ in range(2))
first(views), second(views)
for one in ("first", "second"):
    del globals()[one]
    gc.collect()
signal.raise_signal(signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_openvino_runs_where_the_instructions_of_pytorch_are_limited() -> None:
    """It crashed at AVX2, having generated code for the processor that it found."""
    pytest.importorskip("openvino", reason="the extra dualpix[openvino] is not installed")
    code = """
import os, torch
from dualpix import networks
from dualpix.inference.engines.openvino import OpenvinoRunner
torch.manual_seed(0)
network = networks.create("mccnet-fast", widths=(8, 8, 16, 16), depths=(1, 1, 1, 0, 0, 0, 0)).eval()
views = [torch.rand(3, 64, 64) for _ in range(2)]
found = OpenvinoRunner(network, "fp32", "cpu")(views)
with torch.no_grad():
    error = (found - network(*(view[None] for view in views))[0]).abs().max().item()
print(error < 1e-4, os.environ["ONEDNN_MAX_CPU_ISA"])
"""
    limit = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | limit, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "True AVX2\n"), done.stderr

"""Deblurring and the memory of a whole process: looked at from outside, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest


def test_when_memory_runs_out_smaller_bands_are_tried(tmp_path: Path) -> None:
    """In a process that may not grow by more than a part of what the whole picture needs."""
    code = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
from dualpix.deblurring import Runner, make_plan
from test_deblurring import Matching, pair, run
torch.set_num_threads(1)
network, sample = Matching().eval(), pair(2000, 400)
run(pair(64, 400), network)
need = make_plan(Runner(network, "fp32", "cpu"), [sample["left"], sample["right"]], "9GB").peak_bytes - 420_000_000
sizes = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Vm"))
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (int(sizes["VmSize"].split()[0]) * 1024 + need // 2, hard))
bands = run(sample, network, memory="9GB")
network.reach_px = None
try:
    run(sample, network, memory="9GB")
except Exception as error:
    name = type(error).__name__
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
whole = run(sample, network)
print(len(bands.plan.bands), float((bands.picture - whole.picture).abs().max()) < 1e-5, name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    bands, equal, error = done.stdout.split()
    assert int(bands) > 1 and equal == "True" and error == "MachineError"


@pytest.mark.parametrize(
    ("height", "width", "limit"), [(256, 640, 1.2e9), pytest.param(1120, 1680, 2.5e9, marks=pytest.mark.slow)]
)
def test_a_process_stays_within_the_memory_that_was_planned(height: int, width: int, limit: float) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from dualpix import networks
from dualpix.deblurring import deblur_pair
from test_deblurring import pair
done = deblur_pair(pair({height}, {width}), networks.create("mccnet"), precision="fp32")
sizes = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Vm"))
print(done.plan.peak_bytes, 1024 * int(sizes["VmHWM"].split()[0]))
"""  # getrusage's peak would count the process that started this one
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    planned, used = map(int, done.stdout.split())
    assert 0.5 * planned < used < planned < limit

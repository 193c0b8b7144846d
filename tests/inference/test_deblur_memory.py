"""Deblurring and the memory of a whole process: looked at from outside, in processes of their own."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dualpix.errors import MachineError
from dualpix.inference.deblur import Deblurred, deblur_pair
from dualpix.networks.spec import NetworkSpec
from dualpix.pairs.sample import Sample

# A process that imports what the tests beside this one share.
FOLDERS = [*map(str, Path(__file__).parents[:2]), os.environ.get("PYTHONPATH", "")]
BESIDE = {**os.environ, "PYTHONPATH": os.pathsep.join(FOLDERS)}


def test_when_memory_runs_out_smaller_bands_are_tried(tmp_path: Path) -> None:
    """In a process that may not grow by more than a part of what the whole picture needs."""
    code = """
import resource, sys
from dataclasses import replace
import torch
from dualpix.inference.bands import make_plan
from dualpix.inference.engines.pytorch import Runner
from test_deblur import Matching, pair, run
torch.set_num_threads(1)
network, sample = Matching().eval(), pair(2000, 400)
run(pair(64, 400), network)
need = make_plan(Runner(network, "fp32", "cpu"), [sample["left"], sample["right"]], "9GB").peak_bytes - 340_000_000
sizes = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Vm"))
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (int(sizes["VmSize"].split()[0]) * 1024 + need // 2, hard))
bands = run(sample, network)
names = []
for reach, options in [(24, {"memory": "9GB"}), (24, {"band_rows": 2000}), (None, {})]:
    network.spec = replace(network.spec, receptive_radius_px=reach)
    try:
        run(sample, network, **options)
    except Exception as error:
        names.append(type(error).__name__)
network.spec = replace(network.spec, receptive_radius_px=24)
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
whole = run(sample, network)
print(len(bands.plan.bands), float((bands.picture - whole.picture).abs().max()) < 1e-5, *names)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, cwd=tmp_path, env=BESIDE
    )
    assert done.returncode == 0, done.stderr
    bands, equal, *errors = done.stdout.split()
    assert int(bands) > 1 and equal == "True" and errors == 3 * ["MachineError"]


class Limited(nn.Module):
    """Runs out of memory above `most_rows` rows."""

    spec = NetworkSpec(("left", "right"), size_multiple=4, receptive_radius_px=24)

    def __init__(self, most_rows: int, error: Exception | None = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.most_rows, self.error = most_rows, error or MemoryError()
        self.mix = nn.Conv2d(6, 3, 9, padding=4)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        if left.shape[-2] > self.most_rows:
            raise self.error
        added: Tensor = self.mix(torch.cat([left, right], 1))
        return (left + right) / 2 + added


def run(network: nn.Module, **options: object) -> Deblurred:
    """On a pair of 200 rows."""
    texture = torch.rand(3, 200, 42, generator=torch.Generator().manual_seed(0))
    sample: Sample = {"left": texture[..., :40].contiguous(), "right": texture[..., 2:].contiguous(), "name": "made"}
    return deblur_pair(sample, network, precision="fp32", guard=False, **options)  # type: ignore[arg-type]


TOO_MUCH = (
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] DefaultCPUAllocator: not enough memory: you tried to ..."),
    RuntimeError("std::bad_alloc"),
    RuntimeError("could not create a primitive"),
)


@pytest.mark.parametrize("error", TOO_MUCH, ids=str)
@pytest.mark.parametrize("mirror", [False, True])
def test_bands_are_halved_until_they_fit_and_the_user_is_told(error: Exception, mirror: bool) -> None:
    """The result is that of a machine with more memory. 200 and 100 rows, with 24 around them, are too many."""
    whole, fitted = (run(Limited(rows, error), mirror=mirror) for rows in (200, 100))
    assert (len(whole.plan.bands), len(fitted.plan.bands)) == (1, 4)
    assert (whole.picture - fitted.picture).abs().max() < 1e-5
    assert str(fitted.plan).startswith("4 bands of 52 rows")
    told = "The memory ran out with all 200 rows at once, so the picture was computed in bands of 52 rows."
    assert fitted.warnings == (*whole.warnings, told)
    assert told not in whole.warnings


@pytest.mark.parametrize(
    ("options", "size"), [({"memory": "9GB"}, "all 200 rows at once"), ({"band_rows": 100}, "bands of 100 rows")]
)
def test_what_the_user_chose_is_not_overridden(options: dict[str, object], size: str) -> None:
    """One error names what was tried and what to do."""
    with pytest.raises(MachineError, match=rf"ran out with {size}, as {next(iter(options))}=.*asks; .*leave it out"):
        run(Limited(100), **options)


@pytest.mark.parametrize(
    ("most_rows", "multiple", "words"),
    [
        (40, 4, "even with bands of 4 rows"),
        (40, 1, "even with bands of 3 rows"),  # halved six times
        (20, 4, "while trying 32 rows"),
    ],
)
def test_what_cannot_be_made_smaller_is_an_error(most_rows: int, multiple: int, words: str) -> None:
    """It names the smallest size tried."""
    network = Limited(most_rows)
    network.spec = replace(network.spec, size_multiple=multiple)
    with pytest.raises(MachineError, match=f"{words}.*free some"):
        run(network)


def test_a_network_without_a_reach_is_not_cut_when_memory_runs_out() -> None:
    """It sees the whole picture."""
    network = Limited(100)
    network.spec = replace(network.spec, receptive_radius_px=None)
    with pytest.raises(MachineError, match="even with all 200 rows at once"):
        run(network)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    """A mistake in a network shows as what it is, at once."""
    for words in ("shapes do not fit", "could not create a primitive descriptor for a convolution"):
        with pytest.raises(RuntimeError, match=words):
            run(Limited(100, RuntimeError(words)))


@pytest.mark.parametrize(
    ("network", "height", "width", "limit"),
    [
        ("mccnet", 256, 640, 0.8e9),
        ("mccnet-fast", 320, 960, 0.7e9),
        pytest.param("mccnet", 1120, 1680, 1e9, marks=pytest.mark.slow),
        pytest.param("mccnet-fast", 1120, 1680, 1e9, marks=pytest.mark.slow),
    ],
)
def test_a_process_stays_within_the_memory_that_was_planned(
    network: str, height: int, width: int, limit: float
) -> None:
    code = f"""
from dualpix import networks
from dualpix.inference.deblur import deblur_pair
from test_deblur import pair
done = deblur_pair(pair({height}, {width}), networks.create("{network}"), precision="fp32")
sizes = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Vm"))
print(done.plan.peak_bytes, 1024 * int(sizes["VmHWM"].split()[0]))
"""  # getrusage's peak would count the process that started this one
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=3000, env=BESIDE)
    assert done.returncode == 0, done.stderr
    planned, used = map(int, done.stdout.split())
    assert 0.5 * planned < used < planned < limit

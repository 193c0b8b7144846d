"""The peak memory of one method on one picture, measured in a process of its own. Linux only.

It is VmHWM, the largest resident size since the process began, Python and PyTorch (about 0.35 GB) included. The other
measure, `ru_maxrss`, would count the parent's memory too, which a child inherits with it.
"""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from dualpix.datasets import Sample
from dualpix.errors import MachineError
from dualpix.evaluation.candidates import MethodLike, open_candidate
from dualpix.evaluation.systems import System
from dualpix.inference.options import DeblurOptions
from dualpix.weights.checkpoint import Checkpoint

CHILD = "from dualpix.evaluation.peak import measure_here; measure_here()"
STATUS = Path("/proc/self/status")


def can_measure(thing: MethodLike) -> bool:
    """Whether another process can open `thing` too: weights, their files, and rows of `TABLE_ROWS`."""
    return STATUS.exists() and isinstance(thing, str | Path | System | Checkpoint)


def peak_bytes(label: str, thing: MethodLike, sample: Sample, options: DeblurOptions) -> int:
    """The peak memory of `thing`, as `open_candidate` takes it, on `sample`, which is run once more for it.

    Raises `MachineError` with what the process said last if it did not live to tell.
    """
    given = thing.path if isinstance(thing, Checkpoint) else thing
    maps = {key: value.numpy() for key, value in sample.items() if isinstance(value, Tensor) and key != "sharp"}
    job = pickle.dumps((label, given, {**maps, "name": sample["name"]}, options))
    done = subprocess.run([sys.executable, "-c", CHILD], input=job, capture_output=True)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise MachineError(f"The peak memory could not be measured: {said[-1]}")
    return int(done.stdout.split()[-1])


def measure_here() -> None:
    """The other process: read the job that `peak_bytes` wrote, run it, and print this process's peak in bytes."""
    label, thing, given, options = pickle.load(sys.stdin.buffer)
    method = open_candidate(label, thing, options).method
    if method is not None:
        method({key: value if key == "name" else torch.from_numpy(value) for key, value in given.items()})
    found = re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(), re.MULTILINE)
    sys.stdout.write(str(1024 * int(found[1])) if found else "")

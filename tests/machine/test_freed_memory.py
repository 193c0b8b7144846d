"""In a process of its own, because the setting stays."""

import os
import subprocess
import sys

import pytest

from dualpix.machine import freed_memory

PROGRAM = """
import resource, runpy, sys
import numpy
if sys.argv[2] == "keep":
    runpy.run_path(sys.argv[1])["keep_freed_memory"](1 << 30)
def use():
    arrays = [numpy.ones(3_000_000) for _ in range(8)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(setting: str, **chosen: str) -> int:
    command = [sys.executable, "-c", PROGRAM, freed_memory.__file__, setting]
    environment = {name: value for name, value in os.environ.items() if name not in freed_memory.CHOSEN} | chosen
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is set")
def test_memory_used_again_is_not_cleared_again() -> None:
    """Three times 192 MB are 140,000 pages of 4 kB, or a few hundred large ones and some small ones."""
    kept, left = faults("keep"), faults("leave")
    assert kept < left / 5


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is set")
def test_what_the_user_chose_in_the_environment_stays() -> None:
    assert faults("keep") < faults("keep", MALLOC_MMAP_THRESHOLD_=str(128 * 1024)) / 5

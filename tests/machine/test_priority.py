"""Making way: real processes, and what the system says of them."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os
from pathlib import Path
from dualpix.machine.priority import AUTOGROUP, lower_priority
before = os.nice(0)
lower_priority(7)
print(os.nice(0) - before, *(AUTOGROUP.read_text().split()[-1:] if AUTOGROUP.exists() else []))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="autogroups are Linux's")
@pytest.mark.parametrize("leads", [True, False])
def test_a_session_makes_way_with_the_process_that_leads_it(leads: bool) -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=leads)
    nicer, *group = done.stdout.split()
    assert 0 < int(nicer) <= 7  # it ends at 19
    enabled = Path("/proc/sys/kernel/sched_autogroup_enabled")
    if leads and enabled.exists() and enabled.read_text().strip() == "1":
        assert int(*group) > 0
    elif not leads:
        assert group == session_niceness()


def session_niceness() -> list[str]:
    """Give what the system says of this session: one number, or nothing where the session has no group of its own."""
    told = Path("/proc/self/autogroup")
    return told.read_text().split()[-1:] if told.exists() else []

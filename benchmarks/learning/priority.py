"""How a process makes way for all others, and with it every process that it starts."""

import os
import shutil
import subprocess
from contextlib import suppress

from dualpix.machine.priority import lower_priority


def make_way(nice: int, idle: bool, one_core: bool) -> None:
    """Before any thread is started, as a thread inherits these from the one that starts it.

    idle: computes only where no other process wants to, and reads and writes likewise. one_core: the last one allowed.
    What the system does not know or allow is left out.
    """
    lower_priority(max(0, nice - os.nice(0)))
    if one_core and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if idle and hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if idle and (ionice := shutil.which("ionice")):
        subprocess.run([ionice, "-c", "3", "-p", str(os.getpid())], check=False, stderr=subprocess.DEVNULL)


def ending_with_parent(command: list[str]) -> list[str]:
    """The command, to be killed when the process that starts it has ended, where the system can do that."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command

"""Lower the priority of this process, so that other programs stay quick."""

import os
from contextlib import suppress
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")


def lower_priority(nice: int) -> None:
    """Raise the niceness of this process by `nice`; on systems that have none, do nothing.

    On Linux with autogroups (man 7 sched) whole sessions compete with one another, and niceness counts only within one.
    A process that leads a session therefore lowers the session's priority too; one that does not lead it leaves the
    session alone, since that belongs to the terminal or to the calling program.
    """
    with suppress(OSError, AttributeError):
        reached = os.nice(nice)
        if os.getsid(0) == os.getpid():
            AUTOGROUP.write_text(str(reached))

"""How a process makes way for others."""

import os
from contextlib import suppress
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")


def lower_priority(nice: int) -> None:
    """Raise this process's niceness by so much; where the system has none, do nothing.

    On Linux with autogroups (man 7 sched) a session as a whole competes with other sessions, and niceness counts only
    within it. A process that leads a session therefore lowers that of the session too, and one that does not leaves it
    alone: it is the terminal's, or its caller's.
    """
    with suppress(OSError, AttributeError):
        reached = os.nice(nice)
        if os.getsid(0) == os.getpid():
            AUTOGROUP.write_text(str(reached))

"""How this process asks the system for memory."""

import ctypes
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Let freed memory stay with the process, to be used again, on Linux with glibc; elsewhere do nothing.

    A training step allocates and frees the same large tensors again and again. By default glibc hands each back to the
    system, which clears the pages anew for the next one: about 15 % of a step on two cores. Blocks up to 32 MB now
    come from the heap (the most glibc allows), and the heap gives back only what lies idle beyond 1 GB.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):  # other C libraries have no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 1 << 30)

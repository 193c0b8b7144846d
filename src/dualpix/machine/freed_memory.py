"""How this process asks the system for memory."""

import ctypes
import os
import sys
from collections.abc import Mapping
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h

CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")

OF_PICTURES = 256 << 20
"""Bytes that are enough for what is made and dropped again between the strips of a picture."""

OF_TRAINING = 1 << 30


def keep_freed_memory(most_bytes: int, environment: Mapping[str, str] = os.environ) -> None:
    """Let freed memory stay with the process, to be used again, on Linux with glibc; elsewhere do nothing.

    Networks allocate and free tensors of the same few sizes again and again. By default glibc hands each back to the
    system, which clears the pages anew for the next one: about 15 % of a training step on two cores, 5 % of a picture
    in bf16. Blocks up to 32 MB now come from the heap (the most glibc allows), unless the user set this in the
    environment.

    Args:
        most_bytes: What lies idle at the heap's end beyond them is given back.
        environment: Where the user may have chosen otherwise.
    """
    if sys.platform != "linux" or any(name in environment for name in CHOSEN):
        return
    with suppress(OSError, AttributeError):  # other C libraries have no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, most_bytes)

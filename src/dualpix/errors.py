"""The errors this package raises on purpose: one sentence that says what was given, what is accepted and what to do."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_MESSAGE, LONGEST_REASON = 600, 200
"""Characters: of a message, and of what another package says inside one."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udc7f\udd00-\udfff]+")
"""What breaks a line, steers a terminal or is half a letter, and may stand in the name of a file or of a tensor; the
halves that stand for bytes of file names are left."""


class DualpixError(Exception):
    """Anything a user can put right. The command line prints its text and exits non-zero, without a traceback.

    Messages name what stood in a file, so here each becomes one line of a length that a person reads.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shortened(CONTROL.sub(" ", message), LONGEST_MESSAGE))


def reason_of(error: BaseException) -> str:
    """What an error of another package says, to stand inside a sentence of ours: its first line, without the full stop
    and cut to a readable length, or the name of its kind."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return shortened(CONTROL.sub(" ", first)).rstrip(".")


def shortened(text: str, most: int = LONGEST_REASON) -> str:
    """A text with the middle left out if it is too long: files are named at the beginning, advice stands at the end."""
    half = (most - 5) // 2
    shown = text.encode("utf-8", "backslashreplace").decode()  # bytes of file names take more room when printed
    return text if len(shown) <= most else f"{shown[:half]} ... {shown[-half:]}"


class PictureError(DualpixError):
    """A picture file cannot be read or written."""


class PairError(DualpixError):
    """Two pictures are not the two views of one dual-pixel photograph."""


class DataError(DualpixError):
    """A folder does not hold a data set in a layout that is known, or its pictures do not fit what is asked of them."""


class RecipeError(DualpixError):
    """A recipe, or a table entry it names, does not exist or has a field of the wrong kind."""


class CheckpointError(DualpixError):
    """A weights file is damaged, or holds the weights of another network."""


class MachineError(DualpixError):
    """The memory, precision or device that was asked for cannot be had here."""


def how_to_install(extra: str) -> str:
    """What brings the packages of an extra: no package index has dualpix itself, so it is said of a checkout."""
    return f"pip install -e '.[{extra}]' in the folder of dualpix's sources"


OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|failed to allocate memory"
    r"|not enough memory|out of memory|bad_alloc|failed to map segment"
    r"|can't start new thread|could not (create|execute) a primitive$",
    re.MULTILINE | re.IGNORECASE,
)
"""What says so where there is no type for it: PyTorch's allocators on Linux and Windows, C++, the loader, oneDNN."""

MEMORY_RAN_OUT = "The memory ran out; free some, or use smaller pictures."


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether that is what an error says, of whatever library it comes."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | ImportError) and bool(OUT_OF_MEMORY.search(str(error)))


@contextmanager
def memory_told() -> Iterator[None]:
    """Inside, memory that runs out raises MachineError, which says so in one sentence."""
    try:
        yield
    except DualpixError:
        raise
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        raise MachineError(MEMORY_RAN_OUT) from error

"""The errors this package raises on purpose: one sentence that says what was given, what is accepted and what to do."""

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONGEST_MESSAGE, LONGEST_REASON = 600, 200
"""The most characters in a message, and in the part of it that quotes another package."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udc7f\udd00-\udfff]+")
"""Characters that break a line, control a terminal, or are half of a surrogate pair; names of files and of tensors can
contain them. The halves that Python uses for undecodable bytes of file names (U+DC80 to U+DCFF) are kept.
"""


Spelling = Callable[[str, str | None], str]
"""How an entry point (command line, page, Python) writes an option, given its name and its value: "True" for an option
that is either given or not, None where only the name is meant.
"""

OPTION = re.compile("\ue000([^\ue000-\ue003]*)\ue001([^\ue000-\ue003]*)\ue002([^\ue000-\ue003]*)\ue003")
"""An option inside a message: name, value, and the Python form, separated by private-use characters of Unicode."""


def option(name: str, value: object = True, python: str = "") -> str:
    """Mark an option inside the message of an error, so that each entry point can write it in its own way.

    Args:
        name: As the command line has it, without the dashes: "strip-metadata".
        value: What to give; True for an option that is either given or not, None where only its name is meant.
        python: The Python form, where it is not the keyword argument of the same name.

    Returns:
        Text to put into a message; `spelled` and `DualpixError` turn it into `--strip-metadata` or
        `strip_metadata=True`.

    Example:
        >>> error = PictureError(f"out.png exists; give {option('overwrite')}.")
        >>> print(error)
        out.png exists; give overwrite=True.
        >>> print(error.spelled(as_flag))
        out.png exists; give --overwrite.
    """
    return f"\ue000{name}\ue001{'' if value is None else value}\ue002{python}\ue003"


def as_keyword(name: str, value: str | None) -> str:
    """Write an option as Python has it: `force=True`, `memory=`, `layout='raw'`."""
    return f"{name.replace('-', '_')}={value if value == 'True' else repr(value) if value else ''}"


def as_flag(name: str, value: str | None) -> str:
    """Write an option as the command line has it: `--force`, `--memory`, `--layout raw`."""
    return f"--{name}" if value in (None, "True") else f"--{name} {value}"


_spelling: Spelling | None = None  # of the current entry point; None in a Python program


def spelled(text: str, spelling: Spelling | None = None) -> str:
    """Return `text` with its options written by `spelling`; as Python has them if that is None."""

    def spell(found: re.Match[str]) -> str:
        name, value, python = found.groups()
        if spelling is None:
            return python or as_keyword(name, value or None)
        return spelling(name, value or None)

    return OPTION.sub(spell, text)


def told(text: str) -> str:
    """Return a text that is no error, such as a reason in a report, with options written as errors write them now."""
    return spelled(text, _spelling)


def current_spelling() -> Spelling | None:
    """How errors write options now; None as Python has them."""
    return _spelling


@contextmanager
def spelled_as(spelling: Spelling | None) -> Iterator[None]:
    """While this context is active, errors write options by `spelling`; otherwise as Python has them."""
    global _spelling
    before, _spelling = _spelling, spelling
    try:
        yield
    finally:
        _spelling = before


class DualpixError(Exception):
    """The base of all errors that the user can put right; the command line prints the text and exits with 1.

    Messages can quote names from files, so control characters are removed and long messages shortened. A message can
    contain an `option`, which `str(error)` writes as the current entry point does (see `spelled_as`).

    Attributes:
        exit_code: What a command ends with that raises it.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(shortened(CONTROL.sub(" ", message), LONGEST_MESSAGE))

    def __str__(self) -> str:
        return spelled(self.args[0], _spelling)

    def spelled(self, spelling: Spelling | None = None) -> str:
        """Return the message with its options written by `spelling`; as Python has them if that is None."""
        return spelled(self.args[0], spelling)

    @property
    def options(self) -> dict[str, str | None]:
        """The options that would help: values by name, None where the message gives no value."""
        return {name: value or None for name, value, _ in OPTION.findall(self.args[0])}


def reason_of(error: BaseException) -> str:
    """Return what an error of another package says, for use inside a sentence of ours.

    That is its first line that is not empty, without the full stop and shortened; or the name of its class, if it says
    nothing.
    """
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return shortened(CONTROL.sub(" ", first)).rstrip(".")


def shortened(text: str, most: int = LONGEST_REASON) -> str:
    """Return `text`, with its middle left out if it has more than `most` characters.

    Both ends are kept, because messages name the file first and give the advice last.
    """
    half = (most - 5) // 2
    shown = text.encode("utf-8", "backslashreplace").decode()  # bytes of file names take more room when printed
    return text if len(shown) <= most else f"{shown[:half]} ... {shown[-half:]}"


class PictureError(DualpixError):
    """A picture file cannot be read or written."""


class PairError(DualpixError):
    """Two pictures are not the two views of one dual-pixel photograph."""


class DataError(DualpixError):
    """A folder is not a data set in a known layout, or its pictures do not fit the request."""


class RecipeError(DualpixError):
    """A recipe, or a table entry that it names, does not exist, or a field has a value of the wrong kind."""


class CheckpointError(DualpixError):
    """A weights file is damaged, of another kind, or holds the weights of another network."""


class MachineError(DualpixError):
    """This machine lacks the memory, precision, device or package that was asked for."""


def how_to_install(extra: str) -> str:
    """Return the command that installs the extra called `extra`, for people who have a checkout of the sources."""
    return f"pip install -e '.[{extra}]' in the folder of dualpix's sources"


OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|failed to allocate memory"
    r"|not enough memory|out of memory|bad_alloc|failed to map segment"
    r"|can't start new thread|could not (create|execute) a primitive$"
    r"|(_STATUS|CUFFT)_ALLOC_FAILED|unable to find a valid cuDNN algorithm",
    re.MULTILINE | re.IGNORECASE,
)
"""How libraries without an exception type for it say that memory ran out: PyTorch, C++, oneDNN, the dynamic loader, and
NVIDIA's, for which PyTorch's own allocator left too little.
"""

MEMORY_RAN_OUT = "The memory ran out; free some, or use smaller pictures."

DEVICE_FAILED = re.compile(r"\b(CUDA|HIP|XPU)( driver)? error\b|\b(cuDNN|cuFFT|MIOpen) error\b|Triton Error \[")
"""How PyTorch and its compiler say that a GPU, or what drives it, has failed; this process cannot use it any more."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether `error`, of whatever library, means that the memory ran out."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | ImportError) and bool(OUT_OF_MEMORY.search(str(error)))


def device_failed(error: BaseException) -> bool:
    """Whether `error`, or what it was made of, means that the device has failed, and not only that memory ran out."""
    if isinstance(error, MachineError) and error.__cause__ is not None:
        error = error.__cause__
    if not isinstance(error, RuntimeError) or ran_out_of_memory(error):
        return False
    return type(error).__name__ == "AcceleratorError" or bool(DEVICE_FAILED.search(str(error)))


def machine_fault(error: BaseException) -> str:
    """The sentence about memory that ran out or a device that failed; empty for all other errors."""
    if ran_out_of_memory(error):
        return MEMORY_RAN_OUT
    if device_failed(error):
        return f"The device failed ({reason_of(error)}); start again, on the CPU if it fails again."
    return ""


@contextmanager
def machine_told() -> Iterator[None]:
    """Turn memory that ran out or a device that failed, while this context is active, into one `MachineError`."""
    try:
        yield
    except DualpixError:
        raise
    except Exception as error:
        fault = machine_fault(error)
        if not fault:
            raise
        raise MachineError(fault) from error

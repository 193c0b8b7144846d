"""The errors this package raises on purpose: one sentence that says what was given, what is accepted and what to do."""

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONGEST_MESSAGE, LONGEST_REASON = 600, 200
"""Characters: of a message, and of what another package says inside one."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udc7f\udd00-\udfff]+")
"""What breaks a line, steers a terminal or is half a letter, and may stand in the name of a file or of a tensor; the
halves that stand for bytes of file names are left."""


Spelling = Callable[[str, str | None], str]
"""How an entry spells an option, by name and value: "True" for one that is given or not, None where only the name is
meant."""

OPTION = re.compile("\ue000([^\ue000-\ue003]*)\ue001([^\ue000-\ue003]*)\ue002([^\ue000-\ue003]*)\ue003")
"""An option inside a message: its name, its value, and how Python says it, between private letters of Unicode."""


def option(name: str, value: object = True, python: str = "") -> str:
    """An option, to stand inside the message of an error: whoever shows the message spells it as people there do.

    Args:
        name: of the option, as the command line has it without the dashes: "strip-metadata".
        value: what to give; True for an option that is given or not, None where only its name is meant.
        python: what to write in Python, where that is not the keyword of the same name.
    """
    return f"\ue000{name}\ue001{'' if value is None else value}\ue002{python}\ue003"


def as_keyword(name: str, value: str | None) -> str:
    """As Python has it: `force=True`, `memory=`, `layout='raw'`."""
    return f"{name.replace('-', '_')}={value if value == 'True' else repr(value) if value else ''}"


def as_flag(name: str, value: str | None) -> str:
    """As the command line has it: `--force`, `--memory`, `--layout raw`."""
    return f"--{name}" if value in (None, "True") else f"--{name} {value}"


_spelling: Spelling | None = None  # of the entry at work; nothing where that is a program in Python


def spelled(text: str, spelling: Spelling | None = None) -> str:
    """A text with its options spelled in one way; as Python has them if none is given."""

    def spell(found: re.Match[str]) -> str:
        name, value, python = found.groups()
        if spelling is None:
            return python or as_keyword(name, value or None)
        return spelling(name, value or None)

    return OPTION.sub(spell, text)


def told(text: str) -> str:
    """A text that is no error, such as a reason in a report, with its options spelled as the entry at work has them."""
    return spelled(text, _spelling)


@contextmanager
def spelled_as(spelling: Spelling) -> Iterator[None]:
    """Inside, errors are told to people who use this entry; elsewhere to those who write Python."""
    global _spelling
    before, _spelling = _spelling, spelling
    try:
        yield
    finally:
        _spelling = before


class DualpixError(Exception):
    """Anything a user can put right. The command line prints its text and exits non-zero, without a traceback.

    Messages name what stood in a file, so here each becomes one line of a length that a person reads. They may name an
    `option`, which each entry spells in its own way: `str(error)` as the entry at work does (see `spelled_as`).
    """

    def __init__(self, message: str) -> None:
        super().__init__(shortened(CONTROL.sub(" ", message), LONGEST_MESSAGE))

    def __str__(self) -> str:
        return spelled(self.args[0], _spelling)

    def spelled(self, spelling: Spelling | None = None) -> str:
        """The message with its options spelled in that way; as Python has them if none is given."""
        return spelled(self.args[0], spelling)

    @property
    def options(self) -> dict[str, str | None]:
        """The options that would help, by name, with what to give them."""
        return {name: value or None for name, value, _ in OPTION.findall(self.args[0])}


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

"""What was done in an output folder, kept so that a run which is killed at any moment can be gone on with.

`dualpix-journal.jsonl` is only ever appended to. A picture is `started` before its file appears and `made` after, and
both lines are on the disk before work goes on; a line that was cut short counts as never written. Every shard has a
journal of its own, since appending is not atomic on network disks; all of them are read.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from dualpix.errors import PictureError, option
from dualpix.machine.files import glimpses, is_free, parse_json, remove_leftovers

NAME = "dualpix-journal"
LOOK_BYTES = 2**16
MOST_TRIES = 20


class JournalError(PictureError):
    """The journal cannot be written, so that no work is worth doing any more."""


class Stamp(NamedTuple):
    """What tells that a file is still the one it was."""

    size: int
    mtime_ns: int


def stamp(path: Path) -> Stamp | None:
    """The stamp of a file; None if there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return Stamp(status.st_size, status.st_mtime_ns)


def fingerprint(path: Path) -> str | None:
    """What tells a file from another of the same stamp: its beginning, middle and end, as a hash; None if there is
    none."""
    try:
        with path.open("rb") as file:
            return hashlib.sha256(b"".join(glimpses(file, LOOK_BYTES))).hexdigest()
    except (OSError, ValueError):
        return None


@dataclass
class History:
    """What journals say of one output: `made`: by which signature it was made, and the file's stamp then; `started`:
    whether it was begun, and neither made nor given up."""

    made: set[tuple[str, Stamp]] = field(default_factory=set)
    started: bool = False


def read_journals(folder: Path) -> dict[str, History]:
    """The history of every output, by its path inside `folder`. Lines that are damaged are passed over."""
    histories: dict[str, History] = {}
    for path in sorted(folder.glob(f"{NAME}*.jsonl")):
        going: set[str] = set()
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    _add(parse_json(line), histories, going)
        for output in going:
            histories.setdefault(output, History()).started = True
    return histories


def _add(entry: Any, histories: dict[str, History], going: set[str]) -> None:
    """Take in a line. Raises ValueError if it is none that a journal has."""
    match entry:
        case {"state": "started", "output": str(output)}:
            going.add(output)
        case {"state": "made", "output": str(output), "signature": str(signature), "file": [size, mtime_ns]}:
            if not type(size) is type(mtime_ns) is int:  # true is no size
                raise ValueError("no stamp of a file")
            histories.setdefault(output, History()).made.add((signature, Stamp(size, mtime_ns)))
            going.discard(output)
        case {"state": "failed" | "kept", "output": str(output)}:
            going.discard(output)
        case _:
            raise ValueError("no line of a journal")


class Journal:
    """The journal of a run, open for appending; a context.

    Opening it makes the folder, refuses a second run of the same shard, and removes from `folders` what a killed run
    had half written, unless another shard is at work. Raises PictureError if the folder cannot be written to.
    """

    def __init__(self, folder: Path, shard: tuple[int, int], folders: Iterable[Path]) -> None:
        self.folder = folder
        try:
            with ExitStack() as files:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = self._enter(files, shard, folders)
                _end_line(self._file)
                self._files = files.pop_all()
        except OSError as error:
            raise PictureError(f"{folder} cannot be used: {error.strerror or error}; choose another folder.") from error

    def _enter(self, files: ExitStack, shard: tuple[int, int], folders: Iterable[Path]) -> IO[bytes]:
        busy = PictureError(
            f"Another run is at work in {self.folder}; wait for its end, or let both share"
            f" the work ({option('shard', None)})."
        )
        common = files.enter_context((self.folder / f"{NAME}.jsonl").open("ab+"))
        if is_free(common) is not False:
            for place in folders:
                remove_leftovers(place)
        elif shard == (1, 1):
            raise busy
        if shard == (1, 1):
            return common
        own = files.enter_context((self.folder / f"{NAME}-{shard[0]}-of-{shard[1]}.jsonl").open("ab+"))
        if is_free(own) is False or not _share(common):
            raise busy
        return own

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line; it is on the disk when this returns. Raises PictureError if it cannot be written."""
        line = json.dumps(entry).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._file.fileno(), line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            reason = error.strerror or error
            raise JournalError(
                f"The journal in {self.folder} cannot be written: {reason}; {option('resume')} goes on."
            ) from error

    def close(self) -> None:
        """Let the next run in."""
        self._files.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end_line(file: IO[bytes]) -> None:
    """A line that was cut short must not swallow the next one."""
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
            file.flush()


def _share(file: IO[bytes]) -> bool:
    """Whether the file is ours together with other shards. One that begins holds it alone for a moment."""
    for _ in range(MOST_TRIES):
        if is_free(file, shared=True) is not False:
            return True
        time.sleep(0.1)
    return False

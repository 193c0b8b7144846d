"""What was done in an output folder, kept so that a run which is killed at any moment can be continued.

Lines are only ever appended to `dualpix-journal.jsonl`. A picture is `started` before its file appears and `made` after
that, and both lines are on the disk before work goes on; a line that was cut short is ignored. Every shard has a
journal of its own, since appending is not atomic on network disks; all of them are read. An object store cannot append:
there a run writes its lines in parts (`part_journal.py`).
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

from dualpix.errors import PictureError, option
from dualpix.machine.files import glimpses, is_free, parse_json, remove_leftovers
from dualpix.machine.storage import Mark, list_objects, mark_of, read_object
from dualpix.machine.urls import Location, Url

NAME = "dualpix-journal"
WORKERS = f"{NAME}-worker-"
"""How the names begin of the journals of processes that share one run (`worker_journals.py`)."""

LOOK_BYTES = 2**16
MOST_TRIES = 20
ENDING_S = 15.0
"""Seconds in which the workers of a run that ended, or was killed, should have ended too."""


class JournalError(PictureError):
    """The journal cannot be written, so that going on would be useless."""


class Stamp(NamedTuple):
    """Size and time of a file, by which one can see that it has not changed."""

    size: int
    mtime_ns: int


Seen: TypeAlias = Stamp | Mark
"""By what one sees that a file, or an object elsewhere, has not changed."""


def stamp(path: Location) -> Seen | None:
    """Return the stamp of a file, or the mark of an object elsewhere; None if there is no such file."""
    if isinstance(path, Url):
        return mark_of(path)
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return Stamp(status.st_size, status.st_mtime_ns)


def fingerprint(path: Location) -> str | None:
    """Return a hash of a file's beginning, middle and end, which differ where stamps do not; None without file.

    None for an object elsewhere too, whose mark is its service's own checksum where it has one.
    """
    if isinstance(path, Url):
        return None
    try:
        with path.open("rb") as file:
            return hashlib.sha256(b"".join(glimpses(file, LOOK_BYTES))).hexdigest()
    except (OSError, ValueError):
        return None


@dataclass
class History:
    """What journals say about one output.

    Args:
        made: By which signatures it was made, and the file's stamp each time.
        maps: The same of its maps, after their kinds.
        started: Whether it was begun, and neither finished nor given up.
    """

    made: set[tuple[str, Seen]] = field(default_factory=set)
    maps: set[tuple[str, str, Seen]] = field(default_factory=set)
    started: bool = False


def read_journals(folder: Location) -> dict[str, History]:
    """Return the history of every output, by its path inside `folder`; damaged lines are ignored."""
    histories: dict[str, History] = {}
    for lines in _journals(folder):
        going: set[str] = set()
        for line in lines:
            with suppress(ValueError):
                _add(parse_json(line), histories, going)
        for output in going:
            histories.setdefault(output, History()).started = True
    return histories


def _journals(folder: Location) -> Iterator[Iterable[bytes]]:
    """The lines of each journal; all parts of all runs elsewhere are one, in the order of time."""
    if isinstance(folder, Url):
        parts = sorted(url for url in list_objects(folder / NAME) if url.suffix == ".jsonl")
        yield (line for url in parts for line in read_object(url).splitlines())
        return
    for path in sorted(folder.glob(f"{NAME}*.jsonl")):
        with path.open("rb") as file:
            yield file


def _add(entry: Any, histories: dict[str, History], going: set[str]) -> None:
    """Take in a line. Raises ValueError if a journal has no such line."""
    match entry:
        case {"state": "started", "output": str(output)}:
            going.add(output)
        case {"state": "made", "output": str(output), "signature": str(signature), "file": file}:
            made, maps = (signature, _stamp(file)), _maps(entry.get("written_maps", {}))
            history = histories.setdefault(output, History())
            history.made.add(made)
            history.maps |= maps
            going.discard(output)
        case {"state": "mapped", "output": str(output), "written_maps": written}:
            histories.setdefault(output, History()).maps |= _maps(written)
            going.discard(output)
        case {"state": "failed" | "kept", "output": str(output)}:
            going.discard(output)
        case _:
            raise ValueError("no line of a journal")


def _maps(written: Any) -> set[tuple[str, str, Seen]]:
    """Kind, signature and stamp of the maps that a line names."""
    found = set()
    for kind, made in written.items() if isinstance(written, dict) else ():
        match made:
            case {"signature": str(signature), "file": file}:
                found.add((kind, signature, _stamp(file)))
    return found


def _stamp(file: Any) -> Seen:
    match file:
        case [int(size), str(tag)]:
            return Mark(size, tag)
        case [size, mtime_ns] if type(size) is type(mtime_ns) is int:  # JSON's true is not a size
            return Stamp(size, mtime_ns)
    raise ValueError("no stamp of a file")


class Journal:
    """The journal of a run, open for appending; a context.

    Opening it makes the folder, refuses a second run of the same shard, and removes from `folders` the unfinished files
    of killed runs, unless another shard is running.

    Args:
        folder: The output folder.
        shard: Number and total.
        folders: All folders that pictures go to.

    Raises:
        PictureError: The folder cannot be written to, or another run is at work in it.
    """

    def __init__(self, folder: Path, shard: tuple[int, int], folders: Iterable[Path]) -> None:
        self.folder, self.shard = folder, shard
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
        if self._hold(common) is not False:
            for place in folders:
                remove_leftovers(place)
        elif shard == (1, 1):
            raise busy
        if shard == (1, 1):
            return common
        own = files.enter_context((self.folder / f"{NAME}-{shard[0]}-of-{shard[1]}.jsonl").open("ab+"))
        if is_free(own) is False or not hold_together(common):
            raise busy
        return own

    def expect(self, outputs: Sequence[str]) -> None:
        """Take note of what will be started; of use only to journals in parts."""

    def _hold(self, common: IO[bytes]) -> bool | None:
        """`is_free`; the workers of a run that was killed end a moment after it, and are waited for."""
        until = time.monotonic() + ENDING_S
        while (free := is_free(common)) is False and any(self.folder.glob(f"{WORKERS}*")):
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        return free

    def share(self) -> None:
        """Let workers write journals of their own (`WorkerJournal`) from now on."""
        is_free(self._file, shared=True)

    def regain(self) -> bool:
        """Whether no worker writes any more, after waiting a moment for them to end; none can begin then."""
        if self._hold(self._file):
            return True
        self.share()
        return False

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line; it is on the disk when this returns.

        Raises:
            JournalError: It cannot be written.
        """
        self.append_lines([json.dumps(entry).encode() + b"\n"])

    def append_lines(self, lines: Iterable[bytes], *, sync: bool = True) -> None:
        """Add whole lines; unless `sync` is off, they are on the disk when this returns. Raises as `append` does."""
        try:
            for line in lines:
                while line:
                    line = line[os.write(self._file.fileno(), line) :]
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            reason = error.strerror or error
            raise JournalError(
                f"The journal in {self.folder} cannot be written: {reason}; {option('resume')} goes on."
            ) from error

    def close(self) -> None:
        """Release the folder for the next run."""
        self._files.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end_line(file: IO[bytes]) -> None:
    """End a line that was cut short, so that the next one is not joined to it."""
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
            file.flush()


def hold_together(file: IO[bytes]) -> bool:
    """Whether we now share the file with other shards; one that is starting holds it alone for a moment."""
    for _ in range(MOST_TRIES):
        if is_free(file, shared=True) is not False:
            return True
        time.sleep(0.1)
    return False

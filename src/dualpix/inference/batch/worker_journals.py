"""The journals of processes that share one run, such as the workers of a cluster.

Each has one of its own beside that of the run, since appending is not atomic on network disks, and holds its lock
while it lives. Lines are those of `journal.py`, and one more: `tried`, before a pair is read, by which one can see
later which pair a process died of. When no worker is left, `gather` moves the lines to the journal of the run.
"""

import json
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from dualpix.errors import PictureError, option
from dualpix.inference.batch.journal import NAME, WORKERS, Journal, hold_together, stamp
from dualpix.inference.batch.part_journal import AnyJournal
from dualpix.machine.files import is_free, parse_json
from dualpix.machine.urls import Location, Url, as_location

FINISHED = ("made", "mapped", "failed", "kept")


class WorkerJournal(Journal):
    """The journal of one process of a run, in a file of its own; a context.

    Args:
        folder: The output folder.

    Raises:
        PictureError: The folder cannot be written to, or a run that shares it with nobody is at work in it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, (1, 1), ())

    def _enter(self, files: ExitStack, shard: tuple[int, int], folders: Iterable[Path]) -> IO[bytes]:
        common = files.enter_context((self.folder / f"{NAME}.jsonl").open("ab+"))
        if not hold_together(common):
            raise PictureError(
                f"Another run is at work in {self.folder}; wait for its end, or let both share the work"
                f" ({option('shard', None)})."
            )
        name = f"{WORKERS}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        own = files.enter_context((self.folder / name).open("ab+"))
        while is_free(own) is False:  # another worker looks whether we live
            time.sleep(0.01)
        return own

    def note_try(self, output: str) -> None:
        """Add that work on `output` begins. It outlives this process, though perhaps not the machine."""
        self.append_lines([json.dumps({"state": "tried", "output": output}).encode() + b"\n"], sync=False)


def unfinished_tries(folder: Path) -> Counter[str]:
    """How many processes that are not at work any more began each output and neither finished nor gave it up."""
    tries: Counter[str] = Counter()
    for path in folder.glob(f"{WORKERS}*.jsonl"):
        with suppress(FileNotFoundError), path.open("rb") as file:
            if is_free(file, shared=True) is not False:
                tries.update(_going(file, ("tried", "started")))
    return tries


def last_made(folder: Path, outputs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The last line of workers' journals about the making of each of these outputs, where there is one."""
    wanted, found = set(outputs), {}
    for path in sorted(folder.glob(f"{WORKERS}*.jsonl")):
        with suppress(FileNotFoundError), path.open("rb") as file:
            for _, entry in _entries(file):
                if entry["state"] in ("made", "mapped") and entry["output"] in wanted:
                    found[entry["output"]] = entry
    return found


def gather(journal: AnyJournal) -> None:
    """Move the lines of workers' journals to that of the run, unless a worker is still at work.

    What one process began and another finished counts as finished if its file is as that one left it.

    Raises:
        JournalError: They cannot be written there.
    """
    if not isinstance(journal, Journal):  # one in parts, which is not shared
        return
    paths = sorted(journal.folder.glob(f"{WORKERS}*.jsonl"))
    if not paths or journal.shard != (1, 1) or not journal.regain():
        return
    going = {output for path in paths for output in _begun_in(path)}
    settled = _as_left(journal.folder, paths, going)
    for path in paths:
        with path.open("rb") as file:
            journal.append_lines(line for line, entry in _entries(file) if entry["state"] in FINISHED)
    begun = [json.dumps({"state": "started", "output": output}).encode() + b"\n" for output in sorted(going - settled)]
    journal.append_lines(begun)
    for path in paths:
        path.unlink()


def shared_folder(folder: str | Location) -> Path:
    """Return `folder` as a path. Raises PictureError for a URL, where workers can keep no journals."""
    place = as_location(folder)
    if isinstance(place, Url):
        raise PictureError(
            f"{place} lies in an object store, where several workers can keep no journals; give a folder that all of"
            f" them share, or run a part of the work on each machine ({option('shard', None)})."
        )
    return place


def gather_journals(folder: str | Path) -> None:
    """Move the lines that workers wrote to the journal of a folder; call it before and after a job of an engine.

    A run of `dualpix deblur` does so by itself.

    Args:
        folder: The output folder.

    Raises:
        PictureError: The folder cannot be written to, or a run is at work in it.
    """
    with Journal(shared_folder(folder), (1, 1), ()) as journal:
        gather(journal)


def _begun_in(path: Path) -> set[str]:
    with path.open("rb") as file:
        return _going(file, ("started",))


def _going(file: IO[bytes], begins: tuple[str, ...]) -> set[str]:
    going: set[str] = set()
    for _, entry in _entries(file):
        if entry["state"] in begins:
            going.add(entry["output"])
        elif entry["state"] in FINISHED:
            going.discard(entry["output"])
    return going


def _as_left(folder: Path, paths: list[Path], outputs: set[str]) -> set[str]:
    """Those of the outputs whose file is as some line says, and that have no maps, which no line tells the place of."""
    settled: set[str] = set()
    for path in paths:
        with path.open("rb") as file:
            for _, entry in _entries(file):
                if entry["state"] == "made" and entry["output"] in outputs and "written_maps" not in entry:
                    there = stamp(folder / os.fsdecode(entry["output"].encode("utf-8", "surrogateescape")))
                    if there is not None and list(there) == entry.get("file"):
                        settled.add(entry["output"])
    return settled


def _entries(file: IO[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The whole lines of a journal about one output each, and what they say."""
    for line in file:
        with suppress(ValueError):
            match parse_json(line):
                case {"state": str(), "output": str()} as entry if line.endswith(b"\n"):
                    yield line, entry

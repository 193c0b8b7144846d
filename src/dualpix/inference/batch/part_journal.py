"""The journal of a run whose results lie in an object store, which cannot append to an object.

Lines are those of `journal.py`. They go into parts, `dualpix-journal/TIME-RUN-SHARD-NUMBER.jsonl` in the folder of the
results: the part at work is put again with more lines, whole each time, and a full one is left alone. Before a picture
appears, a part says that it is started; so as not to need a request for each, that is said of the next AHEAD pictures
at once. A killed run makes again what it finished in its last EVERY_S seconds.
"""

import json
import secrets
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from dualpix.errors import PictureError, option
from dualpix.inference.batch.journal import NAME, Journal, JournalError
from dualpix.machine.storage import write_object
from dualpix.machine.urls import Location, Url

AHEAD = 64
EVERY_S = 2.0
PART_BYTES = 2**18


class PartJournal:
    """The journal of a run elsewhere, in parts; a context.

    An object store has no locks: two runs at once do the same work twice, and leave the same pictures, each of them
    whole.

    Args:
        folder: The output folder.
        shard: Number and total.

    Raises:
        PictureError: The folder cannot be written to.
    """

    def __init__(self, folder: Url, shard: tuple[int, int]) -> None:
        seconds, rest_ns = divmod(time.time_ns(), 10**9)  # two runs may begin in one second, and their order counts
        start = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}{rest_ns // 1000:06d}Z"
        self._stem = folder / NAME / f"{start}-{secrets.token_hex(4)}-{shard[0]}-of-{shard[1]}"
        self.folder, self._number = folder, 0
        self._lines: list[bytes] = []
        self._put_s, self._is_put = time.monotonic(), True
        self._expected: deque[str] = deque()
        self._announced: set[str] = set()
        try:
            write_object(self._part(), b"")
        except OSError as error:
            raise PictureError(f"{folder} cannot be used: {error.strerror}; choose another folder.") from error

    def _part(self) -> Url:
        return self._stem.with_name(f"{self._stem.name}-{self._number:06d}.jsonl")

    def expect(self, outputs: Sequence[str]) -> None:
        """Take note of what will be started, in this order."""
        self._expected.extend(outputs)

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line. When this returns for a picture that is started, that can be read elsewhere.

        Raises:
            JournalError: It cannot be written.
        """
        if entry["state"] == "started":
            self._announce(entry["output"])
        else:
            self._add(entry)
        if time.monotonic() - self._put_s > EVERY_S:
            self._put()

    def _announce(self, output: str) -> None:
        if output in self._announced:
            self._announced.discard(output)
            return
        ahead = {self._expected.popleft() for _ in range(min(AHEAD, len(self._expected)))} | {output}
        for one in ahead:
            self._add({"state": "started", "output": one})
        self._announced |= ahead - {output}
        self._put()

    def _add(self, entry: dict[str, Any]) -> None:
        self._lines.append(json.dumps(entry).encode() + b"\n")
        self._is_put = False

    def _put(self) -> None:
        if self._is_put:
            return
        content = b"".join(self._lines)
        try:
            write_object(self._part(), content)
        except OSError as error:
            self._is_put = True  # at the end it is not tried once more
            raise JournalError(
                f"The journal in {self.folder} cannot be written: {error.strerror}; {option('resume')} goes on."
            ) from error
        self._put_s, self._is_put = time.monotonic(), True
        if len(content) > PART_BYTES:
            self._number += 1
            self._lines.clear()

    def __enter__(self) -> "PartJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self._put()


AnyJournal: TypeAlias = Journal | PartJournal


def open_journal(folder: Location, shard: tuple[int, int], folders: Iterable[Path]) -> AnyJournal:
    """The journal for results in `folder`, as `Journal` is made.

    Args:
        folder: The output folder.
        shard: Number and total.
        folders: All folders of this disk that pictures go to.

    Raises:
        PictureError: The folder cannot be written to, or another run is at work in it.
    """
    return PartJournal(folder, shard) if isinstance(folder, Url) else Journal(folder, shard, folders)

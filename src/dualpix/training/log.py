"""`log.jsonl` of a run: one line for each thing that happened, and the lock that keeps a second training out.

The lock is on the file itself: who holds it may decide what the folder's run is, and nobody else.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from dualpix.errors import RecipeError
from dualpix.machine.files import LEFTOVERS, is_free, naming, parse_json

Line = dict[str, Any]


class Log:
    """An open log, locked. What had to be made for it, folders too, goes again if it is abandoned.

    Raises `RecipeError` if a training that is going on writes to it, OSError if it cannot be made.

    patience_s: For how long that training may take to end.
    """

    def __init__(self, path: Path, patience_s: float = 0.0) -> None:
        self.path = path
        self.made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise RecipeError(
                f"{path.parent} is no folder, nor can it be made one; name another run folder."
            ) from error
        self.new = not path.exists()
        self.file = _lock(path, patience_s)
        for unfinished in path.parent.glob(LEFTOVERS):  # of a run that was killed while it wrote
            unfinished.unlink(missing_ok=True)

    def add(self, line: Line) -> None:
        """Append a line, and hand it to the system at once."""
        with naming(self.path):
            self.file.write(json.dumps(line).encode() + b"\n")
            self.file.flush()

    def settle(self) -> None:
        """See that what was added survives a power cut."""
        os.fsync(self.file.fileno())

    def undo(self, step: int | None) -> None:
        """Take out what was said of the steps after `step`, for they will be taken again; of all steps if it is None.

        The file is replaced in one step, by one that is locked already.
        """
        before = self.path.read_bytes()
        after = b"" if step is None else b"".join(raw + b"\n" for raw, _ in as_if_never_interrupted(before, step))
        if after == before:
            return
        if os.name != "posix":  # no file that is open can be replaced
            self.file.truncate(0)
            self.file.write(after)
            self.file.flush()
            return
        partial = self.path.with_name(LEFTOVERS.replace("*", "log"))
        file = partial.open("w+b")
        is_free(file)
        file.write(after)
        file.flush()
        os.fsync(file.fileno())
        os.replace(partial, self.path)
        self.file.close()
        self.file = file

    def close(self, *, abandon: bool = False) -> None:
        """Let go of the file; an abandoned one, if it was made here and nothing was added, goes with its folders."""
        if abandon and self.new and not self.file.tell():
            with suppress(OSError):  # a system that removes no open file
                self.path.unlink()
                for folder in self.made:
                    folder.rmdir()
        self.file.close()


def _lock(path: Path, patience_s: float) -> BinaryIO:
    deadline = time.monotonic() + patience_s
    while True:
        file = path.open("a+b")
        if is_free(file) is False:
            file.close()
            if time.monotonic() < deadline:
                time.sleep(0.5)
                continue
            raise RecipeError(f"A training is going on in {path.parent}; name another run folder.")
        if _still_there(file, path):
            return file
        file.close()  # its holder replaced or removed it in the meantime


def _still_there(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def entries(content: bytes) -> Iterator[tuple[bytes, Line | None]]:
    """Every line of a log, raw and as what it says; None for one that says nothing that a log can say."""
    for raw in content.split(b"\n"):
        if raw.strip():
            yield raw, _record(raw)


def as_if_never_interrupted(content: bytes, step: int | None = None) -> list[tuple[bytes, Line | None]]:
    """The lines of a log without those of steps that were taken again after a restart, and of those after `step`."""
    kept: list[tuple[bytes, Line | None]] = []
    for raw, line in entries(content):
        begin = None if line is None else line.get("began_at_step", line.get("resumed_at_step"))
        if begin is not None:
            kept = [one for one in kept if _step(one[1]) <= begin] if begin else []
        kept.append((raw, line))
    return [one for one in kept if step is None or _step(one[1]) <= step]


def _step(line: Line | None) -> int:
    return 0 if line is None else int(line.get("step", 0))


def _record(raw: bytes) -> Line | None:
    """A line may be cut short, because what wrote it was killed, or be anything that got into the file."""
    try:
        line = parse_json(raw)
    except ValueError:
        return None
    if not isinstance(line, dict):
        return None
    steps = [line[name] for name in ("step", "began_at_step", "resumed_at_step") if name in line]
    if not all(isinstance(step, int) and not isinstance(step, bool) and step >= 0 for step in steps):
        return None
    scores = line.get("validation", {"": 0})
    good = (line.get("loss") is None or _is_number(line["loss"])) and isinstance(scores, dict) and scores
    return line if good and all(map(_is_number, scores.values())) else None


def _is_number(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return whole or isinstance(value, float)

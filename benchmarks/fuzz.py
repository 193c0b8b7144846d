"""Break small files of every kind in ten thousands of ways, and see that readers end in a result or in one sentence.

    python benchmarks/fuzz.py --minutes 10
    python benchmarks/fuzz.py --only tiff-lzw-tiles --first 4711 --count 1 --keep broken

Every file is made from its kind and number alone, so a number found once is the same everywhere. Prints each outcome
that is neither, with kind and number, and ends with code 1 if there was one.
"""

import argparse
import faulthandler
import itertools
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import torch

from dualpix.errors import DualpixError
from dualpix.io import read_picture, suffix_of
from dualpix.pairs import open_views
from fuzzing.files import FILES
from fuzzing.mutations import mutate

LONGEST_SENTENCE = 400
SLOW_S = 30


def _layout(name: str) -> Callable[[Path], Any]:
    return lambda path: open_views(path, layout=name)


READERS: dict[str, Callable[[Path], Any]] = {
    "read_picture": lambda path: read_picture(path, limit_megapixels=4).pixels,
    "suffix_of": suffix_of,
    "open_views": open_views,
    "side-by-side": _layout("side-by-side"),
}


class TooSlow(BaseException):
    """Not to be caught by a reader."""


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raises TooSlow after that many seconds of the processor's work, where the system counts them."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    if not hasattr(signal, "SIGPROF"):
        yield
        return
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def complaint(read: Callable[[Path], Any], path: Path) -> str:
    """What is wrong with how a reader ends; empty for a result in [0, 1] and for one sentence."""
    try:
        with time_limit(SLOW_S):
            result = read(path)
    except DualpixError as error:
        sentence = str(error)
        wrong = len(sentence) > LONGEST_SENTENCE + len(str(path)) or not sentence.isprintable()
        return f"a message of {len(sentence)} characters: {sentence[:200]!r}" if wrong else ""
    except TooSlow:
        return f"takes more than {SLOW_S} s of the processor"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:120]!r} in {Path(place.filename).name}:{place.lineno}"
    views = [result["left"], result["right"]] if isinstance(result, dict) else [result]
    for view in views:
        if isinstance(view, torch.Tensor) and not (view.min() >= 0 and view.max() <= 1):
            return "a picture that leaves [0, 1]"
    return ""


def broken(kind: str, number: int) -> bytes:
    """File `number` of a kind; number 0 is the valid one."""
    content = FILES[kind]().content
    return mutate(content, Random(f"{kind} {number}")) if number else content


def try_files(kinds: list[str], numbers: Iterator[int], folder: Path, until: float = float("inf")) -> Iterator[str]:
    """One line for each wrong end, of every kind with every number, as long as time lasts."""
    whole = {kind: FILES[kind]() for kind in kinds}
    for number in numbers:
        for kind in kinds:
            if time.monotonic() > until:
                return
            path = folder / f"{kind}{whole[kind].ending}"
            content = whole[kind].content
            path.write_bytes(mutate(content, Random(f"{kind} {number}")) if number else content)
            (folder / "last").write_text(f"{kind} {number}\n")  # for a process that is lost
            for name, read in READERS.items():
                if wrong := complaint(read, path):
                    yield f"{kind} {number}, {name}: {wrong}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", nargs="+", choices=FILES, default=list(FILES), help="these kinds")
    parser.add_argument("--first", type=int, default=0, help="the first number")
    parser.add_argument("--count", type=int, help="how many numbers; as many as there is time for")
    parser.add_argument("--keep", type=Path, help="a folder for the files themselves, instead of a temporary one")
    given = parser.parse_args()
    faulthandler.enable()
    numbers = itertools.count(given.first) if given.count is None else range(given.first, given.first + given.count)
    tried = 0

    def counted() -> Iterator[int]:
        nonlocal tried
        for number in numbers:
            yield number
            tried += 1

    with tempfile.TemporaryDirectory() as place:
        folder = given.keep or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        found = 0
        for line in try_files(given.only, counted(), folder, time.monotonic() + 60 * given.minutes):
            print(line, flush=True)
            found += 1
    print(f"{tried} files of each of {len(given.only)} kinds, {len(READERS)} readers: {found} wrong ends")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

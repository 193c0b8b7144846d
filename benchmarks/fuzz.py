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
from dualpix.inference.batch.journal import Journal, read_journals
from dualpix.inference.batch.manifest import read_manifest
from dualpix.io import read_picture, suffix_of
from dualpix.pairs import open_views
from dualpix.simulation.pack import photos_in
from dualpix.training import curve
from dualpix.weights import checkpoint
from fuzzing import forms, trained
from fuzzing.files import FILES
from fuzzing.mutations import mutate

try:
    import resource
except ImportError:  # no such system
    resource = None  # type: ignore[assignment]

LONGEST_SENTENCE = 300
SLOW_S = 30
LARGE_KB = 700_000
NAMES = {"journal": "dualpix-journal", "state": "last", "recipe": "recipe"}  # of files that are looked for by name


Reader = Callable[[Path], Any]


def _layout(name: str) -> Reader:
    return lambda path: open_views(path, layout=name)


def _draw_log(path: Path) -> bytes | None:
    return curve.draw(curve.read_log(path))


def _go_on(path: Path) -> None:
    """Open the journal as a run does, and see that what it adds is found again."""
    with Journal(path.parent, (1, 1), [path.parent]) as journal:
        journal.append({"state": "made", "output": "new.png", "signature": "cd34", "file": [7, 8]})
    assert read_journals(path.parent)["new.png"].made


ANY: dict[str, Reader] = {
    "read_picture": lambda path: read_picture(path, limit_megapixels=4).pixels,
    "open_views": lambda path: open_views(path, limit_megapixels=4),
    "suffix_of": suffix_of,
}
READERS: dict[str, dict[str, Reader]] = {
    "picture": {**ANY, "side-by-side": _layout("side-by-side")},
    "views": {"open_views": ANY["open_views"], **ANY},
    "pack": {"decode": lambda path: [photo.decode().shape for photo in photos_in(path)]},
    "form": {"take_in": forms.take_in},
    "manifest": {"read_manifest": read_manifest},
    "journal": {"read_journals": lambda path: read_journals(path.parent), "Journal": _go_on},
    "log": {"read_log": _draw_log},
    "weights": {"load": lambda path: checkpoint.load(path).arguments, "read_card": checkpoint.read_card},
    "state": {"resume": trained.resume},
    "recipe": {"resume": trained.resume},
    "ifan": {"translate": trained.read_ifan},
    "keras": {"translate": trained.read_keras},
}
"""Those of each kind of file, see `File`; the first reads the valid ones."""


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


def peak_kb() -> int:
    """The most memory that this process ever had; 0 where the system does not say."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if resource and sys.platform == "linux" else 0


def complaint(read: Callable[[Path], Any], path: Path) -> str:
    """What is wrong with how a reader ends; empty for a result in [0, 1] and for one sentence."""
    before = peak_kb()
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
    if peak_kb() - before > LARGE_KB:
        return f"takes {(peak_kb() - before) // 1000} MB of memory"
    views = [result[side] for side in ("left", "right") if side in result] if isinstance(result, dict) else [result]
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
            path = folder / kind / f"{NAMES.get(whole[kind].readers, kind)}{whole[kind].ending}"
            path.parent.mkdir(exist_ok=True)
            content = whole[kind].content
            path.write_bytes(mutate(content, Random(f"{kind} {number}")) if number else content)
            (folder / "last").write_text(f"{kind} {number}\n")  # for a process that is lost
            for name, read in READERS[whole[kind].readers].items():
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
    print(f"{tried} files of each of {len(given.only)} kinds: {found} wrong ends")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

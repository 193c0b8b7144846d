"""A slice of `benchmarks/fuzz.py`: three broken files of each kind, and that the command sees what is wrong."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import torch

from dualpix.errors import PictureError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("fuzz")


def test_every_broken_file_ends_in_a_result_or_in_one_sentence(fuzz: ModuleType, tmp_path: Path) -> None:
    assert list(fuzz.try_files(list(fuzz.FILES), iter(range(1, 4)), tmp_path)) == []


EXPECTED = {
    "picture": lambda pixels: pixels.shape in ((3, 24, 32), (3, 48, 64), (3, 60, 100)),
    "views": lambda views: {views["left"].shape, views["right"].shape} <= {(3, 24, 32), (3, 48, 64)},
    "pack": lambda shapes: shapes == [(3, 24, 32)],
    "form": lambda fields: fields == ["layout", "left", "right", "start"],
    "manifest": lambda found: [str(one.place) for one in found] == ["deep/a", "b", "c"],
    "journal": lambda histories: len(histories["a.png"].made) == 1 and not histories["a.png"].started,
    "log": lambda drawn: drawn.startswith(b"\x89PNG"),
    "weights": lambda arguments: arguments["max_disparity"] == 4,
    "state": lambda step: step == 3,
    "recipe": lambda step: step == 3,
    "ifan": lambda state: len(state) > 90,
    "keras": lambda state: len(state) == 48,
}
"""What the first reader of each group makes of the valid files."""


def test_the_valid_files_are_read(fuzz: ModuleType, tmp_path: Path) -> None:
    assert EXPECTED.keys() == fuzz.READERS.keys()
    is_read = {kind: make for kind, make in fuzz.FILES.items() if not kind.startswith("heic") or find_spec("pi_heif")}
    for kind, make in is_read.items():
        path, readers = tmp_path / f"{fuzz.NAMES.get(kind, 'a')}{make().ending}", make().readers
        path.write_bytes(fuzz.broken(kind, 0))
        read = next(iter(fuzz.READERS[readers].values()))
        assert EXPECTED[readers](read(path)), kind


def test_a_file_is_made_from_its_kind_and_number_alone(fuzz: ModuleType) -> None:
    assert fuzz.broken("jpeg", 7) == fuzz.broken("jpeg", 7) != fuzz.broken("jpeg", 8)
    assert fuzz.broken("png", 7) != fuzz.broken("png-16", 7)


def saying(text: str) -> PictureError:
    """An error whose text went round the care that is taken of it."""
    error = PictureError("")
    error.args = (text,)
    return error


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (PictureError("one sentence."), ""),
        (saying("two\nlines"), "a message of 9 characters"),
        (saying("x" * 1000), "a message of 1000 characters"),
        (OSError(22, "Invalid argument"), "OSError: '[Errno 22] Invalid argument' in test_fuzz.py"),
        (torch.zeros(3, 2, 2), ""),
        (torch.full((3, 2, 2), torch.nan), "leaves [0, 1]"),
        ({"left": torch.zeros(3, 2, 2), "right": torch.full((3, 2, 2), 1.5)}, "leaves [0, 1]"),
    ],
)
def test_what_counts_as_wrong(fuzz: ModuleType, tmp_path: Path, outcome: object, words: str) -> None:
    def read(path: Path) -> object:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    found = fuzz.complaint(read, tmp_path)
    assert words in found and bool(found) is bool(words)

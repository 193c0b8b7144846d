"""Data sets: sequences of samples, which are dicts of named pictures (see `pairs/sample.py`)."""

from pathlib import Path
from typing import ClassVar, Protocol

from dualpix.datasets.dpdd import Dpdd
from dualpix.datasets.folder import Folder
from dualpix.errors import DataError
from dualpix.pairs.sample import Sample, Samples, check_folder, mean_view
from dualpix.tables import pick

__all__ = ["DATASETS", "DataSet", "Dpdd", "Folder", "Sample", "Samples", "mean_view", "open_dataset"]


class DataSet(Samples, Protocol):
    """What a kind of data set promises. `looks`: its folders and files, to be told of a folder that is of no kind."""

    looks: ClassVar[str]

    def __init__(self, root: str | Path, split: str = "") -> None: ...

    @staticmethod
    def splits(root: Path) -> list[str]:
        """The splits that `root` holds, the test split first: "" for a set without splits, nothing for another set."""
        ...


DATASETS: dict[str, type[DataSet]] = {
    "dpdd": Dpdd,
    "folder": Folder,
}
"""In the order in which they are recognised."""


def open_dataset(
    path: str | Path, layout: str | None = None, split: str | None = None, *, prefer: str = "test"
) -> Samples:
    """Open the data set in the folder `path`.

    `layout` is a name in `DATASETS`; without it the layout is recognised by its folders and file names. `split` is for
    those with splits, such as DPDD; without it, the split `prefer` if the folder has it, else another. What was found
    is in the result's `found`. Raises `DataError` for a folder in no known layout, `PairError` for one with unpaired
    views, and `RecipeError` for an unknown name.
    """
    root = check_folder(path)
    kind = pick(DATASETS, layout or _recognise(root), "data set layout")
    have = kind.splits(root)
    return kind(root, split or (prefer if prefer in have else next(iter(have), "")))


def _recognise(root: Path) -> str:
    for name, kind in DATASETS.items():
        if kind.splits(root):
            return name
    inside = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    shown = ", ".join(inside[:6]) + (", ..." if len(inside) > 6 else "") if inside else "nothing"
    expected = ", or ".join(kind.looks for kind in DATASETS.values())
    raise DataError(f"{root} is in no layout that is known: it holds {shown}. Expected {expected}.")

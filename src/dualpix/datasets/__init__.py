"""Data sets: sequences of samples, which are dicts of named pictures (see `pairs/sample.py`)."""

from pathlib import Path
from typing import ClassVar, Protocol

from dualpix.datasets.dpdd import Dpdd
from dualpix.datasets.folder import Folder
from dualpix.errors import DataError
from dualpix.pairs.sample import Sample, Samples, check_folder, mean_view
from dualpix.plugins import Table, answer_of, without
from dualpix.tables import pick

__all__ = ["DATASETS", "DataSet", "Dpdd", "Folder", "Sample", "Samples", "mean_view", "open_dataset"]


class DataSet(Samples, Protocol):
    """A kind of data set.

    Attributes:
        looks: Its folders and files in words, for the error about a folder of no known kind.
    """

    looks: ClassVar[str]

    def __init__(self, root: str | Path, split: str = "") -> None: ...

    @staticmethod
    def splits(root: Path) -> list[str]:
        """The splits that `root` holds, the test split first; [""] for a set without splits, [] for another kind."""
        ...


DATASETS: Table[type[DataSet]] = Table(
    "datasets",
    {
        "dpdd": Dpdd,
        "folder": Folder,
    },
    without("looks", "splits"),
)
"""Kinds of data sets by name, in the order in which they are tried on a folder."""


def open_dataset(
    path: str | Path, layout: str | None = None, split: str | None = None, *, prefer: str = "test"
) -> Samples:
    """Open a data set.

    Args:
        path: Its folder.
        layout: A name in `DATASETS`; by default it is recognised by the names of folders and files.
        split: Which split, for sets that have several, such as DPDD.
        prefer: The split to be taken where `split` is not given; if the folder lacks it, another is taken.

    Returns:
        A sequence of samples, with a description of what was found in `found`.

    Raises:
        DataError: The folder is not in a known layout.
        PairError: A view has no partner.
        RecipeError: There is no such layout.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from dualpix import write_picture
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a_L", "a_R", "a_sharp"):
        ...         left_out = write_picture(f"{folder}/{name}.png", torch.rand(3, 24, 32))
        ...     sorted(open_dataset(folder)[0])
        ['center', 'left', 'name', 'right', 'sharp']
    """
    root = check_folder(path)
    kind = pick(DATASETS, layout or _recognise(root), "data set layout")
    have = kind.splits(root)
    return kind(root, split or (prefer if prefer in have else next(iter(have), "")))


def _is_of(name: str, kind: type[DataSet], root: Path) -> bool:
    if name in DATASETS.own:
        return bool(kind.splits(root))
    return bool(answer_of("datasets", name, lambda: kind.splits(root)))


def _recognise(root: Path) -> str:
    for name, kind in DATASETS.items():
        if _is_of(name, kind, root):
            return name
    inside = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    shown = ", ".join(inside[:6]) + (", ..." if len(inside) > 6 else "") if inside else "nothing"
    expected = ", or ".join(kind.looks for kind in DATASETS.values())
    raise DataError(f"{root} is not in a known layout: it holds {shown}. Expected {expected}.")

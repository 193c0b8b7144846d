"""Data sets: sequences of samples, which are dicts of named pictures (see `pairs/sample.py`)."""

from pathlib import Path
from typing import Any, ClassVar, Protocol

from dualpix.datasets.dpdd import Dpdd
from dualpix.datasets.folder import Folder
from dualpix.errors import DataError
from dualpix.pairs.sample import Sample, Samples, check_folder, check_sample, mean_view
from dualpix.plugins import Origin, Table, answer_of, guarded_class, no_class_with
from dualpix.tables import pick

__all__ = ["DATASETS", "DataSet", "Dpdd", "Folder", "Sample", "Samples", "mean_view", "open_dataset", "require_samples"]


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


def _guarded(kind: type[DataSet], origin: Origin) -> type[DataSet]:
    """A kind of another package: what opening, counting and reading raise is told, and samples are checked."""

    def make(self: Any, root: str | Path, split: str = "") -> None:
        with origin.at_work(on=str(root)):
            kind.__init__(self, root, split)
            if not isinstance(getattr(self, "found", None), str):
                raise ValueError("it has no found, a sentence on what it holds")

    def count(self: Any) -> int:
        with origin.at_work():
            return kind.__len__(self)

    def read(self: Any, index: int) -> Sample:
        beyond = (IndexError,) if index not in range(len(self)) else ()  # which ends a loop over the samples
        with origin.at_work(*beyond):
            return _checked(kind.__getitem__(self, index))

    return guarded_class(kind, {"__init__": make, "__len__": count, "__getitem__": read})


def _checked(sample: Any) -> Sample:
    """What a kind of another package gave as a sample."""
    try:
        return check_sample(sample)
    except DataError as error:
        raise ValueError(str(error)) from error  # told as the package's own mistake


def require_samples(data: Any) -> Samples:
    """`data` itself, if it is a data set or a sequence of samples. Raises `DataError` otherwise."""
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise DataError(
            f"A thing of type {type(data).__name__} is no data set; give its folder, or a sequence of samples."
        )
    opened: Samples = data
    return opened


DATASETS: Table[type[DataSet]] = Table(
    "datasets",
    {
        "dpdd": Dpdd,
        "folder": Folder,
    },
    no_class_with("looks", "splits"),
    _guarded,
    DataError,
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
    name = layout or _recognise(root)
    kind = pick(DATASETS, name, "data set layout")
    with DATASETS.at_work(name):
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

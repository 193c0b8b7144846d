"""Data sets: sequences of samples, which are dicts of named pictures (see `pairs/sample.py`)."""

from collections.abc import Callable
from pathlib import Path

from dualpix.datasets import dpdd
from dualpix.datasets.dpdd import Dpdd
from dualpix.datasets.folder import Folder, looks_like_pairs
from dualpix.errors import DataError
from dualpix.pairs.sample import Sample, Samples, check_folder, mean_view
from dualpix.tables import pick

__all__ = ["DATASETS", "Dpdd", "Folder", "Sample", "Samples", "mean_view", "open_dataset"]

DATASETS: dict[str, Callable[..., Samples]] = {
    "dpdd": Dpdd,
    "folder": Folder,
}


def open_dataset(
    path: str | Path, layout: str | None = None, split: str | None = None, *, prefer: str = "test"
) -> Samples:
    """Open the data set in the folder `path`.

    `layout` is a name in `DATASETS`; without it the layout is recognised by its folders and file names. `split` is for
    DPDD; without it, the split `prefer` if the folder has it, else another. What was found is in the result's `found`.
    Raises `DataError` for a folder in no known layout, `PairError` for one with unpaired views, and `RecipeError` for
    an unknown name.
    """
    root = check_folder(path)
    layout = layout or _recognise(root)
    opening = pick(DATASETS, layout, "data set layout")
    if opening is Dpdd:
        have = dpdd.splits(root)
        return Dpdd(root, split or (have[0] if have and prefer not in have else prefer))
    if split is not None:
        raise DataError(f"{root} holds plain pairs, which have no splits; leave out the split {split!r}.")
    return opening(root)


def _recognise(root: Path) -> str:
    if dpdd.splits(root):
        return "dpdd"
    if looks_like_pairs(root):
        return "folder"
    inside = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    shown = ", ".join(inside[:6]) + (", ..." if len(inside) > 6 else "") if inside else "nothing"
    raise DataError(
        f"{root} is in no layout that is known: it holds {shown}. Expected DPDD (test_l/source, test_r/source, ... or"
        " inputL, inputR, ...), the folders left and right, or files called <name>_L and <name>_R."
    )

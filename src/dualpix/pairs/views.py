"""The two views of one dual-pixel photograph: read them, find them in folders, and refuse what cannot be a pair."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from dualpix.errors import PairError
from dualpix.io.metadata import Metadata
from dualpix.io.reading import LIMIT_MEGAPIXELS, MIN_SIDE_PX, Picture, read_picture
from dualpix.io.staging import local_copies
from dualpix.machine.modes import settled
from dualpix.machine.urls import Location
from dualpix.pairs.names import folder_side, letter_side, mark_files, name_within, nearest_rule, split_name
from dualpix.pairs.sample import list_views


class Pair(TypedDict):
    """The two views of one photograph, a sample.

    Attributes:
        name: Of the photograph.
        left: Left view, float32, 3 x H x W in [0, 1], display-encoded.
        right: Right view, of the same shape.
        depth: Bit depth of the files, 8 or 16.
        notes: What was changed on reading or looks odd, one sentence each.
        grey: Whether the files have one channel.
        metadata: Those of the left view.
    """

    name: str
    left: Tensor
    right: Tensor
    depth: int
    notes: list[str]
    grey: bool
    metadata: Metadata


@settled()
def read_pair(left: str | Location, right: str | Location, limit_megapixels: float = LIMIT_MEGAPIXELS) -> Pair:
    """Read the two views of one photograph from two files.

    Only what is impossible is refused here; what looks odd is found by `inspect_views`.

    Args:
        left: File of the left view, of this disk or by URL.
        right: File of the right view.
        limit_megapixels: The largest picture that is decoded, in millions of pixels.

    Returns:
        The pair; `name` is the left file's name without extension and side mark (`_L`).

    Raises:
        PictureError: One of the files cannot be read (see `read_picture`).
        PairError: Both are the same file or hold the same pixels, or they differ in size, bit depth or channels.

    Example:
        >>> import os, tempfile
        >>> import torch
        >>> from dualpix import read_pair, write_picture
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     left, right = (os.path.join(folder, f"garden_{side}.png") for side in "LR")
        ...     left_out = [write_picture(path, torch.rand(3, 24, 32)) for path in (left, right)]
        ...     pair = read_pair(left, right)
        >>> pair["name"], pair["left"].shape, pair["depth"]
        ('garden', torch.Size([3, 24, 32]), 16)
    """
    with local_copies(left, right) as (one, other):
        if one.exists() and other.exists() and one.samefile(other):
            raise PairError(f"{left} was given as both views; give the left and the right view of one photograph.")
        a, b = read_picture(one, limit_megapixels), read_picture(other, limit_megapixels)
        return pair_of(a, b, f"{left} and {right}", name_of(one))


def pair_of(left: Picture, right: Picture, names: str, name: str) -> Pair:
    """Combine two pictures as the views of one photograph.

    Args:
        left: The left view.
        right: The right view.
        names: What error messages call both, such as "a_L.png and a_R.png".
        name: Of the photograph.

    Raises:
        PairError: As for `read_pair`.
    """
    for what, a, b in (
        ("size", _size(left.pixels), _size(right.pixels)),
        ("bit depth", f"{left.depth} bits", f"{right.depth} bits"),
        ("channels", *("grey" if view.grey else "colour" for view in (left, right))),
    ):
        if a != b:
            raise PairError(f"{names} differ in {what} ({a} and {b}); export both views in the same way.")
    require_pair(left.pixels, right.pixels, names)
    return Pair(
        name=name,
        left=left.pixels,
        right=right.pixels,
        depth=left.depth,
        notes=_notes(left, right),
        grey=left.grey,
        metadata=left.metadata,
    )


def _size(view: Tensor) -> str:
    return " x ".join(str(side) for side in reversed(view.shape[1:]))


def _notes(left: Picture, right: Picture) -> list[str]:
    notes = [*left.notes, *right.notes]
    if left.metadata.icc != right.metadata.icc:
        notes.append("The two views carry different colour profiles; their numbers are used as they are.")
    if left.metadata.orientation != right.metadata.orientation:
        notes.append("The two views carry different orientations; check that they were exported in the same way.")
    return notes


def require_pair(left: Tensor, right: Tensor, names: str = "left and right") -> None:
    """Check that two pictures can be views: two different ones, 3 x H x W in [0, 1], H and W alike and 16 or more.

    Args:
        left: The left view.
        right: The right view.
        names: What the error message calls both.

    Raises:
        PairError: They are not.
    """
    if left.shape != right.shape or left.ndim != 3 or len(left) != 3 or min(left.shape[1:]) < MIN_SIDE_PX:
        shapes = f"{tuple(left.shape)} and {tuple(right.shape)}"
        wanted = f"3 x H x W, alike, H and W at least {MIN_SIDE_PX}"
        raise PairError(f"{names}: the views have shapes {shapes}; both must be {wanted}.")
    for view in (left, right):
        low, high = (float(value) for value in torch.aminmax(view))
        if not (low >= 0 and high <= 1):  # false for NaN too
            raise PairError(f"{names}: both views must hold values in [0, 1], but one spans {low:g} to {high:g}.")
    if torch.equal(left, right):
        raise PairError(f"{names}: both views hold the same pixels; give the left and the right view, not one twice.")


# Parallel folders of views, (left, right), as in DPDD and later data sets; others are found by `names.folder_side`.
PARALLEL_FOLDERS = [
    ("left", "right"), ("l", "r"), ("L", "R"), ("inputL", "inputR"), ("test_l", "test_r"),
    ("test_l/source", "test_r/source"), ("train_l/source", "train_r/source"), ("val_l/source", "val_r/source"),
]  # fmt: skip


def find_pairs(folder: str | Path) -> list[tuple[Path, Path]]:
    """Find all pairs of a folder.

    Pairs are files side by side whose names differ in the mark of a side (`_L` and `_R`, `left_` and `right_`, ...: see
    `names`), or files of the same name, with or without these marks, in parallel folders (left and right, inputL and
    inputR, test_l and test_r, A and B, ...).

    Args:
        folder: The folder.

    Returns:
        The (left, right) files of each pair, sorted by name.

    Raises:
        PairError: There are no pairs, a view has no counterpart, or two files claim the same place.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a_L.png", "a_R.png", "b_L.png", "b_R.png"):
        ...         Path(folder, name).touch()
        ...     [(left.name, right.name) for left, right in find_pairs(folder)]
        [('a_L.png', 'a_R.png'), ('b_L.png', 'b_R.png')]
    """
    return list(find_named_pairs(folder).values())


def find_named_pairs(folder: str | Path) -> dict[str, tuple[Path, Path]]:
    """The pairs that `find_pairs` finds, by the name that both files share."""
    folder = Path(folder)
    if not folder.is_dir():
        raise PairError(f"{folder} is not a folder; give a folder of pairs.")
    files = list_views(folder)
    marked = mark_files(files)
    lefts, rights = (_index((path, name) for path, (name, own) in marked.items() if own == side) for side in "lr")
    for places in _parallel(folder) if not lefts and not rights else ():
        if not lefts and not rights:
            lefts, rights = _match_sides(*map(list_views, places))
    if not lefts and not rights:
        raise PairError(nearest_rule(folder, files))
    if lonely := [str((lefts | rights)[name]) for name in sorted(lefts.keys() ^ rights.keys())]:
        more = f" and {len(lonely) - 3} more" if len(lonely) > 3 else ""
        raise PairError(f"No other view was found for {', '.join(lonely[:3])}{more}; add it or move the file away.")
    return {name: (lefts[name], rights[name]) for name in sorted(lefts)}


def _match_sides(left: Iterable[Path], right: Iterable[Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """The files of two folders by name without strict marks; or, if the names only agree then, without any marks."""
    lefts, rights = (_index((path, name_of(path)) for path in side) for side in (left, right))
    if lefts.keys() != rights.keys():
        bare = [{name_within(path, side): path for path in files} for side, files in (("l", left), ("r", right))]
        if bare[0].keys() == bare[1].keys():
            return bare[0], bare[1]
    return lefts, rights


def _parallel(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Pairs of folders inside `folder` that may hold the left and the right views, the most likely first."""
    for left, right in PARALLEL_FOLDERS:
        if (folder / left).is_dir() and (folder / right).is_dir():
            yield folder / left, folder / right
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    names = [path.name for path in inner]
    sides = [
        folder_side(name, names)[0] or letter_side(folder / name, names, list_views(folder / name)) for name in names
    ]
    lefts, rights = ([path for path, own in zip(inner, sides, strict=True) if own == side] for side in "lr")
    if len(lefts) == len(rights) == 1:
        yield lefts[0], rights[0]


def has_parallel_folders(folder: Path) -> bool:
    """Whether `folder` has one folder of left and one of right views."""
    return any(True for _ in _parallel(folder))


def _index(named: Iterable[tuple[Path, str]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path, name in named:
        if name in found:
            raise PairError(f"{found[name]} and {path} are the same view of the same name; keep one of them.")
        found[name] = path
    return found


def name_of(path: str | Path) -> str:
    """The name of a photograph: its file's name without extension and side mark (`_L`)."""
    return split_name(Path(path))[0]

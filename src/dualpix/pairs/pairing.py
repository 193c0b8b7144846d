"""Find the pairs in a whole tree of folders, by the names that cameras, converters and data sets give them."""

import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from dualpix.errors import PairError, option, told
from dualpix.io.endings import is_picture, unreadable_kind
from dualpix.machine.urls import Location
from dualpix.pairs.names import (
    LETTERS,
    folder_side,
    is_sure_folder,
    letter_side,
    mark_files,
    name_within,
    nearest_rule,
    split_name,
)
from dualpix.pairs.sources import BOTH_VIEWS

TWO_PICTURES = ".mpo"
"""Files of this ending hold both views, unless marked as one side: then their second picture is only a preview."""

SOURCE, NO_VIEWS = "source", {"target", "sharp"}
"""Inside the folder of a view, DPDD has the views in `source` and the sharp pictures in `target`."""


class Found(NamedTuple):
    """A photograph in a tree of folders.

    Attributes:
        place: Path of its result inside the tree of results, without extension.
        left: The file of the left view, or of both.
        right: The file of the right view; None where `left` holds both.
        problem: Why it cannot be used, in one sentence; empty if it can.
        suffix: Extension that its result has to have; empty if that does not matter.
    """

    place: Path
    left: Location
    right: Location | None
    problem: str = ""
    suffix: str = ""


class _File(NamedTuple):
    path: Path
    place: Path
    side: str  # "l", "r" or "" where neither its name nor its folder says
    kind: str  # the format of a picture that cannot be read, else ""
    sure: bool  # whether the side comes from a strict mark (see `names`)
    other_place: Path  # the place without marks that are not strict


def find_tree(
    folder: str | Path,
    *,
    layout: str | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    leave_out: Collection[Path] = (),
) -> list[Found]:
    """Find every photograph below a folder.

    Pairs are files side by side whose names differ in the mark of a side (`_L` and `_R`, `(L)` and `(R)`, `left_` and
    `right_`, ..., in any letter case), or files of the same name in sibling folders whose names differ so (left and
    right, inputL and inputR, left_view and right_view, A and B, ...; see `names`). DPDD's test_l/source and
    test_r/source are found too. CR2, CR3, DNG, NPZ and unmarked MPO files hold both views; with a `layout`, all files
    do.

    A file counts as a picture by its ending or by its content. Unmarked files, hidden files and folders, and links to
    folders are ignored. A marked picture of a format that cannot be read, a view without its counterpart, and two files
    for the same place are listed with a `problem`.

    Args:
        folder: The tree.
        layout: A name in SOURCES: how both views lie in every file.
        include: Patterns for paths inside `folder`, or for names alone; `*` also matches several folders. At least one
            file of a photograph must match, unless there are none.
        exclude: Patterns of the same kind; no file of a photograph may match.
        leave_out: Folders to be ignored, such as those of the results.

    Returns:
        The photographs, sorted by place.

    Raises:
        PairError: `folder` is not a folder, or has no photographs.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PairError(f"{folder} is not a folder; give a folder of pairs.")
    files = list(_walk(folder, leave_out))
    if layout is None:
        singles = [file for file in files if _holds_both(file)]
        found = [Found(file.place, file.path, None) for file in singles] + _pair(files) + [*_unreadable(files)]
    else:
        readable = (file for file in files if not file.kind)
        found = [Found(file.path.relative_to(folder).with_suffix(""), file.path, None) for file in readable]
    if not found:
        raise PairError(nearest_rule(folder, (file.path for file in files)))
    return _wanted(found, [folder], include, exclude)


def find_two(
    left: str | Path,
    right: str | Path,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    leave_out: Collection[Path] = (),
) -> list[Found]:
    """Find the pairs of two folders, one of left and one of right views: files of the same name, apart from marks.

    Args:
        left: The folder of the left views.
        right: The folder of the right views.
        include: As in `find_tree`.
        exclude: As in `find_tree`.
        leave_out: As in `find_tree`.

    Returns:
        The pairs, sorted by place; a view without its counterpart has a `problem`.

    Raises:
        PairError: One is not a folder, both are the same folder, or no names agree.
    """
    folders = [Path(left), Path(right)]
    for folder in folders:
        if not folder.is_dir():
            raise PairError(f"{folder} is not a folder; give the folder of the left views and that of the right ones.")
    if os.path.samefile(*folders):
        raise PairError(f"{left} was given for both views; give two folders, or the one that holds both once.")
    files = [file for folder, side in zip(folders, "lr", strict=True) for file in _walk(folder, leave_out, side)]
    found = _pair(files) + [*_unreadable(files)]
    if not any(one.right for one in found):
        seen = ", ".join(sorted({file.path.name for file in files})[:3]) or "no pictures"
        raise PairError(f"{left} and {right} hold no files of equal names, but {seen}; call both views the same.")
    return _wanted(found, folders, include, exclude)


def _wanted(
    found: Sequence[Found], folders: Sequence[Path], include: Iterable[str], exclude: Iterable[str]
) -> list[Found]:
    wanted = [one for one in found if _is_wanted(folders, one, list(include), list(exclude))]
    if not wanted:
        where = " and ".join(map(str, folders))
        raise PairError(
            f"None of the {len(found)} photographs in {where} passes {option('include', None)},"
            f" {option('exclude', None)} and the pattern."
        )
    return sorted(wanted, key=lambda one: (str(one.place), str(one.left)))


def _walk(root: Path, leave_out: Collection[Path], side: str = "") -> Iterator[_File]:
    folders = [(root, Path(), side, True)]
    while folders:
        folder, place, side, sure = folders.pop()
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(".")]
        inner = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        for name in inner:
            if any(other.is_dir() and os.path.samefile(folder / name, other) for other in leave_out):
                continue
            if side and name.lower() in NO_VIEWS:
                continue
            folders.append((folder / name, *_enter(folder / name, inner, place, side, sure)))
        kinds = {Path(entry.path): _kind(Path(entry.path)) for entry in entries if _is_file(entry)}
        pictures = {path: kind for path, kind in kinds.items() if kind is not None}
        marked = (
            {path: (split_name(path)[0], side) for path in pictures}
            if side
            else mark_files(pictures, {*BOTH_VIEWS, TWO_PICTURES})
        )
        for path, (name, own) in marked.items():
            other = name_within(path, side) if side else name
            is_sure = sure if side else bool(split_name(path)[1])
            yield _File(path, place / name, own, pictures[path], is_sure, place / other)


def _kind(path: Path) -> str | None:
    """Empty for a picture that can be read, the name of its format for one that cannot, None for any other file."""
    return "" if path.suffix.lower() in BOTH_VIEWS or is_picture(path) else unreadable_kind(path)


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a file; a broken link counts as one too, so that its reader reports it."""
    return entry.is_file(follow_symlinks=False) or (entry.is_symlink() and not os.path.isdir(entry.path))


def _enter(folder: Path, siblings: set[str], place: Path, side: str, sure: bool) -> tuple[Path, str, bool]:
    """Place and side of a folder inside one of `place` and `side`, and whether the side comes from a strict mark."""
    name = folder.name
    if side:
        return (place if name.lower() == SOURCE else place / name), side, sure
    own, rest = folder_side(name, siblings)
    if not own and name.lower() in LETTERS:
        own, rest = letter_side(folder, siblings, _pictures(folder)), ""
    sure = is_sure_folder(name, siblings)
    if own and (sure or not _has_pairs(folder)):
        return (place / rest if rest else place), own, sure
    return place / name, "", True


def _has_pairs(folder: Path) -> bool:
    """Whether a folder holds pairs by strict marks, and so more than the views of one side."""
    for _, inner, names in os.walk(folder):
        paths = [Path(name) for name in names if not name.startswith(".")]
        if any(path.suffix.lower() in {*BOTH_VIEWS, TWO_PICTURES} for path in paths):
            return True
        if {"l", "r"} <= {split_name(path)[1] for path in paths} or any(is_sure_folder(name, inner) for name in inner):
            return True
    return False


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file() and is_picture(path))


def _holds_both(file: _File) -> bool:
    suffix = file.path.suffix.lower()
    return suffix in BOTH_VIEWS or (suffix == TWO_PICTURES and not file.side)


def _unreadable(files: Iterable[_File]) -> Iterator[Found]:
    """Views of formats that cannot be read, which would otherwise be ignored silently."""
    for file in files:
        if file.kind and file.side:
            problem = f"{file.path} is {file.kind}, which cannot be read; convert it, or leave it out"
            yield Found(file.place, file.path, None, told(f"{problem} ({option('exclude', None)})."))


def _pair(files: Sequence[_File]) -> list[Found]:
    """Pairs by strict marks first; files without a partner may then pair by other marks, except in places taken."""
    views = [file for file in files if file.side and not file.kind and not _holds_both(file)]
    groups = _group(file for file in views if not file.sure) | _group(file for file in views if file.sure)
    lonely = {key: [*group["l"], *group["r"]] for key, group in groups.items() if not all(group.values())}
    renamed = _group(file._replace(place=file.other_place) for alone in lonely.values() for file in alone)
    again = [group for key, group in renamed.items() if all(group.values()) and (key in lonely or key not in groups)]
    paired = {file.path for group in again for side in group.values() for file in side}
    kept = [group for key, group in groups.items() if not any(file.path in paired for file in lonely.get(key, ()))]
    found = [(one, group) for group in kept + again for one in _match(group["l"], group["r"])]
    # Where strict marks make all the pairs, a file that only another mark calls a view is no view.
    are_sure = any(file.sure for file in views) or any(_holds_both(file) for file in files)
    return [one for one, group in found if not (one.problem and are_sure and not _is_sure(group))]


def _is_sure(group: dict[str, list[_File]]) -> bool:
    return any(file.sure for side in group.values() for file in side)


def _group(files: Iterable[_File]) -> dict[str, dict[str, list[_File]]]:
    groups: dict[str, dict[str, list[_File]]] = {}
    for file in files:
        # Systems differ in how they encode letters with accents, so equal names may have different code points.
        key = unicodedata.normalize("NFC", str(file.place))
        groups.setdefault(key, {"l": [], "r": []})[file.side].append(file)
    return groups


def _match(lefts: list[_File], rights: list[_File]) -> Iterator[Found]:
    """The pairs among the views of one name: the only two of them, or those of equal extension."""
    if len(lefts) == len(rights) == 1:
        yield Found(lefts[0].place, lefts[0].path, rights[0].path)
        return
    for suffix in sorted({file.path.suffix.lower() for file in lefts + rights}):
        left, right = ([file for file in side if file.path.suffix.lower() == suffix] for side in (lefts, rights))
        if len(left) == len(right) == 1:
            yield Found(left[0].place, left[0].path, right[0].path)
        elif left and right:
            names = " and ".join(str(file.path) for file in max(left, right, key=len))
            problem = f"{names} are the same view of the same name; keep one of them."
            yield Found(left[0].place, left[0].path, right[0].path, problem)
        else:
            for file in left + right:
                problem = f"No other view was found for {file.path}; add it, or leave this one out"
                yield Found(file.place, file.path, None, told(f"{problem} ({option('exclude', None)})."))


def _is_wanted(folders: Sequence[Path], found: Found, include: list[str], exclude: list[str]) -> bool:
    files = [path for path in (found.left, found.right) if path]
    paths = [path.relative_to(folder).as_posix() for path in files for folder in folders if path.is_relative_to(folder)]
    names = {*paths, *(Path(path).name for path in paths)}

    def matches(patterns: list[str]) -> bool:
        return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)

    return (not include or matches(include)) and not matches(exclude)

"""Find the pairs of a whole tree of folders, by the names that cameras, converters and data sets give them."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from dualpix.errors import PairError, option
from dualpix.io.endings import is_picture, unreadable_kind
from dualpix.io.formats import OUTPUTS
from dualpix.pairs.sources import BOTH_VIEWS
from dualpix.pairs.views import SIDE_MARK, name_of

TWO_PICTURES = ".mpo"
"""Of files without the mark of a side: those with it are views that hold a second picture, such as a preview."""

SIDE_FOLDER = re.compile(r"(?:(?P<name>.+?)[_-])?(?:input)?(?P<side>l|r|left|right)", re.IGNORECASE)
OTHER_SIDE = {"l": "r", "r": "l", "left": "right", "right": "left"}
SOURCE, NO_VIEWS = "source", {"target", "sharp"}
"""Inside the folder of a view, DPDD keeps views in `source` and the truth in `target`."""
EXCLUDE = option("exclude", None)


class Found(NamedTuple):
    """A photograph in a tree of folders.

    `place`: the path its result should have in another tree, without extension; `left`, `right`: its files, `right` is
    None where `left` holds both views; `problem`: why it cannot be used, one sentence, or empty; `suffix`: the
    extension that its result shall have, or empty.
    """

    place: Path
    left: Path
    right: Path | None
    problem: str = ""
    suffix: str = ""


class _File(NamedTuple):
    path: Path
    place: Path
    side: str  # "l", "r" or "" where neither its name nor its folder says
    kind: str = ""  # of a picture that cannot be read


def find_tree(
    folder: str | Path,
    *,
    layout: str | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    leave_out: Path | None = None,
) -> list[Found]:
    """Every photograph below `folder`, sorted by place.

    Pairs are files of one name marked `_L` and `_R`, or `_left` and `_right` (any case, `-` as well), side by side, or
    in sibling folders that differ only in such a mark or are called left and right, l and r, or inputL and inputR;
    DPDD's test_l/source and test_r/source too. CR2, CR3, DNG, NPZ and unmarked MPO files hold both views; with a
    `layout` all files do. A picture has one of the usual endings, or is one by its content; a marked one of a kind that
    is not read is found with a `problem`. Files without a mark, hidden files and folders, links to folders, and the
    folder `leave_out` are passed over.

    `include`, `exclude`: patterns for paths inside `folder`, or for names alone; `*` also stands for several folders. A
    photograph counts if one of its files is included and none is excluded. A view without counterpart, and two files
    that claim one place, are found with a `problem`. Raises PairError if `folder` is none or holds no photograph.
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
    wanted = [one for one in found if _is_wanted(folder, one, list(include), list(exclude))]
    if found and not wanted:
        raise PairError(
            f"None of the {len(found)} photographs in {folder} is left by {option('include', None)} and"
            f" {option('exclude', None)}."
        )
    if not found:
        raise PairError(
            f"{folder} holds no pairs; name the views NAME_L and NAME_R ({', '.join(OUTPUTS)}), "
            "or put them under equal names into the folders left and right."
        )
    return sorted(wanted, key=lambda one: (str(one.place), str(one.left)))


def _walk(root: Path, leave_out: Path | None) -> Iterator[_File]:
    folders = [(root, Path(), "")]
    while folders:
        folder, place, side = folders.pop()
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(".")]
        inner = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        for name in inner:
            if leave_out and leave_out.is_dir() and os.path.samefile(folder / name, leave_out):
                continue
            if side and name.lower() in NO_VIEWS:
                continue
            folders.append((folder / name, *_enter(name, inner, place, side)))
        for entry in entries:
            path = Path(entry.path)
            if not _is_file(entry):
                continue
            kind = "" if path.suffix.lower() in BOTH_VIEWS or is_picture(path) else unreadable_kind(path)
            if kind is not None:
                match = SIDE_MARK.fullmatch(path.stem)
                own = side or (match["side"][0].lower() if match else "")
                yield _File(path, place / (name_of(path) if own else path.stem), own, kind)


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """A link that leads nowhere is one too: its reader tells of it."""
    return entry.is_file(follow_symlinks=False) or (entry.is_symlink() and not os.path.isdir(entry.path))


def _enter(name: str, siblings: set[str], place: Path, side: str) -> tuple[Path, str]:
    """The place and the side of a folder inside one of `place` and `side`."""
    match = SIDE_FOLDER.fullmatch(name)
    if side or match is None:
        return (place if side and name.lower() == SOURCE else place / name), side
    word = match["side"]
    other = OTHER_SIDE[word.lower()]
    other = other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other
    if name[: match.start("side")] + other not in siblings:
        return place / name, ""
    return (place / match["name"] if match["name"] else place), word[0].lower()


def _holds_both(file: _File) -> bool:
    suffix = file.path.suffix.lower()
    return suffix in BOTH_VIEWS or (suffix == TWO_PICTURES and not file.side)


def _unreadable(files: Iterable[_File]) -> Iterator[Found]:
    """Views that would be passed over in silence."""
    for file in files:
        if file.kind and file.side:
            problem = f"{file.path} is {file.kind}, which is not read; convert it, or leave it out ({EXCLUDE})."
            yield Found(file.place, file.path, None, problem)


def _pair(files: Iterable[_File]) -> list[Found]:
    groups: dict[str, dict[str, list[_File]]] = {}
    for file in files:
        if file.side and not file.kind and not _holds_both(file):
            # One name may be composed of different characters on the two disks it came from.
            key = unicodedata.normalize("NFC", str(file.place))
            groups.setdefault(key, {"l": [], "r": []})[file.side].append(file)
    return [found for group in groups.values() for found in _match(group["l"], group["r"])]


def _match(lefts: list[_File], rights: list[_File]) -> Iterator[Found]:
    """The pairs among the views of one name: the only two, or those of equal extension."""
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
                problem = f"No other view was found for {file.path}; add it, or leave this one out ({EXCLUDE})."
                yield Found(file.place, file.path, None, problem)


def _is_wanted(folder: Path, found: Found, include: list[str], exclude: list[str]) -> bool:
    paths = [path.relative_to(folder).as_posix() for path in (found.left, found.right) if path]
    names = {*paths, *(Path(path).name for path in paths)}

    def matches(patterns: list[str]) -> bool:
        return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)

    return (not include or matches(include)) and not matches(exclude)

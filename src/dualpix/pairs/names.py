"""How people name the two views: one table for files, one for folders. Whoever looks for pairs asks here.

To add a way: one line in FILE_MARKS or FOLDER_MARKS, and one in the table of `docs/folders.md`.
"""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

SIDE = r"(?P<side>l|r|left|right)"


class Mark(NamedTuple):
    """A pattern for a whole name without extension, with the groups `side` and `name`.

    `sure`: whether a name says by itself that it is a view; else only beside one of the same name and the other side,
    so that `vitamin R.jpg` and `left_turn.jpg` stay photographs.
    """

    pattern: re.Pattern[str]
    sure: bool = False


FILE_MARKS = {
    "NAME_L": Mark(re.compile(rf"(?P<name>.+)[_-]{SIDE}", re.IGNORECASE), sure=True),
    "NAME (L)": Mark(re.compile(rf"(?P<name>.+?)[ ._-]*[(\[]{SIDE}[)\]]", re.IGNORECASE)),
    "NAME.left": Mark(re.compile(rf"(?P<name>.+?)[ .]+{SIDE}", re.IGNORECASE)),
    "L_NAME": Mark(re.compile(rf"{SIDE}[ ._-]+(?P<name>.+)", re.IGNORECASE)),
}
"""From an example to the mark, the first that fits first."""

THINGS = r"(?:inputs?|images?|imgs?|views?|pictures?|pics?|photos?|frames?|cams?|cameras?)"
FOLDER_MARKS = (
    re.compile(rf"(?:(?P<name>.+?)[_-])?(?:input)?{SIDE}", re.IGNORECASE),
    re.compile(rf"(?:(?P<name>.+?)[ ._-])??(?:{THINGS}[ ._-]?)?{SIDE}(?:[ ._-]?{THINGS})?", re.IGNORECASE),
)
"""Of folders that have a sibling called alike for the other side; what else their names say goes before it."""
LETTERS = {"a": "b", "b": "a"}
"""Folders called so hold the left and the right view if their pictures are called the same."""
OTHER = {"l": "r", "r": "l", "left": "right", "right": "left"}

SIDE_MARK = FILE_MARKS["NAME_L"].pattern
SHOWN = 3


def split_name(path: Path) -> tuple[str, str]:
    """A file's name without extension and sure mark, and the side: "l", "r" or none."""
    match = SIDE_MARK.fullmatch(path.stem)
    return (match["name"], match["side"][0].lower()) if match else (path.stem, "")


def mark_files(paths: Iterable[Path]) -> dict[Path, tuple[str, str]]:
    """The name and the side of each of the files of one folder, `side` "" where no rule makes it a view."""
    marked = {path: split_name(path) for path in paths}
    for mark in (mark for mark in FILE_MARKS.values() if not mark.sure):
        found: dict[tuple[str, str], dict[str, list[Path]]] = {}
        for path in (path for path, (_, side) in marked.items() if not side):
            if match := mark.pattern.fullmatch(_bare(path)):
                ending = path.suffix.lower() if _bare(path) == path.stem else ""
                sides = found.setdefault((match["name"], ending), {"l": [], "r": []})
                sides[match["side"][0].lower()].append(path)
        for (name, _), sides in found.items():
            if sides["l"] and sides["r"]:
                marked |= {path: (name, side) for side, views in sides.items() for path in views}
    return marked


def strip_side(paths: Iterable[Path], side: str) -> dict[Path, str]:
    """The names of the files of a folder that holds the views of one `side`, without their marks."""
    files = list(paths)
    for mark in (mark for mark in FILE_MARKS.values() if not mark.sure):
        matches = [mark.pattern.fullmatch(_bare(path)) for path in files]
        if files and all(match and match["side"][0].lower() == side for match in matches):
            return {path: match["name"] for path, match in zip(files, matches, strict=True) if match}
    return {path: split_name(path)[0] for path in files}


def folder_side(name: str, siblings: Iterable[str]) -> tuple[str, str]:
    """Of which side the views in a folder are ("l", "r" or none), by its name and those of the folders beside it, and
    what else its name says."""
    known = set(siblings)
    for pattern in FOLDER_MARKS:
        if match := pattern.fullmatch(name):
            word = match["side"]
            other = _like(word, OTHER[word.lower()])
            if name[: match.start("side")] + other + name[match.end("side") :] in known:
                return word[0].lower(), match["name"] or ""
    return "", name


def letter_side(folder: Path, siblings: Iterable[str], files: Iterable[Path]) -> str:
    """Of which side the views in a folder called A or B are, if it holds pictures like those beside; else ""."""
    other = LETTERS.get(folder.name.lower())
    names = {path.name for path in files}
    if other is None or _like(folder.name, other) not in set(siblings) or not names:
        return ""
    beside = {path.name for path in (folder.parent / _like(folder.name, other)).iterdir()}
    marked = any(side for _, side in mark_files(Path(name) for name in names | beside).values())
    return "" if marked or not names & beside else "l" if folder.name.lower() == "a" else "r"


def common_name(left: Path, right: Path | None) -> str:
    """What the picture of two views is called: what both names share by a rule, or the left one's name."""
    if right is not None and left.parent == right.parent:
        names = mark_files([left, right])
        if names[left][0] == names[right][0]:
            return names[left][0]
    return split_name(left)[0]


def nearest_rule(folder: str, names: Iterable[str]) -> str:
    """What a folder without pairs holds, and how it should be called; `names` of all pictures in it."""
    seen = sorted(set(names))
    rules = "name the views NAME_L and NAME_R, or put them under equal names into the folders left and right"
    listed = "or list them in a .csv or .jsonl file"
    if not seen:
        return f"{folder} holds no pairs; {rules} (there is no picture in it)."
    shown = ", ".join(seen[:SHOWN]) + (", ..." if len(seen) > SHOWN else "")
    alike = max(pairwise(seen), key=lambda two: SequenceMatcher(None, *two).ratio(), default=None)
    example = ""
    if alike is not None and SequenceMatcher(None, *alike).ratio() > 0.7:
        start = _shared_start(*alike)
        example = f" (if {alike[0]} and {alike[1]} are two views, {start}_L and {start}_R)"
    return f"{folder} holds no pairs, but {shown}; {rules}{example}, {listed}."


def _shared_start(one: str, other: str) -> str:
    size = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:size].rstrip(" ._-(") or "NAME"


def _bare(path: Path) -> str:
    """Without the extension; a side may look like one, in files that have no other."""
    return path.name if path.suffix[1:].lower() in OTHER else path.stem


def _like(word: str, other: str) -> str:
    """`other` in the letter case of `word`."""
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other

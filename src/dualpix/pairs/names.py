"""How people name the two views: one table for files, one for folders, used by everything that looks for pairs.

The strict marks (`SURE_...`) were supported first; the others count only where no strict mark is found, so that folders
of earlier versions are read as before. To add a naming scheme: one line in FILE_MARKS, or a word in THINGS, and one
line in the table of `docs/folders.md`.
"""

import re
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from itertools import pairwise, takewhile
from pathlib import Path, PurePath
from typing import TypeVar

P = TypeVar("P", bound=PurePath)

SIDE = r"(?P<side>l|r|left|right)"
SURE_MARK = re.compile(rf"(?P<name>.+)[_-]{SIDE}", re.IGNORECASE)
"""A file name without extension: `a_L`. It makes the file a view on its own."""
FILE_MARKS = (
    re.compile(rf"(?P<name>.+?)[ ._-]*[(\[]{SIDE}[)\]]", re.IGNORECASE),  # a (L)
    re.compile(rf"(?P<name>.+?)[ .]+{SIDE}", re.IGNORECASE),  # a.left, a L
    re.compile(rf"{SIDE}[ ._-]+(?P<name>.+)", re.IGNORECASE),  # L_a
)
"""These make a file a view only if the file of the same name and the other side is there too, in a folder without
strict marks: so `vitamin R.jpg` and `left_turn.jpg` stay photographs. The first that fits counts."""

THINGS = r"(?:inputs?|images?|imgs?|views?|pictures?|pics?|photos?|frames?|cams?|cameras?)"
SURE_FOLDER = re.compile(rf"(?:(?P<name>.+?)[_-])?(?:input)?{SIDE}", re.IGNORECASE)
"""A folder name that counts if there is a sibling folder of the same name for the other side."""
FOLDER_MARK = re.compile(
    rf"(?:(?P<name>.+?)[ ._-])??(?:{THINGS}[ ._-]?)?{SIDE}(?:[ ._-]?{THINGS})?", re.IGNORECASE
)  # imageL, left_view
LETTERS = {"a": "b", "b": "a"}
"""Folders with these names hold the left and the right views if their pictures have the same names."""
OTHER = {"l": "r", "r": "l", "left": "right", "right": "left"}
SHOWN, LOOKED_AT = 3, 1000
ALIKE = 0.7  # share of the letters that two names have in common


def split_name(path: PurePath) -> tuple[str, str]:
    """A file's name without extension and strict mark, and the side of that mark: "l", "r" or "" for none.

    Example:
        >>> from pathlib import Path
        >>> split_name(Path("garden_L.png")), split_name(Path("garden.png"))
        (('garden', 'l'), ('garden', ''))
    """
    match = SURE_MARK.fullmatch(path.stem)
    return (match["name"], _letter(match)) if match else (path.stem, "")


def mark_files(paths: Iterable[P], both_views: Collection[str] = ()) -> dict[P, tuple[str, str]]:
    """Name and side of each file of one folder.

    Args:
        paths: All pictures of the folder.
        both_views: Endings of files that may hold both views; these are views of one side only by a strict mark.

    Returns:
        By path, the name without mark, and "l", "r", or "" where no rule makes the file a view.
    """
    marked = {path: split_name(path) for path in paths}
    if any(side for _, side in marked.values()):
        return marked
    for mark in FILE_MARKS:
        found: dict[tuple[str, str], dict[str, list[P]]] = {}
        for path in (path for path, (_, side) in marked.items() if not side and path.suffix.lower() not in both_views):
            if match := mark.fullmatch(_bare(path)):
                ending = path.suffix.lower() if _bare(path) == path.stem else ""
                found.setdefault((match["name"], ending), {"l": [], "r": []})[_letter(match)].append(path)
        for (name, _), sides in found.items():
            if sides["l"] and sides["r"]:
                marked |= {path: (name, side) for side, views in sides.items() for path in views}
    return marked


def name_within(path: Path, side: str) -> str:
    """The name of a file in a folder of left or right views (`side`: "l" or "r"), without any mark of that side."""
    name, marked = split_name(path)
    matches = [] if marked else [mark.fullmatch(_bare(path)) for mark in FILE_MARKS]
    return next((match["name"] for match in matches if match and _letter(match) == side), name)


def is_sure_folder(name: str, siblings: Iterable[str]) -> bool:
    """Whether a folder beside `siblings` holds the views of one side by a strict mark in its name."""
    return bool(_side_of(SURE_FOLDER, name, siblings)[0])


def folder_side(name: str, siblings: Iterable[str]) -> tuple[str, str]:
    """The side of the views in a folder, by its name and its siblings', and what is left of the name without the mark.

    Args:
        name: The folder's name.
        siblings: Names of all folders beside it.

    Returns:
        "l", "r", or "" if it holds no views of one side; and the rest of its name.
    """
    sure = _side_of(SURE_FOLDER, name, siblings)
    return sure if sure[0] else _side_of(FOLDER_MARK, name, siblings)


def _side_of(pattern: re.Pattern[str], name: str, siblings: Iterable[str]) -> tuple[str, str]:
    if match := pattern.fullmatch(name):
        word = match["side"]
        other = name[: match.start("side")] + _like(word, OTHER[word.lower()]) + name[match.end("side") :]
        if other in set(siblings):
            return _letter(match), match["name"] or ""
    return "", name


def _letter(match: re.Match[str]) -> str:
    return match["side"][0].lower()


def letter_side(folder: Path, siblings: Iterable[str], files: Iterable[Path]) -> str:
    """The side of the views in a folder called A or B, if its sibling's pictures have the same names; otherwise ""."""
    other = LETTERS.get(folder.name.lower())
    names = {path.name for path in files}
    if other is None or _like(folder.name, other) not in set(siblings) or not names:
        return ""
    beside = {path.name for path in (folder.parent / _like(folder.name, other)).iterdir()}
    marked = any(side for _, side in mark_files(Path(name) for name in names | beside).values())
    return "" if marked or not names & beside else "l" if folder.name.lower() == "a" else "r"


def common_name(left: PurePath, right: PurePath | None) -> str:
    """The name of the photograph that two views show: what their names share by a rule, or else the left one's."""
    if right is not None and left.parent == right.parent:
        names = mark_files([left, right])
        if names[left][0] == names[right][0]:
            return names[left][0]
    return split_name(left)[0]


def nearest_rule(folder: Path, files: Iterable[Path]) -> str:
    """Sentence for a folder without pairs: what it holds, and how its files should be named.

    Args:
        folder: The folder.
        files: All pictures in it and below.
    """
    seen = sorted({file.relative_to(folder) for file in files})[:LOOKED_AT]
    rule = "name the views NAME_L and NAME_R, or put them under equal names into the folders left and right"
    if not seen:
        return f"{folder} holds no pairs and no pictures; {rule}."
    shown = ", ".join(map(str, seen[:SHOWN])) + (", ..." if len(seen) > SHOWN else "")
    return (
        f"{folder} holds no pairs, but {shown}; {rule}{_example(folder, seen)}, or list them in a .csv or .jsonl file."
    )


def _example(folder: Path, seen: list[Path]) -> str:
    """The rule applied to the two files that look most like two views; empty if none do."""
    names: dict[Path, set[str]] = {}
    for path in seen:
        names.setdefault(path.parent, set()).add(path.name)
    for one, other in pairwise(names):
        if names[one] & names[other]:
            return f", or give both folders (if they are two views: deblur {folder / one} {folder / other})"
    beside = [(one, other) for one, other in pairwise(seen) if one.parent == other.parent]
    likeness = {two: SequenceMatcher(None, two[0].stem, two[1].stem).ratio() for two in beside}
    one, other = max(beside, key=lambda two: likeness[two], default=(folder, folder))
    if likeness.get((one, other), 0) < ALIKE:
        return ""
    same = takewhile(lambda two: two[0] == two[1], zip(one.stem, other.stem, strict=False))
    start = "".join(letter for letter, _ in same).rstrip(" ._-([") or "NAME"
    return f" (if {one} and {other} are two views: {start}_L{one.suffix} and {start}_R{other.suffix})"


def _bare(path: PurePath) -> str:
    """The name without extension; where a file has no extension, its side may look like one (`a.left`)."""
    return path.name if path.suffix[1:].lower() in OTHER else path.stem


def _like(word: str, other: str) -> str:
    """`other` in the letter case of `word`."""
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other

"""How people name the two views: one table for files, one for folders. Whoever looks for pairs asks here.

The sure marks came first; the others count only where these find nothing, so that what was found stays as it is.
To add a way: one line in FILE_MARKS, or a word in THINGS, and one line in the table of `docs/folders.md`.
"""

import re
from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from itertools import pairwise, takewhile
from pathlib import Path

SIDE = r"(?P<side>l|r|left|right)"
SURE_MARK = re.compile(rf"(?P<name>.+)[_-]{SIDE}", re.IGNORECASE)
"""Of a file, without its extension: `a_L`. It says by itself that the file is a view."""
FILE_MARKS = (
    re.compile(rf"(?P<name>.+?)[ ._-]*[(\[]{SIDE}[)\]]", re.IGNORECASE),  # a (L)
    re.compile(rf"(?P<name>.+?)[ .]+{SIDE}", re.IGNORECASE),  # a.left, a L
    re.compile(rf"{SIDE}[ ._-]+(?P<name>.+)", re.IGNORECASE),  # L_a
)
"""Those that say so only beside a file of the same name and the other side, in a folder without sure marks: so
`vitamin R.jpg` and `left_turn.jpg` stay photographs. The first that fits counts."""

THINGS = r"(?:inputs?|images?|imgs?|views?|pictures?|pics?|photos?|frames?|cams?|cameras?)"
SURE_FOLDER = re.compile(rf"(?:(?P<name>.+?)[_-])?(?:input)?{SIDE}", re.IGNORECASE)
"""Of a folder that has a sibling called alike for the other side; what else its name says goes before it."""
FOLDER_MARK = re.compile(
    rf"(?:(?P<name>.+?)[ ._-])??(?:{THINGS}[ ._-]?)?{SIDE}(?:[ ._-]?{THINGS})?", re.IGNORECASE
)  # imageL, left_view
LETTERS = {"a": "b", "b": "a"}
"""Folders called so hold the left and the right view if their pictures are called the same."""
OTHER = {"l": "r", "r": "l", "left": "right", "right": "left"}
SHOWN, LOOKED_AT = 3, 1000
ALIKE = 0.7  # of the letters of two names


def split_name(path: Path) -> tuple[str, str]:
    """A file's name without extension and sure mark, and the side: "l", "r" or none."""
    match = SURE_MARK.fullmatch(path.stem)
    return (match["name"], _letter(match)) if match else (path.stem, "")


def mark_files(paths: Iterable[Path], both_views: Collection[str] = ()) -> dict[Path, tuple[str, str]]:
    """The name and the side of each of the files of one folder, the side "" where no rule makes it a view.

    `both_views`: endings of files that may hold both, and are views of one side only by a sure mark.
    """
    marked = {path: split_name(path) for path in paths}
    if any(side for _, side in marked.values()):
        return marked
    for mark in FILE_MARKS:
        found: dict[tuple[str, str], dict[str, list[Path]]] = {}
        for path in (path for path, (_, side) in marked.items() if not side and path.suffix.lower() not in both_views):
            if match := mark.fullmatch(_bare(path)):
                ending = path.suffix.lower() if _bare(path) == path.stem else ""
                found.setdefault((match["name"], ending), {"l": [], "r": []})[_letter(match)].append(path)
        for (name, _), sides in found.items():
            if sides["l"] and sides["r"]:
                marked |= {path: (name, side) for side, views in sides.items() for path in views}
    return marked


def name_within(path: Path, side: str) -> str:
    """The name of a file in a folder of the views of one `side`, without any mark of that side."""
    name, marked = split_name(path)
    matches = [] if marked else [mark.fullmatch(_bare(path)) for mark in FILE_MARKS]
    return next((match["name"] for match in matches if match and _letter(match) == side), name)


def is_sure_folder(name: str, siblings: Iterable[str]) -> bool:
    """Whether a folder beside `siblings` says by its name alone that it holds the views of one side."""
    return bool(_side_of(SURE_FOLDER, name, siblings)[0])


def folder_side(name: str, siblings: Iterable[str]) -> tuple[str, str]:
    """Of which side the views in a folder are ("l", "r" or none), by its name and those of the folders beside it, and
    what else its name says."""
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


def nearest_rule(folder: Path, files: Iterable[Path]) -> str:
    """What a folder without pairs holds, and how it should be called; `files` are all pictures below it."""
    seen = sorted({file.relative_to(folder) for file in files})[:LOOKED_AT]
    rule = "name the views NAME_L and NAME_R, or put them under equal names into the folders left and right"
    if not seen:
        return f"{folder} holds no pairs, nor any picture; {rule}."
    shown = ", ".join(map(str, seen[:SHOWN])) + (", ..." if len(seen) > SHOWN else "")
    return (
        f"{folder} holds no pairs, but {shown}; {rule}{_example(folder, seen)}, or list them in a .csv or .jsonl file."
    )


def _example(folder: Path, seen: list[Path]) -> str:
    """How the rule reads for what looks most like two views, or nothing."""
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


def _bare(path: Path) -> str:
    """Without the extension; a side may look like one, in files that have no other."""
    return path.name if path.suffix[1:].lower() in OTHER else path.stem


def _like(word: str, other: str) -> str:
    """`other` in the letter case of `word`."""
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other

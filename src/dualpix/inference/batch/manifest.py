"""A list of pairs as a file of JSON Lines or CSV, for pictures whose names follow no rule.

One object a line, or one row below a head of the same names (without one: in this order): `left`, `right` (absent or
null where `left` holds both views), `output` (absent: named like `left`).
Inputs are URLs, or relative to the folder of the manifest; outputs are relative to the output folder.
"""

import csv
import os
import posixpath
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from dualpix.errors import PairError, option, shortened
from dualpix.io.formats import OUTPUTS
from dualpix.machine.files import parse_json
from dualpix.machine.storage import read_object
from dualpix.machine.urls import Location, Url, as_location
from dualpix.pairs.pairing import Found
from dualpix.pairs.views import name_of

LONGEST_LINE = 2**16
COLUMNS = ("left", "right", "output")
DELIMITERS = ";\t,"
SUFFIXES = (".jsonl", ".csv")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
NO_NAMES = {"", ".", ".."}  # that no file can have


def is_pattern(source: Location) -> bool:
    """Whether `source` is a pattern for files and not itself a file."""
    is_file = isinstance(source, Path) and source.exists()
    return not is_file and any(letter in str(source) for letter in "*?[")


def read_manifest(path: str | Location, allow_outside: bool = False) -> list[Found]:
    """Return the pairs in a manifest, in its order; `place` and `suffix` are its `output`.

    Args:
        path: A file of JSON Lines, or of CSV if it ends in .csv; of this disk, or by URL.
        allow_outside: Inputs may lie outside the manifest's folder.

    Raises:
        PairError: With the number of the first such line, and how many there are: it is no object of these keys, or a
            path leads outside the manifest's folder or the output folder.
    """
    path = as_location(path)
    found: list[Found] = []
    faults: list[PairError] = []
    try:
        with _opened(path) as file:
            for where, entry in _rows(file, path) if path.suffix.lower() == ".csv" else _objects(file, path):
                try:
                    found.append(_found(entry, path.parent, where, allow_outside))
                except PairError as error:
                    faults.append(error)
    except OSError as error:
        raise PairError(f"{path} cannot be opened: {error.strerror or error}.") from error
    if len(faults) > 1:
        raise PairError(f"{faults[0].args[0]} In all {len(faults)} of {len(found) + len(faults)} lines are like that.")
    if faults:
        raise faults[0]
    if not found:
        line = "a_L.tif,a_R.tif" if path.suffix.lower() == ".csv" else '{"left": "a_L.tif", "right": "a_R.tif"}'
        raise PairError(f"{path} lists no pairs; write lines such as {line}.")
    return found


def _opened(path: Location) -> BinaryIO:
    return BytesIO(read_object(path)) if isinstance(path, Url) else path.open("rb")


def _lines(file: BinaryIO, path: Location) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if number == 1 and line.startswith(UTF_16):
            raise PairError(f"{path} is a text in UTF-16; save it as UTF-8.")
        if len(line) > LONGEST_LINE:
            raise PairError(f"{path}, line {number} is longer than {LONGEST_LINE} bytes; is this a manifest?")
        if line.strip():
            yield number, line


def _objects(file: BinaryIO, path: Location) -> Iterator[tuple[str, Any]]:
    """Where each line is, and its value: a PairError if it has none, so that all such lines can be counted."""
    for number, line in _lines(file, path):
        where = f"{path}, line {number}"
        try:
            value = parse_json(line.decode("utf-8-sig"))
        except ValueError:
            value = PairError(f"{where} is not JSON; write one object a line.")
        yield where, value


def _rows(file: BinaryIO, path: Location) -> Iterator[tuple[str, Any]]:
    """Rows of a CSV file; spreadsheets of some countries write semicolons, and most begin with a byte-order mark."""
    head: tuple[str, ...] = COLUMNS
    delimiter = ""
    for number, line in _lines(file, path):
        where, text = f"{path}, line {number}", line.decode("utf-8-sig", "surrogateescape")
        is_first = not delimiter
        delimiter = delimiter or next((one for one in DELIMITERS if one in text), ",")
        try:
            (cells,) = csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True)
        except (csv.Error, ValueError):
            yield where, PairError(f"{where} is not a row of a CSV file; write LEFT,RIGHT or LEFT,RIGHT,OUTPUT.")
            continue
        cells = [cell.strip() for cell in cells]
        if is_first and "left" in (names := tuple(cell.lower() for cell in cells)):
            head = _head(names, where)
            continue
        yield where, _row(cells, head, where)


def _row(cells: list[str], head: tuple[str, ...], where: str) -> dict[str, str] | PairError:
    if len(cells) > len(head):
        return PairError(f"{where} has {len(cells)} columns; write {','.join(head)}.")
    if not any(cell for name, cell in zip(head, cells, strict=False) if name == "left"):
        return PairError(f"{where} has no left view; write {','.join(head)}.")
    return {name: cell for name, cell in zip(head, cells, strict=False) if cell}


def _head(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    strange = next((name for name in filter(None, names) if name not in COLUMNS or names.count(name) > 1), "")
    if strange:
        how = "twice" if strange in COLUMNS else "which is unknown"
        shown = shortened(strange, 40)
        raise PairError(f"{where} has the column {shown!r}, {how}; write {', '.join(COLUMNS)}, each once.")
    return names


def _found(entry: Any, folder: Location, where: str, allow_outside: bool) -> Found:
    if isinstance(entry, PairError):
        raise entry
    if not isinstance(entry, dict) or "left" not in entry or not entry.keys() <= set(COLUMNS):
        raise PairError(f"{where} must be an object with the keys {', '.join(sorted(COLUMNS))} (left at least).")
    left = _located(folder, _path(entry["left"], "left", where))
    right = None if entry.get("right") is None else _located(folder, _path(entry["right"], "right", where))
    for given in (left, right):
        if given and not allow_outside and not _is_inside(given, folder):
            raise PairError(
                f"{where}: {given} is outside of the manifest's folder; if you trust it: {option('allow-outside')}."
            )
    if entry.get("output") is None:
        named = _path(entry["left"], "left", where)
        return Found(_place_of(Path(left.name if "://" in named else named), where), left, right)
    output = Path(os.path.normpath(_path(entry["output"], "output", where)))
    suffix = output.suffix if output.suffix.lower() in OUTPUTS else ""
    name = output.name.removesuffix(suffix)
    if _leads_out(output) or name in NO_NAMES:
        raise PairError(f"{where}: the output {entry['output']} must be a name inside the output folder.")
    return Found(output.with_name(name), left, right, suffix=suffix)


def _place_of(left: Path, where: str) -> Path:
    left = Path(os.path.normpath(left))
    name = name_of(left)
    if left.name in NO_NAMES or name in NO_NAMES:
        raise PairError(f"{where}: {left} is not the path of a picture; give one, or say the output as well.")
    return Path(name) if _leads_out(left) else left.with_name(name)


def _leads_out(path: Path) -> bool:
    return path.is_absolute() or ".." in path.parts


def _path(value: Any, key: str, where: str) -> str:
    """A path as this system's functions take it, whatever the locale."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise PairError(f"{where}: {key} must be the path of a file.")
    try:
        return os.fsdecode(value.encode("utf-8", "surrogateescape"))
    except UnicodeError as error:
        raise PairError(f"{where}: {key} must be the path of a file.") from error


def _located(folder: Location, text: str) -> Location:
    """An input that a manifest in `folder` names."""
    if "://" in text or (isinstance(folder, Url) and os.path.isabs(text)):
        return as_location(text)
    return folder / (posixpath.normpath(text) if isinstance(folder, Url) else text)


def _is_inside(path: Location, folder: Location) -> bool:
    if isinstance(path, Url) or isinstance(folder, Url):
        return path.is_relative_to(folder) and ".." not in path.parts
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))

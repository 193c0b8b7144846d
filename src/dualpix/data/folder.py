"""Any folder of pairs in this package's own layouts, which are also what `dualpix simulate` writes.

Either a folder for each picture of a pair, `left/`, `right/` and, where they exist, `center/` and `sharp/`; or all
pictures side by side as `<name>_L`, `<name>_R` and, where they exist, `<name>_C` and `<name>_sharp`. Pictures belong
together by name, so nothing depends on the order of files.
"""

from pathlib import Path

from dualpix.data.samples import MARKS, Sample, bare_name, check_folder, list_pictures, read_sample
from dualpix.errors import DataError


class Folder:
    """The pairs of a folder, sorted by name; a map from index to sample.

    `center` is made from the views where it is missing; `sharp` is there only for the pairs that have one. Raises
    `DataError` when there is no pair, when a view has no partner, or when two files claim the same place.
    """

    def __init__(self, root: str | Path) -> None:
        path = check_folder(root)
        pictures = _by_folder(path) if _has_folders(path) else _by_mark(path)
        _check_partners(path, pictures)
        self.scenes = {
            name: {key: found[name] for key, found in pictures.items() if name in found}
            for name in sorted(pictures["left"])
        }
        self.names = list(self.scenes)
        sharp = sum("sharp" in paths for paths in self.scenes.values())
        self.found = f"{len(self)} pairs, {sharp} of them with a sharp picture, in {path}"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        return read_sample(name, self.scenes[name])


def looks_like_pairs(root: Path) -> bool:
    """Whether `root` has the folders left and right, or files whose names end in `_L` and `_R`."""
    return _has_folders(root) or all(_marked(root, view) for view in ("left", "right"))


def _has_folders(root: Path) -> bool:
    return (root / "left").is_dir() and (root / "right").is_dir()


def _by_folder(root: Path) -> dict[str, dict[str, Path]]:
    return {key: _index(list_pictures(root / key, key), key) for key in MARKS if (root / key).is_dir()}


def _by_mark(root: Path) -> dict[str, dict[str, Path]]:
    return {key: _index(_marked(root, key), key) for key in MARKS}


def _marked(root: Path, view: str) -> list[Path]:
    return [path for path in list_pictures(root, view) if path.stem.endswith(MARKS[view])]


def _index(files: list[Path], view: str) -> dict[str, Path]:
    indexed: dict[str, Path] = {}
    for path in files:
        name = bare_name(path, view)
        if name in indexed:
            raise DataError(
                f"{indexed[name]} and {path.name} both are the {view} picture of {name!r}; remove one of them."
            )
        indexed[name] = path
    return indexed


def _check_partners(root: Path, pictures: dict[str, dict[str, Path]]) -> None:
    left, right = pictures["left"], pictures["right"]
    if not left and not right:
        raise DataError(
            f"{root} holds no pairs; expected the folders left and right, or files called <name>_L and <name>_R"
            " (PNG, TIFF, JPEG or WebP)."
        )
    if alone := sorted(left.keys() ^ right.keys()):
        side, other = ("left", "right") if alone[0] in left else ("right", "left")
        more = f" ({len(alone) - 1} more are alone too)" if len(alone) > 1 else ""
        raise DataError(f"{root}: {alone[0]!r} has a {side} view but no {other} one{more}; views are paired by name.")

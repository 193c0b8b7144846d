"""The dual-pixel defocus deblurring data set (Abuolaim and Brown, ECCV 2020) in both of its published folder layouts.

The authors' own: `<split>_l/source`, `<split>_r/source`, `<split>_c/source` (the centre view) and `<split>_c/target`
(the sharp pictures). And that of Restormer's download: `inputL`, `inputR`, `inputC` and `target`, either directly in
the root or in a folder for each split.

The blurred pictures of a scene have the same name, or at least the same numbers in it. The sharp picture is another
exposure with another number. Where numbers differ, sharp pictures are therefore paired by their rank in the order of
numbers, which reproduces the authors' own lists in all three splits.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import ClassVar

from dualpix.errors import DataError
from dualpix.io import read_picture
from dualpix.pairs.sample import Reader, Sample, bare_name, check_folder, list_views, read_sample

SPLITS = ("test", "val", "train")
LAYOUTS = (
    {
        "left": "{split}_l/source",
        "right": "{split}_r/source",
        "center": "{split}_c/source",
        "sharp": "{split}_c/target",
    },
    {"left": "{split}/inputL", "right": "{split}/inputR", "center": "{split}/inputC", "sharp": "{split}/target"},
    {"left": "inputL", "right": "inputR", "center": "inputC", "sharp": "target"},
)
"""Where each layout keeps the pictures of a split; the last one holds a single split, whichever that is."""


class Dpdd:
    """The scenes of one split of DPDD, in sorted order, each read when it is asked for.

    `center` is the set's own centre view where there is one, otherwise the mean of the views; `sharp` is missing if
    there is no folder of sharp pictures.

    Args:
        root: The folder of the set.
        split: "test", "val" or "train".

    Raises:
        DataError: The views are missing, the folders hold different numbers of pictures, or their names do not agree.

    Example:
        >>> Dpdd("DPDD", split="test")[0]["sharp"].shape  # doctest: +SKIP
        torch.Size([3, 1120, 1680])
    """

    looks: ClassVar[str] = "DPDD (test_l/source, test_r/source, ... or inputL, inputR, ...)"

    def __init__(self, root: str | Path, split: str = "test") -> None:
        path = check_folder(root)
        split = split or SPLITS[0]
        folders = _find_folders(path, split)
        files = {key: list_views(folder) for key, folder in folders.items()}
        _check_counts(folders, files)
        files |= {key: _in_order(files["left"], files[key], key) for key in files if key != "left"}
        self.scenes = [dict(zip(files, row, strict=True)) for row in zip(*files.values(), strict=True)]
        extras = [f"with {key}" if key in files else f"without {key}" for key in ("center", "sharp")]
        self.found = f"{len(self)} scenes of DPDD, split {split!r}, {' and '.join(extras)} pictures"

    @staticmethod
    def splits(root: Path) -> list[str]:
        """The splits that `root` holds, the test split first."""
        return [split for split in SPLITS if any(_present(root, layout, split) for layout in LAYOUTS)]

    @property
    def files(self) -> list[Path]:
        """All of its pictures, scene by scene."""
        return [path for paths in self.scenes for path in paths.values()]

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Sample:
        return self.read_sample(index)

    def read_sample(self, index: int, names: Collection[str] | None = None, read: Reader = read_picture) -> Sample:
        """See `pairs.sample.read_sample`."""
        paths = self.scenes[index]
        return read_sample(bare_name(paths["left"]), paths, names, read)


def _present(root: Path, layout: Mapping[str, str], split: str) -> dict[str, Path]:
    """The folders of `layout` that exist; none unless both views do."""
    folders = {key: root / place.format(split=split) for key, place in layout.items()}
    there = {key: folder for key, folder in folders.items() if folder.is_dir()}
    return there if {"left", "right"} <= there.keys() else {}


def _find_folders(root: Path, split: str) -> dict[str, Path]:
    for layout in LAYOUTS:
        if folders := _present(root, layout, split):
            return folders
    wanted = ", or ".join(f"{layout['left']} and {layout['right']}".format(split=split) for layout in LAYOUTS)
    hint = f"; it has these splits: {', '.join(have)}" if (have := Dpdd.splits(root)) else ""
    raise DataError(f"{root} does not hold the views of DPDD's {split!r} split; expected the folders {wanted}{hint}.")


def _check_counts(folders: Mapping[str, Path], files: Mapping[str, list[Path]]) -> None:
    counts = {key: len(found) for key, found in files.items()}
    if len(set(counts.values())) > 1 or not counts["left"]:
        listed = ", ".join(f"{counts[key]} in {folder}" for key, folder in folders.items())
        problem = "different numbers of" if any(counts.values()) else "no"
        raise DataError(f"Every scene has one picture in each folder, but there are {problem} pictures: {listed}.")


def _in_order(left: list[Path], others: list[Path], key: str) -> list[Path]:
    """Sort `others` so that each has the place of the left view of its scene.

    Files are matched by name, else by the numbers in their names; sharp pictures with other numbers, or without, by
    rank.
    """
    for same in (bare_name, _numbers):
        wanted, found = [same(path) for path in left], {same(path): path for path in others}
        if len(found) == len(others) and set(found) == set(wanted):
            return [found[name] for name in wanted]
    shared = len({_numbers(path) for path in left} & {_numbers(path) for path in others} - {()})
    if key == "sharp" and 2 * shared <= len(left):
        by_number = sorted(others, key=_natural)
        places = sorted(range(len(left)), key=lambda place: _natural(left[place]))
        return [by_number[places.index(place)] for place in range(len(left))]
    names = [{bare_name(path) for path in paths} for paths in (left, others)]
    same = bare_name if names[0] & names[1] else _numbers
    first = next((place for place, path in enumerate(others) if same(path) != same(left[place])), 0)
    raise DataError(
        f"The pictures of a scene must have the same name, or the same numbers in it, but in sorted order"
        f" {left[first]} is next to {others[first]}; look for a missing file near them, or rename them alike."
    )


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", bare_name(path)))


def _natural(path: Path) -> tuple[str | int, ...]:
    """Sort key by which a2 comes before a10: words and numbers in turn."""
    words = re.split(r"([0-9]+)", bare_name(path))
    return tuple(int(word) if place % 2 else word for place, word in enumerate(words))

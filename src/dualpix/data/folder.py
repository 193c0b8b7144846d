"""Any folder of pairs, in the layouts that `dualpix deblur` takes and `dualpix simulate` writes.

Either a folder for each picture of a pair, `left/`, `right/` and, where they exist, `center/` and `sharp/`; or all
pictures side by side as `<name>_L`, `<name>_R` and, where they exist, `<name>_C` and `<name>_sharp`. Pictures belong
together by name, so nothing depends on the order of files.
"""

from pathlib import Path

from dualpix.data.samples import Sample, bare_name, check_folder, list_pictures, read_sample
from dualpix.images import find_pairs

MARKS = {"center": "_C", "sharp": "_sharp"}


class Folder:
    """The pairs of a folder, sorted by name; a map from index to sample.

    `center` is made from the views where it is missing; `sharp` is there only for the pairs that have one. Raises
    `PairError` when there is no pair, when a view has no partner, or when two files claim the same place.
    """

    def __init__(self, root: str | Path) -> None:
        path = check_folder(root)
        self.scenes = {bare_name(left): {"left": left, "right": right} for left, right in find_pairs(path)}
        for key in MARKS:
            for name, file in _beside(path, key).items():
                self.scenes.get(name, {})[key] = file
        self.names = list(self.scenes)
        sharp = sum("sharp" in paths for paths in self.scenes.values())
        self.found = f"{len(self)} pairs, {sharp} of them with a sharp picture, in {path}"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        return read_sample(name, self.scenes[name])


def looks_like_pairs(root: Path) -> bool:
    """Whether `root` has the folders left and right, or files whose names are marked as those of a view."""
    folders = (root / "left").is_dir() and (root / "right").is_dir()
    return folders or any(bare_name(path) != path.stem for path in list_pictures(root))


def _beside(root: Path, key: str) -> dict[str, Path]:
    """The files of a picture that is no view, by the name of their pair."""
    mark = MARKS[key]
    marked = {path.stem.removesuffix(mark): path for path in list_pictures(root) if path.stem.endswith(mark)}
    own = list_pictures(root / key) if (root / key).is_dir() else []
    return marked | {path.stem.removesuffix(mark): path for path in own}

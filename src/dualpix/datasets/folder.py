"""Any folder of pairs, in the layouts that `dualpix deblur` reads and `dualpix simulate` writes.

Either a folder for each picture of a pair, `left/`, `right/` and, where they exist, `center/` and `sharp/`; or all
pictures side by side as `<name>_L`, `<name>_R` and, where they exist, `<name>_C` and `<name>_sharp`. Pictures belong
together by name, so nothing depends on the order of files. `blur/<name>.npy`, which only simulations have, is the
signed blur radius in pixels, H x W.
"""

from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from dualpix.errors import DataError
from dualpix.io import read_picture
from dualpix.io.formats.npy import read_npy
from dualpix.pairs.names import mark_files
from dualpix.pairs.sample import Reader, Sample, check_folder, list_views, read_sample
from dualpix.pairs.views import find_named_pairs, has_parallel_folders

MARKS = {"center": "_C", "sharp": "_sharp"}


class Folder:
    """The pairs of a folder, sorted by name, each read when it is asked for.

    `center` is the mean of the views where it is missing; `sharp` and `blur_px` (1 x H x W) are there only for pairs
    that have them. Reading a sample raises what `read_sample` raises, and `DataError` for a damaged blur map.

    Args:
        root: The folder.
        split: Only "", since there are no splits.

    Raises:
        PairError: There are no pairs, a view has no partner, or two files claim the same place.
        DataError: A split was given.
    """

    looks: ClassVar[str] = "the folders left and right, or files called <name>_L and <name>_R"

    def __init__(self, root: str | Path, split: str = "") -> None:
        self.root = path = check_folder(root)
        if split:
            raise DataError(f"{root} holds plain pairs, which have no splits; leave out the split {split!r}.")
        self.scenes = {name: {"left": left, "right": right} for name, (left, right) in find_named_pairs(path).items()}
        for key in MARKS:
            for name, file in _beside(path, key).items():
                self.scenes.get(name, {})[key] = file
        self.names = list(self.scenes)
        sharp = sum("sharp" in paths for paths in self.scenes.values())
        self.found = f"{len(self)} pairs, {sharp} of them with a sharp picture, in {path}"

    @staticmethod
    def splits(root: Path) -> list[str]:
        """[""] if `root` has folders such as left and right, or files marked as views; otherwise []."""
        is_one = has_parallel_folders(root) or any(side for _, side in mark_files(list_views(root)).values())
        return [""] if is_one else []

    @property
    def files(self) -> list[Path]:
        """All of its pictures and maps, pair by pair."""
        blurs = {name: self.root / "blur" / f"{name}.npy" for name in self.names}
        more = {name: [blur] if blur.is_file() else [] for name, blur in blurs.items()}
        return [path for name in self.names for path in (*self.scenes[name].values(), *more[name])]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return self.read_sample(index)

    def read_sample(self, index: int, names: Collection[str] | None = None, read: Reader = read_picture) -> Sample:
        """See `pairs.sample.read_sample`; `names` may also hold `blur_px`, which needs `left`."""
        name = self.names[index]
        sample = read_sample(name, self.scenes[name], names, read)
        blur = self.root / "blur" / f"{name}.npy"
        if not blur.is_file() or (names is not None and "blur_px" not in names):
            return sample
        return {**sample, "blur_px": _read_blur(blur, sample["left"])}


def _read_blur(path: Path, like: Tensor) -> Tensor:
    """The blur map in a NumPy file as float32, 1 x H x W, of the size of `like`, C x H x W."""
    try:
        blur_px = read_npy(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a blur map: it is damaged or not a NumPy array.") from error
    good = getattr(blur_px, "shape", None) == like.shape[1:] and blur_px.dtype.kind in "fiu"
    if not good or not np.isfinite(blur_px).all():
        height, width = like.shape[1:]
        raise DataError(f"{path} is not a blur map: it must hold {height} x {width} finite numbers, in pixels.")
    return torch.from_numpy(blur_px.astype(np.float32))[None]


def _beside(root: Path, key: str) -> dict[str, Path]:
    """The files of a picture other than the views, by the name of their pair."""
    mark = MARKS[key]
    marked = {path.stem.removesuffix(mark): path for path in list_views(root) if path.stem.endswith(mark)}
    own = list_views(root / key) if (root / key).is_dir() else []
    return marked | {path.stem.removesuffix(mark): path for path in own}

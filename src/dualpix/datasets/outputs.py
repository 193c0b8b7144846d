"""Results of a deblurring program, this one or any other, found by the names of the samples."""

from pathlib import Path

from torch import Tensor

from dualpix.errors import PictureError
from dualpix.io import read_picture
from dualpix.pairs.sample import Sample, check_folder, in_folder, list_views


class PicturesIn:
    """A folder of results as a method: gives the picture in the file of a sample's name.

    `<name>.png` (or another ending) comes first, otherwise the only `<name>_*`, as in `<name>_mymethod.png`.

    Args:
        folder: The folder of results.

    Attributes:
        notes: What was changed on reading a sample's picture or looks odd about it, by the sample's name.

    Raises:
        DataError: There is no such folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = check_folder(folder)
        self.files = list_views(self.folder)
        self.notes: dict[str, tuple[str, ...]] = {}
        self._taken: dict[str, Path] = {}

    def __call__(self, sample: Sample) -> Tensor:
        """Read the result of a sample, 3 x H x W in [0, 1].

        Raises:
            PictureError: No file, or more than one, fits; or it is grey and the sample in colour.
        """
        name = sample["name"]
        self._taken[name] = self.find(name)
        picture = read_picture(self._taken[name])
        if picture.grey and not _is_grey(sample):
            raise PictureError(f"{self._taken[name]} is grey, but {name} is in colour; save the result in colour.")
        self.notes[name] = tuple(in_folder(picture.notes, self._taken[name], self.folder.name))
        return picture.pixels

    def find(self, name: str) -> Path:
        """The result's file for the sample called `name`. Raises PictureError if there is none, or more than one."""
        exact = [path for path in self.files if path.stem == name]
        found = exact or [path for path in self.files if path.stem.startswith(f"{name}_")]
        if len(found) == 1:
            return found[0]
        if not found:
            raise PictureError(f"{self.folder} holds no picture called {name} or {name}_*.")
        listed = ", ".join(path.name for path in found[:4])
        raise PictureError(f"{self.folder} holds {len(found)} pictures for {name} ({listed}); leave one.")

    def taken_twice(self) -> dict[str, str]:
        """Names of samples that were given the file of another sample, with a sentence each.

        `a_1.png` fits the sample `a`, but is not meant for it if there is a sample `a_1`, which becomes clear only at
        the end.
        """
        owners = {path: name for name, path in self._taken.items() if path.stem == name}
        return {
            name: f"{self.folder} holds no picture called {name} ({path.name} is that of {owners[path]})."
            for name, path in self._taken.items()
            if owners.get(path, name) != name
        }


def _is_grey(sample: Sample) -> bool:
    like: Tensor = sample["sharp"] if "sharp" in sample else sample["left"]
    return bool((like == like[:1]).all())

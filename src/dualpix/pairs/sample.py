"""Samples, the items of every data set; and how a folder of pictures is listed and read as one.

Example:
    >>> import torch
    >>> sample = {"left": torch.rand(3, 32, 48), "right": torch.rand(3, 32, 48), "name": "garden"}
    >>> sample["center"] = mean_view(sample["left"], sample["right"])
    >>> sorted(sample), sample["center"].shape
    (['center', 'left', 'name', 'right'], torch.Size([3, 32, 48]))
"""

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from torch import Tensor

from dualpix.errors import DataError, PairError
from dualpix.io import read_picture
from dualpix.io.endings import is_picture, unreadable_kind
from dualpix.pairs.names import split_name

Sample: TypeAlias = dict[str, Any]
"""Named pictures, float32 RGB 3 x H x W in [0, 1], display-encoded: `left`, `right`, `center`, and `sharp` where it is
known; plus `name` (str). It may also have maps of the scene, C x H x W, such as `blur_px`, and `notes`, one sentence
each on what was changed on reading or looks odd."""


class Samples(Protocol):
    """A data set: a sequence of samples, each read from disk when it is asked for.

    Attributes:
        found: What the data set consists of, in words.
    """

    found: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


def mean_view(left: Tensor, right: Tensor) -> Tensor:
    """The mean of the two views, as the centre view of a set that has none.

    The mean is taken of display-encoded values. A camera adds the light of both views before it encodes the sum, so its
    own centre view differs a little where the views differ.

    Args:
        left: Left view, C x H x W.
        right: Right view, C x H x W.
    """
    return (left + right) / 2


def list_pictures(folder: Path) -> list[Path]:
    """The picture files directly inside `folder`, sorted by name without the mark of a view; hidden files are left out.

    The mark is removed before sorting, since `a_L` sorts after `a1_L`, but `a` before `a1`.
    """
    files = (path for path in folder.iterdir() if not path.name.startswith(".") and is_picture(path))
    return sorted(files, key=lambda path: (bare_name(path), path.name))


def list_views(folder: Path) -> list[Path]:
    """The picture files of a folder of views, as `list_pictures` does, and those of formats that cannot be read.

    So that whoever reads the latter says so: a pair that is passed over in silence is missed by nobody. One beside a
    file of the same name that can be read is left out.
    """
    pictures = list_pictures(folder)
    stems = {path.stem for path in pictures}
    others = [path for path in folder.iterdir() if path.stem not in stems and not path.name.startswith(".")]
    unreadable = [path for path in others if path.is_file() and unreadable_kind(path)]
    return sorted([*pictures, *unreadable], key=lambda path: (bare_name(path), path.name))


def bare_name(path: Path) -> str:
    """The file's name without its extension and without the mark of a view, such as `_L`."""
    return split_name(path)[0]


class ReadPicture(Protocol):
    """What `read_sample` looks at in a picture; its `notes` too, where it has some."""

    @property
    def pixels(self) -> Tensor:
        """3 x H x W."""
        ...

    @property
    def grey(self) -> bool:
        """Whether its three planes are one."""
        ...


Reader: TypeAlias = Callable[[Path], ReadPicture]
"""What reads one picture file."""


def read_sample(
    name: str, paths: dict[str, Path], names: Collection[str] | None = None, read: Reader = read_picture
) -> Sample:
    """Read the pictures of one scene.

    Args:
        name: Of the scene, for error messages and for the sample.
        paths: The files of `left` and `right` and, if there are any, of `center` and `sharp`.
        names: Of the pictures to be read. By default all are, and a missing centre view becomes the mean of the views.
        read: What reads a file.

    Raises:
        PictureError: A file cannot be read.
        PairError: The pictures differ in size, or some are grey and others in colour.
    """
    pictures_read = {key: read(path) for key, path in paths.items() if names is None or key in names}
    if grey := [str(paths[key]) for key, picture in pictures_read.items() if picture.grey]:
        coloured = [str(paths[key]) for key, picture in pictures_read.items() if not picture.grey]
        if coloured:
            raise PairError(
                f"The pictures of {name!r} must all be grey or all in colour, but {' and '.join(grey)} has one channel"
                f" and {' and '.join(coloured)} three; save them alike."
            )
    pictures = {key: picture.pixels for key, picture in pictures_read.items()}
    if len({picture.shape for picture in pictures.values()}) > 1:
        sizes = ", ".join(f"{paths[key]} is {p.shape[-1]} x {p.shape[-2]}" for key, p in pictures.items())
        raise PairError(f"The pictures of {name!r} must all have the same size, but {sizes} (width x height).")
    if names is None and "center" not in pictures:
        pictures["center"] = mean_view(pictures["left"], pictures["right"])
    notes: list[str] = []
    for key, picture in pictures_read.items():
        apart = sum(paths[key].name == paths[other].name for other in pictures_read) == 1
        notes += in_folder(getattr(picture, "notes", ()), paths[key], "" if apart else paths[key].parent.name)
    return {**pictures, "name": name} | ({"notes": notes} if notes else {})


def in_folder(notes: Iterable[str], path: Path, folder: str) -> list[str]:
    """Notes on a file, which begin with its name, with the name of its folder before that, if there is one."""
    return [f"{folder}/{note}" if folder and note.startswith(path.name) else note for note in notes]


def check_sample(sample: Any) -> Sample:
    """`sample` itself, if it is one. Raises `DataError` for what are no pictures, and for a name that names no file."""
    if not isinstance(sample, dict):
        raise DataError(f"A thing of type {type(sample).__name__} is no sample; give a dict of named pictures.")
    name = sample.get("name")
    if not isinstance(name, str) or not name or {"\0", "/", os.sep} & set(name):
        raise DataError(f"A sample cannot be called {name!r}, for its name names files; give text without {os.sep!r}.")
    for key in ("left", "right", "center", "sharp"):
        picture = sample.get(key)
        if picture is None and key in ("center", "sharp"):
            continue
        if not isinstance(picture, Tensor) or not picture.is_floating_point() or picture.ndim != 3 or len(picture) != 3:
            what = f"of shape {tuple(picture.shape)}" if isinstance(picture, Tensor) else type(picture).__name__
            raise DataError(f"{key} of {name!r} is no picture ({what}); give a tensor of floats, 3 x H x W in [0, 1].")
        if picture.shape != sample["left"].shape:
            sizes = [f"{one.shape[2]} x {one.shape[1]}" for one in (picture, sample["left"])]
            raise DataError(f"{key} of {name!r} is {sizes[0]}, but left {sizes[1]} (width x height); give them alike.")
    truth = sample.get("sharp")
    if truth is not None and (float(truth.min()) < 0 or float(truth.max()) > 1):  # NaN is refused where it is scored
        raise DataError(f"sharp of {name!r} leaves [0, 1], in which pictures are compared; scale it.")
    return sample


def in_few_words(notes: Mapping[str, Iterable[str]]) -> list[str]:
    """Notes on many samples in few lines.

    Args:
        notes: By the name of a sample, sentences in which it may stand.

    Returns:
        Of sentences that differ in the name alone the first, and how many others there are.

    Example:
        >>> in_few_words({"a": ["a_L.png is grey."], "b": ["b_L.png is grey.", "It is dark."]})
        ['a_L.png is grey. (The same of 1 more.)', 'It is dark.']
    """
    alike: dict[str, list[str]] = {}
    for name, sentences in notes.items():
        whole_word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")
        for sentence in sentences:
            alike.setdefault(whole_word.sub("", sentence), []).append(sentence)
    return [f"{first} (The same of {len(more)} more.)" if more else first for first, *more in alike.values()]


def check_folder(root: str | Path) -> Path:
    """`root` as a path. Raises `DataError` if it is not a folder."""
    path = Path(root)
    if not path.is_dir():
        state = "is a file" if path.exists() else "does not exist"
        raise DataError(f"{path} {state}; give the folder that holds the data set.")
    return path

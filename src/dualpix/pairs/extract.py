"""Extract the two views of a photograph from the one file that holds both."""

import os
from dataclasses import dataclass
from pathlib import Path

from dualpix.errors import PictureError
from dualpix.io import check_output
from dualpix.io.formats import OUTPUTS
from dualpix.io.writing import make_folder, write_pictures
from dualpix.machine.modes import settled
from dualpix.pairs import name_of, open_views


@dataclass(frozen=True)
class Extracted:
    """What `extract` wrote.

    Attributes:
        left: The file of the left view.
        right: The file of the right view.
        size: Width and height of each view in pixels.
        notes: What was done to obtain the views, one sentence each.
    """

    left: Path
    right: Path
    size: tuple[int, int]
    notes: tuple[str, ...]


@settled()
def extract(
    file: str | Path,
    left: str | Path,
    right: str | Path | None = None,
    *,
    layout: str | None = None,
    swap: bool = False,
    turn: str = "auto",
    overwrite: bool = False,
    recover_highlights: bool = False,
) -> Extracted:
    """Write the two views in one file as two pictures.

    They are written as `dualpix deblur` takes them, with disparity along rows, at the bit depth of the file. Either
    both files are written or none.

    Args:
        file: A file that holds both views: camera raw, NPZ, a multi-picture file ...
        left: The file for the left view; or, without `right`, a folder for NAME_L.tif and NAME_R.tif.
        right: The file for the right view.
        layout: As in `open_views`.
        swap: As in `open_views`.
        turn: As in `open_views`.
        overwrite: Whether existing files may be replaced.
        recover_highlights: As in `open_views`.

    Raises:
        PictureError: The file cannot be read, or the views cannot be written.
        PairError: The file does not hold two views.
    """
    if right is None:
        folder = _made(Path(left))
        left, right = (folder / f"{name_of(file)}_{side}.tif" for side in "LR")
    if os.path.realpath(left) == os.path.realpath(right):
        raise PictureError(f"{left} was named for both views; give two different names.")
    outputs = Path(left), Path(right)
    for path in outputs:
        check_output(path, overwrite, [file])
    views = open_views(file, layout=layout, swap=swap, turn=turn, recover_highlights=recover_highlights)
    for path in outputs:
        check_output(path, overwrite, [file], views["metadata"], views["grey"])
    both = views["left"], views["right"]
    lost = write_pictures(outputs, both, views["depth"], overwrite, views["metadata"], views["grey"])
    notes = [*views["notes"], *lost]
    height, width = views["left"].shape[1:]
    return Extracted(*outputs, size=(width, height), notes=tuple(dict.fromkeys(notes)))


def _made(folder: Path) -> Path:
    wanted = "give a folder, or the names of both files"
    if folder.is_file():
        raise PictureError(f"{folder} is a file; {wanted}.")
    if not folder.is_dir() and folder.suffix.lower() in OUTPUTS:
        raise PictureError(f"{folder} looks like a file; {wanted}.")
    return make_folder(folder)

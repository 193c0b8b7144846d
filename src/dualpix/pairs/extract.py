"""Take the two views of a photograph out of the one file that holds both."""

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
    """The files of the two views; `size`, width and height; `notes`: what was done to get them, one sentence each."""

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
    """Write the views in `file` to `left` and `right`, or as NAME_L.tif and NAME_R.tif into the folder `left`.

    `layout`, `swap`, `turn` and `recover_highlights` as in `open_views`. They lie as `dualpix deblur` wants them, with
    disparity along rows, at the depth of the file. Raises PictureError or PairError, as reading does, and PictureError
    if the files cannot be written; both are there afterwards, or none.
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

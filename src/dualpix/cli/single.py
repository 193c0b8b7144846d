"""One pair, from its files to the picture's: what `dualpix deblur` and `dualpix refocus` share."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from dualpix.cli.options import Place
from dualpix.cli.telling import Status, say
from dualpix.errors import PictureError
from dualpix.machine.urls import Location, Url, as_location

if TYPE_CHECKING:
    from dualpix.inference.deblur import Deblurred
    from dualpix.inference.options import DeblurOptions
    from dualpix.inference.pipeline import Inherited
    from dualpix.pairs import Views
    from dualpix.weights.checkpoint import Checkpoint

LeftView = Annotated[
    Place,
    typer.Argument(
        metavar="LEFT",
        parser=as_location,
        help="The left view, or a file that holds both.",
    ),
]
RightView = Annotated[
    Place | None,
    typer.Argument(metavar="RIGHT", parser=as_location, help="The right view, or the folder of all."),
]
Output = Annotated[
    str,  # a path would lose the slash at its end
    typer.Option(
        "--output", "-o", metavar="OUT", help="The picture, in the format of LEFT if it has no ending; or a folder."
    ),
]
Depth = Annotated[int | None, typer.Option(metavar="BITS", help="8 or 16; without it, that of the views.")]
StripMetadata = Annotated[bool, typer.Option("--strip-metadata", help="Write neither colour profile nor EXIF nor XMP.")]


def check_output_and_depth(output: str, depth: int | None) -> None:
    """Refuse, before anything is loaded, what no picture can be written to or in."""
    if depth not in (None, 8, 16):
        raise typer.BadParameter("choose 8 or 16", param_hint="--depth")
    if output == "-":
        raise PictureError("A picture cannot be written to standard output; name a file or a folder after -o.")


def read(
    path: Location,
    left: Location,
    right: Location | None,
    opened: "Checkpoint",
    options: "DeblurOptions",
    overwrite: bool,
) -> tuple["Views", "Inherited"]:
    """The pair, and what the picture at `path` inherits from it."""
    from dualpix.inference.pipeline import load_pair
    from dualpix.io.writing import refuse_existing

    if isinstance(path, Url) and not overwrite:
        refuse_existing(path)
    with Status() as status:
        status.tell("reading")
        return load_pair(path, left, right, opened, options, overwrite=overwrite)


def make(
    path: Location,
    pair: "Views",
    inherited: "Inherited",
    opened: "Checkpoint",
    options: "DeblurOptions",
    overwrite: bool,
) -> tuple["Deblurred", str]:
    """Compute and write the picture, and say what there is to note; what was made, and its size and time in words."""
    from dualpix.inference.pipeline import deblur_views, save_result, size_in_file
    from dualpix.pairs.verdict import UNSURE

    start = time.perf_counter()
    with Status() as status:
        height, width = pair["left"].shape[1:]
        status.tell(f"computing {width} x {height} pixels")
        done = deblur_views(pair, opened, options, status.count)
        status.tell("writing")
        lost = save_result(path, done.picture, inherited, overwrite=overwrite)
    for note in (*done.warnings, *lost):
        say(f"Note: {note}")
    say(str(done.report))
    if done.verdict in UNSURE:
        say(f"Note: Of this pair `dualpix inspect` says: {done.verdict}.")
    width, height = size_in_file(path, done.picture, inherited)
    return done, f"{path}: {width} x {height} pixels, {time.perf_counter() - start:.1f} s"

"""`dualpix extract`: the two views, out of one file."""

from pathlib import Path
from typing import Annotated

import typer

from dualpix.cli.options import Layout, Overwrite, Swap, Turn
from dualpix.cli.telling import say


def extract(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that holds both views.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR | LEFT RIGHT", help="A folder, or the two files to write.")
    ],
    right: Annotated[Path | None, typer.Argument(metavar="RIGHT", help="With -o LEFT: the other file.")] = None,
    layout: Layout = None,
    swap: Swap = False,
    turn: Turn = "auto",
    overwrite: Overwrite = False,
    recover_highlights: Annotated[
        bool,
        typer.Option(
            "--recover-highlights", help="Of a raw file: one stop more of highlights, the views one stop darker."
        ),
    ] = False,
) -> None:
    """Take the two views out of one file.

    Reads Canon Dual Pixel RAW (CR2, CR3) and DNG with two samples, which needs `pip install -e '.[raw]'`; the files
    of Google's app for Pixel phones (NAME_left.pgm beside NAME_right.pgm); NumPy's .npz with the arrays left and right;
    and, with --layout, one picture with both views. Into DIR it writes NAME_L.tif and NAME_R.tif.

    \b
    Examples:
      dualpix extract photo.CR3 -o views
      dualpix extract photo.CR3 -o views --recover-highlights
      dualpix extract both.png --layout side-by-side -o left.png right.png
    """
    from dualpix.pairs.extract import extract as run

    done = run(
        file,
        output,
        right,
        layout=layout,
        swap=swap,
        turn=turn,
        overwrite=overwrite,
        recover_highlights=recover_highlights,
    )
    for note in done.notes:
        say(f"Note: {note}")
    typer.echo(f"{done.left} and {done.right}: {done.size[0]} x {done.size[1]} pixels each")

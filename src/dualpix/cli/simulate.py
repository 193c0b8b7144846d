"""`dualpix simulate`: pairs with ground truth."""

from pathlib import Path
from typing import Annotated

import typer

from dualpix.cli.options import Overwrite
from dualpix.cli.telling import counter, say


def simulate(
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTOS", help="Folders of photographs; one picture with --depth-map."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the pairs go.")],
    count: Annotated[int, typer.Option(metavar="N", help="How many pairs.")] = 8,
    size: Annotated[int, typer.Option(metavar="PX", help="Their width and height.")] = 256,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same pairs.")] = 0,
    depth_map: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Depth of the one picture: .npy in metres, or PNG in mm.")
    ] = None,
    camera: Annotated[str, typer.Option(metavar="NAME", help="With --depth-map: the camera.")] = "5d-mark-iv-50mm-f4",
    focus: Annotated[
        float | None, typer.Option(metavar="M", help="With --depth-map: focus at this distance in metres.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make dual-pixel pairs with ground truth.

    Random scenes out of any photographs, or the scene of one photograph whose depth is known. The folders left, right,
    center, sharp and blur in FOLDER are what train and evaluate read.

    \b
    Examples:
      dualpix simulate photos -o pairs --count 4
      dualpix simulate room.png --depth-map room.npy --focus 1.5 -o pairs
    """
    from dualpix.simulation.simulate import simulate as run
    from dualpix.simulation.simulate import simulate_photo

    if depth_map is None:
        done = run(photos, output, count, size, seed, overwrite=overwrite, progress=counter("pair"))
    elif len(photos) == 1:
        done = simulate_photo(photos[0], depth_map, output, camera=camera, focus_m=focus, overwrite=overwrite)
    else:
        raise typer.BadParameter("a depth map belongs to one picture", param_hint="--depth-map")
    for note in done.notes:
        say(f"Note: {note}")
    there = len(done.names) - done.made
    typer.echo(f"{done.folder}: {done.made} pairs made" + (f", {there} were there already" if there else ""))

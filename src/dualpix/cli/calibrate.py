"""`dualpix calibrate`: a camera, from its pairs."""

from pathlib import Path
from typing import Annotated

import typer

from dualpix.cli.options import Anyway, Force, Overwrite, Turn
from dualpix.cli.telling import counter, say
from dualpix.errors import DataError


def calibrate(
    left: Annotated[Path, typer.Argument(metavar="LEFT", help="The left view, or a folder of left views.")],
    right: Annotated[Path, typer.Argument(metavar="RIGHT", help="The right view, or a folder of right views.")],
    sharp: Annotated[
        Path | None, typer.Argument(metavar="SHARP", help="The same scene in focus, or a folder of such pictures.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write all numbers of all pairs (CSV).")
    ] = None,
    overwrite: Overwrite = False,
    turn: Turn = "auto",
    force: Force = False,
    anyway: Anyway = False,
) -> None:
    """Measure a camera on real pairs: disparity per blur, kernels, shading, noise, coding, tone.

    Each number comes with its 10th and 90th percentile and the number of measurements. Without SHARP some are missing.

    \b
    Examples:
      dualpix calibrate left.png right.png sharp.png
      dualpix calibrate test_l/source test_r/source test_c/target -o camera.csv
    """
    from dualpix.calibration.calibrate import calibrate as run
    from dualpix.machine.files import legible, write_whole

    if output is not None and output.exists() and not overwrite:
        raise DataError(f"{output} exists already; choose another file, or give --overwrite.")
    done = run(left, right, sharp, force=force or anyway, turn=turn, progress=counter("pair"))
    if output is not None:
        write_whole(output, legible(done.csv()).encode())
    typer.echo(f"{'quantity':46} {'value':>9} {'10 %':>9} {'90 %':>9} {'from':>7}")
    for name, number in done.together.items():
        ends = ("" if end is None else f"{end:.3g}" for end in (number.low, number.high))
        low, high = ends
        typer.echo(f"{name:46} {number.value:9.3g} {low:>9} {high:>9} {number.count:7}")
    for sentence in (*done.notes, *done.missing):
        say(f"Note: {sentence}")

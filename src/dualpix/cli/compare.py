"""`dualpix compare`: training runs beside each other."""

from pathlib import Path
from typing import Annotated

import typer

from dualpix.cli.telling import say


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that `dualpix train` has written.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Where the table and the curves go: runs.md, curves.png."
        ),
    ] = None,
) -> None:
    """Compare training runs, finished or going on.

    Prints a table of steps, hours, loss, scores, version and data, and the fields in which the recipes differ.

    \b
    Examples:
      dualpix compare run-1 run-2
      dualpix compare run-* -o comparison
    """
    from dualpix.training.compare import compare as put_together

    found = put_together(runs)
    if output is not None and len(found.save(output)) == 1:  # first, for what is printed may not be taken
        say(f"Note: {found.undrawn}")
    typer.echo(found.table, nl=False)

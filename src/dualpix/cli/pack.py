"""`dualpix pack`: photographs in one small file."""

import math
from pathlib import Path
from typing import Annotated

import typer

from dualpix.cli.options import Overwrite
from dualpix.cli.telling import counter, say


def pack(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTOS", help="Folders of photographs.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PACK", help="The file to write.")],
    licence: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER=TEXT", help="The licence of a folder's photographs; repeatable."),
    ] = None,
    megabytes: Annotated[float, typer.Option(min=0.001, metavar="MB", help="How large it may become.")] = 28.0,
    overwrite: Overwrite = False,
) -> None:
    """Put the sharp photographs of some folders into one small file.

    They are reduced until neither their coding nor their blur shows, and those that stay blurred are left out. Every
    command takes the file in place of a folder of photographs.

    \b
    Examples:
      dualpix pack photos -o photos.pack
      dualpix pack cid22 kodak --licence 'cid22=CC BY-SA 4.0' -o photos.pack
    """
    from dualpix.simulation.pack import UNKNOWN, read_list
    from dualpix.simulation.pack import pack as run

    given = [text.partition("=") for text in licence or ()]
    for folder, equals, _ in given:
        if not equals:
            raise typer.BadParameter(f"{folder!r} names no licence; write FOLDER=TEXT", param_hint="--licence")
    if not megabytes < math.inf:
        raise typer.BadParameter("give a number of megabytes, such as 28", param_hint="--megabytes")
    licences = {folder: text for folder, _, text in given}
    done = run(
        photos,
        output,
        licences=licences,
        most_bytes=int(megabytes * 1e6),
        overwrite=overwrite,
        progress=counter("photograph"),
    )
    if any(one["licence"] == UNKNOWN for one in read_list(done.file)):
        say("Note: The licence of some photographs is not stated in the pack; --licence FOLDER=TEXT states it.")
    for note in done.notes:
        say(f"Note: {note}")
    for name, why in list(done.dropped.items())[:5]:
        say(f"Left out: {name}, for {why}")
    left = f", {len(done.dropped)} left out" if done.dropped else ""
    typer.echo(f"{done.file}: {len(done.kept)} photographs{left}, {done.size_bytes / 1e6:.1f} MB")

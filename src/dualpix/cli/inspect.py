"""`dualpix inspect`: whether two views are a pair."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dualpix.cli.options import Layout, Overwrite, Swap, Turn
from dualpix.cli.telling import say


def inspect(
    left: Annotated[Path, typer.Argument(metavar="LEFT", help="The left view, or a file that holds both.")],
    right: Annotated[Path | None, typer.Argument(metavar="RIGHT", help="The right view.")] = None,
    layout: Layout = None,
    swap: Swap = False,
    turn: Turn = "auto",
    picture: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Draw the disparity: red behind the focus, blue in front.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Is this a dual-pixel pair? Measure, and say so in words.

    \b
    Examples:
      dualpix inspect left.png right.png --picture disparity.png
      dualpix inspect photo.CR3 --json
    """
    from dualpix.inference.scales import HOME_PX, choose
    from dualpix.pairs import restore_orientation
    from dualpix.pairs.inspect import inspect as run
    from dualpix.pairs.inspect import profile_of, scale_px

    done = run(left, right, layout=layout, swap=swap, turn=turn, picture=picture, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(done.as_json(), indent=2))
        return
    views, found = done.views, done.found
    height, width = restore_orientation(views["left"][:1], views).shape[1:]
    channels = ", grey" if views["grey"] else ""
    typer.echo(f"{'size':16} {width} x {height} pixels, {views['depth']} bits{channels}")
    typer.echo(f"{'profile':16} {profile_of(views)}")
    typer.echo(f"{'brightness':16} right is {found.brightness_ratio:.3f} times left")
    for name, spread in (("along rows", found.across), ("along columns", found.down)):
        if spread is not None:
            words = f"{spread.low_px:+.1f} to {spread.high_px:+.1f}, median {spread.middle_px:+.1f}"
            typer.echo(f"{name:16} {words} pixels")
    blocks = f"{found.matches.found} of {found.matches.textured} blocks with detail found in the other view"
    typer.echo(f"{'matched':16} {blocks}; {found.behind} behind the focus, {found.in_front} in front")
    steps = choose(found.matches, (height, width))
    if len(steps) > 1:
        others = " and ".join(f"1/{step}" for step in steps[:-1])
        why = f"up to {found.matches.widest_px:.0f} pixels apart, wider than networks undo at full size"
        if found.matches.widest_px <= HOME_PX:
            why = "a large picture, finer than networks know"
        typer.echo(f"{'scale':16} {why}; deblur joins it with {others} of the size")
    if picture is not None:
        typer.echo(f"{'picture':16} {picture}, full colour at {scale_px(found):.1f} pixels")
    typer.echo(f"{'verdict':16} {found.verdict}")
    for sentence in (*views["notes"], *found.odd.values()):
        say(f"Note: {sentence}")

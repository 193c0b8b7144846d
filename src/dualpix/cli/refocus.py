"""`dualpix refocus`: a pair, or a folder of pairs, with another plane in focus and another aperture."""

from typing import Annotated

import typer

from dualpix import __version__
from dualpix.cli import single
from dualpix.cli.folders import (
    AllowOutside,
    DryRun,
    Exclude,
    Format,
    Include,
    Many,
    Part,
    ReportFile,
    Resume,
    deblur_many,
)
from dualpix.cli.maps import Sweep, write_maps
from dualpix.cli.optics import rho_of
from dualpix.cli.options import (
    Device,
    Engine,
    Force,
    Layout,
    Memory,
    Mirror,
    NoGuard,
    OnlyBlurred,
    Overwrite,
    Precision,
    Scale,
    Swap,
    Turn,
    Weights,
)
from dualpix.cli.single import Depth, LeftView, Output, RightView, StripMetadata
from dualpix.machine.urls import as_location


def refocus(
    left: LeftView,
    output: Output,
    right: RightView = None,
    focus: Annotated[
        float | None,
        typer.Option(metavar="PX", help="Disparity of what is to be in focus: 0 what was, above behind, below before."),
    ] = None,
    focus_at: Annotated[
        str | None, typer.Option("--focus-at", metavar="X,Y", help="Focus on what is seen at this point instead.")
    ] = None,
    aperture: Annotated[
        float, typer.Option(metavar="FACTOR", help="Against the camera's: 0 all sharp, 1 as it was, up to 8.")
    ] = 1.0,
    rho: Annotated[
        str | None,
        typer.Option(metavar="NUMBER|FILE", help="Disparity per radius of blur, or what calibrate -o wrote."),
    ] = None,
    highlights: Annotated[
        float,
        typer.Option(metavar="FACTOR", help="How many times as bright small clipped lights were; 1: as they are."),
    ] = 2.0,
    blades: Annotated[int, typer.Option(metavar="N", help="Of the aperture, 5 to 12; 0: round.")] = 0,
    sweep: Sweep = None,
    layout: Layout = None,
    swap: Swap = False,
    turn: Turn = "auto",
    weights: Weights = None,
    overwrite: Overwrite = False,
    memory: Memory = None,
    precision: Precision = "auto",
    device: Device = "auto",
    engine: Engine = "auto",
    mirror: Mirror = False,
    scale: Scale = "auto",
    depth: Depth = None,
    strip_metadata: StripMetadata = False,
    force: Force = False,
    dry_run: DryRun = False,
    include: Include = None,
    exclude: Exclude = None,
    resume: Resume = False,
    report: ReportFile = None,
    shard: Part = None,
    suffix: Format = None,
    allow_outside: AllowOutside = False,
    no_guard: NoGuard = False,
    only_blurred: OnlyBlurred = False,
) -> None:
    """Focus a pair anew: another plane in focus, another aperture.

    The pair is deblurred, and blurred again by its disparity, as a lens would. LEFT may also be a folder of pairs, a
    pattern or a list, as for `dualpix deblur`; OUT is then a folder.

    \b
    Examples:
      dualpix refocus left.png right.png -o out.tif --focus-at 800,450
      dualpix refocus left.png right.png -o out.tif --aperture 2 --sweep sweep.webp
    """
    single.check_output_and_depth(output, depth)
    many = Many(dry_run, include, exclude, resume, report, shard, allow_outside)
    is_many = many.check(left, right, suffix)
    if focus is not None and focus_at is not None:
        raise typer.BadParameter(
            "--focus and --focus-at each ask for one plane; give one of them", param_hint="--focus"
        )
    from dualpix.inference.focus import Refocus, parse_point
    from dualpix.inference.maps import Maps, find_maps
    from dualpix.inference.options import DeblurOptions

    options = DeblurOptions(
        memory=memory,
        precision=precision,
        device=device,
        engine=engine,
        mirror=mirror,
        scale=scale,
        depth=depth,
        strip_metadata=strip_metadata,
        force=force,
        layout=layout,
        swap=swap,
        turn=turn,
        software=f"dualpix {__version__}",
        guard=not no_guard,
        only_blurred=only_blurred,
        refocus=Refocus(
            focus_px=focus or 0.0,
            focus_at=None if focus_at is None else parse_point(focus_at),
            aperture=aperture,
            rho=None if rho is None else rho_of(rho)[0],
            highlights=highlights,
            blades=blades,
        ),
    )
    maps = Maps(sweep=sweep)
    maps.check_options(options)
    from dualpix.inference.disparity import finder_of
    from dualpix.inference.pipeline import name_output
    from dualpix.pairs import usual_suffix
    from dualpix.weights import checkpoint

    opened = checkpoint.load(weights or checkpoint.DEFAULT_WEIGHTS)
    finder_of(opened)
    if is_many:
        deblur_many(left, right, as_location(output), weights, options, many, overwrite, suffix, maps)
        return
    path = name_output(output, left, right, usual_suffix(left, layout))
    maps.check_files([file for file in (left, right) if file is not None], overwrite, path)
    pair, inherited = single.read(path, left, right, opened, options, overwrite)
    done, made = single.make(path, pair, inherited, opened, options, overwrite)
    assert done.scene is not None and options.refocus is not None
    where = f"in focus at {done.scene.focus_px(options.refocus):.1f} px" if aperture else "sharp everywhere"
    typer.echo(f"{made}, {where} ({done.plan})")
    write_maps(maps, find_maps(maps, pair, opened, options, done=done), inherited.metadata, overwrite)

"""`dualpix disparity`: the maps of a pair, or of a folder of pairs, without deblurring."""

from typing import Annotated

import typer

from dualpix.cli.folders import (
    AllowOutside,
    DryRun,
    Exclude,
    Include,
    Many,
    Part,
    ReportFile,
    Resume,
    deblur_many,
)
from dualpix.cli.maps import ConfidenceFile, DepthMaskFile, MetresFile, write_maps
from dualpix.cli.optics import (
    FNumber,
    FocalLength,
    FocusDistance,
    GivenOptics,
    PixelPitch,
    Rho,
    RhoFall,
    SensorWidth,
)
from dualpix.cli.options import Device, Layout, Memory, Overwrite, Place, Swap, Turn, Weights
from dualpix.cli.single import LeftView, RightView
from dualpix.cli.telling import Status, say
from dualpix.machine.urls import as_location


def disparity(
    left: LeftView,
    right: RightView = None,
    output: Annotated[
        Place | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            parser=as_location,
            help="The disparity, 16-bit PNG or TIFF: 32768 + 512 x pixels; or a folder.",
        ),
    ] = None,
    picture: Annotated[
        Place | None,
        typer.Option(
            metavar="OUT", parser=as_location, help="Paint it: red behind the focus, blue in front, dark unsure."
        ),
    ] = None,
    confidence: ConfidenceFile = None,
    depth_mask: DepthMaskFile = None,
    metres: MetresFile = None,
    focus_distance: FocusDistance = None,
    f_number: FNumber = None,
    focal_length: FocalLength = None,
    pixel_pitch: PixelPitch = None,
    sensor_width: SensorWidth = None,
    rho: Rho = None,
    rho_fall: RhoFall = None,
    layout: Layout = None,
    swap: Swap = False,
    turn: Turn = "auto",
    weights: Weights = None,
    memory: Memory = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    include: Include = None,
    exclude: Exclude = None,
    resume: Resume = False,
    report: ReportFile = None,
    shard: Part = None,
    allow_outside: AllowOutside = False,
) -> None:
    """Find the disparity of a pair, without deblurring it, and the depth in metres where the optics are known.

    LEFT may also be a folder of pairs, a pattern or a list, as for `dualpix deblur`; what is written is then a folder
    of each kind of map.

    \b
    Examples:
      dualpix disparity left.png right.png -o disparity.tif --picture disparity.png
      dualpix disparity left.jpg right.jpg --metres depth.tif
      dualpix disparity left.png right.png --metres depth.tif --focus-distance 2.1 --f-number 1.8
        --focal-length 50 --sensor-width 36
      dualpix disparity pairs -o maps --picture coloured
    """
    given = GivenOptics(focus_distance, f_number, focal_length, pixel_pitch, sensor_width, rho, rho_fall)
    given.check(metres)
    if not any((output, picture, confidence, depth_mask, metres)):
        raise typer.BadParameter("name a file to write after -o, --picture, --confidence, --depth-mask or --metres")
    many = Many(dry_run, include, exclude, resume, report, shard, allow_outside)
    is_many = many.check(left, right, None)
    from dualpix import __version__
    from dualpix.inference.maps import Maps, find_maps
    from dualpix.inference.options import DeblurOptions
    from dualpix.inference.pipeline import output_profile
    from dualpix.pairs import open_views
    from dualpix.weights import checkpoint

    options = DeblurOptions(
        memory=memory, device=device, layout=layout, swap=swap, turn=turn, software=f"dualpix {__version__}"
    )
    maps = Maps(
        disparity=output,
        disparity_picture=picture,
        confidence=confidence,
        depth_mask=depth_mask,
        metres=metres,
        optics=given.known(),
    )
    maps.check_options(options)
    if is_many:
        deblur_many(left, right, None, weights, options, many, overwrite, maps=maps)
        return
    opened = checkpoint.load(weights or checkpoint.DEFAULT_WEIGHTS)
    maps.check_files([left] if right is None else [left, right], overwrite)
    maps.check_network(opened)
    with Status() as status:
        status.tell("reading")
        pair = open_views(left, right, layout=layout, swap=swap, turn=turn)
    optics = maps.optics_of(pair)
    for note in pair["notes"]:
        say(f"Note: {note}")
    metadata = output_profile(pair, opened, options).metadata
    write_maps(maps, find_maps(maps, pair, opened, options, optics), metadata, overwrite)

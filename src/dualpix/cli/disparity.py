"""The maps that `dualpix deblur` can write beside the picture: disparity, in colours, confidence, a depth mask."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from dualpix.cli.options import Device, Layout, Memory, Overwrite, Swap, Turn, Weights
from dualpix.cli.telling import Status, say

if TYPE_CHECKING:
    from dualpix.inference.optics import Optics
    from dualpix.io import Metadata
    from dualpix.pairs import Views
    from dualpix.weights.checkpoint import Checkpoint

DisparityFile = Annotated[
    Path | None,
    typer.Option(
        "--disparity", metavar="OUT", help="Also write the disparity, 16-bit PNG or TIFF: 32768 + 512 x pixels."
    ),
]
DisparityPicture = Annotated[
    Path | None,
    typer.Option(
        "--disparity-picture",
        metavar="OUT",
        help="The same in colours: red behind the focus, blue in front, dark unsure.",
    ),
]
ConfidenceFile = Annotated[
    Path | None, typer.Option("--confidence", metavar="OUT", help="Also write its confidence, 16-bit PNG or TIFF.")
]
DepthMaskFile = Annotated[
    Path | None,
    typer.Option(
        "--depth-mask", metavar="OUT", help="Also write a depth mask for editors: near white, 16 bits of grey."
    ),
]
MetresFile = Annotated[
    Path | None,
    typer.Option(
        "--metres", metavar="OUT", help="Also write the depth: TIFF of floating-point metres, or PNG of millimetres."
    ),
]


@dataclass(frozen=True)
class Maps:
    """The maps that were asked for, by the files to write."""

    disparity: Path | None
    picture: Path | None
    confidence: Path | None
    mask: Path | None = None
    metres: Path | None = None

    def __bool__(self) -> bool:
        return any((self.disparity, self.picture, self.confidence, self.mask, self.metres))

    def refuse(self) -> None:
        """Raise a usage error if maps were asked for: with folders and manifests, each pair would need its own."""
        if self:
            raise typer.BadParameter("give it with a single pair", param_hint="--disparity")

    def check(self, output: Path | None, overwrite: bool, inputs: list[Path], opened: "Checkpoint") -> None:
        """Raise an error before any work is done, if a map cannot be made or written."""
        from dualpix.inference.disparity import check_map, finder_of
        from dualpix.inference.metres import check_metres
        from dualpix.io import check_output

        own = [path for path in (self.disparity, self.picture, self.confidence, self.mask, self.metres) if path]
        named = [*own, output] if output else own
        if len({os.path.realpath(path) for path in named}) < len(named):
            raise typer.BadParameter("give every file a name of its own", param_hint="--disparity")
        for path in own:
            check_output(path, overwrite, inputs, grey=path != self.picture)
            if path == self.metres:
                check_metres(path)
            elif path != self.picture:
                check_map(path)
        if self:
            finder_of(opened)

    def write(
        self,
        pair: "Views",
        opened: "Checkpoint",
        metadata: "Metadata",
        overwrite: bool,
        memory: str | None,
        device: str,
        optics: "Optics | None" = None,
    ) -> None:
        """Estimate the disparity and write the maps, lying as the picture does."""
        from dualpix.inference.depth_mask import depth_mask, write_depth_mask
        from dualpix.inference.disparity import disparity, scale_px, signed_picture, write_confidence, write_disparity
        from dualpix.inference.metres import describe_metres, meaning_of, write_metres
        from dualpix.io import Metadata, write_picture
        from dualpix.pairs import restore_orientation

        views = pair["left"], pair["right"]
        found = disparity(*views, opened, memory=memory, device=device, turn="none", metres=optics)
        for note in found.warnings:
            say(f"Note: {note}")
        plain = Metadata(orientation=metadata.orientation, software=metadata.software)
        if self.disparity:
            software = plain.software and f"{plain.software}; disparity in pixels = (level - 32768) / 512"
            plane = restore_orientation(found.disparity_px, pair)
            write_disparity(self.disparity, plane, replace(plain, software=software), overwrite=overwrite)
            typer.echo(f"{self.disparity}: disparity in pixels = (level - 32768) / 512")
        if self.picture:
            write_picture(self.picture, restore_orientation(signed_picture(found), pair), 8, overwrite, plain)
            typer.echo(f"{self.picture}: full colour at {scale_px(found):.1f} px")
        if self.confidence:
            write_confidence(self.confidence, restore_orientation(found.confidence, pair), plain, overwrite=overwrite)
            typer.echo(f"{self.confidence}: confidence")
        if self.mask:
            made = depth_mask(found)
            described = replace(plain, software=plain.software and f"{plain.software}; {made.formula}")
            write_depth_mask(self.mask, restore_orientation(made.levels, pair), described, overwrite=overwrite)
            typer.echo(f"{self.mask}: {made.formula}; in focus {made.focus_level:.2f}")
        if self.metres and optics and found.depth_m is not None:
            told = plain.software and f"{plain.software}; {meaning_of(self.metres)}"
            depth_m = restore_orientation(found.depth_m, pair)
            write_metres(self.metres, depth_m, replace(plain, software=told), overwrite=overwrite)
            typer.echo(f"{self.metres}: {meaning_of(self.metres)}; {describe_metres(found, optics)} ({optics})")


def disparity(
    left: Annotated[Path, typer.Argument(metavar="LEFT", help="The left view, or a file that holds both.")],
    right: Annotated[Path | None, typer.Argument(metavar="RIGHT", help="The right view.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="The disparity, 16-bit PNG or TIFF: 32768 + 512 x pixels."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Paint it: red behind the focus, blue in front, dark unsure.")
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
) -> None:
    """Find the disparity of a pair, without deblurring it, and the depth in metres where the optics are known.

    \b
    Examples:
      dualpix disparity left.png right.png -o disparity.tif --picture disparity.png
      dualpix disparity left.jpg right.jpg --metres depth.tif
      dualpix disparity left.png right.png --metres depth.tif --focus-distance 2.1 --f-number 1.8
        --focal-length 50 --sensor-width 36
    """
    maps = Maps(output, picture, confidence, depth_mask, metres)
    given = GivenOptics(focus_distance, f_number, focal_length, pixel_pitch, sensor_width, rho, rho_fall)
    given.check(metres)
    if not maps:
        raise typer.BadParameter("name a file to write after -o, --picture, --confidence, --depth-mask or --metres")
    from dualpix import __version__
    from dualpix.inference.options import DeblurOptions
    from dualpix.inference.pipeline import output_profile
    from dualpix.pairs import open_views
    from dualpix.weights import checkpoint

    opened = checkpoint.load(weights or checkpoint.DEFAULT_WEIGHTS)
    maps.check(None, overwrite, [left] if right is None else [left, right], opened)
    with Status() as status:
        status.tell("reading")
        pair = open_views(left, right, layout=layout, swap=swap, turn=turn)
    optics = given.of(pair) if metres else None
    for note in pair["notes"]:
        say(f"Note: {note}")
    metadata = output_profile(pair, opened, DeblurOptions(software=f"dualpix {__version__}")).metadata
    maps.write(pair, opened, metadata, overwrite, memory, device, optics)

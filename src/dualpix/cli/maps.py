"""The maps that `dualpix deblur` and `dualpix disparity` write: their options, and what is said of them."""

from typing import TYPE_CHECKING, Annotated

import typer

from dualpix.cli.options import Place
from dualpix.cli.telling import say
from dualpix.machine.urls import as_location

if TYPE_CHECKING:
    from dualpix.inference.maps import FoundMaps, Maps
    from dualpix.io import Metadata

DisparityFile = Annotated[
    Place | None,
    typer.Option(
        "--disparity",
        metavar="OUT",
        parser=as_location,
        help="Also write the disparity, 16-bit PNG or TIFF: 32768 + 512 x pixels. Folders: a folder.",
    ),
]
DisparityPicture = Annotated[
    Place | None,
    typer.Option(
        "--disparity-picture",
        metavar="OUT",
        parser=as_location,
        help="The same in colours: red behind the focus, blue in front, dark unsure.",
    ),
]
ConfidenceFile = Annotated[
    Place | None,
    typer.Option(
        "--confidence", metavar="OUT", parser=as_location, help="Also write its confidence, 16-bit PNG or TIFF."
    ),
]
DepthMaskFile = Annotated[
    Place | None,
    typer.Option(
        "--depth-mask",
        metavar="OUT",
        parser=as_location,
        help="Also write a depth mask for editors: near white, 16 bits of grey.",
    ),
]
MetresFile = Annotated[
    Place | None,
    typer.Option(
        "--metres",
        metavar="OUT",
        parser=as_location,
        help="Also write the depth: TIFF of floating-point metres, or PNG of millimetres.",
    ),
]
MaskOut = Annotated[
    Place | None,
    typer.Option(
        "--mask-out",
        metavar="OUT",
        parser=as_location,
        help="Also write the mask used: white is sharp, black as taken.",
    ),
]

Sweep = Annotated[
    Place | None,
    typer.Option(
        "--sweep",
        metavar="OUT.webp",
        parser=as_location,
        help="Also write the focus moving through the scene, at most 960 pixels wide. Folders: a folder.",
    ),
]


def write_maps(maps: "Maps", made: "FoundMaps", metadata: "Metadata", overwrite: bool) -> None:
    """Write the maps of one pair, all of them or none, and say what their levels mean."""
    from dualpix.inference.maps import encode_maps
    from dualpix.io.writing import write_encoded

    for note in made.warnings:
        say(f"Note: {note}")
    files = encode_maps(maps, made, metadata, overwrite=overwrite).values()
    write_encoded([(file.path, file.data) for file in files], overwrite)
    for file in files:
        typer.echo(f"{file.path}: {file.meaning}")

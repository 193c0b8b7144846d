"""The maps that `dualpix deblur` can write beside the picture: disparity, its picture in colours, confidence."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dualpix.cli.telling import say

if TYPE_CHECKING:
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


@dataclass(frozen=True)
class Maps:
    """The maps that were asked for, by the files to write."""

    disparity: Path | None
    picture: Path | None
    confidence: Path | None

    def __bool__(self) -> bool:
        return any((self.disparity, self.picture, self.confidence))

    def refuse(self) -> None:
        """Raise a usage error if maps were asked for: with folders and manifests, each pair would need its own."""
        if self:
            raise typer.BadParameter("give it with a single pair", param_hint="--disparity")

    def check(self, output: Path, overwrite: bool, inputs: list[Path], opened: "Checkpoint") -> None:
        """Raise an error before any work is done, if a map cannot be made or written."""
        from dualpix.inference.disparity import check_map, finder_of
        from dualpix.io import check_output

        named = [path for path in (output, self.disparity, self.picture, self.confidence) if path]
        if len({os.path.realpath(path) for path in named}) < len(named):
            raise typer.BadParameter("give every file a name of its own", param_hint="--disparity")
        for path in named[1:]:
            check_output(path, overwrite, inputs, grey=path != self.picture)
            if path != self.picture:
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
    ) -> None:
        """Estimate the disparity and write the maps, lying as the picture does."""
        from dualpix.inference.disparity import disparity, scale_px, signed_picture, write_confidence, write_disparity
        from dualpix.io import Metadata, write_picture
        from dualpix.pairs import restore_orientation

        found = disparity(pair["left"], pair["right"], opened, memory=memory, device=device, turn="none")
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

"""The mask that `dualpix deblur` can write beside a picture of which only part was made sharp."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from dualpix.inference.options import DeblurOptions
    from dualpix.io import Metadata

MaskOut = Annotated[
    Path | None,
    typer.Option("--mask-out", metavar="OUT", help="Also write the mask used: white is sharp, black as taken."),
]


@dataclass(frozen=True)
class MaskFile:
    """The file asked for, if any, and the options that a mask comes of."""

    path: Path | None
    options: "DeblurOptions"

    def refuse(self) -> None:
        """For folders, whose masks would need a name each."""
        if self.path:
            raise typer.BadParameter("give it with a single pair", param_hint="--mask-out")

    def check(self, output: Path, overwrite: bool, inputs: list[Path]) -> None:
        """Find out before any work is done whether there will be a mask, and whether it can be written."""
        from dualpix.io import check_output

        if self.path is None:
            return
        if self.options.keep_blur is None and self.options.mask is None:
            what = "only part of the picture has to be made sharp: give --keep-blur or --mask too"
            raise typer.BadParameter(what, param_hint="--mask-out")
        if os.path.realpath(self.path) == os.path.realpath(output):
            raise typer.BadParameter("give every file a name of its own", param_hint="--mask-out")
        check_output(self.path, overwrite, inputs)

    def write(self, mask: "Tensor | None", metadata: "Metadata", overwrite: bool) -> None:
        """Write the mask, which lies as the picture does."""
        from dualpix.io import Metadata, write_picture

        if self.path is None or mask is None:
            return
        plain = Metadata(orientation=metadata.orientation, software=metadata.software)
        write_picture(self.path, mask.expand(3, -1, -1), 16, overwrite, plain, grey=True)
        typer.echo(f"{self.path}: {float(mask.mean()):.0%} made sharp")

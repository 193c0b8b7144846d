"""Options that mean the same in every command."""

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from dualpix.cli.telling import say

if TYPE_CHECKING:
    from dualpix.machine.urls import Location

    Place: TypeAlias = Location
else:
    # Typer takes no union and shows the name of a class; what there is only the parser makes.
    Place = type("path or URL", (PurePath,), {})

Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "-w",
        metavar="NAME|FILE",
        help="Shipped weights, a .safetensors file of your own, what export wrote, or owner/name of the hub.",
    ),
]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help="The most memory to use, such as 2GB.")]
Precision = Annotated[
    str, typer.Option(metavar="NAME", help="fp32, bf16, fp16, with openvino int8, or auto: the fastest but int8.")
]
Engine = Annotated[
    str, typer.Option(metavar="NAME", help="torch, openvino, onnx, or auto: that of FILE, or the faster one.")
]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, mps, or auto: a GPU if there is one.")]
Mirror = Annotated[
    bool, typer.Option("--mirror", help="Mean of four mirrored results: a little better, four times the time.")
]
Scale = Annotated[
    str,
    typer.Option(metavar="NAME", help="Deblur wide blur at 1/2, 1/4 ... of the size; 1: at full size alone; or auto."),
]
Strength = Annotated[
    float, typer.Option(metavar="SHARE", help="How much of the result: 0, as taken, to 1; the rest is the views' mean.")
]
KeepBlur = Annotated[
    str | None,
    typer.Option(
        "--keep-blur",
        metavar="WHAT",
        help="Leave this as blurred as it was: behind, in-front, 'beyond 2', or 1..3 pixels of disparity.",
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Sharp only where this picture is white. Folders: a folder of such pictures."),
]
Layout = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="One file holds both views: side-by-side, top-bottom, raw, pixel, npz or two-pictures."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Go on if the pair looks odd, as if swapped.")]
Swap = Annotated[bool, typer.Option("--swap", help="Exchange the views.")]
Turn = Annotated[
    str,
    typer.Option(metavar="NAME", help="Upright views: auto finds out; left, right or half turns them, none does not."),
]
NoGuard = Annotated[
    bool, typer.Option("--no-guard", help="Mix no views in where the result has what cannot come from them.")
]
OnlyBlurred = Annotated[
    bool,
    typer.Option("--only-blurred", help="Leave what is sharp already as it was taken; compute the rest alone."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]


def _call_it_force(given: bool) -> bool:
    if given:
        say("Note: --anyway is called --force now.")
    return given


Anyway = Annotated[bool, typer.Option("--anyway", hidden=True, callback=_call_it_force)]

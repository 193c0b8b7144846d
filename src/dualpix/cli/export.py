"""`dualpix export`: networks for programs of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from dualpix.cli.options import Overwrite
from dualpix.cli.telling import say


def export(
    weights: Annotated[
        str | None, typer.Argument(metavar="[WEIGHTS]", help="Shipped weights, or a .safetensors file of your own.")
    ] = None,
    to: Annotated[str, typer.Option("--to", metavar="FORM", help="onnx, openvino, torch or web.")] = "onnx",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Without it, named after the weights.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="openvino: convolutions of 8 bits.")] = False,
    photos: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="With --int8: photographs to set its scales by; repeatable."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a network as a file for ONNX Runtime, OpenVINO, PyTorch or browsers, and compare it with the original.

    Takes views of any height and width under their names. The file says in its metadata which network it holds, how
    that was trained and what it scored, and can be given to --weights (torch's cannot).

    \b
    Examples:
      dualpix export --to onnx -o net.onnx
      dualpix export run/best.safetensors --to openvino --int8 -o net.xml
      dualpix export --to web -o net.onnx
    """
    from dualpix.inference.export import export as run
    from dualpix.weights import checkpoint

    stem = Path(weights or checkpoint.DEFAULT_WEIGHTS).stem
    done = run(weights, to, output or stem, int8=int8, photos=photos or (), overwrite=overwrite)
    for note in done.notes:
        say(f"Note: {note}")
    sizes = ", ".join(f"{width} x {height}" for height, width in done.sizes)
    facts = done.facts
    typer.echo(f"{done.path}: {facts['network']}, {facts['precision']}, licence {facts['licence']}")
    typer.echo(f"greatest difference from the network: {done.difference:.2g} (white is 1), at {sizes} pixels")
    if to == "openvino":
        hint = 'compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})'
        typer.echo(f"run it with {hint}: without that, processors with bf16 compute in it")

"""`dualpix import-weights`: weights that other authors published."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dualpix.cli.options import Overwrite
from dualpix.machine.files import parse_json


def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights as the network's authors publish them.")],
    network: Annotated[str, typer.Option("--network", metavar="NAME", help="The network they belong to.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The .safetensors file to write.")],
    arguments: Annotated[
        str, typer.Option(metavar="JSON", help="The network's arguments, if they are not the published ones.")
    ] = "{}",
    overwrite: Overwrite = False,
) -> None:
    """Translate weights of others into a file for `--weights`.

    Reads DPDNet's and RDPD's Keras files (.hdf5, .h5), which needs `pip install -e '.[foreign]'`, and IFAN's
    PyTorch files. Nothing in a file is executed.

    \b
    Examples:
      dualpix import-weights dpdnet.hdf5 --network dpdnet -o dpdnet.safetensors
      dualpix import-weights plain.hdf5 --network rdpd --arguments '{"radius_map": false}' -o rdpd.safetensors
    """
    from dualpix.weights.importing import import_weights as run

    typer.echo(f"{run(file, network, output, _parsed(arguments), overwrite=overwrite)}: ready for --weights")


def _parsed(text: str) -> dict[str, Any]:
    try:
        arguments = parse_json(text)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise typer.BadParameter(f"{text!r} is not a JSON object", param_hint="--arguments")
    return arguments

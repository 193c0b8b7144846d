"""`dualpix methods`: what there is to choose from."""

import typer

from dualpix.errors import DualpixError


def methods() -> None:
    """List the methods, the networks and the shipped weights.

    \b
    Example:  dualpix methods
    """
    from dualpix.evaluation.results import takes
    from dualpix.evaluation.systems import TABLE_PX, TABLE_ROWS, size_of
    from dualpix.networks import DEFOCUS_ESTIMATORS, NETWORKS
    from dualpix.weights import checkpoint

    height, width = TABLE_PX
    cost = f"GMAC at {width} x {height}"
    typer.echo(f"{'method':14} {'takes':26} {'network':14} {'parameters':>10} {cost:>20}  weights")
    for label, system in TABLE_ROWS.items():
        counts = size_of(system.blank())
        size = f"{counts.parameters / 1e6:.2f} M" if counts else ""
        macs = f"{counts.conv_macs / 1e9:.0f} + {counts.attention_macs / 1e9:.0f}" if counts else ""
        state = ("shipped" if system.weights else "none needed") if system.has_weights else "no weights"
        typer.echo(f"{label:14} {takes(system.views):26} {system.network:14} {size:>10} {macs:>20}  {state}")
    typer.echo(f"\nnetworks: {', '.join(NETWORKS | DEFOCUS_ESTIMATORS)}")
    typer.echo(f"\n{'weights':14} {'network':14} scores")
    for name in checkpoint.WEIGHTS:
        try:
            card = checkpoint.read_card(name)
        except DualpixError:
            typer.echo(f"{name:14} not part of this installation")
            continue
        default = " (default)" if name == checkpoint.DEFAULT_WEIGHTS else ""
        scores = ", ".join(f"{key} {value:.4g}" for key, value in card["scores"].items() if isinstance(value, float))
        typer.echo(f"{name:14} {card['network']:14} {scores}{default}")

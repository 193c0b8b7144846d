"""`dualpix doctor`: what this machine has, and what is chosen on it."""

from typing import Annotated

import typer

from dualpix.cli.options import Weights


def doctor(
    weights: Weights = None,
    measure: Annotated[bool, typer.Option("--measure", help="Also time every engine on a small picture.")] = False,
) -> None:
    """Say what this machine has and what is chosen on it: threads, limits, engines, precision, caches.

    Reports of mistakes are easier to follow with it. Nothing of it leaves the machine.

    \b
    Example:  dualpix doctor
    """
    from dualpix.inference.doctor import compare, examine

    seconds = compare(weights) if measure else {}
    for name, what in examine(weights).items():
        typer.echo(f"{name:15} {what}")
    if seconds:
        slowest = max(seconds.values())
        for name, spent in seconds.items():
            typer.echo(f"{name:15} {spent:.3f} s, {slowest / spent:.1f} times as fast as the slowest")

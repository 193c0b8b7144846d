"""`dualpix demo`: the bundled pair, deblurred and scored."""

from pathlib import Path
from typing import Annotated

import typer

from dualpix.cli.options import (
    Device,
    Engine,
    Memory,
    Precision,
    Scale,
    Weights,
)
from dualpix.cli.telling import counter


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to write.")] = Path("demo"),
    weights: Weights = None,
    memory: Memory = None,
    precision: Precision = "auto",
    device: Device = "auto",
    engine: Engine = "auto",
    scale: Scale = "auto",
) -> None:
    """Deblur the bundled pair and score it.

    Writes result.png and side-by-side.png (blurred, result, truth) into FOLDER, over those of an earlier run.

    \b
    Example:  dualpix demo -o demo
    """
    from dualpix.evaluation.demo import demonstrate
    from dualpix.inference.options import DeblurOptions

    options = DeblurOptions(memory=memory, precision=precision, device=device, engine=engine, scale=scale)
    done = demonstrate(output, weights, options, progress=counter("band"))
    if done.about:
        typer.echo(done.about)
    for words, scores in (("before", done.before), ("after", done.after)):
        typer.echo(f"{words:7} PSNR {scores['psnr']:.2f} dB   SSIM {scores['ssim']:.4f}")
    typer.echo(f"gain    {done.after['psnr'] - done.before['psnr']:+.2f} dB in {done.seconds:.1f} s ({done.plan})")
    typer.echo(f"wrote   {done.result}, {done.side_by_side} (blurred, result, truth)")

"""`dualpix evaluate`: methods run, scored and compared."""

from pathlib import Path
from typing import Annotated

import typer

from dualpix.cli.options import Device, Engine, Memory, Mirror, OnlyBlurred, Overwrite, Precision, Scale, Turn
from dualpix.cli.telling import counter, say


def evaluate(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A folder of pairs with sharp pictures, or DPDD.")],
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", metavar="[LABEL=]THING", help="Weights, or pictures by others; repeatable."),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(metavar="all|NAME,...", help="Methods of the paper's table, by name: dualpix methods.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where pictures and tables go.")
    ] = Path("evaluation"),
    protocol: Annotated[str, typer.Option(metavar="NAME", help="dpdd-16bit, dpdd-8bit or wang.")] = "dpdd-16bit",
    extra: Annotated[
        list[str] | None, typer.Option(metavar="METRIC", help="One more metric, such as lpips; repeatable.")
    ] = None,
    scenes: Annotated[int, typer.Option(min=0, metavar="N", help="Rows of the comparison picture.")] = 6,
    peak_memory: Annotated[
        bool, typer.Option("--peak-memory", help="Also measure peak memory: each method runs once more.")
    ] = False,
    overwrite: Overwrite = False,
    memory: Memory = None,
    precision: Precision = "auto",
    device: Device = "auto",
    engine: Engine = "auto",
    mirror: Mirror = False,
    scale: Scale = "auto",
    turn: Turn = "auto",
    only_blurred: OnlyBlurred = False,
) -> None:
    """Run, score and compare methods on pairs.

    THING is the name or file of weights, or a folder of pictures made by any other program; LABEL=FILE with the name of
    a method gives that its weights. Writes the pictures, pictures.csv, methods.csv, summary.md and comparison.png into
    FOLDER.

    \b
    Examples:
      dualpix evaluate pairs
      dualpix evaluate pairs --methods all -m DPDNet=run/best.safetensors
      dualpix evaluate DPDD -m mine=run/best.safetensors -m DPDNet=their_pictures -o results
    """
    from dualpix.evaluation import MethodLike, choose
    from dualpix.evaluation import evaluate as run
    from dualpix.inference.options import DeblurOptions

    things: dict[str, MethodLike] = {**(choose(methods) if methods is not None else {}), **_labelled(method or [])}
    done = run(
        data,
        things or None,
        output,
        protocol=protocol,
        extra=extra or (),
        options=DeblurOptions(
            memory=memory,
            precision=precision,
            device=device,
            engine=engine,
            mirror=mirror,
            scale=scale,
            turn=turn,
            only_blurred=only_blurred,
        ),
        peak_memory=peak_memory,
        overwrite=overwrite,
        scenes=scenes,
        progress=lambda label, at, total: counter(label)(at, total),
    )
    typer.echo(done.summary)
    idle = [row for row in done.rows if row.unavailable_reason]
    if idle and len(idle) == len(done.rows) - 1:  # all but the input
        reasons = [f"{row.method} has {row.unavailable_reason}, {row.advice}" for row in idle]
        say(f"dualpix: nothing could run: {'; '.join(reasons)}.")
        raise typer.Exit(1)
    if done.failures:
        say(f"dualpix: {len(done.failures)} pictures failed; {done.folder / 'summary.md'} says why.")
        raise typer.Exit(1)


def _labelled(things: list[str]) -> dict[str, str]:
    """From label to thing: `label=thing`, or a thing alone, which is called by its own name."""
    labelled: dict[str, str] = {}
    for text in things:
        label, equals, thing = text.partition("=")
        if not equals or Path(text).exists():
            path = Path(text)
            label, thing = path.stem if path.suffix == ".safetensors" else path.name, text
        if label in labelled:
            raise typer.BadParameter(f"two methods are called {label!r}; write LABEL=THING", param_hint="--method")
        labelled[label] = thing
    return labelled

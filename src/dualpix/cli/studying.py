"""Commands for those who study methods: simulate, train, evaluate."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dualpix.cli.doors import Device, Engine, Memory, Mirror, Overwrite, Precision, Scale, counter, say, show


def simulate(
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTOS", help="Folders of photographs; one picture with --depth-map."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the pairs go.")],
    count: Annotated[int, typer.Option(metavar="N", help="How many pairs.")] = 8,
    size: Annotated[int, typer.Option(metavar="PX", help="Their width and height.")] = 256,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same pairs.")] = 0,
    depth_map: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Depth of the one picture: .npy in metres, or PNG in mm.")
    ] = None,
    camera: Annotated[str, typer.Option(metavar="NAME", help="With --depth-map: the camera.")] = "5d-mark-iv-50mm-f4",
    focus: Annotated[float | None, typer.Option(metavar="M", help="With --depth-map: focus at so many metres.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make dual-pixel pairs with ground truth.

    Random scenes out of any photographs, or the scene of one photograph whose depth is known. The folders left, right,
    center, sharp and blur in FOLDER are what train and evaluate read.

    \b
    Examples:
      dualpix simulate photos -o pairs --count 4
      dualpix simulate room.png --depth-map room.npy --focus 1.5 -o pairs
    """
    from dualpix.simulation.simulate import simulate as run
    from dualpix.simulation.simulate import simulate_photo

    if depth_map is None:
        done = run(photos, output, count, size, seed, overwrite=overwrite, progress=counter("pair"))
    elif len(photos) == 1:
        done = simulate_photo(photos[0], depth_map, output, camera=camera, focus_m=focus, overwrite=overwrite)
    else:
        raise typer.BadParameter("a depth map belongs to one picture", param_hint="--depth-map")
    for note in done.notes:
        say(f"Note: {note}")
    there = len(done.names) - done.made
    typer.echo(f"{done.folder}: {done.made} pairs made" + (f", {there} were there already" if there else ""))


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="tiny (seconds), cpu (hours) or paper (GPU days).")],
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="FIELD=VALUE", help="Fields of the recipe to change.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The run folder.")] = Path("run"),
    photos: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Sharp photographs to simulate pairs from; repeatable."),
    ] = None,
    depths: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Maps of inverse depth of the photographs: FOLDER/PHOTOS/NAME.png."),
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Or a data set of real pairs.")] = None,
    validation: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="What to validate on; repeatable.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, metavar="N", help="Processes that share the work.")] = 1,
) -> None:
    """Train a network by a recipe.

    The weights to use are best.safetensors in FOLDER. Ctrl-C, or closing the terminal, stops after the current step
    with everything kept; the same command resumes.

    \b
    Examples:
      dualpix train tiny --photos photos -o run
      dualpix train cpu rate=3e-4 'arguments={"max_disparity": 12}' --photos photos -o run
      dualpix train cpu --processes 2 --photos photos -o run
    """
    from dualpix.training import launch
    from dualpix.training import train as run
    from dualpix.training.recipes import find_recipe

    chosen = find_recipe(recipe, _changes(changes or []))
    if processes > 1:
        options = [("-o", output), *(("--photos", folder) for folder in photos or ())]
        options += [(name, given) for name, given in (("--depths", depths), ("--data", data)) if given]
        options += [("--validation", folder) for folder in validation or ()]
        words = [recipe, *(changes or ()), *(str(word) for option in options for word in option)]
        raise typer.Exit(launch(processes, ["train", *words]))
    reached = [0]

    def report(line: dict[str, Any]) -> None:
        reached[0] = line.get("step", line.get("resumed_at_step", reached[0]))
        show(_told(line, chosen.steps))

    best = run(
        chosen, output, photos=photos or (), depths=depths, data=data, validation=validation or (), report=report
    )
    if 0 < reached[0] < chosen.steps:
        say(f"Stopped after step {reached[0]} of {chosen.steps}; the same command resumes.")
        raise typer.Exit(130)
    if reached[0]:  # Silent in all but the first of several processes.
        show(f"{best}: ready for `dualpix deblur --weights`")


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
        bool, typer.Option("--peak-memory", help="Measure that too: each method runs once more, on one picture.")
    ] = False,
    overwrite: Overwrite = False,
    memory: Memory = None,
    precision: Precision = "auto",
    device: Device = "auto",
    engine: Engine = "auto",
    mirror: Mirror = False,
    scale: Scale = "auto",
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
            memory=memory, precision=precision, device=device, engine=engine, mirror=mirror, scale=scale
        ),
        peak_memory=peak_memory,
        overwrite=overwrite,
        scenes=scenes,
        progress=lambda label, at, total: counter(label)(at, total),
    )
    typer.echo(done.summary)
    for (label, name), warning in done.warnings.items():
        say(f"Note: {label}, {name}: {warning}")
    idle = [row for row in done.rows if row.lacks]
    if idle and len(idle) == len(done.rows) - 1:  # all but the input
        say(f"dualpix: nothing could run: {'; '.join(f'{row.method} has {row.lacks}, {row.advice}' for row in idle)}.")
        raise typer.Exit(1)
    if done.failures:
        say(f"dualpix: {len(done.failures)} pictures failed; {done.folder / 'summary.md'} says why.")
        raise typer.Exit(1)


def _changes(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for field, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"{field!r} is no change; write FIELD=VALUE", param_hint="FIELD=VALUE")
    return {field: value for field, _, value in pairs}


def _told(line: dict[str, Any], steps: int) -> str:
    """A line of the training log, for people."""
    from dualpix.training.clock import PARTS

    if "validation" in line:
        scores = ", ".join(f"{name} {value:.4g}" for name, value in line["validation"].items())
        return f"step {line['step']}: validation {scores}" + (" (best so far)" if line["best"] else "")
    if "loss" in line:
        loss = "none" if line["loss"] is None else f"{line['loss']:.5f}"
        shares = ", ".join(f"{part} {100 * line[part]:.0f} %" for part in PARTS if line[part] >= 0.005)
        speed = f"{line['pictures_per_s']:.1f} crops/s ({shares}), {60 * line['hours_left']:.0f} min left"
        return f"step {line['step']} of {steps}: loss {loss}, {speed}"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in line.items())


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

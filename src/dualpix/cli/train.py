"""`dualpix train`: a network, by a recipe."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dualpix.cli.telling import say, show

Photos = Annotated[
    list[Path] | None, typer.Option(metavar="FOLDER", help="Sharp photographs to simulate pairs from; repeatable.")
]
Depths = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Maps of inverse depth of the photographs: FOLDER/PHOTOS/NAME.png."),
]
Data = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Or a data set of real pairs.")]
Validation = Annotated[list[Path] | None, typer.Option(metavar="FOLDER", help="What to validate on; repeatable.")]


def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="tiny (seconds), cpu (hours) or paper (GPU days).")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="FIELD=VALUE", help="Fields of the recipe to change.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The run folder.")] = Path("run"),
    photos: Photos = None,
    depths: Depths = None,
    data: Data = None,
    validation: Validation = None,
    processes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes that share the work.", show_default="1")
    ] = None,
    track: Annotated[
        str,
        typer.Option(metavar="NAME", help="Also keep the curves in tensorboard, wandb or mlflow.", show_default=False),
    ] = "",
    again: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Repeat this run in FOLDER, without a RECIPE, and say whether it is the same."
        ),
    ] = None,
) -> None:
    """Train a network by a recipe.

    The weights to use are best.safetensors in FOLDER. Ctrl-C, or closing the terminal, stops after the current step
    with everything kept; the same command resumes.

    \b
    Examples:
      dualpix train tiny --photos photos -o run
      dualpix train cpu learning_rate=3e-4 'arguments={"max_disparity": 12}' --photos photos -o run
      dualpix train cpu --processes 2 --photos photos -o run
      dualpix train --again run -o repeated
    """
    options: list[tuple[str, str | Path]] = [("-o", output), *(("--photos", folder) for folder in photos or ())]
    options += [(name, given) for name, given in (("--depths", depths), ("--data", data)) if given]
    options += [("--validation", folder) for folder in validation or ()]
    options += [("--track", track)] if track else []
    if again is not None:
        if recipe is not None:
            raise typer.BadParameter("a run is repeated by its own recipe; leave RECIPE out", param_hint="RECIPE")
        given = {"photos": photos or (), "depths": depths, "data": data, "validation": validation or ()}
        _repeat(again, output, given, processes, options, track)
        return
    if recipe is None:
        raise typer.BadParameter("name one, such as tiny or cpu", param_hint="RECIPE")
    from dualpix.training import launch
    from dualpix.training import train as run
    from dualpix.training.recipes import current_changes, find_recipe

    fields = current_changes(recipe, changes_in(changes or []), lambda hint: say(f"Note: {hint}"))
    chosen = find_recipe(recipe, fields)
    if (processes or 1) > 1:
        words = [f"{field}={value}" for field, value in fields.items()]
        words = [recipe, *words, *(str(word) for option in options for word in option)]
        raise typer.Exit(launch(processes or 1, ["train", *words]))
    reached = [0]

    def report(line: dict[str, Any]) -> None:
        reached[0] = line.get("step", line.get("resumed_at_step", reached[0]))
        show(in_words(line, chosen.steps))

    best = run(
        chosen,
        output,
        photos=photos or (),
        depths=depths,
        data=data,
        validation=validation or (),
        report=report,
        track=track,
    )
    if 0 < reached[0] < chosen.steps:
        say(f"Stopped after step {reached[0]} of {chosen.steps}; the same command resumes.")
        raise typer.Exit(130)
    if reached[0]:  # 0 in all but the first of several processes.
        show(f"{best}: ready for `dualpix deblur --weights`")


def _repeat(
    former: Path,
    output: Path,
    given: dict[str, Any],
    processes: int | None,
    options: list[tuple[str, str | Path]],
    track: str,
) -> None:
    """Repeat a run, by as many processes as it had unless told otherwise."""
    from dualpix.training import launch
    from dualpix.training.again import again, find_repeatable

    found = find_repeatable(former, output, **given)
    count = processes or found.processes
    if count > 1:
        words = ["train", "--again", str(former), "--processes", "1"]
        raise typer.Exit(launch(count, [*words, *(str(word) for option in options for word in option)]))
    heard = [False]

    def report(line: dict[str, Any]) -> None:
        heard[0] = True
        show(in_words(line, found.step))

    done = again(former, output, **given, report=report, track=track)
    if heard[0]:  # not in all but the first of several processes
        show(str(done))
    if 0 < done.step < found.step:
        raise typer.Exit(130)


def changes_in(texts: list[str]) -> dict[str, str]:
    """From field to text, of words such as `steps=100`."""
    pairs = [text.partition("=") for text in texts]
    for field, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"{field!r} is not a change; write FIELD=VALUE", param_hint="FIELD=VALUE")
    return {field: value for field, _, value in pairs}


def in_words(line: dict[str, Any], steps: int) -> str:
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
    if "note" in line:
        return f"Note: {line['note']}"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in line.items())

"""`dualpix train`: a network, by a recipe."""

import math
import os
import time
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
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="End after M minutes with the schedule complete, in place of `steps`."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Processes of this machine that share the work.", show_default="1"),
    ] = None,
    nodes: Annotated[
        str,
        typer.Option(
            metavar="N", help="Machines that share the work, 2 or 1:4 (at least 1, at most 4).", show_default=False
        ),
    ] = "",
    rendezvous: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Where they meet: the address of one of them, and a free port.",
            show_default=False,
        ),
    ] = "",
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
      dualpix train cpu --nodes 2 --rendezvous 10.0.0.1:29400 --photos photos -o run
      dualpix train cpu --minutes 30 --photos photos -o run
      dualpix train --again run -o repeated
    """
    began = time.monotonic()  # before PyTorch is loaded, which belongs to the minutes too
    options: list[tuple[str, str | Path]] = [("-o", output), *(("--photos", folder) for folder in photos or ())]
    options += [(name, given) for name, given in (("--depths", depths), ("--data", data)) if given]
    options += [("--validation", folder) for folder in validation or ()]
    options += [("--track", track)] if track else []
    if again is not None:
        if recipe is not None:
            raise typer.BadParameter("a run is repeated by its own recipe; leave RECIPE out", param_hint="RECIPE")
        if minutes is not None:
            raise typer.BadParameter("a run is repeated up to its last step; leave it out", param_hint="--minutes")
        if nodes or rendezvous:
            raise typer.BadParameter("a run is repeated on one machine; leave it out", param_hint="--nodes")
        given = {"photos": photos or (), "depths": depths, "data": data, "validation": validation or ()}
        _repeat(again, output, given, processes, options, track)
        return
    if recipe is None:
        raise typer.BadParameter("name one, such as tiny or cpu", param_hint="RECIPE")
    _check_machines(nodes, rendezvous, processes)
    if nodes:  # before PyTorch is loaded, or it warns where an address has no name
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from dualpix.training import launch
    from dualpix.training import train as run
    from dualpix.training.recipes import current_changes, find_recipe

    fields = current_changes(recipe, changes_in(changes or []), lambda hint: say(f"Note: {hint}"))
    if minutes is not None:
        fields |= {"minutes": _minutes(minutes, fields)}
    chosen = find_recipe(recipe, fields)
    words = ["train", recipe, *(f"{field}={value}" for field, value in fields.items())]
    words += [str(word) for option in options for word in option]
    if nodes:
        raise typer.Exit(_on_nodes(words, nodes, rendezvous, 1 if processes is None else processes, output, chosen))
    if (processes or 1) > 1:
        raise typer.Exit(launch(processes or 1, words))
    reached, left = [0], [0.0]

    def report(line: dict[str, Any]) -> None:
        reached[0] = line.get("step", line.get("resumed_at_step", reached[0]))
        left[0] = line.get("hours_left", left[0])
        show(in_words(line, 0 if chosen.minutes else chosen.steps))

    best = run(
        chosen,
        output,
        photos=photos or (),
        depths=depths,
        data=data,
        validation=validation or (),
        report=report,
        track=track,
        spent_s=time.monotonic() - began,
    )
    if reached[0] > 0 and (left[0] > 0 if chosen.minutes else reached[0] < chosen.steps):
        whole = f", {60 * left[0]:.2g} minutes before the end" if chosen.minutes else f" of {chosen.steps}"
        say(f"Stopped after step {reached[0]}{whole}; the same command resumes.")
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


def _check_machines(nodes: str, rendezvous: str, processes: int | None) -> None:
    if bool(nodes) != bool(rendezvous):
        missing = "--rendezvous" if nodes else "--nodes"
        raise typer.BadParameter("machines that train together need both of the two", param_hint=missing)
    if processes == 0 and not nodes:
        raise typer.BadParameter("0 is for a machine that only holds the meeting of others", param_hint="--processes")


def _on_nodes(words: list[str], nodes: str, rendezvous: str, processes: int, output: Path, recipe: Any) -> int:
    from dualpix.training.nodes import launch_on_nodes
    from dualpix.training.rendezvous import read_meeting
    from dualpix.training.sameness import facts_of

    facts = facts_of(recipe) | {"number of machines asked for": nodes}
    meeting = read_meeting(nodes, rendezvous)
    return launch_on_nodes(words, meeting, processes, output, facts, lambda note: say(f"Note: {note}"))


def _minutes(minutes: float, fields: dict[str, str]) -> str:
    given = [field for field in ("steps", "minutes") if field in fields]
    if given:
        why = f"{given[0]}={fields[given[0]]} says when the run ends too; give one of the two"
        raise typer.BadParameter(why, param_hint="--minutes")
    if not 0 < minutes < math.inf:
        raise typer.BadParameter(f"{minutes:g} minutes are no time to learn; give more than 0", param_hint="--minutes")
    return f"{minutes:g}"


def changes_in(texts: list[str]) -> dict[str, str]:
    """From field to text, of words such as `steps=100`."""
    pairs = [text.partition("=") for text in texts]
    for field, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"{field!r} is not a change; write FIELD=VALUE", param_hint="FIELD=VALUE")
    return {field: value for field, _, value in pairs}


def in_words(line: dict[str, Any], steps: int) -> str:
    """A line of the training log, for people; steps: that the run takes, 0 if it ends by the clock."""
    from dualpix.training.clock import PARTS

    if "validation" in line:
        scores = ", ".join(f"{name} {value:.4g}" for name, value in line["validation"].items())
        return f"step {line['step']}: validation {scores}" + (" (best so far)" if line["best"] else "")
    if "loss" in line:
        loss = "none" if line["loss"] is None else f"{line['loss']:.5f}"
        shares = ", ".join(f"{part} {100 * line[part]:.0f} %" for part in PARTS if line[part] >= 0.005)
        speed = f"{line['pictures_per_s']:.1f} crops/s ({shares}), {60 * line['hours_left']:.0f} min left"
        of = f" of {steps}" if steps else ""
        return f"step {line['step']}{of}: loss {loss}, {speed}"
    if "note" in line:
        return f"Note: {line['note']}"
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in line.items())

"""`dualpix sweep`: one training for each combination of values."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dualpix.cli.telling import say, show
from dualpix.cli.train import Data, Depths, Photos, Validation, changes_in, in_words


def sweep(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="As for train: tiny, cpu and so on.")],
    fields: Annotated[
        list[str], typer.Argument(metavar="FIELD=A,B,...", help="Values to try; of several fields, all combinations.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the runs go.")] = Path(
        "sweep"
    ),
    minutes: Annotated[float, typer.Option(metavar="M", help="How long each run learns.")] = 5.0,
    photos: Photos = None,
    depths: Depths = None,
    data: Data = None,
    validation: Validation = None,
) -> None:
    """Train every combination of values for some minutes each, and compare the runs.

    Ctrl-C stops with everything kept; the same command resumes, and keeps the runs that have had their minutes.

    \b
    Example:  dualpix sweep cpu learning_rate=2e-4,4e-4 seed=0,1 --minutes 10 --photos photos -o sweep
    """
    from dualpix.training.recipes import current_changes
    from dualpix.training.sweep import sweep as run
    from dualpix.training.sweep import values_in

    given = current_changes(recipe, changes_in(fields), lambda hint: say(f"Note: {hint}"))
    steps = [0]

    def report(line: dict[str, Any]) -> None:
        steps[0] = line.get("steps", steps[0])
        show(f"Run {line['of_runs']}: {line['run']}" if "run" in line else in_words(line, steps[0]))

    done = run(
        recipe,
        {field: values_in(text) for field, text in given.items()},
        output,
        minutes=minutes,
        report=report,
        photos=photos or (),
        depths=depths,
        data=data,
        validation=validation or (),
    )
    typer.echo(done.comparison.table, nl=False)
    if done.comparison.undrawn:
        say(f"Note: {done.comparison.undrawn}")
    for name, why in done.failures.items():
        say(f"dualpix: {name} failed: {why}")
    if done.failures:
        raise typer.Exit(1)

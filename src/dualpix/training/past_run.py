"""What a run folder says of its run: recipe and log, read while the run goes on or when it has ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualpix.errors import DualpixError, RecipeError, reason_of
from dualpix.machine.files import is_free, parse_json
from dualpix.training.curve import read_log
from dualpix.training.recipes import Recipe, from_dict


@dataclass(frozen=True)
class PastRun:
    """A run, finished or not.

    Args:
        folder: The run folder.
        recipe: What it computes, with the current names of fields.
        lines: Its log, as if it had never been interrupted.
    """

    folder: Path
    recipe: Recipe
    lines: Sequence[dict[str, Any]]

    @property
    def starts(self) -> list[dict[str, Any]]:
        """The lines of the log on how the run began and was resumed, in order."""
        return [line for line in self.lines if "began_at_step" in line]

    @property
    def steps(self) -> int:
        """The last step that the log knows of."""
        named = (line.get(name, 0) for line in self.lines for name in ("step", "began_at_step", "resumed_at_step"))
        return max(named, default=0)

    def is_going_on(self) -> bool:
        """Whether a training writes to the folder now; False on systems without locks."""
        with (self.folder / "log.jsonl").open("rb") as file:
            return is_free(file, shared=True) is False


def read_run(folder: str | Path) -> PastRun:
    """Read a run folder, and change nothing in it.

    Raises:
        RecipeError: It is no run folder, or its recipe or log is damaged.
    """
    folder = Path(folder)
    recipe, log = folder / "recipe.json", folder / "log.jsonl"
    for path in (log, recipe):
        if not path.is_file():
            why = f"it has no {path.name}" if folder.is_dir() else "there is no such folder"
            raise RecipeError(f"{folder} is no run: {why}; name a folder that `dualpix train` has written.")
    try:
        found = from_dict(parse_json(recipe.read_text()))
    except (ValueError, TypeError, DualpixError) as error:
        raise RecipeError(f"{recipe} is damaged: {reason_of(error)}; name another run.") from error
    lines = read_log(log)
    if not lines:
        raise RecipeError(f"{log} is damaged: no line of it is one of a training's log; name another run.")
    return PastRun(folder, found, lines)

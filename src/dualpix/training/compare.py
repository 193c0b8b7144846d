"""Compare runs: one table, what their recipes differ in, and one picture of all curves."""

import importlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from dualpix.errors import RecipeError, how_to_install
from dualpix.machine.files import write_whole
from dualpix.training.curve import SMOOTHING, TITLES, Points, main_score, points, smooth
from dualpix.training.past_run import PastRun, read_run
from dualpix.training.recipes import to_dict
from dualpix.training.sources import is_better_low

FEWEST_REPORTS = 5
"""The last smoothed loss is the mean of the last reports, a fortieth of all, but of no fewer than these."""

NONE = "-"


@dataclass(frozen=True)
class RunComparison:
    """Runs beside each other.

    Args:
        runs: In the order given.
        labels: A name for each, the shortest end of its path that no other has.
    """

    runs: Sequence[PastRun]
    labels: Sequence[str]

    @property
    def differing(self) -> dict[str, list[Any]]:
        """The fields of the recipes that are not alike in all runs, with the value in each."""
        recipes = [json.loads(json.dumps(to_dict(run.recipe))) for run in self.runs]
        fields = {name: [recipe[name] for recipe in recipes] for name in recipes[0]}
        return {name: values for name, values in fields.items() if any(value != values[0] for value in values)}

    @property
    def rows(self) -> list[dict[str, str]]:
        """One row for each run, by column.

        `hours` are those of training, `loss` is the mean of the last reports, scores have their best and their last
        value. Runs with one letter under `learnt from` or `validated on` had the same data; "?" stands for data that
        the log says nothing of.
        """
        scores = list(dict.fromkeys(name for run in self.runs for name in _scores(run)))
        learnt = _letters([_data(run, "photos", "pairs") for run in self.runs])
        validated = _letters([_data(run, "validation") for run in self.runs])
        rows = []
        for number, run in enumerate(self.runs):
            row = {"run": self.labels[number], "steps": str(run.steps), "hours": _hours(run), "loss": _last_loss(run)}
            for name in scores:
                values = _scores(run).get(name, [])
                best = (min if is_better_low(name) else max)(values, default=None)
                row |= {f"{name}, best": _shown(best), f"{name}, last": _shown(values[-1] if values else None)}
            rows.append(
                row | {"version": _versions(run), "learnt from": learnt[number], "validated on": validated[number]}
            )
        return rows

    @property
    def table(self) -> str:
        """All of it in Markdown: the runs, the fields that differ, and a sentence on scores that cannot be compared."""
        rows = self.rows
        text = _markdown(list(rows[0]), [list(row.values()) for row in rows])
        if len(rows) > 1 and ({row["validated on"] for row in rows} != {"A"}):
            text += "\nScores compare only between runs with the same letter under `validated on`.\n"
        differing = self.differing
        if differing:
            shown = [[name, *map(json.dumps, values)] for name, values in differing.items()]
            text += "\n" + _markdown(["recipe", *self.labels], shown)
        elif len(rows) > 1:
            text += "\nThe recipes are the same.\n"
        return text

    @property
    def undrawn(self) -> str:
        """Why there are no curves, in a sentence; "" if there are."""
        if not any(any(points(run.lines)) for run in self.runs):
            return "No curves were drawn: no run has a loss yet."
        try:
            importlib.import_module("matplotlib.figure")
        except ImportError:
            return f"No curves were drawn, which needs matplotlib: {how_to_install('plot')}."
        return ""

    def draw(self) -> bytes | None:
        """The curves of all runs as a PNG file: losses, smoothed, and of each run the score that it is judged by.

        None if no run has reported yet, or matplotlib is not installed.
        """
        if self.undrawn:
            return None
        from matplotlib.figure import Figure

        curves = [points(run.lines) for run in self.runs]
        names = [main_score(run.lines) for run in self.runs]
        judged = list(dict.fromkeys(name for name in names if name))
        figure = Figure(figsize=(7 * (1 + len(judged)), 5), dpi=100, layout="constrained")
        panels = list(figure.subplots(1, 1 + len(judged), squeeze=False)[0])
        panels[0].set(xlabel="steps", ylabel="loss", yscale="log")
        for panel, name in zip(panels[1:], judged, strict=True):
            panel.set(xlabel="steps", ylabel=f"validation {TITLES.get(name, 'score')}")
        for number, (losses, scores) in enumerate(curves):
            colour, label = f"C{number % 10}", _plain(self.labels[number])
            _line(panels[0], [(step, loss) for step, loss in losses if loss > 0], colour, label, smoothed=True)
            if scores:
                _line(panels[1 + judged.index(names[number])], scores, colour, label)
        for panel in panels:
            panel.grid(alpha=0.3)
            if panel.lines:
                panel.legend(fontsize="small")
        file = io.BytesIO()
        figure.savefig(file, format="png")
        return file.getvalue()

    def save(self, folder: Path) -> list[Path]:
        """Write `runs.md` and, if it can be drawn, `curves.png` into `folder`, over older ones; returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        picture = self.draw()
        contents = {"runs.md": self.table.encode("utf-8", "backslashreplace")}
        contents |= {} if picture is None else {"curves.png": picture}
        for name, content in contents.items():
            write_whole(folder / name, content)
        return [folder / name for name in contents]


def compare(runs: Sequence[str | Path]) -> RunComparison:
    """Read runs, finished or going on, and put them beside each other.

    Args:
        runs: Run folders.

    Returns:
        What `RunComparison` says: `rows`, `differing`, `table` and `draw()`.

    Raises:
        RecipeError: None is given, or one is no run folder or damaged.
    """
    if not runs:
        raise RecipeError("There is nothing to compare; name at least one run folder.")
    folders = [Path(run) for run in runs]
    return RunComparison([read_run(folder) for folder in folders], _labels(folders))


def _labels(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart; of the same folder twice, all of it."""
    parts = [folder.absolute().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(part[-length:]) for part in parts]
        if len(set(labels)) == len({folder.absolute() for folder in folders}):
            return labels
    return [str(folder) for folder in folders]


def _scores(run: PastRun) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {}
    for line in run.lines:
        for name, value in line.get("validation", {}).items():
            scores.setdefault(name, []).append(value)
    return scores


def _hours(run: PastRun) -> str:
    hours = [line["hours"] for line in run.lines if isinstance(line.get("hours"), int | float)]
    return f"{hours[-1]:{'.2f' if hours[-1] >= 0.1 else '.2g'}}" if hours else NONE


def _last_loss(run: PastRun) -> str:
    losses = [loss for _, loss in points(run.lines)[0]]
    last = losses[-max(FEWEST_REPORTS, len(losses) // SMOOTHING) :]
    return f"{sum(last) / len(last):.5f}" if last else NONE


def _shown(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _versions(run: PastRun) -> str:
    """The newest version that took part, with the beginning of its commit, and how many came before it."""
    named = []
    for line in run.starts:
        version, commit = str(line.get("version", "?")), str(line.get("commit", ""))
        hexadecimal, _, changed = commit.partition("-")
        named.append(f"{version} ({hexadecimal[:9]}{'-' * bool(changed)}{changed})" if commit else version)
    earlier = len(set(named)) - 1
    return (named[-1] if named else "?") + (f" and {earlier} earlier" if earlier > 0 else "")


def _data(run: PastRun, *names: str) -> list[str]:
    """The fingerprints of all data that the run had under these names, oldest first."""
    found = []
    for line in run.starts:
        data = line.get("data")
        known = {name: data[name] for name in names if name in data} if isinstance(data, dict) else {}
        found.append(json.dumps(known, sort_keys=True) if known else "")
    return list(dict.fromkeys(found)) or [""]


def _letters(data: Sequence[Sequence[str]]) -> list[str]:
    """A letter for each fingerprint, in the order in which they come up; "?" for none."""
    known = list(dict.fromkeys(one for found in data for one in found if one))
    letter = {one: _letter(number) for number, one in enumerate(known)} | {"": "?"}
    return [", ".join(letter[one] for one in found) for found in data]


def _letter(number: int) -> str:
    more, last = divmod(number, len(ascii_uppercase))
    return (_letter(more - 1) if more else "") + ascii_uppercase[last]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _plain(text: str) -> str:
    """A label that matplotlib takes for neither a formula nor a line to be left out of the legend."""
    return text.encode("utf-8", "backslashreplace").decode().replace("$", r"\$").lstrip("_") or "run"


def _line(panel: Any, curve: Points, colour: str, label: str, smoothed: bool = False) -> None:
    steps, values = [step for step, _ in curve], [value for _, value in curve]
    if not steps:
        return
    if smoothed:
        panel.plot(steps, values, color=colour, alpha=0.15, linewidth=0.8)
        values = smooth(values, len(values) // SMOOTHING // 2)
    panel.plot(steps, values, color=colour, label=label, marker=None if smoothed else ".")

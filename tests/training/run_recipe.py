"""A training in a process of its own: `python run_recipe.py FOLDER RECIPE.json PHOTOS [PAUSE_AT]`.

Prints a line of JSON for every report. At the validation after step PAUSE_AT it waits for a line on stdin, so that
whoever started it can do something at that very step.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from dualpix.training import sources, train
from dualpix.training.recipes import from_dict


def main(folder: str, recipe: str, photos: str, pause_at: str = "-1") -> None:
    def report(line: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if "validation" in line and line["step"] == int(pause_at):
            sys.stdin.readline()

    torch.set_num_threads(1)
    sources.VALIDATION_PICTURES = 3
    sys.modules["matplotlib.figure"] = None  # type: ignore[assignment]  # no curves: they take longer than the steps
    train(from_dict(json.loads(Path(recipe).read_text())), folder, photos=[photos], report=report)


# No guard: a training must not run the script that started it once more.
main(*sys.argv[1:])

"""Train every method for the same few minutes, and print what it came to: a proof that each row runs, not a ranking.

    python benchmarks/every_recipe.py --photos photos/cid22 --validation photos/kodak --minutes 20 -o runs/rows

Each recipe learns for as long, at low priority, in one process and one thread, and is validated before its first step
and after its last one on the same simulated pictures, beside the blurred input. Minutes are those of the processor, so
that it does not matter what else the machine does; rendering and validating take minutes of their own. The rate does
not fall: a run so short never comes to the end of its schedule. Rows that are done are not done again; one that was
interrupted goes on. Recipes that add simulated pairs to real ones need --data. `field=value` changes every
recipe.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualpix.datasets import mean_view
from dualpix.errors import DualpixError
from dualpix.machine.files import write_whole
from dualpix.networks import DEFOCUS_ESTIMATORS
from dualpix.networks.spec import NetworkSpec
from dualpix.training import train
from dualpix.training.curve import points, read_log
from dualpix.training.feed import CropSource, pool_of
from dualpix.training.learner import Learner
from dualpix.training.recipes import RECIPES, Recipe, find_recipe
from dualpix.training.sources import MAP_ERROR, Validator, open_sources
from dualpix.weights import checkpoint

ROWS = [name for name in RECIPES if name not in ("paper", "tiny")]
ENDLESS = 10**7
HEADER = ("recipe", "minutes", "steps", "loss first", "last", "before", "after", "blurred input", "note")


@dataclass(frozen=True)
class Material:
    """What all rows learn from and are tried on."""

    photos: Sequence[Path]
    validation: Sequence[Path]
    data: Path | None


class Blurred(nn.Module):
    """Does nothing."""

    spec = NetworkSpec(("left", "right"), receptive_radius_px=0)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return mean_view(left, right)


class Unblurred(nn.Module):
    """Says that nothing is blurred."""

    spec = NetworkSpec(("center",), receptive_radius_px=0)

    def forward(self, center: Tensor) -> Tensor:
        return torch.zeros_like(center[:, :1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", nargs="*", metavar="FIELD=VALUE")
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--validation", type=Path, action="append", default=[])
    parser.add_argument("--data", type=Path, help="real pairs, for the recipes that want them too")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--row", action="append", metavar="RECIPE", help="only this one; repeatable")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/rows"))
    given = parser.parse_args()
    os.nice(15)
    torch.set_num_threads(1)
    material = Material(given.photos, given.validation, given.data)
    changes = dict(text.split("=", 1) for text in given.changes)
    found = [row_of(name, changes, material, given.minutes, given.output) for name in given.row or ROWS]
    print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
    for row in found:
        print("| " + " | ".join(_shown(row.get(title, "")) for title in HEADER) + " |")


def row_of(name: str, changes: dict[str, str], material: Material, minutes: float, output: Path) -> dict[str, Any]:
    """The row as it was found once, or found now; why not, if it could not be."""
    path = output / name / "row.json"
    if path.exists():
        row: dict[str, Any] = json.loads(path.read_text())
        return row
    print(f"{name} ...", file=sys.stderr, flush=True)
    try:
        # Its steps have no end but the clock's, and it is validated here.
        recipe = replace(find_recipe(name, changes), final_steps=0, steps=ENDLESS, validate_every=ENDLESS)
        row = measure(name, recipe, material, minutes, output / name)
    except DualpixError as error:
        return {"recipe": name, "note": str(error)}
    write_whole(path, json.dumps(row, indent=2).encode())
    return row


def measure(name: str, recipe: Recipe, material: Material, minutes: float, run: Path) -> dict[str, Any]:
    learner = Learner(recipe)
    data = material.data if recipe.simulated else None
    validation = () if data else material.validation
    source, validator = open_sources(recipe, run.parent / "scenes", material.photos, data, validation, learner.names)
    render_first(source)
    nothing = Unblurred() if recipe.network in DEFOCUS_ESTIMATORS else Blurred()
    before, blurred = scored(validator, learner.averaged()), scored(validator, nothing)
    del learner
    with stop_after(60 * minutes, run):
        train(recipe, run, photos=material.photos, data=data, validation=validation)
    after = scored(validator, checkpoint.load(run / "last.safetensors").network)
    losses, _ = points(read_log(run / "log.jsonl"))
    return {
        "recipe": name,
        "minutes": minutes,
        "steps": losses[-1][0],
        "loss first": losses[0][1],
        "last": losses[-1][1],
        "before": before,
        "after": after,
        "blurred input": blurred,
    }


def render_first(source: CropSource) -> None:
    """The scenes of the first steps, so that no row pays for them with its minutes."""
    pool = pool_of(source)
    if pool is None:
        return
    for index in range(*pool.window(0)):
        if not pool.scenes.has(index):
            pool.scenes.render(index)


def scored(validator: Validator, network: nn.Module) -> str:
    scores = validator(network)
    return f"{scores[MAP_ERROR]:.2f} px" if MAP_ERROR in scores else f"{scores['psnr']:.2f} dB"


@contextmanager
def stop_after(seconds: float, run: Path) -> Iterator[None]:
    """Ask the training in `run` to stop after so many of this process's seconds, counting those of earlier runs."""
    begun, over, account = _beginnings(run), threading.Event(), run / "spent_s.json"
    spent = json.loads(account.read_text()) if (run / "last.pt").exists() and account.exists() else 0.0

    def wait() -> None:
        while _beginnings(run) == begun:
            if over.wait(0.2):
                return
        start = time.process_time()
        while not over.wait(2.0):
            used = spent + time.process_time() - start
            write_whole(account, json.dumps(used).encode())
            if used >= seconds:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watch = threading.Thread(target=wait, daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _beginnings(run: Path) -> int:
    log = run / "log.jsonl"
    return log.read_text().count('"began_at_step"') if log.exists() else 0


def _shown(value: Any) -> str:
    return f"{value:.5f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()

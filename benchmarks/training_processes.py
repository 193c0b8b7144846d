"""Crops a second of one process with several threads, beside several processes of one thread each, in turns.

    python benchmarks/training_processes.py --rounds 3

Both use the same cores, batch and network, and take the same steps. What else the machine does matters: threads
wait for one another within every operation, processes once a step.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from dualpix.training import launch
from dualpix.training.learner import Learner
from dualpix.training.processes import join
from dualpix.training.recipes import Recipe


def measure(recipe: Recipe, steps: int, path: str) -> None:
    """What each process runs; the first writes the crops a second. A first step warms up."""
    with join() as processes:
        size = (len(processes.share(recipe.batch)), 3, recipe.crop, recipe.crop)
        batch = {
            name: torch.rand(size).contiguous(memory_format=torch.channels_last) for name in ("left", "right", "sharp")
        }
        learner = Learner(recipe)
        learner.learn(batch, processes)
        start = time.perf_counter()
        for _ in range(steps):
            learner.learn(batch, processes)
        if processes.first:
            with open(path, "w") as file:
                json.dump(steps * recipe.batch / (time.perf_counter() - start), file)


def crops_per_s(count: int, words: list[str], path: str) -> float:
    command = [__file__, "--measure", path, *words]
    if count == 1:
        subprocess.run([sys.executable, *command], check=True)
    elif launch(count, [], program=command):
        raise SystemExit(1)
    with open(path) as file:
        return float(json.load(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--network", default="mccnet-fast")
    parser.add_argument("--crops", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128, help="pixels")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        recipe = Recipe(network=options.network, batch=options.crops, crop=options.crop, scene=options.crop)
        measure(recipe, options.steps, options.measure)
        return
    words = [f"--{name}={getattr(options, name)}" for name in ("network", "crops", "crop", "steps")]
    path = str(Path(tempfile.gettempdir()) / f"crops_per_s_{os.getpid()}.json")
    rounds = [
        {count: crops_per_s(count, words, path) for count in (1, options.processes)} for _ in range(options.rounds)
    ]
    os.remove(path)
    print("| processes | threads each | crops / s | times the first |\n|---|---|---|---|")
    for count, threads in ((1, torch.get_num_threads()), (options.processes, 1)):
        speed, ratio = (median(values) for values in zip(*((r[count], r[count] / r[1]) for r in rounds), strict=True))
        print(f"| {count} | {threads} | {speed:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()

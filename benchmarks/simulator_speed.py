"""Pairs a second that the simulator gives a trainer, on all cores: one process each, as in training.

    python benchmarks/simulator_speed.py --photos photos --seconds 10

Scenes are 256 px square, with the settings of the recipe `cpu`; each gives four pairs of 128 x 128 with their truth.
Without --photos, surfaces carry noise in place of photographs, which costs the same. CPU time is shown beside the time
on the clock, because on a busy machine the clock measures the neighbours.
"""

import argparse
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from dualpix.data.photos import read_photos
from dualpix.data.simulated import SHOTS_PER_LENS, Simulated
from dualpix.recipes import RECIPES
from dualpix.training.sources import scenes_of

PAIR_PX = 128


def scenes(photos: Sequence[Tensor]) -> Simulated:
    return scenes_of(RECIPES["cpu"], photos, count=10**6, seed=0)


def noise() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, 512, 512), dtype=torch.uint8, generator=generator) for _ in range(8)]


def work(number: int, folders: Sequence[Path], seconds: float) -> tuple[int, float, float]:
    """Render scenes for so many seconds: their number, the seconds on the clock, the seconds of CPU time."""
    torch.set_num_threads(1)
    simulated = scenes(read_photos(folders) if folders else noise())
    first = number * 1000 * SHOTS_PER_LENS
    simulated[first]
    done, start, start_cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        done += 1
        simulated[first + done]
    return done, time.perf_counter() - start, time.process_time() - start_cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="*", default=(), help="folders of photographs")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(
        "--processes",
        type=int,
        default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(work, number, asked.photos, asked.seconds) for number in range(asked.processes)]
        runs = [job.result() for job in jobs]
    size = RECIPES["cpu"].scene
    pairs = (size // PAIR_PX) ** 2
    by_clock = sum(done / clock for done, clock, _ in runs)
    by_cpu = sum(done for done, _, _ in runs) / sum(cpu for _, _, cpu in runs)
    print(f"{asked.processes} processes, {1000 / by_cpu:.0f} ms of CPU time a scene")
    print("| a second | by the clock | by CPU time |\n|---|---|---|")
    for what, each in ((f"scenes of {size} x {size}", 1), (f"pairs of {PAIR_PX} x {PAIR_PX}", pairs)):
        print(f"| {what} | {by_clock * each:.1f} | {by_cpu * asked.processes * each:.1f} |")


if __name__ == "__main__":
    main()

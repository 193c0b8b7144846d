"""Pairs a second that the simulator gives a trainer, on all cores: one process each, as in training.

    python benchmarks/simulator_speed.py --photos photos --seconds 10

Scenes are 256 px square, with the settings of the recipe `cpu`; each gives four pairs of 128 x 128 with their truth.
Only what a trainer keeps of them is made. Without --photos, surfaces carry noise in place of photographs, which costs
the same. CPU time is shown beside the time on the clock, because on a busy machine the clock measures the neighbours.
Below it, where the CPU time of one process goes, as a profiler sees it: a part counts what it calls.
"""

import argparse
import cProfile
import os
import pstats
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from dualpix.simulation.photos import read_photos
from dualpix.simulation.samples import SHOTS_PER_LENS, Simulated
from dualpix.simulation.store import PICTURES
from dualpix.training.recipes import RECIPES, Codec
from dualpix.training.sources import scenes_of

PAIR_PX = 128


PROFILED = 64  # scenes, in a row, which no other part of this has seen: kernels are remembered

PARTS = {
    "decided: scene, lens, sensor, coding": ("samples.py", "shot"),
    "layers painted": ("samples.py", "_layers"),
    "of these, tones decoded": ("sensor.py", "decode"),
    "layers seen through the lens, both apertures": ("render.py", "render"),
    "of this, kernels": ("spreading.py", "trimmed"),
    "of this, convolution, directly": ("spreading.py", "_directly"),
    "of this, convolution, by transforms": ("spreading.py", "_by_transforms"),
    "noise and shading": ("sensor.py", "expose"),
    "tones encoded": ("sensor.py", "encode"),
    "lossy coding": ("coding.py", "__call__"),
}


def scenes(photos: Sequence[Tensor], compressed: float | None, codecs: tuple[Codec, ...]) -> Simulated:
    recipe = RECIPES["cpu"]
    share = recipe.compressed if compressed is None else compressed
    return scenes_of(replace(recipe, compressed=share, codecs=codecs), photos, count=10**6, seed=0)


def noise() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, 512, 512), dtype=torch.uint8, generator=generator) for _ in range(8)]


def opened(asked: argparse.Namespace) -> Simulated:
    torch.set_num_threads(1)
    return scenes(read_photos(asked.photos) if asked.photos else noise(), asked.compressed, tuple(asked.codecs))


def work(number: int, asked: argparse.Namespace) -> tuple[int, float, float]:
    """Render scenes for so many seconds: their number, the seconds on the clock, the seconds of CPU time."""
    simulated = opened(asked)
    first = number * 1000 * SHOTS_PER_LENS
    simulated.sample(first, PICTURES)
    done, start, start_cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < asked.seconds:
        done += 1
        simulated.sample(first + done, PICTURES)
    return done, time.perf_counter() - start, time.process_time() - start_cpu


def profile(asked: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of CPU time a scene, by `PARTS`."""
    simulated, profiler = opened(asked), cProfile.Profile(time.process_time)
    first = 10**6 - PROFILED
    simulated.sample(first - SHOTS_PER_LENS, PICTURES)
    profiler.runcall(lambda: [simulated.sample(first + number, PICTURES) for number in range(PROFILED)])
    seconds = {(Path(file).name, name): cost[3] for (file, _, name), cost in pstats.Stats(profiler).stats.items()}  # type: ignore[attr-defined]
    return {part: seconds.get(place, 0.0) / PROFILED * 1000 for part, place in PARTS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="*", default=(), help="folders of photographs")
    parser.add_argument("--compressed", type=float, help="share of scenes that are coded, if not the recipe's")
    parser.add_argument("--codecs", nargs="*", default=RECIPES["cpu"].codecs)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(
        "--processes",
        type=int,
        default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(work, number, asked) for number in range(asked.processes)]
        runs = [job.result() for job in jobs]
        parts = pool.submit(profile, asked).result()
    size = RECIPES["cpu"].scene
    pairs = (size // PAIR_PX) ** 2
    by_clock = sum(done / clock for done, clock, _ in runs)
    by_cpu = sum(done for done, _, _ in runs) / sum(cpu for _, _, cpu in runs)
    print(f"{asked.processes} processes, {1000 / by_cpu:.0f} ms of CPU time a scene")
    print("| a second | by the clock | by CPU time |\n|---|---|---|")
    for what, each in ((f"scenes of {size} x {size}", 1), (f"pairs of {PAIR_PX} x {PAIR_PX}", pairs)):
        print(f"| {what} | {by_clock * each:.1f} | {by_cpu * asked.processes * each:.1f} |")
    print("\n| part | ms of CPU time a scene, profiled |\n|---|---|")
    for part, ms in parts.items():
        print(f"| {part} | {ms:.1f} |")


if __name__ == "__main__":
    main()

"""Pairs a second that the simulator gives a trainer, on all cores: one process each, as in training.

    python benchmarks/simulator_speed.py --photos photos --seconds 10
    python benchmarks/simulator_speed.py --photos photos --beside OLDER --rounds 5

Scenes are 256 px square, with the settings of the recipe `cpu`; each gives four pairs of 128 x 128 with their truth.
Only what a trainer keeps of them is made. Without --photos, surfaces carry noise in place of photographs, which costs
the same. CPU time is shown beside the time on the clock, because on a busy machine the clock measures the neighbours.
Below it, where the CPU time of one process goes, as a profiler sees it: a part counts what it calls.

With --beside, a checkout of another version, two processes of one thread render the same scenes in turns, a lens each
time, and their CPU time is compared.
"""

import argparse
import cProfile
import os
import pstats
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualpix.simulation.photos import read_photos
from dualpix.simulation.samples import SHOTS_PER_LENS, Simulated
from dualpix.simulation.store import PICTURES
from dualpix.training.recipes import RECIPES
from dualpix.training.sources import scenes_of

PAIR_PX, SIZE = 128, RECIPES["cpu"].scene
PAIRS = (SIZE // PAIR_PX) ** 2

KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""As the process has it that renders for a training."""

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


def scenes(photos: Sequence[Tensor], compressed: float | None, codecs: Any) -> Simulated:
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


def answer(asked: argparse.Namespace) -> None:
    """Render the scenes of a lens for each line that names the first: seconds of CPU time, and on the clock."""
    simulated = opened(asked)
    for line in sys.stdin:
        first, start, start_cpu = int(line), time.perf_counter(), time.process_time()
        for number in range(SHOTS_PER_LENS):
            simulated.sample(first + number, PICTURES)
        print(time.process_time() - start_cpu, time.perf_counter() - start, flush=True)


def in_turns(asked: argparse.Namespace) -> None:
    """Print what a scene takes here and in the other checkout, and how many times as quick it is here."""
    words = [sys.executable, __file__, "--answer", "--codecs", *asked.codecs]
    words += ["--photos", *map(str, asked.photos)] if asked.photos else []
    words += ["--compressed", str(asked.compressed)] if asked.compressed is not None else []
    sides: list[subprocess.Popen[str]] = []
    for home in (asked.beside, Path(__file__).parents[1]):
        path = {"PYTHONPATH": str((home / "src").resolve()), "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        sides.append(subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=os.environ | KEEPING | path))
    times: list[list[tuple[float, float]]] = [[], []]
    for turn in range(asked.rounds + 1):
        for side in (0, 1) if turn % 2 else (1, 0):
            asks, answers = sides[side].stdin, sides[side].stdout
            assert asks is not None and answers is not None
            print(turn * SHOTS_PER_LENS, file=asks, flush=True)
            cpu, clock = map(float, answers.readline().split())
            if turn:  # the first one makes ready
                times[side].append((cpu, clock))
    for process in sides:
        process.communicate()
    print("| | ms of CPU time a scene | on the clock | pairs a second of CPU time |\n|---|---:|---:|---:|")
    for name, spent in zip((str(asked.beside), "here"), times, strict=True):
        cpu, clock = (1000 * statistics.mean(kind) / SHOTS_PER_LENS for kind in zip(*spent, strict=True))
        print(f"| {name} | {cpu:.1f} | {clock:.1f} | {1000 * PAIRS / cpu:.1f} |")
    ratios = sorted(other[0] / own[0] for other, own in zip(*times, strict=True))
    print(f"times as quick here, by CPU time: {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")


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
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="a checkout of another version")
    parser.add_argument("--rounds", type=int, default=5, help="lenses of 16 scenes, with --beside")
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.answer or asked.beside:
        (answer if asked.answer else in_turns)(asked)
        return
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(work, number, asked) for number in range(asked.processes)]
        runs = [job.result() for job in jobs]
        parts = pool.submit(profile, asked).result()
    by_clock = sum(done / clock for done, clock, _ in runs)
    by_cpu = sum(done for done, _, _ in runs) / sum(cpu for _, _, cpu in runs)
    print(f"{asked.processes} processes, {1000 / by_cpu:.0f} ms of CPU time a scene")
    print("| a second | by the clock | by CPU time |\n|---|---|---|")
    for what, each in ((f"scenes of {SIZE} x {SIZE}", 1), (f"pairs of {PAIR_PX} x {PAIR_PX}", PAIRS)):
        print(f"| {what} | {by_clock * each:.1f} | {by_cpu * asked.processes * each:.1f} |")
    print("\n| part | ms of CPU time a scene, profiled |\n|---|---|")
    for part, ms in parts.items():
        print(f"| {part} | {ms:.1f} |")


if __name__ == "__main__":
    main()

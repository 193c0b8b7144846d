"""Crops a second that a training gets from real pairs: each decoded for one crop, and kept decoded.

    python benchmarks/pair_feed.py DATA --deep

DATA is a folder in a layout that `dualpix train --data` takes. With --deep its pictures are copied first as 16-bit PNG,
as DPDD has them. Batches are those of the recipe `cpu` without anything that learns from them. CPU time is shown beside
the time on the clock, because on a busy machine the clock measures the neighbours.
"""

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path

from dualpix import read_picture, write_picture
from dualpix.datasets import open_dataset
from dualpix.datasets.decoded import Decoded, FromFiles
from dualpix.io.decoded import DecodedPictures
from dualpix.training.feed import Feed, Fixed
from dualpix.training.recipes import RECIPES

NAMES = ("left", "right", "sharp")


def deepened(data: FromFiles, folder: Path) -> FromFiles:
    """A copy of a data set at 16 bits, with noise in the new bits as a camera has it."""
    for number in range(len(data)):
        sample = data[number]
        for name in (*NAMES, "center"):
            pixels = sample[name] * (254 / 255) + (sample[name].roll(number + 1, -1) % (8 / 255)) / 8
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_picture(folder / name / f"{number:03}.png", pixels.clamp(0, 1), depth=16)
    copied = open_dataset(folder)
    assert isinstance(copied, FromFiles)
    return copied


def measured(source: Fixed, steps: range) -> tuple[float, float]:
    """Crops a second by the clock, and ms of CPU time a crop."""
    recipe = RECIPES["cpu"]
    with closing(Feed(source, recipe, NAMES)) as feed:
        began, began_cpu = time.perf_counter(), time.process_time()
        for step in steps:
            feed.batch(step)
    crops = (len(steps) + 1) * recipe.batch  # those of the step after the last are cut as well
    return crops / (time.perf_counter() - began), 1000 * (time.process_time() - began_cpu) / crops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the data set")
    parser.add_argument("--deep", action="store_true", help="copy its pictures as 16-bit PNG first")
    parser.add_argument("--steps", type=int, default=5, help="of 8 crops each, for pairs that are decoded every time")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = open_dataset(asked.data)
        if not isinstance(data, FromFiles):
            parser.error(f"{asked.data} is not made of picture files.")
        data = deepened(data, Path(folder) / "deep") if asked.deep else data
        example = read_picture(data.files[0])
        print(f"{data.found}; {example.pixels.shape[-1]} x {example.pixels.shape[-2]}, {example.depth} bits")
        kept = Decoded(data, DecodedPictures(Path(folder) / "kept"), NAMES)
        began = time.process_time()
        for number in range(len(data)):
            kept.stored(number)
        seconds = time.process_time() - began
        took = sum(file.stat().st_size for file in (Path(folder) / "kept").iterdir()) / 1e6
        print(f"decoded once: {seconds / len(data):.2f} s of CPU time and {took / len(data):.1f} MB a pair")
        print("| crops of real pairs | a second | ms of CPU time a crop |\n|---|---:|---:|")
        for what, samples, steps in (("each decoded for one crop", data, 1), ("kept decoded", kept, 40)):
            rate, cpu = measured(Fixed(samples), range(steps * asked.steps))
            print(f"| {what} | {rate:.1f} | {cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()

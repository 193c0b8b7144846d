"""Pairs a second and memory of `dualpix deblur FOLDER`, over many pairs.

    python benchmarks/folder_throughput.py --pairs 10000 --size 48x48

The pairs are one pair of noise under many names. The network is a DPDNet of width 4, so that reading, writing and
keeping the journal weigh; --weights measures another. "apart" is what reading, computing and writing would take one
after the other. Memory is the largest resident size in the first and in the last tenth. Linux only.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch

from dualpix import create, write_picture
from dualpix.inference import batch
from dualpix.inference.options import DeblurOptions
from dualpix.weights import checkpoint

NARROW = {"widths": [4, 4, 4, 4, 4]}
STAGES = ("read", "deblur", "write")


def lay_out(folder: Path, count: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    for side in "LR":
        write_picture(folder / f"{side}.png", torch.rand(3, height, width), depth=8)
    (folder / "pairs").mkdir()
    for number in range(count):
        for side in "LR":
            os.link(folder / f"{side}.png", folder / "pairs" / f"{number:06}_{side}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--size", default="48x48", help="HEIGHTxWIDTH in pixels")
    parser.add_argument("--weights", help="a name or a file; by default a narrow network")
    arguments = parser.parse_args()
    height, width = (int(side) for side in arguments.size.split("x"))
    resident: list[int] = []
    apart = dict.fromkeys(STAGES, 0.0)

    def look(outcome: batch.Outcome) -> None:
        assert outcome.state == "made", outcome.error
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        for stage in STAGES:
            apart[stage] += outcome.details["seconds"][stage]

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        lay_out(folder, arguments.pairs, height, width)
        narrow = folder / "narrow.safetensors"
        checkpoint.save(narrow, create("dpdnet", **NARROW), "dpdnet", NARROW)
        weights = batch.open_weights(arguments.weights or narrow)
        jobs = batch.list_jobs(folder / "pairs", folder / "out")
        start = time.perf_counter()
        # Noise is no pair, which is of no matter here.
        batch.run_jobs(jobs, weights, DeblurOptions(force=True), look)
        seconds = time.perf_counter() - start
    tenth = max(1, len(resident) // 10)
    print("| pairs | size | pairs/s | seconds | apart: read, deblur, write | MB, first and last tenth |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {len(jobs)} | {width} x {height} | {len(jobs) / seconds:.1f} | {seconds:.1f} "
        f"| {', '.join(f'{apart[stage]:.1f}' for stage in STAGES)} "
        f"| {max(resident[:tenth]) / 1e6:.0f}, {max(resident[-tenth:]) / 1e6:.0f} |"
    )


if __name__ == "__main__":
    main()

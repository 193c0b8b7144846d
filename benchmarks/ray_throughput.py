"""Seconds a pair and memory of `dualpix deblur FOLDER --ray` on this machine, beside the same run in one process.

    python benchmarks/ray_throughput.py --pairs 2000 [--rounds 2] [-o scale-memory.png]
    python benchmarks/ray_throughput.py --pairs 24 --size 600x800 --weights mccnet-fast --worker-cpus 1 2

Small pairs of noise and a narrow network, so that everything but the network weighs, unless others are asked for. All
run in turns. A run's time is that from its first picture to its last, by the times of the files, which leaves the start
out; CPU seconds are those of all its processes in that time. Memory (resident) is looked at every half second. Linux
only.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from dualpix import create, write_picture
from dualpix.weights import checkpoint
from hosts import children
from kill_ray import NARROW, QUIET

LOOK_S = 0.5


class Look(NamedTuple):
    """Seconds since the start, MB of the driver and of each worker, and CPU seconds of all processes."""

    moment: float
    driver_mb: float
    workers_mb: tuple[float, ...]
    cpu_s: float


class Ran(NamedTuple):
    """Milliseconds a pair by the clock and of CPU, and all looks."""

    pair_ms: float
    cpu_ms: float
    whole_s: float
    looks: list[Look]


def lay_out(folder: Path, count: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    checkpoint.save(folder / "w.safetensors", create("dpdnet", **NARROW), "dpdnet", NARROW)
    for side in "LR":
        write_picture(folder / f"{side}.png", torch.rand(3, height, width), depth=8)
    (folder / "pairs").mkdir()
    for number in range(count):
        for side in "LR":
            os.link(folder / f"{side}.png", folder / "pairs" / f"{number:06}_{side}.png")


def look(root: int, began: float) -> Look:
    driver, workers, cpu = 0.0, [], 0.0
    for pid in children(root):
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
            spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        except OSError:
            continue
        cpu += sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")
        size = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        if pid == root:
            driver = size
        elif b"_Actor" in title:
            workers.append(size)
    return Look(time.time() - began, driver, tuple(workers), cpu)


def run(folder: Path, target: str, *more: str) -> Ran:
    words = ["deblur", "pairs", "-o", target, "--force", *more]
    began, looks = time.time(), []
    with subprocess.Popen([sys.executable, "-m", "dualpix", *words], cwd=folder, env=QUIET) as process:
        while process.poll() is None:
            looks.append(look(process.pid, began))
            time.sleep(LOOK_S)
    if process.returncode:
        sys.exit(f"{' '.join(words)} ended with code {process.returncode}")
    times = sorted(path.stat().st_mtime - began for path in (folder / target).glob("*.png"))
    inside = [one for one in looks if times[0] <= one.moment <= times[-1]]
    share = (inside[-1].moment - inside[0].moment) / (times[-1] - times[0])
    cpu_ms = 1000 * (inside[-1].cpu_s - inside[0].cpu_s) / share / len(times)
    return Ran(1000 * (times[-1] - times[0]) / (len(times) - 1), cpu_ms, time.time() - began, inside)


def tenths(looks: list[Look], role: str) -> str:
    sizes = [one.driver_mb if role == "driver" else max(one.workers_mb, default=0.0) for one in looks]
    part = max(1, len(sizes) // 10)
    return f"{max(sizes[part : 2 * part], default=sizes[0]):.0f}, {max(sizes[-part:]):.0f}"


def draw(ran: Ran, path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot([one.moment for one in ran.looks], [one.driver_mb for one in ran.looks], label="driver")
    for number in range(max(len(one.workers_mb) for one in ran.looks)):
        seen = [(one.moment, one.workers_mb[number]) for one in ran.looks if len(one.workers_mb) > number]
        axes.plot(*zip(*seen, strict=True), label=f"worker {number + 1}")
    axes.set(xlabel="seconds since the start", ylabel="resident memory, MB", ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, help="a plot of the last run's memory")
    parser.add_argument("--size", default="48x48", help="HEIGHTxWIDTH in pixels")
    parser.add_argument("--weights", default="w.safetensors", help="a name; by default a narrow network")
    parser.add_argument("--worker-cpus", nargs="+", default=["1"], help="cores of a worker: a run for each number")
    asked = parser.parse_args()
    ways = {
        "one process": (),
        **{f"Ray, {cores} cores a worker": ("--ray", "--worker-cpus", cores) for cores in asked.worker_cpus},
    }
    found: dict[str, list[Ran]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as place:
        lay_out(Path(place), asked.pairs, *map(int, asked.size.split("x")))
        for number in range(asked.rounds):
            for name, words in ways.items():
                found[name].append(
                    run(Path(place), f"{name[:5]}{len(words) and words[-1]}-{number}", "-w", asked.weights, *words)
                )
    print("| run | ms a pair | CPU ms a pair | whole, s | driver MB | worker MB (second and last tenth) |")
    print("|---|---|---|---|---|---|")
    for name, runs in found.items():
        for one in runs:
            worker = tenths(one.looks, "worker") if ways[name] else ""
            driver = tenths(one.looks, "driver")
            print(f"| {name} | {one.pair_ms:.1f} | {one.cpu_ms:.1f} | {one.whole_s:.0f} | {driver} | {worker} |")
    for what in ("pair_ms", "cpu_ms"):
        local, *rays = (statistics.median(getattr(one, what) for one in runs) for runs in found.values())
        print(f"Ray beside one process, {what}: {', '.join(f'{ray / local:.2f}' for ray in rays)}")
    if asked.output:
        draw([*found.values()][-1][-1], asked.output)


if __name__ == "__main__":
    main()

"""Seconds and peak memory of every network of the paper's Table 1, and of Restormer, in the same engine and precision.

    python benchmarks/table1_speed.py --size 1120x1680

PyTorch on the processor, float32, channels-last, whole pictures (padded to what a network divides by), as
`networks.streaming.prepared` gives them; each network in a process of its own, which also measures the machine's best
matrix product, as a busy machine is slower. Seconds are the shortest of `--rounds`. Networks that would take too much
time or memory take `--small HEIGHTxWIDTH`: their seconds are scaled by the number of pixels and marked "~", and their
memory is that of the small picture. Whole-row correlation grows faster than that. With `--threads 1` seconds are those
that the processor worked, which a busy machine lengthens little. Linux only.
"""

import argparse
import json
import subprocess
import sys

from dualpix.networks import NETWORKS, create
from dualpix.networks.counting import count
from dualpix.networks.spec import spec_of

ONE = """
import json, sys, time
import torch
from dualpix.networks import create
from dualpix.networks.streaming import prepared

name, height, width, rounds, threads = sys.argv[1], *map(int, sys.argv[2:])
if threads:
    torch.set_num_threads(threads)
now = time.process_time if threads == 1 else time.perf_counter
torch.manual_seed(0)
network = prepared(create(name).eval().to(memory_format=torch.channels_last))

def best(work, rounds):
    seconds = []
    for _ in range(rounds):
        start = now()
        work()
        seconds.append(now() - start)
    return min(seconds)

one, other = torch.rand(2, 1024, 1024)
limit = 1024**3 / best(lambda: one @ other, 20)
with torch.no_grad():
    views = [torch.rand(1, 3, height, width).contiguous(memory_format=torch.channels_last) for _ in network.spec.views]
    seconds = best(lambda: network(*views), rounds)
limit = max(limit, 1024**3 / best(lambda: one @ other, 20))
status = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Vm"))
print(json.dumps({"seconds": seconds, "peak_gb": int(status["VmHWM"].split()[0]) / 1e6, "limit": limit}))
"""


def fitting(name: str, size: str) -> tuple[int, int]:
    """`size` made to fit what the network divides by."""
    multiple = spec_of(create(name)).size_multiple
    height, width = (-(-int(side) // multiple) * multiple for side in size.split("x"))
    return height, width


def row(name: str, size: str, small: str | None, rounds: int, threads: int) -> str:
    full = fitting(name, size)
    height, width = full if small is None else fitting(name, small)
    command = [sys.executable, "-c", ONE, name, str(height), str(width), str(rounds), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    counts = count(create(name), *full)
    gmac = (counts.conv_macs + counts.attention_macs) / 1e9
    if done.returncode:
        return f"| {name} | {gmac:.0f} | does not run here: {done.stderr.strip().splitlines()[-1][:60]} | | | |"
    found = json.loads(done.stdout)
    times = full[0] * full[1] / (height * width)
    seconds, mark = found["seconds"] * times, "" if small is None else "~"
    memory = f"{found['peak_gb']:.1f}" + ("" if small is None else f" at {height} x {width}")
    return (
        f"| {name} | {gmac:.0f} | {mark}{seconds:.1f} | {gmac / seconds:.0f} | {found['limit'] / 1e9:.0f} | {memory} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1120x1680", help="HEIGHTxWIDTH in pixels")
    parser.add_argument("--small", help="HEIGHTxWIDTH to run instead, and scale")
    parser.add_argument("--network", action="append", choices=NETWORKS, help="several times; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="default: all")
    options = parser.parse_args()
    print("| network | GMAC | s | GMAC/s | best product, GMAC/s | peak GB |\n|---|---|---|---|---|---|")
    for name in options.network or NETWORKS:
        print(row(name, options.size, options.small, options.rounds, options.threads), flush=True)


if __name__ == "__main__":
    main()

"""Seconds and peak memory of `deblur`, each in a process of its own.

    python benchmarks/deblur_memory.py --size 1120x1680 --method mccnet --method mccnet-fast

A method without shipped weights runs with untrained ones, which costs the same. Memory is the largest resident size of
the whole process, Python and PyTorch (about 0.35 GB) included; seconds are those of one `deblur` after the network is
loaded, the first and the second time. Linux only.
"""

import argparse
import json
import subprocess
import sys

ONE = """
import json, sys, time
import torch
from dualpix.deblurring import deblur_pair
from dualpix.networks import create

method, height, width, memory, precision = sys.argv[1:]
torch.manual_seed(0)
network = create(method).eval()
left = torch.rand(3, int(height), int(width))
sample = {"left": left, "right": left.roll(2, 2), "name": "noise"}
seconds = []
for _ in range(2):
    start = time.perf_counter()
    done = deblur_pair(sample, network, memory=memory or None, precision=precision)
    seconds.append(round(time.perf_counter() - start, 2))
sizes = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Vm"))
peak = int(sizes["VmHWM"].split()[0]) / 1e6
plan = {"bands": len(done.plan.bands), "precision": done.plan.precision}
print(json.dumps({**plan, "seconds": seconds, "peak_gb": round(peak, 2)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1120x1680", help="HEIGHTxWIDTH in pixels")
    parser.add_argument("--method", action="append", help="a network's name; may be given several times")
    parser.add_argument("--memory", default="", help="a budget such as 2GB; by default the package's own choice")
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    height, width = arguments.size.split("x")
    print("| method | bands | precision | seconds, first and second | peak GB |\n|---|---|---|---|---|")
    for method in arguments.method or ["mccnet", "mccnet-fast"]:
        command = [sys.executable, "-c", ONE, method, height, width, arguments.memory, arguments.precision]
        out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        first, second = out["seconds"]
        print(f"| {method} | {out['bands']} | {out['precision']} | {first}, {second} | {out['peak_gb']} |")


if __name__ == "__main__":
    main()

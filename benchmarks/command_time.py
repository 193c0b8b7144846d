"""Seconds of whole commands on one pair, in turns, beside plain `dualpix deblur`.

    python benchmarks/command_time.py LEFT RIGHT --rounds 5

Each run is a process of its own, start and files included; the table has the median of the seconds and of the
processor's seconds, and the median of the ratios within each round. Run it on a machine that does nothing else.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

OPTICS = ["--focus-distance", "2", "--f-number", "4", "--focal-length", "50", "--sensor-width", "36"]
WAYS = {
    "deblur": ["deblur"],
    "deblur --keep-blur": ["deblur", "--keep-blur", "behind 2"],
    "refocus": ["refocus", "--focus", "1.5", "--aperture", "2"],
    "deblur --metres": ["deblur", "--metres", "metres.tif", *OPTICS],
}


def run(words: list[str], folder: str) -> tuple[float, float]:
    """Seconds, and the processor's seconds, of one command."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "dualpix", *words], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"dualpix {' '.join(words)} ended with code {process.returncode}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("left", type=Path)
    parser.add_argument("right", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    pair = [str(given.left.resolve()), str(given.right.resolve())]
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(given.rounds):
            for way, (command, *options) in WAYS.items():
                taken[way].append(run([command, *pair, "-o", "out.tif", "--overwrite", *options], folder))
    print("| command | s | processor s | times deblur | processor, times deblur |\n|---|---:|---:|---:|---:|")
    for way, times in taken.items():
        pairs = list(zip(times, taken["deblur"], strict=True))
        ratios = [median(one[kind] / plain[kind] for one, plain in pairs) for kind in (0, 1)]
        seconds = [median(one[kind] for one in times) for kind in (0, 1)]
        print(f"| {way} | {seconds[0]:.2f} | {seconds[1]:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()

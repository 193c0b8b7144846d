"""Seconds and peak memory of deblurring against the number of pixels, each size in a process of its own. Linux only.

    python benchmarks/scaling.py --photos photos -o results --method mccnet-fast --megapixels 0.5 2 8 30 45
    python benchmarks/scaling.py -o results --method mccnet mccnet-window --photos photos --megapixels 0.5 2 8

Each run adds to scaling.csv in OUT and draws the table and the plot of all that is there: so the large sizes can be
measured at another time. A pair is put together of photographs side by side, shifted by 4 px, and read from two 16-bit
TIFF files; the result is written to a third. Memory is the largest resident size of the whole process. `mccnet` looks
along whole rows, as in the paper, `mccnet-window` 48 px either way; both have untrained weights, which cost the same.
Powers are fitted to CPU time, because on a busy machine the clock measures the neighbours.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from matplotlib import pyplot
from PIL import Image

SIZES = {0.5: (576, 864), 2: (1152, 1728), 8: (2304, 3456), 30: (4480, 6720), 45: (5472, 8208)}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "mccnet-fast": ("mccnet-fast", {}),
    "mccnet": ("mccnet", {}),
    "mccnet-window": ("mccnet", {"max_disparity": 24}),
}
SHIFT_PX = 4
COLUMNS = {
    "method": "method",
    "megapixels": "megapixels",
    "bands": "bands",
    "read": "read, s",
    "deblur": "deblur, s",
    "cpu": "its CPU time, s",
    "write": "write, s",
    "correlation": "correlations alone, CPU s",
    "start_gb": "peak before, GB",
    "peak_gb": "peak, GB",
    "note": "",
}

ONE = """
import json, sys, time
import torch
from dualpix import networks
from dualpix.weights import checkpoint
from dualpix.inference.deblur import deblur_pair
from dualpix.io import write_picture
from dualpix.pairs import open_views
from dualpix.networks.layers.correlation import correlate_rows

def peak_gb():
    lines = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Vm"))
    return int(lines["VmHWM"].split()[0]) * 1024 / 1e9

def correlating(height, width, reach):
    # What the two correlations of mccnet do, on a few rows at a time as the whole would not fit; CPU seconds.
    spent = 0.0
    for scale in (2, 4):
        rows, columns = height // scale, width // scale
        query, value = (torch.rand(2, 16, columns, 64).permute(0, 3, 1, 2) for _ in range(2))
        within = None if reach is None else -(-2 * reach // scale)
        for _ in range(0, rows, 16):
            start = time.process_time()
            correlate_rows(query, query, value, within)
            spent += time.process_time() - start
    return spent

left, right, out, name, arguments, memory, correlate = json.loads(sys.argv[1])
torch.manual_seed(0)
if name == "mccnet-fast":
    network = checkpoint.load(name).network
else:
    network = networks.create(name, **arguments).eval()
start_gb = peak_gb()
marks = [time.perf_counter()]
pair = open_views(left, right)
marks.append(time.perf_counter())
cpu = time.process_time()
done = deblur_pair(dict(pair), network, memory=memory)
cpu = round(time.process_time() - cpu, 2)
marks.append(time.perf_counter())
write_picture(out, done.picture, 16, True)
marks.append(time.perf_counter())
height, width = done.picture.shape[1:]
read, deblur, write = (round(b - a, 2) for a, b in zip(marks, marks[1:]))
found = {"bands": len(done.plan.bands), "read": read, "deblur": deblur, "cpu": cpu, "write": write,
         "plan": str(done.plan), "start_gb": round(start_gb, 3), "peak_gb": round(peak_gb(), 3)}
if correlate:
    with torch.no_grad():
        found["correlation"] = round(correlating(height, width, arguments.get("max_disparity")), 2)
print(json.dumps(found))
"""


def make_pair(photos: Path, height: int, width: int, folder: Path) -> tuple[Path, Path]:
    """Photographs side by side, as two views that lie `SHIFT_PX` apart."""
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".webp"))
    canvas = np.zeros((height, width + SHIFT_PX, 3), np.uint16)
    top, number = 0, 0
    while top < height:
        left, tall = 0, None
        while left < canvas.shape[1]:
            with Image.open(files[number % len(files)]) as image:
                photo = np.asarray(image.convert("RGB")).astype(np.uint16) * 257
            tall = tall or len(photo)
            part = photo[: min(tall, height - top), : canvas.shape[1] - left]
            canvas[top : top + len(part), left : left + part.shape[1]] = part
            left, number = left + part.shape[1], number + 1
        top += tall or height
    places = folder / "left.tif", folder / "right.tif"
    tifffile.imwrite(places[0], canvas[:, SHIFT_PX:], photometric="rgb")
    tifffile.imwrite(places[1], canvas[:, :width], photometric="rgb")
    return places


def measure(method: str, left: Path, right: Path, memory: str | None) -> dict[str, Any]:
    name, arguments = METHODS[method]
    out = str(left.with_name("sharp.tif"))
    job = json.dumps([str(left), str(right), out, name, arguments, memory, name == "mccnet"])
    command = [sys.executable, "-W", "ignore", "-c", ONE, job]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(method, found, flush=True)
    return found


def exponent(pixels: list[float], amounts: list[float]) -> float:
    """The slope of a line through the logarithms: 1 for what grows linearly."""
    return float(np.polyfit(np.log(pixels), np.log(amounts), 1)[0])


def draw(rows: list[dict[str, str]], path: Path) -> str:
    """The plot, as a file; and the exponents, as a table."""
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    lines = [
        "| method | sizes, megapixels | CPU seconds grow as pixels to the power | bytes a pixel, where run whole |"
    ]
    lines.append("|---|---|---:|---:|")
    for number, method in enumerate(METHODS):
        mine = sorted((row for row in rows if row["method"] == method), key=lambda row: float(row["megapixels"]))
        if not mine:
            continue
        pixels = [float(row["megapixels"]) for row in mine]
        seconds = [float(row["cpu"]) for row in mine]
        memory = [float(row["peak_gb"]) for row in mine]
        axes[0].plot(pixels, seconds, "o-", color=f"C{number}", label=method)
        axes[1].plot(pixels, memory, "o-", color=f"C{number}", label=method)
        whole = [(size, gb) for size, gb, row in zip(pixels, memory, mine, strict=True) if row["bands"] == "1"]
        line(lines, method, pixels, seconds, whole)
        if parts := [float(row["correlation"]) for row in mine if row["correlation"]]:
            label = f"{method}, its correlations"
            axes[0].plot(pixels, parts, "s--", color=f"C{number}", label=label)
            line(lines, label, pixels, parts, [])
    ends = np.array([0.4, 50.0])
    axes[0].plot(ends, 3.5 * ends, ":", color="0.6", label="proportional")
    axes[0].set(xscale="log", yscale="log", xlabel="megapixels", ylabel="seconds of CPU time")
    axes[1].set(xlabel="megapixels", ylabel="peak memory of the process, GB", ylim=(0, None))
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=100)
    return "\n".join(lines)


def line(
    lines: list[str], label: str, pixels: list[float], seconds: list[float], whole: list[tuple[float, float]]
) -> None:
    sizes, peaks = [size for size, _ in whole], [gb for _, gb in whole]
    slope = f"{1000 * np.polyfit(sizes, peaks, 1)[0]:.0f}" if len(whole) > 1 else ""
    power = f"{exponent(pixels, seconds):.2f}" if len(pixels) > 1 else ""
    lines.append(f"| {label} | {', '.join(f'{size:g}' for size in pixels)} | {power} | {slope} |")


def table(rows: list[dict[str, str]]) -> str:
    lines = [f"| {' | '.join(COLUMNS.values())} |", f"|---|{(len(COLUMNS) - 2) * '---:|'}---|"]
    for row in sorted(rows, key=lambda row: (row["method"], float(row["megapixels"]))):
        lines.append(f"| {' | '.join(row[column] for column in COLUMNS)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="a folder of photographs; without it nothing is measured")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder of scaling.csv and scaling.png")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=["mccnet-fast"])
    parser.add_argument("--megapixels", nargs="+", type=float, choices=SIZES, default=[0.5, 2.0, 8.0])
    parser.add_argument("--memory", help="a budget such as 4GB; by default the package's own choice")
    parser.add_argument("--note", default="", help="a remark on these runs, for the table")
    arguments = parser.parse_args()
    place = arguments.output / "scaling.csv"
    rows = list(csv.DictReader(place.open())) if place.exists() else []
    for size in arguments.megapixels if arguments.photos else ():
        with tempfile.TemporaryDirectory() as folder:
            left, right = make_pair(arguments.photos, *SIZES[size], Path(folder))
            for method in arguments.method:
                found = measure(method, left, right, arguments.memory)
                row = {"correlation": "", **found, "method": method, "megapixels": f"{size:g}", "note": arguments.note}
                rows.append({column: str(row[column]) for column in COLUMNS})
                with place.open("w", newline="") as file:
                    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(rows)
    print(table(rows), draw(rows, arguments.output / "scaling.png"), sep="\n\n")


if __name__ == "__main__":
    main()

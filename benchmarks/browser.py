"""Time and memory of the page that computes in the browser, at several sizes and numbers of threads.

    python benchmarks/browser.py LEFT RIGHT [WIDTHxHEIGHT ...] [--pause SECONDS]

Takes the built page (`make site`), serves it to headless Chromium, and deblurs crops of a pair, which is mirrored where
it is too small. Prints seconds on the clock until the pair is read and from the click to the picture, those of the
processor for the latter, and the peak memory of the tab's process. `--pause`: how long one waits before giving
the pair, and again before the click; 0 by default.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "web"), str(ROOT / "site" / "tests")]

from browsing import Browser, browsing  # noqa: E402
from static_host import Host, hosting  # noqa: E402

from dualpix.io import read_picture, write_picture  # noqa: E402

SIZES = ("384x256", "768x512", "1680x1120")
WAIT_S = 1800
CLOCK_HZ = os.sysconf("SC_CLK_TCK")


def grown(view: Tensor, width: int, height: int) -> Tensor:
    """A crop from the corner of the picture, mirrored as often as that takes."""
    rows, columns = (_mirrored(count, size) for count, size in zip((height, width), view.shape[1:], strict=True))
    return view[:, rows][:, :, columns].contiguous()


def _mirrored(count: int, size: int) -> Tensor:
    place = torch.arange(count) % (2 * size)
    return torch.where(place < size, place, 2 * size - 1 - place)


def renderers(ancestor: int) -> Iterator[Path]:
    """The processes of tabs that a process has started, as folders of /proc."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            line = (folder / "cmdline").read_text()
        except OSError:
            continue
        if "--type=renderer" not in line:
            continue
        one = int(folder.name)
        while one in parents and one != ancestor:
            one = parents[one]
        if one == ancestor:
            yield folder


def used() -> tuple[float, float]:
    """Processor seconds so far, and peak memory in MB, of the tab that has used the most memory."""
    peaks = []
    for folder in renderers(os.getpid()):
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        times = (folder / "stat").read_text().rsplit(")", 1)[1].split()[11:13]
        peaks.append((int(status["VmHWM"].split()[0]) / 1000, sum(map(int, times)) / CLOCK_HZ))
    peak_mb, seconds = max(peaks)
    return seconds, peak_mb


def deblur(browser: Browser, host: Host, threads: int, files: list[Path], pause_s: float) -> str:
    """Deblur one pair in a page of its own, and return a row of the table."""
    browser.open(f"{host.address}app/?engine=wasm&threads={threads}")
    browser.wait(lambda: browser.text("#place") and browser.run("return crossOriginIsolated"), WAIT_S)
    time.sleep(pause_s)
    given = time.perf_counter()
    browser.type("#files", "\n".join(map(str, files)))
    browser.wait(lambda: browser.is_shown("#deblur"), WAIT_S)
    read_s = time.perf_counter() - given
    time.sleep(pause_s)
    start, before = time.perf_counter(), used()[0]
    peaks: list[float] = []

    def is_done() -> bool:
        peaks.append(used()[1])  # again and again, since Chromium itself sets the peak back every so often
        return not browser.is_shown("#pair") and "Computed" in browser.text("#how")

    browser.click("#deblur")
    browser.wait(is_done, WAIT_S)
    seconds, after = time.perf_counter() - start, used()[0]
    return f"{read_s:.1f} | {seconds:.1f} | {after - before:.1f} | {max(peaks):.0f} | {browser.text('#how')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("views", nargs=2, metavar=("LEFT", "RIGHT"))
    parser.add_argument("sizes", nargs="*", default=SIZES, metavar="WIDTHxHEIGHT")
    parser.add_argument("--pause", type=float, default=0, metavar="SECONDS")
    asked = parser.parse_args()
    views = [read_picture(path).pixels for path in asked.views]
    print("| size | threads | s of reading | s | s of the processor | MB | |\n|---|---:|---:|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as name, hosting() as host:
        folder = Path(name)
        for size in asked.sizes:
            width, height = map(int, size.split("x"))
            files = [folder / f"{size}_{side}.png" for side in "lr"]
            for path, view in zip(files, views, strict=True):
                write_picture(path, grown(view, width, height), depth=16)
            for threads in (1, 2):
                with browsing(shutil.which("chromedriver") or "chromedriver", folder) as browser:
                    row = deblur(browser, host, threads, files, asked.pause)
                    print(f"| {size} | {threads} | {row} |", flush=True)


if __name__ == "__main__":
    main()

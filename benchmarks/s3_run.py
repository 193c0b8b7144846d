"""A folder of pairs in a bucket of a real S3 server (rclone) beside the same folder on this disk: time, requests,
bytes, memory; then the same run killed, and its server away for a while, with a watcher that reads whatever is listed.

python benchmarks/s3_run.py --pairs 200 --away 20
"""

import argparse
import collections
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dualpix import __version__
from dualpix.inference import batch
from dualpix.inference.options import DeblurOptions
from dualpix.machine.storage import list_objects, read_object, write_object
from dualpix.machine.urls import Url

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from object_store import Server, serving

BUCKET = Url("s3://photos")


def make_pairs(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (20, 28, 3), dtype=np.uint8)
        texture = noise.repeat(4, 0).repeat(4, 1)
        for side, first in (("L", 4), ("R", 2)):
            Image.fromarray(texture[:64, first : first + 96]).save(folder / f"p{number:05}_{side}.png")


def upload(folder: Path, url: Url) -> None:
    for path in folder.iterdir():
        write_object(url / path.name, path.read_bytes())


def run(source: object, output: object, opened: Any) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    options = DeblurOptions(engine="torch", precision="fp32", software=f"dualpix {__version__}")
    clock, cpu = time.perf_counter(), time.process_time()
    jobs = batch.list_jobs(source, output, options)  # type: ignore[arg-type]
    batch.run_jobs(jobs, opened, options, lambda outcome: None)
    return time.perf_counter() - clock, time.process_time() - cpu


def counted() -> collections.Counter[str]:
    """Counts, from now on, what this process asks of the server."""
    import fsspec

    found: collections.Counter[str] = collections.Counter()

    def count(request: Any, **_: Any) -> None:
        kind = "LIST" if request.method == "GET" and "list-type" in request.url else request.method
        found[kind] += 1
        found[f"{kind} bytes"] += int(request.headers.get("Content-Length") or 0)

    client = fsspec.filesystem("s3", use_listings_cache=False).s3
    client.meta.events.register("before-send.s3", count)
    return found


def pictures(url: Url) -> dict[str, bytes]:
    names = [one for one in list_objects(url) if one.suffix == ".png"]
    return {one.name: read_object(one) for one in names}


def watch(url: Url, right: set[bytes], over: threading.Event) -> list[str]:
    """What was listed and is not whole."""
    wrong, known = [], set()
    while not over.wait(0.1):
        try:
            for one in list_objects(url):
                if one.suffix == ".png" and one not in known:
                    known.add(one)
                    if read_object(one) not in right:
                        wrong.append(str(one))
        except OSError:
            continue  # the server is away
    return wrong


def interrupted(server: Server, output: Url, count: int, away_s: float) -> int:
    """Kill the run at a third, start it again, take the server away at two thirds; its exit code."""
    words = [sys.executable, "-m", "dualpix", "deblur", f"{BUCKET}/pairs", "-o", str(output), "--resume"]
    words += ["--engine", "torch", "--precision", "fp32"]
    process = subprocess.Popen(words)
    while len(list_objects(output)) < count // 3:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(f"killed with {len(list_objects(output))} objects", flush=True)
    process = subprocess.Popen(words)
    while len(list_objects(output)) < 2 * count // 3:
        time.sleep(0.2)
    server.end()
    time.sleep(away_s)
    server.start()
    return process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--away", type=float, default=20, help="seconds that the server is away")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "buckets" / "photos").mkdir(parents=True)
        make_pairs(folder / "pairs", asked.pairs)
        opened = batch.open_weights()
        with serving(folder / "buckets") as server:
            os.environ.update(server.environment)
            upload(folder / "pairs", BUCKET / "pairs")
            run(folder / "pairs", folder / "first", opened)  # warm
            found = counted()
            times = {"disk": [], "bucket": []}
            for turn in range(2):
                times["disk"].append(run(folder / "pairs", folder / f"disk{turn}", opened))
                times["bucket"].append(run(BUCKET / "pairs", BUCKET / f"out{turn}", opened))
            for where, taken in times.items():
                clock, cpu = (min(pair[at] for pair in taken) / asked.pairs for at in (0, 1))
                print(f"{where}: {1000 * clock:.1f} ms a pair, {1000 * cpu:.1f} ms of processor", flush=True)
            print("a pair:", {kind: round(count / 2 / asked.pairs, 2) for kind, count in sorted(found.items())})
            print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB", flush=True)
            right = {path.name: path.read_bytes() for path in (folder / "first").glob("*.png")}
            print("equal to the disk's:", pictures(BUCKET / "out0") == pictures(BUCKET / "out1") == right, flush=True)
            over, wrong = threading.Event(), []
            watcher = threading.Thread(target=lambda: wrong.extend(watch(BUCKET / "again", {*right.values()}, over)))
            watcher.start()
            code = interrupted(server, BUCKET / "again", asked.pairs, asked.away)
            over.set()
            watcher.join()
            print(f"killed, and {asked.away:g} s without a server: exit code {code},", end=" ")
            print(f"equal to the disk's: {pictures(BUCKET / 'again') == right}, objects seen not whole: {len(wrong)}")


if __name__ == "__main__":
    main()

"""Deblur a folder of pairs in processes of this machine: `python examples/spread_futures.py PAIRS TARGET [WEIGHTS]`."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from dualpix import Deblur
from dualpix.inference import batch

ROWS = 16
COLUMNS = ("id", "left", "right", "output")


def main(source: str, target: str, weights: str | None = None) -> int:
    jobs = [job for job in batch.list_jobs(source, target) if not job.problem]
    rows = [(job.place, str(job.left), str(job.right or ""), job.place) for job in jobs]
    parts = [rows[first : first + ROWS] for first in range(0, len(rows), ROWS)]
    batch.gather_journals(target)
    worker = Deblur(weights, folder=target, threads=1)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        columns = [dict(zip(COLUMNS, zip(*part, strict=True), strict=True)) for part in parts]
        done = list(pool.map(worker, columns))
    batch.gather_journals(target)
    failed = [error for part in done for error in part["error"] if error]
    print(f"{len(rows) - len(failed)} there, {len(failed)} failed", *failed, sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

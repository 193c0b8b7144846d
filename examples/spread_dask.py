"""Deblur a folder of pairs on a Dask cluster: `python examples/spread_dask.py PAIRS TARGET [WEIGHTS] [SCHEDULER]`.

Without a scheduler's address, with processes of this machine. Needs `dask[distributed]`.
"""

import os
import sys

from distributed import Client, LocalCluster

from dualpix import Deblur
from dualpix.inference import batch

ROWS = 16
COLUMNS = ("id", "left", "right", "output")


def main(source: str, target: str, weights: str | None = None, scheduler: str | None = None) -> int:
    jobs = [job for job in batch.list_jobs(os.path.abspath(source), os.path.abspath(target)) if not job.problem]
    rows = [(job.place, str(job.left), str(job.right or ""), job.place) for job in jobs]
    worker = Deblur(weights and os.path.abspath(weights), folder=os.path.abspath(target), threads=1)
    parts = [rows[first : first + ROWS] for first in range(0, len(rows), ROWS)]
    batch.gather_journals(target)
    local = {"n_workers": os.cpu_count(), "threads_per_worker": 1, "dashboard_address": None}
    with Client(scheduler or LocalCluster(**local)) as client:
        columns = [dict(zip(COLUMNS, zip(*part, strict=True), strict=True)) for part in parts]
        done = client.gather(client.map(worker, columns, pure=False))
        if scheduler is None:
            client.cluster.close()
    batch.gather_journals(target)
    failed = [error for part in done for error in part["error"] if error]
    print(f"{len(rows) - len(failed)} there, {len(failed)} failed", *failed, sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

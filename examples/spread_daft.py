"""Deblur a folder of pairs by Daft: `python examples/spread_daft.py PAIRS TARGET [WEIGHTS]`.

Needs `daft`. Every process of Daft's calls the same worker with columns.
"""

import os
import sys

os.environ["DAFT_ANALYTICS_ENABLED"] = "0"  # read when it is imported
os.environ["SCARF_NO_ANALYTICS"] = os.environ["DO_NOT_TRACK"] = "true"

import daft

from dualpix import Deblur
from dualpix.inference import batch


def main(source: str, target: str, weights: str | None = None) -> int:
    jobs = [job for job in batch.list_jobs(os.path.abspath(source), os.path.abspath(target)) if not job.problem]
    rows = {
        "left": [str(job.left) for job in jobs],
        "right": [str(job.right or "") for job in jobs],
        "output": [job.place for job in jobs],
    }
    worker = Deblur(weights and os.path.abspath(weights), folder=os.path.abspath(target), threads=1)

    @daft.func.batch(return_dtype=daft.DataType.string())
    def deblur(left: daft.Series, right: daft.Series, output: daft.Series) -> list[str]:
        columns = {"left": left.to_pylist(), "right": right.to_pylist(), "output": output.to_pylist()}
        return worker(columns)["error"]

    batch.gather_journals(target)
    frame = daft.from_pydict(rows)
    errors = frame.with_column("error", deblur(frame["left"], frame["right"], frame["output"])).to_pydict()["error"]
    failed = [error for error in errors if error]
    print(f"{len(jobs) - len(failed)} there, {len(failed)} failed", *failed, sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

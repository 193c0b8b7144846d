"""Deblur a folder of pairs on Spark: `spark-submit examples/spread_spark.py PAIRS TARGET [WEIGHTS]`.

Needs `pyspark`, `pandas`, `pyarrow` and Java; with plain `python` it runs on all cores of this machine.
"""

import os
import sys
from collections.abc import Iterator

import pandas
from pyspark.sql import SparkSession

from dualpix import Deblur
from dualpix.inference import batch

SCHEMA = "id string, output string, state string, seconds double, weights_sha256 string, error string, report string"


def main(source: str, target: str, weights: str | None = None) -> int:
    jobs = [job for job in batch.list_jobs(os.path.abspath(source), os.path.abspath(target)) if not job.problem]
    rows = [(job.place, str(job.left), str(job.right or ""), job.place) for job in jobs]
    worker = Deblur(weights and os.path.abspath(weights), folder=os.path.abspath(target), threads=1)

    def deblur(frames: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
        for frame in frames:
            yield pandas.DataFrame(worker(dict(frame)))

    batch.gather_journals(target)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = (
        SparkSession.builder.appName("dualpix").config("spark.sql.execution.arrow.maxRecordsPerBatch", 16).getOrCreate()
    )
    frame = spark.createDataFrame(rows, "id string, left string, right string, output string")
    done = frame.repartition(max(1, len(rows) // 16)).mapInPandas(deblur, SCHEMA).collect()
    spark.stop()
    failed = [row.error for row in done if row.error]
    print(f"{len(done) - len(failed)} there, {len(failed)} failed", *failed, sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

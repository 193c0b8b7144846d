"""Ask a report in parts (`dualpix deblur --report FOLDER`) what a run did: DuckDB reads all parts as one table.

python examples/query_report.py report
"""

import sys
from pathlib import Path

import duckdb

LATEST = """
    with runs as (select * from {table}),
    latest as (select distinct on (id) * from runs order by id, state = 'made' desc, finished desc)
"""
"""A pair may have rows of several runs: the one that made it counts, or else the last."""


def table_of(report: str) -> str:
    """What DuckDB reads: all parts of a folder, which may lie in a bucket (after `install httpfs; load httpfs`)."""
    if report.rstrip("/").endswith(".parquet"):
        return f"read_parquet('{report}/*.parquet', union_by_name = true)"
    return f"read_json_auto('{report}/*.jsonl', format = 'newline_delimited', union_by_name = true, sample_size = -1)"


def main(report: str) -> None:
    ask = duckdb.connect()
    latest = LATEST.format(table=table_of(report))
    for state, count in ask.sql(
        f"{latest} select state, count(*) from latest group by state order by state"
    ).fetchall():
        print(f"{state}: {count}")
    seconds = f"""{latest} select engine, device, count(*), round(avg(seconds_deblur), 3),
        round(sum(width::double * height) / 1e6 / nullif(sum(seconds_deblur), 0), 3)
        from latest where state = 'made' group by engine, device order by engine, device"""
    for engine, device, count, mean_s, rate in ask.sql(seconds).fetchall():
        print(f"{engine} on {device}: {count} pairs, {mean_s} s each, {rate} megapixels a second")
    failed = f"""{latest} select regexp_replace(coalesce(error, ''), '[^ ]*/[^ ]*', 'FILE', 'g') as what,
        count(*), min(id)
        from latest where state = 'failed' group by what order by count(*) desc limit 5"""
    for what, count, example in ask.sql(failed).fetchall():
        print(f"{count} failed, such as {example}: {what}")


if __name__ == "__main__":
    main(str(Path(sys.argv[1])) if "://" not in sys.argv[1] else sys.argv[1])

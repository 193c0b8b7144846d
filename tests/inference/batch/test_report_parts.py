"""Reports in parts: one row a pair, by whatever number of shards, read as one table by DuckDB."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dualpix.errors import MachineError
from dualpix.inference import batch
from dualpix.inference.batch import ReportParts, Shard, report_parts
from dualpix.inference.options import DeblurOptions

Pairs = Callable[..., None]
EXAMPLE = Path(__file__).parents[3] / "examples" / "query_report.py"


def run(report: str, number: int, total: int) -> None:
    shard, options = Shard(number, total), DeblurOptions()
    jobs = batch.list_jobs("pairs", "out", options, shard=shard)
    with ReportParts(report, shard) as parts:
        batch.run_jobs(jobs, batch.open_weights("w.safetensors"), options, parts.add, shard=shard, resume=True)


def test_each_shard_writes_a_part_of_its_own(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a", "b", "c")
    (home / "pairs" / "b_R.png").write_bytes(b"damaged")
    run("report", 1, 2)
    run("report", 2, 2)
    parts = sorted((home / "report").iterdir())
    before = [part.read_bytes() for part in parts]
    rows = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    assert [part.name.split("-2026")[0].split("-20")[0] for part in parts] == ["part-1-of-2", "part-2-of-2"]
    assert sorted((row["id"], row["state"]) for row in rows) == [
        ("a.png", "made"),
        ("b.png", "failed"),
        ("c.png", "made"),
    ]
    assert all(list(row) == list(report_parts.COLUMNS) for row in rows)
    made = next(row for row in rows if row["id"] == "a.png")
    assert (made["engine"], made["device"], made["width"], made["bands"]) == ("torch", "cpu", 48, 1)
    assert made["seconds_deblur"] > 0 and len(made["inputs_sha256"]) == len(made["weights_sha256"]) == 64
    assert "b_R.png" in next(row for row in rows if row["id"] == "b.png")["error"]
    run("report", 1, 2)
    assert [part.read_bytes() for part in parts] == before and len(list((home / "report").iterdir())) == 3


def test_parquet_and_the_query_agree_with_json(home: Path, make_pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("duckdb")
    monkeypatch.setattr(report_parts, "ROWS", 2)
    make_pairs(home / "pairs", "a", "b", "c")
    run("report.parquet", 1, 1)
    parts = sorted((home / "report.parquet").iterdir())
    assert [parquet.read_table(part).num_rows for part in parts] == [2, 1]
    assert parquet.read_table(parts[0]).column_names == list(report_parts.COLUMNS)
    run("report", 1, 1)  # all are kept
    told = [
        subprocess.run([sys.executable, EXAMPLE, name], capture_output=True, text=True, check=True).stdout
        for name in ("report.parquet", "report")
    ]
    assert "made: 3" in told[0] and "kept: 3" in told[1], told


def test_parquet_without_its_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MachineError, match=r"r.parquet is to be Parquet, which needs pyarrow.*\[parquet\]"):
        ReportParts(tmp_path / "r.parquet")

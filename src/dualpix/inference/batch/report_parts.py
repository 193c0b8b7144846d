"""A report of many pairs as a folder of parts, one row a pair, which databases read as one table.

Each run, and so each shard, writes parts of its own; none is ever written again. JSON Lines on this disk grow by a line
a pair; elsewhere, and as Parquet, a part appears whole after ROWS pairs or EVERY_S seconds. Pairs of a part that was
lost with a killed run are in the journal, and `kept` in the report of the run that goes on.
"""

import io
import json
import secrets
import time
from pathlib import Path
from typing import Any

from dualpix.errors import MachineError, PictureError, how_to_install
from dualpix.inference.batch.running import Outcome
from dualpix.io.writing import make_folder
from dualpix.machine.files import name_in_any_locale, write_whole
from dualpix.machine.storage import told_as, write_object
from dualpix.machine.urls import Location, Url, as_location

COLUMNS: dict[str, str] = {
    "id": "string",
    "state": "string",
    "output": "string",
    "left": "string",
    "right": "string",
    "width": "int32",
    "height": "int32",
    "depth": "int32",
    "seconds_read": "double",
    "seconds_deblur": "double",
    "seconds_maps": "double",
    "seconds_write": "double",
    "bands": "int32",
    "scales": "string",
    "engine": "string",
    "device": "string",
    "precision": "string",
    "changed": "double",
    "disparity_px": "double",
    "mixed_in": "double",
    "skipped": "double",
    "computed": "double",
    "weights": "string",
    "weights_sha256": "string",
    "inputs_sha256": "string",
    "warnings": "string",
    "error": "string",
    "run": "string",
    "finished": "string",
}
"""The columns of a row and their types, as Arrow calls them; what is not known is null."""

ROWS = 1000
EVERY_S = 30.0


class ReportParts:
    """The report of a run, in parts; a context.

    Args:
        folder: Where the parts go, of this disk or by URL. If its name ends in .parquet they are Parquet, else JSON
            Lines.
        shard: Number and total.

    Raises:
        MachineError: Parquet needs a package that is not installed.
        PictureError: The folder cannot be made.
    """

    def __init__(self, folder: str | Location, shard: tuple[int, int] = (1, 1)) -> None:
        self.folder = as_location(folder)
        self._parquet = self.folder.suffix.lower() == ".parquet"
        if self._parquet:
            _require_arrow(self.folder)
        if isinstance(self.folder, Path):
            make_folder(self.folder)
        self.run = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
        self._stem = f"part-{shard[0]}-of-{shard[1]}-{self.run}"
        self._grows = isinstance(self.folder, Path) and not self._parquet
        self._rows: list[dict[str, Any]] = []
        self._number, self._put_s = 0, time.monotonic()

    def add(self, outcome: Outcome) -> None:
        """Add a row. Raises PictureError if a part cannot be written."""
        self._rows.append(row_of(outcome, self.run))
        if self._grows or len(self._rows) >= ROWS or time.monotonic() - self._put_s > EVERY_S:
            self._put()

    def _put(self) -> None:
        if not self._rows:
            return
        with told_as(PictureError):
            if self._grows:
                with (Path(self.folder) / f"{self._stem}.jsonl").open("ab") as file:
                    file.write(_json_lines(self._rows))
            else:
                ending = ".parquet" if self._parquet else ".jsonl"
                part = self.folder / f"{self._stem}-{self._number:06d}{ending}"
                content = _parquet(self._rows) if self._parquet else _json_lines(self._rows)
                if isinstance(part, Url):
                    write_object(part, content)
                else:
                    write_whole(part, content, overwrite=False)
        self._rows.clear()
        self._number, self._put_s = self._number + 1, time.monotonic()

    def __enter__(self) -> "ReportParts":
        return self

    def __exit__(self, *_: object) -> None:
        self._put()


def row_of(outcome: Outcome, run: str) -> dict[str, Any]:
    """The row of an outcome: every one of COLUMNS."""
    told = outcome.as_json()
    seconds = told.get("seconds", {})
    row = {name: told.get(name) for name in COLUMNS}
    row |= {f"seconds_{step}": seconds.get(step) for step in ("read", "deblur", "maps", "write")}
    if "device" in told:
        row["device"], _, engine = told["device"].partition(", ")
        row["engine"] = engine or "torch"
    row["id"] = name_in_any_locale(outcome.job.place)
    row["scales"] = " ".join(told["scales"]) if "scales" in told else None
    row["warnings"] = " ".join(outcome.warnings) or None
    row["run"], row["finished"] = run, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return row


def _json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _require_arrow(folder: Location) -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MachineError(
            f"{folder} is to be Parquet, which needs pyarrow: {how_to_install('parquet')}; or give a name without"
            " .parquet, for JSON Lines."
        ) from error


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in COLUMNS.items()])
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()

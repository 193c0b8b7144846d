"""What a calibration found of rho, out of the file that `dualpix calibrate -o` wrote."""

import csv
from pathlib import Path

from dualpix.errors import DataError

MIDDLE, FALL, EVERYWHERE, BLIND = (
    "rho at the middle", "rho's share lost at the sides", "rho", "rho from views alone"
)  # fmt: skip


def read_rho(path: str | Path) -> tuple[float, float | None]:
    """Read rho from a calibration.

    Args:
        path: The CSV file.

    Returns:
        rho in the middle of the picture, and the share of it that is lost at the left and right edge, or None where
        that was not found. Without sharp pictures a calibration has one rho for the whole picture; the share is then 0.

    Raises:
        DataError: The file cannot be read or holds no rho.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("pair") == "all"]
        found = {row["quantity"]: float(row["value"]) for row in rows}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (KeyError, TypeError, ValueError, csv.Error):
        found = {}
    if MIDDLE in found:
        return found[MIDDLE], min(max(found[FALL], 0.0), 0.99) if FALL in found else None
    for name in (EVERYWHERE, BLIND):
        if name in found:
            return found[name], 0.0
    raise DataError(f"{path} holds no rho; give a number, or the file that `dualpix calibrate -o` wrote.")

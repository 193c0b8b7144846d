"""What is taken of rho out of the files that `dualpix calibrate -o` writes."""

from pathlib import Path

import pytest

from dualpix.calibration.calibrate import Calibration
from dualpix.calibration.numbers import Number
from dualpix.calibration.rho import read_rho
from dualpix.errors import DataError


def written(path: Path, **values: float) -> Path:
    numbers = {name.replace("_", " ").replace("rhos", "rho's"): Number(v, None, None, 5) for name, v in values.items()}
    path.write_text(Calibration({"one": {"rho": Number(0.7, None, None, 5)}}, numbers).csv())
    return path


def test_the_middle_and_the_fall_come_first(tmp_path: Path) -> None:
    sides = {"rho_at_the_middle": 0.37, "rhos_share_lost_at_the_sides": 0.45}
    assert read_rho(written(tmp_path / "a.csv", rho=0.29, **sides)) == (0.37, 0.45)
    assert read_rho(written(tmp_path / "a.csv", rho=0.29, rho_from_views_alone=0.3)) == (0.29, 0.0)
    assert read_rho(written(tmp_path / "a.csv", rho_from_views_alone=0.31)) == (0.31, 0.0)
    sides["rhos_share_lost_at_the_sides"] = -0.02
    assert read_rho(written(tmp_path / "a.csv", **sides)) == (0.37, 0.0)


def test_files_without_a_rho_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"left,right\n", b"pair,quantity,value\nall,noise shot,1e-4\n", b"pair,quantity\nall,rho\n",
                    b"\xff\xfe\0", b"pair,quantity,value\nall,rho,much\n"):  # fmt: skip
        (tmp_path / "b.csv").write_bytes(content)
        with pytest.raises(DataError, match=r"b\.csv holds no rho; give a number, or the file"):
            read_rho(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"no\.csv cannot be read: No such file"):
        read_rho(tmp_path / "no.csv")

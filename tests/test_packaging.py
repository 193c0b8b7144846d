"""The files around the package agree with it, and with one another."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import dualpix

HOME = Path(__file__).parents[1]
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
PINS = [line for line in (HOME / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def test_pins_are_versions_and_nothing_else() -> None:
    """No hosts, no paths of one machine, no local builds: the file must serve any machine."""
    assert [pin for pin in PINS if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []


def test_everything_that_is_needed_is_pinned() -> None:
    assert (names(PROJECT["dependencies"]) | names(needed_by("dev"))) - names(PINS) == set()
    assert names(needed_by("dev")) > names(needed_by("web"))


def needed_by(extra: str) -> list[str]:
    """What an extra asks for, with what the extras ask for that it names."""
    extras, found = PROJECT["optional-dependencies"], []
    for need in extras[extra]:
        others = re.fullmatch(r"dualpix\[(.+)\]", need)
        found += [one for name in others[1].split(",") for one in needed_by(name)] if others else [need]
    return found


def test_one_version_and_one_day_of_release_stand_everywhere() -> None:
    cited = dict(
        re.findall(r'^(version|date-released): "?([^"\n]+)', (HOME / "CITATION.cff").read_text(), re.MULTILINE)
    )
    released = re.findall(
        r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", (HOME / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert cited["version"] == dualpix.__version__
    assert released[0] == (cited["version"], cited["date-released"])
    assert f'"dualpix {dualpix.__version__}"' in (HOME / "docs" / "dualpix.1").read_text().splitlines()[0]


def test_the_sources_run_without_being_installed(tmp_path: Path) -> None:
    """As from PYTHONPATH, or frozen without metadata: nothing may ask for the metadata of this package."""
    code = """
import importlib.metadata as metadata, pkgutil, importlib
find = metadata.Distribution.from_name.__func__
def from_name(cls, name):
    if name == "dualpix":
        raise metadata.PackageNotFoundError(name)
    return find(cls, name)
metadata.Distribution.from_name = classmethod(from_name)
import numpy as np
from PIL import Image
import dualpix
for module in pkgutil.walk_packages(dualpix.__path__, "dualpix."):
    if not module.name.endswith(("__main__", ".spandrel")):  # which needs its extra at once
        importlib.import_module(module.name)
from dualpix.weights import checkpoint
from dualpix.inference import export
print(export.facts_of(checkpoint.load("mccnet-fast"), "fp32")["version"])
Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)).save("photos/p.png")
dualpix.simulate(["photos"], "pairs", count=1, size=64)
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    (tmp_path / "photos").mkdir()
    places = {"PYTHONPATH": str(HOME / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | places, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == dualpix.__version__


def test_the_licence_is_whole() -> None:
    text = (HOME / "LICENSE").read_text()
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text

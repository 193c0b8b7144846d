"""The page on Table 1 is what its script writes, and the script's recounts are what Table 1 prints."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

HOME = Path(__file__).parents[2]
SCRIPT = HOME / "benchmarks" / "table1_counts.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("table1_counts", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # Dataclasses look their module up by name.
    specification.loader.exec_module(module)
    # Each is asked for twice: for the page, and alone.
    recount, module.footing_table = module.recount, cache(module.footing_table)
    recounted = cache(lambda row: recount(module.TABLE_1[row]))
    module.recount = lambda printed: recounted(module.TABLE_1.index(printed))
    return module


def test_the_page_is_what_the_script_writes(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = tmp_path / "table1.md"
    monkeypatch.setattr(sys, "argv", ["table1_counts.py", "--write", str(written)])
    script.main()
    page = HOME / "docs" / "table1.md"
    assert written.read_text() == page.read_text(), (
        "the networks have changed; run `python benchmarks/table1_counts.py --write docs/table1.md`"
    )


TO_THE_LAST_DIGIT = {"DPDNet, DPDNet+": 2, "IFAN": 1, "MDP": 2}
"""Rows whose printed operations come out exactly, with the digits printed after the point."""
NEAR = {"KPAC": 4e-4, "RDPD+": 4e-4, "MCCNet": 9e-4}
"""Rows that come out nearly: how far off, as a share."""


def test_the_recounts_are_what_table_1_prints(script: ModuleType) -> None:
    for printed in script.TABLE_1:
        parameters, operations = script.recount(printed)
        # MDP's 46.86 is cut to 46.8 there, not rounded.
        assert 0 <= parameters / 1e6 - float(printed.parameters) + 0.005 < (0.1 if printed.method == "MDP" else 0.01)
        if digits := TO_THE_LAST_DIGIT.get(printed.method):
            assert f"{operations / 1e9:.{digits}f}" == printed.operations
        elif printed.method in NEAR:
            assert operations / 1e9 == pytest.approx(float(printed.operations), rel=NEAR[printed.method])
        else:
            assert printed.operations == ""


def test_every_network_is_on_one_footing(script: ModuleType) -> None:
    table = script.footing_table()
    assert all(
        f"| `{name}` |" in table or f"| `{name}`," in table for name in script.NETWORKS | script.DEFOCUS_ESTIMATORS
    )


def test_indoor_and_outdoor_make_the_combined_number(script: ModuleType) -> None:
    """37 indoor and 39 outdoor scenes: a mistyped digit would show. Printed numbers are rounded to 0.01 dB."""
    checked = 0
    for row in script.REPORTED:
        if row[2] and row[0] != "Uformer":  # Published as it stands; the page says so.
            indoor, outdoor, combined = (float(cell.split("/")[0]) for cell in row[2:5])
            assert (37 * indoor + 39 * outdoor) / 76 == pytest.approx(combined, abs=0.0151), row[0]
            checked += 1
    assert checked > 10

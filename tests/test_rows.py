"""The layout of the package: imports go downward only. This list is the drawing of the architecture."""

import ast
from pathlib import Path

import pytest

ROWS = (
    ("errors", "files", "limits", "priority"),
    ("tables", "rates", "modes", "threads"),
    ("images", "networks", "classic", "losses", "metrics", "optics", "figures"),
    ("data", "objectives", "exported"),
    ("recipes", "checkpoint", "foreign", "graphs", "planning", "results"),
    ("runners",),
    ("deblurring", "methods"),
    ("evaluating", "finishing", "disparities"),
    ("batch",),
    (
        "training",
        "simulating",
        "importing",
        "exporting",
        "demonstrating",
        "calibrating",
        "extracting",
        "inspecting",
        "doctoring",
    ),
    ("__init__",),
    ("web",),
    ("cli",),
    ("__main__",),
)
ROW = {unit: number for number, row in enumerate(ROWS) for unit in row}
NO_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "core", "engine", "manager", "misc"}
MOST_LINES = 350

HOME = Path(__file__).parents[1]
SOURCE = HOME / "src" / "dualpix"
FILES = sorted(SOURCE.rglob("*.py"))
ALL_FILES = [
    path
    for folder in (SOURCE, *(HOME / name for name in ("tests", "benchmarks", "examples")))
    for path in sorted(folder.rglob("*.py"))
]


def unit_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_units(tree: ast.AST) -> list[tuple[str, int]]:
    """Every unit of this package that a file imports, anywhere in it, with the line number."""
    units = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            units += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full, from dualpix..."
            whole = node.module or ""
            # `from dualpix import images` means the file images; `from dualpix import deblur` the public face, which
            # is there before any file, with the version.
            names = [alias.name for alias in node.names if alias.name != "__version__"]
            names = [f"dualpix.{name}" if name in ROW else "dualpix" for name in names]
            units += [(name, node.lineno) for name in (names if whole == "dualpix" else [whole])]
    inside = [(name.split("."), line) for name, line in units if name.split(".")[0] == "dualpix"]
    return [(parts[1] if len(parts) > 1 else "__init__", line) for parts, line in inside]


def wrong_imports(unit: str, source: str) -> list[str]:
    return [
        f"line {line}: {unit} (row {ROW[unit]}) imports {other} (row {ROW[other]})"
        for other, line in imported_units(ast.parse(source))
        if other != unit and ROW[other] >= ROW[unit]
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_downward(path: Path) -> None:
    if unit_of(path) == "__init__":
        return  # The face may name everything.
    assert unit_of(path) in ROW, f"give {unit_of(path)!r} a place in ROWS"
    assert wrong_imports(unit_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("unit", "source", "wrong"),
    [
        ("losses", "from dualpix.evaluation.metrics import psnr", 1),
        ("losses", "def f():\n    import dualpix.training", 1),
        ("images", "from dualpix import deblurring, errors", 1),
        ("training", "from dualpix import deblur", 1),
        ("training", "import torch, dualpix.pairs.flips\nfrom dualpix.training import x", 0),
        ("cli", "from dualpix.inference.deblur import deblur", 0),
    ],
)
def test_the_guard_sees_wrong_imports(unit: str, source: str, wrong: int) -> None:
    assert len(wrong_imports(unit, source)) == wrong


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: str(path.relative_to(HOME)))
def test_files_are_short_and_well_named(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES
    assert path.stem.removeprefix("test_").strip("_") not in NO_NAMES


GUARDS = {"test_rows", "test_surface", "test_imports", "test_readme", "test_packaging", "networks/test_contract"}
GUARDS |= {"test_docs_site", "test_troubleshooting", "test_judge", "test_learn", "test_privacy", "test_fuzz"}


def test_tests_mirror_the_sources() -> None:
    """tests/data/test_dpdd.py tests data/dpdd.py, and so does tests/data/test_dpdd_anything.py; guards excepted."""
    sources = {path.relative_to(SOURCE).with_suffix("").as_posix() for path in SOURCE.rglob("*")}
    for path in (HOME / "tests").rglob("test_*.py"):
        test = path.relative_to(HOME / "tests").with_suffix("").as_posix()
        tested = test.replace("test_", "")
        assert test in GUARDS or any(tested == name or tested.startswith(f"{name}_") for name in sources), (
            f"{test} is named after no source file: rename it, or add it to GUARDS"
        )

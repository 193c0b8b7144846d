"""The layout of the package: imports go downward only. ROWS is the drawing of the architecture, lowest row first.

`docs/architecture.md` shows the same rows with what each unit imports; `python tests/test_rows.py` prints that part
anew.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROWS = (
    ("errors",),
    ("tables", "machine", "plugins"),
    ("io", "networks", "classical"),
    ("pairs",),
    ("simulation", "datasets", "weights"),
    ("calibration", "inference"),
    ("evaluation",),
    ("training",),
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
            # `from dualpix import io` means the package io; `from dualpix import deblur` the public face, which
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


def test_imports_go_downward() -> None:
    wrong = {}
    for path in FILES:
        unit = unit_of(path)
        assert unit in ROW, f"give {unit!r} a place in ROWS"
        if unit != "__init__":  # The face may name everything.
            wrong[str(path.relative_to(SOURCE))] = wrong_imports(unit, path.read_text())
    assert {name: lines for name, lines in wrong.items() if lines} == {}


@pytest.mark.parametrize(
    ("unit", "source", "wrong"),
    [
        ("io", "from dualpix.pairs import read_pair", 1),
        ("simulation", "def f():\n    import dualpix.training", 1),
        ("pairs", "from dualpix import inference, errors", 1),
        ("training", "from dualpix import deblur", 1),
        ("training", "import torch, dualpix.pairs.flips\nfrom dualpix.training import x", 0),
        ("cli", "from dualpix.inference.deblur import deblur", 0),
    ],
)
def test_the_guard_sees_wrong_imports(unit: str, source: str, wrong: int) -> None:
    assert len(wrong_imports(unit, source)) == wrong


def test_files_are_short_and_well_named() -> None:
    wrong = [
        str(path.relative_to(HOME))
        for path in ALL_FILES
        if len(path.read_text().splitlines()) > MOST_LINES or path.stem.removeprefix("test_").strip("_") in NO_NAMES
    ]
    assert wrong == [], f"at most {MOST_LINES} lines, and no name of {', '.join(sorted(NO_NAMES))}"


def test_no_two_classes_have_one_name() -> None:
    found: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(SOURCE)))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}, "one word, one thing"


GUARDS = {"test_rows", "test_surface", "test_imports", "test_readme", "test_packaging", "networks/test_contract"}
GUARDS |= {
    "test_schedulers",
    "test_spreading",
    "test_docs_site",
    "test_extras",
    "test_darktable",
    "test_examples",
    "test_manual",
    "test_troubleshooting",
    "test_gpu_run",
    "training/test_few_needs",
    "test_judge",
    "test_other_weights",
    "test_learn",
    "test_docstrings",
    "test_privacy",
    "test_plugins",
    "test_private_members",
    "test_fuzz",
    "test_site_files",
    "test_site",
    "test_snippets",
    "test_workflow",
}


def test_tests_mirror_the_sources() -> None:
    """tests/datasets/test_dpdd.py tests datasets/dpdd.py, and so does test_dpdd_anything.py; guards excepted."""
    sources = {path.relative_to(SOURCE).with_suffix("").as_posix() for path in SOURCE.rglob("*")}
    wrong = []
    for path in (HOME / "tests").rglob("test_*.py"):
        test = path.relative_to(HOME / "tests").with_suffix("").as_posix()
        tested = test.replace("test_", "")
        if test not in GUARDS and not any(tested == name or tested.startswith(f"{name}_") for name in sources):
            wrong.append(test)
    assert wrong == [], "named after no source file: rename them, or add them to GUARDS"


def purpose(unit: str) -> str:
    """The first sentence of a unit's docstring."""
    folder = SOURCE / unit
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".")


def drawing() -> Iterator[str]:
    """The table of `docs/architecture.md`: every unit from the top row down, what it is, and which it imports."""
    yield "| row | unit | what is in it | imports |"
    yield "|---:|---|---|---|"
    for number, row in reversed(list(enumerate(ROWS))):
        for unit in row:
            own = [path for path in FILES if unit_of(path) == unit]
            found = {other for path in own for other, _ in imported_units(ast.parse(path.read_text()))} - {unit}
            names = ", ".join(sorted(found, key=lambda name: (-ROW[name], name))) or "nothing"
            yield f"| {number} | `{unit}` | {purpose(unit)} | {names} |"


def test_the_drawing_of_the_house_is_true() -> None:
    page = (HOME / "docs" / "architecture.md").read_text()
    assert "\n".join(drawing()) in page, "run `python tests/test_rows.py` and put what it prints into the page"


if __name__ == "__main__":
    print("\n".join(drawing()))  # noqa: T201

"""Tests use what the package offers; what it keeps to itself can be changed without changing a test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HOME = Path(__file__).parents[1]
SOURCES = sorted((HOME / "src" / "dualpix").rglob("*.py"))
TESTS = sorted(path for path in (HOME / "tests").rglob("*.py"))

ALLOWED = {
    "test_surface.py": {"_HOMES"},  # names for Python, compared with those for type checkers
    "networks/layers/test_sliding.py": {"_strips"},  # that memory stays small can be seen nowhere else
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


NAME = re.compile(r"\b_(?!_)\w+")
MADE = re.compile(r"(?:\b(?:def|class)\s+|\b(?:self|cls)\.|^\s*)(_(?!_)\w+)\b(?=\s*[(:=,])", re.MULTILINE)
"""What the package defines, on modules, classes and instances."""


def used_private(source: str) -> Iterator[str]:
    """The private names of other objects that a test reads, writes, imports or patches."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dualpix"):
            yield from (alias.name for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("setattr", "delattr"):
            texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            yield from (name for text in texts if is_private(name := text.rpartition(".")[2]))


def test_tests_leave_private_members_alone() -> None:
    ours = {name for path in SOURCES for name in MADE.findall(path.read_text())}
    found = {}
    for path in TESTS:
        name, text = path.relative_to(HOME / "tests").as_posix(), path.read_text()
        if ours & set(NAME.findall(text)) and (wrong := {*used_private(text)} & ours - ALLOWED.get(name, set())):
            found[name] = sorted(wrong)
    assert found == {}, "use public parts; or say in ALLOWED why that cannot be"


def test_the_guard_sees_what_is_used() -> None:
    source = """
from dualpix.web.jobs import _a
jobs._b.c
jobs.d._e = 1
monkeypatch.setattr(jobs, "_f", 1)
monkeypatch.setattr("dualpix.web._g", 1)
self._mine.h, jobs.__dict__, _
"""
    assert sorted(used_private(source)) == ["_a", "_b", "_e", "_f", "_g"]

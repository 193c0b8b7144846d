"""Docstrings name what there is: parameters, attributes and errors."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src" / "dualpix"
TREES = {path.relative_to(SOURCES): ast.parse(path.read_text()) for path in sorted(SOURCES.rglob("*.py"))}
ERRORS = {node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
NAMED = re.compile(r"    \*{0,2}(\w+)(?: \(.*\))?:")
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def section(docstring: str, title: str) -> list[str]:
    """The names that begin the entries of a section in Google style."""
    _, found, rest = f"\n{docstring}\n".partition(f"\n{title}:\n")
    lines = rest.split("\n") if found else []
    end = next((place for place, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
    return [match[1] for line in lines[:end] if (match := NAMED.match(line))]


def parameters(node: Documented) -> set[str]:
    """Of a function, or of making an object of a class: its fields and those of its `__init__`."""
    if isinstance(node, ast.ClassDef):
        fields = {
            one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        }
        makers = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
        return fields.union(*map(parameters, makers))
    given = node.args
    more = [one for one in (given.vararg, given.kwarg) if one]
    return {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, *more)}


def wrong(node: Documented) -> Iterator[str]:
    docstring = ast.get_docstring(node) or ""
    yield from (name for name in section(docstring, "Args") if name not in parameters(node))
    yield from (name for name in section(docstring, "Raises") if name not in ERRORS and not hasattr(builtins, name))


def documented(tree: ast.AST) -> Iterator[Documented]:
    return (node for node in ast.walk(tree) if isinstance(node, Documented))


def test_parameters_and_errors_that_docstrings_name_exist() -> None:
    found = [
        f"{path}, {node.name}: {name}"
        for path, tree in TREES.items()
        for node in documented(tree)
        for name in wrong(node)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("docstring", "name"),
    [("Args:\n    y: No.", "y"), ("Args:\n    x: Yes.\n\nRaises:\n    OddError: No.", "OddError")],
)
def test_others_are_found(docstring: str, name: str) -> None:
    (node,) = documented(
        ast.parse(f'def f(x: int) -> None:\n    """Do.\n\n{docstring}\n"""'.replace("\n    y", "\n    y"))
    )
    assert list(wrong(node)) == [name]

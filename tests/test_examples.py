"""The examples in docstrings, `>>> ...`, run and print what they say they print."""

import ast
import doctest
import shutil
from collections.abc import Iterator
from importlib import import_module, resources
from pathlib import Path

import pytest

import dualpix

SOURCE = Path(dualpix.__file__).parent
ROWS, COLUMNS = slice(300, 396), slice(200, 328)
"""The part of the bundled pair that examples find as left.png, right.png and sharp.png."""


def examples_of(path: Path) -> Iterator[tuple[str, str, int]]:
    """Name, docstring and first line of whatever has examples in that file, decorated or not."""
    text = path.read_text()
    if ">>> " not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring and ">>> " in docstring:
                yield getattr(node, "name", "module"), docstring, node.body[0].lineno


FILES = [path for path in sorted(SOURCE.rglob("*.py")) if any(examples_of(path))]


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def complaints(path: Path) -> str:
    """What the examples in a file print that they should not; empty if all is well."""
    lines: list[str] = []
    for name, docstring, line in examples_of(path):
        names = {**vars(import_module(module_of(path))), "__name__": "__main__"}
        test = doctest.DocTestParser().get_doctest(docstring, names, name, str(path), line)
        doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test, out=lines.append)
    return "".join(lines)


@pytest.fixture(scope="module")
def small_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    with resources.as_file(resources.files("dualpix") / "demo_pair") as bundled:
        for name in ("left", "right", "sharp"):
            view = dualpix.read_picture(bundled / f"{name}.png").pixels
            dualpix.write_picture(folder / f"{name}.png", view[:, ROWS, COLUMNS], 8)
    return folder


@pytest.fixture
def pictures(small_pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Examples run in a folder of their own with a small pair in it."""
    shutil.copytree(small_pair, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_examples_print_what_they_say(path: Path, pictures: Path) -> None:
    wrong = complaints(path)
    assert not wrong, wrong


def test_there_are_examples_of_what_people_use_first() -> None:
    found = {module_of(path) for path in FILES}
    assert {"dualpix.inference.deblur", "dualpix.inference.options", "dualpix.networks", "dualpix.tables"} <= found


def test_wrong_examples_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dualpix" / "errors.py"
    path.parent.mkdir()
    path.write_text('def f():\n    """One.\n\n    >>> 1 + 1\n    3\n    """\n')
    monkeypatch.setattr(f"{__name__}.SOURCE", path.parent)
    assert "Expected:\n    3\nGot:\n    2" in complaints(path)

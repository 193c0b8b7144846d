"""Every snippet of the documentation says what it is, so that tests can run it (`test_readme.py` does)."""

import re
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
PAGES = [HOME / "README.md", HOME / "CONTRIBUTING.md", *sorted((HOME / "docs").glob("*.md"))]
PAGES += [HOME / "examples" / "plugin" / "README.md"]
KNOWN = {"sh", "python", "py", "json", "text", "js", "html", "toml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(HOME).as_posix())
def test_every_snippet_says_what_it_is(page: Path) -> None:
    """One that does not is run by no test. Those of Sphinx, in braces, are run when the site is built."""
    fences = re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)
    assert [kind for kind in fences[::2] if kind not in KNOWN and not kind.startswith("{")] == []
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(HOME).as_posix())
def test_calls_in_a_sentence_work_after_import_dualpix(page: Path) -> None:
    """Which loads no module below it, so that a call by the whole path of one would fail."""
    assert re.findall(r"`dualpix\.[a-z_]+\.[\w.]+\([^`]*`", page.read_text()) == []

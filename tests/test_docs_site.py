"""The documentation becomes a site without a warning, which loads nothing from elsewhere; its drawings are current."""

import os
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest
from PIL import Image

HOME = Path(__file__).parents[1]
DOCS = HOME / "docs"
LARGEST_DRAWING = 200_000  # bytes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` builds it."""
    root = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", root / "doctrees", DOCS, root / "html"]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=500, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return root / "html"


class Loads(HTMLParser):
    """What a browser fetches for a page: everything with an address but links to click on."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data") and value]


def test_every_page_is_in_the_site(site: Path) -> None:
    missing = [page.name for page in DOCS.glob("*.md") if not (site / f"{page.stem}.html").is_file()]
    assert missing == []


def test_make_docs_builds_it_in_the_same_way() -> None:
    recipe = re.search(r"^docs: setup\n\t(.*)", (HOME / "Makefile").read_text(), re.MULTILINE)[1]
    assert recipe == "$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html"
    assert "docs/_build/" in (HOME / ".gitignore").read_text().split()


def test_nothing_is_loaded_from_other_hosts(site: Path) -> None:
    loads = {page.name: Loads(page).found for page in site.glob("*.html")}
    assert any("furo" in address for address in loads["index.html"]), "nothing was looked at"
    foreign = [(page, x) for page, found in loads.items() for x in found if re.match(r"(https?:)?//", x)]
    assert foreign == []
    styles = [
        (path.name, x) for path in site.rglob("*.css") for x in re.findall(r"url\(([^)]*)\)|@import", path.read_text())
    ]
    assert [(name, x) for name, x in styles if re.match(r"""["']?(https?:)?//""", x)] == []


def test_messages_read_as_they_are_printed(site: Path) -> None:
    """No quotes or dashes made pretty, nothing taken for a tag."""
    page = (site / "troubleshooting.html").read_text()
    assert "or give --overwrite." in page and "it holds …. Expected …" in page


def test_what_a_page_loads_is_there(site: Path) -> None:
    for page in site.glob("*.html"):
        for address in Loads(page).found:
            place = address.partition("#")[0].partition("?")[0]
            assert not place or place.startswith("data:") or (site / place).exists(), f"{page.name} loads {address}"


def test_the_drawings_are_those_of_the_script(tmp_path: Path) -> None:
    """Made again they have the size of those in the repository, which are small, and look alike."""
    with matplotlib.rc_context():
        script = runpy.run_path(str(HOME / "examples" / "draw_simulator.py"))
        script["main"](tmp_path)
    page = (DOCS / "simulator.md").read_text()
    for drawn in tmp_path.iterdir():
        kept = DOCS / "images" / drawn.name
        assert f"images/{drawn.name}" in page and kept.stat().st_size < LARGEST_DRAWING
        if drawn.suffix == ".png":
            new, old = (Image.open(path).convert("L") for path in (drawn, kept))
            assert new.size == old.size
            changed = sum(abs(a - b) > 32 for a, b in zip(new.tobytes(), old.tobytes(), strict=True))
            assert changed < 0.02 * len(old.tobytes()), f"{drawn.name} is drawn otherwise now; make it again"

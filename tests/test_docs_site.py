"""The documentation becomes a site without a warning, which loads nothing from elsewhere; its drawings are current."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest
from browsing import Browser, browsing
from PIL import Image, ImageChops, ImageStat
from static_host import hosting

HOME = Path(__file__).parents[1]
DOCS = HOME / "docs"
LARGEST_DRAWING = 200_000  # bytes
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (DRIVER and shutil.which("chromium")), reason="needs Chromium and its driver: apt-get install chromium-driver"
)
PLACE = """
const { x, y, width, height } = document.querySelector(".compare").getBoundingClientRect();
return { x, y, width, height };
"""
SPLIT = "return [document.querySelector('.compare input').value, document.querySelector('.handle').offsetLeft]"


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


def slid(browser: Browser, picture: Path) -> tuple[float, Image.Image]:
    """Where the slider of the front page is, as a share of the width, and what the picture looks like now."""
    place = browser.run(PLACE)
    value, left = browser.run(SPLIT)
    assert abs(int(value) / 100 - (left + 1) / place["width"]) < 0.01, "the line is not where the slider is"
    browser.screenshot(picture)
    shown = Image.open(picture).convert("RGB")
    box = place["x"], place["y"], place["x"] + place["width"], place["y"] + place["height"]
    return int(value) / 100, shown.crop(tuple(map(round, box)))


def apart(one: Image.Image, other: Image.Image, half: tuple[float, float]) -> float:
    """The mean difference of levels between two shares of the height, without the words at the top."""
    width, height = one.size
    box = round(half[0] * width), height // 4, round(half[1] * width), height
    return sum(ImageStat.Stat(ImageChops.difference(one.crop(box), other.crop(box))).mean) / 3


@needs_browser
@pytest.mark.parametrize(("size", "dark"), [((1280, 900), False), ((390, 844), True)])
def test_the_front_page_has_a_picture_to_slide_over(
    site: Path, tmp_path: Path, size: tuple[int, int], dark: bool
) -> None:
    folder = DOCS / "_static"
    with hosting(site) as host, browsing(str(DRIVER), tmp_path, dark, size) as browser:
        browser.open(f"{host.address}index.html")
        browser.wait(lambda: browser.run("return Boolean(document.querySelector('.compare'))"))
        at, middle = slid(browser, tmp_path / "middle.png")
        pictures = {name: Image.open(folder / f"{name}.jpg").resize(middle.size) for name in ("before", "after")}
        assert at == 0.5
        assert apart(middle, pictures["before"], (0, 0.45)) < 4 < apart(middle, pictures["after"], (0, 0.45))
        assert apart(middle, pictures["after"], (0.55, 1)) < 4 < apart(middle, pictures["before"], (0.55, 1))
        place = browser.run(PLACE)
        x, y, width = place["x"], place["y"] + place["height"] / 2, place["width"]
        if size[0] < 500:
            browser.touch([(x + 0.5 * width, y)], [(x + 0.3 * width, y)], [(x + 0.1 * width, y)])
        else:
            browser.drag(".compare", round(-0.4 * width), 0)
        at, left = slid(browser, tmp_path / "left.png")
        assert abs(at - 0.1) < 0.02
        assert apart(left, pictures["after"], (0.2, 1)) < 4
        for key in ("\ue014", "\ue014", "\ue011"):  # right, right, home
            before, _ = slid(browser, tmp_path / "keys.png")
            browser.press(key)
            now, _ = slid(browser, tmp_path / "keys.png")
            assert now == (0 if key == "\ue011" else pytest.approx(before + 0.01))
        assert browser.run("return document.querySelector('.compare input').ariaValueText") == "0 % before"
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.complaints() == [] and browser.hosts() == {f"127.0.0.1:{host.port}"}


def test_the_front_page_leads_to_the_app_where_there_is_one(site: Path) -> None:
    front = (site / "index.html").read_text()
    changed = runpy.run_path(str(HOME / "site" / "build.py"))["leading_to_app"](front)
    button = re.compile(r'<strong><a [^>]*href="([^"]*)"[^>]*>(?:<[^>]*>)*Try your own<')
    assert button.findall(front) == ["browser.html"] and button.findall(changed) == ["app/"]
    assert changed.count('href="browser.html"') == front.count('href="browser.html"') - 1


def test_only_the_front_page_loads_the_slider_and_its_pictures_are_small(site: Path) -> None:
    assert [page.name for page in site.glob("*.html") if "compare.js" in page.read_text()] == ["index.html"]
    pictures = [*(DOCS / "_static").glob("*.jpg")]
    assert len(pictures) == 2 and all(path.stat().st_size < LARGEST_DRAWING for path in pictures)

"""The page for everyone: axe-core finds nothing, the keyboard is enough, and nothing moves where that is not wanted.

axe-core comes by `npm install --no-save axe-core@4.10.3` in the project's folder, or from wherever AXE points.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import Client, pair_of, picture, png
from browsing import Browser, browsing

Start = Callable[..., Client]
DRIVER = shutil.which("chromedriver")
AXE = Path(os.environ.get("AXE", Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"))
pytestmark = pytest.mark.skipif(
    not (DRIVER and shutil.which("chromium")), reason="needs Chromium and its driver: apt-get install chromium-driver"
)
SEEN = "return !document.querySelector('#stage').classList.contains('empty')"
TAB, ENTER, RIGHT = "\ue004", "\ue007", "\ue014"


def violations(page: Browser) -> list[str]:
    """What axe-core says of the page as it is now: rules broken, with the elements."""
    page.run(AXE.read_text())
    found = page.call("POST", "/execute/async", {"script": "axe.run().then(arguments[0])", "args": []})
    assert len(found["passes"]) > 10, "it looked"
    return [f"{rule['id']}: {json.dumps([node['html'] for node in rule['nodes']])}" for rule in found["violations"]]


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: npm install --no-save axe-core@4.10.3")
@pytest.mark.parametrize(("dark", "size"), [(True, (1280, 900)), (False, (390, 844))])
def test_axe_finds_nothing(start: Start, tmp_path: Path, dark: bool, size: tuple[int, int]) -> None:
    """In every state: welcome, question, mistake, pair, result, part, refocus, distances and more files."""
    client = start()
    for side, content in pair_of(96, 128).items():
        (tmp_path / f"walk_{side[0].upper()}.png").write_bytes(content)
    (tmp_path / "one.png").write_bytes(png(picture()))
    with browsing(str(DRIVER), tmp_path, dark, size) as page:
        page.open(f"http://127.0.0.1:{client.port}/")
        page.devtools("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-reduced-motion", "value": "reduce"},
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
        ]})  # fmt: skip
        page.wait(lambda: page.text("#place"))
        assert violations(page) == []
        page.type("#files", str(tmp_path / "one.png"))
        page.wait(lambda: page.is_shown("#question"))
        assert violations(page) == []
        page.type("#other", str(tmp_path / "walk_R.png"))
        page.wait(lambda: page.is_shown("#alert"))
        assert violations(page) == []
        page.type("#files", f"{tmp_path / 'walk_L.png'}\n{tmp_path / 'walk_R.png'}")
        page.wait(lambda: page.is_shown("#deblur"))
        assert violations(page) == []
        page.click("#deblur")
        page.wait(lambda: page.run(SEEN) and page.is_shown("#modes"))
        assert violations(page) == []
        for mode in ("some", "anew"):
            page.click(f"#{mode}")
            assert violations(page) == []
        for fold in ("metres", "maps"):
            page.click(f"#{fold} summary")
        page.click("#measure")
        page.wait(lambda: page.is_shown("#alert"))
        assert violations(page) == []
        assert page.run("return document.getAnimations().length") == 0, "which reduced motion asks for"


def test_the_keyboard_is_enough(start: Start, tmp_path: Path) -> None:
    """From the welcome to the result without a pointer, in the order in which things are seen."""
    client = start()
    for side, content in pair_of(96, 128).items():
        (tmp_path / f"walk_{side[0].upper()}.png").write_bytes(content)

    def focused() -> str:
        return str(page.run("return document.activeElement.id || document.activeElement.localName"))

    def tab(wanted: str, most: int = 30) -> list[str]:
        """Press Tab until this has the focus; what had it on the way."""
        passed = []
        for _ in range(most):
            page.press(TAB)
            passed.append(focused())
            if passed[-1] == wanted:
                return passed
        raise AssertionError(passed)

    with browsing(str(DRIVER), tmp_path) as page:
        page.open(f"http://127.0.0.1:{client.port}/")
        page.wait(lambda: page.text("#place"))
        assert tab("sample") == ["a", "files", "sample"]
        page.press(ENTER)
        page.wait(lambda: page.is_shown("#deblur"))
        assert focused() == "verdict" and page.text("#verdict").startswith("A dual-pixel pair")
        page.type("#files", f"{tmp_path / 'walk_L.png'}\n{tmp_path / 'walk_R.png'}")
        page.wait(lambda: page.is_shown("#deblur") and page.text("#verdict").startswith("Too little detail"))
        tab("deblur")
        page.press(ENTER)
        page.wait(lambda: page.run(SEEN) and page.is_shown("#modes"))
        assert focused() == "stage"
        order = tab("download")
        assert order == ["split", "fit", "full", "twice", "peek", "whole", "strength", "format", "download"]
        page.run("document.querySelector('#whole').focus()")
        page.press(RIGHT)
        assert focused() == "some" and page.is_shown("#selection")
        assert "near" in tab("download")
        page.press(RIGHT)
        # What has the focus can be seen: by an outline of its own.
        assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert page.complaints() == [] and page.hosts() == {f"127.0.0.1:{client.port}"}

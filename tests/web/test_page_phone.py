"""On a phone, by touch: pinching, a part by a mask of the user's own, distances and maps."""

import shutil
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from asking import Client, pair_of, png
from browsing import Browser, browsing

Start = Callable[..., Client]
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (DRIVER and shutil.which("chromium")), reason="needs Chromium and its driver: apt-get install chromium-driver"
)
SEEN = "return !document.querySelector('#stage').classList.contains('empty')"
SCALE = "return new DOMMatrix(document.querySelector('#after').style.transform).a"
SOURCE = "return document.querySelector('#after').src"
MIDDLE = """
const box = document.querySelector("#stage").getBoundingClientRect();
return [box.x + box.width / 2, box.y + box.height / 2];
"""
LENS = {"focusdistance": "2", "fnumber": "1,8", "focallength": "50", "sensorwidth": "36"}  # a comma, as some write it


def swipe(page: Browser, apart: list[float]) -> None:
    """Two fingers beside one another on the middle of the picture, and how far apart they are by and by."""
    x, y = page.run(MIDDLE)
    page.touch(*([(x - far / 2, y), (x + far / 2, y)] for far in apart))


def test_a_visit_by_touch(start: Start, tmp_path: Path) -> None:
    client = start()
    for side, content in pair_of(96, 128).items():
        (tmp_path / f"walk_{side[0].upper()}.png").write_bytes(content)
    mask = np.zeros((96, 128), np.uint8)
    mask[:, :64] = 255
    (tmp_path / "subject.png").write_bytes(png(mask))
    (tmp_path / "small.png").write_bytes(png(mask[:40, :40]))
    with browsing(str(DRIVER), tmp_path, dark=True, size=(390, 844)) as page:
        page.open(f"http://127.0.0.1:{client.port}/")
        page.wait(lambda: page.text("#place"))
        page.type("#files", f"{tmp_path / 'walk_L.png'}\n{tmp_path / 'walk_R.png'}")
        page.wait(lambda: page.is_shown("#deblur"))
        page.click("#deblur")
        page.wait(lambda: page.run(SEEN) and page.is_shown("#modes"))
        assert page.run("return [scrollY, document.documentElement.scrollWidth]") == [0, 390]

        fit = page.run(SCALE)
        swipe(page, [80, 120, 160])
        assert page.run(SCALE) == pytest.approx(2 * fit, rel=0.05)
        before = page.run("return document.querySelector('#after').style.transform")
        x, y = page.run(MIDDLE)
        page.touch([(x + 90, y)], [(x + 60, y)], [(x + 30, y)])  # one finger moves a picture that is larger
        assert page.run("return document.querySelector('#after').style.transform") != before
        page.click("#twice")
        assert page.run(SCALE) == 2 and page.text("#zoom") == "200 %"
        page.click("#fit")
        page.run("document.querySelector('#peek').focus()")
        page.press(" ", is_held=True)
        assert page.run("return getComputedStyle(document.querySelector('#clip')).visibility") == "hidden"
        page.let_go()
        assert page.run("return getComputedStyle(document.querySelector('#clip')).visibility") == "visible"

        plain = page.run(SOURCE)
        page.click("#some")
        page.wait(lambda: "keep=" in page.run(SOURCE) and not page.text("#saved"))
        page.type("#ownmask", str(tmp_path / "small.png"))
        page.wait(lambda: page.is_shown("#alert"))
        assert "40 x 40" in page.text("#alert") and "keep=" in page.run(SOURCE)
        page.type("#ownmask", str(tmp_path / "subject.png"))
        page.wait(lambda: "mask=1" in page.run(SOURCE) and not page.text("#saved"))
        assert page.text("#maskname") == "subject.png" and not page.is_shown("#near") and not page.is_shown("#alert")
        page.click("#maps summary")
        page.click("[data-map=mask]")
        page.wait(lambda: (tmp_path / "walk-mask.png").exists())
        assert np.array_equal(
            imagecodecs.png_decode((tmp_path / "walk-mask.png").read_bytes()), mask.astype(np.uint16) * 257
        )
        page.click("#unmask")
        page.wait(lambda: "keep=" in page.run(SOURCE))
        page.click("#whole")
        page.wait(lambda: page.run(SOURCE).split("&")[0] == plain.split("&")[0] and not page.text("#saved"))
        assert not page.is_shown("[data-map=mask]")

        page.click("#metres summary")
        page.click("#measure")
        page.wait(lambda: page.is_shown("#alert"))
        assert "the focal length in millimetres" in page.text("#alert")
        for name, text in LENS.items():
            page.type(f"#{name}", text)
        page.click("#measure")
        page.wait(lambda: page.is_shown("#measuring"))
        assert page.text("#measured").startswith("Median ") and not page.is_shown("#alert")
        page.click("[data-map=metres]")
        page.wait(lambda: (tmp_path / "walk-metres.tif").exists())
        metres = tifffile.imread(tmp_path / "walk-metres.tif")
        page.run("scrollTo(0, 0)")
        x, y = page.run(MIDDLE)
        page.touch([(x, y)])
        told = page.text("#reading")
        assert page.is_shown("#reading") and told != ""
        found = metres[48, 64]
        number = float(told.split()[0]) / (100 if told.endswith("cm") else 1) if told[0].isdigit() else np.inf
        assert number == pytest.approx(found, rel=0.02) or abs(number - metres[46:51, 62:67]).min() < 0.01 * found
        assert page.hosts() == {f"127.0.0.1:{client.port}"}
        # What was refused is logged by the browser itself; nothing else is.
        assert all("status of 422" in complaint for complaint in page.complaints())

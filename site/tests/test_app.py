"""The built page as a photographer meets it, in headless Chromium, served by a plain file host: `make site-test`."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from browsing import Browser, browsing
from static_host import BUILT, Host, hosting
from torch import Tensor

import dualpix
from dualpix.evaluation.demo import bundled_pair
from dualpix.io import read_picture, write_picture

DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (DRIVER and shutil.which("chromium")), reason="needs Chromium and its driver"),
    pytest.mark.skipif(not (BUILT / "app" / "index.html").is_file(), reason="needs the built site: make site"),
]

OFF = 8 / 65535
"""The most that a level may differ from the command line's: its weights are rounded to fp16 and both to 16 bits."""

SHOWN = 1.5 / 255
"""The most that what the page shows, 8 bits as JPEG, may differ on average."""

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
WAIT_S = 400


@pytest.fixture
def host() -> Iterator[Host]:
    with hosting() as made:
        yield made


@pytest.fixture(scope="module")
def pair() -> dict[str, Path]:
    return bundled_pair()


@pytest.fixture(scope="module")
def expected(pair: dict[str, Path]) -> Tensor:
    return dualpix.deblur(pair["left"], pair["right"], engine="torch", precision="fp32")


def visit(browser: Browser, host: Host, query: str = "") -> None:
    """Open the page, and wait until it has been loaded once more with the headers for threads."""
    browser.open(f"{host.address}app/{query}")
    browser.wait(lambda: browser.text("#place") and browser.run("return crossOriginIsolated"), WAIT_S)


def drop(browser: Browser, *files: Path) -> None:
    browser.type("#files", "\n".join(map(str, files)))


def check(browser: Browser, *files: Path) -> str:
    """Give files to the page, and return its verdict."""
    drop(browser, *files)
    browser.wait(lambda: browser.is_shown("#deblur"), WAIT_S)
    return browser.text("#verdict")


def deblur(browser: Browser, folder: Path) -> Path:
    """Deblur what the page shows, and save it."""
    browser.click("#deblur")
    browser.wait(lambda: browser.is_shown("#result") and not browser.text("#saved"), WAIT_S)
    before = set(folder.iterdir())
    browser.click("#download")
    browser.wait(lambda: "Saved" in browser.text("#saved"), WAIT_S)
    browser.wait(lambda: [f for f in set(folder.iterdir()) - before if f.suffix in (".png", ".tif", ".jpg")])
    return next(iter(set(folder.iterdir()) - before))


def apart(path: Path, expected: Tensor) -> float:
    """The greatest difference of a level."""
    return float((read_picture(path).pixels - expected).abs().max())


def seen(browser: Browser, picture: str) -> Tensor:
    """What a picture of the page shows, 3 x H x W in 0 to 1."""
    height, width, levels = browser.run(
        f"""const picture = document.querySelector("{picture}");
        const {{ naturalWidth: width, naturalHeight: height }} = picture;
        const context = Object.assign(document.createElement("canvas"), {{ width, height }}).getContext("2d");
        context.drawImage(picture, 0, 0);
        return [height, width, Array.from(context.getImageData(0, 0, width, height).data)];"""
    )
    return torch.tensor(levels).reshape(height, width, 4)[..., :3].permute(2, 0, 1) / 255


def hosts_in(log: Path) -> set[str]:
    """Whom the page asked, from the browser's own log of its network."""
    lines = (line.rstrip().rstrip(",") for line in log.read_text().splitlines()[1:])
    events = [json.loads(line) for line in lines if line.startswith('{"params"')]
    asked = [event["params"] for event in events if "url" in event["params"] and "initiator" in event["params"]]
    by_page = [params["url"] for params in asked if "127.0.0.1" in str(params["initiator"])]
    assert len(by_page) > 10, "the log has no requests of the page"
    return {urlsplit(url).hostname or "" for url in by_page if not url.startswith(("blob:", "data:"))}


@pytest.mark.parametrize(("kind", "dark"), [("desktop", False), ("phone", True)])
def test_the_picture_is_that_of_the_command_line(host, pair, expected, tmp_path: Path, kind: str, dark: bool) -> None:
    log = tmp_path / "net.json"
    with browsing(str(DRIVER), tmp_path, dark, SIZES[kind], [f"--log-net-log={log}"]) as browser:
        visit(browser, host)
        assert check(browser, pair["left"], pair["right"]) == "A dual-pixel pair, left and right in order"
        saved = deblur(browser, tmp_path)
        assert "WebAssembly with" in browser.text("#how") and "Changed" in browser.text("#how")
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        browser.screenshot(tmp_path / "result.png")
        mean = (read_picture(pair["left"]).pixels + read_picture(pair["right"]).pixels) / 2
        for picture, truth in (("#after", expected), ("#before", mean)):
            assert float((seen(browser, picture) - truth.clamp(0, 1)).abs().mean()) < SHOWN
        assert [told for told in browser.complaints() if "No available adapters" not in told] == []
    assert apart(saved, expected) <= OFF
    levels = read_picture(saved).pixels * 65535
    assert float(((levels.round() % 257) != 0).float().mean()) > 0.9, "no more than 8 bits"
    assert hosts_in(log) == {"127.0.0.1"}


def test_second_visit_without_a_network(host, pair, expected, tmp_path: Path) -> None:
    with browsing(str(DRIVER), tmp_path) as browser:
        visit(browser, host)
        check(browser, pair["left"], pair["right"])
        deblur(browser, tmp_path)
        host.stop()
        visit(browser, host)
        browser.click("#sample")
        browser.wait(lambda: browser.is_shown("#deblur"), WAIT_S)
        assert apart(deblur(browser, tmp_path), expected) <= OFF


def test_bands_make_the_same_picture_and_stop_ends_at_once(host, pair, expected, tmp_path: Path) -> None:
    with browsing(str(DRIVER), tmp_path) as browser:
        visit(browser, host, "?memory=320&engine=wasm")
        check(browser, pair["left"], pair["right"])
        browser.click("#deblur")
        browser.wait(lambda: " of " in browser.text("#status"), WAIT_S)
        browser.click("#stop")
        browser.wait(lambda: browser.is_shown("#deblur"), 3)
        assert browser.text("#verdict") == "A dual-pixel pair, left and right in order"
        assert apart(deblur(browser, tmp_path), expected) <= OFF


def test_stop_while_the_views_are_read(host, pair, expected, tmp_path: Path) -> None:
    with browsing(str(DRIVER), tmp_path) as browser:
        visit(browser, host)
        drop(browser, pair["left"], pair["right"])
        browser.wait(lambda: browser.is_shown("#stop"), WAIT_S)
        browser.click("#stop")
        browser.wait(lambda: browser.is_shown("#deblur"), 3)
        assert browser.text("#verdict") == "The views have not been read"
        assert apart(deblur(browser, tmp_path), expected) <= OFF


def test_another_pair_while_the_views_are_read(host, pair, expected, tmp_path: Path) -> None:
    large = [tmp_path / "large_l.png", tmp_path / "large_r.png"]
    for path, side in zip(large, ("left", "right"), strict=True):
        write_picture(path, read_picture(pair[side]).pixels.repeat(1, 2, 2))
    with browsing(str(DRIVER), tmp_path) as browser:
        visit(browser, host)
        drop(browser, *large)
        browser.wait(lambda: browser.is_shown("#stop"), WAIT_S)
        assert check(browser, pair["left"], pair["right"]) == "A dual-pixel pair, left and right in order"
        assert apart(deblur(browser, tmp_path), expected) <= OFF
        assert [told for told in browser.complaints() if "No available adapters" not in told] == []


def test_a_tab_without_memory_computes_smaller_bands(host, pair, tmp_path: Path) -> None:
    """WebAssembly may take 105 MB here, and the strips that would be tried first need more."""
    tall = [tmp_path / "tall_l.png", tmp_path / "tall_r.png"]
    for path, side in zip(tall, ("left", "right"), strict=True):
        part = read_picture(pair[side]).pixels[:, :, 100:420]
        write_picture(path, torch.cat([part, part.flip(1), part], dim=1))
    expected = dualpix.deblur(*tall, engine="torch", precision="fp32")
    with browsing(str(DRIVER), tmp_path, more=["--js-flags=--wasm-max-mem-pages=1600"]) as browser:
        visit(browser, host, "?memory=600&engine=wasm")
        check(browser, *tall)
        assert apart(deblur(browser, tmp_path), expected) <= OFF
        assert "smaller bands" in browser.text("#notes")


def test_what_is_wrong_with_a_pair_is_told(host, pair, tmp_path: Path) -> None:
    view = read_picture(pair["left"]).pixels
    other, upright = tmp_path / "other_r.png", [tmp_path / "up_l.png", tmp_path / "up_r.png"]
    write_picture(other, view.flip(1))
    for path, side in zip(upright, ("left", "right"), strict=True):
        write_picture(path, torch.rot90(read_picture(pair[side]).pixels, 1, (1, 2)))
    damaged = tmp_path / "damaged_r.png"
    damaged.write_bytes(pair["right"].read_bytes()[:200_000])
    with browsing(str(DRIVER), tmp_path) as browser:
        visit(browser, host)
        assert check(browser, pair["left"], other) == "Not the two views of one photograph"
        browser.click("#swap")
        browser.wait(lambda: browser.is_shown("#deblur"), WAIT_S)
        browser.click("#again")
        assert check(browser, *upright) == "A dual-pixel pair, left and right in order"
        assert "turned by a quarter" in browser.text("#notes")
        browser.click("#again")
        drop(browser, pair["left"], damaged)
        browser.wait(lambda: browser.is_shown("#alert"), WAIT_S)
        assert "damaged_r.png" in browser.text("#alert")

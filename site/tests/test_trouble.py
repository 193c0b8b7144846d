"""The built page where room, memory or instructions are missing, or its tab; and as an app: `make site-test`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from browsing import Browser, browsing
from static_host import BUILT, Host, hosting

from dualpix.evaluation.demo import bundled_pair
from dualpix.io import read_picture, write_picture

DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (DRIVER and shutil.which("chromium")), reason="needs Chromium and its driver"),
    pytest.mark.skipif(not (BUILT / "app" / "index.html").is_file(), reason="needs the built site: make site"),
]
WAIT_S = 400
WASM = "?engine=wasm"


@pytest.fixture
def host() -> Iterator[Host]:
    with hosting() as made:
        yield made


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A part of the bundled pair, which takes little time."""
    folder = tmp_path_factory.mktemp("pair")
    files = []
    for side, path in bundled_pair().items():
        if side in ("left", "right"):
            files.append(folder / f"part_{side[0].upper()}.png")
            write_picture(files[-1], read_picture(path).pixels[:, 100:292, 100:356].contiguous(), depth=16)
    return files


def give(browser: Browser, files: list[Path]) -> None:
    browser.type("#files", "\n".join(map(str, files)))
    browser.wait(lambda: browser.is_shown("#deblur"), WAIT_S)


def start(browser: Browser, files: list[Path]) -> None:
    """Give files, and begin to deblur."""
    browser.wait(lambda: browser.text("#place"), WAIT_S)
    give(browser, files)
    browser.click("#deblur")


def failure(browser: Browser, files: list[Path]) -> str:
    """Deblur files, and return the sentence that comes of it."""
    start(browser, files)
    browser.wait(lambda: browser.is_shown("#alert"), WAIT_S)
    return browser.text("#alert")


def test_storage_that_is_full_is_told_and_costs_nothing_else(host, pair, tmp_path: Path) -> None:
    with browsing(str(DRIVER), tmp_path) as browser:
        origin = host.address.rstrip("/")
        browser.devtools("Storage.overrideQuotaForOrigin", {"origin": origin, "quotaSize": 500_000})
        browser.open(f"{host.address}app/{WASM}")
        start(browser, pair)
        browser.wait(lambda: browser.is_shown("#result"), WAIT_S)
        browser.click("#back")
        assert "no room to keep this page" in browser.text("#notes")


def test_storage_with_room_is_not_told(host, pair, tmp_path: Path) -> None:
    with browsing(str(DRIVER), tmp_path) as browser:
        browser.open(f"{host.address}app/{WASM}")
        start(browser, pair)
        browser.wait(lambda: browser.is_shown("#result"), WAIT_S)
        assert "no room" not in browser.text("#notes")


def test_a_processor_without_128_bits(host, pair, tmp_path: Path) -> None:
    with browsing(str(DRIVER), tmp_path, more=["--js-flags=--no-enable-sse4-1"]) as browser:
        browser.open(f"{host.address}app/{WASM}")
        assert failure(browser, pair) == (
            "This browser's WebAssembly has no 128-bit instructions (SIMD), which computing needs; use a current one."
        )
        assert browser.is_shown("#deblur"), "the pictures stay"


def test_a_tab_that_has_no_memory_at_all(host, pair, tmp_path: Path) -> None:
    with browsing(str(DRIVER), tmp_path, more=["--js-flags=--wasm-max-mem-pages=900"]) as browser:
        browser.open(f"{host.address}app/{WASM}")
        told = failure(browser, pair)
        assert "memory" in told, told
        assert browser.is_shown("#deblur"), "the pictures stay"


def test_a_hidden_tab_goes_on(host, pair, tmp_path: Path) -> None:
    with browsing(str(DRIVER), tmp_path) as browser:
        browser.open(f"{host.address}app/{WASM}")
        start(browser, pair)
        first = browser.call("GET", "/window")
        other = browser.call("POST", "/window/new", {"type": "tab"})["handle"]
        browser.call("POST", "/window", {"handle": other})
        browser.call("POST", "/window", {"handle": first})
        browser.wait(lambda: browser.is_shown("#result"), WAIT_S)


def test_closing_the_tab_is_asked_about_while_something_would_be_lost(host, pair, tmp_path: Path) -> None:
    asks = "const e = new Event('beforeunload', { cancelable: true }); dispatchEvent(e); return e.defaultPrevented"
    with browsing(str(DRIVER), tmp_path) as browser:
        browser.open(f"{host.address}app/{WASM}")
        browser.wait(lambda: browser.text("#place"), WAIT_S)
        assert not browser.run(asks)
        start(browser, pair)
        assert browser.run(asks), "while it computes"
        browser.wait(lambda: browser.is_shown("#result") and not browser.text("#saved"), WAIT_S)
        assert browser.run(asks), "while the result is not saved"
        browser.click("#download")
        browser.wait(lambda: "Saved" in browser.text("#saved"), WAIT_S)
        assert not browser.run(asks)


def test_tiny_identical_and_different_files(host, pair, tmp_path: Path) -> None:
    view = read_picture(pair[0]).pixels
    small, twice = tmp_path / "small_R.png", tmp_path / "twice_R.png"
    write_picture(small, view[:, :100, :100].contiguous())
    write_picture(twice, view, depth=16)
    dots = [tmp_path / "dot_L.png", tmp_path / "dot_R.png"]
    for path in dots:
        write_picture(path, torch.full((3, 1, 1), 0.5))
    with browsing(str(DRIVER), tmp_path) as browser:
        browser.open(f"{host.address}app/{WASM}")
        browser.wait(lambda: browser.text("#place"), WAIT_S)
        browser.type("#files", "\n".join(map(str, [pair[0], small])))
        browser.wait(lambda: browser.is_shown("#alert"), WAIT_S)
        assert "256 x 192 and 100 x 100" in browser.text("#alert")
        browser.type("#files", "\n".join(map(str, [pair[0], twice])))
        browser.wait(lambda: "both views hold the same pixels" in browser.text("#alert"), WAIT_S)
        browser.type("#files", "\n".join(map(str, dots)))
        browser.wait(lambda: "both sides must have at least 16" in browser.text("#alert"), WAIT_S)


def test_a_raw_file_is_told_how_to_export_it(host, pair, tmp_path: Path) -> None:
    raw = tmp_path / "photo.CR3"
    raw.write_bytes(b"\0\0\0\x18ftypcrx " + bytes(100))
    with browsing(str(DRIVER), tmp_path) as browser:
        browser.open(f"{host.address}app/{WASM}")
        browser.wait(lambda: browser.text("#place"), WAIT_S)
        browser.type("#files", f"{raw}\n{pair[1]}")
        browser.wait(lambda: browser.is_shown("#alert"), WAIT_S)
        assert "Digital Photo Professional (how is shown at the foot of this page)" in browser.text("#alert")
        browser.click("a[href='raw.html']")
        browser.wait(lambda: browser.text("h1") == "Two views out of a Canon raw file", WAIT_S)
        drawn = "return [...document.querySelectorAll('.steps svg')].map(one => one.getBoundingClientRect().width)"
        assert len(widths := browser.run(drawn)) == 5 and min(widths) > 250
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        assert [told for told in browser.complaints() if "No available adapters" not in told] == []
        browser.screenshot(tmp_path / "raw.png")


def test_it_can_be_installed(host, tmp_path: Path) -> None:
    """By the browser's own check of what an app needs."""
    with browsing(str(DRIVER), tmp_path) as browser:
        browser.open(f"{host.address}app/")
        browser.wait(lambda: browser.text("#place") and browser.run("return crossOriginIsolated"), WAIT_S)
        found = browser.devtools("Page.getAppManifest", {})
        assert found["errors"] == [] and found["url"] == f"{host.address}app/manifest.webmanifest"
        reasons = browser.devtools("Page.getInstallabilityErrors", {})["installabilityErrors"]
        assert [one["errorId"] for one in reasons] == []

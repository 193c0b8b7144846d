"""The page as a user meets it, in headless Chromium; and what can be said of its files without a browser."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from urllib.parse import urljoin

import imagecodecs
import numpy as np
import pytest
import tifffile
from asking import Client, pair_of, picture, png
from browsing import browsing
from PIL import Image

from dualpix.io.formats import ENDINGS
from dualpix.pairs.sources import BOTH_VIEWS
from dualpix.web.assets import content_of, page_files

Start = Callable[..., Client]
Command = Callable[..., tuple[int, str, str]]

NODE = shutil.which("node")
DRIVER = shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    not (DRIVER and shutil.which("chromium")), reason="needs Chromium and its driver: apt-get install chromium-driver"
)
DROP = """
const files = new DataTransfer();
for (const name of ["a.png", "b.png", "c.png"]) files.items.add(new File(["x"], name));
document.querySelector("#drop").dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true }));
"""
FILES = [path for path, kind, _ in page_files() if kind != "image/png"]
SCRIPTS = [path for path in FILES if path.endswith(".js")]
LOADED = "return [...document.querySelectorAll('.frame img')].every(one => one.classList.contains('loaded'))"
HELD = """
const held = new Promise((resolve) => { window.release = resolve; }), { decode } = HTMLImageElement.prototype;
HTMLImageElement.prototype.decode = function () { return held.then(() => decode.call(this)); };
"""


def text_of(name: str) -> str:
    return content_of(name).decode()


def test_nothing_comes_from_other_hosts() -> None:
    for name in FILES:
        elsewhere = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", text_of(name))
        assert [found for found in elsewhere if "www.w3.org" not in found] == []
        assert "innerHTML" not in text_of(name) and "eval(" not in text_of(name)


def test_below_a_path_everything_is_found(client: Client) -> None:
    """Fault 31: behind a server that passes /dualpix/ on to the page, all that it names lies below that path too."""
    inside = "https://example.org/dualpix/"
    asked = {urljoin(inside, name) for name in re.findall(r'(?:href|src)="([^"]+)"', client.get("/").content.decode())}
    script = "".join(map(text_of, SCRIPTS))
    asked |= {urljoin(inside, name) for name in re.findall(r'from "([^"]+)"', script)}
    asked |= {urljoin(inside, name) for name in re.findall(r"[\"`](/?(?:api/[a-z]+|sample/[a-z.]+))", script)}
    asked |= {inside + "server.js"}  # named by the page's `data-backend`
    known = {"app.js", "session.js", "style.css", "sample/left.png", "api/jobs", "api/limits"}
    assert {name.removeprefix(inside) for name in asked} >= known
    assert all(name.startswith(inside) for name in asked)
    assert all(client.get(name.removeprefix(inside[:-1])).status in (200, 405) for name in asked)


def test_every_control_has_a_name_and_every_part_exists() -> None:
    page = text_of("index.html")
    ids = re.findall(r'\bid="([\w-]+)"', page)
    assert len(set(ids)) == len(ids)
    wanted = re.findall(r'part\("([\w-]+)"\)', "".join(map(text_of, SCRIPTS))) + re.findall(
        r'(?:for|aria-labelledby|aria-describedby)="([\w-]+)"', page
    )
    assert set(wanted) <= set(ids)
    for tag in re.findall(r"<(?:input|select)[^>]*>", page):
        name = re.search(r'id="([\w-]+)"', tag)
        assert "aria-label" in tag or (name and f'for="{name[1]}"' in page)
    assert all("alt=" in tag for tag in re.findall(r"<img[^>]*>", page))
    first, second, mask, rho = (set(names.split(",")) for names in re.findall(r'accept="([^"]+)"', page))
    assert (first, second, mask, rho) == (ENDINGS | BOTH_VIEWS, ENDINGS, ENDINGS, {".csv", "text/csv"})
    assert "style=" not in page and "onclick" not in page  # the security policy forbids both


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_scripts_can_be_read_and_only_pictures_are_asked_for_the_other_view(tmp_path: Path) -> None:
    """By their first bytes, whatever they are called: a text with the name of a picture holds no views at all."""
    (tmp_path / "files.mjs").write_text(text_of("files.js"))
    reading = "import vm from 'node:vm'; for (const text of JSON.parse(process.argv[1])) new vm.SourceTextModule(text)"
    line = [str(NODE), "--experimental-vm-modules", "--input-type=module", "--eval", reading]
    subprocess.run([*line, json.dumps([text_of(name) for name in SCRIPTS])], check=True, timeout=60)
    files, small = {}, Image.fromarray(picture(16, 16))
    for ending in ("png", "tif", "jpg", "webp", "ppm", "gif"):
        small.save(tmp_path / f"a.{ending}")
        files[f"a.{ending}"] = ending != "gif"
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(np.asarray(small)))
    (tmp_path / "boxed.jxl").write_bytes(imagecodecs.jpegxl_encode(np.asarray(small), usecontainer=True))
    tifffile.imwrite(tmp_path / "big.tif", np.asarray(small), bigtiff=True)
    (tmp_path / "nameless").write_bytes(png(np.asarray(small)))
    for ending in ("avif", "heic"):
        (tmp_path / f"a.{ending}").write_bytes(b"\0\0\0\x18ftyp" + ending.encode() + b"\0\0\0\0mif1")
        files[f"a.{ending}"] = True
    files |= {"a.jxl": True, "boxed.jxl": True, "big.tif": True, "nameless": True}
    for name, content in {"diary.txt": b"dear diary", "diary.png": b"Pages of my diary", "none.png": b"",
                          "raw.cr2": b"II*\0", "raw.dng": b"MM\0*", "a.npz": b"PK\3\4"}.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        files[name] = False
    asking = """
import { readFileSync } from "node:fs";
import { inOrder, isOnePicture, startOf } from "./files.mjs";
const told = {};
for (const name of JSON.parse(process.argv[2])) {
  const file = new File([readFileSync(name)], name);
  told[name] = isOnePicture(file, await startOf(file));
}
const upload = (...names) => inOrder(names.map((name) => ({ name })), false).map((one) => one.name).join();
told.upload = [upload("b_R.png", "a_L.png"), upload("b_L.png", "a.png"), upload("b.png", "a.png")];
told.upload.push(upload("a_left.tif", "b_right.tif"));
console.log(JSON.stringify(told));
"""
    (tmp_path / "asking.mjs").write_text(asking)
    line = [str(NODE), "asking.mjs", json.dumps(list(files))]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)
    assert told.pop("upload") == ["a_L.png,b_R.png", "b_L.png,a.png", "a.png,b.png", "a_left.tif,b_right.tif"]
    assert told == files


@pytest.mark.skipif(NODE is None, reason="Node.js is not installed")
def test_a_mistake_of_the_page_is_not_taken_for_a_server_that_is_away(tmp_path: Path, start: Start) -> None:
    """Asked of a real server, of one that breaks off in its answer, and of none."""
    for name in ("server", "problems"):
        (tmp_path / f"{name}.mjs").write_text(text_of(f"{name}.js").replace('.js"', '.mjs"'))
    (tmp_path / "asking.mjs").write_text("""
import { mayPass, sentenceOf } from "./problems.mjs";
import { open } from "./server.mjs";
const [real, breaking, nobody] = process.argv.slice(2).map((port) => `http://127.0.0.1:${port}/`);
globalThis.location = new URL(real);
const backend = await open();
const plain = globalThis.fetch;
const at = (base) => { globalThis.fetch = (path, options) => plain(base + path, options); return backend; };
const found = {};
for (const [name, call] of Object.entries({
  answer: () => at(real).limits(),
  refusal: () => at(real).state("none"),
  broken: () => at(breaking).limits(),
  away: () => at(nobody).limits(),
  mistake: async () => undefined.check,
})) {
  try { found[name] = Boolean(await call()); } catch (error) { found[name] = [mayPass(error), sentenceOf(error)]; }
}
console.log(JSON.stringify(found));
""")
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as unused:
        Thread(target=break_off, args=[listening], daemon=True).start()
        nobody = unused.getsockname()[1]
        unused.close()
        ports = [str(port) for port in (start().port, listening.getsockname()[1], nobody)]
        line = [str(NODE), "asking.mjs", *ports]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)
    away = [True, "The server does not answer; is dualpix web still running?"]
    assert told["answer"] is True and told["broken"] == away and told["away"] == away
    assert told["refusal"][0] is False and told["refusal"][1].startswith("There is no such job")
    assert told["mistake"][0] is False and told["mistake"][1].startswith(
        "Something went wrong in this page (Cannot read"
    )


def break_off(listening: socket.socket) -> None:
    """Answer one request with half of what was announced."""
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"body_b')


@needs_chromium
def test_a_whole_visit(start: Start, weights: Path, tmp_path: Path, dualpix: Command) -> None:
    """Choose a pair, look, swap and swap back, deblur, compare, zoom, download: the file is the command line's."""
    client = start()
    for side, content in pair_of(96, 128).items():
        (tmp_path / f"walk_{side[0].upper()}.png").write_bytes(content)
    left, right, output = (tmp_path / f"{name}.png" for name in ("walk_L", "walk_R", "out"))
    code, _, errors = dualpix(
        "deblur", str(left), str(right), "-o", str(output), "-w", str(weights), "--depth", "16", "--force"
    )
    assert code == 0, errors
    with browsing(str(DRIVER), tmp_path) as page:
        page.open(f"http://127.0.0.1:{client.port}/")
        page.wait(lambda: "stays on this computer" in page.text("#place"))
        page.type("#files", f"{right}\n{left}")  # the marks in the names tell which is which
        page.wait(lambda: page.is_shown("#deblur") and page.run(LOADED))
        assert page.text("#verdict").startswith("Too little detail")
        for side in ("swapped", "back"):
            page.click("#swap")
            page.wait(lambda: page.run("return !document.querySelector('#swap').disabled") and page.run(LOADED))
            assert client.jobs is not None
            (job,) = client.jobs.all()
            assert job.upload.swap == (side == "swapped")
        page.click("#deblur")
        page.wait(lambda: page.run("return !document.querySelector('#stage').classList.contains('empty')"))
        page.drag("#handle span", -150, 0)
        split = page.run("return +document.querySelector('#split').value")
        assert 250 < split < 450
        assert f"inset(0px 0px 0px {split / 10}%)" == page.run("return document.querySelector('#clip').style.clipPath")
        page.type("#split", "\ue014")  # the right arrow, for those without a mouse
        assert page.run("return +document.querySelector('#split').value") == split + 1
        page.click("#full")
        for name in ("before", "after"):
            wide = page.run(f"return document.querySelector('#{name}').getBoundingClientRect().width")
            assert wide == pytest.approx(128)
        page.type("#stage", "+++++++++")
        page.type("#stage", "\ue012")
        moved = [page.run(f"return document.querySelector('#{name}').style.transform") for name in ("before", "after")]
        assert moved[0] == moved[1] and "scale(7.4" in moved[0]
        page.type("#stage", "0")
        assert page.run("return document.querySelector('#fit').getAttribute('aria-pressed')") == "true"
        page.click("#download")
        page.wait(lambda: (tmp_path / "walk-sharp.png").exists())
        assert (tmp_path / "walk-sharp.png").read_bytes() == output.read_bytes()
        page.run("const s = document.querySelector('#strength'); s.value = 0; s.dispatchEvent(new Event('input'))")
        assert page.run("return document.querySelector('#after').style.opacity") == "0"
        page.click("#download")
        page.wait(lambda: (tmp_path / "walk-sharp (1).png").exists())
        mean = np.mean([imagecodecs.png_decode(path.read_bytes()).astype(float) for path in (left, right)], axis=0)
        mixed = imagecodecs.png_decode((tmp_path / "walk-sharp (1).png").read_bytes())
        assert np.abs(mixed - 257 * mean).max() <= 0.51
        page.run("location.reload()")
        page.wait(lambda: page.is_shown("#result"))  # a reload loses nothing
        page.click("#again")
        page.wait(lambda: not client.jobs.all())
        assert page.complaints() == []


@needs_chromium
def test_what_goes_wrong_is_told(start: Start, tmp_path: Path) -> None:
    """On a phone: a broken file, one file alone, a pair lying side by side, a server that has gone."""
    client = start()
    whole = picture(48, 58)
    (tmp_path / "both.png").write_bytes(png(np.concatenate([whole[:, 2:], whole[:, :-2]], axis=1)))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with browsing(str(DRIVER), tmp_path, size=(390, 844)) as page:
        page.open(f"http://127.0.0.1:{client.port}/")
        page.type("#files", f"{tmp_path / 'both.png'}\n{tmp_path / 'broken.png'}")
        page.wait(lambda: page.is_shown("#alert"))
        assert page.is_shown("#welcome") and "broken.png" in page.text("#alert")
        page.run(DROP)
        page.wait(lambda: "more than two" in page.text("#alert"))
        page.type("#files", str(tmp_path / "both.png"))
        page.wait(lambda: page.is_shown("#question"))
        assert page.text("#lonely") == "both.png" and not page.is_shown("#alert")
        page.click("[data-layout=side-by-side]")
        page.wait(lambda: page.is_shown("#deblur") and page.run(LOADED))
        assert page.run("return document.documentElement.scrollWidth") == 390
        assert client.jobs is not None
        for job in client.jobs.all():
            client.jobs.remove(job)
        page.click("#deblur")
        page.wait(lambda: "no such job" in page.text("#alert"))


@needs_chromium
def test_what_was_saved_while_the_pictures_were_loading_stays_said(start: Start, weights: Path, tmp_path: Path) -> None:
    client = start()
    for side, content in pair_of(96, 128).items():
        (tmp_path / f"walk_{side[0].upper()}.png").write_bytes(content)
    with browsing(str(DRIVER), tmp_path) as page:
        page.open(f"http://127.0.0.1:{client.port}/")
        page.type("#files", f"{tmp_path / 'walk_L.png'}\n{tmp_path / 'walk_R.png'}")
        page.wait(lambda: page.is_shown("#deblur") and page.run(LOADED))
        page.run(HELD)
        page.click("#deblur")
        page.wait(lambda: page.is_shown("#result"))
        assert page.text("#saved") == "Loading both pictures"
        page.click("#download")
        page.wait(lambda: page.text("#saved") == "Saved as walk-sharp.png")
        page.run("release()")
        page.wait(lambda: page.run("return !document.querySelector('#stage').classList.contains('empty')"))
        assert page.text("#saved") == "Saved as walk-sharp.png"
        failing = "HTMLImageElement.prototype.decode = () => Promise.reject(new Error('damaged'))"
        page.devtools("Page.addScriptToEvaluateOnNewDocument", {"source": failing})
        page.run("location.reload()")
        page.wait(lambda: "cannot be shown here" in page.text("#alert"))
        assert page.text("#saved") == ""

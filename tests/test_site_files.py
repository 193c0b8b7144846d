"""The static app's reading and writing of picture files, in JavaScript: run by Node, compared with Python's."""

import importlib
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from browsing import browsing
from PIL import Image, JpegImagePlugin

from dualpix.inference.options import DeblurOptions
from dualpix.inference.pipeline import load_pair, save_result
from dualpix.io import read_picture, write_picture

SITE = Path(__file__).parents[1] / "site"
TESTS, TESTING = SITE / "files" / "test", SITE / "files" / "testing"
NODE = shutil.which("node")
OTHERWISE = ("heic", ".jxl", "zstd", "jpeg.tif", "jpeg-tiles", "jpeg-grey", "tiff-jpeg")  # read in Python alone
ADOBE = [0.64, 0.33, 1, 0.21, 0.71, 1, 0.15, 0.06, 1]

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="needs Node"),
    pytest.mark.skipif(
        not (SITE / "vendor" / "mozjpeg_dec.wasm").exists(),
        reason="needs the site's packages: in site/, npm install --no-package-lock && npm run vendor",
    ),
]


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=300, env=os.environ | environment
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures of every kind, with what Python reads from them."""
    folder = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTING))
        fixtures = importlib.import_module("fixtures")
        patch.setattr(logging.getLogger("imagecodecs"), "disabled", True)
        fixtures.main(folder)
    return folder


@pytest.fixture(scope="session")
def written(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """The same pictures, read and written by JavaScript, and the notes on what could not be kept."""
    folder = tmp_path_factory.mktemp("written")
    done = run(NODE or "", TESTING / "convert.mjs", made, folder)
    assert done.returncode == 0, done.stderr
    return folder, json.loads((folder / "notes.json").read_text())


def test_javascript_reads_what_python_reads(made: Path) -> None:
    done = run(NODE or "", "--test", TESTS, DUALPIX_FIXTURES=str(made), PYTHON=sys.executable)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "# skipped 0" in done.stdout


class Site(SimpleHTTPRequestHandler):
    """The site's folder under the security rules of the app, and the pictures at /made/."""

    made: Path

    def translate_path(self, path: str) -> str:
        path = unquote(path.split("?")[0])
        return str(self.made / path.removeprefix("/made/") if path.startswith("/made/") else SITE / path.lstrip("/"))

    def end_headers(self) -> None:
        self.send_header("content-security-policy", "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromedriver") is None, reason="needs chromedriver")
def test_a_browser_reads_and_writes_the_same(made: Path, tmp_path: Path) -> None:
    Site.made = made
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server, browsing("chromedriver", tmp_path) as browser:
        Thread(target=server.serve_forever, daemon=True).start()
        browser.open(f"http://127.0.0.1:{server.server_port}/files/testing/browser.html")
        browser.wait(lambda: browser.text("#alert") == "done")
        found, complaints = browser.run("return window.found"), browser.complaints()
        server.shutdown()
    assert [words for words in complaints if "favicon" not in words] == []
    for name, told in json.loads((made / "expected.json").read_text()).items():
        if found[name].get("error"):
            assert told.get("error") or any(word in name for word in OTHERWISE), (name, found[name])
            assert found[name]["kind"] == "PictureError", (name, found[name])
            continue
        assert found[name]["notes"] == told["notes"], name
        values = (made / f"{name}.f32").read_bytes()
        if not (name.endswith(".avif") and told["depth"] == 8):  # may be off by one level
            assert found[name]["digest"] == sha256(values).hexdigest(), name
        if told["format"] in ("PNG", "TIFF", "JPEG", "WebP") and "float" not in name and not told["grey"]:
            assert set(found[name].get("again", [])) <= {found[name]["digest"]}, name


def test_the_licences_of_all_that_is_fetched_are_listed() -> None:
    listed = (SITE / "files" / "licences.json").read_text()
    packages = json.loads((SITE / "package.json").read_text())["dependencies"]
    assert all(f"{name} {version}" in listed for name, version in packages.items() if name.startswith("@jsquash/"))
    assert all(f"vendor/{path.name}" in listed for path in (SITE / "vendor").glob("*.wasm") if "ort" not in path.name)


def pictures_of(made: Path, written: tuple[Path, dict[str, list[str]]]) -> list[tuple[Path, Path]]:
    """The picture that was read, and what JavaScript wrote of it."""
    folder, notes = written
    return [(made / Path(name).stem, folder / name) for name in notes]


def test_both_write_the_same_levels_and_metadata(
    made: Path, written: tuple[Path, dict[str, list[str]]], tmp_path: Path
) -> None:
    pairs = pictures_of(made, written)
    assert len(pairs) > 250
    for source, ours in pairs:
        given = read_picture(source)
        theirs = tmp_path / ours.name
        metadata = replace(given.metadata, software="dualpix 1, a network")
        depth = 8 if ours.suffix == ".jpg" else given.depth
        notes = write_picture(theirs, given.pixels, depth, metadata=metadata, grey=given.grey)
        assert notes == written[1][ours.name], ours.name
        ours_read, theirs_read = read_picture(ours), read_picture(theirs)
        assert ours_read.depth == theirs_read.depth == depth
        assert ours_read.grey == theirs_read.grey
        if ours.suffix != ".jpg":
            close = 1.01 / 255 if source.suffix == ".avif" and depth == 8 else 0  # as two builds of libavif round
            assert float((ours_read.pixels - theirs_read.pixels).abs().max()) <= close, ours.name
        same_metadata(ours_read.metadata, theirs_read.metadata, ours.name)
        theirs.unlink()


def in_srgb(icc: bytes) -> np.ndarray:
    """Colours, or greys, as a profile shows them, N x 3 in [0, 1], by LittleCMS."""
    levels = np.random.default_rng(0).integers(0, 65536, (1, 200, 3), np.uint16)
    grey = icc[16:20] == b"GRAY"
    shown = imagecodecs.cms_transform(
        np.ascontiguousarray(levels[:, :, 0]) if grey else levels,
        icc,
        imagecodecs.cms_profile("srgb"),
        colorspace="gray" if grey else "rgb",
        outcolorspace="rgb",
        intent=1,
    )
    return np.asarray(shown[0], np.float64) / 65535


def same_metadata(ours, theirs, name: str) -> None:  # type: ignore[no-untyped-def]
    for what in ("exif", "xmp", "photoshop", "orientation", "texts", "software", "density"):
        assert getattr(ours, what) == getattr(theirs, what), (name, what)
    if ours.icc != theirs.icc:  # one that was made of what a file says in another way
        assert ours.icc and theirs.icc, name
        assert np.abs(in_srgb(ours.icc) - in_srgb(theirs.icc)).max() < 0.004, name


def test_other_programs_read_the_same_from_both(
    made: Path, written: tuple[Path, dict[str, list[str]]], tmp_path: Path
) -> None:
    for source, ours in pictures_of(made, written):
        if not source.name.startswith(("turned", "camera")):
            continue
        given, theirs = read_picture(source), tmp_path / ours.name
        metadata = replace(given.metadata, software="dualpix 1, a network")
        write_picture(theirs, given.pixels, given.depth, metadata=metadata)
        with Image.open(ours) as one, Image.open(theirs) as other:
            assert one.info.get("icc_profile") == other.info.get("icc_profile")
            if ours.suffix != ".tif":  # where it counts strips, too
                assert dict(one.getexif()) == dict(other.getexif())
            assert one.getexif()[305] == "dualpix 1, a network"
            for directory in (0x8769, 0x8825):
                assert one.getexif().get_ifd(directory) == other.getexif().get_ifd(directory)
            if ours.suffix == ".jpg":
                assert JpegImagePlugin.get_sampling(one) == 0  # 4:4:4
                assert one.quantization == other.quantization
        if ours.suffix == ".tif":
            with tifffile.TiffFile(ours) as one, tifffile.TiffFile(theirs) as other:
                assert np.array_equal(one.asarray(), other.asarray())
                places = {273, 278, 279, 34665, 34853}
                assert {tag.code for tag in one.pages[0].tags} - places == {
                    t.code for t in other.pages[0].tags
                } - places
                assert one.byteorder == other.byteorder


def test_jpegs_are_as_close_to_the_picture_as_pythons(
    made: Path, written: tuple[Path, dict[str, list[str]]], tmp_path: Path
) -> None:
    errors: dict[str, list[float]] = {"ours": [], "theirs": []}
    for source, ours in pictures_of(made, written):
        if ours.suffix != ".jpg" or source.suffix != ".png":
            continue
        given, theirs = read_picture(source), tmp_path / ours.name
        write_picture(theirs, given.pixels, 8, grey=given.grey)
        for name, path in (("ours", ours), ("theirs", theirs)):
            difference = read_picture(path).pixels - given.pixels
            errors[name].append(float(difference.square().mean()))
    assert len(errors["ours"]) > 10
    assert sum(errors["ours"]) < 1.1 * sum(errors["theirs"])


class Opened:
    """What `load_pair` asks of a checkpoint: the words for the processing note."""

    name, path = "mccnet", Path("shipped.safetensors")


def test_a_result_is_the_same_file_from_both(tmp_path: Path) -> None:
    """A photograph as the command line writes it, and as JavaScript writes it from the same views."""
    dice = np.random.default_rng(0)
    profile = bytes(imagecodecs.cms_profile("rgb", whitepoint=[0.3127, 0.329, 1], primaries=ADOBE, gamma=2.2))
    tags = [(271, 2, 6, "Canon", True), (274, 3, 1, 8, True)]
    for side in "LR":
        levels = dice.integers(0, 65536, (40, 48, 3), np.uint16)
        more = {"iccprofile": profile, "extratags": tags, "metadata": None}
        tifffile.imwrite(tmp_path / f"garden_{side}.tif", levels, photometric="rgb", **more)
    output = tmp_path / "python.tif"
    views, inherited = load_pair(
        output, tmp_path / "garden_L.tif", tmp_path / "garden_R.tif", Opened(), DeblurOptions()
    )
    save_result(output, views["left"], inherited)
    script = f"""
        import {{ readFileSync, writeFileSync }} from 'node:fs';
        import {{ decode, encode, formatFor, outputOf }} from {json.dumps(str(SITE / "files" / "index.js"))};
        const files = ['L', 'R'].map((side) => `garden_${{side}}.tif`)
          .map((name) => ({{ name, bytes: new Uint8Array(readFileSync(name)) }}));
        const pair = await decode(files);
        const made = outputOf(pair, {{ levels: pair.left, software: {json.dumps(inherited.metadata.software)} }});
        const file = await encode(made, formatFor(pair));
        writeFileSync(`${{pair.name}}${{file.ending}}`, file.bytes);
    """
    (tmp_path / "run.mjs").write_text(script)
    done = subprocess.run([NODE or "", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    one, other = read_picture(tmp_path / "garden.tif"), read_picture(output)
    assert one.depth == 16
    assert torch.equal(one.pixels, other.pixels)
    assert one.metadata == other.metadata
    assert one.metadata.icc == profile
    assert one.metadata.orientation == 8

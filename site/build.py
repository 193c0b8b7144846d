"""Build one static folder of documentation and app, for any file host: `make site`.

`site/_build` holds the documentation, as `make docs` built it, and below `app/` the page of `dualpix web` with the back
end that computes in the browser. What the page loads is packed here, since few hosts pack such large files.
"""

import gzip
import hashlib
import html
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dualpix.inference.finder import Finder
from dualpix.inference.web_stages import export_stages
from dualpix.networks.export import Graph
from dualpix.web.assets import page_files
from dualpix.weights import checkpoint

SITE = Path(__file__).parent
DOCS = SITE.parent / "docs" / "_build" / "html"
OUT = SITE / "_build"
APP = OUT / "app"
EXPORTED = SITE / "_network"
RUNTIME = SITE / "node_modules" / "onnxruntime-web" / "dist"

SCRIPTS = ("local.js", "isolating.js", "worker.js")
PAGES = ("side.css", "manifest.webmanifest", "icon-192.png", "icon-512.png")
SIDE_PAGES = {"about.html": "About dualpix in the browser", "raw.html": "Two views out of a Canon raw file - dualpix"}
"""Pages beside the app, with their titles; their files hold what stands in `side.html`."""
ENGINES = (
    ("ort.wasm.min.mjs", "ort-wasm-simd-threaded"),
    ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify"),
)
"""The scripts of ONNX Runtime that the page knows, and what each loads."""

TRY = re.compile(r'href="browser\.html"(?=>(<[^>]*>)*Try your own<)')
"""The link of the documentation's front page that leads to the app where there is one."""

ON_DEMAND = ("engine/", "network/")
"""Folders of files so large that they are kept once they are used, and not before."""

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
HEAD = f"""<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="description" content="Two views of a dual-pixel photograph in, one picture sharp everywhere out.">
<link rel="manifest" href="manifest.webmanifest">
<link rel="apple-touch-icon" href="icon-192.png">
</head>"""
FOOT = """<p class="fine foot"><a href="raw.html">Two views out of a Canon raw file</a> ·
<a href="../index.html">Documentation</a> ·
<a href="about.html">About and licences</a></p>
</main>"""

READ_HERE = {
    "pictures": ".png,.tif,.tiff,.jpg,.jpeg,.webp,.avif,.pgm,.ppm,.pnm",
    "files of both views": ".mpo",
    "endings of both views": "mpo",
    "kinds of both views": "a TIFF of two pages, an MPO, or both views side by side or one above the other",
    "formats": "PNG, TIFF, JPEG, WebP, AVIF, PGM or PPM",
}
"""What files the browser's back end reads, in the words of the page's placeholders."""


def build() -> None:
    """Write the whole folder anew."""
    if not RUNTIME.is_dir():
        raise SystemExit("The packages of the page are missing; run: make site (it needs Node and, once, a network).")
    shutil.rmtree(OUT, ignore_errors=True)
    if DOCS.is_dir():
        shutil.copytree(DOCS, OUT, ignore=shutil.ignore_patterns(".*"))
        (OUT / "index.html").write_text(leading_to_app((OUT / "index.html").read_text()))
    OUT.mkdir(exist_ok=True)
    (OUT / ".nojekyll").touch()  # or GitHub's pages leave out folders that begin with an underscore
    for path, _, content in page_files("local", READ_HERE):
        write(path, _page(content) if path == "index.html" else content)
    copy_scripts()
    copy_engines()
    copy_network()
    write_service_worker()


def write(path: str, content: bytes) -> None:
    """Write a file of the app."""
    (APP / path).parent.mkdir(parents=True, exist_ok=True)
    (APP / path).write_bytes(content)


def _page(content: bytes) -> bytes:
    return content.decode().replace("</head>", HEAD).replace("</main>", FOOT).encode()


def leading_to_app(front: str) -> str:
    """The documentation's front page, whose visitors try a pair of their own at once."""
    changed, links = TRY.subn('href="app/"', front)
    if links != 1:
        raise SystemExit(f"The documentation's front page has {links} links to try a pair of one's own; expected one.")
    return changed


def copy_scripts() -> None:
    """What computes, what reads and writes files, and the decoders that it needs."""
    write("licence.txt", (SITE.parent / "LICENSE").read_bytes())
    for name in (*SCRIPTS, *PAGES):
        write(name, (SITE / name).read_bytes())
    for name, title in SIDE_PAGES.items():
        write(name, side_page(name, title).encode())
    for folder, kinds in (("compute", "*.js"), ("files", "*.js"), ("vendor", "*")):
        for file in sorted((SITE / folder).glob(kinds)):
            write(f"{folder}/{file.name}", file.read_bytes())


def side_page(name: str, title: str) -> str:
    """A page beside the app; where it names what others made, with the decoders that `files/licences.json` lists."""
    rows = [
        f"<li><b>{html.escape(one['name'])}</b> by {html.escape(one['by'])}: {html.escape(one['licence'])}.</li>"
        for one in json.loads((SITE / "files" / "licences.json").read_text())
    ]
    whole = (SITE / "side.html").read_text().replace("{{main}}", (SITE / name).read_text())
    return whole.replace("{{title}}", title).replace("{{licences}}", "\n".join(rows))


def copy_engines() -> None:
    """ONNX Runtime, with WebGPU and without."""
    for script, binary in ENGINES:
        for name in (script, f"{binary}.mjs"):
            write(f"engine/{name}", (RUNTIME / name).read_bytes())
        write(f"engine/{binary}.wasm.gz", packed((RUNTIME / f"{binary}.wasm").read_bytes()))


def copy_network() -> None:
    """The shipped weights in stages, exported again only if they or the exporter changed."""
    told = EXPORTED / "network.json"
    weights = checkpoint.load(checkpoint.DEFAULT_WEIGHTS).path
    exporters = [Path(sys.modules[one.__module__].__file__ or "") for one in (export_stages, Finder)]
    sources = [weights, *exporters, *Path(sys.modules[Graph.__module__].__file__ or "").parent.glob("*.py")]
    if not told.is_file() or told.stat().st_mtime < max(file.stat().st_mtime for file in sources):
        export_stages(EXPORTED)
    manifest = json.loads(told.read_text())
    write("network/network.json", told.read_bytes())
    for part in (*manifest["stages"], manifest["find"]):
        write(f"network/{part['file']}.gz", packed((EXPORTED / part["file"]).read_bytes()))


def packed(content: bytes) -> bytes:
    """By gzip, the same at any time."""
    return gzip.compress(content, 9, mtime=0)


def write_service_worker() -> None:
    """Written last, since it knows all the others by their contents: whatever changes, the page is fetched anew."""
    files = {path.relative_to(APP).as_posix(): path for path in _files_of(APP)}
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(name.encode() + b"\0" + path.read_bytes())
    early = [name for name in files if not name.startswith(ON_DEMAND)]
    script = (SITE / "service-worker.js").read_text()
    script = script.replace("{{version}}", digest.hexdigest()[:16]).replace("{{files}}", json.dumps(early))
    write("service-worker.js", script.encode())


def _files_of(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def sizes() -> str:
    """How large the folder is, in words."""
    whole, app = (sum(path.stat().st_size for path in _files_of(folder)) for folder in (OUT, APP))
    return f"{OUT}: {whole / 1e6:.1f} MB, of which {app / 1e6:.1f} MB are the app"


if __name__ == "__main__":
    build()
    print(sizes())

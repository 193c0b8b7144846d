"""The page's own files, filled in: for the server, and for whoever builds a static page of them."""

import json
from collections.abc import Iterator, Mapping
from importlib import resources

from dualpix.io.formats import FORMATS, names_of_formats
from dualpix.pairs import SOURCES
from dualpix.pairs.sources import BOTH_VIEWS

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""MIME types of the page's files, by their endings."""

SAMPLE = ("left.png", "right.png")
"""The pair of the package that a visitor can try, below `sample/`."""


def page_files(back_end: str = "server", instead: Mapping[str, str] | None = None) -> Iterator[tuple[str, str, bytes]]:
    """All files of the page, which finds them beside one another in any folder.

    Args:
        back_end: Which module of the page computes: `page/backend.js` loads it by this name.
        instead: What stands for placeholders of the page where the back end reads other files than this package does.

    Yields:
        Path below the page's address, MIME type, and content.
    """
    for file in sorted((resources.files("dualpix.web") / "page").iterdir(), key=lambda file: file.name):
        yield file.name, kind_of(file.name), content_of(file.name, back_end, instead)
    for name in SAMPLE:
        yield f"sample/{name}", kind_of(name), (resources.files("dualpix") / "demo_pair" / name).read_bytes()


def kind_of(name: str) -> str:
    """The MIME type of a file of the page."""
    return KINDS["." + name.rpartition(".")[2]]


def content_of(name: str, back_end: str = "server", instead: Mapping[str, str] | None = None) -> bytes:
    """Return a file of the page, with its placeholders for the known picture formats and the back end filled in."""
    content = (resources.files("dualpix.web") / "page" / name).read_text(encoding="utf-8")
    starts = (json.dumps("^(?:" + kind.start.pattern.decode("ascii") + ")") for kind in FORMATS.values())
    filled = {
        "back end": back_end,
        "pictures": ",".join(ending for kind in FORMATS.values() for ending in kind.endings),
        "files of both views": ",".join(sorted(BOTH_VIEWS)),
        "endings of both views": "|".join(sorted(ending[1:] for ending in BOTH_VIEWS)),
        "kinds of both views": ", ".join(kind.about for kind in SOURCES.values() if kind.about),
        "formats": names_of_formats(),
        "starts of pictures": ", ".join(f'new RegExp({start}, "s")' for start in starts),
    }
    for words, filling in (filled | dict(instead or {})).items():
        content = content.replace("{{" + words + "}}", filling)
    return content.encode()

"""How the pages of this folder become a site: `make docs`. They read just as well as plain files."""

import re
from typing import Any

from dualpix import __version__

project, author = "dualpix", "the dualpix contributors"
project_copyright = author
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"dualpix {release}"
html_copy_source = False
html_static_path = ["_static"]
html_favicon = "../src/dualpix/web/page/icon.svg"

myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a page may go from its title to a heading of the third level
default_role = "code"
smartquotes = False  # options and messages are searched for as they are printed
autodoc_typehints = "none"  # docstrings give shapes, units and ranges, which types cannot

ITEM = re.compile(r"^`?[a-z_]+`?(, `?[a-z_]+`?)*: ")


def offer_files(app: Any, docname: str, source: list[str]) -> None:
    """Links to files outside of this folder become downloads, or the page that shows the file."""
    text = source[0].replace("](../CONTRIBUTING.md)", "](contributing.md)")
    source[0] = re.sub(r"\[`?([^\]`]+)`?\]\((\.\./[^)]+)\)", r"{download}`\1 <\2>`", text)


def list_arguments(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Lines such as `memory`: ..., which our docstrings have one below the other, become a list."""
    shown: list[str] = []
    listing = False
    for line in lines:
        starts, ends = bool(ITEM.match(line)), not line.strip()
        if starts and not listing:
            shown.append("")
        listing = (listing or starts) and not ends
        shown.append(f"* {line}" if starts else f"  {line.strip()}" if listing else line)
    lines[:] = shown


def enliven(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """The picture of the front page is one to slide over, and no other page loads what that needs."""
    if pagename == app.config.root_doc:
        app.add_js_file("compare.js", loading_method="defer")
        app.add_css_file("compare.css")


def setup(app: Any) -> None:
    app.connect("html-page-context", enliven)
    app.connect("source-read", offer_files)
    app.connect("autodoc-process-docstring", list_arguments)

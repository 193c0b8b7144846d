"""The files around the package agree with it, and with one another."""

import re
import tomllib
from pathlib import Path

import dualpix

HOME = Path(__file__).parents[1]
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
PINS = [line for line in (HOME / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def test_pins_are_versions_and_nothing_else() -> None:
    """No hosts, no paths of one machine, no local builds: the file must serve any machine."""
    assert [pin for pin in PINS if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []


def test_everything_that_is_needed_is_pinned() -> None:
    needed = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["dev"])
    assert needed - names(PINS) == set()


def test_the_citation_has_the_version_of_the_package() -> None:
    assert re.search(r"^version: (.+)$", (HOME / "CITATION.cff").read_text(), re.MULTILINE)[1] == dualpix.__version__


def test_the_licence_is_whole() -> None:
    text = (HOME / "LICENSE").read_text()
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text

"""The page of messages quotes the package: each message is still in the sources, and no kind of error is left out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualpix import errors

HOME = Path(__file__).parents[1]
PAGE = (HOME / "docs" / "troubleshooting.md").read_text()
QUOTES = [quote.replace("\n> ", " ") for quote in re.findall(r"^> (.+(?:\n> .+)*)", PAGE, re.MULTILINE)]
ANY = "…"


def template(node: ast.AST) -> str | None:
    """The text of a string in the sources, with … for every value that is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(template(value) or ANY for value in node.values)
    return None


def templates() -> Iterator[str]:
    for path in sorted((HOME / "src" / "dualpix").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if text := template(node):
                yield text


SOURCES = "\n\0".join(text for text in templates() if " " in text)


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_still_in_the_sources(quote: str) -> None:
    """All its words, in order, within one string."""
    words = [part.strip(" ") for part in quote.split(ANY) if part.strip(" .:,;()")]
    assert words, "a message of nothing but … tells nothing"
    assert re.search(r"[^\0]*?".join(map(re.escape, words)), SOURCES), quote


def test_a_message_that_is_nowhere_is_noticed() -> None:
    assert not re.search(re.escape("give the left and the middle view"), SOURCES)


def test_every_kind_of_error_has_its_section() -> None:
    things = [thing for thing in vars(errors).values() if isinstance(thing, type)]
    kinds = [one.__name__ for one in things if issubclass(one, errors.DualpixError) and one is not errors.DualpixError]
    assert len(kinds) >= 6
    assert [name for name in kinds if f"`{name}` in Python." not in PAGE] == []


def test_advice_follows_every_group_of_messages() -> None:
    assert len(QUOTES) > 50 and not re.search(r"^#.*\n\n(?:`\w+` in Python\.\n\n)?#", PAGE, re.MULTILINE)

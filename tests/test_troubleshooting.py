"""The page of messages quotes the package: each message is still in the sources, and no kind of error is left out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

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
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Call):
        return flag(node.value)
    return None


def flag(call: ast.Call) -> str | None:
    """An option as the command line spells it."""
    if not (isinstance(call.func, ast.Name) and call.func.id == "option"):
        return None
    name, given = ast.literal_eval(call.args[0]), call.args[1] if call.args[1:] else ast.Constant(True)
    if isinstance(given, ast.JoinedStr):
        return errors.as_flag(name, template(given))
    value = ast.literal_eval(given)
    return errors.as_flag(name, None if value is None else str(value))


def templates() -> Iterator[str]:
    for path in sorted((HOME / "src" / "dualpix").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if text := template(node):
                yield text


SOURCES = "\n\0".join(text for text in templates() if " " in text)


def is_in_the_sources(quote: str) -> bool:
    """All its words, in order, within one string; of nothing but … there is none."""
    words = [part.strip(" ") for part in quote.split(ANY) if part.strip(" .:,;()")]
    return bool(words and re.search(r"[^\0]*?".join(map(re.escape, words)), SOURCES))


def test_every_quoted_message_is_still_in_the_sources() -> None:
    assert [quote for quote in QUOTES if not is_in_the_sources(quote)] == []


def test_a_message_that_is_nowhere_is_noticed() -> None:
    assert not is_in_the_sources("give the left and the middle view")


def test_every_kind_of_error_has_its_section() -> None:
    things = [thing for thing in vars(errors).values() if isinstance(thing, type)]
    kinds = [one.__name__ for one in things if issubclass(one, errors.DualpixError) and one is not errors.DualpixError]
    assert len(kinds) >= 6
    assert [name for name in kinds if f"`{name}` in Python." not in PAGE] == []


def test_advice_follows_every_group_of_messages() -> None:
    assert len(QUOTES) > 50 and not re.search(r"^#.*\n\n(?:`\w+` in Python\.\n\n)?#", PAGE, re.MULTILINE)

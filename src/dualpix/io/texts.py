"""Texts about a photograph: those of PNG files by keyword (title, author, copyright), and comments of JPEG files."""

import zlib
from collections.abc import Iterable
from typing import NamedTuple

COMMENT = "Comment"
LARGEST_BYTES = 2**23  # of one block; larger ones are not worth their risk


class Text(NamedTuple):
    """One text: what it is (a word that PNG knows, such as Title, or any other); perhaps its language, a short code,
    and the word for what it is in that language."""

    keyword: str
    text: str
    language: str = ""
    translated: str = ""


class TooLongError(ValueError):
    """A block that unpacks to more than anyone needs."""


def inflate(data: bytes) -> bytes:
    """Raises ValueError where it is damaged, and TooLongError beyond LARGEST_BYTES."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, LARGEST_BYTES + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) > LARGEST_BYTES:
        raise TooLongError("unpacks to too much")
    if not unpacker.eof:
        raise ValueError("cut short")
    return content


def of_comment(data: bytes) -> Text:
    """What a comment of a JPEG file says. Which letters its bytes are is nowhere told."""
    data = data.rstrip(b"\0")
    try:
        return Text(COMMENT, data.decode())
    except UnicodeDecodeError:
        return Text(COMMENT, data.decode("latin-1"))


def named(texts: Iterable[Text]) -> str:
    """Their keywords, for a sentence."""
    words = list(dict.fromkeys(text.keyword for text in texts))
    shown = ", ".join(f"'{word[:40]}'" for word in words[:4])
    return f"{shown} and {len(words) - 4} more" if len(words) > 4 else shown

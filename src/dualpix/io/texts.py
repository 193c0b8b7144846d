"""Texts about a photograph: title, author, copyright and others in PNG files, comments in JPEG files."""

import zlib
from collections.abc import Iterable
from typing import NamedTuple

COMMENT = "Comment"
LARGEST_BYTES = 2**23  # of one block of metadata; larger ones are left out, since they cost memory and help nobody


class Text(NamedTuple):
    """One text about the photograph.

    Attributes:
        keyword: What it is: a keyword of the PNG specification, such as "Title", or any other.
        text: The text itself.
        language: Language tag such as "de"; empty if it is not stated.
        translated: The keyword in that language.
    """

    keyword: str
    text: str
    language: str = ""
    translated: str = ""


class TooLongError(ValueError):
    """A block of metadata is, or unpacks to, more than LARGEST_BYTES."""


def inflate(data: bytes) -> bytes:
    """Decompress a zlib stream. Raises ValueError where it is damaged, and TooLongError beyond LARGEST_BYTES."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, LARGEST_BYTES + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) > LARGEST_BYTES:
        raise TooLongError("too large when decompressed")
    if not unpacker.eof:
        raise ValueError("cut short")
    return content


def of_comment(data: bytes) -> Text:
    """The text of a JPEG comment. JPEG does not state the encoding: UTF-8 is tried first, then Latin-1."""
    data = data.rstrip(b"\0")
    try:
        return Text(COMMENT, data.decode())
    except UnicodeDecodeError:
        return Text(COMMENT, data.decode("latin-1"))


def named(texts: Iterable[Text]) -> str:
    """The keywords of some texts, quoted, for a sentence; of many only the first four."""
    words = list(dict.fromkeys(text.keyword for text in texts))
    shown = ", ".join(f"'{word[:40]}'" for word in words[:4])
    return f"{shown} and {len(words) - 4} more" if len(words) > 4 else shown

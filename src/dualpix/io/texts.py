"""Texts about a photograph: those of PNG files by keyword (title, author, copyright), and comments of JPEG files."""

import re
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from dualpix.io.formats.png import chunk

COMMENT = "Comment"
LARGEST_BYTES = 2**23  # of one block; larger ones are not worth their risk
# Of the old file: its thumbnail's and its own dates and properties, as ImageMagick and file managers write them.
OF_THE_FILE = ("Thumb::", "date:", "png:", "jpeg:", "tiff:", "webp:")
PROFILE = re.compile(rb"\s*\w+\s+(\d{1,9})\s+([0-9a-fA-F\s]*)")


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


def of_chunk(kind: bytes, data: bytes) -> tuple[Text, bytes]:
    """What a tEXt, zTXt or iTXt chunk of a PNG file says, and the text as the bytes it is. Raises ValueError."""
    keyword, rest = _cut(data)
    if kind == b"tEXt":
        return Text(keyword, rest.decode("latin-1")), rest
    if kind == b"zTXt":
        content = inflate(rest[1:])
        return Text(keyword, content.decode("latin-1")), content
    packed, (language, rest) = rest[:1] == b"\1", _cut(rest[2:])
    translated, _, content = rest.partition(b"\0")
    content = inflate(content) if packed else content
    return Text(keyword, content.decode(errors="replace"), language, translated.decode(errors="replace")), content


def _cut(data: bytes) -> tuple[str, bytes]:
    word, end, rest = data.partition(b"\0")
    if not end:
        raise ValueError("a text without a keyword")
    return word.decode("latin-1"), rest


def fits_png(text: Text) -> bool:
    """Whether its keyword is one that PNG files may have."""
    return 0 < len(text.keyword) < 80 and text.keyword.isprintable() and _is_latin(text.keyword)


def to_chunk(text: Text) -> bytes:
    """The chunk for a text that `fits_png`."""
    keyword, words = text.keyword.encode("latin-1"), text.text.replace("\0", " ")
    if _is_latin(words) and not text.language and not text.translated:
        return chunk(b"tEXt", keyword + b"\0" + words.encode("latin-1"))
    head = b"\0\0\0" + text.language.encode("ascii", "replace") + b"\0" + text.translated.encode() + b"\0"
    return chunk(b"iTXt", keyword + head + words.encode())


def _is_latin(words: str) -> bool:
    return all(ord(letter) < 256 for letter in words)


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


def raw_profile(text: bytes) -> bytes:
    """What a text holds as ImageMagick writes blocks: a name, a length, hexadecimal digits. Raises ValueError."""
    match = PROFILE.match(text)
    data = bytes.fromhex(match[2].decode()) if match else b""
    if match is None or len(data) != int(match[1]):
        raise ValueError("a damaged profile")
    return data

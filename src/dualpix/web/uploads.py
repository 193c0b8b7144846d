"""An upload as it arrives: its files go straight into a job's folder, under names of our own, and nowhere else."""

import logging
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from dualpix.web import pipeline
from dualpix.web.http_errors import HttpError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# Damage is told to whoever sent it, and not on the server's terminal by the parser's log as well.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())


class Fields(NamedTuple):
    """The fields that a form may have: files and texts."""

    files: tuple[str, ...]
    texts: tuple[str, ...] = ()


PAIR = Fields(("left", "right"), ("layout", "swap", "turn", "start"))
MASK = Fields(("mask",))
HEAD_BYTES, TEXT_BYTES, NAME_LETTERS = 8192, 1024, 80
BROKEN = "The upload is damaged or incomplete; send it again."


@dataclass
class Form:
    """A form as it was sent.

    Args:
        texts: The fields that are not files.
        paths: Where the files lie, by field.
        names: What the user calls the files, by the names they have here.
    """

    texts: dict[str, str] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


async def take_in(
    kind: str, chunks: AsyncIterator[bytes], folder: Path, wrote: Callable[[int], None], fields: Fields = PAIR
) -> Form:
    """Read a form, and put its files into `folder`.

    Args:
        kind: The content type (multipart/form-data), with its boundary.
        chunks: The body.
        folder: Of the job.
        wrote: Called with the number of bytes of each piece before it is written; it may raise.
        fields: What it may have.

    Raises:
        HttpError: 400 for what is wrong or incomplete.
        OSError: A file cannot be written.
    """
    boundary = parse_options_header(kind)[1].get(b"boundary")
    if not boundary:
        raise HttpError(400, "The content type names no boundary.")
    parts = _Parts()
    store = _Store(folder, wrote, fields)
    try:
        parser = MultipartParser(boundary, parts.callbacks)
        async for chunk in chunks:
            parser.write(chunk)
            await run_in_threadpool(store.take, parts.found)
        parser.finalize()
    except FormParserError:
        raise HttpError(400, BROKEN) from None
    finally:
        store.close()
    if not parts.is_whole:
        raise HttpError(400, BROKEN)
    return store.upload


class _Parts:
    """What the parser finds, until it is taken: ("head", disposition), ("data", bytes), ("end", nothing)."""

    def __init__(self) -> None:
        self.found: list[tuple[str, bytes]] = []
        self.is_whole = False
        self._name, self._value, self._disposition = bytearray(), bytearray(), b""
        self.callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._keep(self._name, data[start:end]),
            "on_header_value": lambda data, start, end: self._keep(self._value, data[start:end]),
            "on_header_end": self._header,
            "on_headers_finished": lambda: self.found.append(("head", self._disposition)),
            "on_part_data": lambda data, start, end: self.found.append(("data", data[start:end])),
            "on_part_end": lambda: self.found.append(("end", b"")),
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._bytes, self._disposition = 0, b""

    def _keep(self, where: bytearray, piece: bytes) -> None:
        self._bytes += len(piece)
        if self._bytes > HEAD_BYTES:
            raise HttpError(400, "The header of a part of the upload is too long.")
        where += piece

    def _header(self) -> None:
        if bytes(self._name).strip().lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _finish(self) -> None:
        self.is_whole = True


class _Store:
    """Puts the parts of a form where they belong."""

    def __init__(self, folder: Path, wrote: Callable[[int], None], fields: Fields) -> None:
        self.upload = Form()
        self._folder, self._wrote, self._fields = folder, wrote, fields
        self._field = ""
        self._file: BinaryIO | None = None
        self._text = bytearray()

    def take(self, found: list[tuple[str, bytes]]) -> None:
        for what, content in found:
            if what == "head":
                self._begin(content)
            elif what == "data":
                self._more(content)
            else:
                self._end()
        found.clear()

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _begin(self, disposition: bytes) -> None:
        options = parse_options_header(disposition)[1]
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        known = self._fields.files + self._fields.texts
        if self._field not in known:
            raise HttpError(400, f"There is no field {self._field[:50]!r}; the fields are {', '.join(known)}.")
        if self._field in self.upload.texts or self._field in self.upload.paths:
            raise HttpError(400, f"The field {self._field} was sent twice.")
        self._text.clear()
        if self._field not in self._fields.files:
            return
        if b"filename" not in options:
            raise HttpError(400, f"The field {self._field} holds no file, or an empty one.")
        name = options[b"filename"].decode("utf-8", "replace")
        suffix = re.sub(r".*(?=\.)", "", name, flags=re.DOTALL).lower()
        path = self._folder / pipeline.upload_name(self._field, suffix)
        self._file = path.open("xb")
        self.upload.paths[self._field] = path
        self.upload.names[path.name] = shown_name(name) or f"the {self._field}{' view' if self._fields == PAIR else ''}"

    def _more(self, content: bytes) -> None:
        if self._file:
            self._wrote(len(content))
            self._file.write(content)
            return
        self._text += content
        if len(self._text) > TEXT_BYTES:
            raise HttpError(400, f"The field {self._field} is too long.")

    def _end(self) -> None:
        if self._file:
            is_empty, name = not self._file.tell(), self.upload.names[Path(self._file.name).name]
            self.close()
            if is_empty:
                raise HttpError(400, f"This file is empty: {name}; choose another one.")
        else:
            self.upload.texts[self._field] = self._text.decode("utf-8", "replace")


def shown_name(name: str) -> str:
    r"""Return the name of a user's file for use in a sentence: without folders and characters that cannot be printed.

    Example:
        >>> shown_name("C:\\\\photos\\\\left.png"), shown_name("../")
        ('left.png', '')
    """
    last = re.split(r"[/\\]", name.replace("%22", '"'))[-1]
    shown = "".join(letter for letter in last if letter.isprintable())[-NAME_LETTERS:]
    return shown if shown.strip(". ") else ""

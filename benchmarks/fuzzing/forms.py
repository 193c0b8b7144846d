"""What a browser sends to the page: a content type and a body, one behind the other in one file."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from dualpix.errors import DualpixError
from dualpix.web import uploads
from dualpix.web.http_errors import HttpError

PIECE_BYTES = 37
PARTS = (
    ('left"; filename="a.png', "the left view"),
    ('right"; filename="C:\\photos\\b.png', "--boundary\r\n" * 3),
    ("layout", "pair"),
    ("start", "no"),
)


def form() -> bytes:
    head = "multipart/form-data; boundary=thisboundary\n"
    parts = [
        f'--thisboundary\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in PARTS
    ]
    return "".join([head, *parts, "--thisboundary--\r\n"]).encode()


def take_in(path: Path) -> list[str]:
    """The fields of an upload that arrives in small pieces."""
    head, _, body = path.read_bytes().partition(b"\n")

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), PIECE_BYTES):
            yield body[at : at + PIECE_BYTES]

    folder = Path(tempfile.mkdtemp(dir=path.parent))
    try:
        found = asyncio.run(uploads.take_in(head.decode("latin-1"), pieces(), folder, lambda size: None))
    except HttpError as refused:
        raise DualpixError(refused.sentence) from None
    finally:
        shutil.rmtree(folder)
    return sorted([*found.paths, *found.texts])

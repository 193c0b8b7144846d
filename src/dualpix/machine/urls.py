"""Places of files: paths of this disk, or URLs of objects elsewhere, which look and join alike.

`storage.py` reads and writes what a URL names.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from dualpix.errors import PictureError

SERVICES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "memory": "fsspec",
}
"""What a URL may begin with, and the package that speaks with that service."""

SECRET = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)|(?<=\?)\S*=\S*")


class Url(PurePosixPath):
    """An object or a folder of objects elsewhere, such as `s3://bucket/trip/a_L.tif`: joined and taken apart as paths.

    It is no file of this disk: opening it as one raises TypeError.
    """

    __slots__ = ()

    @property
    def scheme(self) -> str:
        """The service: "s3"."""
        return self.parts[0].rstrip(":")

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)

    def __fspath__(self) -> str:
        raise TypeError(f"{self} is no file of this disk")


Location: TypeAlias = Path | Url
"""A file or folder, of this disk or elsewhere."""


def as_location(thing: str | os.PathLike[str]) -> Location:
    """Turn text into a path of this disk or, if it begins with one of SERVICES and `://`, into a URL.

    Args:
        thing: Text; what is a location already stays as it is. `file:///a/b` is the path `/a/b`.

    Raises:
        PictureError: A URL of an unknown kind, with a password or a signature in it, or one that objects do not have.

    Example:
        >>> as_location("s3://photos/trip") / "a_L.tif"
        Url('s3://photos/trip/a_L.tif')
        >>> as_location("sftp://me:secret@host/photos")
        Traceback (most recent call last):
        dualpix.errors.PictureError: sftp://***@host/photos holds a password or a signature; leave it out, and give it \
where the service's own tools look for it (environment, configuration file, key).
    """
    if isinstance(thing, Url | Path):
        return thing
    text = os.fspath(thing)
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", text, re.DOTALL)
    if match is None:
        return Path(text)
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        return Path(unquote(urlsplit(text).path))
    if scheme not in SERVICES:
        known = ", ".join(f"{name}://" for name in ("file", *SERVICES))
        raise PictureError(f"{without_secrets(text)} begins with {scheme}://, which is not known; choose {known}.")
    if SECRET.search(text):
        raise PictureError(
            f"{without_secrets(text)} holds a password or a signature; leave it out, and give it where the service's"
            " own tools look for it (environment, configuration file, key)."
        )
    if not rest.strip("/") or ".." in rest.split("/"):
        raise PictureError(f"{text} names no bucket or leads out of it; give {scheme}://BUCKET/FOLDER.")
    return Url(f"{scheme}://{rest}")


def without_secrets(text: str) -> str:
    """The text without passwords and signatures of URLs in it."""
    return SECRET.sub("***", text)

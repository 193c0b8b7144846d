"""Files that lie elsewhere: object stores and servers by URL, through fsspec (the extra `cloud`).

What is written appears whole or not at all: an object
store puts an object in one step, and a file server gets a hidden file that is then renamed. A server that does not
answer is asked again, with growing pauses; an error is then an OSError whose `filename` is the URL, as that of a file
would be. Credentials come from where each service's own tools look for them (environment, configuration files, roles).
"""

import errno
import os
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dualpix.errors import DualpixError, MachineError, PictureError, how_to_install, reason_of
from dualpix.machine import ssh
from dualpix.machine.urls import SERVICES, Location, Url, without_secrets

T = TypeVar("T")

RENAMING = ("sftp", "ssh")
"""File servers, on which a file that is being written can be seen."""

WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""The pauses before a server that does not answer is asked again: a minute in all."""

NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "DefaultCredentialsError",
    "RefreshError",
    "ClientAuthenticationError",
    "AuthenticationException",
    "BadAuthenticationType",
    "PasswordRequiredException",
    "BadHostKeyException",
    "HttpError401",
}
"""Errors of those packages that no waiting mends."""

NO_KEY = "No authentication methods available"
"""What paramiko says, as an error of any kind, where there is no key for a server."""

MANY = 8
"""From how many wanted objects of one folder on the folder is listed instead of asking for each."""


class Mark(NamedTuple):
    """By what one sees that an object has not changed: its size, and its ETag, version or time."""

    size: int
    tag: str


def read_object(url: Url) -> bytes:
    """Return all bytes of an object.

    Raises:
        OSError: It does not exist, is not allowed, or its server does not answer.
    """

    def read(system: Any, path: str) -> bytes:
        size, content = system.info(path).get("size"), system.cat_file(path)
        if size is not None and len(content) != size:
            raise ConnectionError(errno.EIO, f"it was cut short ({len(content)} of {size} bytes)", str(url))
        return bytes(content)

    return _ask(url, read)


def write_object(url: Url, content: bytes | memoryview) -> Mark:
    """Write an object, which appears whole or not at all, and replaces what was there.

    Raises:
        OSError: It is not allowed, or its server does not answer.
    """

    def write(system: Any, path: str) -> Mark:
        if url.scheme in RENAMING:
            _write_beside(system, path, bytes(content))
        else:
            system.pipe_file(path, bytes(content))
        mark = _mark(system.info(path))
        if mark.size != len(content):
            raise ConnectionError(errno.EIO, f"it has {mark.size} bytes of {len(content)}", str(url))
        return mark

    return _ask(url, write)


def _write_beside(system: Any, path: str, content: bytes) -> None:
    folder = path.rpartition("/")[0]
    system.makedirs(folder, exist_ok=True)
    partial = f"{folder}/.dualpix-{secrets.token_hex(8)}.partial"
    try:
        with system.open(partial, "wb") as file:
            file.write(content)
        system.ftp.posix_rename(partial, path)
    except BaseException:
        if system.exists(partial):
            system.rm_file(partial)
        raise


def remove_object(url: Url) -> None:
    """Remove an object, if it is there. Raises OSError."""

    def remove(system: Any, path: str) -> None:
        if system.exists(path):
            system.rm_file(path)

    _ask(url, remove)


def mark_of(url: Url) -> Mark | None:
    """Return by what one sees that an object has not changed; None if there is no such object. Raises OSError."""

    def look(system: Any, path: str) -> Mark | None:
        try:
            info = system.info(path)
        except FileNotFoundError:
            return None
        return _mark(info) if info["type"] == "file" else None

    return _ask(url, look)


def list_objects(folder: Url, deep: bool = True) -> dict[Url, Mark]:
    """Return all objects in a folder, with those of folders inside if `deep`; none of a folder that does not exist.

    Raises:
        OSError: The bucket does not exist, or is not allowed, or its server does not answer.
        PictureError: An object's name is none that a path can have, such as `a//b`.
    """

    def find(system: Any, path: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = system.find(path, maxdepth=None if deep else 1, detail=True)
        except FileNotFoundError:
            found = {}
        if not found and path and not system.exists(path.split("/")[0]) and folder.scheme in ("s3", "gs", "gcs"):
            raise FileNotFoundError("the specified bucket does not exist")
        return {name.removeprefix(path).lstrip("/") or ".": info for name, info in found.items()}

    return {
        _inside(folder, name): _mark(info)
        for name, info in _ask(folder, find).items()
        if info["type"] == "file" and name != "." and not name.endswith("/")
    }


def _inside(folder: Url, name: str) -> Url:
    url = folder / name
    if str(url) != f"{folder}/{name}" or ".." in url.parts:
        raise PictureError(f"{folder} holds an object called {name!r}, which is no path; rename it.")
    return url


def is_folder(url: Url) -> bool:
    """Whether anything lies below a URL. Raises OSError."""
    return _ask(url, lambda system, path: bool(system.isdir(path)))


def is_dir(place: Location) -> bool:
    """Whether a place is a folder, of this disk or elsewhere. Raises OSError if a server does not tell."""
    return is_folder(place) if isinstance(place, Url) else place.is_dir()


def exists(place: Location) -> bool:
    """Whether there is such a file, folder or object. Raises OSError if a server does not tell."""
    return place.exists() if isinstance(place, Path) else mark_of(place) is not None or is_folder(place)


def same_name(place: Location) -> str:
    """Text that is equal for two names of one file, as far as links of this disk go."""
    return str(place) if isinstance(place, Url) else os.path.realpath(place)


@contextmanager
def told_as(kind: type[DualpixError]) -> Iterator[None]:
    """An OSError of a URL, from inside, becomes an error of ours; one of a file of this disk stays as it is."""
    try:
        yield
    except OSError as error:
        if "://" not in str(error.filename):
            raise
        raise kind(f"{error.filename} cannot be used: {error.strerror}.") from error


class Marks:
    """The marks of many objects, for which folders are listed once where that takes fewer requests.

    Args:
        wanted: All objects that will be asked for.
    """

    def __init__(self, wanted: Iterable[Url]) -> None:
        folders: dict[Url, int] = {}
        for url in wanted:
            folders[url.parent] = folders.get(url.parent, 0) + 1
        self._known: dict[Url, Mark] = {}
        self._listed = {folder for folder, count in folders.items() if count >= MANY}
        for folder in self._listed:
            self._known |= list_objects(folder, deep=False)

    def of(self, url: Url) -> Mark | None:
        """The mark of an object as it was at the beginning; None if it was not there. Raises OSError."""
        return self._known.get(url) if url.parent in self._listed else mark_of(url)


def _mark(info: dict[str, Any]) -> Mark:
    """Of what fsspec tells: each service has its own name for what changes with an object."""
    tag = next((info[key] for key in ("ETag", "etag", "md5Hash", "content_md5", "generation") if info.get(key)), None)
    if tag is None:
        tag = next((info[key] for key in ("LastModified", "last_modified", "mtime", "created") if info.get(key)), "")
    tag = tag.timestamp() if isinstance(tag, datetime) else tag
    return Mark(int(info["size"] or 0), str(tag).strip('"'))


_lock = threading.Lock()


def _system(url: Url) -> tuple[Any, Callable[[str], str]]:
    """The file system of a URL, and what turns the URL into its path there."""
    package = SERVICES[url.scheme]
    try:
        import fsspec

        if url.scheme in RENAMING:
            kind, known = ssh.file_system(), {}
        else:  # what another process has just written counts, so nothing is remembered
            kind, known = fsspec.get_filesystem_class(url.scheme), {"use_listings_cache": False}
        with _lock:
            return kind(**known, **kind._get_kwargs_from_urls(str(url))), kind._strip_protocol
    except ImportError as error:
        more = "" if package in ("fsspec", "s3fs") else f", and pip install {package}"
        raise MachineError(
            f"{url} needs the package {package}, which is not installed: {how_to_install('cloud')}{more}."
        ) from error


def _ask(url: Url, what: Callable[[Any, str], T]) -> T:
    """The answer of `what(file system, path)`, asked again while the server is away; errors become OSErrors."""
    for wait_s in (*WAITS_S, None):
        try:
            system, strip = _system(url)
            return what(system, strip(str(url)))
        except MachineError:
            raise
        except Exception as error:
            final = _final(error, url)
            if final is not None:
                raise final from error
            if wait_s is None:
                why = f"its server does not answer ({without_secrets(reason_of(error))})"
                raise ConnectionError(errno.EIO, why, str(url)) from error
        if url.scheme in RENAMING:
            ssh.file_system().clear_instance_cache()  # its connection may be one that is broken
        time.sleep(wait_s * random.uniform(0.8, 1.2))  # so that many workers do not all come back at once
    raise AssertionError  # the last round returns or raises


def _final(error: Exception, url: Url) -> Exception | None:
    """What to raise if asking again is of no use; None if the server may only be away."""
    reason = without_secrets(reason_of(error))
    if type(error).__name__ in NO_CREDENTIALS or NO_KEY in reason:
        return PermissionError(errno.EACCES, f"no credentials that its service takes were found ({reason})", str(url))
    if isinstance(error, FileNotFoundError):
        bucket = "specified bucket" in reason
        return FileNotFoundError(errno.ENOENT, "there is no such bucket" if bucket else "it does not exist", str(url))
    if isinstance(error, PermissionError):
        return PermissionError(errno.EACCES, f"its service does not allow it ({reason})", str(url))
    if isinstance(error, FileExistsError | IsADirectoryError | NotADirectoryError):
        return type(error)(error.errno or errno.EEXIST, reason, str(url))
    if isinstance(error, OSError):
        return OSError(errno.EINVAL, reason, str(url)) if error.errno == errno.EINVAL else None
    if type(error).__name__ in ("ParamValidationError", "InvalidBucketName") or isinstance(error, ValueError):
        return OSError(errno.EINVAL, reason, str(url))
    if isinstance(error, EOFError):
        return None
    # What other packages raise may be a server's absence; a mistake of a program is one of Python's own classes.
    return error if type(error).__module__ == "builtins" else None

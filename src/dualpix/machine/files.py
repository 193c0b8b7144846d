"""Write files whole or not at all, read JSON that anyone may have written, and where to keep what can be made anew."""

import errno
import json
import locale
import math
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

LEFTOVERS = ".dualpix-*.partial"
"""The names of what a killed process had not finished, as a pattern."""

STALE_S = 86400
"""How old a partial file must be to be nobody's, where the system has no locks that would tell."""

_swept: set[str] = set()

Content = bytes | memoryview


def write_whole(path: Path, content: Content, overwrite: bool = True) -> None:
    """Write beside `path` under a hidden name that no reader takes for the file, then rename in one step.

    Whatever happens, the file is the old one or the new one, a link stays a link, and a replaced file keeps its
    permissions. Raises OSError if it cannot be written, or is write-protected, and FileExistsError if it exists without
    `overwrite`, also if it began to only now.
    """
    write_together([(path, content)], overwrite)


def write_together(files: Sequence[tuple[Path, Content]], overwrite: bool = True) -> None:
    """`write_whole` for several that belong together: none appears before all are on the disk, and if one cannot be
    given its name, those that are new disappear again."""
    targets = [_target(path) for path, _ in files]
    with ExitStack() as stack:
        partials = []
        for target, (path, content) in zip(targets, files, strict=True):
            with naming(path):
                partials.append(stack.enter_context(_partial(target, content)))
        new: list[Path] = []
        try:
            for partial, target in zip(partials, targets, strict=True):
                was_there = target.exists()
                _rename(partial, target, overwrite)
                new += [] if was_there else [target]
        except BaseException:
            for target in new:
                target.unlink(missing_ok=True)
            raise
    for folder in {target.parent for target in targets}:
        _sweep_once(folder)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError from inside, which may name no file or one that nobody knows, names `path`."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _target(path: Path) -> Path:
    """Where a link leads."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def require_writable(path: Path) -> None:
    """Raise OSError if `path` is a link that leads round in a circle, or a file that is protected against writing."""
    target = _target(path)
    # Renaming asks only for the folder's permissions, and the superuser is asked for none.
    if target.exists() and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK)):
        raise PermissionError(errno.EACCES, "it is protected against writing", str(path))


@contextmanager
def _partial(target: Path, content: Content) -> Iterator[Path]:
    """The content beside `target`, locked as long as it is there; what is not renamed is gone afterwards."""
    require_writable(target)
    before = target.stat() if target.exists() else None
    path = target.with_name(f".dualpix-{secrets.token_hex(8)}.partial")
    try:
        with _create(path, 0o666 if before is None else 0o600) as file:
            file.write(content)
            file.flush()
            if before is not None:
                _keep_permissions(path, before)
            os.fsync(file.fileno())
            if _locks is None:
                file.close()  # such systems rename no open file
            yield path
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path, mode: int) -> IO[bytes]:
    while True:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), mode)
        file = os.fdopen(number, "wb")
        if is_free(file) is not False and path.exists():
            return file
        file.close()  # another took it for a leftover just now


def _keep_permissions(path: Path, before: os.stat_result) -> None:
    if hasattr(os, "chown"):
        with suppress(OSError):  # only the superuser may give files away
            os.chown(path, before.st_uid, before.st_gid)
    path.chmod(stat.S_IMODE(before.st_mode))


def _rename(partial: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(partial, target)
        return
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # a disk without such links: its name is taken first
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(partial, target)


try:
    import fcntl as _locks
except ImportError:
    _locks = None  # type: ignore[assignment]


def is_free(file: IO[Any], shared: bool = False) -> bool | None:
    """Whether no other process holds the lock of an open file, which is ours then until it is closed; None where the
    system has no locks. It takes them back from whoever dies. shared: together with all that take it so."""
    if _locks is None:
        return None
    try:
        _locks.flock(file, (_locks.LOCK_SH if shared else _locks.LOCK_EX) | _locks.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def remove_leftovers(folder: Path) -> None:
    """Delete what processes that are gone left half written in `folder`."""
    for path in folder.glob(LEFTOVERS):
        with suppress(OSError), path.open("rb") as file:
            free = is_free(file)
            if free or (free is None and time.time() - path.stat().st_mtime > STALE_S):
                path.unlink()


def _sweep_once(folder: Path) -> None:
    """A folder may hold very many files, and is listed once by a process."""
    if str(folder) not in _swept:
        _swept.add(str(folder))
        remove_leftovers(folder)


def glimpses(file: BinaryIO, piece: int) -> Iterator[bytes]:
    """Begin, middle and end of an open file, `piece` bytes each, which tell it from others; all of a short one."""
    size = file.seek(0, os.SEEK_END)
    short = size <= 3 * piece
    for at in (0,) if short else (0, size // 2, size - piece):
        file.seek(at)
        yield file.read(3 * piece if short else piece)


def legible(text: str) -> str:
    """The text as it can be written in UTF-8: bytes of file names that are none, such as a Latin-1 e-acute, become
    `\\xe9`; those that only the locale takes for none become the letters they are."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


def name_in_any_locale(name: str) -> str:
    """A file name as Python holds it under a UTF-8 locale, so that what is kept of it holds under others too."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


_LOCALE = threading.RLock()


@contextmanager
def decimal_points() -> Iterator[None]:
    """While libraries written in C or C++ write or read a text, numbers have points, as the file's format has them,
    and not the commas that the caller's locale may ask for."""
    with _LOCALE:
        before = locale.setlocale(locale.LC_NUMERIC)
        locale.setlocale(locale.LC_NUMERIC, "C")
        try:
            yield
        finally:
            with suppress(locale.Error):
                locale.setlocale(locale.LC_NUMERIC, before)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text from a file.

    Raises ValueError for whatever is not JSON, and for what Python's reader takes in its own way: nesting too deep, an
    object with a key given twice, and numbers such as 1e999, which would become infinite.
    """
    try:
        return json.loads(text, parse_float=_finite, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def cache_folder() -> Path:
    """The folder in the user's cache for what takes long to find out or to make; it need not exist, and may be deleted
    at any time. Raises RuntimeError for a user without a home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualpix"

"""Write files whole or not at all, read JSON of unknown origin, and find the user's cache folder."""

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
"""A pattern for the unfinished files that a killed process leaves behind."""

RECORDS = ".dualpix-*.together"
"""And for its records of files that are to appear together."""

ACCESS_LIST = "system.posix_acl_access"
"""Where Linux keeps who else may read and write a file (man 5 acl)."""

STALE_S = 86400
"""Age in seconds from which a partial file counts as abandoned, on systems without locks that would show it."""

_swept: set[str] = set()

Content = bytes | memoryview


def write_whole(path: Path, content: Content, overwrite: bool = True) -> None:
    """Write a file whole or not at all.

    The content goes into a hidden file beside `path`, which is then renamed in one step: at any moment `path` is the
    old file or the new one. A symbolic link stays a link, and a replaced file keeps its permissions.

    Args:
        path: The file to write.
        content: All of its bytes.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: The file exists and `overwrite` is not set; also if it appeared only during writing.
        OSError: The file cannot be written, or is write-protected.
    """
    write_together([(path, content)], overwrite)


def write_together(files: Sequence[tuple[Path, Content]], overwrite: bool = True) -> None:
    """Write several files that belong together, as `write_whole` does.

    None appears before the contents of all are on the disk. If one of them cannot be renamed, those that did not exist
    before are removed again. Where the process is killed between two, `remove_leftovers` makes up for the rest.
    """
    targets, mark = [_target(path) for path, _ in files], secrets.token_hex(8)
    with ExitStack() as stack:
        partials = []
        for number, (target, (path, content)) in enumerate(zip(targets, files, strict=True)):
            with naming(path):
                partials.append(stack.enter_context(_partial(target, content, f"{mark}-{number}")))
        if len(files) > 1:
            stack.enter_context(_recorded(list(zip(partials, targets, strict=True)), mark, overwrite))
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
        sweep_once(folder)


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
    """Raise OSError if `path` is write-protected or a link that leads round in a circle."""
    target = _target(path)
    # Renaming needs permissions for the folder alone, and the superuser needs none at all.
    if target.exists() and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK)):
        raise PermissionError(errno.EACCES, "it is protected against writing", str(path))


@contextmanager
def _partial(target: Path, content: Content, mark: str) -> Iterator[Path]:
    """Write `content` beside `target`, locked while the context lasts; if it is not renamed by then, it is deleted."""
    require_writable(target)
    before = target.stat() if target.exists() else None
    path = target.with_name(LEFTOVERS.replace("*", mark))
    try:
        with _create(path, 0o666 if before is None else 0o600) as file:
            file.write(content)
            file.flush()
            if before is not None:
                _keep_permissions(path, target, before)
            os.fsync(file.fileno())
            if _locks is None:
                file.close()  # systems without locks cannot rename an open file
            yield path
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path, mode: int) -> IO[bytes]:
    while True:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), mode)
        file = os.fdopen(number, "wb")
        if is_free(file) is not False and path.exists():
            return file
        file.close()  # another process has just removed it as a leftover


def _keep_permissions(path: Path, target: Path, before: os.stat_result) -> None:
    if hasattr(os, "chown"):
        for owner in (before.st_uid, -1):  # only the superuser may give files away, but others to their own groups
            with suppress(OSError):
                os.chown(path, owner, before.st_gid)
                break
    path.chmod(stat.S_IMODE(before.st_mode))
    if hasattr(os, "getxattr"):
        # The bits of the group are those of the list as a whole then, and would let in more than it does.
        with suppress(OSError):  # it has none
            os.setxattr(path, ACCESS_LIST, os.getxattr(target, ACCESS_LIST))


def _rename(partial: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(partial, target)
        return
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links: the name is reserved first
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(partial, target)


try:
    import fcntl as _locks
except ImportError:
    _locks = None  # type: ignore[assignment]


def is_free(file: IO[Any], shared: bool = False) -> bool | None:
    """Try to take the lock of an open file, which the system releases when the file is closed or the process ends.

    Args:
        file: Any open file.
        shared: Take a lock that others may share, and that only an exclusive one prevents.

    Returns:
        True if the lock is ours now, False if another process holds it, None on systems without locks.
    """
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
    """Delete the unfinished files that killed processes left in `folder`, and finish what they had begun to rename."""
    for record in folder.glob(RECORDS):
        with suppress(OSError), record.open("rb") as file:
            if _is_abandoned(file):
                with suppress(ValueError, TypeError, KeyError):  # no record of ours
                    _finish(folder, parse_json(file.read()))
                record.unlink()
    for path in folder.glob(LEFTOVERS):
        with suppress(OSError), path.open("rb") as file:
            record = folder / RECORDS.replace("*", path.name.split("-")[1])
            if _is_abandoned(file) and not record.exists():  # or else another process is finishing it
                path.unlink()


def sweep_once(folder: Path) -> None:
    """`remove_leftovers`, once for each process and folder, since listing very many files takes time."""
    if str(folder) not in _swept:
        _swept.add(str(folder))
        remove_leftovers(folder)


def _is_abandoned(file: IO[bytes]) -> bool:
    free = is_free(file)
    return bool(free) or (free is None and time.time() - os.fstat(file.fileno()).st_mtime > STALE_S)


@contextmanager
def _recorded(files: Sequence[tuple[Path, Path]], mark: str, overwrite: bool) -> Iterator[None]:
    """While the context lasts, each folder holds a record of which partial files become which."""
    with ExitStack() as stack:
        for folder in dict.fromkeys(target.parent for _, target in files):
            names = [[os.path.relpath(path, folder) for path in pair] for pair in files]
            known = [[*pair, _state(target)] for pair, (_, target) in zip(names, files, strict=True)]
            content = json.dumps({"overwrite": overwrite, "files": known}).encode()
            record = folder / RECORDS.replace("*", mark)
            os.replace(stack.enter_context(_partial(record, content, f"{mark}-record")), record)
            stack.callback(record.unlink, missing_ok=True)
        yield


def _state(path: Path) -> list[int] | None:
    """By which a file is known to be as it was; None where there is none, or only a name that `_rename` reserved."""
    found = path.stat() if path.exists() else None
    return [found.st_ino, found.st_mtime_ns, found.st_size] if found and found.st_size else None


def _finish(folder: Path, record: Any) -> None:
    """Rename what is left of files that were to appear together; none of them if one has been changed since."""
    files = [(folder / partial, folder / target, before) for partial, target, before in record["files"]]
    if not all(p.match(LEFTOVERS) and p.parent == t.parent for p, t, _ in files):
        raise ValueError("it would rename other files")
    linked = [p.exists() and t.exists() and p.samefile(t) for p, t, _ in files]
    to_do = [p.exists() and not done for (p, *_), done in zip(files, linked, strict=True)]
    possible = all(_state(t) == before if due else t.exists() for (_, t, before), due in zip(files, to_do, strict=True))
    for (partial, target, _), done, due in zip(files, linked, to_do, strict=True):
        if possible and due:
            _rename(partial, target, record["overwrite"] or target.exists())
        elif done and not possible:
            target.unlink()
        partial.unlink(missing_ok=True)


def glimpses(file: BinaryIO, piece: int) -> Iterator[bytes]:
    """Yield the beginning, middle and end of an open file, `piece` bytes each; all of a short one in one piece."""
    size = file.seek(0, os.SEEK_END)
    short = size <= 3 * piece
    for at in (0,) if short else (0, size // 2, size - piece):
        file.seek(at)
        yield file.read(3 * piece if short else piece)


def legible(text: str) -> str:
    r"""Return `text` such that it can be written as UTF-8.

    Bytes of file names that are no UTF-8, such as a Latin-1 e-acute, become `\xe9`; valid UTF-8 that only the current
    locale could not decode becomes the characters it stands for.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()


def name_in_any_locale(name: str) -> str:
    """Return a file name as Python has it under a UTF-8 locale, so that records of it hold under other locales too."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


_LOCALE = threading.RLock()


@contextmanager
def decimal_points() -> Iterator[None]:
    """While this context is active, C and C++ libraries write numbers with a decimal point, as file formats require.

    The caller's locale may ask for a comma. The locale belongs to the whole process, so only one thread at a time can
    be inside.
    """
    with _LOCALE:
        before = locale.setlocale(locale.LC_NUMERIC)
        locale.setlocale(locale.LC_NUMERIC, "C")
        try:
            yield
        finally:
            with suppress(locale.Error):
                locale.setlocale(locale.LC_NUMERIC, before)


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text of unknown origin.

    Raises:
        ValueError: It is not JSON, or something that Python's reader would accept in its own way: nesting too deep, an
            object with a repeated key, or a number such as 1e999, which would become infinite.

    Example:
        >>> parse_json('{"strength": 0.5}')
        {'strength': 0.5}
        >>> parse_json('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ValueError: a key is given twice
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
    """Return dualpix's folder in the user's cache, for what takes long to measure or to convert.

    It need not exist, and may be deleted at any time.

    Raises:
        RuntimeError: The user has no home folder.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualpix"

"""Find the pairs among objects elsewhere, by the rules for folders of this disk."""

import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from dualpix.errors import PairError
from dualpix.machine.storage import list_objects
from dualpix.machine.urls import Location, Url
from dualpix.pairs.pairing import Found

Find = Callable[[Sequence[Path], Collection[Path]], list[Found]]


def find_elsewhere(folders: Sequence[Location], leave_out: Collection[Location], find: Find) -> list[Found]:
    """Return what `find(folders, leave_out)` finds where some of the folders lie elsewhere.

    The names of their objects are laid out as empty files in a temporary folder, in which `find` looks; so all rules
    are those of folders, except that no picture is recognised by its content, which would be a request for each.

    Args:
        folders: Those to look in.
        leave_out: Folders to be ignored.
        find: A function of both as folders of this disk.

    Raises:
        PairError: A folder cannot be listed, or its names cannot be laid out; and what `find` raises.
    """
    with ExitStack() as stack:
        laid = {
            folder: _laid_out(folder, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dualpix-"))))
            for folder in folders
            if isinstance(folder, Url)
        }
        here = [laid[one] if isinstance(one, Url) else one for one in folders]
        out = [one for one in leave_out if isinstance(one, Path)]
        out += [
            root / one.relative_to(folder)
            for folder, root in laid.items()
            for one in leave_out
            if isinstance(one, Url) and one.is_relative_to(folder) and one != folder
        ]
        try:
            return [_back(found, laid) for found in find(here, out)]
        except PairError as error:
            raise PairError(_renamed(error.args[0], laid)) from error


def _laid_out(folder: Url, root: Path) -> Path:
    try:
        objects = list_objects(folder)
    except OSError as error:
        raise PairError(f"{folder} cannot be listed: {error.strerror}; check its name and your access.") from error
    made: set[PurePosixPath] = set()
    try:
        for url in objects:
            place = url.relative_to(folder)
            if place.parent not in made:
                (root / place.parent).mkdir(parents=True, exist_ok=True)
                made.add(place.parent)
            (root / place).touch(exist_ok=False)
    except OSError as error:
        raise PairError(
            f"The names in {folder} cannot be laid out on this disk ({error.strerror}: {url.name}); list the pairs in a"
            " manifest."
        ) from error
    return root


def _back(found: Found, laid: dict[Url, Path]) -> Found:
    return found._replace(
        left=_url_of(found.left, laid),
        right=None if found.right is None else _url_of(found.right, laid),
        problem=_renamed(found.problem, laid),
    )


def _url_of(path: Location, laid: dict[Url, Path]) -> Location:
    return next((url / path.relative_to(root) for url, root in laid.items() if path.is_relative_to(root)), path)


def _renamed(text: str, laid: dict[Url, Path]) -> str:
    for url, root in laid.items():
        text = text.replace(str(root), str(url))
    return text

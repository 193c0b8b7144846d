"""Local copies of pictures that lie elsewhere, for readers that need a file of this disk."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dualpix.errors import DualpixError, PictureError, reason_of
from dualpix.io.opening import as_path
from dualpix.machine.storage import read_object
from dualpix.machine.urls import Location, Url, as_location


def as_place(thing: Any) -> Location:
    """Where a picture file is: a path of this disk or a URL. Raises PictureError for anything that is neither."""
    if isinstance(thing, Url):
        return thing
    return as_location(thing) if isinstance(thing, str) and "://" in thing else as_path(thing)


@contextmanager
def local_copies(*things: Any) -> Iterator[tuple[Path, ...]]:
    """Files of this disk with the content of pictures, while the context lasts; those of this disk are themselves.

    Each object is read once, whole, and keeps its name; what lay in one folder does so here. An error from inside names
    the URL.

    Args:
        things: Paths, text or URLs.

    Raises:
        PictureError: One is no path, does not exist, is not allowed, or its server does not answer.
    """
    places = [as_place(thing) for thing in things]
    if not any(isinstance(place, Url) for place in places):
        yield tuple(place for place in places if isinstance(place, Path))
        return
    with tempfile.TemporaryDirectory(prefix="dualpix-") as folder:
        copies = _copied(places, Path(folder))
        try:
            yield tuple(copies)
        except DualpixError as error:
            text = error.args[0]
            for copy, place in zip(copies, places, strict=True):
                text = text.replace(str(copy), str(place)).replace(str(copy.parent), str(place.parent))
            raise type(error)(text) from error


def _copied(places: list[Location], folder: Path) -> list[Path]:
    copies: list[Path] = []
    parents = {place.parent: folder / str(number) for number, place in enumerate(places) if isinstance(place, Url)}
    for place in places:
        if not isinstance(place, Url):
            copies.append(place)
            continue
        copy = parents[place.parent] / place.name
        try:
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(read_object(place))
        except FileNotFoundError as error:
            raise PictureError(f"{place} cannot be read: {error.strerror}; check the name and the folder.") from error
        except (OSError, ValueError) as error:
            raise PictureError(
                f"{place} cannot be read: {getattr(error, 'strerror', None) or reason_of(error)}."
            ) from error
        copies.append(copy)
    return copies

"""Entries of the tables that other packages bring by entry points: networks, losses, engines, formats and more.

A package names them in its `pyproject.toml`, one group for each table:

    [project.entry-points."dualpix.networks"]
    mynet = "mypackage.network:MyNet"

`GROUPS` lists the tables; `examples/plugin` is a package that adds one of each. What cannot be used is named in a
`PluginWarning` and left out, and everything else goes on.
"""

import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dualpix.errors import DualpixError, reason_of

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")

GROUPS = ("networks", "losses", "objectives", "metrics", "datasets", "formats", "sources", "engines")
"""Each is `dualpix.NAME` among entry points."""


class PluginWarning(UserWarning):
    """An entry of another package cannot be used, and why."""


def load(group: str, own: Mapping[str, Thing], lacks: Callable[[Any], str]) -> dict[str, Thing]:
    """The entries that other packages add to a table, by name, in the order of the packages' names.

    Args:
        group: One of `GROUPS`.
        own: The table; its names cannot be taken.
        lacks: What an object lacks to be an entry, in words; "" for nothing.
    """
    added: dict[str, Thing] = {}
    for entry in sorted(entry_points(group=f"dualpix.{group}"), key=lambda one: (_package(one), one.name)):
        problem = ""
        if entry.name in own:
            problem = "dualpix itself has an entry of that name"
        elif entry.name in added:
            problem = "another package brought an entry of that name before"
        else:
            try:
                thing = entry.load()
                problem = lacks(thing)
            except (Exception, SystemExit) as error:
                problem = f"{type(error).__name__}: {reason_of(error)}"
        if problem:
            told = f"{entry.name!r} of {_package(entry)} cannot be used among the {group}: {problem}."
            warnings.warn(told, PluginWarning, stacklevel=2)
        else:
            added[entry.name] = thing
    return added


def answer_of(group: str, name: str, question: Callable[[], Answer]) -> Answer | None:
    """What an entry that another package brought answers when it is asked about a file or folder.

    None, with a `PluginWarning`, if it fails: whose file it is must not depend on the packages that are installed.
    Errors of dualpix are passed on.
    """
    try:
        return question()
    except DualpixError:
        raise
    except Exception as error:
        told = f"{name!r} among the {group} cannot be asked: {type(error).__name__}: {reason_of(error)}"
        warnings.warn(f"{told}; it is left out.", PluginWarning, stacklevel=2)
        return None


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"


def not_callable(thing: Any) -> str:
    """What something lacks to be called."""
    return "" if callable(thing) else "it is nothing that can be called"


def without(*names: str) -> Callable[[Any], str]:
    """Tells which of these attributes something lacks, such as an entry written for an older version."""

    def lacks(thing: Any) -> str:
        missing = [name for name in names if not hasattr(thing, name)]
        return f"it has no {', '.join(missing)}, which this version of dualpix needs" if missing else ""

    return lacks


def other_than(kind: type[Any], taken: Container[str] = ()) -> Callable[[Any], str]:
    """Tells if something is no object of a class, or has a `name` that is taken."""

    def lacks(thing: Any) -> str:
        if not isinstance(thing, kind):
            return f"it is no {kind.__name__} of {kind.__module__}"
        return f"its name {thing.name!r} is taken" if getattr(thing, "name", None) in taken else ""

    return lacks


class Table(dict[str, Thing], Generic[Thing]):
    """A table that other packages add to.

    Theirs are looked for when a name is asked for that is not among its own, or when all are listed: known names cost
    nothing.
    """

    def __init__(self, group: str, own: Mapping[str, Thing], lacks: Callable[[Any], str] = not_callable) -> None:
        super().__init__(own)
        self._group, self._lacks, self._is_complete, self._own = group, lacks, False, tuple(own)

    @property
    def own(self) -> tuple[str, ...]:
        """The names that were there at first; asking for them looks for no package."""
        return self._own

    def _complete(self) -> None:
        if not self._is_complete:
            self._is_complete = True
            self.update(load(self._group, dict.copy(self), self._lacks))

    def __missing__(self, name: str) -> Thing:
        self._complete()
        if not dict.__contains__(self, name):
            raise KeyError(name)
        return dict.__getitem__(self, name)

    def __contains__(self, name: object) -> bool:
        if not dict.__contains__(self, name):
            self._complete()
        return dict.__contains__(self, name)

    def __iter__(self) -> Iterator[str]:
        self._complete()
        return super().__iter__()

    def __len__(self) -> int:
        self._complete()
        return super().__len__()

    def get(self, name: str, default: Any = None) -> Any:
        """The entry of a name, or `default`."""
        self._complete()
        return super().get(name, default)

    def keys(self) -> "dict_keys[str, Thing]":
        """All names."""
        self._complete()
        return super().keys()

    def values(self) -> "dict_values[str, Thing]":
        """All entries."""
        self._complete()
        return super().values()

    def items(self) -> "dict_items[str, Thing]":
        """All names with their entries."""
        self._complete()
        return super().items()

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return {**self, **other}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return {**other, **self}

"""Entries of the tables that other packages bring by entry points: networks, losses, engines, formats and more.

A package names them in its `pyproject.toml`, one group for each table:

    [project.entry-points."dualpix.networks"]
    mynet = "mypackage.network:MyNet"

`GROUPS` lists the tables; `examples/plugin` is a package that adds one of each. What cannot be used is named in a
`PluginWarning` and left out, and everything else goes on. One that was asked for by name and fails while it runs is
named in one sentence (`Origin`); our own entries are called as they are.
"""

import copyreg
import os
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import update_wrapper
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from dualpix.errors import DualpixError, machine_fault, reason_of

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")

GROUPS = ("networks", "losses", "objectives", "metrics", "datasets", "formats", "sources", "engines")
"""Each is `dualpix.NAME` among entry points."""


class PluginWarning(UserWarning):
    """An entry of another package cannot be used, and why."""


class PluginError(DualpixError):
    """A network, loss, objective or metric of another package fails while it runs, or gives what it must not."""


@dataclass(frozen=True)
class Origin:
    """Where an entry of another package comes from, and how its failures are told.

    Attributes:
        group: One of `GROUPS`.
        name: The entry's.
        package: Which brought it.
        error: What is raised, by default `PluginError`.
    """

    group: str
    name: str
    package: str
    error: type[DualpixError] = PluginError

    def __str__(self) -> str:
        return f"{self.name!r} of {self.package}, among the {self.group}"

    @contextmanager
    def at_work(self, *passed_on: type[Exception], on: str = "") -> Iterator[None]:
        """Turn whatever the entry raises into one sentence with it as `__cause__`.

        Errors of dualpix, of memory or of a device that fails, and those of the kinds `passed_on` stay as they are.

        Args:
            *passed_on: Kinds of errors that mean something to the caller.
            on: The file that it works on, if it does on one.
        """
        try:
            yield
        except (Exception, SystemExit) as error:
            if isinstance(error, (DualpixError, *passed_on)) or machine_fault(error):
                raise
            at, why = f" on {on}" if on else "", f"{type(error).__name__}: {reason_of(error)}"
            raise self.error(f"{self}, failed{at} ({why}); do without it, or tell those who made it.") from error


Check: TypeAlias = Callable[..., Any]
"""Of what an entry gave and what it was given: what is handed on. Raises TypeError or ValueError for what it must not
give.
"""


def as_it_is(made: Any, *given: Any) -> Any:
    """The `Check` that finds nothing."""
    return made


def each_of(made: Any, *given: Any) -> Iterator[Any]:
    """The `Check` of what is made one by one; `Guarded` watches over that too."""
    yield from made


def in_words(made: Any) -> str:
    """What an entry gave, for a sentence: its type, and its shape if it has one."""
    shape = getattr(made, "shape", None)
    return type(made).__name__ if shape is None else f"{type(made).__name__} {tuple(shape)}"


class Guarded:
    """A function of another package: what it raises is told by its `Origin`, and what it gives is checked.

    Args:
        function: To be called as this is.
        origin: Of the entry it belongs to.
        check: Of what it gives.
    """

    def __init__(self, function: Callable[..., Any], origin: Origin, check: Check = as_it_is) -> None:
        update_wrapper(self, function)
        self._function, self._origin, self._check = function, origin, check

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Call the function; raises the origin's error."""
        on = _file_in(args)
        with self._origin.at_work(on=on):
            made = self._check(self._function(*args, **keywords), *args)
        return self._watched(made, on) if self._check is each_of else made

    def _watched(self, made: Iterator[Any], on: str) -> Iterator[Any]:
        with self._origin.at_work(on=on):
            yield from made


def _file_in(given: tuple[Any, ...]) -> str:
    """The file that a function is given first, if it is."""
    first = given[0] if given else None
    if isinstance(first, os.PathLike):
        return str(first)
    name = getattr(first, "name", None) if hasattr(first, "read") else None
    return name if isinstance(name, str) else ""


def _new(kind: type[Thing], *args: Any) -> Thing:
    return kind.__new__(kind, *args)


def guarded_class(kind: type[Thing], methods: Mapping[str, Callable[..., Any]]) -> type[Thing]:
    """A class of another package with some of its methods replaced; its objects are pickled and copied as its own."""

    def reduced(self: Any, protocol: Any) -> Any:
        made = kind.__reduce_ex__(self, protocol)
        if isinstance(made, str) or made[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
            return made
        return _new, (kind, *made[1][1:]), *made[2:]

    told = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), {**told, "__reduce_ex__": reduced, **methods})


def load(
    group: str,
    own: Mapping[str, Thing],
    lacks: Callable[[Any], str],
    guard: Callable[[Any, Origin], Thing] | None = None,
    error: type[DualpixError] = PluginError,
) -> dict[str, Thing]:
    """The entries that other packages add to a table, by name, in the order of the packages' names.

    Args:
        group: One of `GROUPS`.
        own: The table; its names cannot be taken.
        lacks: What an object lacks to be an entry, in words; "" for nothing.
        guard: Makes of an entry one whose failures are told by its `Origin`; None leaves it as it is.
        error: What is raised for them.
    """
    return {name: thing for name, (thing, _) in _load(group, own, lacks, guard, error).items()}


def _load(
    group: str,
    own: Mapping[str, Thing],
    lacks: Callable[[Any], str],
    guard: Callable[[Any, Origin], Thing] | None,
    error: type[DualpixError],
) -> dict[str, tuple[Thing, Origin]]:
    added: dict[str, tuple[Thing, Origin]] = {}
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
            except (Exception, SystemExit) as failure:
                problem = f"{type(failure).__name__}: {reason_of(failure)}"
        if problem:
            told = f"{entry.name!r} of {_package(entry)} cannot be used among the {group}: {problem}."
            warnings.warn(told, PluginWarning, stacklevel=2)
        else:
            origin = Origin(group, entry.name, _package(entry), error)
            added[entry.name] = (guard(thing, origin) if guard else thing), origin
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


def no_class_with(*names: str) -> Callable[[Any], str]:
    """Tells if something is no class, or which of these attributes it lacks, such as one for an older version."""

    def lacks(thing: Any) -> str:
        if not isinstance(thing, type):
            return "it is no class"
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

    Args:
        group: One of `GROUPS`.
        own: Our own entries.
        lacks: See `load`.
        guard: See `load`.
        error: See `load`.
    """

    def __init__(
        self,
        group: str,
        own: Mapping[str, Thing],
        lacks: Callable[[Any], str] = not_callable,
        guard: Callable[[Any, Origin], Thing] | None = None,
        error: type[DualpixError] = PluginError,
    ) -> None:
        super().__init__(own)
        self._group, self._lacks, self._is_complete, self._own = group, lacks, False, tuple(own)
        self._guard, self._error = guard, error
        self._origins: dict[str, Origin] = {}

    @property
    def own(self) -> tuple[str, ...]:
        """The names that were there at first; asking for them looks for no package."""
        return self._own

    def origin_of(self, name: str) -> Origin | None:
        """Where an entry comes from; None for our own, and for names that nobody has."""
        return self._origins.get(name) if name in self else None

    def at_work(self, name: str) -> AbstractContextManager[None]:
        """A context in which whatever an entry of another package raises is told in one sentence."""
        origin = self.origin_of(name)
        return origin.at_work() if origin else nullcontext()

    def _complete(self) -> None:
        if not self._is_complete:
            self._is_complete = True
            added = _load(self._group, dict.copy(self), self._lacks, self._guard, self._error)
            self.update({name: thing for name, (thing, _) in added.items()})
            self._origins = {name: origin for name, (_, origin) in added.items()}

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

"""Packages that are loaded when something of them is first used: a machine that has no use for them need not have them.

Reading and writing picture files takes `imagecodecs` and `tifffile`; training on a pack of photographs does not.
"""

from importlib import import_module
from typing import Any


class Later:
    """A package, by its name; an ImportError comes when it is used and is not there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # asked by tools that look at every module, such as doctest
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)


imagecodecs: Any = Later("imagecodecs")
tifffile: Any = Later("tifffile")

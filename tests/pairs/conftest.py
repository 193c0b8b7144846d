"""The fixtures that tests of pairs share."""

from picture_files import as_nobody, defocused, make

__all__ = ["as_nobody", "defocused", "make"]

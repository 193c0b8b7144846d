"""The fixtures that tests of picture files share."""

from picture_files import as_nobody, kind, make

__all__ = ["as_nobody", "kind", "make"]

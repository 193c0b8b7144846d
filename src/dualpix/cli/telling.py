"""What people read: lines on standard error, and a status line on a terminal."""

import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, Self

import typer

from dualpix.plugins import PluginWarning

STATUS_WIDTH = 60


def say(text: str, nl: bool = True) -> None:
    """Print to stderr, which is for people; stdout is for results. If it takes nothing, nothing more is told."""
    try:
        typer.echo(text, nl=nl, err=True)
    except OSError:  # the disk of a log is full, or its reader has gone; the work is worth more
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as in `show`


def show(text: str) -> None:
    """Print to stdout what is not worth losing hours of work: if nobody reads it, or the disk is full, go on."""
    try:
        typer.echo(text)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the end; at exit Python would complain about the old one


def show_plugin_warnings() -> None:
    """Say in a line, without a place in the sources, which entries of other packages cannot be used."""
    usual = warnings.showwarning

    def shown(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            say(f"Note: {message}")
        else:
            usual(message, category, *place, **more)

    warnings.showwarning = shown


class Status:
    """A context with a line on a terminal that says what is being done, and for how long; nothing in logs and pipes."""

    def __init__(self) -> None:
        self.words, self.since = "", time.monotonic()
        self.shown = sys.stderr.isatty()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._tick, daemon=True)

    def tell(self, words: str) -> None:
        """Show `words` as what is being done from now on."""
        self.words, self.since = words, time.monotonic()
        self._show()

    def count(self, done: int, total: int) -> None:
        """Show which band of a picture is being computed."""
        if total > 1 and done < total:
            self.tell(f"computing band {done + 1} of {total}")

    def _show(self) -> None:
        if self.shown:
            seconds = time.monotonic() - self.since
            say(f"\r{self.words} ({seconds:.0f} s)".ljust(STATUS_WIDTH), nl=False)

    def _tick(self) -> None:
        while not self.over.wait(1):
            self._show()

    def __enter__(self) -> Self:
        if self.shown:
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        if self.shown:
            self.thread.join()
            say(f"\r{'':{STATUS_WIDTH}}\r", nl=False)


def counter(what: str) -> Callable[[int, int], None]:
    """Return a function of (done, total) that shows a counting line on a terminal, and nothing in logs and pipes."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty() and total > 1:
            say(f"\r{what} {done} of {total}" + "\n" * (done == total), nl=False)

    return show

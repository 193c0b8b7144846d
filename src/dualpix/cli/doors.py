"""What all commands share: the application, how errors are told, and the options that mean the same everywhere."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, Self

import typer
from typer.core import TyperGroup

from dualpix import __version__
from dualpix.errors import MEMORY_RAN_OUT, DualpixError, as_flag, ran_out_of_memory, reason_of, shortened, spelled_as


class Doors(TyperGroup):
    """The sub-commands. What a user can put right is one sentence on stderr and exit code 1, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with spelled_as(as_flag):
                return super().invoke(ctx)
        except DualpixError as error:
            message = error.spelled(as_flag)
        except KeyboardInterrupt:
            say("Stopped.")
            raise typer.Exit(130) from None
        except Exception as error:
            message = _told(error)
            if not message:
                raise
        say(f"dualpix: {message}")
        raise typer.Exit(1)


def _told(error: Exception) -> str:
    """What is to be said of an error that is not of our own; nothing of a mistake of the program."""
    if ran_out_of_memory(error):
        return MEMORY_RAN_OUT
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        name = shortened(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else ""
        return str(DualpixError(f"{name or 'A file'} cannot be used: {error.strerror or reason_of(error)}."))
    return ""


app = typer.Typer(
    cls=Doors,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

STATUS_WIDTH = 60

Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "-w",
        metavar="NAME|FILE",
        help="Shipped weights, a .safetensors file of your own, or what export wrote.",
    ),
]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help="The most memory to use, such as 2GB.")]
Precision = Annotated[
    str, typer.Option(metavar="NAME", help="fp32, bf16, fp16, with openvino int8, or auto: the faster one but int8.")
]
Engine = Annotated[str, typer.Option(metavar="NAME", help="torch, openvino, onnx, or auto: torch, or that of FILE.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, mps, or auto: a GPU if there is one.")]
Mirror = Annotated[
    bool, typer.Option("--mirror", help="Mean of four mirrored results: a little better, four times the time.")
]
Scale = Annotated[
    str,
    typer.Option(metavar="NAME", help="Deblur wide blur at 1/2, 1/4 ... of the size; 1: at full size alone; or auto."),
]
Layout = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="One file holds both views: side-by-side, top-bottom, raw, pixel, npz or two-pictures."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Go on if the pair looks odd, as if swapped.")]
Swap = Annotated[bool, typer.Option("--swap", help="Exchange the views.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]


def say(text: str) -> None:
    """Print to stderr, which is for people; stdout is for results."""
    typer.echo(text, err=True)


def _call_it_force(given: bool) -> bool:
    if given:
        say("Note: --anyway is called --force now.")
    return given


Anyway = Annotated[bool, typer.Option("--anyway", hidden=True, callback=_call_it_force)]


def show(text: str) -> None:
    """Print to stdout what is not worth hours of work: where nobody reads it, or the disk is full, go on in silence."""
    try:
        typer.echo(text)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - as long as the process; Python would complain of the old one


@app.callback(invoke_without_command=True)
def describe(
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.", is_eager=True)] = False,
) -> None:
    """Turn the two views of a dual-pixel photograph into one picture that is sharp everywhere.

    \b
    Example:  dualpix deblur left.png right.png -o sharp.png
    """
    if version:
        typer.echo(f"dualpix {__version__}")
        raise typer.Exit()


class Status:
    """A line on a terminal that says what is being done, and for how long; nothing in logs and pipes. A context."""

    def __init__(self) -> None:
        self.words, self.since = "", time.monotonic()
        self.shown = sys.stderr.isatty()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._tick, daemon=True)

    def tell(self, words: str) -> None:
        """From now on it is this that is being done."""
        self.words, self.since = words, time.monotonic()
        self._show()

    def count(self, done: int, total: int) -> None:
        """The same, for bands of a picture."""
        if total > 1 and done < total:
            self.tell(f"computing band {done + 1} of {total}")

    def _show(self) -> None:
        if self.shown:
            seconds = time.monotonic() - self.since
            typer.echo(f"\r{self.words} ({seconds:.0f} s)".ljust(STATUS_WIDTH), nl=False, err=True)

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
            typer.echo(f"\r{'':{STATUS_WIDTH}}\r", nl=False, err=True)


def counter(what: str) -> Callable[[int, int], None]:
    """A line that counts, for people who watch; nothing in logs and pipes, and nothing where there is only one."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty() and total > 1:
            typer.echo(f"\r{what} {done} of {total}" + "\n" * (done == total), nl=False, err=True)

    return show

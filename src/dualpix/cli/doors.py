"""What all commands share: the application, how errors are told, and the options that mean the same everywhere."""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dualpix import __version__
from dualpix.errors import DualpixError


class Doors(TyperGroup):
    """The sub-commands. What a user can put right is one sentence on stderr and exit code 1, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except DualpixError as error:
            message = str(error)
        except MemoryError:
            message = "The memory ran out; free some, or use smaller pictures."
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            message = f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
        except KeyboardInterrupt:
            say("Stopped.")
            raise typer.Exit(130) from None
        say(f"dualpix: {message}")
        raise typer.Exit(1)


app = typer.Typer(
    cls=Doors,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

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
Layout = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="One file holds both views: side-by-side, top-bottom, raw, pixel, npz or two-pictures."
    ),
]
Swap = Annotated[bool, typer.Option("--swap", help="Exchange the views.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]


def say(text: str) -> None:
    """Print to stderr, which is for people; stdout is for results."""
    typer.echo(text, err=True)


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


def counter(what: str) -> Callable[[int, int], None]:
    """A line that counts, for people who watch; nothing in logs and pipes, and nothing where there is only one."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty() and total > 1:
            typer.echo(f"\r{what} {done} of {total}" + "\n" * (done == total), nl=False, err=True)

    return show

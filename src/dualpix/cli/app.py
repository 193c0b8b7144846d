"""The application: how errors are told, and what `dualpix` alone says."""

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dualpix import __version__
from dualpix.cli.telling import say
from dualpix.errors import MEMORY_RAN_OUT, DualpixError, as_flag, ran_out_of_memory, reason_of, shortened, spelled_as


class Commands(TyperGroup):
    """The sub-commands. What a user can put right is one sentence on stderr and exit code 1, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with spelled_as(as_flag):
                _check_current_folder()
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

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Around all of it, for the help is printed before a command is invoked."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            say(f"dualpix: {_told(error)}")
            raise SystemExit(1) from error


def _check_current_folder() -> None:
    """Libraries that are loaded later end the process, in words of their own, where it was deleted."""
    try:
        os.getcwd()
    except OSError as error:
        raise DualpixError("The current folder is not there any more; change to another one.") from error


def _told(error: Exception) -> str:
    """What is to be said of an error that is not of our own; nothing of a mistake of the program."""
    if ran_out_of_memory(error):
        return MEMORY_RAN_OUT
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        name = shortened(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else ""
        return str(
            DualpixError(
                f"{name or 'A file or the standard output'} cannot be used: {error.strerror or reason_of(error)}."
            )
        )
    return ""


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


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

"""The application: how errors are shown, and what `dualpix` alone prints."""

import os
import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from dualpix import __version__
from dualpix.cli.telling import say
from dualpix.errors import DualpixError, as_flag, machine_fault, reason_of, shortened, spelled_as


class Commands(TyperGroup):
    """The sub-commands. What a user can put right is one sentence on stderr and exit code 1, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; on Ctrl-C the exit code is 130."""
        code = 1
        try:
            with spelled_as(as_flag):
                _check_current_folder()
                return super().invoke(ctx)
        except DualpixError as error:
            message, code = error.spelled(as_flag), error.exit_code
        except KeyboardInterrupt:
            if os.environ.get("RANK", "0") == "0":  # the first of those that train together speaks for all
                say("Stopped.")
            raise typer.Exit(130) from None
        except Exception as error:
            message = _sentence(error)
            if not message:
                raise
        say(f"dualpix: {message}")
        raise typer.Exit(code)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Report errors of printing the help too, which happens before a command is invoked."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            message = _sentence(error)
            if not message:
                raise
            say(f"dualpix: {message}")
            raise SystemExit(1) from error


class Command(TyperCommand):
    """A sub-command, some of whose options may stand without their value."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Give such an option its usual value where the next word is none."""
        words = args[: args.index("--")] if "--" in args else args
        for number, word in reversed([*enumerate(words)]):
            if word in BARE:
                usual, value = BARE[word]
                if number + 1 == len(words) or not value.fullmatch(words[number + 1]):
                    args = [*args[:number], f"{word}={usual}", *args[number + 1 :]]
        return super().parse_args(ctx, args)


BARE = {"--ray": ("local", re.compile(r"auto|local|[^/\\]*:\d+|\d+(\.\d+){3}|ray://.*"))}
"""Options that may stand alone: what they mean then, and what the next word looks like if it is theirs."""


def _check_current_folder() -> None:
    """Raise DualpixError if it was deleted: libraries that are loaded later would end the process without a reason."""
    try:
        os.getcwd()
    except OSError as error:
        raise DualpixError("The current folder is not there any more; change to another one.") from error


def _sentence(error: Exception) -> str:
    """The sentence about an error of the system, of memory or of the device; empty for a mistake in the program."""
    if fault := machine_fault(error):
        return fault
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

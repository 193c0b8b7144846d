"""Write `docs/dualpix.1`, the manual page of the command, from what its commands say with `--help`.

python docs/manual.py
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from dualpix import __version__
from dualpix.cli import app

PAGE = Path(__file__).with_name("dualpix.1")


def escaped(text: str) -> str:
    """With all that troff would take for its own: backslashes, hyphens, and dots and quotes that begin a line."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def paragraphs(help_text: str) -> Iterator[str]:
    """A command's own text: what stands behind \\b keeps its lines."""
    for paragraph in help_text.strip().split("\n\n"):
        lines = [line.strip("\f ") for line in paragraph.split("\n")]
        if lines[0] == "\b":
            yield ".PP\n.nf\n" + escaped("\n".join(lines[1:])) + "\n.fi"
        else:
            yield ".PP\n" + escaped(" ".join(lines))


def options(command: Any, context: Any) -> Iterator[str]:
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record:
            words, told = record
            yield f".TP\n\\fB{escaped(words)}\\fR\n{escaped(' '.join(told.split())) or 'See above.'}"


def described(name: str, command: Any) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f'.SS "{escaped(name)}"\n.B dualpix {escaped(name)}\n{escaped(usage)}'
    yield from paragraphs(command.help or "")
    yield from options(command, context)


def manual() -> str:
    """The page, whole."""
    group: Any = typer.main.get_command(app)
    parts = [
        f'.TH DUALPIX 1 "" "dualpix {__version__}" "User Commands"',
        ".SH NAME\ndualpix \\- sharp pictures from the two views of a dual\\-pixel photograph",
        ".SH SYNOPSIS\n.B dualpix\nCOMMAND [OPTIONS] [ARGUMENTS]",
        ".SH DESCRIPTION",
        *paragraphs(group.help),
        ".SH COMMANDS",
        *(part for name, command in group.commands.items() for part in described(name, command)),
        ".SH EXIT STATUS\n0 where all went well, 1 where a sentence on standard error says what to put right, 2"
        "\nwhere the command was written wrongly, 130 after Ctrl\\-C.",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(manual(), encoding="utf-8")

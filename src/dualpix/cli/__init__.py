"""The command line: parse, call one journey, print. No logic; torch is loaded inside the commands, so help is quick."""

from dualpix.cli import streams
from dualpix.cli.doctoring import doctor
from dualpix.cli.doors import app
from dualpix.cli.exporting import export
from dualpix.cli.importing import import_weights
from dualpix.cli.measuring import calibrate
from dualpix.cli.serving import web
from dualpix.cli.studying import evaluate, simulate, train
from dualpix.cli.using import deblur, demo, methods
from dualpix.cli.viewing import extract, inspect
from dualpix.machine import threads

__all__ = ["app", "main"]

COMMANDS = (
    deblur,
    demo,
    simulate,
    train,
    evaluate,
    methods,
    import_weights,
    export,
    calibrate,
    extract,
    inspect,
    web,
    doctor,
)

for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run the command line."""
    streams.prepare()
    threads.prepare()
    threads.watch()
    app(prog_name="dualpix")

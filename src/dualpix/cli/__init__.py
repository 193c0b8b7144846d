"""The command line: parse, call one journey, print. No logic; torch is loaded inside the commands, so help is quick.

One file for each command, named as the command and its function are.
"""

import gc

from dualpix.cli import (
    calibrate,
    compare,
    deblur,
    demo,
    disparity,
    doctor,
    evaluate,
    export,
    extract,
    import_weights,
    inspect,
    methods,
    pack,
    refocus,
    simulate,
    streams,
    sweep,
    telling,
    train,
    web,
)
from dualpix.cli.app import Command, app
from dualpix.machine import freed_memory, threads

__all__ = ["app", "main"]

COMMANDS = (
    deblur.deblur,
    disparity.disparity,
    refocus.refocus,
    demo.demo,
    simulate.simulate,
    pack.pack,
    train.train,
    sweep.sweep,
    compare.compare,
    evaluate.evaluate,
    methods.methods,
    import_weights.import_weights,
    export.export,
    calibrate.calibrate,
    extract.extract,
    inspect.inspect,
    web.web,
    doctor.doctor,
)
"""In the order of the help."""

for command in COMMANDS:
    app.command(cls=Command)(command)


def main() -> None:
    """Run the command line."""
    streams.prepare()
    telling.show_plugin_warnings()
    freed_memory.keep_freed_memory(freed_memory.OF_PICTURES)
    threads.prepare()
    threads.watch()
    try:
        app(prog_name="dualpix")
    finally:
        # The interpreter's last look for what is unused takes a second or two with PyTorch, and frees what ends anyway.
        gc.freeze()

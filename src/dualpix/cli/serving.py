"""Commands that serve: web."""

import os
from typing import Annotated

import typer

from dualpix.cli.doors import Engine, Memory, Precision, Weights, say
from dualpix.errors import MachineError, how_to_install

LOCAL = ("127.0.0.1", "::1", "localhost")


def web(
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen here, so that others can use the page too.")
    ] = "127.0.0.1",
    weights: Weights = None,
    memory: Memory = None,
    engine: Engine = "auto",
    precision: Precision = "auto",
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page to deblur pairs in a browser, on this machine alone.

    Needs `pip install -e '.[web]'` in the folder of the sources. Ctrl-C stops it. The page's HTTP endpoint is described
    at /openapi.json.

    \b
    Example:  dualpix web --open
    """
    try:
        from dualpix.web.serving import serve
    except ModuleNotFoundError as error:
        if str(error.name).startswith("dualpix"):
            raise
        raise MachineError(f"The page needs {error.name}; install it with: {how_to_install('web')}.") from None
    if host not in LOCAL:
        say(f"Note: whoever can reach {host} can use this page, unencrypted and without a password.")

    def tell(address: str) -> None:
        typer.echo(f"dualpix: {address}  (Ctrl-C stops)")

    ended = serve(
        host, port, weights, memory, engine=engine, precision=precision, open_browser=open_browser, ready=tell
    )
    say("Stopped.")
    if not ended.is_at_rest:
        os._exit(ended.code)  # A thread still computes, and Python would wait for it.
    raise typer.Exit(ended.code)

"""`dualpix web`: the page."""

import os
from typing import Annotated

import typer

from dualpix.cli.options import Engine, Memory, NoGuard, OnlyBlurred, Precision, Scale, Weights
from dualpix.cli.telling import say
from dualpix.errors import MachineError, how_to_install


def web(
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes any free port.")] = 8000,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen here, so that others can use the page too.")
    ] = "127.0.0.1",
    weights: Weights = None,
    memory: Memory = None,
    engine: Engine = "auto",
    precision: Precision = "auto",
    scale: Scale = "auto",
    no_guard: NoGuard = False,
    only_blurred: OnlyBlurred = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also answer to this name, of a server in front; repeatable."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Change a limit, such as kept_jobs=40; repeatable."),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Log requests and work on standard error.")] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page to deblur pairs in a browser, on this machine alone.

    Needs `pip install -e '.[web]'` in the folder of the sources. Ctrl-C stops it. The page's HTTP endpoint is described
    at /openapi.json.

    \b
    Example:  dualpix web --open
    """
    from dualpix.inference.options import DeblurOptions

    options = DeblurOptions(
        memory=memory,
        engine=engine,
        precision=precision,
        scale=scale,
        guard=not no_guard,
        only_blurred=only_blurred,
    )
    try:
        from dualpix.web.counters import write_log
        from dualpix.web.limits import limits_of
        from dualpix.web.serving import is_local, serve
    except ModuleNotFoundError as error:
        if str(error.name).startswith("dualpix"):
            raise
        raise MachineError(f"The page needs {error.name}; install it with: {how_to_install('web')}.") from None
    limits = limits_of(limit or ())
    if host.strip() and not is_local(host):
        say(f"Note: whoever can reach {host} can use this page, unencrypted and without a password.")

    if log:
        write_log()

    def tell(address: str) -> None:
        typer.echo(f"dualpix: {address}  (Ctrl-C stops)")

    ended = serve(
        host,
        port,
        weights,
        options,
        limits=limits,
        open_browser=open_browser,
        behind=allow_host or (),
        ready=tell,
    )
    say("Stopped.")
    if not ended.is_at_rest:
        os._exit(ended.code)  # A thread still computes, and Python would wait for it.
    raise typer.Exit(ended.code)

"""A file host as plain as any: Python's own, serving the built folder, which can be stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

BUILT = Path(__file__).parents[1] / "_build"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class Host:
    """Serves until it is stopped; it can be started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._handler = partial(_Quiet, directory=str(folder))
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def hosting(folder: Path = BUILT) -> Iterator[Host]:
    """Serve a folder on a free port."""
    host = Host(folder)
    try:
        yield host
    finally:
        host.stop()

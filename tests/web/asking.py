"""A server, a client of its endpoint on the standard library alone, and small pairs for it to send."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image

from dualpix.web.app import create_app
from dualpix.web.jobs import Jobs
from dualpix.web.serving import bound, configure

BOUNDARY = "----dualpix"
COMMAND = str(Path(sys.executable).with_name("dualpix"))
KIND = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> str:
        return str(self.json["error"])


class Client:
    """`jobs`: the server's own, to look at what only it knows."""

    def __init__(self, port: int, jobs: Jobs | None = None) -> None:
        self.port, self.jobs = port, jobs

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        connection = self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, **headers)

    def post(self, path: str, **headers: str) -> Reply:
        return self.ask("POST", path, **headers)

    def upload(self, fields: dict[str, bytes | str], names: dict[str, str] | None = None) -> Reply:
        return self.ask("POST", "/api/jobs", multipart(fields, names), content_type=KIND)

    def wait(self, job: str, *states: str) -> dict[str, Any]:
        """Ask until the job is in one of these states, by default at rest; returns what it tells then."""
        end_s = time.monotonic() + 120
        while True:
            told: dict[str, Any] = self.get(f"/api/jobs/{job}").json
            if told["state"] in (states or ("ready", "done", "failed")):
                return told
            assert time.monotonic() < end_s, told
            time.sleep(0.05)

    def done(self, fields: dict[str, bytes | str], names: dict[str, str] | None = None) -> dict[str, Any]:
        """Form, and wait for the end."""
        reply = self.upload(fields, names)
        assert reply.status == 202, reply.content
        return self.wait(reply.json["id"])


def raw(client: Client, head: str, body: bytes = b"") -> bytes:
    """Send bytes as they are, and return the first that come back."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        return connection.recv(65536)


def multipart(fields: dict[str, bytes | str], names: dict[str, str] | None = None) -> bytes:
    """The body of an upload: bytes are files, under the names given or FIELD.png."""
    body = b""
    for field, value in fields.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"'
        if isinstance(value, bytes):
            head += f'; filename="{(names or {}).get(field, field + ".png")}"'
        body += head.encode() + b"\r\n\r\n" + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def picture(height: int = 48, width: int = 56, seed: int = 0) -> np.ndarray:
    """A smooth texture, H x W x 3 uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pair_of(height: int = 48, width: int = 56) -> dict[str, bytes]:
    """The fields of an upload: a texture, and the same moved by 2 pixels."""
    whole = picture(height, width + 2)
    return {"left": png(whole[:, 2:]), "right": png(whole[:, :-2])}


@contextmanager
def running(jobs: Jobs, **more: object) -> Iterator[Client]:
    """The application around `jobs`, served by another thread of this process."""
    with bound("127.0.0.1", 0) as listening:
        server = uvicorn.Server(configure(create_app(jobs, **more), jobs.limits))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield Client(listening.getsockname()[1], jobs)
        finally:
            server.should_exit = True
            thread.join()
            jobs.close()


@contextmanager
def serving(
    weights: Path, temporary: Path, *words: str, before: tuple[str, ...] = ()
) -> Iterator[tuple[Client, "subprocess.Popen[str]"]]:
    """`dualpix web` with these further `words` on a free port, with its folders in `temporary`; `before`: a command
    that runs it."""
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    line = [*before, COMMAND, "web", "--port", "0", "--weights", str(weights), *words]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", first)
            assert found, process.stderr and process.stderr.read()
            yield Client(int(found[1])), process
        finally:
            process.kill()

"""What no request gets past: names, origins, sizes and slowness. Each on a real connection."""

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import KIND, Client, multipart, pair_of, raw

from dualpix.web.guard import LOOPBACK, Guard, Message, Receive, Send, is_address, name_in
from dualpix.web.limits import Limits

Start = Callable[..., Client]


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "127.0.0.1.evil.com",
        "localhost.evil.com:80",
        "",
        "[::2]",
        "192.168.1.5",
        "[::1",
        "[127.0.0.1]evil",
        "[localhost",
        "127.0.0.1:x",
    ],
)
def test_other_names_are_refused(client: Client, host: str) -> None:
    """A page that points its own name at this machine sends that name."""
    for path in ("/", "/api/limits", "/api/jobs/x"):
        reply = client.get(path, host=host)
        assert reply.status == 403 and "name" in reply.error


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:8000"])
def test_own_names_are_taken(client: Client, host: str) -> None:
    assert client.get("/api/limits", host=host).status == 200


def test_names_in_host_headers() -> None:
    known = {"A.b:80": "a.b", "[::1]:80": "::1", "1.2.3.4": "1.2.3.4", "[::1]": "::1", "a:": "a"}
    assert {host: name_in(host) for host in known} == known
    for host in ("", "[::1", "::1]", "[::1]x", "[127.0.0.1]evil", "[localhost]", "[127.0.0.1]", "localhost:80:80",
                 "localhost:x", "evil@localhost", "localhost/", "localhost localhost", "localhost,evil",
                 ":80"):  # fmt: skip
        assert name_in(host) == ""
    assert is_address("192.168.1.5") and is_address("::1") and not is_address("localhost") and not is_address("1.2.3")


@pytest.mark.parametrize("origin", ["http://evil.com", "null", "http://127.0.0.1:1", "https://evil.com", "file://"])
def test_pages_of_others_are_refused(client: Client, pair: dict[str, bytes], origin: str) -> None:
    body = multipart(pair)
    assert client.ask("POST", "/api/jobs", body, content_type=KIND, origin=origin).status == 403
    assert client.get("/api/limits", origin=origin).status == 403


def test_the_browser_tells_who_asks(client: Client) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        assert client.get("/api/limits", Sec_Fetch_Site=site).status == status
    assert client.get("/", Sec_Fetch_Site="cross-site").status == 200  # a link to the page
    own = f"127.0.0.1:{client.port}"
    assert client.get("/api/limits", host=own, origin=f"http://{own}").status == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/app.js", "/files.js", "/server.js", "/viewer.js", "/style.css", "/icon.svg", "/openapi.json", "/nothing"],
)
def test_every_answer_carries_the_strict_headers(client: Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self';") and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert not [name for name in headers if name.startswith("access-control")]
    assert "server" not in headers


def test_what_has_no_body_is_answered_without_waiting_for_one() -> None:
    """An answer in pieces listens for the end of the connection; waiting here too would take the body from it."""
    sent: list[str] = []

    async def receive() -> Message:
        raise AssertionError("nobody may ask for a body here")

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}
    asyncio.run(Guard(application, LOOPBACK, Limits())(scope, receive, send))
    assert sent == ["http.response.start"]


def test_a_body_that_is_too_large(start: Start) -> None:
    """Refused by its header before it is read, and by its length where the header is silent."""
    client = start(body_bytes=100_000)
    large = multipart({"left": b"x" * 3_000_000})
    reply = client.ask("POST", "/api/jobs", large, content_type=KIND)
    assert reply.status == 413 and "0.1 MB" in reply.error
    chunks = (large[at : at + 50_000] for at in range(0, len(large), 50_000))
    reply = client.ask("POST", "/api/jobs", chunks, content_type=KIND)
    assert reply.status == 413
    for path in ("/api/jobs/x/start", "/"):
        assert client.ask("POST", path, b"y" * 200_000).status == 413
    for length in ("99999999999999999999", "-5", "1e9"):
        assert raw(client, f"POST /api/jobs HTTP/1.1\nHost: localhost\nContent-Length: {length}")[:13].endswith(
            (b"413 ", b"400 ")
        )
    assert client.jobs is not None and not list(client.jobs.root.iterdir())
    assert client.upload(pair_of()).status == 202


def test_a_client_that_falls_silent(start: Start) -> None:
    """A slow client is told so, and holds up nobody meanwhile."""
    client = start(silence_s=0.5)
    body = multipart(pair_of())
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        head = (
            f"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {KIND}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[:1000])
        assert client.get("/").status == 200
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
    assert client.jobs is not None and not list(client.jobs.root.iterdir())


def test_a_client_that_drips(start: Start) -> None:
    """Never silent for long, but an upload may only take so long in all."""
    client = start(upload_s=0.6)
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        head = f"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {KIND}\r\nContent-Length: 100000\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(8):
            connection.sendall(b"x")
            time.sleep(0.1)
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")


def test_many_at_once(start: Start) -> None:
    """200 parallel uploads; each is taken, or told to come back, and afterwards everything is as before."""
    client = start(active_jobs=3, connections=400, kept_jobs=250)
    body = multipart({**pair_of(24, 24), "start": "no"})
    with ThreadPoolExecutor(40) as many:
        replies = list(many.map(lambda _: client.ask("POST", "/api/jobs", body, content_type=KIND), range(200)))
    statuses = {reply.status for reply in replies}
    assert {202} < statuses <= {202, 429}
    assert all(reply.headers["retry-after"] == "10" for reply in replies if reply.status == 429)
    taken = [reply.json["id"] for reply in replies if reply.status == 202]
    assert all(client.wait(job)["state"] == "ready" for job in taken)
    assert client.jobs is not None and len(list(client.jobs.root.iterdir())) == len(taken) == len(client.jobs.all())

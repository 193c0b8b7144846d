"""Connections that are slow, silent or speak no HTTP (fault 51). Each is a real one."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from asking import KIND, Client, Reply, pair_of, raw

Start = Callable[..., Client]
HEAD = b"GET /icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def many(client: Client, number: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        address = ("127.0.0.1", client.port)
        yield [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(number)]


def take(connection: socket.socket) -> bytes:
    """The whole answer to `HEAD`, which may come in pieces."""
    answer = b""
    while not answer.endswith(b"</svg>\n"):
        piece = connection.recv(65536)
        assert piece, answer
        answer += piece
    return answer


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed it, or does within its time limit."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_silent_connections_lock_nobody_out(start: Start) -> None:
    """The newcomer gets the place of the one that has been silent for longest."""
    client = start(connections=8, head_s=60.0)
    with many(client, 12) as silent:
        assert client.get("/api/limits").status == 200
        assert is_closed(silent[0])
        silent[-1].sendall(HEAD)
        assert take(silent[-1]).startswith(b"HTTP/1.1 200")


def test_second_requests_letter_by_letter_lock_nobody_out(start: Start) -> None:
    client = start(connections=8, head_s=60.0)
    with many(client, 8) as slow:
        for connection in slow:
            connection.sendall(HEAD)
            assert take(connection).startswith(b"HTTP/1.1 200")
            connection.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert all(client.get("/api/limits").status == 200 for _ in range(10))


@pytest.mark.parametrize("answered", [0, 1, 3])
def test_every_request_has_a_deadline(start: Start, answered: int) -> None:
    """Not only the first of a connection, and a letter now and then does not put it off."""
    client = start(head_s=0.5)
    with many(client, 1) as (connection,):
        for _ in range(answered):
            connection.sendall(HEAD)
            assert take(connection).startswith(b"HTTP/1.1 200")
        try:
            for letter in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Name: and so on, and so on, and so on":
                connection.sendall(bytes([letter]))
                time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            return
        pytest.fail("the server waited for it all")


def test_a_second_request_with_a_slow_body_has_a_deadline(start: Start) -> None:
    client = start(silence_s=0.5)
    with many(client, 1) as (connection,):
        connection.sendall(HEAD)
        assert take(connection).startswith(b"HTTP/1.1 200")
        head = f"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {KIND}\r\nContent-Length: 9999\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")


def test_a_client_that_does_not_take_its_answer(start: Start) -> None:
    """A million bytes of page, none of which is read: the connection goes, in `silence_s`."""
    client = start(silence_s=0.5, head_s=60.0)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", client.port))
        wish = HEAD.replace(b"icon.svg", b"app.js")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(10_000):
                connection.sendall(wish * 200)


def test_if_all_are_busy_the_newcomer_is_told(start: Start) -> None:
    client = start(connections=2)
    body = (
        b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
        + KIND.encode()
        + b"\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    )
    with many(client, 2) as busy:
        for connection in busy:
            connection.sendall(body)
            assert connection.recv(12) == b"HTTP/1.1 100", "it is being read"
        reply = client.get("/")
        assert reply.status == 503 and "connected" in reply.error and int(reply.headers["retry-after"]) > 0
        assert "default-src 'self'" in reply.headers["content-security-policy"]
    end_s = time.monotonic() + 20
    while client.get("/").status != 200:
        assert time.monotonic() < end_s
        time.sleep(0.05)


def parsed(answer: bytes) -> Reply:
    head, _, content = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Reply(int(first.split()[1]), headers, content)


@pytest.mark.parametrize(
    "head",
    ["rubbish", "GET / HTTP/1.1", "GET / HTTP/1.1\nHost: a\nHost: b",
     "POST / HTTP/1.1\nHost: localhost\nContent-Length: -5"],
)  # fmt: skip
def test_what_is_no_http_is_told_like_everything_else(client: Client, head: str) -> None:
    reply = parsed(raw(client, head))
    assert reply.status == 400 and reply.error.endswith(".")
    assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["connection"] == "close"


def test_two_lengths_are_one_too_many(client: Client) -> None:
    """Servers that disagree about where a request ends can be made to take one visitor's for another's."""
    both = "POST /api/jobs HTTP/1.1\nHost: localhost\nContent-Length: 5\nTransfer-Encoding: chunked"
    hidden = b"0\r\n\r\nGET /icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with many(client, 1) as (connection,):
        connection.sendall(both.replace("\n", "\r\n").encode() + b"\r\n\r\n" + hidden)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.1") == 1 and parsed(answer).status == 400


def test_a_broken_chunk_in_the_middle_of_an_upload(client: Client) -> None:
    head = f"POST /api/jobs HTTP/1.1\nHost: localhost\nContent-Type: {KIND}\nTransfer-Encoding: chunked"
    assert parsed(raw(client, head, b"zz\r\nabc")).status == 400
    assert client.done({**pair_of(24, 24), "start": "no"})["state"] == "ready"

"""Checks on every request before the application sees it, and headers on every answer.

Host: somebody else's page can make its own name point at this machine (DNS rebinding); such requests carry that name.
Origin, Sec-Fetch-Site: pages of other sites must not use the endpoint through the visitor's browser.
Body: counted and timed while it arrives, whatever its header says.
Errors: an unexpected error gets an answer in the same form as all others, and is logged.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any

from starlette.responses import JSONResponse

from dualpix.web.counters import Counters
from dualpix.web.http_errors import HttpError, stopping
from dualpix.web.limits import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
DRAIN_S = 2.0
HEADERS = {
    "content-security-policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


PROBES = ("/health", "/ready")
"""Asked by other machines, which may know this one by its address alone; they reveal nothing, so any name will pass."""

BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d*)?")
PLAIN = re.compile(r"([^\s:\[\]/@,]+)(?::\d*)?")


class Guard:
    """Wraps an application.

    Args:
        app: The application.
        hosts: Names by which the server may be called.
        limits: What requests may use.
        any_address: It may also be called by any IP address, which DNS rebinding cannot use.
        behind: Names (NAME or NAME:PORT) of servers that pass requests on to this one.
        counters: Where requests are counted.
    """

    def __init__(
        self,
        app: App,
        hosts: frozenset[str],
        limits: Limits,
        any_address: bool = False,
        behind: frozenset[str] = frozenset(),
        counters: Counters | None = None,
    ) -> None:
        self.app, self._limits, self._any_address, self._behind = app, limits, any_address, behind
        self._hosts = hosts | {name_in(name) for name in behind}
        self._counters = counters or Counters()
        self._arriving: dict[asyncio.Task[Any], Body] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Check a request, let the application answer it, and count it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        names = dict(scope["headers"])
        has_body = b"transfer-encoding" in names or names.get(b"content-length", b"0") != b"0"
        body = Body(receive, self._limits, has_body)
        answer = Answer(send, body)
        began_s = time.monotonic()
        task = asyncio.current_task()
        if has_body and task:
            self._arriving[task] = body
        try:
            await self._answer(scope, body, answer)
        finally:
            if task:
                self._arriving.pop(task, None)
            self._counters.request(scope["method"], scope["path"], answer.status, time.monotonic() - began_s)

    def stop(self) -> None:
        """End the uploads under way, each with a sentence that says why."""
        for task, body in self._arriving.items():
            if not body.is_over:
                task.cancel()

    async def _answer(self, scope: MutableMapping[str, Any], body: "Body", answer: "Answer") -> None:
        try:
            self._check(scope)
            await self.app(scope, body.receive, answer.send)
            return
        except HttpError as refused:
            refusal = refused
        except asyncio.CancelledError:
            refusal = stopping()
        except Exception as error:
            self._counters.mishap(error)
            refusal = HttpError(500, "Something went wrong that should not have; please report it.")
        if not answer.status:
            await refuse(refusal)(scope, body.receive, answer.send)

    def _check(self, scope: MutableMapping[str, Any]) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if "transfer-encoding" in headers and "content-length" in headers:
            raise HttpError(400, "A request has either a Content-Length or a Transfer-Encoding.", closes=True)
        host = headers.get("host", "").lower()
        if not self._is_ours(name_in(host)) and scope["path"] not in PROBES:
            raise HttpError(
                403,
                f"This server does not answer to the name {host[:100]!r}; use the address it printed, or start it "
                "with --allow-host and this name.",
            )
        origin = headers.get("origin")
        known = {f"{scheme}://{name}" for scheme in ("http", "https") for name in (host, *self._behind)}
        if origin is not None and origin.lower() not in known:
            raise HttpError(403, "Pages of other sites may not use this server.")
        from_elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if from_elsewhere and scope["path"].startswith("/api"):
            raise HttpError(403, "Pages of other sites may not use this server.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limits.body_bytes:
            raise too_large(self._limits)

    def _is_ours(self, name: str) -> bool:
        return name in self._hosts or (self._any_address and is_address(name))


def name_in(host: str) -> str:
    """Return the name or address in a Host header, without port and brackets, in lower case; empty if there is none.

    Example:
        >>> name_in("Photos.example.org:8000"), name_in("[::1]:8000"), name_in("a b")
        ('photos.example.org', '::1', '')
    """
    if (found := BRACKETED.fullmatch(host)) and ":" in found[1] and is_address(found[1]):
        return found[1].lower()
    found = PLAIN.fullmatch(host)
    return found[1].lower() if found else ""


def is_address(name: str) -> bool:
    """Whether this is an IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def too_large(limits: Limits) -> HttpError:
    """Return the answer to an upload that is too large."""
    return HttpError(413, f"The upload is larger than {limits.body_bytes / 1e6:g} MB; export smaller views.")


class Body:
    """A request's body as it arrives."""

    def __init__(self, receive: Receive, limits: Limits, is_there: bool) -> None:
        self._receive, self._limits = receive, limits
        self._bytes = 0
        self._deadline_s = time.monotonic() + limits.upload_s
        self.is_over = not is_there

    async def receive(self) -> Message:
        """Return the next message. Raises HttpError 413 if the body is too large, 408 if it arrives too slowly."""
        if self.is_over:
            return await self._receive()  # Waits until the client leaves, without a time limit.
        patience_s = min(self._limits.silence_s, self._deadline_s - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(patience_s, 0))
        except TimeoutError:
            self.is_over = True
            raise HttpError(408, "The upload came too slowly, or stopped; try again.") from None
        self._bytes += len(message.get("body", b""))
        self.is_over = not message.get("more_body", False)
        if self._bytes > self._limits.body_bytes:
            raise too_large(self._limits)
        return message

    async def drain(self) -> None:
        """Discard the rest for `DRAIN_S`: a client that still sends when the connection closes never reads why."""
        end_s = time.monotonic() + DRAIN_S
        while not self.is_over and (left_s := end_s - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left_s)
            except TimeoutError:
                return
            self.is_over = not message.get("more_body", False)


class Answer:
    """An answer on its way: it gets headers, and waits until the rest of the body is discarded.

    `status` is 0 until it begins.
    """

    def __init__(self, send: Send, body: Body) -> None:
        self._send, self._body = send, body
        self.status = 0

    async def send(self, message: Message) -> None:
        """Send a message of the answer."""
        if message["type"] == "http.response.start":
            await self._body.drain()
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *_encoded(HEADERS)]}
        await self._send(message)


def refuse(refusal: HttpError) -> JSONResponse:
    """Return the answer for an error."""
    headers = {} if refusal.retry_s is None else {"retry-after": str(refusal.retry_s)}
    if refusal.closes:
        headers["connection"] = "close"
    return JSONResponse({"error": refusal.sentence}, refusal.status, headers)


def bare(refusal: HttpError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the answer for an error as headers and content, for where no application answers.

    The connection closes with it.
    """
    answer = refuse(refusal)
    headers = [pair for pair in answer.raw_headers if pair[0] != b"connection"]
    return [*headers, (b"connection", b"close"), *_encoded(HEADERS)], bytes(answer.body)


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]

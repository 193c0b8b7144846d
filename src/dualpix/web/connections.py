"""Connections, before and beside the application: a deadline for each request's head, and room for new connections.

Bytes that are no HTTP request get an answer in the same form as all others.
"""

import asyncio
from contextlib import suppress
from typing import Any

from h11 import LocalProtocolError
from uvicorn.protocols.http.h11_impl import H11Protocol

from dualpix.web.guard import App, bare
from dualpix.web.http_errors import HttpError
from dualpix.web.limits import Limits


class Connection(H11Protocol):
    """One connection to a client.

    It may be without a request for `head_s`, whether it is silent or sends a request very slowly, and leave an answer
    unread for `silence_s`. If there are too many connections, those without a request are closed, the longest idle
    first; only if all are busy is the new one refused.
    """

    limits = Limits()

    def connection_made(self, transport: Any) -> None:
        """Start the deadline for a request, and close an idle connection if there are too many."""
        super().connection_made(transport)
        self._stuck: asyncio.TimerHandle | None = None
        self._rest()
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadlines."""
        self._deadline.cancel()
        self.resume_writing()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Start the deadline for the next request."""
        super().on_response_complete()
        self._deadline.cancel()
        self._rest()

    def pause_writing(self) -> None:
        """The client has stopped reading: close the connection after `silence_s`."""
        super().pause_writing()
        self._stuck = self.loop.call_later(self.limits.silence_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def send_400_response(self, msg: str) -> None:
        """Answer to bytes that are no HTTP request."""
        headers, content = bare(HttpError(400, "This is not a valid HTTP request."))
        lines = [b"HTTP/1.1 400 Bad Request", *(name + b": " + value for name, value in headers), b"", content]
        with suppress(LocalProtocolError):
            self.conn.send_failed()
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write(b"\r\n".join(lines))
        self.transport.close()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered, and nothing of the last answer is left to send."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return is_answered and not self.transport.get_write_buffer_size()

    def _rest(self) -> None:
        self.idle_since_s = self.loop.time()
        self._deadline = self.loop.call_later(self.limits.head_s, self._end)

    def _end(self) -> None:
        self._deadline = self.loop.call_later(self.limits.head_s, self._end)
        is_answered = self.cycle is None or self.cycle.response_complete
        if self.is_idle:
            self.transport.close()
        elif is_answered and self.loop.time() - self.idle_since_s > self.limits.silence_s:
            self.transport.abort()

    def _make_room(self) -> None:
        others = [one for one in self.connections if one is not self and not one.transport.is_closing()]
        if len(others) < self.limits.connections:
            return
        idle = [one for one in others if isinstance(one, Connection) and one.is_idle]
        if idle:
            min(idle, key=lambda one: one.idle_since_s).transport.close()
        else:
            self.app = busy(self.limits)


def busy(limits: Limits) -> App:
    """Return an application that refuses connections beyond those allowed."""
    refusal = HttpError(503, "Too many are connected; try again in a moment.", retry_s=max(1, round(limits.head_s)))

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        headers, content = bare(refusal)
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return answer

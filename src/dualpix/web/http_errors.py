"""How the server says no."""


class HttpError(Exception):
    """An answer other than yes: an HTTP `status`, one sentence, after how many seconds to try again, if ever, and
    whether the connection `closes` with it."""

    def __init__(self, status: int, sentence: str, retry_s: int | None = None, closes: bool = False) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_s, self.closes = status, sentence, retry_s, closes

    @property
    def may_pass(self) -> bool:
        """Whether the same may go well another time: room, memory or time were short, and the request was right."""
        return self.status in (503, 504)


USUAL_RETRY_S = 10
"""When to ask again while nothing was measured that would tell."""


def stopping() -> HttpError:
    """What whoever asks for something new is told while the server ends."""
    return HttpError(503, "The server is stopping; try again when it runs again.", USUAL_RETRY_S)

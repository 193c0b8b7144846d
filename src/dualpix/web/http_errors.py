"""Answers by which the server refuses a request."""


class HttpError(Exception):
    """An answer that is not a success.

    Args:
        status: The HTTP status.
        sentence: For people.
        retry_s: Seconds after which to try again; None if that is no use.
        closes: Whether the connection closes with it.
    """

    def __init__(self, status: int, sentence: str, retry_s: int | None = None, closes: bool = False) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_s, self.closes = status, sentence, retry_s, closes

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later: space, memory or time ran short, and the request was right."""
        return self.status in (503, 504)


USUAL_RETRY_S = 10
"""Seconds after which to ask again, as long as nothing was measured that would say."""


def stopping() -> HttpError:
    """Return the answer to new work while the server stops."""
    return HttpError(503, "The server is stopping; try again when it runs again.", USUAL_RETRY_S)

"""What the server allows, and how it says no."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds that keep one visitor from using up the machine.

    body_bytes: of one upload; megapixels: of one view; upload_s: for a whole upload; silence_s: without a byte in it;
    head_s: for a connection to send its first request; work_s: for reading, checking or deblurring a pair; render_s:
    for making a file to download; active_jobs: uploading, waiting or running at once; kept_jobs and kept_s: how many,
    and how long after their last use, are kept; connections: open at once; free_disk_bytes: left alone.
    """

    body_bytes: int = 1_000_000_000
    megapixels: float = 100.0
    upload_s: float = 600.0
    silence_s: float = 20.0
    head_s: float = 10.0
    work_s: float = 3600.0
    render_s: float = 300.0
    active_jobs: int = 6
    kept_jobs: int = 12
    kept_s: float = 3600.0
    connections: int = 64
    free_disk_bytes: int = 2_000_000_000


class Refusal(Exception):
    """An answer other than yes: an HTTP `status`, one sentence, and after how many seconds to try again, if ever."""

    def __init__(self, status: int, sentence: str, retry_s: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_s = status, sentence, retry_s

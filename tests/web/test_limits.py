"""The limits that are told are those that hold."""

from pathlib import Path

from dualpix.web.http_errors import HttpError
from dualpix.web.limits import Limits

PAGE = Path(__file__).parents[2] / "docs" / "page.md"


def test_the_table_of_limits_is_true() -> None:
    limits, text = Limits(), PAGE.read_text()
    for line in (
        f"| one upload | {limits.body_bytes / 1e6:g} MB | 413 |",
        f"| one view | {limits.megapixels:g} megapixels | 422 |",
        f"| an upload: in all, and without a byte | {limits.upload_s / 60:g} min, {limits.silence_s:g} s | 408 |",
        f"| pairs worked on or waiting | {limits.active_jobs} | 429, try again |",
        f"| connections | {limits.connections} | 503 |",
        f"| the head of every request | {limits.head_s:g} s | closed |",
        f"| reading and comparing a pair | {limits.check_s / 60:g} min | 504 |",
        f"| disk left alone | {limits.free_disk_bytes / 1e9:g} GB | 503, try again |",
        f"| when asked to end, for what is under way | {limits.stop_s:g} s | handed back |",
        f"| deblurring | {limits.work_s / 60:g} min | 504 |",
        f"| making a file | {limits.render_s / 60:g} min | 504 |",
        f"| pairs kept | {limits.kept_jobs}, for {limits.kept_s / 3600:g} h | 404 |",
    ):
        assert line in text


def test_a_refusal_says_what_and_why() -> None:
    refusal = HttpError(429, "Later.", retry_s=3)
    assert (refusal.status, str(refusal), refusal.retry_s) == (429, "Later.", 3)

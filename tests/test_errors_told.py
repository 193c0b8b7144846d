"""Errors are one line of a length that a person reads, whatever stood in a file."""

import pytest

from dualpix.errors import LONGEST_MESSAGE, LONGEST_REASON, DualpixError, PictureError, reason_of


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("a.png is empty; copy it again.", "a.png is empty; copy it again."),
        ("a\nb.png is empty.", "a b.png is empty."),
        ("\x1b[2Ja\r\x07\u2028.png is empty.", " [2Ja .png is empty."),
        ("zwei  Räume ü.png fehlt.", "zwei  Räume ü.png fehlt."),
        ("", ""),
    ],
)
def test_messages_are_one_line(message: str, told: str) -> None:
    assert str(PictureError(message)) == told


def test_long_ones_keep_the_name_and_the_advice() -> None:
    told = str(DualpixError("photo.tif is damaged (" + "x" * 10**6 + "); copy it again."))
    assert len(told) <= LONGEST_MESSAGE and told.startswith("photo.tif is damaged (xx") and " ... " in told
    assert told.endswith("xx); copy it again.")
    assert str(DualpixError(told)) == told


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("\n  no header.\nTry allow_pickle=True"), "no header"),
        (ValueError(), "ValueError"),
        (KeyError("left"), "'left'"),
        (RuntimeError("a\tb\x1b[1m"), "a b [1m"),
    ],
)
def test_of_others_the_first_line_is_told(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
    assert len(reason_of(RuntimeError("x" * 10**6))) <= LONGEST_REASON

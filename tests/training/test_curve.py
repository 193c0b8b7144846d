"""The learning curve: from a log, with all that can happen to one, to a picture."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpix.training.curve import draw, points, read_log, smooth


@pytest.fixture(autouse=True)
def drawing() -> None:
    """Curves are what this is about."""


def report(step: int, loss: float | None) -> dict:
    return {"step": step, "loss": loss}


def validation(step: int, psnr: float) -> dict:
    return {"step": step, "validation": {"psnr": psnr}, "best": True}


def write(path: Path, lines: list) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_what_was_learnt_again_counts_once(tmp_path: Path) -> None:
    lines = [{"began_at_step": 0}, report(20, 0.3), report(40, 0.2), validation(40, 25), report(60, 9)]
    lines += ['{"step": 61, "lo', {"began_at_step": 40}, report(60, 0.1), validation(80, 26), report(80, None)]
    log = read_log(write(tmp_path / "log.jsonl", lines))
    assert points(log) == ([(20, 0.3), (40, 0.2), (60, 0.1)], [(40, 25), (80, 26)])


def test_a_run_begun_anew_forgets_the_old_one(tmp_path: Path) -> None:
    lines = [{"began_at_step": 0}, report(20, 0.3), {"began_at_step": 0}, report(20, 0.5)]
    assert points(read_log(write(tmp_path / "log.jsonl", lines))) == ([(20, 0.5)], [])


def test_older_logs_are_read_too(tmp_path: Path) -> None:
    lines = [report(20, 0.3), report(40, 0.2), {"resumed_at_step": 20}, report(40, 0.1)]
    assert points(read_log(write(tmp_path / "log.jsonl", lines)))[0] == [(20, 0.3), (40, 0.1)]


def test_smoothing_is_a_mean_that_leaves_the_ends_in_place() -> None:
    assert smooth([1, 2, 3, 10, 5], 1) == [1, 2, 5, 6, 5]
    assert smooth([1, 2, 3, 10, 5], 9) == [1, 2, 21 / 5, 6, 5]
    assert smooth([4.0], 3) == [4.0] and smooth([1, 5], 0) == [1, 5]
    line = [2.0 * x for x in range(30)]
    assert smooth(line, 7) == pytest.approx(line)


def test_the_picture_shows_both_curves() -> None:
    lines = [report(step, 1 / step) for step in range(1, 200)] + [validation(step, 20 + step) for step in (50, 100)]
    picture = np.asarray(Image.open(io.BytesIO(draw(lines))).convert("RGB")).astype(int)
    assert picture.shape == (450, 800, 3)
    red, green, blue = np.moveaxis(picture, -1, 0)
    assert ((blue > red + 80) & (blue > green + 40)).sum() > 300, "the loss is blue"
    assert ((red > blue + 120) & (red > green + 120)).sum() > 100, "the validation is red"


def test_there_may_be_nothing_to_draw() -> None:
    assert draw([]) is None and draw([{"began_at_step": 0}, validation(3, 20)]) is None


def test_without_matplotlib_there_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert draw([report(20, 0.3)]) is None


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "bad",
    [
        b"[1, 2]", b"3", b"null", b'"text"', b"\xff\xfe", b"{", DEEP.encode(), b'{"step": "many", "loss": 1}',
        b'{"step": 20, "loss": "low"}', b'{"step": 20, "loss": [1]}', b'{"step": 40, "validation": {}}',
        b'{"step": 40, "validation": null}', b'{"step": 40, "validation": {"psnr": "high"}}', b'{"began_at_step": "x"}',
        b'{"step": -3, "loss": 1}', b'{"step": true, "loss": 1}', b'{"step": 20, "loss": 1' + b"0" * 400 + b"}",
    ],
)  # fmt: skip
def test_lines_that_say_nothing_a_log_can_say_are_passed_over(tmp_path: Path, bad: bytes) -> None:
    good = [json.dumps(line).encode() for line in (report(20, 0.3), validation(20, 25), report(40, 0.2))]
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join([good[0], bad, good[1], bad, good[2], bad]))
    lines = read_log(path)
    assert lines == [json.loads(line) for line in good]
    assert points(lines) == ([(20, 0.3), (40, 0.2)], [(20, 25)]) and draw(lines) is not None


@pytest.mark.parametrize("name", ["\ud800", "$\\frac$", "k" * 70_000])
def test_a_score_of_any_name_can_be_drawn(name: str) -> None:
    assert draw([report(20, 0.3), {"step": 20, "validation": {name: 1.5}}]) is not None

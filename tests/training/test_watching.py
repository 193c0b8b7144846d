"""Whoever shows no sign of life is missed, and nobody waits for it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dualpix.training import launching, watching
from dualpix.training.watching import SignsOfLife

WAITING = """
import os, sys, time
from pathlib import Path
from dualpix.training import watching
from dualpix.training.processes import join

watching.SILENCE_S, watching.BEAT_S = 2.0, 0.2
os.environ["LOCAL_WORLD_SIZE"] = "1"
with join() as processes:
    Path(sys.argv[1] + str(processes.rank)).write_text(str(os.getpid()))
    if processes.rank == 1:
        time.sleep(600)
    processes.wait()
"""


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_only_news_are_signs_of_life() -> None:
    clock = Clock()
    watch = SignsOfLife(1, 3, clock)
    for second in range(1, 121):
        clock.now = 100.0 + second
        watch.hear({0: str(second).encode(), **({2: b"the same"} if second > 10 else {})})
        assert watch.missing() == ([2] if second > 11 + watching.SILENCE_S else []), second


def test_a_watch_that_was_asleep_itself_blames_nobody() -> None:
    clock = Clock()
    watch = SignsOfLife(0, 2, clock)
    clock.now += 3600
    assert watch.missing() == []
    for _ in range(int(watching.SILENCE_S)):
        clock.now += 1
        assert watch.missing() == []
    clock.now += 1
    assert watch.missing() == [1]


@pytest.mark.slow
def test_a_process_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """Stopped, it closes no connection: as a machine that was cut off."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(launching.free_port()), "WORLD_SIZE": "2"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WAITING, str(tmp_path / "pid")],
            env=os.environ | shared | {"RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        deadline = time.monotonic() + 240
        while not all((tmp_path / f"pid{rank}").exists() for rank in (0, 1)):
            assert time.monotonic() < deadline and all(one.poll() is None for one in running)
            time.sleep(0.02)
        running[1].send_signal(signal.SIGSTOP)
        _, said = running[0].communicate(timeout=120)
    finally:
        for one in running:
            one.kill()
            one.communicate()
    assert running[0].returncode == launching.LOST == 75
    assert said.strip() == (
        "dualpix: Of the 2 processes on several machines, process 2 has shown no sign of life for 2 s, so this one"
        " cannot go on; its machine or the network may be down."
    )

"""Threads: how many by what made-up looks at the machine say is free, and real processes that choose so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dualpix.machine import threads
from dualpix.machine.threads import Load, free_cores

START = Load(100, 5000, 30)


@pytest.mark.parametrize(
    ("idle_s", "own_s", "cores", "expected"),
    [
        (8, 0, 4, 4),  # nobody does anything
        (0, 0, 4, 1),  # others have everything
        (4, 0, 4, 2),
        (3.7, 0.2, 4, 2),  # a little by others leaves a core theirs, for it is rounded
        (7, 0, 4, 4),  # but less than half a core does not
        (0, 8, 4, 4),  # all of it is our own doing
        (1, 3, 4, 2),
        (9, 9, 4, 4),  # ticks counted twice
        (8, 0, 2, 2),  # a quota
    ],
)
def test_threads_are_as_many_as_cores_are_free(idle_s: float, own_s: float, cores: int, expected: int) -> None:
    assert free_cores(START, Load(102, 5000 + idle_s, 30 + own_s), cores) == expected


def test_what_was_free_since_the_last_picture_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.limits, "cores", lambda: 2)
    looks = iter([Load(0, 0, 0), Load(2, 4, 0), Load(2.1, 4, 0), Load(12, 4, 1), Load(22, 24, 1)])
    watch = threads.Watch(lambda: next(looks))
    assert [watch.count() for _ in range(4)] == [2, 2, 1, 2]  # the second time too soon to tell


def test_where_the_system_does_not_tell_all_cores_are_taken() -> None:
    assert threads.Watch(lambda: None).count() == threads.limits.cores()


def test_what_the_user_chose_stays() -> None:
    for name in threads.WAITS:
        environment = {name: "1"}
        threads.prepare(environment)
        assert environment == {name: "1"}
    environment = {}
    threads.prepare(environment)
    assert environment == {"GOMP_SPINCOUNT": threads.SPIN}
    assert threads.chosen({"OMP_NUM_THREADS": "3"}) == "OMP_NUM_THREADS" and threads.chosen({}) is None


COMMAND = """
import os, sys
import dualpix.cli
assert "torch" not in sys.modules, "its threads have read the environment already"
from dualpix.cli.app import app
seen = lambda: print(os.environ.get("GOMP_SPINCOUNT"), dualpix.machine.threads._watch is not None)
app.command("look")(seen)
sys.argv = ["dualpix", "look"]
dualpix.cli.main()
"""


@pytest.mark.parametrize(
    ("given", "said"), [({}, "3000 True"), ({"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "7"}, "7 False")]
)
def test_the_command_prepares_before_torch_is_loaded(given: dict[str, str], said: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in (*threads.CHOSEN, *threads.WAITS)}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], env=kept | given, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == said, done.stderr


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not tell")
def test_a_look_sees_time_pass() -> None:
    first = threads.look()
    sum(range(3_000_000))
    second = threads.look()
    assert first is not None and second is not None
    assert second.moment > first.moment and second.own > first.own and second.idle >= first.idle

"""Starting several processes: their places, their voices, their ends. The programs here are short and do not train."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dualpix.errors import MachineError
from dualpix.training import launching
from dualpix.training.launching import launch

STARTER = """
import runpy, sys
launch = runpy.run_path(sys.argv[1])["launch"]  # without the rest of the package, which takes seconds to load
sys.exit(launch(2, [sys.argv[2]], program=["-c", sys.argv[3]]))
"""


def run(code: str, *words: str, count: int = 3) -> int:
    return launch(count, words, program=["-c", "import os, sys, time\nrank = int(os.environ['RANK'])\n" + code])


def test_each_finds_its_place(tmp_path: Path) -> None:
    names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"]
    code = f"open(sys.argv[1] + str(rank), 'w').write(' '.join(os.environ[name] for name in {names}))"
    assert run(code, str(tmp_path / "place")) == 0
    places = [(tmp_path / f"place{rank}").read_text().split() for rank in range(3)]
    assert [place[:5] for place in places] == [[str(r), str(r), "3", "3", "127.0.0.1"] for r in range(3)]
    assert len({place[5] for place in places}) == 1 and int(places[0][5]) > 0


def test_only_the_first_is_heard(capfd: pytest.CaptureFixture) -> None:
    assert run("print('out', rank); print('err', rank, file=sys.stderr)") == 0
    assert capfd.readouterr() == ("out 0\n", "err 0\n")


def test_an_error_of_all_is_told_once(capfd: pytest.CaptureFixture) -> None:
    assert run("sys.exit('there is no such folder')") == 1
    assert capfd.readouterr().err == "there is no such folder\n"


def test_an_error_of_another_is_told_and_ends_all(
    capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "PATIENCE_S", 0.5)
    assert run("sys.exit('out of paper') if rank == 2 else time.sleep(600)") == 9
    assert capfd.readouterr().err == "out of paper\n"


def test_the_first_one_s_code_counts() -> None:
    assert run("sys.exit(130 if rank == 0 else 0)") == 130
    assert run("sys.exit(7 if rank == 1 else 0)") == 7


def test_a_process_that_the_system_ends_is_named() -> None:
    with pytest.raises(MachineError, match=r"Process 2 of 2 was ended by the system.*memory"):
        run("os.kill(os.getpid(), 9) if rank == 1 else time.sleep(0.5)", count=2)


def test_signals_go_to_all_and_once(tmp_path: Path) -> None:
    """To a process group, as Ctrl-C in a terminal does."""
    code = """
import os, signal, sys, time
from pathlib import Path
caught = []
signal.signal(signal.SIGINT, lambda *_: caught.append(1))
Path(sys.argv[1] + os.environ["RANK"]).touch()
while not caught:
    time.sleep(0.01)
time.sleep(0.5)
sys.exit(40 + len(caught))
"""
    ready = tmp_path / "ready"
    command = [sys.executable, "-c", STARTER, launching.__file__, str(ready), code]
    starter = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 240
    while not all(Path(f"{ready}{rank}").exists() for rank in (0, 1)):
        assert time.monotonic() < deadline and starter.poll() is None
        time.sleep(0.02)
    os.killpg(starter.pid, signal.SIGINT)
    assert starter.wait(timeout=120) == 41


def test_handlers_are_as_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    run("pass", count=1)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before

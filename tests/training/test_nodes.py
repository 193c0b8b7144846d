"""Several machines on one: each side is `launch_on_nodes` in a process of its own; what it starts is short."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dualpix.errors import MachineError
from dualpix.networks import create
from dualpix.training import launching, nodes
from dualpix.training.launching import Running, free_port, launch
from dualpix.training.nodes import STOPPED, launch_on_nodes, step_of
from dualpix.training.rendezvous import Meeting
from dualpix.training.state import unpack
from dualpix.weights import checkpoint
from same_state import same

OTHER = """
import sys
from dualpix.errors import MachineError
from dualpix.training import rendezvous
from dualpix.training.nodes import launch_on_nodes
rendezvous.LAST_CALL_S = 1
meeting = rendezvous.Meeting("127.0.0.1", int(sys.argv[1]), 2, 2)
try:
    code = launch_on_nodes(sys.argv[4:], meeting, 1, sys.argv[2], {}, print, ["-c", sys.argv[3]])
except MachineError as error:
    code = f"dualpix: {error}"
sys.exit(code)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """`other(port, code, *words)`: another machine, which runs `code`."""
    started: list[subprocess.Popen] = []

    def start(port: int, code: str, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-W", "error", "-c", OTHER, str(port), str(tmp_path / "run"), code, *words]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


def here(port: int, folder: Path, code: str, told: list[str], *words: str, processes: int = 1) -> int:
    meeting = Meeting("127.0.0.1", port, 2, 2)
    return launch_on_nodes(words, meeting, processes, folder, {}, told.append, ["-c", code])


def test_a_killed_process_and_its_mate_start_again(
    tmp_path: Path, other: Callable[..., subprocess.Popen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first round one is killed, and the other loses it; in the second all are well."""
    code = """
import os, sys
said = [os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")]
rank, count, here, round = map(int, said)
with open(sys.argv[1] + f"{rank}-{round}", "w") as file:
    print(count, here, os.environ["GROUP_WORLD_SIZE"], os.environ["MASTER_PORT"], file=file)
if round == 0 and rank == 2:
    os.kill(os.getpid(), 9)
sys.exit(75 if round == 0 else 0)
"""
    port, told = free_port(), list[str]()
    mate = other(port, code, str(tmp_path / "found"))
    assert here(port, tmp_path / "run", code, told, str(tmp_path / "found"), processes=2) == 0
    out, err = mate.communicate(timeout=120)
    assert mate.returncode == 0, err
    found = {path.name: path.read_text().split() for path in tmp_path.glob("found*")}
    assert sorted(found) == [f"found{rank}-{round}" for rank in range(3) for round in range(2)]
    assert {said[0] for said in found.values()} == {"3"} and {said[2] for said in found.values()} == {"2"}
    for round in range(2):
        of_round = [said for name, said in found.items() if name.endswith(f"-{round}")]
        assert sorted(said[1] for said in of_round) == ["1", "2", "2"] and len({said[3] for said in of_round}) == 1
    said = "\n".join(told) + out
    assert "A process here was ended by signal 9; all start again from the last checkpoint." in said
    assert "Another machine or process was lost; all start again from the last checkpoint." in said
    assert "Round 2: 3 processes on " in said


@pytest.mark.slow
def test_an_error_of_one_ends_all_and_is_told_everywhere(
    tmp_path: Path, other: Callable[..., subprocess.Popen]
) -> None:
    port = free_port()
    wrong = "import sys; sys.exit('dualpix: There are no photographs.')"
    mate = other(port, "import sys, time; time.sleep(1); sys.exit(75)")
    assert here(port, tmp_path / "run", wrong, []) == 1
    _, err = mate.communicate(timeout=120)
    assert mate.returncode == 1
    assert err.strip().endswith(": There are no photographs.") and err.startswith("dualpix: On ")


def test_processes_that_are_lost_again_and_again_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MOST_FAILURES", 2)
    meeting, told = Meeting("127.0.0.1", free_port(), 1, 1), list[str]()
    with pytest.raises(MachineError, match="Processes were lost 2 times in a row before there was a new checkpoint"):
        launch_on_nodes([], meeting, 1, tmp_path, {}, told.append, ["-c", "import os; os.kill(os.getpid(), 9)"])
    assert sum("ended by signal 9" in line for line in told) == 2


def test_a_checkpoint_that_has_gone_is_not_begun_anew(tmp_path: Path) -> None:
    """As where the machine is gone that holds the folder, and the others have none."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.pt").write_bytes(b"whatever")
    network = create("dpdnet", widths=[4, 4, 4, 4, 4])
    arguments = {"widths": [4, 4, 4, 4, 4]}
    checkpoint.save(tmp_path / "run" / "last.safetensors", network, "dpdnet", arguments, extra={"step": 2})
    assert step_of(tmp_path / "run") == 2 and step_of(tmp_path) == -1
    meeting = Meeting("127.0.0.1", free_port(), 1, 1)
    code = f"import os; os.remove({str(tmp_path / 'run' / 'last.pt')!r}); os.kill(os.getpid(), 9)"
    with pytest.raises(MachineError, match="The checkpoint of step 2 lies on a machine that is gone; start again with"):
        launch_on_nodes([], meeting, 1, tmp_path / "run", {}, program=["-c", code])


def test_signals_end_it_with_the_code_of_a_stop(tmp_path: Path) -> None:
    code = "import os, signal, sys, time; signal.signal(15, lambda *_: sys.exit(130)); os.kill(os.getppid(), 15)"
    meeting = Meeting("127.0.0.1", free_port(), 1, 1)
    assert launch_on_nodes([], meeting, 1, tmp_path, {}, program=["-c", f"{code}; time.sleep(60)"]) == 130


def test_a_signal_while_a_process_starts_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Running):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            os.kill(os.getpid(), signal.SIGTERM)

    for module in (nodes, launching):
        monkeypatch.setattr(module, "Running", Slow)
    meeting = Meeting("127.0.0.1", free_port(), 1, 1)
    assert launch_on_nodes([], meeting, 1, tmp_path, {}, program=["-c", "import time; time.sleep(60)"]) == STOPPED
    assert launch(1, [], program=["-c", "import time; time.sleep(60)"]) == signal.SIGTERM


@pytest.mark.slow
def test_a_training_on_two_machines_goes_on_bit_for_bit(tmp_path: Path, photos: Path) -> None:
    """One is killed in the middle; batch 3 is 1 and 2 crops. Beside it the same, left alone."""
    states = []
    for name in ("disturbed", "whole"):
        run, port = tmp_path / name / "run", free_port()
        words = ["tiny", "steps=30", "batch=3", "crop=32", "scene=48", "pool=3", "fresh=0", "keep_minutes=0.001"]
        command = [sys.executable, "-m", "dualpix", "train", *words, "--photos", str(photos), "-o", str(run)]
        command += ["--nodes", "2", "--rendezvous", f"127.0.0.1:{port}"]
        machines = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        deadline = time.monotonic() + 300
        while name == "disturbed" and step_of(run) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if name == "disturbed":
            children = Path(f"/proc/{machines[1].pid}/task/{machines[1].pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGKILL)
        said = [machine.communicate(timeout=300)[1] for machine in machines]
        assert [machine.returncode for machine in machines] == [0, 0], said
        assert ("Round 2: 2 processes" in said[0]) == (name == "disturbed")
        states.append(unpack(run / "last.pt")["learner"])
    assert same(*states)

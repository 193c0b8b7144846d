"""The training that never stops (`benchmarks/learn.py`), in processes of its own: killed, gone on with, stopped.

The tests are one story and run in its order: a test's training is where the one before it left it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualpix.weights import checkpoint

ENDED = "ZX"  # also where nobody asks how an orphan ended, as in many containers: it is listed for good
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "learn.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")

SETTINGS = """
folder = "{folder}/learn"
photos = ["{folder}/photos", "{folder}/nowhere"]
validation = ["{folder}/photos"]
nice = 3
idle = false
one_core = false
left_behind = 20
judge = "{folder}/judge.py"

[networks.mccnet-fast]
share = 0.95
stage_minutes = 0.08
fall = 0.1
yardstick = "mccnet-fast"
recipe = "tiny"
fields = {{rate = {rate}, scene = 48, crop = 32, fresh = 0.5, keep_minutes = 0.005, validate_every = 500}}

[networks.mccnet]
share = 0.05
stage_minutes = 0.04
fall = 0.1
yardstick = "mccnet"
teacher = "mccnet-fast"
recipe = "tiny"
fields = {{scene = 48, crop = 32, fresh = 0.5, taught = 0.5, validate_every = 500}}
"""

# One network ships, and over the other the judge breaks down.
JUDGE = """
import json, os, sys
yardstick, weights, _, out = sys.argv[1:]
assert os.getsid(0) == os.getppid() != os.getpid(), "only within one session is it niceness that counts"
print("| weights | score |")
print(f"| {yardstick} | 0.5 |")
if yardstick == "mccnet":
    sys.exit(3)
figures = {yardstick: {"score": 0.5}, weights: {"score": 0.75}}
open(out, "w").write(json.dumps({"weights": figures, "objections": {weights: []}}))
"""


@dataclass
class Training:
    folder: Path

    def command(self, what: str) -> list[str]:
        return [sys.executable, str(SCRIPT), what, "--settings", str(self.folder / "learn.toml")]

    def settle(self, rate: str = "1e-4") -> None:
        (self.folder / "learn.toml").write_text(SETTINGS.format(folder=self.folder, rate=rate))

    def call(self, what: str, path: str = "") -> str:
        """What the command prints; it has to succeed."""
        places = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH", "")]))
        env = os.environ | {"PYTHONPATH": places}
        done = subprocess.run(self.command(what), capture_output=True, text=True, timeout=240, env=env)
        assert done.returncode == 0, done.stdout + done.stderr + self.log()
        return done.stdout

    def home(self, network: str = "mccnet-fast") -> Path:
        return self.folder / "learn" / network

    def log(self) -> str:
        path = self.folder / "learn" / "learn.log"
        return path.read_text() if path.exists() else ""

    def lines(self, run: str, key: str) -> list[Any]:
        """The values of `key` in the log of a run of the default network."""
        path = self.home() / run / "log.jsonl"
        lines = [json.loads(text) for text in path.read_text().splitlines(True) if text.endswith("}\n")]
        return [line[key] for line in lines if key in line]

    def wait_for(self, happened: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 240
        while not happened():
            assert time.monotonic() < deadline, "it did not happen\n" + self.log()
            time.sleep(0.05)

    def processes(self) -> list[int]:
        """All that were started for this training, and those that they started."""
        parents, ours = {}, set()
        for place in Path("/proc").glob("[0-9]*"):
            try:
                state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
                command = (place / "cmdline").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state not in ENDED and "python" in command.partition("\0")[0]:  # git is asked for the commit, too
                parents[int(place.name)] = int(parent)
                if "learn.py" in command and str(self.folder) in command:
                    ours.add(int(place.name))
        return sorted(ours | {process for process, parent in parents.items() if parent in ours})

    @staticmethod
    def ended(process: int) -> bool:
        try:
            return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in ENDED
        except (FileNotFoundError, ProcessLookupError):
            return True


def record(stage: Path) -> dict[str, Any]:
    path = stage / "stage.json"
    return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    folder = tmp_path_factory.mktemp("learn")
    (folder / "photos").mkdir()
    for number in range(3):
        texture = np.random.default_rng(number).integers(0, 256, (20, 25, 3), dtype=np.uint8)
        Image.fromarray(texture.repeat(5, 0).repeat(5, 1)).save(folder / "photos" / f"{number}.png")
    (folder / "judge.py").write_text(JUDGE)
    training = Training(folder)
    yield training
    for process in training.processes():
        os.kill(process, signal.SIGKILL)


def test_many_starts_make_one_training(training: Training) -> None:
    training.settle()
    assert "Not running" in training.call("status") and training.processes() == []
    unread = subprocess.Popen(training.command("status"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    unread.stdout.close()  # as under `| head`
    assert (unread.stderr.read(), unread.wait(timeout=240)) == (b"", 0)
    unread.stderr.close()
    both = [subprocess.Popen(training.command("start"), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = sorted(process.communicate(timeout=240)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert printed[0].startswith("It is running, process") and printed[1].startswith("Started, process")
    (started,) = {
        int(number) for text in (*printed, training.call("start")) for number in re.findall(r"process (\d+)", text)
    }
    assert started in training.processes()
    assert os.getsid(started) == started, "the end of the shell is not its end"


def test_its_renderer_makes_way_too_and_ends_with_it(training: Training) -> None:
    both: list[int] = []

    def render() -> bool:
        both[:] = training.processes()
        return len(both) == 2 and b"OMP_NUM_THREADS=1\0" in Path(f"/proc/{both[1]}/environ").read_bytes()

    training.wait_for(render)
    learner, renderer = both
    niceness = [os.getpriority(os.PRIO_PROCESS, process) for process in (learner, renderer)]
    assert niceness[0] == max(3, os.getpriority(os.PRIO_PROCESS, 0)) and niceness[1] >= niceness[0]
    assert b"OMP_NUM_THREADS=1\0" in Path(f"/proc/{renderer}/environ").read_bytes()
    training.wait_for((training.home() / "trunk-001" / "last.pt").exists)
    os.kill(learner, signal.SIGKILL)
    training.wait_for(lambda: training.processes() == [] and training.ended(renderer))
    assert "Not running" in training.call("status")


def test_killed_it_goes_on_from_its_checkpoint(training: Training) -> None:
    assert "Started" in training.call("start")
    training.wait_for(lambda: len(training.lines("trunk-001", "began_at_step")) == 2)
    first, second = training.lines("trunk-001", "began_at_step")
    assert first == 0 and second > 0


def test_a_stage_has_weights_whose_rate_fell(training: Training) -> None:
    stage = training.home() / "stage-001"
    training.wait_for(lambda: "judged" in record(stage))
    found = checkpoint.load(stage / "mccnet-fast.safetensors")
    step, fall = record(stage)["step"], record(stage)["fall"]
    assert found.extra["step"] == step + fall and fall == max(1, round(step / 10))
    assert training.lines("stage-001", "rate")[-1] == pytest.approx(1e-4 / fall)
    training.wait_for(lambda: training.lines("trunk-001", "rate"))
    assert set(training.lines("trunk-001", "rate")) == {1e-4}
    assert not (stage / "last.pt").exists(), "large, and of no more use"


def test_the_other_network_is_taught_by_the_stage(training: Training) -> None:
    training.wait_for(lambda: "judged" in record(training.home("mccnet") / "stage-001"))
    teacher = (training.home("mccnet") / "teacher.safetensors").read_bytes()
    # On a busy machine its first turn may come before there is a stage.
    named = re.findall(r"mccnet is taught by (\S+|the shipped weights) of mccnet-fast", training.log())[-1]
    stage = training.home() / named / "mccnet-fast.safetensors"
    assert teacher == (stage if named.startswith("stage-") else checkpoint.find("mccnet-fast")).read_bytes()
    recipe = json.loads((training.home("mccnet") / "trunk-001" / "recipe.json").read_text())
    assert recipe["teacher"] == str(training.home("mccnet") / "teacher.safetensors") and recipe["distillation"] == 0.5


def test_the_trunk_goes_on_from_where_it_stood(training: Training) -> None:
    training.wait_for(lambda: "finished" in record(training.home() / "stage-002"))
    assert record(training.home() / "stage-001")["step"] in training.lines("trunk-001", "began_at_step")
    assert record(training.home() / "stage-002")["step"] > record(training.home() / "stage-001")["step"]


def test_status_tells_what_it_has_come_to_without_pytorch(training: Training, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('status must not need it')")
    status = ""

    def knows_its_pace() -> bool:
        """From the second line on that it logs, which on a busy machine takes a while."""
        nonlocal status
        status = training.call("status", path=str(tmp_path))
        return bool(re.search(r"\d crops a second over the last 30 minutes", status))

    training.wait_for(knows_its_pace)
    assert "Running, process" in status and f"Left out, as they are not there: {training.folder}/nowhere" in status
    crops = re.search(r"([\d,]+) crops seen, of 32 px; as much as ([\d,]+) of 128 px", status)
    assert crops is not None
    seen, alike = (int(number.replace(",", "")) for number in crops.groups())
    assert seen > 0 and seen % 2 == 0 and abs(alike - seen / 16) <= 1
    steps = re.search(r"([\d,]+) steps in trunk-001", status)
    assert steps is not None and 2 * int(steps[1].replace(",", "")) == seen
    assert re.search(r"crops cut from each scene so far, 4.00 in the long run", status)
    assert "loss 0." in status
    assert re.search(r"stage-001: trunk-001 at step [\d,]+, .* done .* SHIPS, score 0.750", status)
    assert "| mccnet-fast | 0.5 |" in status and "the judge failed: exit code 3" in status
    assert re.search(r"ships: cp \S*/learn/mccnet-fast/stage-\d+/mccnet-fast.safetensors src/dualpix/weights/", status)


def test_stop_keeps_everything(training: Training) -> None:
    assert "everything is kept" in training.call("stop")
    assert training.processes() == [] and "does not run" in training.call("stop")
    assert "stopped by learn.py stop" in training.call("status")
    assert "Traceback" not in training.log()
    scenes = list((training.home() / "scenes").glob("*px-*/*.npy"))
    assert 4 <= len(scenes) < 20 + 4 + 64 + 200, "few stay behind the pool"


@pytest.mark.slow
def test_trouble_with_one_network_stops_nothing(training: Training) -> None:
    training.settle(rate='"quick"')
    training.call("start")
    training.wait_for((training.home() / "trouble.txt").exists)
    done = len(list(training.home("mccnet").glob("stage-*")))
    training.wait_for(lambda: len(list(training.home("mccnet").glob("stage-*"))) > done)
    status = training.call("status")
    assert "IN TROUBLE, tried again:" in status and "field learning_rate" in status
    training.call("stop")


@pytest.mark.slow
def test_other_settings_begin_another_trunk_from_its_weights(training: Training) -> None:
    training.settle(rate="2e-4")
    training.call("start")
    training.wait_for((training.home() / "trunk-002" / "last.pt").exists)
    training.call("stop")
    assert "trunk-002 goes on from the weights of trunk-001: learning_rate 0.0001 -> 0.0002" in training.log()
    recipe = json.loads((training.home() / "trunk-002" / "recipe.json").read_text())
    assert recipe["start"] == str(training.home() / "trunk-001" / "last.safetensors")
    assert recipe["seed"] == 1, "scenes that the first trunk has not seen"

"""The judge of a stage: a command of its own, whose failure stops nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from learning.folders import Stage
from learning.priority import ending_with_parent

LOOK_S = 0.2


def judge(stage: Stage, script: Path, yardstick: str, minutes: float, stopping: Callable[[], bool]) -> Stage:
    """Run the judge, which leaves `judge.json` and in `judge.txt` what it prints; note how it ended, unless `stopping`
    came first."""
    (stage.folder / "judge.json").unlink(missing_ok=True)
    command = [sys.executable, str(script), yardstick, str(stage.weights), "--out", str(stage.folder / "judge.json")]
    deadline = time.monotonic() + 60 * minutes
    try:
        with (stage.folder / "judge.txt").open("wb") as printed:
            process = subprocess.Popen(
                ending_with_parent(command),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                process_group=0,  # to be ended with its own processes; a session would not be of low priority
            )
        try:
            while not _ended(process.pid):
                if stopping():
                    return stage
                if time.monotonic() > deadline:
                    return stage.note(judged={"failed": f"not done after {minutes:g} minutes"})
                time.sleep(LOOK_S)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started and left behind
            process.wait()
    except OSError as error:
        return stage.note(judged={"failed": str(error)})
    code = process.returncode
    return stage.note(judged={"failed": f"exit code {code}"} if code else {"exit": 0})


def _ended(process: int) -> bool:
    """Whether it has ended. How is not asked for yet: until then no other process group can have its number."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

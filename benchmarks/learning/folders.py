"""What a training that never stops has left on disk, from which it knows what comes next. Loads no PyTorch.

    FOLDER/plan.json               what it is doing, for people
    FOLDER/NETWORK/trunk-001/      a run folder: the rate stays constant, and the running mean is what counts
    FOLDER/NETWORK/stage-001/      a copy of the trunk's state, whose rate has fallen: weights that may ship
    FOLDER/NETWORK/teacher.safetensors
    FOLDER/NETWORK/scenes/         shared by the trunk and its stages

A stage's `stage.json` says where it was cut from the trunk, and then, once they are known, `finished` and `judged`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dualpix.machine.files import write_whole

Line = dict[str, Any]
STORES = "*px-*"
"""Rendered scenes, as folders in `scenes/`."""


@dataclass(frozen=True)
class Stage:
    """A folder with what its `stage.json` says."""

    folder: Path
    record: Line

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def weights(self) -> Path:
        """What is judged and may ship: half precision, named after the network."""
        return self.folder / f"{self.folder.parent.name}.safetensors"

    @property
    def over(self) -> bool:
        """Whether nothing is left to train, be it because that failed."""
        return "finished" in self.record or "failed" in self.record

    def note(self, **more: Any) -> "Stage":
        """The stage with more in its record, on disk too."""
        record = self.record | more
        write_json(self.folder / "stage.json", record)
        return Stage(self.folder, record)

    def verdict(self) -> tuple[float | None, list[str]] | None:
        """Score and objections, by what the judge wrote; None if it did not."""
        if "exit" not in self.record.get("judged", {}):
            return None
        try:
            found = json.loads((self.folder / "judge.json").read_text())
            # The names of the weights as they were given: the yardstick's, and a file of this name.
            (name,) = (name for name in found["weights"] if Path(name).name == self.weights.name)
            score = found["weights"][name].get("score")
            return (None if score is None else float(score)), list(found["objections"][name])
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


def stages_of(home: Path) -> list[Stage]:
    """Those of a network, oldest first."""
    return [Stage(folder, read_json(folder / "stage.json")) for folder in _numbered(home, "stage")]


def trunks_of(home: Path) -> list[Path]:
    return _numbered(home, "trunk")


def next_folder(home: Path, kind: str) -> Path:
    found = _numbered(home, kind)
    return home / f"{kind}-{1 + (number_of(found[-1]) if found else 0):03d}"


def number_of(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _numbered(home: Path, kind: str) -> list[Path]:
    found = [path for path in home.glob(f"{kind}-*") if re.fullmatch(rf"{kind}-\d+", path.name)]
    return sorted(found, key=number_of)


def spent_hours(home: Path) -> float:
    """Hours that a network's trunks and stages have taken."""
    trunks = sum(last_of(read_log(trunk), "hours") or 0.0 for trunk in trunks_of(home))
    stages = stages_of(home)
    return float(trunks + sum(stage.record.get("minutes", 0.0) for stage in stages) / 60)


def read_log(run: Path) -> list[Line]:
    """The lines of a run's log as if it had never been interrupted, as `dualpix.training.curve` reads it; not by that,
    because it loads PyTorch."""
    lines: list[Line] = []
    for line in _lines(run / "log.jsonl"):
        if (begin := line.get("began_at_step")) is not None:
            while lines and (not begin or lines[-1].get("step", 0) > begin):
                lines.pop()
        lines.append(line)
    return lines


def _lines(path: Path) -> Iterator[Line]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for text in file:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):  # what wrote it was killed in the middle of a line
                continue
            if isinstance(line, dict) and all(type(line.get(name, 0)) is int for name in ("step", "began_at_step")):
                yield line


def last_of(lines: list[Line], key: str) -> Any:
    """The newest line's value of `key`, of those that have one."""
    return next((line[key] for line in reversed(lines) if key in line), None)


def pace(logs: list[list[Line]], batch: int, minutes: float) -> tuple[float | None, list[float]]:
    """Crops a second and losses over the last `minutes` in which a network learnt, from the logs of its runs.

    Between two reports with no restart between them: what a validation took counts, a pause does not.
    """
    reports: list[tuple[datetime, float, int, float | None]] = []  # when, seconds, crops, loss
    for lines in logs:
        before: Line | None = None
        for line in lines:
            if "began_at_step" in line:
                before = None
            if "hours" not in line:
                continue
            when = datetime.fromisoformat(line["time"])
            if before is not None:
                seconds = (line["hours"] - before["hours"]) * 3600
                reports.append((when, seconds, (line["step"] - before["step"]) * batch, line["loss"]))
            before = line
    reports.sort(key=lambda report: report[0])
    learnt_s, crops, losses = 0.0, 0, []
    for _, seconds, more, loss in reversed(reports):
        if learnt_s >= minutes * 60:
            break
        learnt_s, crops = learnt_s + seconds, crops + more
        losses += [] if loss is None else [loss]
    return (crops / learnt_s if learnt_s > 0 else None), losses[::-1]


def read_json(path: Path) -> Line:
    """An empty one for a file that is not there."""
    if not path.exists():
        return {}
    found: Line = json.loads(path.read_text())
    return found


def write_json(path: Path, content: Line) -> None:
    write_whole(path, json.dumps(content, indent=1).encode())

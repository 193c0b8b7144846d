"""What `examples` has for schedulers and containers, run as they would run it: with their variables, in processes."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix import networks
from dualpix.weights import checkpoint

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

HOME = Path(__file__).parents[1]
EXAMPLES = HOME / "examples"
NARROW = {"widths": [4, 4, 4, 4, 4]}
NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A disk that all tasks share, with five pairs, and the command in a folder of its own."""
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "w.safetensors", networks.create("dpdnet", **NARROW), "dpdnet", NARROW)
    (tmp_path / "my pairs").mkdir()
    for number, name in enumerate(NAMES):
        noise = np.random.default_rng(number).integers(0, 256, (12, 14, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        for side, first in (("L", 4), ("R", 2)):
            Image.fromarray(noise[:, first : first + 48]).save(tmp_path / "my pairs" / f"{name}_{side}.png")
    command = tmp_path / "bin" / "dualpix"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dualpix "$@"\n')
    command.chmod(0o755)
    return tmp_path


def environment(shared: Path, **more: str) -> dict[str, str]:
    weights = f"-w {shared / 'w.safetensors'}"
    own = {"PAIRS": str(shared / "my pairs"), "TARGET": str(shared / "sharp"), "DUALPIX_MORE": weights}
    path = f"{shared / 'bin'}{os.pathsep}{os.environ['PATH']}"
    source = os.pathsep.join([str(HOME / "src"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PATH": path, "PYTHONPATH": source, **own, **more}


def check(shared: Path, tasks: "list[subprocess.Popen[bytes]]") -> None:
    assert [task.wait(300) for task in tasks] == [0] * len(tasks)
    assert sorted(path.name for path in (shared / "sharp").glob("*.png")) == [f"{name}.png" for name in NAMES]
    reports = [path.read_text().splitlines() for path in sorted(shared.glob("sharp.report-*.jsonl"))]
    assert sorted(len(lines) for lines in reports) == [2, 3]


def job() -> dict[str, Any]:
    return yaml.safe_load((EXAMPLES / "kubernetes_job.yaml").read_text())  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_slurm_array(shared: Path) -> None:
    counted = {"SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_CPUS_PER_TASK": "1"}
    tasks = [
        subprocess.Popen(
            [EXAMPLES / "slurm_array.sh"], env=environment(shared, **counted, SLURM_ARRAY_TASK_ID=str(number))
        )
        for number in (3, 4)
    ]
    check(shared, tasks)


@pytest.mark.slow
def test_a_kubernetes_job(shared: Path) -> None:
    container = job()["spec"]["template"]["spec"]["containers"][0]
    given = {"COMPLETIONS": "2", "OMP_NUM_THREADS": "1"}
    tasks = [
        subprocess.Popen(
            [*container["command"], *container["args"]],
            env=environment(shared, **given, JOB_COMPLETION_INDEX=str(number)),
        )
        for number in (0, 1)
    ]
    check(shared, tasks)


@pytest.mark.parametrize(("count", "first"), [(1, 0), (8, 0), (3, 1), (10, 7)])
def test_every_part_is_done_once(tmp_path: Path, count: int, first: int) -> None:
    """With a command that only says how it was called."""
    said = tmp_path / "dualpix"
    said.write_text(
        '#!/bin/sh\nfor word; do last="$word"; [ "${before:-}" = --shard ] && echo "$word"; before="$word"; done\n'
    )
    said.chmod(0o755)
    path, more = f"{tmp_path}{os.pathsep}{os.environ['PATH']}", {"PAIRS": "p", "TARGET": "t", "COMPLETIONS": str(count)}
    container = job()["spec"]["template"]["spec"]["containers"][0]
    commands: dict[str, Callable[[int], list[str]]] = {
        "SLURM_ARRAY_TASK_ID": lambda number: [str(EXAMPLES / "slurm_array.sh")],
        "JOB_COMPLETION_INDEX": lambda number: [*container["command"], *container["args"]],
    }
    slurm = {"SLURM_ARRAY_TASK_MIN": str(first), "SLURM_ARRAY_TASK_COUNT": str(count)}
    for name, command in commands.items():
        start = first if name.startswith("SLURM") else 0
        parts = [
            subprocess.run(
                command(number), env={"PATH": path, **more, **slurm, name: str(start + number)}, check=False,
                capture_output=True, text=True,
            ).stdout.strip()
            for number in range(count)
        ]  # fmt: skip
        assert parts == [f"{number}/{count}" for number in range(1, count + 1)]


def test_the_job_says_one_number_twice_and_does_not_repeat_what_is_wrong() -> None:
    spec = job()["spec"]
    container = spec["template"]["spec"]["containers"][0]
    told = {variable["name"]: variable["value"] for variable in container["env"]}
    assert told["COMPLETIONS"] == str(spec["completions"]) and spec["completionMode"] == "Indexed"
    assert spec["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"] == [1, 2]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # as podFailurePolicy demands


def steps(kind: str) -> list[str]:
    return re.findall(rf"^{kind} (.*)$", (EXAMPLES / "Containerfile").read_text(), re.MULTILINE)


def test_the_container_copies_what_is_there() -> None:
    for words in map(str.split, steps("COPY")):
        assert all((HOME / name).exists() for name in words[:-1]), words


@pytest.mark.slow
def test_the_steps_of_the_container_run(tmp_path: Path) -> None:
    """All but what an engine does: in an environment that finds the packages of this one, and builds ours alone."""
    source = tmp_path / "src"
    source.mkdir()
    for words in map(str.split, steps("COPY")):
        for name in words[:-1]:
            target = source / (words[-1] if len(words) == 2 else name)
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (HOME / name).is_dir() else shutil.copy)(HOME / name, target)
    venv.create(tmp_path / "venv", with_pip=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "theirs.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    path = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for step in steps("RUN"):
        step = step.replace('".[openvino,ray]"', '--no-deps --ignore-installed ".[openvino,ray]"')
        done = subprocess.run(
            ["sh", "-c", step], cwd=source, env={**own, "PATH": path}, capture_output=True, text=True, timeout=500
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"

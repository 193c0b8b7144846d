"""Kill a worker, a node and the driver of a run on a Ray cluster, resume it, and compare with a run in one process.

    python benchmarks/kill_ray.py [--rounds N] [--first N] [--pairs N] [--seed N] [--away SECONDS] [--one-address]

A cluster of three nodes, processes of their own, each with its address in a network namespace of its own (as root on
Linux; with --one-address, or elsewhere, they share this machine's). `kill -9` falls at random moments: first on one
worker, then on all processes of a node that is not the head, then on the driver. After `--resume` on what is left of
the cluster the target must hold every picture once, bytes equal to those of the run in one process, and nothing else
but the journal; and the reports must tell of every pair. With --away the pairs lie in a bucket of a real S3 server
(rclone), which is killed, too, and comes back after so many seconds. Prints what differs, and ends with code 1 if
anything does.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dualpix import create
from dualpix.weights import checkpoint
from hosts import Network, can_be_apart, children, kill, title

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from object_store import Server, serving

NARROW = {"widths": [4, 4, 4, 4, 4]}
PORT = 6479
WAIT_S = 900
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
QUIET = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "PYTHONWARNINGS": "ignore"}


def lay_out(folder: Path, count: int) -> None:
    """A narrow network, and as many pairs of 48 x 48 pixels, each different."""
    torch.manual_seed(0)
    checkpoint.save(folder / "w.safetensors", create("dpdnet", **NARROW), "dpdnet", NARROW)
    for number in range(count):
        texture = np.random.default_rng(number).integers(0, 256, (12, 14, 3), dtype=np.uint8)
        texture = texture.repeat(4, 0).repeat(4, 1)
        place = folder / "pairs" / str(number % 3)
        place.mkdir(parents=True, exist_ok=True)
        for side, first in (("L", 4), ("R", 2)):
            Image.fromarray(texture[:, first : first + 48]).save(place / f"{number:05}_{side}.png")


class Nodes:
    """A Ray cluster of three nodes with a core each; the first is the head."""

    def __init__(self, network: Network, home: Path, server: Server | None = None) -> None:
        self.network, self.home, self.server = network, home, server
        self.more = server.environment if server else {}
        self.nodes = [self._start(number) for number in range(3)]

    @property
    def address(self) -> str:
        return f"{self.network.address(0)}:{PORT}"

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        own = [f"--node-ip-address={self.network.address(number)}", "--num-cpus=1", "--object-store-memory=80000000"]
        role = (
            ["--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={self.home / 'ray'}"]
            if number == 0
            else [f"--address={self.address}"]
        )
        log = (self.home / f"node{number}.log").open("wb")
        command = [*self.network.inside(number), *RAY, "start", "--block", *role, *own]
        node = subprocess.Popen(command, stdout=log, stderr=log, env=QUIET | self.more, start_new_session=True)
        wait_until(lambda: b"Ray runtime started" in (self.home / f"node{number}.log").read_bytes(), node)
        return node

    def workers(self) -> list[int]:
        found = [pid for node in self.nodes for pid in children(node.pid)]
        return [pid for pid in found if b"_Actor" in title(pid)]

    def kill_node(self, number: int) -> None:
        kill(children(self.nodes[number].pid))

    def close(self) -> None:
        for node in reversed(self.nodes):
            kill(children(node.pid))
            node.wait()


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> bool:
    """False if the process ended before."""
    until = time.monotonic() + WAIT_S
    while not condition():
        if process.poll() is not None:
            return False
        if time.monotonic() > until:
            sys.exit(f"Nothing happened for {WAIT_S} s: {process.args}")
        time.sleep(0.01)
    return True


def made(target: Path) -> int:
    return sum(path.read_bytes().count(b'"state": "made"') for path in target.glob("dualpix-journal*.jsonl"))


def start(nodes: Nodes, home: Path, *more: str) -> "subprocess.Popen[bytes]":
    words = ["deblur", source(nodes.server), "-o", "out", "-w", "w.safetensors", "--ray", nodes.address, *more]
    return subprocess.Popen(
        [*nodes.network.inside(0), sys.executable, "-m", "dualpix", *words],
        cwd=home, env=QUIET | nodes.more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def source(server: Server | None) -> str:
    return "s3://photos/pairs" if server else "pairs"


def take_away(server: Server, seconds: float) -> None:
    server.end()
    time.sleep(seconds)
    server.start()


def interrupted(nodes: Nodes, home: Path, count: int, dice: random.Random, away_s: float) -> list[str]:
    """Run, kill, resume; what was done, and what the driver said in the end."""
    moments = sorted(dice.sample(range(2, count * 3 // 4), 3))
    driver, done = start(nodes, home, "--json", "first.jsonl"), []
    for moment, what in zip(moments, ("worker", "node", "driver"), strict=True):
        if not wait_until(lambda moment=moment: made(home / "out") >= moment, driver):  # type: ignore[misc]
            said = driver.communicate()[0].decode()
            return [*done, f"ended before the {what} could be killed: {said}"]
        if what == "worker":
            kill([dice.choice(nodes.workers())])
            if nodes.server:
                take_away(nodes.server, away_s)
                done.append(f"server away for {away_s:g} s")
        elif what == "node":
            nodes.kill_node(dice.choice((1, 2)))
        else:
            kill(children(driver.pid))
        done.append(f"{what} killed at {made(home / 'out')}")
    driver.wait()
    again = start(nodes, home, "--resume", "--json", "second.jsonl")
    try:
        said = again.communicate(timeout=WAIT_S)[0].decode().strip()
    except subprocess.TimeoutExpired:
        kill(children(again.pid))
        said = "did not end"
    return [*done, f"then code {again.returncode}: {said}"]


def differences(home: Path, count: int) -> list[str]:
    """How the target differs from that of a run in one process, and what reports and journal lack."""
    pictures = {
        name: {path.relative_to(home / name): path.read_bytes() for path in (home / name).rglob("*") if path.is_file()}
        for name in ("local", "out")
    }
    journals = {name: found.pop(Path("dualpix-journal.jsonl"), b"") for name, found in pictures.items()}
    local, out = pictures["local"], pictures["out"]
    wrong = [f"{path} is missing" for path in local.keys() - out.keys()]
    wrong += [f"{path} should not be there" for path in out.keys() - local.keys()]
    wrong += [f"{path} differs" for path in local.keys() & out.keys() if local[path] != out[path]]
    report = home / "second.jsonl"
    lines = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    told = [line["output"] for line in lines if line["state"] in ("made", "kept")]
    wrong += (
        [] if len(told) == len(set(told)) == count else [f"the report tells of {len(set(told))} in {len(told)} lines"]
    )
    known = [json.loads(line) for line in journals["out"].splitlines()]
    signed = {line["output"]: line["signature"] for line in known if line["state"] == "made"}
    mine = [json.loads(line) for line in journals["local"].splitlines()]
    wrong += [] if signed == {line["output"]: line["signature"] for line in mine} else ["the journal differs"]
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--away", type=float, default=0, help="seconds that the pairs' server is away")
    parser.add_argument("--one-address", action="store_true", help="no network namespaces")
    asked = parser.parse_args()
    home, bad = Path(tempfile.mkdtemp(prefix="kr-")), 0
    network = Network(3, not asked.one_address and can_be_apart())
    print(f"three nodes at {', '.join(network.address(number) for number in range(3))}", flush=True)
    with ExitStack() as until_done:
        until_done.callback(shutil.rmtree, home, ignore_errors=True)
        until_done.callback(network.close)
        lay_out(home, asked.pairs)
        server = until_done.enter_context(serving(bucket(home), network.bridge)) if asked.away else None
        local = [sys.executable, "-m", "dualpix", "deblur", source(server), "-o", "local", "-w", "w.safetensors"]
        environment = QUIET | (server.environment if server else {})
        subprocess.run(local, cwd=home, env=environment, check=True, stdout=subprocess.DEVNULL)
        for number in range(asked.first, asked.first + asked.rounds):
            shutil.rmtree(home / "out", ignore_errors=True)
            for report in home.glob("*.jsonl"):
                report.unlink()
            nodes, began = Nodes(network, home, server), time.monotonic()
            try:
                done = interrupted(nodes, home, asked.pairs, random.Random(f"{asked.seed} {number}"), asked.away)
            finally:
                nodes.close()
            found = differences(home, asked.pairs)
            bad += bool(found)
            seconds = time.monotonic() - began
            print(f"{number}: {'; '.join(done)}; {'; '.join(found[:5]) or 'the same'} ({seconds:.0f} s)", flush=True)
    sys.exit(f"{bad} of {asked.rounds} rounds ended otherwise" if bad else 0)


def bucket(home: Path) -> Path:
    """Folder whose folders are buckets; one of them is that of the pairs."""
    (home / "buckets").mkdir()
    shutil.copytree(home / "pairs", home / "buckets" / "photos" / "pairs")
    return home / "buckets"


if __name__ == "__main__":
    main()

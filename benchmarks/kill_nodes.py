"""Kill and cut off machines that train together, and compare the end with that of runs that were stopped and resumed.

    python benchmarks/kill_nodes.py [--only NAME ...] [--rounds N] [--steps N] [--seed N] [--folder FOLDER]

Two hosts with an address and a core each, in network namespaces (as root on Linux), train by
`dualpix train tiny --nodes ... --rendezvous ...` in one run folder; the first holds the meeting. At random moments:

    worker   `kill -9` of a process that trains; both hosts start again by themselves. The end has to be that of a run
             which nobody disturbed.
    host     `kill -9` of all processes of the second host. The first goes on alone; its end has to be that of a copy of
             the folder at that moment, resumed by one process.
    cut      The link of the second goes down, which closes no connection, and up again later. The first goes on alone,
             and takes the second in again. What one process learnt has to be what a resumed copy learns up to there,
             and the end that of a copy from there on, resumed by both hosts.
    sleep    SIGSTOP of a process that trains, and of nothing else, for longer than the others wait.

States, weights, curves: all bit for bit. Prints what differs, and ends with code 1 if anything does.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dualpix.training import train
from dualpix.training.nodes import step_of
from dualpix.training.recipes import find_recipe
from dualpix.training.state import unpack
from hosts import Network, can_be_apart, children, kill, title
from kill_train import differences, log_of, photos, what_was_learnt

PORT = 29477
WAIT_S = 900
FIELDS = {"validate_every": "1000", "keep_minutes": "0.005", "pool": "8"}


class Hosts:
    """Two hosts that train in `home / name`."""

    def __init__(self, network: Network, home: Path, steps: int) -> None:
        self.network, self.home, self.steps = network, home, steps
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def words(self) -> list[str]:
        fields = [f"{field}={value}" for field, value in FIELDS.items()]
        return ["-m", "dualpix", "train", "tiny", f"steps={self.steps}", *fields, "--photos", "photos"]

    def start(self, name: str, nodes: str, *numbers: int) -> None:
        self.running = {}
        for number in numbers or (0, 1):
            meeting = ["--nodes", nodes, "--rendezvous", f"{self.network.address(0)}:{PORT}"]
            core = ["taskset", "-c", str(number % (os.cpu_count() or 1))]
            command = [*self.network.inside(number), *core, sys.executable, *self.words, "-o", name, *meeting]
            with self.log(number).open("wb") as log:
                self.running[number] = subprocess.Popen(command, cwd=self.home, stdout=log, stderr=log)

    def alone(self, name: str) -> None:
        command = ["taskset", "-c", "0", sys.executable, *self.words, "-o", name]
        subprocess.run(command, cwd=self.home, check=True, stdout=subprocess.DEVNULL, timeout=WAIT_S)

    def log(self, number: int) -> Path:
        return self.home / f"host{number}.log"

    def said(self, number: int) -> str:
        return self.log(number).read_text(errors="replace")

    def workers(self, number: int) -> list[int]:
        """The processes that train, which have a session of their own."""
        found = children(self.running[number].pid)[1:]
        return [pid for pid in found if os.getsid(pid) == pid and b"dualpix\0train" in title(pid)]

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > until or all(host.poll() is not None for host in self.running.values()):
                sys.exit(f"Not seen: {what}.\n" + "\n".join(self.said(number) for number in self.running))
            time.sleep(0.02)

    def finish(self, *numbers: int) -> list[str]:
        """Wait until they have ended; what they said if it was not well."""
        found = []
        for number in numbers or self.running:
            if self.running[number].wait(WAIT_S):
                found.append(f"host {number} ended with {self.running[number].returncode}: {self.said(number)[-300:]}")
        return found

    def close(self) -> None:
        for host in self.running.values():
            kill(children(host.pid))
            host.wait()


def compared(one: Path, two: Path) -> list[str]:
    found = differences(what_was_learnt(one), what_was_learnt(two))
    return found + differences(log_of(one), log_of(two), "log.jsonl")


def moment(hosts: Hosts, run: Path, dice: random.Random, first: float, last: float) -> int:
    """Wait until a random step between two shares of all."""
    step = round(dice.uniform(first, last) * hosts.steps)
    hosts.wait(f"step {step}", lambda: step_of(run) >= step)
    return step_of(run)


def copied(hosts: Hosts, run: Path, name: str, number: int) -> int:
    """Copy the folder when a round has been agreed on and its processes are only starting; the step it begins at."""
    hosts.wait(f"round {number}", lambda: f"Round {number}:" in hosts.said(0))
    shutil.copytree(run, hosts.home / name)
    return step_of(hosts.home / name)


def lose_worker(hosts: Hosts, run: Path, dice: random.Random) -> tuple[str, list[str]]:
    whole = hosts.home / "whole"
    if not whole.exists():
        hosts.start("whole", "2")
        if found := hosts.finish():
            return "left alone", found
    hosts.start(run.name, "2")
    done = []
    for first, last in ((0.2, 0.4), (0.6, 0.8)):
        step, number = moment(hosts, run, dice, first, last), dice.choice((0, 1))
        kill([dice.choice(hosts.workers(number))])
        done.append(f"worker of host {number} killed at {step}")
    found = hosts.finish()
    return ", ".join(done), found + compared(whole, run)


def lose_host(hosts: Hosts, run: Path, dice: random.Random) -> tuple[str, list[str]]:
    hosts.start(run.name, "1:2")
    step = moment(hosts, run, dice, 0.2, 0.6)
    kill(children(hosts.running[1].pid))
    began = copied(hosts, run, "copy", 2)
    found = hosts.finish(0)
    hosts.alone("copy")
    return f"host killed at {step}, alone from {began}", found + compared(hosts.home / "copy", run)


def cut_host(hosts: Hosts, run: Path, dice: random.Random) -> tuple[str, list[str]]:
    hosts.start(run.name, "1:2")
    step, began = moment(hosts, run, dice, 0.15, 0.3), time.monotonic()
    hosts.network.cut(1)
    hosts.wait("the silence", lambda: "no sign of life" in hosts.said(0))
    noticed = time.monotonic() - began
    alone = copied(hosts, run, "copy", 2)
    back = moment(hosts, run, dice, 0.4, 0.6)
    hosts.network.mend(1)
    together = copied(hosts, run, "second", 3)
    found = hosts.finish()
    recipe = find_recipe("tiny", {"steps": str(hosts.steps), **FIELDS})
    os.sched_setaffinity(0, {0})
    train(recipe, hosts.home / "copy", photos=[hosts.home / "photos"], is_last=lambda step: step == together)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    states = [unpack(hosts.home / name / "last.pt")["learner"] for name in ("copy", "second")]
    found += differences(*states, "alone")
    hosts.start("second", "2")
    found += hosts.finish() + compared(hosts.home / "second", run)
    said = f"cut at {step}, noticed after {noticed:.0f} s, alone from {alone}, back at {back}, both from {together}"
    return said, found


def stop_worker(hosts: Hosts, run: Path, dice: random.Random) -> tuple[str, list[str]]:
    hosts.start(run.name, "1:2")
    step, asleep = moment(hosts, run, dice, 0.2, 0.6), hosts.workers(1)
    for pid in asleep:
        os.kill(pid, signal.SIGSTOP)
    hosts.wait("the silence", lambda: "no sign of life" in hosts.said(0))
    for pid in asleep:
        os.kill(pid, signal.SIGCONT)
    found = hosts.finish()
    return f"process stopped at {step}", found + ([] if step_of(run) == hosts.steps else ["not all steps"])


SCENES = {"worker": lose_worker, "host": lose_host, "cut": cut_host, "sleep": stop_worker}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where runs are kept; without, none are")
    asked = parser.parse_args()
    if not can_be_apart():
        sys.exit("Network namespaces are made by root on Linux with the command ip; there are none here.")
    home, bad = (asked.folder or Path(tempfile.mkdtemp(prefix="kill-nodes-"))).resolve(), 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing stays
    network = Network(2, True)
    hosts = Hosts(network, home, asked.steps)
    try:
        photos(home / "photos", asked.seed)
        for number in range(asked.rounds):
            for name in asked.only:
                began, run = time.monotonic(), home / f"run-{name}-{number}"
                said, found = SCENES[name](hosts, run, random.Random(f"{asked.seed} {name} {number}"))
                hosts.close()
                for copy in ("copy", "second"):
                    shutil.rmtree(home / copy, ignore_errors=True)
                seconds = time.monotonic() - began
                print(f"{number} {name}: {said}: {'; '.join(found[:5]) or 'the same'} ({seconds:.0f} s)", flush=True)
                bad += bool(found)
    finally:
        hosts.close()
        network.close()
        if asked.folder is None:
            shutil.rmtree(home)
    sys.exit(f"{bad} runs ended otherwise" if bad else 0)


if __name__ == "__main__":
    main()

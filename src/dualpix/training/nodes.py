"""Train on several machines, each of which runs this: start processes, and again when a machine goes or comes.

A round is what happens between two changes of who is there. It begins with a meeting (`rendezvous`), where each machine
gets its place; its processes then find their way as those of torchrun do, by the environment. It ends when all
processes have ended: because the training is over, because one was lost, or because another machine waits to come in.
The next goes on from the last checkpoint.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dualpix.errors import DualpixError, MachineError, spelled
from dualpix.training.launching import LOST, Running, free_port, pass_on_signals, show_errors, wait_for
from dualpix.training.rendezvous import Meeting, Rendezvous, Round
from dualpix.training.sameness import NAME, machine_name
from dualpix.weights import checkpoint

STOPPED = 130
"""What a process ends with that was asked to stop, and has kept everything."""

MOST_FAILURES = 5
"""Rounds in a row that fail before there is a new checkpoint, after which another is of no use."""

LOOK_S = 1.0
"""How often a machine looks whether another one waits to come in."""

Tell = Callable[[str], None]


def launch_on_nodes(
    argv: Sequence[str],
    meeting: Meeting,
    processes: int,
    folder: str | Path,
    facts: Mapping[str, str],
    tell: Tell = lambda note: None,
    program: Sequence[str] = ("-m", "dualpix"),
) -> int:
    """Run `python -m dualpix *argv` in `processes` processes of this machine, together with those of other machines.

    Args:
        argv: The words of the command, the same on all machines.
        meeting: Where they meet, and how many.
        processes: On this machine; 0 to hold the meeting and not to train.
        folder: The run's, to see how far its checkpoint is.
        facts: What has to be the same on all machines, such as the recipe.
        tell: Is given a sentence on every change.
        program: What Python runs.

    Returns:
        The exit code: 0 after the end of the training, 130 if this machine was stopped.

    Raises:
        MachineError: Nobody answers, too few machines come, they differ, another has ended the training, or it fails
            again and again.
    """
    name = f"{machine_name()} ({os.getpid()})" if meeting.host in ("127.0.0.1", "localhost") else machine_name()
    agent = _Agent([sys.executable, *program, *argv], processes, Path(folder), tell)
    with pass_on_signals(agent.running, agent.hear):
        count = f"{meeting.least}" if meeting.least == meeting.most else f"{meeting.least} to {meeting.most}"
        tell(f"Waiting at {meeting} for {count} machines, this one among them.")
        agent.rendezvous = rendezvous = Rendezvous(meeting, name)
        rendezvous.agree(facts)
        if processes == 0:
            return _only_hold(rendezvous)
        try:
            code = agent.work()
        except DualpixError as error:
            if agent.gives_up:
                rendezvous.close(spelled(error.args[0]))
            rendezvous.part(agent.round)
            raise
        if code != STOPPED:
            rendezvous.part(agent.round)
        return code


def _only_hold(rendezvous: Rendezvous) -> int:
    while not rendezvous.is_closed():
        time.sleep(LOOK_S)
    return 0


class _Agent:
    rendezvous: Rendezvous

    def __init__(self, command: list[str], processes: int, folder: Path, tell: Tell) -> None:
        self.command, self.processes, self.folder, self.tell = command, processes, folder, tell
        self.running: list[Running] = []
        self.round: Round | None = None
        self.asked = self.gives_up = self.makes_room = self.starts = False
        self.failures, self.step, self.told, self.looked = 0, -1, 0, 0.0

    def hear(self, signal: int) -> None:
        """One that asks to stop; nothing that runs would pass it on while machines are waited for."""
        if not (self.running or self.starts):
            raise KeyboardInterrupt
        self.asked = True

    def work(self) -> int:
        """Round after round."""
        rendezvous = self.rendezvous
        while True:
            own = {"name": rendezvous.name, "processes": self.processes, "step": step_of(self.folder)}
            now = self.round = rendezvous.join({**own, "port": free_port(rendezvous.address)})
            self._check(now)
            self._start(now)
            wait_for(self.running, self._look)
            codes = [one.process.returncode for one in self.running]
            causes = [one for one in self.running if (one.process.returncode or 0) > 0]
            causes = [one for one in causes if one.process.returncode not in (LOST, STOPPED)]
            if not any(codes):
                rendezvous.close()
                return 0
            if causes or self.asked:
                show_errors(self.running)
            if causes:
                self._give_up(now, causes[0].text())
                return causes[0].process.returncode
            if self.asked:
                return STOPPED
            self._tell_why(codes)
            self.running.clear()

    def _check(self, now: Round) -> None:
        """Raises `MachineError` if the last checkpoint is gone, or if round after round brings no new one."""
        reached = int(now.nodes[0]["step"])
        self.failures = self.failures if reached <= self.step else 0
        if reached < self.step:
            self.gives_up = True
            raise MachineError(
                f"The checkpoint of step {self.step} lies on a machine that is gone; start again with it, or let all"
                " machines share the run folder."
            )
        if self.failures >= MOST_FAILURES:
            self.gives_up = True
            raise MachineError(
                f"Processes were lost {self.failures} times in a row before there was a new checkpoint; use a smaller"
                " batch or crop if memory runs out, or keep checkpoints more often (keep_minutes)."
            )
        self.step = reached
        machines = ", ".join(str(node["name"]) for node in now.nodes)
        self.tell(f"Round {now.number}: {now.processes} processes on {machines}, from step {max(0, reached)}.")

    def _start(self, now: Round) -> None:
        first = now.nodes[0]
        shared = {
            "WORLD_SIZE": now.processes,
            "LOCAL_WORLD_SIZE": self.processes,
            "GROUP_WORLD_SIZE": len(now.nodes),
            "MASTER_ADDR": first["address"],
            "MASTER_PORT": first["port"],
            "TORCHELASTIC_RESTART_COUNT": now.number - 1,
            NAME: self.rendezvous.name,
            **_interface(self.rendezvous.address),
        }
        self.starts = True  # a process that runs already, but does not stand in the list yet, would be left behind
        for place in range(self.processes):
            rank = now.before + place
            places = {"RANK": rank, "LOCAL_RANK": place}
            self.running.append(Running(self.command, shared | places, heard=place == 0, prints=rank == 0))
            if self.asked:
                self.running[-1].process.terminate()
        self.starts = False

    def _look(self) -> None:
        """Where another machine waits, all stop after this step, and meet again with it."""
        if self.asked or time.monotonic() - self.looked < LOOK_S:
            return
        self.looked = time.monotonic()
        if not self.makes_room and self.rendezvous.others_wait():
            self.makes_room = True
            self.tell("Another machine comes in; all stop after this step.")
            for one in self.running:
                one.process.terminate()

    def _tell_why(self, codes: Sequence[int | None]) -> None:
        killed = [-code for code in codes if code and code < 0]
        reasons = self.rendezvous.left()
        for reason in reasons[self.told :]:
            self.tell(reason)
        self.told = len(reasons)
        if STOPPED in codes or self.makes_room:
            self.makes_room = False
            return
        self.failures += 1
        why = f"A process here was ended by signal {killed[0]}" if killed else "Another machine or process was lost"
        self.tell(f"{why}; all start again from the last checkpoint.")

    def _give_up(self, now: Round, text: str) -> None:
        """An error that would come again: this machine goes, or all do if it leads or too few would be left."""
        said = text.strip().splitlines()[-1:] or ["an error"]
        reason = f"On {self.rendezvous.name}: {said[0].removeprefix('dualpix: ')}"
        if now.own == 0 or len(now.nodes) - 1 < self.rendezvous.meeting.least:
            self.rendezvous.close(reason)
        else:
            self.rendezvous.leave(reason)


def step_of(folder: Path) -> int:
    """That of the checkpoint in a run's folder; -1 if there is none."""
    if not (folder / "last.pt").exists():
        return -1
    try:
        step = checkpoint.read_card(folder / "last.safetensors")["extra"].get("step", 0)
    except DualpixError:
        return 0
    return step if isinstance(step, int) else 0


def _interface(address: str) -> dict[str, Any]:
    """By which gloo and NCCL find the network that the machines met in; as the user says, if that was said."""
    try:
        import fcntl
    except ImportError:  # Windows
        return {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            asked = name.encode()[:15].ljust(256, b"\0")
            try:
                found = socket.inet_ntoa(fcntl.ioctl(probe, 0x8915, asked)[20:24])  # SIOCGIFADDR of Linux
            except OSError:
                continue
            if found == address:
                names = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
                return {variable: name for variable in names if variable not in os.environ}
    return {}

"""Where machines that train together meet: PyTorch's rendezvous, as torchrun has it, in a store that one of them holds.

The machine whose address it is holds the store for as long as its command runs; the others connect to it.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.rendezvous import RendezvousClosedError, RendezvousError, RendezvousTimeoutError
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import DynamicRendezvousHandler, RendezvousTimeout

from dualpix.errors import CONTROL, MachineError, option, reason_of
from dualpix.machine.files import parse_json
from dualpix.training.sameness import difference

JOINING_S = 300
"""How long a machine waits for the address to answer, and for enough others to come."""

LAST_CALL_S = 30
"""How long those that are enough wait for more."""

ANSWER_S = 30
"""How long the store may take to answer."""

PROBE_S = 5.0
"""How long a connection may take."""

ANYWHERE = "192.0.2.1"
"""An address that documents may use and nobody has (RFC 5737)."""

NAME = "dualpix"


@dataclass(frozen=True)
class Meeting:
    """Where machines meet, and how few and how many may train together."""

    host: str
    port: int
    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def read_meeting(nodes: str, address: str) -> Meeting:
    """The meeting that two options name, such as "1:4" and "host:port". Raises `MachineError` if they name none."""
    least, colon, most = nodes.partition(":")
    counts = [int(text) if text.isascii() and text.isdigit() else 0 for text in (least, most if colon else least)]
    if not 1 <= counts[0] <= counts[1]:
        raise MachineError(
            f"{option('nodes', None)} is {nodes!r}; give the number of machines, such as 2, or the fewest and the most,"
            " such as 1:4."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise MachineError(
            f"{option('rendezvous', None)} is {address!r}; give the address of one of the machines and a free port"
            " there, such as 10.0.0.1:29400, the same on all of them."
        )
    return Meeting(host.strip("[]"), int(port), *counts)


@dataclass(frozen=True)
class Round:
    """Those that train together until one of them goes or another comes.

    number: counted from 1. nodes: what each machine says of itself, the one that leads first. own: the place of this
    machine among them.
    """

    number: int
    nodes: tuple[dict[str, Any], ...]
    own: int

    @property
    def processes(self) -> int:
        """How many there are on all machines."""
        return sum(int(node["processes"]) for node in self.nodes)

    @property
    def before(self) -> int:
        """How many there are on the machines before this one."""
        return sum(int(node["processes"]) for node in self.nodes[: self.own])


class Rendezvous:
    """This machine's side of the meeting. Raises `MachineError` where nobody answers."""

    def __init__(self, meeting: Meeting, name: str) -> None:
        logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
        # Or PyTorch 2.13 tells one that comes later nothing of the first round's store, and it waits in vain.
        os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
        self.meeting, self.name = meeting, name
        self.address = own_address(meeting)
        self.held = self._hold() if is_own(meeting.host) else None
        self._connect()

    def agree(self, facts: Mapping[str, str]) -> None:
        """Compare with what the first machine has said. Raises `MachineError` if something differs."""
        mine = json.dumps({"name": self.name, "facts": dict(facts)})
        first = parse_json(self.store.compare_set("facts", "", mine))
        if why := difference(facts, self.name, first["facts"], _clean(first["name"])):
            raise MachineError(why)

    def join(self, own: Mapping[str, Any]) -> Round:
        """Wait until enough machines are there; each says of itself what `own` is, with the `step` of its checkpoint.

        The one with the newest checkpoint leads. Raises `MachineError` if too few come, if nobody answers, or if
        another machine has ended the training.
        """
        deadline = time.monotonic() + JOINING_S
        while True:
            try:
                if not self._answers():
                    self._connect()
                return self._join(own)
            except RendezvousClosedError:
                raise MachineError(self._why_closed()) from None
            except RendezvousTimeoutError:
                raise MachineError(
                    f"No training of at least {self.meeting.least} machines came about at {self.meeting} within"
                    f" {JOINING_S} s; start the same command on the others, or let fewer be enough, as in"
                    f" {option('nodes', f'1:{self.meeting.most}')}."
                ) from None
            except (RendezvousError, RuntimeError) as error:
                if time.monotonic() > deadline:
                    raise self._unanswered(reason_of(error)) from error
                time.sleep(1.0)
                self._connect()

    def others_wait(self) -> bool:
        """Whether a machine wants to come in."""
        try:
            return self._answers() and bool(self.handler.num_nodes_waiting() > 0)
        except (RendezvousError, RuntimeError):
            return False  # those that are cut off from here are noticed by the processes themselves

    def close(self, reason: str = "") -> None:
        """Let nobody in any more; reason: a sentence for the others, if it is not that the training is over."""
        with suppress(RendezvousError, RuntimeError):
            if self._answers():
                self.store.compare_set("closed", "", reason or " ")
                self.handler.set_closed()

    def leave(self, reason: str) -> None:
        """Tell the others why this machine does not come again."""
        with suppress(RuntimeError):
            if self._answers():
                self.store.set(f"left {self.store.add('left', 1)}", reason)

    def left(self) -> list[str]:
        """Why machines have left, all so far."""
        with suppress(RuntimeError):
            count = self.store.add("left", 0) if self._answers() else 0
            return [_clean(self.store.get(f"left {number + 1}")) for number in range(count)]
        return []

    def is_closed(self) -> bool:
        """Whether nobody is let in any more."""
        return bool(self.handler.is_closed())

    def part(self, found: Round | None) -> None:
        """The machine that holds the store waits for the others of a round, which have something to read there."""
        with suppress(RuntimeError):
            if found is None or not self._answers():
                return
            self.store.set(f"done {found.number} {found.own}", "")
            if self.held is not None:
                others = [f"done {found.number} {place}" for place in range(len(found.nodes))]
                self.store.wait(others, timedelta(seconds=ANSWER_S))

    def _answers(self) -> bool:
        """Looked at before anything is asked: where a cable is cut, PyTorch would wait for a quarter of an hour."""
        try:
            socket.create_connection((self.meeting.host, self.meeting.port), PROBE_S).close()
        except OSError:
            return False
        return True

    def _hold(self) -> TCPStore | None:
        try:
            return TCPStore(self.meeting.host, self.meeting.port, is_master=True, wait_for_workers=False)
        except RuntimeError:
            return None  # held by another process of this machine, or by a program that will not answer

    def _connect(self) -> None:
        meeting = self.meeting
        _wait_for_answer(meeting)
        self.store: Store = PrefixStore(NAME, self._open())
        self.handler = DynamicRendezvousHandler.from_backend(
            NAME,
            self.store,
            C10dRendezvousBackend(self.store, NAME),
            meeting.least,
            meeting.most,
            self.address,
            RendezvousTimeout(timedelta(seconds=JOINING_S), timedelta(seconds=LAST_CALL_S)),
        )

    def _open(self) -> TCPStore:
        """In a thread, because to a program that listens and says nothing PyTorch would listen for ever."""
        found: list[TCPStore | RuntimeError] = []
        place, patience = (self.meeting.host, self.meeting.port), timedelta(seconds=ANSWER_S)

        def connect() -> None:
            try:
                found.append(TCPStore(*place, is_master=False, timeout=patience, wait_for_workers=False))
            except RuntimeError as error:
                found.append(error)

        thread = threading.Thread(target=connect, daemon=True)
        thread.start()
        thread.join(ANSWER_S)
        if not found:
            raise self._unanswered(f"it has said nothing for {ANSWER_S} s")
        if isinstance(found[0], RuntimeError):
            raise self._unanswered(reason_of(found[0])) from found[0]
        return found[0]

    def _join(self, own: Mapping[str, Any]) -> Round:
        info = self.handler.next_rendezvous()
        number = self.store.add("rounds", 1) if info.rank == 0 else 0
        mine = {"rank": info.rank, "address": self.address, "round": number, **own}
        info.store.set(f"node {info.rank}", json.dumps(mine))
        nodes = [parse_json(info.store.get(f"node {rank}")) for rank in range(info.world_size)]
        number = int(nodes[0]["round"])
        nodes.sort(key=lambda node: (-node["step"], node["rank"]))
        return Round(number, tuple(nodes), [node["rank"] for node in nodes].index(info.rank))

    def _why_closed(self) -> str:
        with suppress(RuntimeError):
            if self.store.check(["closed"]) and (why := _clean(self.store.get("closed"))):
                return why
        return f"The training that met at {self.meeting} is over; start it again at a place where nobody meets yet."

    def _unanswered(self, why: str) -> MachineError:
        return MachineError(
            f"Nothing that machines could meet at answers at {self.meeting} ({why}); the machine with this address has"
            " to run the same command, and the port must be free there and let through."
        )


def _wait_for_answer(meeting: Meeting) -> None:
    deadline = time.monotonic() + JOINING_S
    while True:
        try:
            socket.create_connection((meeting.host, meeting.port), PROBE_S).close()
            return
        except socket.gaierror as error:
            raise MachineError(
                f"The name {meeting.host!r} leads to no machine ({reason_of(error)}); give the address of one that"
                f" trains to {option('rendezvous', None)}."
            ) from error
        except OSError as error:
            if time.monotonic() > deadline:
                raise MachineError(
                    f"Nobody has answered at {meeting} for {JOINING_S} s ({error.strerror or reason_of(error)}); the"
                    " machine with this address has to run the same command."
                ) from error
        time.sleep(1.0)


def own_address(meeting: Meeting) -> str:
    """That by which this machine is seen from the meeting. Raises `MachineError` where there is no way to it."""
    try:
        own = seen_from(meeting.host, meeting.port)
    except socket.gaierror as error:
        raise MachineError(
            f"The name {meeting.host!r} leads to no machine ({reason_of(error)}); give the address of one that trains"
            f" to {option('rendezvous', None)}."
        ) from error
    except OSError as error:
        raise MachineError(
            f"There is no way from this machine to {meeting.host} ({error.strerror or reason_of(error)}); give an"
            f" address that all of them reach to {option('rendezvous', None)}."
        ) from error
    if own.startswith("127.") and not meeting.host.startswith(("127.", "localhost")):
        # Many systems lead a machine's own name to itself alone; the others see it by the address of its first way out.
        with suppress(OSError):
            return seen_from(ANYWHERE, meeting.port)
    return own


def seen_from(host: str, port: int) -> str:
    """This machine's address on its way to another. Raises OSError where there is none."""
    family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(place)  # which sends nothing
        return str(probe.getsockname()[0])


def is_own(host: str) -> bool:
    """Whether an address of that name is one of this machine's: only those can be bound to."""
    for family, kind, _, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
        with suppress(OSError), socket.socket(family, kind) as probe:
            probe.bind(place)
            return True
    return False


def _clean(text: bytes | str) -> str:
    return CONTROL.sub(" ", text.decode(errors="replace") if isinstance(text, bytes) else text).strip()

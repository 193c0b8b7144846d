"""Machines meet at an address: real stores on this machine, each side in a thread of its own."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from dualpix.errors import MachineError
from dualpix.training import rendezvous
from dualpix.training.launching import free_port
from dualpix.training.rendezvous import Meeting, Rendezvous, read_meeting


@pytest.fixture
def place() -> Callable[..., Meeting]:
    port = free_port()
    return lambda least=2, most=2: Meeting("127.0.0.1", port, least, most)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("JOINING_S", 2), ("LAST_CALL_S", 1), ("ANSWER_S", 2)):
        monkeypatch.setattr(rendezvous, name, seconds)


@contextmanager
def together(*actions: Callable[[], Any]) -> Iterator[list[Future[Any]]]:
    with ThreadPoolExecutor(len(actions)) as pool:
        yield [pool.submit(action) for action in actions]


def own(name: str, step: int, processes: int = 1) -> dict[str, Any]:
    return {"name": name, "step": step, "processes": processes, "port": 1}


def test_words_that_name_no_meeting() -> None:
    assert read_meeting("2", "10.0.0.1:29400") == Meeting("10.0.0.1", 29400, 2, 2)
    assert read_meeting("1:4", "[fd00::1]:29400") == Meeting("fd00::1", 29400, 1, 4)
    for nodes in ("", "0", "-1", "two", "3:2", "1:", "1:2:3", "²"):
        with pytest.raises(MachineError, match=r"nodes= is .*; give the number of machines, such as 2, or the"):
            read_meeting(nodes, "10.0.0.1:29400")
    for address in ("", "host", "host:", ":29400", "host:0", "host:99999", "host:x"):
        with pytest.raises(MachineError, match=r"rendezvous= is .*; give the address of one of the machines"):
            read_meeting("2", address)


def test_a_name_that_leads_nowhere() -> None:
    with pytest.raises(MachineError, match=r"The name 'no.such.host.invalid' leads to no machine"):
        Rendezvous(Meeting("no.such.host.invalid", 29400, 2, 2), "a")


def test_the_address_that_others_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one by which a machine's name leads to itself alone, as on Debian."""
    seen = {"127.0.0.1": "127.0.0.1", "node7": "127.0.1.1", rendezvous.ANYWHERE: "10.0.0.7", "10.0.0.1": "10.0.0.7"}
    monkeypatch.setattr(rendezvous, "seen_from", lambda host, port: seen[host])
    found = [rendezvous.own_address(Meeting(host, 1, 2, 2)) for host in ("127.0.0.1", "node7", "10.0.0.1")]
    assert found == ["127.0.0.1", "10.0.0.7", "10.0.0.7"]
    assert rendezvous.is_own("127.0.0.1") and not rendezvous.is_own(rendezvous.ANYWHERE)


@pytest.mark.usefixtures("quick")
def test_an_address_where_nobody_answers(monkeypatch: pytest.MonkeyPatch, place: Callable[..., Meeting]) -> None:
    monkeypatch.setattr(rendezvous, "is_own", lambda host: False)
    with pytest.raises(MachineError, match=r"Nobody has answered at 127.0.0.1:\d+ for 2 s \(Connection refused\); the"):
        Rendezvous(place(), "a")


@pytest.mark.usefixtures("quick")
def test_an_address_where_another_program_listens(place: Callable[..., Meeting]) -> None:
    listening = socket.create_server(("127.0.0.1", place().port))
    with listening, pytest.raises(MachineError, match=r"Nothing that machines could meet at answers at 127[.]0[.]0"):
        Rendezvous(place(), "a")


@pytest.mark.usefixtures("quick")
def test_too_few_that_come(place: Callable[..., Meeting]) -> None:
    with pytest.raises(
        MachineError, match=r"No training of at least 2 machines came about at 127[.]0[.]0[.]1:.* within 2 s; start"
    ):
        Rendezvous(place(), "a").join(own("a", -1))


def test_the_newest_checkpoint_leads(place: Callable[..., Meeting]) -> None:
    one, two = Rendezvous(place(), "a"), Rendezvous(place(), "b")
    with together(lambda: one.join(own("a", -1, 2)), lambda: two.join(own("b", 7, 3))) as joined:
        found = [future.result() for future in joined]
    assert [node["name"] for node in found[0].nodes] == [node["name"] for node in found[1].nodes] == ["b", "a"]
    assert [(one.own, one.before, one.processes, one.number) for one in found] == [(1, 3, 5, 1), (0, 0, 5, 1)]


def test_what_differs_is_told_before_anybody_is_disturbed(place: Callable[..., Meeting]) -> None:
    one, two = Rendezvous(place(), "a"), Rendezvous(place(), "b")
    one.agree({"version of dualpix": "1.0"})
    with pytest.raises(MachineError, match=r"The version of dualpix is 2.0 on b and 1.0 on a; make them the same on"):
        two.agree({"version of dualpix": "2.0"})
    two.agree({"version of dualpix": "1.0"})


@pytest.mark.slow  # a round of one machine waits half a minute for another
def test_one_that_comes_later_is_seen_and_joins(place: Callable[..., Meeting]) -> None:
    meeting = place(1, 2)
    one = Rendezvous(meeting, "a")
    assert [node["name"] for node in one.join(own("a", 0)).nodes] == ["a"]
    assert not one.others_wait()
    two = Rendezvous(meeting, "b")
    with together(lambda: two.join(own("b", 0))) as (joined,):
        while not one.others_wait():
            assert not joined.done()
        found = one.join(own("a", 20))
        assert found.number == joined.result().number == 2 and len(found.nodes) == 2


@pytest.mark.usefixtures("quick")
def test_why_others_have_gone(place: Callable[..., Meeting]) -> None:
    one, two = Rendezvous(place(), "a"), Rendezvous(place(), "b")
    one.leave("On a: the photographs\nare gone.")
    assert two.left() == ["On a: the photographs are gone."]
    one.close("On a: the disk is full.")
    with pytest.raises(MachineError, match=r"^On a: the disk is full.$"):
        two.join(own("b", 0))
    assert two.is_closed()


@pytest.mark.usefixtures("quick")
def test_a_training_that_is_over(place: Callable[..., Meeting]) -> None:
    one, two = Rendezvous(place(), "a"), Rendezvous(place(), "b")
    one.close()
    with pytest.raises(MachineError, match=r"The training that met at .* is over; start it again at a place"):
        two.join(own("b", 0))

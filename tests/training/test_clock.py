"""The clock counts what it is told to, and nothing twice."""

import time

import pytest

from dualpix.training.clock import PARTS, Clock


def test_every_part_has_the_time_of_its_blocks() -> None:
    clock = Clock()
    began = time.perf_counter()
    for part in (*PARTS, "feeding"):
        with clock.on(part):
            time.sleep(0.01)
    with pytest.raises(KeyError), clock.on("keeping"):
        time.sleep(0.01)
        raise KeyError("an error ends a block, too")
    spent = time.perf_counter() - began
    seconds = clock.read()
    assert tuple(seconds) == PARTS
    assert all(taken >= (0.02 if part in ("feeding", "keeping") else 0.01) for part, taken in seconds.items())
    assert sum(seconds.values()) <= spent
    assert clock.read() == dict.fromkeys(PARTS, 0.0)

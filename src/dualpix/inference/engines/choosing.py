"""Which engine `auto` takes: PyTorch, or OpenVINO where it is installed and was measured on this machine to be better.

Both compute the same picture in the same precision. OpenVINO takes a second to start, compiles for each size, and needs
several times the memory, so that large pictures are cut into more bands: being 1.4 times as fast on a small picture
became no gain at all at 11 megapixels. Hence OpenVINO is considered for large pictures only, and must be much faster.
"""

import importlib.util
import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from dualpix.errors import MachineError
from dualpix.inference import planning, rates
from dualpix.inference.engines import cache, openvino, pytorch
from dualpix.inference.rates import Timed, seconds_of
from dualpix.machine import modes
from dualpix.networks import Network

LEAST_PIXELS = 2_000_000
"""The smallest picture for which another engine is considered."""

LEAST_FREE_BYTES = 4_000_000_000
"""With less free memory, it would have to cut pictures into bands that PyTorch takes whole."""

LEAST_GAIN = 1.5
"""How many times as fast as PyTorch the other engine must be on a small picture, to be faster on a large one."""

SIDE_PX = 320
"""Width and height of the part of the bundled pair on which engines are measured."""

ROUNDS = 5
ENOUGH_S = 1.0  # of measuring; that can be fewer rounds, but not less than two
MOST_SPREAD = 1.2
"""Ratio of an engine's two shortest times above which other programs interfered, and the measurement is useless."""

Step = Callable[[], object]

NAMES = ("torch_s", "other_s", "start_s")


unmeasurable: set[str] = set()  # what this process could not measure


class Choice(NamedTuple):
    """Engine and precision; `gain`: how many times as fast as PyTorch OpenVINO was measured to be, None if not."""

    engine: str
    precision: str
    gain: float | None


def choose(network: Network, precision: str, device: str | torch.device, pixels: int) -> Choice:
    """Return the engine for a picture of so many pixels, and its precision.

    Measures what was not measured here before, in about a second; if the network was never converted for OpenVINO, in
    some seconds.
    """
    asked = planning.choose_device(device)
    if pixels < LEAST_PIXELS or precision not in ("auto", "fp32", "bf16") or not could_be_other(asked):
        return Choice("torch", precision, None)
    settled = pytorch.precision_of(network, precision, asked)[0]
    about = _about(network, settled)
    if str(about) in unmeasurable:
        return Choice("torch", precision, None)
    try:
        found = rates.remembered("engine", about, NAMES, lambda: measure(network, settled))
    except (MachineError, MemoryError):  # OpenVINO cannot run this network, or not now.
        unmeasurable.add(str(about))
        return Choice("torch", precision, None)
    gain = found["torch_s"] / found["other_s"]
    return Choice("openvino", settled, gain) if pays(found, pixels) else Choice("torch", precision, gain)


def could_be_other(device: torch.device) -> bool:
    """Whether there is a choice: OpenVINO is installed, there is enough memory, and `device` is the CPU."""
    if device.type != "cpu" or rates.switched_off() or importlib.util.find_spec("openvino") is None:
        return False
    try:
        modes.check_fork("openvino")
    except MachineError:
        return False
    return planning.free_bytes(device) >= LEAST_FREE_BYTES


def pays(found: dict[str, float], pixels: int) -> bool:
    """Whether OpenVINO is so much faster that it makes up for its start, by the seconds that `measure` returned."""
    saved = (found["torch_s"] - found["other_s"]) * pixels / SIDE_PX**2
    return found["torch_s"] >= LEAST_GAIN * found["other_s"] and saved > found["start_s"]


def recalled(network: Network, precision: str) -> float | None:
    """Return how many times as fast as PyTorch OpenVINO was measured to be; None if it was not measured yet."""
    settled = pytorch.precision_of(network, precision, torch.device("cpu"))[0]
    found = rates.recalled("engine", _about(network, settled), NAMES)
    return found["torch_s"] / found["other_s"] if found else None


def measure(network: Network, precision: str, timed: Timed = seconds_of) -> dict[str, float]:
    """Return the seconds that each engine takes for the same small picture, and that OpenVINO takes to start.

    Each is the least of several runs in turns. The start does not include converting, which is done once.
    """
    converted = openvino.OpenvinoRunner(network, precision, "cpu")  # puts it into the cache
    views = [view[:, :SIDE_PX, :SIDE_PX] for view in cache.bundled_views(converted.spec.views)]
    start = time.perf_counter()
    other = openvino.OpenvinoRunner(network, precision, "cpu")
    other(views)
    started = time.perf_counter() - start
    ours = pytorch.Runner(network, precision, "cpu")
    ours(views)
    return {**in_turns(lambda: ours(views), lambda: other(views), timed), "start_s": round(started, 4)}


def in_turns(ours: Step, other: Step, timed: Timed = seconds_of) -> dict[str, float]:
    """Return the least seconds of both.

    Raises:
        MachineError: They do not repeat, because the machine is busy; such a measurement is not kept.
    """
    spent: dict[str, list[float]] = {"torch_s": [], "other_s": []}
    for number in range(ROUNDS):
        if number > 1 and sum(map(sum, spent.values())) > ENOUGH_S:
            break
        for seconds, step in zip(spent.values(), (ours, other), strict=True):
            seconds.append(timed(step))
    if any(sorted(seconds)[1] > MOST_SPREAD * min(seconds) for seconds in spent.values()):
        raise MachineError("The machine is too busy to compare engines; try again later.")
    return {name: round(min(seconds), 5) for name, seconds in spent.items()}


def _about(network: Network, precision: str) -> dict[str, Any]:
    """What the seconds hold for: the name under which the converted network is kept depends on all versions."""
    return {"model": cache.place(cast(nn.Module, network), "fp32", ".xml").stem, "precision": precision}

"""Which nodes of a Ray cluster can take part in the work on many pairs: asked before any of it, each on itself."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dualpix import __version__
from dualpix.errors import DualpixError, MachineError, PictureError, shortened
from dualpix.inference.batch.jobs import PairJob
from dualpix.inference.batch.journal import NAME
from dualpix.inference.batch.ray_connection import proxies, restore_proxies
from dualpix.inference.batch.steps import open_weights
from dualpix.inference.batch.worker import Deblur
from dualpix.machine.storage import exists, told_as
from dualpix.machine.urls import Url, as_location

PATIENCE_S = 120
MISSED_S = 60
"""How long it may take until the cluster has missed a node that died."""


def usable_nodes(worker: Deblur, nodes: Sequence[dict[str, Any]], first: PairJob) -> list[dict[str, Any]]:
    """The nodes that are there: one that has died counts as alive until the cluster has missed it for a while.

    Raises MachineError, before any work, if a node cannot take part.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    looking: Any = ray.remote(num_cpus=0, max_retries=1)(look_around)
    journal, inputs = str(worker.folder / f"{NAME}.jsonl"), [str(path) for path in first.inputs]
    given = (__version__, os.getcwd(), journal, inputs, worker.weights, worker.sha256, proxies())
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    asked = [looking.options(scheduling_strategy=place).remote(*given) for place in places]
    usable = []
    for node, answer in zip(nodes, asked, strict=True):
        name = node["NodeManagerAddress"]
        try:
            problem = ray.get(answer, timeout=PATIENCE_S)
        except ray.exceptions.RayTaskError as error:
            raise MachineError(_cannot_start(name, error)) from error
        except ray.exceptions.GetTimeoutError as error:
            if not _is_alive(node):
                continue
            raise MachineError(f"The node {name} did not answer within {PATIENCE_S} s; take it out.") from error
        except ray.exceptions.RayError as error:  # its process died, perhaps with the node
            if _is_lost(node):
                continue
            raise MachineError(_cannot_start(name, error)) from error
        if problem:
            raise MachineError(f"The node {name} cannot take part: {problem}")
        usable.append(node)
    return usable


def _is_lost(node: Mapping[str, Any]) -> bool:
    """Whether the cluster misses a node, now or within MISSED_S."""
    until = time.monotonic() + MISSED_S
    while _is_alive(node):
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    return True


def _is_alive(node: Mapping[str, Any]) -> bool:
    import ray

    now: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return any(known["Alive"] for known in now if known["NodeID"] == node["NodeID"])


def _cannot_start(name: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if "Error" in line), lines[0] if lines else type(error).__name__)
    return (
        f"The node {name} cannot run dualpix {__version__} ({shortened(reason, 200)}); install the same version,"
        " with the extra `ray`, on every node."
    )


def look_around(
    version: str,
    folder: str,
    journal: str,
    inputs: Sequence[str],
    weights: str | Path | None,
    sha256: str | None,
    proxies: Mapping[str, str] | None = None,
) -> str:
    """Return why this process, on a node of a cluster, cannot take part; empty if it can.

    Args:
        version: Of dualpix, where the work is given out.
        folder: The current one there, from which relative paths start.
        journal: That of the run.
        inputs: Some, paths or URLs.
        weights: As `Deblur` has them.
        sha256: Of their file.
        proxies: Those of the process that gives out the work.
    """
    restore_proxies(proxies or {})
    if version != __version__:
        return f"it has dualpix {__version__}, and not {version}; install the same version on every node."
    with suppress(OSError):
        os.chdir(folder)
    try:
        for place in map(as_location, (journal, *inputs)):
            with told_as(PictureError):
                if exists(place):
                    continue
            if isinstance(place, Url):
                return f"it does not find {place}; look whether it is still there, and asks the same service here."
            return f"there is no {os.path.join(folder, place)}; give paths on a disk that all nodes share."
        there = open_weights(weights).sha256
    except DualpixError as error:
        return str(error)
    if there != sha256:
        return f"the weights {weights} are another file there; copy the same one to every node."
    return ""

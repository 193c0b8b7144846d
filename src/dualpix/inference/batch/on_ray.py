"""The work on many pairs, spread over a Ray cluster or all cores of this machine by Ray Data.

The driver lists and plans as a run in one process does; rows of paths go to workers (`worker.py`), each of which loads
the weights once, and rows of what became of them come back. Ray limits how many rows are under way, starts lost workers
again and gives their rows to others. Nothing of dualpix imports Ray unless this is used.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from dualpix.errors import DualpixError, MachineError, option, reason_of
from dualpix.inference.batch.jobs import PairJob
from dualpix.inference.batch.journal import Journal
from dualpix.inference.batch.ray_connection import (
    LOCAL,
    causes,
    connect,
    end_in_order,
    ending_in_order,
    proxies,
    restore_proxies,
    without_messages,
)
from dualpix.inference.batch.ray_nodes import usable_nodes
from dualpix.inference.batch.running import Report
from dualpix.inference.batch.steps import Step
from dualpix.inference.batch.worker import Deblur, told_again
from dualpix.inference.batch.worker_journals import last_made
from dualpix.inference.planning import COMFORT_BYTES, parse_memory
from dualpix.machine.files import name_in_any_locale
from dualpix.machine.storage import mark_of
from dualpix.machine.urls import Location, Url

BATCH_BYTES, MOST_ROWS, MOST_BATCHES = 64e6, 32, 10_000
"""A batch has as many pairs as their files hold so many bytes: one of large pictures, but no more rows than that."""

LOOK_AT = 100
"""Pairs of whose files the sizes are looked at."""

STARTS = 3
"""For each worker, how many in a row may die as they start."""


class Share(NamedTuple):
    """What one worker takes of a node: cores, which are its threads too, GPUs, and bytes of memory."""

    cpus: float
    gpus: float
    memory: int


class Cluster:
    """A Ray cluster that this process is connected to; a context, which leaves it, and ends one that it started.

    Args:
        address: "local" starts Ray on this machine, for this run alone; "auto" finds the cluster that this machine
            belongs to; or HOST:PORT of its head.
        cpus: Cores, and threads, of each worker; None for 1, as several networks in one thread each need
            no waiting for each other's threads.
        gpus: GPUs of each worker, such as 0.5 for two to a card; None for 1 where there are any and the device allows.

    Raises:
        MachineError: Ray is not installed, no cluster is there, it runs other versions, or nothing of it is large
            enough for one worker.
    """

    def __init__(self, address: str = LOCAL, cpus: float | None = None, gpus: float | None = None) -> None:
        self.address, self.cpus, self.gpus = address, cpus, gpus
        if (cpus is not None and not cpus > 0) or (gpus is not None and gpus < 0):
            raise MachineError(
                f"A worker cannot take {cpus} cores and {gpus} GPUs; give {option('worker-cpus', 1)} or more, and"
                f" {option('worker-gpus', 0)} or more."
            )

    def __enter__(self) -> "Cluster":
        with ExitStack() as until_left:
            until_left.enter_context(ending_in_order())
            connect(self.address)
            until_left.enter_context(without_messages())
            end_in_order()  # once more, since Ray has replaced it
            until_left.callback(self.leave)
            self._until_left = until_left.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._until_left.close()

    def leave(self) -> None:
        """Leave the cluster, which then ends the workers; nothing if this was left before."""
        import ray

        ray.shutdown()

    def work(self, worker: Deblur, steps: Sequence[Step], journal: Journal, report: Report) -> None:
        """Do the steps, which are not none; for `run_jobs`, with `worker` given before.

        Raises:
            MachineError: A node cannot take part, or the cluster ended.
            DualpixError: What concerns all pairs, such as weights that cannot be used.
        """
        import ray

        known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        nodes = [node for node in known if node["Alive"] and node["Resources"].get("CPU")]
        share = self._share(worker, nodes)
        if not any(_places(node, share) for node in nodes):
            raise MachineError(_too_small(share, nodes))
        worker.threads = max(1, round(share.cpus)) if worker.threads is None else worker.threads
        journal.share()
        nodes = usable_nodes(worker, nodes, steps[0].job)
        count = sum(_places(node, share) for node in nodes)
        if not count:
            raise MachineError("The nodes on which a worker fits were lost before the work began; start them again.")
        untold = {name_in_any_locale(step.job.place): step.job for step in steps}
        try:
            with _as_sentences():
                for job, line in _outcomes(worker, steps, share, count):
                    del untold[name_in_any_locale(job.place)]
                    report(told_again(job, line))
        finally:
            self.leave()  # so that the workers' journals are free
            if untold and journal.regain():  # batches that were cut off, some of whose pictures are there
                for name, line in last_made(worker.folder, untold).items():
                    report(told_again(untold[name], {**line, "state": "made"}))

    def _share(self, worker: Deblur, nodes: Sequence[dict[str, Any]]) -> Share:
        options = worker.options
        memory = COMFORT_BYTES if options.memory is None else parse_memory(options.memory)
        largest = max((int(node["Resources"].get("memory", 0)) for node in nodes), default=0)
        gpus = self.gpus
        if gpus is None:
            wanted = str(options.device).startswith(("auto", "cuda"))
            gpus = float(wanted and any(node["Resources"].get("GPU") for node in nodes))
        return Share(self.cpus or 1, gpus, min(memory, largest))


def _places(node: dict[str, Any], share: Share) -> int:
    """How many workers fit a node."""
    has = node["Resources"]
    fits = [has.get(name, 0) // needs for name, needs in _resources(share).items() if needs]
    return int(min(fits))


def _resources(share: Share) -> dict[str, float]:
    return {"CPU": share.cpus, "GPU": share.gpus, "memory": share.memory}


def _too_small(share: Share, nodes: Sequence[dict[str, Any]]) -> str:
    most = max((node["Resources"].get("CPU", 0) for node in nodes), default=0)
    gpus = max((node["Resources"].get("GPU", 0) for node in nodes), default=0)
    return (
        f"No node of the cluster has the {share.cpus:g} cores and {share.gpus:g} GPUs that a worker takes; the largest"
        f" has {most:g} cores and {gpus:g} GPUs: give smaller {option('worker-cpus', None)} or"
        f" {option('worker-gpus', None)}."
    )


class _Actor:
    """A `Deblur` in a process of Ray's that is its own."""

    def __init__(self, worker: Deblur, folder: str, proxies: Mapping[str, str]) -> None:
        restore_proxies(proxies)
        os.chdir(folder)  # so that relative paths mean the same as where the work was given out
        self.worker = worker

    def __call__(self, rows: dict[str, Any]) -> dict[str, list[Any]]:
        made = self.worker({name: values.tolist() for name, values in rows.items()})
        return {name: made[name] for name in ("id", "report")}


def _outcomes(
    worker: Deblur, steps: Sequence[Step], share: Share, count: int
) -> Iterator[tuple[PairJob, dict[str, Any]]]:
    """Each job with the line of its report, as they are done."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_consecutive_actor_init_deaths = STARTS * count  # a node that dies takes those that start on it along
    batch = _rows_of_a_batch(steps, count)
    jobs = {str(number): step.job for number, step in enumerate(steps)}
    rows = ray.data.from_items(
        [_row(number, step) for number, step in enumerate(steps)],
        override_num_blocks=max(1, min(MOST_BATCHES, -(-len(steps) // batch))),
    )
    made = rows.map_batches(
        _Actor,
        fn_constructor_args=(worker, os.getcwd(), proxies()),
        batch_size=batch,
        num_cpus=share.cpus,
        num_gpus=share.gpus,
        memory=share.memory,
        compute=ray.data.ActorPoolStrategy(
            min_size=1,
            max_size=count,
            initial_size=min(count, -(-len(steps) // batch)),
            max_tasks_in_flight_per_actor=2,
        ),
    )
    for done in made.iter_batches(batch_size=None, prefetch_batches=0):
        for number, line in zip(done["id"], done["report"], strict=True):
            if (job := jobs.pop(number, None)) is not None:
                yield job, json.loads(line)
    if jobs:
        raise MachineError(f"Ray lost {len(jobs)} pairs; {option('resume')} goes on.")


def _row(number: int, step: Step) -> dict[str, str]:
    job = step.job
    right = "" if job.right is None else str(job.right)
    return {"id": str(number), "left": str(job.left), "right": right, "output": job.place, "action": step.action}


def _rows_of_a_batch(steps: Sequence[Step], workers: int) -> int:
    """As many as hold BATCH_BYTES, so that little is lost with a worker; and enough batches for all workers."""
    seen = steps[:: max(1, len(steps) // LOOK_AT)]
    sizes = [sum(_size(path) for path in step.job.inputs) for step in seen]
    fits = BATCH_BYTES / max(1, sum(sizes) / len(sizes))
    return max(1, min(int(fits), MOST_ROWS, -(-len(steps) // (4 * workers))))


def _size(path: Location) -> int:
    try:
        if isinstance(path, Url):
            mark = mark_of(path)
            return 0 if mark is None else mark.size
        return path.stat().st_size
    except OSError:  # which the worker will report
        return 0


@contextmanager
def _as_sentences() -> Iterator[None]:
    """What ends the whole work, as one sentence."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        for cause in causes(error):
            if isinstance(cause, DualpixError):
                raise cause from error
        raise MachineError(f"The work on the cluster ended: {reason_of(error)}; {option('resume')} goes on.") from error

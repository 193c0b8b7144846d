"""Do the work on a folder: while one picture is computed, the next one is read and the last one written."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dualpix.errors import DualpixError, PictureError, option, ran_out_of_memory, reason_of, told
from dualpix.inference.batch.jobs import PairJob, Shard
from dualpix.inference.batch.journal import History, Journal, fingerprint, read_journals, stamp
from dualpix.inference.deblur import Deblurred, open_network
from dualpix.inference.options import DeblurOptions
from dualpix.inference.pipeline import Inherited, deblur_views, load_pair, save_result, size_in_file
from dualpix.inference.selective import check_network
from dualpix.machine.files import name_in_any_locale
from dualpix.pairs import Views
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import Checkpoint


class Step(NamedTuple):
    """What is to be done for a job; `why` says why it is done again, or cannot be done."""

    job: PairJob
    action: Literal["make", "redo", "keep", "fail"]
    why: str = ""


@dataclass(frozen=True)
class Weights:
    """An opened checkpoint, and the hash of its file."""

    opened: Checkpoint
    sha256: str


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Args:
        job: The job.
        state: "kept" if it was finished before.
        error: One sentence; empty if nothing failed.
        warnings: One sentence each.
        details: About the picture: width, height, depth, seconds, bands, scales, precision, device, weights and their
            hash, and what `RunReport.as_json` gives.
        worked: Whether any work was needed to find out.
    """

    job: PairJob
    state: Literal["made", "kept", "failed"]
    error: str = ""
    warnings: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    worked: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        job = self.job
        return {
            "state": self.state,
            "output": name_in_any_locale(str(job.output)),
            "left": name_in_any_locale(str(job.left)),
            "right": None if job.right is None else name_in_any_locale(str(job.right)),
            **self.details,
            "warnings": list(self.warnings),
            "error": self.error or None,
        }


Report = Callable[[Outcome], None]


def open_weights(path_or_name: str | Path | None = None) -> Weights:
    """Open a checkpoint file, or shipped weights by name; None takes the default ones.

    Raises:
        CheckpointError: The weights cannot be used.
    """
    opened = checkpoint.load(path_or_name or checkpoint.DEFAULT_WEIGHTS)
    return Weights(opened, hashlib.sha256(opened.path.read_bytes()).hexdigest())


def plan_jobs(
    jobs: Sequence[PairJob], weights: Weights, options: DeblurOptions, *, resume: bool = False, overwrite: bool = False
) -> list[Step]:
    """Return what is to be done for each job, without writing anything.

    Args:
        jobs: Of one output folder.
        weights: They and the options decide whether a finished picture still holds.
        options: As for `run_jobs`.
        resume: Keep what the journals call finished, if its input files (size, time, fingerprint), weights and options
            are the same, and the output is as it was left; make everything else.
        overwrite: Replace files that no run has made.

    Raises:
        PictureError: Outputs exist and neither is given.
    """
    histories = read_journals(jobs[0].folder) if jobs and resume else {}
    steps = [
        _decide(job, histories.get(name_in_any_locale(job.place), History()), weights, options, resume, overwrite)
        for job in jobs
    ]
    there = [step.job for step in steps if step.action == "fail" and not step.why]
    if there:
        raise PictureError(
            f"{there[0].folder} holds {len(there)} of the {len(jobs)} pictures already, such as {there[0].place}; "
            f"give {option('resume')} to go on with an earlier run, {option('overwrite')} to make all again, or another"
            " folder."
        )
    return steps


def _decide(
    job: PairJob, history: History, weights: Weights, options: DeblurOptions, resume: bool, overwrite: bool
) -> Step:
    if job.problem:
        return Step(job, "fail", job.problem)
    there = stamp(job.output)
    if there is None:
        return Step(job, "make")
    if resume and (_signature(job, weights, options), there) in history.made:
        return Step(job, "keep")
    if resume and history.started:
        return Step(job, "redo", "it may not have been finished")
    if resume and any(there == made for _, made in history.made):
        return Step(job, "redo", "its views, the weights or the options have changed")
    if overwrite:
        return Step(job, "redo", "all is to be replaced")
    if not resume:
        return Step(job, "fail")
    foreign = f"{job.output} was not made by this command, or was changed since"
    return Step(job, "fail", told(f"{foreign}; move it away, or give {option('overwrite')} to replace it."))


def _signature(job: PairJob, weights: Weights, options: DeblurOptions) -> str:
    """A hash of all that a finished picture depends on."""
    inputs = [(name_in_any_locale(path.name), stamp(path), fingerprint(path)) for path in job.inputs]
    return hashlib.sha256(json.dumps([inputs, weights.sha256, options.shaping()]).encode()).hexdigest()


def run_jobs(
    jobs: Sequence[PairJob],
    weights: Weights,
    options: DeblurOptions,
    report: Report,
    *,
    shard: Shard | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Make what `plan_jobs` says.

    While one picture is computed the next is read and the last one written, so a few pictures are in memory at a time,
    however many there are; with a limit (`options.memory`) one after the other. If interrupted, it finishes what is
    being written, gives up the rest, and raises KeyboardInterrupt.

    Args:
        jobs: Of one output folder.
        weights: Of the network.
        options: How pictures are made.
        report: Called with the outcome of each job, first of those that need no work.
        shard: Which part of the work `jobs` are.
        resume: As in `plan_jobs`.
        overwrite: As in `plan_jobs`.

    Raises:
        PictureError: As `plan_jobs` does, and if the folder cannot be used or another run is at work in it.
        JournalError: The journal cannot be written any more.
    """
    check_network(open_network(weights.opened), options)
    plan_jobs(jobs, weights, options, resume=resume, overwrite=overwrite)
    if not jobs:
        return
    with Journal(jobs[0].folder, shard or Shard(), {job.output.parent for job in jobs}) as journal:
        # Again, since another run may have ended only now.
        steps = plan_jobs(jobs, weights, options, resume=resume, overwrite=overwrite)
        for step in steps:
            if step.action == "fail":
                report(Outcome(step.job, "failed", step.why, worked=False))
            elif step.action == "keep":
                report(Outcome(step.job, "kept", worked=False))
        bench = _Bench(weights, options, journal)
        _work([step for step in steps if step.action in ("make", "redo")], bench, report)


@dataclass(frozen=True)
class _Made:
    """A picture on its way: what was read and computed so far, or why that failed."""

    signature: str = ""
    views: Views | None = None
    inherited: Inherited | None = None
    done: Deblurred | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    error: str = ""


def _work(steps: Sequence[Step], bench: "_Bench", report: Report) -> None:
    overlap = bench.options.memory is None
    ahead: list[Future[_Made]] = []
    behind: list[Future[Outcome]] = []

    def settle() -> None:
        outcomes = [future.result() for future in behind]
        behind.clear()
        for outcome in outcomes:
            report(outcome)

    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        try:
            for number, step in enumerate(steps):
                ahead = ahead or [reader.submit(bench.read, step)]
                made = ahead.pop().result()
                if overlap:
                    ahead = [reader.submit(bench.read, one) for one in steps[number + 1 : number + 2]]
                made = bench.compute(step, made)
                settle()
                behind.append(writer.submit(bench.finish, step, made))
                del made  # only the writer needs it now, and frees it after writing
                if not overlap:
                    settle()
        finally:
            settle()


class _Bench:
    """What is done to one picture: read, computed and finished, each in a thread of its own.

    An error concerns that picture alone; only a journal that cannot be written ends everything.
    """

    def __init__(self, weights: Weights, options: DeblurOptions, journal: Journal) -> None:
        self.weights, self.options, self.journal = weights, options, journal

    def read(self, step: Step) -> _Made:
        start = time.perf_counter()
        signature = _signature(step.job, self.weights, self.options)  # before reading, so that later changes are seen
        try:
            job, again = step.job, step.action == "redo"
            job.output.parent.mkdir(parents=True, exist_ok=True)
            opened = self.weights.opened
            views, inherited = load_pair(job.output, job.left, job.right, opened, self.options, overwrite=again)
        except Exception as error:
            return _Made(signature, error=_sentence(error))
        return _Made(signature, views, inherited, seconds={"read": time.perf_counter() - start})

    def compute(self, step: Step, made: _Made) -> _Made:
        if made.views is None:
            return made
        start = time.perf_counter()
        try:
            options = replace(self.options, mask=step.job.mask)
            done = deblur_views(made.views, self.weights.opened, options)
        except Exception as error:
            return _Made(made.signature, error=_sentence(error))
        # The views are not needed any more; only the picture is to be written.
        return replace(made, views=None, done=done, seconds={**made.seconds, "deblur": time.perf_counter() - start})

    def finish(self, step: Step, made: _Made) -> Outcome:
        job, start = step.job, time.perf_counter()
        entry: dict[str, Any] = {"output": name_in_any_locale(job.place), "signature": made.signature}
        outcome = Outcome(job, "failed", made.error)
        if made.inherited is not None and made.done is not None:
            self.journal.append({"state": "started", **entry})
            try:
                outcome = self._write(step, made.done, made.inherited)
                seconds = {**made.seconds, "write": time.perf_counter() - start}
                outcome.details["seconds"] = {name: round(value, 4) for name, value in seconds.items()}
                entry["file"] = stamp(job.output)
            except Exception as error:
                outcome = Outcome(job, "failed", _sentence(error))
        self.journal.append({**outcome.as_json(), **entry})
        return outcome

    def _write(self, step: Step, done: Deblurred, inherited: Inherited) -> Outcome:
        lost = save_result(step.job.output, done.picture, inherited, overwrite=step.action == "redo")
        plan = done.plan
        width, height = size_in_file(step.job.output, done.picture, inherited)
        details = {
            "width": width,
            "height": height,
            "depth": inherited.depth,
            "bands": len(plan.bands),
            "scales": [f"1/{step}" if step > 1 else "1" for step in plan.scales],
            "precision": plan.precision,
            "device": plan.device,
            "weights": self.weights.opened.path.stem,
            "weights_sha256": self.weights.sha256,
        }
        warnings = [*done.warnings, *lost]
        if done.report is not None:
            details |= done.report.as_json()
            warnings += [str(done.report)] if done.report.advice else []
        return Outcome(step.job, "made", warnings=tuple(warnings), details=details)


def _sentence(error: Exception) -> str:
    if isinstance(error, DualpixError):
        return str(error)
    if ran_out_of_memory(error):
        return told(f"The memory ran out; free some, or give {option('memory', None)}.")
    if isinstance(error, OSError):
        return f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
    return f"This is a mistake in dualpix, please report it: {type(error).__name__}: {reason_of(error)}."

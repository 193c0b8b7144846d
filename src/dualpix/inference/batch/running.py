"""Do the work on a folder: while one picture is computed, the next one is read and the last one written."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dualpix.errors import (
    DualpixError,
    MachineError,
    device_failed,
    machine_fault,
    option,
    ran_out_of_memory,
    reason_of,
    told,
)
from dualpix.inference.batch.jobs import PairJob, Shard
from dualpix.inference.batch.journal import Journal, Seen, stamp
from dualpix.inference.batch.part_journal import AnyJournal, open_journal
from dualpix.inference.batch.steps import Step, Weights, look_at_inputs, plan_jobs, sign, sign_map
from dualpix.inference.batch.worker_journals import gather, shared_folder
from dualpix.inference.deblur import Deblurred
from dualpix.inference.maps import WITH_PICTURE, FoundMaps, Maps, encode_maps, find_maps
from dualpix.inference.optics import Optics
from dualpix.inference.options import DeblurOptions
from dualpix.inference.pipeline import Inherited, deblur_views, encode_result, load_pair, size_in_file
from dualpix.io import check_output
from dualpix.io.writing import make_folder, write_encoded
from dualpix.machine.files import name_in_any_locale, remove_leftovers
from dualpix.machine.modes import settled
from dualpix.machine.storage import Mark
from dualpix.machine.urls import Location
from dualpix.pairs import Views


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Args:
        job: The job.
        state: "kept" if it was finished before.
        error: One sentence; empty if nothing failed.
        warnings: One sentence each.
        details: About the picture: width, height, depth, seconds, bands, scales, precision, device, weights and their
            hash, what `RunReport.as_json` gives, and the files of its maps by kind.
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


_GO_ON = f"What was made stays, and {option('resume')} makes the rest."

Report = Callable[[Outcome], None]
Work = Callable[[Sequence[Step], Journal, Report], None]
"""Who does the steps of a run, keeps a journal of them, and reports each."""


def run_jobs(
    jobs: Sequence[PairJob],
    weights: Weights,
    options: DeblurOptions,
    report: Report,
    *,
    shard: Shard | None = None,
    resume: bool = False,
    overwrite: bool = False,
    work: Work | None = None,
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
        work: Who does it, such as `on_ray.Cluster.work`, for results of this disk; None for this process.

    Raises:
        PictureError: As `plan_jobs` does, and if the folder cannot be used or another run is at work in it.
        JournalError: The journal cannot be written any more.
        MachineError: The device failed. No job is called failed for that, and with `resume` the rest is made.
    """
    plan_jobs(jobs, weights, options, resume=resume, overwrite=overwrite)
    if not jobs:
        return
    if work is not None:
        shared_folder(jobs[0].folder)
    folders = {path.parent for job in jobs for path in job.outputs if isinstance(path, Path)}
    with open_journal(jobs[0].folder, shard or Shard(), folders) as journal:
        for folder in {path.parent for path in jobs[0].maps.places.values() if isinstance(path, Path)}:
            make_folder(folder)
        gather(journal)
        # Again, since another run may have ended only now.
        steps = plan_jobs(jobs, weights, options, resume=resume, overwrite=overwrite)
        for step in steps:
            if step.action == "fail":
                report(Outcome(step.job, "failed", step.why, worked=False))
            elif step.action == "keep":
                report(Outcome(step.job, "kept", worked=False))
        to_do = [step for step in steps if step.action in ("make", "redo", "map")]
        journal.expect([name_in_any_locale(step.job.place) for step in to_do])
        try:
            if work is None or not isinstance(journal, Journal):
                work_through(to_do, Bench(weights, options, journal), report)
            elif to_do:
                work(to_do, journal, report)
        finally:
            gather(journal)
            if work is not None:
                for folder in folders:  # workers are killed in whatever they do
                    remove_leftovers(folder)


@dataclass(frozen=True)
class Made:
    """A picture on its way: what was read and computed so far, or why that failed."""

    signature: str = ""
    inputs_sha256: str = ""
    views: Views | None = None
    inherited: Inherited | None = None
    optics: Optics | None = None
    done: Deblurred | None = None
    maps: FoundMaps = field(default_factory=FoundMaps)
    seconds: dict[str, float] = field(default_factory=dict)
    error: str = ""


def work_through(steps: Sequence[Step], bench: "Bench", report: Report) -> None:
    """Do all steps: while one picture is computed, the next one is read and the last one written."""
    overlap = bench.options.memory is None
    ahead: list[Future[Made]] = []
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


class Bench:
    """What is done to one picture: read, computed and finished, each in a thread of its own.

    An error concerns that picture alone; only a journal that cannot be written, or a device that failed, ends it all.
    """

    goes_on_without_device = False

    def __init__(self, weights: Weights, options: DeblurOptions, journal: AnyJournal) -> None:
        self.weights, self.options, self.journal = weights, options, journal

    def read(self, step: Step) -> Made:
        """Read the views of a step, and find out whether its files can be written."""
        start = time.perf_counter()
        job, again = step.job, step.action != "make"
        signature = ""
        try:
            inputs = look_at_inputs(job)  # before reading, so that later changes are seen
            signature = sign(job, self.weights, self.options, inputs)
            for path in job.outputs:
                if isinstance(path, Path):
                    path.parent.mkdir(parents=True, exist_ok=True)
            for path in job.maps.places.values():
                check_output(path, again, job.inputs)
            opened = self.weights.opened
            views, inherited = load_pair(job.output, job.left, job.right, opened, self.options, overwrite=again)
            optics = job.maps.optics_of(views)
        except Exception as error:
            return Made(signature, error=_sentence(error))
        sha256 = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
        return Made(signature, sha256, views, inherited, optics, seconds={"read": time.perf_counter() - start})

    def compute(self, step: Step, made: Made) -> Made:
        """Compute the picture and its maps."""
        if made.views is None:
            return made
        start, seconds, opened, done = time.perf_counter(), dict(made.seconds), self.weights.opened, None
        try:
            if _is_sharp(step):
                done = deblur_views(made.views, opened, replace(self.options, mask=step.job.mask))
                seconds["deblur"] = time.perf_counter() - start
            maps = find_maps(_maps(step), made.views, opened, self.options, made.optics, done)
            if step.job.maps:
                seconds["maps"] = time.perf_counter() - start - seconds.get("deblur", 0)
        except Exception as error:
            if device_failed(error) and not self.goes_on_without_device:  # in this process all others would fail too
                raise MachineError(f"{_sentence(error)} {_GO_ON}") from error
            return Made(made.signature, error=_sentence(error))
        # The views are not needed any more; only what was made of them is to be written.
        return replace(made, views=None, done=done, maps=maps, seconds=seconds)

    def finish(self, step: Step, made: Made) -> Outcome:
        """Write what was made, with the lines of the journal around it; say what became of it."""
        job, start = step.job, time.perf_counter()
        entry: dict[str, Any] = {"output": name_in_any_locale(job.place), "signature": made.signature}
        outcome = Outcome(job, "failed", made.error)
        if made.inherited is not None and not made.error:
            self.journal.append({"state": "started", **entry})
            try:
                outcome, marks = self._write(step, made, made.inherited)
                seconds = {**made.seconds, "write": time.perf_counter() - start}
                outcome.details["seconds"] = {name: round(value, 4) for name, value in seconds.items()}
                entry |= _written(step, made.signature, marks)
            except Exception as error:
                outcome = Outcome(job, "failed", _sentence(error))
        self.journal.append({**outcome.as_json(), **entry})
        return outcome

    @settled()
    def _write(self, step: Step, made: Made, inherited: Inherited) -> tuple[Outcome, dict[Location, Mark]]:
        """Write the picture and its maps: all of them or none. The outcome, and the marks of objects elsewhere."""
        again, done, output = step.action != "make", made.done, step.job.output
        files = encode_maps(_maps(step), made.maps, inherited.metadata, overwrite=again)
        data, lost = (None, []) if done is None else encode_result(output, done.picture, inherited, overwrite=again)
        together = [(file.path, file.data) for file in files.values()]
        marks = write_encoded([*([(output, data)] if data is not None else []), *together], again)
        details: dict[str, Any] = {
            "inputs_sha256": made.inputs_sha256,
            "weights": self.weights.opened.path.stem,
            "weights_sha256": self.weights.sha256,
        }
        warnings = [*([] if done is None else done.warnings), *lost, *made.maps.warnings]
        if done is not None:
            details = _details(output, done, inherited) | details
            if done.report is not None:
                details |= done.report.as_json()
                warnings += [str(done.report)] if done.report.advice else []
        if files:
            details["maps"] = {kind: name_in_any_locale(str(file.path)) for kind, file in files.items()}
        return Outcome(step.job, "made", warnings=tuple(dict.fromkeys(warnings)), details=details), marks


def _is_sharp(step: Step) -> bool:
    """Whether the picture itself is to be made."""
    return step.job.sharp and step.action != "map"


def _maps(step: Step) -> Maps:
    """The maps to be made; some come only of making the picture."""
    return step.job.maps.without(*WITH_PICTURE) if step.action == "map" else step.job.maps


def _written(step: Step, signature: str, marks: dict[Location, Mark]) -> dict[str, Any]:
    """What the journal keeps of the files that were written."""

    def seen(path: Location) -> Seen | None:
        return marks.get(path) or stamp(path)

    places = _maps(step).places
    maps = {kind: {"signature": sign_map(step.job, kind, signature), "file": seen(places[kind])} for kind in places}
    own = {"state": "mapped"} if step.action == "map" else {"file": seen(step.job.output)}
    return own | ({"written_maps": maps} if maps else {})


def _details(output: Location, done: Deblurred, inherited: Inherited) -> dict[str, Any]:
    width, height = size_in_file(output, done.picture, inherited)
    return {
        "width": width,
        "height": height,
        "depth": inherited.depth,
        "bands": len(done.plan.bands),
        "scales": [f"1/{step}" if step > 1 else "1" for step in done.plan.scales],
        "precision": done.plan.precision,
        "device": done.plan.device,
    }


def _sentence(error: Exception) -> str:
    if isinstance(error, DualpixError):
        return str(error)
    if ran_out_of_memory(error):
        return told(f"The memory ran out; free some, or give {option('memory', None)}.")
    if fault := machine_fault(error):
        return fault
    if isinstance(error, OSError):
        return f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
    return f"This is a mistake in dualpix, please report it: {type(error).__name__}: {reason_of(error)}."

"""What is to be done in a folder: for each job, whether its files are there and still hold."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from dualpix.errors import PictureError, option, told
from dualpix.inference.batch.jobs import PairJob
from dualpix.inference.batch.journal import History, Seen, fingerprint, read_journals, stamp
from dualpix.inference.deblur import open_network
from dualpix.inference.maps import WITH_PICTURE
from dualpix.inference.options import DeblurOptions
from dualpix.inference.selective import check_network
from dualpix.machine.files import name_in_any_locale
from dualpix.machine.storage import Marks, told_as
from dualpix.machine.urls import Location, Url
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import Checkpoint

MAPS_ONLY = "maps only"

Look: TypeAlias = Callable[[Location], Seen | None]

State = Literal["absent", "holds", "changed", "foreign"]


class Step(NamedTuple):
    """What is to be done for a job: all, all again, the maps alone, nothing, or nothing can.

    `why` says why it is done again, or cannot be done.
    """

    job: PairJob
    action: Literal["make", "redo", "map", "keep", "fail"]
    why: str = ""


@dataclass(frozen=True)
class Weights:
    """An opened checkpoint, and the hash of its file."""

    opened: Checkpoint
    sha256: str


def open_weights(path_or_name: str | Path | None = None) -> Weights:
    """Open a checkpoint file, or shipped weights by name; None takes the default ones.

    Raises:
        CheckpointError: The weights cannot be used.
    """
    opened = checkpoint.load(path_or_name or checkpoint.DEFAULT_WEIGHTS)
    return Weights(opened, hashlib.sha256(opened.path.read_bytes()).hexdigest())


def plan_jobs(
    jobs: Sequence[PairJob],
    weights: Weights,
    options: DeblurOptions,
    *,
    resume: bool = False,
    overwrite: bool = False,
    histories: Mapping[str, History] | None = None,
) -> list[Step]:
    """Return what is to be done for each job, without writing anything.

    Args:
        jobs: Of one output folder.
        weights: They and the options decide whether a finished picture still holds.
        options: As for `run_jobs`.
        resume: Keep what the journals call finished, if its input files (size, time, fingerprint), weights and options
            are the same, and the files are as they were left; make everything else. Where only maps are missing, the
            picture stays.
        overwrite: Replace files that no run has made.
        histories: What the journals say, where that was read before.

    Raises:
        CheckpointError: The weights do not give what the options or the maps need.
        PictureError: Outputs exist and neither is given, or a server does not answer.
    """
    check_network(open_network(weights.opened), options)
    for job in jobs[:1]:
        job.maps.check_network(weights.opened)
    with told_as(PictureError):
        if histories is None:
            histories = read_journals(jobs[0].folder) if jobs and resume else {}
        look = _looking(jobs, resume)
        decide = partial(_decide, weights=weights, options=options, resume=resume, overwrite=overwrite, look=look)
        steps = [decide(job, histories.get(name_in_any_locale(job.place), History())) for job in jobs]
    there = [step.job for step in steps if step.action == "fail" and not step.why]
    if there:
        raise PictureError(_already(there, len(jobs), look))
    return steps


def _looking(jobs: Sequence[PairJob], resume: bool) -> Look:
    """`stamp`, with the folders of objects listed once: a request for each object would take hours for a million."""
    paths = (path for job in jobs for path in (*job.outputs, *(job.inputs if resume else ())))
    marks = Marks(path for path in paths if isinstance(path, Url))
    return lambda path: marks.of(path) if isinstance(path, Url) else stamp(path)


def _already(there: list[PairJob], total: int, look: Look) -> str:
    job = next((job for job in there if look(job.output)), None)
    if job is None:
        return (
            f"{next(path for path in there[0].outputs if look(path))} exists already; give {option('resume')} to go on"
            f" with an earlier run, {option('overwrite')} to make all again, or another folder."
        )
    return (
        f"{job.folder} holds {len(there)} of the {total} pictures already, such as {job.place}; give"
        f" {option('resume')} to go on with an earlier run, {option('overwrite')} to make all again, or another folder."
    )


def _decide(
    job: PairJob,
    history: History,
    weights: Weights,
    options: DeblurOptions,
    resume: bool,
    overwrite: bool,
    look: Look,
) -> Step:
    if job.problem:
        return Step(job, "fail", job.problem)
    if not any(look(path) for path in job.outputs):
        return Step(job, "make")
    if not resume:
        return Step(job, "redo", "all is to be replaced") if overwrite else Step(job, "fail")
    states = _states(job, history, weights, options, look)
    if set(states.values()) == {"holds"}:
        return Step(job, "keep")
    foreign = [path for path, state in states.items() if state == "foreign"]
    if foreign and not history.started and not overwrite:
        why = f"{foreign[0]} was not made by this command, or was changed since"
        return Step(job, "fail", told(f"{why}; move it away, or give {option('overwrite')} to replace it."))
    together = [job.output, *(path for kind, path in job.maps.places.items() if kind in WITH_PICTURE)]
    if job.sharp and all(states[path] == "holds" for path in together):
        return Step(job, "map", "its maps are not all there, or have changed")
    if history.started:
        return Step(job, "redo", "it may not have been finished")
    if "changed" in states.values():
        return Step(job, "redo", "its views, the weights or the options have changed")
    return Step(job, "redo", "all is to be replaced" if foreign else "not all of it is there")


def _states(
    job: PairJob, history: History, weights: Weights, options: DeblurOptions, look: Look
) -> dict[Location | None, State]:
    """Whether each file of a job is there, and what the journals know of it."""
    signature = sign(job, weights, options, look_at_inputs(job, look))
    states: dict[Location | None, State] = {}
    if job.sharp:
        states[job.output] = _state(look(job.output), signature, history.made)
    for kind, path in job.maps.places.items():
        made = {(signed, file) for other, signed, file in history.maps if other == kind}
        states[path] = _state(look(path), sign_map(job, kind, signature), made)
    return states


def _state(there: Seen | None, signature: str, made: set[tuple[str, Seen]]) -> State:
    if there is None:
        return "absent"
    if (signature, there) in made:
        return "holds"
    return "changed" if any(there == file for _, file in made) else "foreign"


Inputs: TypeAlias = list[tuple[str, Seen | None, str | None]]
"""Name of each input, and by what one sees that it has not changed."""


def look_at_inputs(job: PairJob, look: Look = stamp) -> Inputs:
    """By what one sees that the inputs of a job have not changed. Raises OSError if a server does not answer."""
    return [(name_in_any_locale(path.name), look(path), fingerprint(path)) for path in job.inputs]


def sign(job: PairJob, weights: Weights, options: DeblurOptions, inputs: Inputs) -> str:
    """A hash of all that a finished picture depends on."""
    known = [inputs, weights.sha256, options.shaping(), *([] if job.sharp else [MAPS_ONLY])]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def sign_map(job: PairJob, kind: str, signature: str) -> str:
    """A hash of all that a finished map depends on, by the `signature` of its picture."""
    optics = sorted((name, value) for name, value in job.maps.optics.items() if value is not None)
    known = [signature, kind, *([optics] if kind == "metres" else [])]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()

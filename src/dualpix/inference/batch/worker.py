"""One process's part in the work on many pairs, for any engine that spreads work: columns in, columns out.

Nothing here knows of an engine. `Deblur` is pickled, sent to processes, and called there with a batch of rows; Ray
Data, Dask, Daft, Spark and `concurrent.futures` all can do that (docs/scale.md). Paths travel, and never pixels: Ray's
own reader of pictures gives 8 bits, and rows that hold pictures fill the memory in which engines keep rows.
"""

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from dualpix import __version__
from dualpix.errors import CheckpointError, PictureError, current_spelling, option, spelled_as, told
from dualpix.inference.batch.jobs import PairJob, with_mask
from dualpix.inference.batch.journal import History, read_journals
from dualpix.inference.batch.running import Bench, Made, Outcome, work_through
from dualpix.inference.batch.steps import Step, Weights, open_weights, plan_jobs
from dualpix.inference.batch.worker_journals import WorkerJournal, last_made, shared_folder, unfinished_tries
from dualpix.inference.maps import Maps
from dualpix.inference.options import DeblurOptions, Keywords, options_of
from dualpix.machine.files import name_in_any_locale
from dualpix.machine.storage import exists, told_as
from dualpix.machine.urls import Location, as_location

MOST_DEATHS = 3
"""After so many processes died of a pair it counts as failed."""

MOST_LOADED = 4
"""Different workers that one process keeps loaded."""

AGAIN = ("redo", "map")
"""Actions that are done whatever is there."""

COMMON = ("state", "output", "left", "right", "warnings", "error")
"""Fields of a report's line that are no details of the picture."""


class Deblur:
    """Deblur pairs in whichever process this is called: made once, pickled, called with batches of rows.

    Weights are loaded by the first call in a process, and once there, however often this is unpickled. What is written,
    under which names, and the lines of the journal are those of `dualpix deblur FOLDER`: every process writes a journal
    of its own into the output folder, so that a picture that was finished is kept, whoever is killed, and a run of the
    command that resumes can go on as well. A pair that fails is a row, never an exception; a pair of which three
    processes died in a row too.

    Args:
        weights: A name or a file, which must be there wherever this is called; None takes the default ones.
        folder: The output folder, which all processes share; no URL.
        overwrite: Replace files that no run has made.
        threads: Threads that compute; None leaves that to PyTorch. Give it if several processes share a machine.
        sha256: That of the weights' file; others are refused.
        maps: The folders of maps to be written too.
        sharp: Make the pictures; if not, only the maps are made.
        options: As in `dualpix.deblur`.
        **keywords: Fields of `DeblurOptions`, one by one.

    Raises:
        PictureError: The folder is a URL.
        DualpixError: As `DeblurOptions` does.

    Example:
        >>> worker = Deblur(folder="sharp", threads=1)
        >>> made = worker({"id": ["0"], "left": ["left.png"], "right": ["right.png"], "output": ["a.png"]})
        >>> made["state"], made["output"], made["error"]
        (['made'], ['sharp/a.png'], [''])
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        folder: str | Location,
        overwrite: bool = False,
        threads: int | None = None,
        sha256: str | None = None,
        maps: Maps | None = None,
        sharp: bool = True,
        options: DeblurOptions | None = None,
        **keywords: Unpack[Keywords],
    ) -> None:
        self.weights, self.folder, self.overwrite, self.threads = weights, shared_folder(folder), overwrite, threads
        self.sha256, self.maps, self.sharp = sha256, maps or Maps(), sharp
        self.options = options_of(options or DeblurOptions(software=f"dualpix {__version__}"), keywords)
        self.maps.check_options(self.options, sharp)
        self._spelling = current_spelling()
        self._token = os.urandom(16)

    def __call__(self, columns: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
        """Deblur a batch.

        Args:
            columns: Equally long, such as lists, arrays or a data frame. `left` and `right` are paths or URLs of the
                views, the second empty or None where the first holds both; `output` is where the picture lies in the
                folder, with an ending; `id` is whatever you know the pair by. Other columns are ignored.

        Returns:
            Columns of the same length and order: `id`; `output`, the path of the picture; `state` (made, kept, failed);
            `seconds` of work; `weights_sha256`; `error`, a sentence, empty if nothing failed; and `report`, the line of
            a report as text.

        Raises:
            CheckpointError: The weights cannot be used, which concerns all pairs.
            PictureError: The folder cannot be used.
            JournalError: The journal cannot be written any more.
        """
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        with spelled_as(self._spelling):
            done = _loaded(self).run(rows)
        lines = [outcome.as_json() for outcome in done]
        return {
            "id": [row.get("id") for row in rows],
            "output": [str(outcome.job.output) for outcome in done],
            "state": [outcome.state for outcome in done],
            "seconds": [float(sum(line.get("seconds", {}).values())) for line in lines],
            "weights_sha256": [line.get("weights_sha256", "") for line in lines],
            "error": [outcome.error for outcome in done],
            "report": [json.dumps(line) for line in lines],
        }

    def job_of(self, row: Mapping[str, Any]) -> PairJob:
        """The picture to make of a row."""
        place, right = os.path.normpath(str(row["output"])), row.get("right")
        leads_out = os.path.isabs(place) or place.split(os.sep)[0] in ("..", ".", "")
        problem = f"The output {place} must be a name inside {self.folder}." if leads_out else ""
        maps = self.maps.inside(place)
        job = PairJob(
            as_location(str(row["left"])),
            as_location(right) if isinstance(right, str) and right else None,  # data frames have NaN where nothing is
            self.folder,
            Path(place).as_posix(),
            problem,
            maps=maps,
            sharp=self.sharp,
        )
        return with_mask(job, self.options.mask)

    @property
    def token(self) -> bytes:
        """What this and its copies in other processes have in common."""
        return self._token


class _Watched(Bench):
    """Leaves a trace of each pair that is begun, in case that the process dies of it."""

    goes_on_without_device = True  # whoever gave out the rows wants an outcome of each

    def __init__(self, weights: Weights, options: DeblurOptions, journal: WorkerJournal) -> None:
        super().__init__(weights, options, journal)
        self._traces = journal

    def read(self, step: Step) -> Made:
        self._traces.note_try(name_in_any_locale(step.job.place))
        return super().read(step)


class _Loaded:
    """What a process keeps of a `Deblur`: its weights, its journal, and what died before."""

    def __init__(self, asked: Deblur) -> None:
        self.asked, self.lock, self.process = asked, threading.Lock(), os.getpid()
        if asked.threads is not None:
            import torch

            torch.set_num_threads(asked.threads)
        self.weights = open_weights(asked.weights)
        if asked.sha256 not in (None, self.weights.sha256):
            raise CheckpointError(
                f"The weights {self.weights.opened.path} are others here than where the work was given out; copy the"
                " same file to every node."
            )
        self.journal = WorkerJournal(asked.folder)
        self.deaths: Counter[str] = unfinished_tries(asked.folder)
        self.bench = _Watched(self.weights, asked.options, self.journal)
        self.histories: dict[str, History] | None = None

    def run(self, rows: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        with self.lock:  # one network, and its threads, for one batch at a time
            jobs = [self.asked.job_of(row) for row in rows]
            actions = [str(row.get("action", "")) for row in rows]
            found: dict[str, Outcome] = {}
            to_do: list[Step] = []
            for step in self._plan(jobs, actions):
                if step.action == "fail":
                    found[step.job.place] = Outcome(step.job, "failed", step.why, worked=False)
                elif step.action == "keep":
                    found[step.job.place] = Outcome(step.job, "kept", worked=False)
                else:
                    to_do.append(step)
            self._work(to_do, found)
            asked_for = {job.place for job, action in zip(jobs, actions, strict=True) if action}
            self._tell_of_lost_rows(found, asked_for)
            return [found[job.place] for job in jobs]

    def _plan(self, jobs: Sequence[PairJob], actions: Sequence[str]) -> list[Step]:
        """What is to be done. Rows can come twice, since engines repeat what a lost process may have finished."""
        given = [Step(job, action) for job, action in zip(jobs, actions, strict=True) if action in AGAIN]  # type: ignore[arg-type]
        open_jobs = [job for job, action in zip(jobs, actions, strict=True) if action not in AGAIN]
        steps = [self._plan_by_journals(job) for job in open_jobs]
        failing = [step.action == "fail" and not step.job.problem for step in steps]
        if any(failing):
            self.histories = None  # made since they were read
        again = zip(steps, failing, strict=True)
        return given + [self._plan_by_journals(step.job) if fails else step for step, fails in again]

    def _plan_by_journals(self, job: PairJob) -> Step:
        """Alone: a server that does not answer costs no other pairs, and no folder of objects is listed for a few."""
        asked = self.asked
        try:
            with told_as(PictureError):
                if self.histories is None and any(map(exists, job.outputs)):
                    self.histories = read_journals(asked.folder)
                (step,) = plan_jobs(
                    [job],
                    self.weights,
                    asked.options,
                    resume=True,
                    overwrite=asked.overwrite,
                    histories=self.histories or {},
                )
        except PictureError as error:
            return Step(job, "fail", str(error))
        return step

    def _work(self, steps: Sequence[Step], found: dict[str, Outcome]) -> None:
        """Those of which a process may have died are run alone, so that no others get the blame."""

        def report(outcome: Outcome) -> None:
            found[outcome.job.place] = outcome

        deaths = {step.job.place: self.deaths[name_in_any_locale(step.job.place)] for step in steps}
        work_through([step for step in steps if not deaths[step.job.place]], self.bench, report)
        for step in steps:
            if deaths[step.job.place] >= MOST_DEATHS:
                report(self._give_up(step, deaths[step.job.place]))
            elif deaths[step.job.place]:
                work_through([step], self.bench, report)

    def _give_up(self, step: Step, deaths: int) -> Outcome:
        why = f"{deaths} processes died of this pair; try it alone, with less memory ({option('memory', None)})."
        outcome = Outcome(step.job, "failed", told(why))
        self.journal.append({**outcome.as_json(), "output": name_in_any_locale(step.job.place)})
        return outcome

    def _tell_of_lost_rows(self, found: dict[str, Outcome], asked_for: set[str]) -> None:
        """Rows of pictures that a lost process made in this run, and did not tell of: as it would have."""
        lost = {
            name_in_any_locale(place): place
            for place, outcome in found.items()
            if outcome.state == "kept" and place in asked_for
        }
        if not lost:
            return
        for name, line in last_made(self.asked.folder, lost).items():
            found[lost[name]] = told_again(found[lost[name]].job, {**line, "state": "made"})


def told_again(job: PairJob, line: Mapping[str, Any]) -> Outcome:
    """The outcome whose `as_json` is `line`, or that a journal's line tells of."""
    written_by_journals = ("signature", "file", "written_maps")
    details = {name: value for name, value in line.items() if name not in (*COMMON, *written_by_journals)}
    return Outcome(job, line["state"], line.get("error") or "", tuple(line.get("warnings", ())), details)


_kept: dict[bytes, _Loaded] = {}
_keeping = threading.Lock()


def _loaded(asked: Deblur) -> _Loaded:
    """What this process has loaded for `asked` and its copies."""
    with _keeping:
        loaded = _kept.pop(asked.token, None)
        if loaded is None or loaded.process != os.getpid():  # a forked process needs a journal of its own
            loaded = _Loaded(asked)
        _kept[asked.token] = loaded
        while len(_kept) > MOST_LOADED:
            _kept.pop(next(iter(_kept))).journal.close()
        return loaded


def _after_fork() -> None:
    global _keeping
    _keeping = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

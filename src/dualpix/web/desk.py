"""The desk: takes jobs in, has them done by threads of its own, keeps what came out for a while."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from dualpix.checkpoint import Checkpoint
from dualpix.errors import DualpixError, MachineError
from dualpix.finishing import Choices
from dualpix.web import work
from dualpix.web.refusals import Limits, Refusal

CHECKING, READY, WAITING, RUNNING, DONE, FAILED = "checking", "ready", "waiting", "running", "done", "failed"
ACTIVE = (CHECKING, WAITING, RUNNING)
GONE = "There is no such job: it never was, was deleted, or has expired; upload the views again."


def refusal_of(error: Exception, folder: Path) -> Refusal:
    """What to answer when work on a job in `folder` raised `error`."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, MachineError):
        return Refusal(503, work.told(error, folder))
    if isinstance(error, DualpixError):
        return Refusal(422, work.told(error, folder))
    if isinstance(error, MemoryError):
        return Refusal(503, "The memory ran out; use smaller views.")
    if isinstance(error, FileNotFoundError):
        return Refusal(404, GONE)
    if isinstance(error, OSError):
        return Refusal(503, f"A file of the server cannot be used: {error.strerror or error}.")
    return Refusal(500, f"Something went wrong that should not have ({type(error).__name__}); please report it.")


class Stopped(Exception):
    """The user does not want it any more."""


@dataclass(eq=False)
class Job:
    """One pair of views. `version` counts what changed its pictures, so that browsers fetch them anew; `failure` is
    the status and sentence of what went wrong; `used_s` is when it was last asked for, on the monotonic clock."""

    id: str
    order: work.Order
    state: str = CHECKING
    version: int = 1
    done: int = 0
    total: int = 0
    began_s: float = 0.0
    seconds: float = 0.0
    checked: work.Checked | None = None
    notes: tuple[str, ...] = ()
    plan: str | None = None
    failure: Refusal | None = None
    used_s: float = field(default_factory=time.monotonic)
    wants_start: bool = False
    wants_stop: bool = False
    is_removed: bool = False

    def as_json(self) -> dict[str, Any]:
        """What GET /api/jobs/{id} tells."""
        running = self.state == RUNNING
        return {
            "id": self.id,
            "state": self.state,
            "version": self.version,
            "swap": self.order.swap,
            "bands_done": self.done,
            "bands": self.total,
            "seconds": round(time.monotonic() - self.began_s if running else self.seconds, 1),
            "check": self.checked and self.checked.found,
            "notes": list(self.notes),
            "plan": self.plan,
            "status": self.failure.status if self.failure else 200,
            "error": self.failure.sentence if self.failure else None,
        }


class Desk:
    """All jobs of one server. Two threads work: one deblurs, the other checks new pairs and writes downloads, so that
    neither waits for a long deblurring. Methods may be called from any thread."""

    def __init__(
        self,
        root: Path,
        checkpoint: Checkpoint,
        memory: str | None = None,
        limits: Limits | None = None,
        *,
        engine: str = "auto",
        precision: str = "auto",
    ) -> None:
        self.limits = limits or Limits()
        self._root, self._checkpoint = root, checkpoint
        self._choices = Choices(memory=memory, engine=engine, precision=precision, anyway=True)
        self._jobs: dict[str, Job] = {}
        self._uploading = 0
        self._lock = threading.RLock()
        self._quick = ThreadPoolExecutor(1, "dualpix-quick")
        self._slow = ThreadPoolExecutor(1, "dualpix-slow")
        self._futures: list[Future[Any]] = []

    @contextmanager
    def admit(self) -> Iterator[Path]:
        """Hold a place while an upload arrives; gives a folder for it, which is removed unless a job keeps it.

        Raises Refusal: 429 if too much is going on, 503 if the disk is nearly full.
        """
        with self._lock:
            active = self._uploading + sum(job.state in ACTIVE for job in self._jobs.values())
            if active >= self.limits.active_jobs:
                what = f"{active} pairs are being worked on, which is the most at once"
                raise Refusal(429, f"{what}; try again when one is done.", retry_s=10)
            if shutil.disk_usage(self._root).free < self.limits.free_disk_bytes + self.limits.body_bytes:
                raise Refusal(503, "The disk of the server is nearly full; free some of it.", retry_s=60)
            self._uploading += 1
        folder = Path(tempfile.mkdtemp(dir=self._root))
        try:
            yield folder
        finally:
            with self._lock:
                self._uploading -= 1
                if all(job.order.folder != folder for job in self._jobs.values()):
                    shutil.rmtree(folder, ignore_errors=True)

    def add(self, order: work.Order, start: bool) -> Job:
        """Take in a pair whose files are in place; it is checked, and then deblurred if `start`."""
        job = Job(token_urlsafe(18), replace(order, megapixels=self.limits.megapixels), wants_start=start)
        with self._lock:
            self._jobs[job.id] = job
        self._submit(self._quick, self._check, job)
        return job

    def find(self, name: str) -> Job:
        """The job of that id. Raises Refusal 404."""
        self.expire()
        with self._lock:
            job = self._jobs.get(name)
            if job is None:
                raise Refusal(404, GONE)
            job.used_s = time.monotonic()
            return job

    def swap(self, job: Job) -> None:
        """Exchange the views and check again; a result is forgotten. Raises Refusal 409 while it is worked on."""
        with self._lock:
            self._require(job, READY, DONE)
            job.order = replace(job.order, swap=not job.order.swap)
            job.state, job.version, job.failure = CHECKING, job.version + 1, None
        self._submit(self._quick, self._check, job)

    def start(self, job: Job) -> None:
        """Deblur. Raises Refusal 409 unless it was checked and is at rest, 429 if too much is going on."""
        with self._lock:
            self._require(job, READY, DONE)
            if sum(other.state in ACTIVE for other in self._jobs.values()) >= self.limits.active_jobs:
                raise Refusal(429, "Too many pairs are being worked on; try again when one is done.", retry_s=10)
            self._line_up(job)

    def stop(self, job: Job) -> None:
        """Stop deblurring, between two bands at the latest. Does nothing if it is not being deblurred."""
        with self._lock:
            job.wants_stop = job.state in (WAITING, RUNNING)
            if job.state == WAITING:
                job.state = READY

    def remove(self, job: Job) -> None:
        """Forget a job and its files; if it is being worked on, as soon as that stops."""
        with self._lock:
            self._jobs.pop(job.id, None)
            job.is_removed = job.wants_stop = True
            if job.state not in (CHECKING, RUNNING):
                shutil.rmtree(job.order.folder, ignore_errors=True)

    def render(self, job: Job, suffix: str, depth: int, strength: float) -> Future[Path]:
        """Have the result written as a file. Raises Refusal 409 if there is none."""
        with self._lock:
            self._require(job, DONE)
            assert job.checked is not None
        return self._submit(self._quick, work.render, job.order, job.checked, suffix, depth, strength)

    def expire(self) -> None:
        """Remove what nobody has asked for in `kept_s`, and the longest unused beyond `kept_jobs`."""
        with self._lock:
            idle = sorted((job for job in self._jobs.values() if job.state not in ACTIVE), key=lambda job: job.used_s)
            surplus = len(self._jobs) - self.limits.kept_jobs
            for number, job in enumerate(idle):
                if number < surplus or time.monotonic() - job.used_s > self.limits.kept_s:
                    self.remove(job)

    def close(self, patience_s: float = 5.0) -> bool:
        """Stop everything. Returns whether all threads came to rest within `patience_s`."""
        with self._lock:
            for job in list(self._jobs.values()):
                self.remove(job)
        for lane in (self._quick, self._slow):
            lane.shutdown(wait=False, cancel_futures=True)
        running = [future for future in self._futures if future.running()]
        return not wait(running, patience_s).not_done

    def _require(self, job: Job, *states: str) -> None:
        if job.state == FAILED and job.failure:
            raise job.failure
        if job.state not in states:
            raise Refusal(409, f"This pair is {job.state}, and for this it must be {' or '.join(states)}.")

    def _submit(self, lane: ThreadPoolExecutor, call: Callable[..., Any], *arguments: object) -> Future[Any]:
        with self._lock:
            self._futures = [future for future in self._futures if not future.done()]
            self._futures.append(lane.submit(call, *arguments))
            return self._futures[-1]

    def _line_up(self, job: Job) -> None:
        job.state, job.wants_stop, job.wants_start, job.failure = WAITING, False, False, None
        job.done = job.total = 0
        self._submit(self._slow, self._deblur, job)

    def _check(self, job: Job) -> None:
        def run() -> str:
            if job.is_removed:
                raise Stopped
            job.checked = work.check(job.order, self._checkpoint)
            job.notes = tuple(job.checked.found["notes"])
            return READY

        self._do(job, run)
        with self._lock:
            if job.wants_start and job.state == READY and not job.is_removed:
                self._line_up(job)

    def _deblur(self, job: Job) -> None:
        deadline_s = time.monotonic() + self.limits.work_s

        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total
            if job.wants_stop:
                raise Stopped
            if time.monotonic() > deadline_s:
                minutes = f"{self.limits.work_s / 60:g} minutes"
                raise Refusal(504, f"Deblurring took longer than the {minutes} that are allowed; use smaller views.")

        def run() -> str:
            job.plan, job.notes = work.deblur(job.order, self._checkpoint, self._choices, progress)
            job.version += 1
            return DONE

        with self._lock:
            if job.state != WAITING or job.wants_stop:
                return  # Stopped before its turn came.
            job.state, job.began_s = RUNNING, time.monotonic()
        self._do(job, run)

    def _do(self, job: Job, run: Callable[[], str]) -> None:
        """Run one piece of work; whatever comes out of it, the thread lives on and the job says what happened."""
        began_s = time.monotonic()
        state, failure = FAILED, None
        try:
            state = run()
        except Stopped:
            state = READY
        except Exception as error:
            failure = refusal_of(error, job.order.folder)
        with self._lock:
            job.state, job.failure = state, failure
            job.seconds = time.monotonic() - began_s
            job.used_s = time.monotonic()
            if job.is_removed:
                shutil.rmtree(job.order.folder, ignore_errors=True)

"""All jobs of a server: accepted, worked on, and their results kept for a while."""

import math
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe

from dualpix.inference.options import DeblurOptions
from dualpix.web import pipeline
from dualpix.web.counters import Counters, Labels
from dualpix.web.http_errors import USUAL_RETRY_S, HttpError, stopping
from dualpix.web.job import ACTIVE, CHECKING, DONE, FAILED, GONE, READY, RUNNING, STATES, WAITING, Job, too_slow
from dualpix.web.limits import Limits
from dualpix.web.maps import FOUND, REFINED
from dualpix.web.planes import PLANES, PLANES_PICTURE
from dualpix.web.refocusing import SCENE
from dualpix.web.space import Space
from dualpix.web.workers import Make, Workers
from dualpix.weights.checkpoint import Checkpoint

HANDED_BACK = "The server stopped before this pair was done; send it again."


class Jobs:
    """All jobs of one server. Methods can be called from any thread."""

    def __init__(
        self,
        root: Path,
        checkpoint: Checkpoint,
        options: DeblurOptions | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.counters = Counters()
        self.is_stopping = False
        self.root = root
        self._jobs: dict[str, Job] = {}
        self._space = Space(root, self.limits.free_disk_bytes)
        self._numbers = 0
        self._lock = threading.RLock()
        self.checkpoint = checkpoint
        self.options = replace(options or DeblurOptions(), force=True)
        self.workers = Workers(self._lock, checkpoint, self.options, self.limits, self._space, self.counters)
        self._files: list[Future[Path]] = []

    # ---- uploading, finding and removing

    @contextmanager
    def admit(self, size: int | None = 0) -> Iterator[Path]:
        """Reserve a place while an upload arrives; a context with a folder for it, removed unless a job keeps it.

        Args:
            size: Bytes of the upload; None if unknown.

        Raises:
            HttpError: 429 if too many jobs are active or wait to be fetched, 503 if the disk is nearly full.
        """
        self.expire()
        with self._lock:
            self._require_place(more=1)
            kept = len(self._space.uploads) + sum(
                job.state in ACTIVE or job.waits_to_be_fetched for job in self._jobs.values()
            )
            if kept >= self.limits.kept_jobs:
                what = f"{kept} pairs are being worked on or wait to be fetched, which is the most that are kept"
                raise HttpError(429, f"{what}; fetch or delete one, or try again later.", self._place_in_s())
            self._space.require(size or 0)
            folder = Path(tempfile.mkdtemp(dir=self.root))
            self._space.uploads[folder] = size or 0
        try:
            yield folder
        finally:
            with self._lock:
                del self._space.uploads[folder]
                if all(job.upload.folder != folder for job in self._jobs.values()):
                    shutil.rmtree(folder, ignore_errors=True)

    def wrote(self, folder: Path, size: int) -> None:
        """Note that `size` bytes of an upload are about to be written. Raises HttpError 503 if the disk gets full."""
        with self._lock:
            self._space.use(folder, size)

    def add(self, upload: pipeline.Upload, start: bool) -> Job:
        """Add a job for a pair whose files are in place; it is checked, and then deblurred if `start`."""
        job = Job(token_urlsafe(18), replace(upload, megapixels=self.limits.megapixels))
        with self._lock:
            self._numbers += 1
            job.number = self._numbers
            self._jobs[job.id] = job
            self.workers.check(job, start)
        return job

    @contextmanager
    def admit_mask(self, job: Job, size: int | None) -> Iterator[Path]:
        """A context with a folder for a mask while it arrives, removed unless `keep_mask` takes what lies in it.

        Args:
            job: Whose mask it is.
            size: Bytes of the upload; None if unknown.

        Raises:
            HttpError: 409 if there is no result yet, 503 if the disk is nearly full.
        """
        with self._lock:
            self._require(job, DONE)
            self._space.require(size or 0)
            folder = Path(tempfile.mkdtemp(prefix="mask-", dir=job.upload.folder))
            self._space.uploads[folder] = size or 0
            job.holders += 1
        try:
            yield folder
        finally:
            with self._lock:
                del self._space.uploads[folder]
                job.holders -= 1
                if job.is_removed and not job.holders:
                    shutil.rmtree(job.upload.folder, ignore_errors=True)
                elif job.mask is None or job.mask.parent != folder:
                    shutil.rmtree(folder, ignore_errors=True)

    def keep_mask(self, job: Job, path: Path) -> None:
        """Make a file of `admit_mask` the mask of a job, and delete the one before."""
        with self._lock:
            before, job.mask = job.mask, path
            job.masks += 1
            if before is not None:
                shutil.rmtree(before.parent, ignore_errors=True)

    def find(self, name: str) -> Job:
        """Return the job of that id. Raises HttpError 404."""
        self.expire()
        with self._lock:
            job = self._jobs.get(name)
            if job is None:
                raise HttpError(404, GONE)
            job.used_s = time.monotonic()
            return job

    def all(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def remove(self, job: Job) -> None:
        """Delete a job and its files; if a thread uses them, as soon as it ends."""
        with self._lock:
            self._jobs.pop(job.id, None)
            job.is_removed = job.wants_stop = True
            job.ticket = None
            if not job.holders:
                shutil.rmtree(job.upload.folder, ignore_errors=True)

    def expire(self) -> None:
        """Remove jobs that have not been used for `kept_s`, and the longest unused of more than `kept_jobs`.

        Results that wait to be fetched only go after `kept_s`. Checks that take too long are given up.
        """
        now_s = time.monotonic()
        with self._lock:
            for job in self._jobs.values():
                if job.state == CHECKING and now_s > job.deadline_s:
                    job.ticket, job.state, job.failure = None, FAILED, too_slow("Reading", self.limits.check_s)
                    if job.turn:
                        job.turn.end()
            idle = [job for job in self._jobs.values() if job.state not in ACTIVE and not job.holders]
            surplus = len(self._jobs) - self.limits.kept_jobs
            for job in sorted(idle, key=lambda job: job.used_s):
                is_surplus = surplus > 0 and not job.waits_to_be_fetched
                if is_surplus or now_s - job.used_s > self.limits.kept_s:
                    self.remove(job)
                    surplus -= 1

    # ---- what users ask for

    def swap(self, job: Job) -> None:
        """Exchange the views and check again; a result is deleted.

        Raises:
            HttpError: 409 while the job is worked on, 429 if too many jobs are active.
        """
        with self._lock:
            self._require(job, READY, DONE)
            self._require_place()
            job.upload = replace(job.upload, swap=not job.upload.swap)
            job.version += 1
            job.forget(
                pipeline.RESULT, pipeline.AFTER, pipeline.LEFT, pipeline.RIGHT, pipeline.DISPARITY, pipeline.BEFORE
            )
            job.refocusable = None
            job.forget(PLANES, PLANES_PICTURE, SCENE, FOUND, REFINED)
            self.workers.check(job, start=False)

    def start(self, job: Job) -> None:
        """Deblur, after a check if there was none.

        Raises:
            HttpError: 409 while the job is worked on, 429 if too many jobs are active, and what failed before, unless
                that may succeed now.
        """
        with self._lock:
            if not (job.state == FAILED and job.failure and job.failure.may_pass):
                self._require(job, READY, DONE)
            self._require_place()
            if job.checked is None:
                self.workers.check(job, start=True)
            else:
                self.workers.deblur(job)

    def stop(self, job: Job) -> None:
        """Stop checking or deblurring, between two bands at the latest; does nothing if the job is not worked on."""
        with self._lock:
            if job.state == RUNNING:
                job.wants_stop = True
            elif job.state in (WAITING, CHECKING):
                job.ticket, job.wants_start, job.state = None, False, READY

    def render(self, job: Job, make: Make) -> Future[Path]:
        """Write a file of the result. Raises HttpError 409 if there is none, 429 if too many files are being made."""
        with self._lock:
            self._require(job, DONE)
            if self.files_under_way >= self.limits.active_jobs:
                raise HttpError(429, "Too many files are being made; try again in a moment.", USUAL_RETRY_S)
            future = self.workers.render(job, make)
            self._files.append(future)
            return future

    @property
    def files_under_way(self) -> int:
        """How many files with results are being made or wait for their turn."""
        with self._lock:
            self._files = [one for one in self._files if not one.done()]
            return len(self._files)

    def fetched(self, job: Job, version: int) -> None:
        """Note that the result of that version was sent completely."""
        with self._lock:
            job.fetched = job.fetched or job.version == version

    # ---- the end, and figures about all jobs

    def wind_up(self) -> None:
        """Accept nothing new; finish what runs, and end, with a sentence, what waits for its turn."""
        with self._lock:
            self.is_stopping = True
            for job in self._jobs.values():
                if job.state in (CHECKING, WAITING):
                    job.ticket, job.wants_start, job.state = None, False, FAILED
                    job.failure = HttpError(503, HANDED_BACK, USUAL_RETRY_S)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being worked on, and every result has been fetched."""
        with self._lock:
            busy = (job.state in ACTIVE or job.holders or job.waits_to_be_fetched for job in self._jobs.values())
            return not (self._space.uploads or any(busy))

    def close(self, patience_s: float = 5.0) -> bool:
        """Stop everything. Returns whether all threads ended within `patience_s`."""
        with self._lock:
            for job in self.all():
                self.remove(job)
        return self.workers.close(patience_s)

    def gauges(self) -> dict[str, dict[Labels, float]]:
        """Return current values, for `Counters.text`."""
        with self._lock:
            jobs = self.all()
            return {
                "dualpix_jobs": {(("state", state),): sum(job.state == state for job in jobs) for state in STATES},
                "dualpix_results_not_fetched": {(): sum(job.waits_to_be_fetched for job in jobs)},
                "dualpix_uploads": {(): len(self._space.uploads)},
                "dualpix_disk_free_bytes": {(): self._space.free_bytes},
            }

    def require_ready(self) -> None:
        """Raise HttpError 503 if an upload would be refused now: the server stops, or the disk is nearly full."""
        with self._lock:
            if self.is_stopping:
                raise stopping()
            self._space.require(0)

    # ---- inside

    def _require(self, job: Job, *states: str) -> None:
        if job.state == FAILED and job.failure:
            raise job.failure
        if job.state not in states:
            raise HttpError(409, f"This pair is {job.state}, and for this it must be {' or '.join(states)}.")

    def _require_place(self, more: int = 0) -> None:
        if self.is_stopping:
            raise stopping()
        active = len(self._space.uploads) + sum(job.state in ACTIVE for job in self._jobs.values())
        if active >= self.limits.active_jobs:
            what = f"{active} pairs are being worked on, which is the most at once"
            raise HttpError(429, f"{what}; try again when one is done.", self._turn_in_s())

    def _turn_in_s(self) -> int:
        """Seconds until one of the active jobs will be done, as far as its bands or earlier jobs show."""
        active = [job for job in self._jobs.values() if job.state in ACTIVE]
        for job in active:
            if job.state == RUNNING:
                spent_s = time.monotonic() - job.began_s
                if job.done:
                    return max(1, math.ceil(spent_s / job.done * (job.total - job.done)))
                if self.workers.pace_s is not None:
                    return max(1, math.ceil(self.workers.pace_s - spent_s))
        if active and self.workers.pace_s is not None:
            return max(1, math.ceil(self.workers.pace_s))
        return USUAL_RETRY_S

    def _place_in_s(self) -> int:
        """Seconds until the first of the results that wait to be fetched will have been kept long enough."""
        waiting = [job.used_s for job in self._jobs.values() if job.waits_to_be_fetched]
        if not waiting:
            return self._turn_in_s()
        return max(1, math.ceil(min(waiting) + self.limits.kept_s - time.monotonic()))

"""The threads that do the work: one deblurs, another checks new pairs and writes downloads.

So neither of these waits for a long deblurring.
"""

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from dualpix.inference.options import DeblurOptions
from dualpix.web import pipeline
from dualpix.web.counters import Counters
from dualpix.web.http_errors import HttpError
from dualpix.web.job import (
    CHANGED,
    CHECKING,
    DONE,
    FAILED,
    GONE,
    READY,
    RUNNING,
    WAITING,
    Job,
    Stopped,
    Turn,
    http_error_of,
    too_slow,
)
from dualpix.web.limits import Limits
from dualpix.web.planes import PLANES, PLANES_PICTURE
from dualpix.web.refocusing import SCENE
from dualpix.web.space import Space
from dualpix.weights.checkpoint import Checkpoint

Make: TypeAlias = Callable[[pipeline.Upload, pipeline.Checked], Path]
"""Writes a file with the result of a job, and returns its path."""

MOST_STUCK = 3
"""So many threads can be occupied by checks that were given up and do not end, before other checks have to wait."""

RESULT_BYTES_A_PIXEL = 28
"""Bytes on the disk: a result as float32 has 12, the picture to look at less than 8, the disparity less than 4 for
parts and 4 to refocus by."""


class Workers:
    """Methods that change a job are called with `lock` held, which is the one of the server."""

    def __init__(
        self,
        lock: "threading.RLock",
        checkpoint: Checkpoint,
        options: DeblurOptions,
        limits: Limits,
        space: Space,
        counters: Counters,
    ) -> None:
        self.pace_s: float | None = None
        self.slow = ThreadPoolExecutor(1, "dualpix-slow")
        self._quick = ThreadPoolExecutor(1 + MOST_STUCK, "dualpix-quick")
        self.gate = threading.Semaphore(1)
        self._lock, self._checkpoint, self._options = lock, checkpoint, options
        self._limits, self._space, self._counters = limits, space, counters
        self._futures: list[Future[Any]] = []

    def check(self, job: Job, start: bool) -> None:
        """Queue reading and comparing the views, and deblurring after that if `start`."""
        job.state, job.checked, job.failure, job.wants_start, job.wants_stop = CHECKING, None, None, start, False
        job.ticket, job.fetched = object(), False
        job.deadline_s = math.inf
        self._submit(self._quick, self._check, job, job.ticket)

    def deblur(self, job: Job) -> None:
        """Queue deblurring."""
        job.state, job.wants_stop, job.wants_start, job.failure = WAITING, False, False, None
        job.done, job.total, job.fetched = 0, 0, False
        job.ticket = object()
        job.refocusable = None
        job.forget(pipeline.RESULT, pipeline.AFTER, PLANES, PLANES_PICTURE, SCENE)
        self._submit(self.slow, self._deblur, job, job.ticket)

    def render(self, job: Job, make: Make) -> Future[Path]:
        """Queue writing the result as a file. The future raises HttpError and what `make` does."""
        return self._submit(self._quick, self._render, job, job.version, make)

    def close(self, patience_s: float) -> bool:
        """Begin nothing more. Returns whether all threads ended within `patience_s`."""
        for lane in (self._quick, self.slow):
            lane.shutdown(wait=False, cancel_futures=True)
        running = [future for future in self._futures if future.running()]
        return not wait(running, patience_s).not_done

    def _submit(self, lane: ThreadPoolExecutor, call: Callable[..., Any], *arguments: object) -> Future[Any]:
        with self._lock:
            self._futures = [future for future in self._futures if not future.done()]
            self._futures.append(lane.submit(call, *arguments))
            return self._futures[-1]

    @contextmanager
    def _holding(self, job: Job) -> Iterator[None]:
        """Keep the job's folder while this thread uses it; afterwards it is deleted if the job was."""
        with self._lock:
            if job.is_removed:
                raise Stopped
            job.holders += 1
        try:
            yield
        finally:
            with self._lock:
                job.holders -= 1
                if job.is_removed and not job.holders:
                    shutil.rmtree(job.upload.folder, ignore_errors=True)

    def _check(self, job: Job, ticket: object) -> None:
        def go_on() -> None:
            if job.ticket is not ticket:
                raise Stopped
            if time.monotonic() > job.deadline_s:
                raise too_slow("Reading", self._limits.check_s)

        def run() -> str:
            go_on()
            checked = pipeline.check(job.upload, self._checkpoint, go_on)
            with self._lock:
                go_on()
                job.checked, job.notes = checked, tuple(checked.notes)
            return READY

        turn = Turn(self.gate)
        try:
            with self._lock:
                if job.ticket is not ticket:
                    return
                job.turn, job.deadline_s = turn, time.monotonic() + self._limits.check_s
            self._do("check", job, ticket, run)
        finally:
            turn.end()

    def _deblur(self, job: Job, ticket: object) -> None:
        deadline_s = time.monotonic() + self._limits.work_s

        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total
            go_on()

        def go_on() -> None:
            if job.wants_stop:
                raise Stopped
            if time.monotonic() > deadline_s:
                raise too_slow("Deblurring", self._limits.work_s)

        def run() -> str:
            assert job.checked is not None
            pixels = job.checked.found["width"] * job.checked.found["height"]
            with self._lock:
                self._space.require(RESULT_BYTES_A_PIXEL * pixels)
            made = pipeline.deblur(job.upload, self._checkpoint, self._options, progress, go_on)
            job.plan, job.notes, job.report, job.refocusable = made
            job.version += 1
            self.pace_s = time.monotonic() - job.began_s
            return DONE

        with self._lock:
            if job.ticket is not ticket:
                return  # Stopped before its turn came.
            job.state, job.began_s = RUNNING, time.monotonic()
        self._do("deblur", job, ticket, run)

    def _render(self, job: Job, version: int, make: Make) -> Path:
        turn, began_s, outcome = Turn(self.gate), time.monotonic(), FAILED
        try:
            with self._holding(job):
                with self._lock:
                    upload, checked = job.upload, job.checked
                    if job.version != version or checked is None:
                        raise HttpError(409, CHANGED)
                    self._space.require((upload.folder / pipeline.RESULT).stat().st_size)
                path = make(upload, checked)
                outcome = DONE
                return path
        except Stopped:
            raise HttpError(404, GONE) from None
        except FileNotFoundError:
            raise HttpError(409, CHANGED) from None
        finally:
            turn.end()
            self._counters.work("render", job.number, outcome, time.monotonic() - began_s)

    def _do(self, kind: str, job: Job, ticket: object, run: Callable[[], str]) -> None:
        """Run one piece of work; whatever happens, the thread goes on and the job has the outcome."""
        began_s = time.monotonic()
        state, failure = FAILED, None
        try:
            with self._holding(job):
                try:
                    state = run()
                except Stopped:
                    state = READY
                except Exception as error:
                    failure = http_error_of(error, job.upload.folder, job.upload.names)
                    if failure.status == 500:
                        self._counters.mishap(error)
                with self._lock:
                    job.seconds = time.monotonic() - began_s
                    if job.ticket is ticket:
                        job.state, job.failure = state, failure
                        job.used_s = time.monotonic()
                        if state == READY and job.wants_start:
                            self.deblur(job)  # At once, so that it never looks finished in between.
        except Stopped:
            return
        self._counters.work(kind, job.number, state if failure is None else str(failure.status), job.seconds)

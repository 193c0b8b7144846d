"""A job: one pair of views and what became of it; and what to answer when work on it failed."""

import errno
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dualpix.errors import DualpixError, MachineError, machine_fault, ran_out_of_memory
from dualpix.web import pipeline
from dualpix.web.http_errors import HttpError
from dualpix.web.planes import PLANES
from dualpix.web.refocusing import Refocusable

CHECKING, READY, WAITING, RUNNING, DONE, FAILED = "checking", "ready", "waiting", "running", "done", "failed"
STATES = (CHECKING, READY, WAITING, RUNNING, DONE, FAILED)
ACTIVE = (CHECKING, WAITING, RUNNING)
GONE = "There is no such job: it never was, was deleted, or has expired; upload the views again."
CHANGED = "The pair was changed meanwhile; ask again when it is done."
FULL = "The disk of the server is full; try again when there is room."
FULL_RETRY_S = 60


def http_error_of(error: BaseException, folder: Path, names: dict[str, str] | None = None) -> HttpError:
    """Return what to answer when work on a job failed.

    Args:
        error: What was raised.
        folder: The job's folder, which is left out of sentences.
        names: What the user calls the files, by the names they have here.
    """
    if isinstance(error, HttpError):
        return error
    if is_full(error):
        return HttpError(503, FULL, FULL_RETRY_S)
    if isinstance(error, MachineError):
        return HttpError(503, pipeline.reworded(error, folder, names))
    if isinstance(error, DualpixError):
        return HttpError(422, pipeline.reworded(error, folder, names))
    if ran_out_of_memory(error):
        return HttpError(503, "The memory ran out; use smaller views.")
    if fault := machine_fault(error):
        return HttpError(503, fault)
    if isinstance(error, FileNotFoundError):
        return HttpError(404, GONE)
    if isinstance(error, OSError):
        return HttpError(503, f"A file of the server cannot be used: {error.strerror or type(error).__name__}.")
    return HttpError(500, f"Something went wrong that should not have ({type(error).__name__}); please report it.")


def is_full(error: BaseException | None) -> bool:
    """Whether the cause is a disk or a quota that is full, however often the error was wrapped."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def too_slow(what: str, allowed_s: float) -> HttpError:
    """Return what to answer when `what` took longer than `allowed_s` seconds."""
    return HttpError(
        504, f"{what} took longer than the {allowed_s / 60:g} minutes that are allowed; use smaller views."
    )


class Stopped(Exception):
    """The user does not want the work to go on."""


class Turn:
    """A turn among threads of which only one works at a time.

    It ends once, whether the thread that has it ends it or another that has waited too long.
    """

    def __init__(self, gate: threading.Semaphore) -> None:
        gate.acquire()
        self._gate, self._lock, self._has_ended = gate, threading.Lock(), False

    def end(self) -> None:
        """Let the next thread have its turn."""
        with self._lock:
            if not self._has_ended:
                self._has_ended = True
                self._gate.release()


@dataclass(eq=False)
class Job:
    """One pair of views.

    Args:
        id: Whoever knows it can see and delete the job.
        upload: The files.
        number: For the log, which must not contain the id.
        state: One of `STATES`.
        version: Counts what changed its pictures, so that browsers fetch them anew.
        done: Bands computed.
        total: Bands in all, 0 until it is known.
        began_s: When deblurring began, on the monotonic clock.
        seconds: Spent on what was done last.
        checked: What the check found.
        notes: Sentences for the user.
        plan: How the picture was computed.
        report: How much was changed, and whether such blur is known.
        refocusable: By what the result can be focused anew, if it can.
        mask: The user's own.
        masks: Counts them; the last one is there.
        failure: What to answer, if work failed.
        used_s: When the job was last asked for, on the monotonic clock.
        deadline_s: When its check must be over, on the monotonic clock.
        ticket: That of the work whose outcome counts; work with another one has been given up.
        turn: That of its check.
        holders: Number of threads that use its folder.
        fetched: Whether the result was downloaded.
        wants_start: Deblur after the check.
        wants_stop: Stop at the next band.
        is_removed: It is gone for users; its folder goes with the last holder.
    """

    id: str
    upload: pipeline.Upload
    number: int = 0
    state: str = CHECKING
    version: int = 1
    done: int = 0
    total: int = 0
    began_s: float = 0.0
    seconds: float = 0.0
    checked: pipeline.Checked | None = None
    notes: tuple[str, ...] = ()
    plan: str | None = None
    report: str | None = None
    refocusable: Refocusable | None = None
    mask: Path | None = None
    masks: int = 0
    failure: HttpError | None = None
    used_s: float = field(default_factory=time.monotonic)
    deadline_s: float = 0.0
    ticket: object = None
    turn: "Turn | None" = None
    holders: int = 0
    fetched: bool = False
    wants_start: bool = False
    wants_stop: bool = False
    is_removed: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return what `GET /api/jobs/{id}` answers."""
        running = self.state == RUNNING
        return {
            "id": self.id,
            "state": self.state,
            "stopping": running and self.wants_stop,
            "version": self.version,
            "swap": self.upload.swap,
            "bands_done": self.done,
            "bands": self.total,
            "seconds": round(time.monotonic() - self.began_s if running else self.seconds, 1),
            "check": self.checked and self.checked.found,
            "notes": list(self.notes),
            "plan": self.plan,
            "report": self.report,
            "refocus": self.refocusable.as_json() if self.state == DONE and self.refocusable else None,
            "planes": self.state == DONE and (self.upload.folder / PLANES).exists(),
            "mask": self.masks,
            "fetched": self.fetched,
            "status": self.failure.status if self.failure else 200,
            "error": self.failure.sentence if self.failure else None,
        }

    @property
    def waits_to_be_fetched(self) -> bool:
        """Whether there is a result that nobody has downloaded."""
        return self.state == DONE and not self.fetched

    def forget(self, *names: str) -> None:
        """Delete these of its pictures, so that nobody gets one that is out of date."""
        for name in names:
            with suppress(OSError):  # Where open files cannot be removed, the state alone withholds them.
                (self.upload.folder / name).unlink()

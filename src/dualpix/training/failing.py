"""A run that ends by an error: what it has learnt stays, and a device that has failed is told in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from dualpix.errors import MachineError, device_failed, reason_of
from dualpix.training.learner import Learner
from dualpix.training.run_folder import RunFolder


class DeviceFailedError(MachineError):
    """The device that a network learnt on has failed: nothing on it can be read any more, in this process."""


@contextmanager
def saved_after(kind: type[Exception], run: RunFolder, learner: Learner) -> Iterator[None]:
    """Keep what was learnt where errors of a kind end it, unless they took it along."""
    try:
        yield
    except kind as error:
        if not device_failed(error):
            run.save(learner)
        raise


@contextmanager
def device_told(run: RunFolder, learner: Learner) -> Iterator[None]:
    """Raise `DeviceFailedError` for a device that fails, and leave the run's files as they are."""
    try:
        yield
    except RuntimeError as error:
        if not device_failed(error):
            raise
        raise DeviceFailedError(
            f"The device {learner.device} failed after step {learner.step} ({reason_of(error)}); {_kept(run)}"
        ) from error


def _kept(run: RunFolder) -> str:
    if not run.processes.first:
        return "what the run has kept, the first of its processes says."
    if run.kept is None:
        return f"nothing was kept yet in {run.folder}, so start the run again."
    return f"step {run.kept} is kept in {run.folder}: start the same run again, which goes on from there."

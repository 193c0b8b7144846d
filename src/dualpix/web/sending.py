"""Files on their way to a client: made when asked for, and sent in pieces."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from dualpix.io.formats import FORMAT_OF
from dualpix.web.http_errors import HttpError
from dualpix.web.job import Job, http_error_of
from dualpix.web.jobs import Jobs
from dualpix.web.workers import Make

CHUNK_BYTES = 2**18


async def made(jobs: Jobs, job: Job, make: Make) -> Path:
    """The file of a result that `make` writes; it is thrown away if the client leaves before. Raises HttpError."""
    under_way = jobs.render(job, make)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(under_way), jobs.limits.render_s)
    except TimeoutError:
        under_way.add_done_callback(_throw_away)
        raise HttpError(504, "Making the file took too long; try again.", retry_s=30) from None
    except asyncio.CancelledError:
        under_way.add_done_callback(_throw_away)
        raise
    except Exception as error:
        raise http_error_of(error, job.upload.folder, job.upload.names) from error


def _throw_away(made: "Future[Path]") -> None:
    """Delete a file that nobody waits for any more."""
    with suppress(Exception):
        made.result().unlink()


def stream(path: Path, sent: Callable[[], None] | None = None) -> StreamingResponse:
    """Answer with a file, in pieces.

    Args:
        path: The file.
        sent: If given, the file is a download: browsers save it, it is deleted here, and `sent` is called when all of
            it has been taken.

    Raises:
        FileNotFoundError: The job was deleted meanwhile.
    """
    file = path.open("rb")
    length = os.fstat(file.fileno()).st_size
    headers = {"content-length": str(length), "content-type": FORMAT_OF[path.suffix].mime_type}
    if sent:
        headers["content-disposition"] = "attachment"
        with suppress(OSError):  # Where open files cannot be removed, it is removed with its job.
            path.unlink()

    async def pieces() -> AsyncIterator[bytes]:
        with file:
            while piece := await run_in_threadpool(file.read, CHUNK_BYTES):
                yield piece
                # Here and not after the loop: a client that has everything may leave, which ends this generator.
                if sent and file.tell() == length:
                    sent()

    return StreamingResponse(pieces(), headers=headers)

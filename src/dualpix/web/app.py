"""The routes: each parses a request, calls the jobs, and answers."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dualpix import __version__
from dualpix.inference.blending import ALL
from dualpix.io.formats import FORMAT_OF
from dualpix.pairs import SOURCES, TURNS
from dualpix.pairs.turning import AUTO
from dualpix.web import pipeline, uploads
from dualpix.web.assets import page_files
from dualpix.web.guard import LOOPBACK, Guard, refuse
from dualpix.web.http_errors import HttpError
from dualpix.web.job import DONE, Job, http_error_of
from dualpix.web.jobs import Jobs
from dualpix.web.openapi import describe
from dualpix.web.parts import file_of, kept_of, refocus_of, sweep_of
from dualpix.web.planes import PLANES_PICTURE
from dualpix.web.refocusing import PREVIEW_PX
from dualpix.web.uploads import Form
from dualpix.web.workers import Make

PICTURES = {"left": pipeline.LEFT, "right": pipeline.RIGHT, "disparity": pipeline.DISPARITY, "before": pipeline.BEFORE}
CHUNK_BYTES = 2**18
SWEEP_S = 30.0


def create_app(
    jobs: Jobs,
    hosts: frozenset[str] = LOOPBACK,
    any_address: bool = False,
    behind: frozenset[str] = frozenset(),
) -> Guard:
    """Return the whole application around `jobs`; `hosts`, `any_address` and `behind` as in `Guard`."""
    endpoints = Endpoints(jobs)
    one = "/api/jobs/{job}"
    files = {path: static(kind, content) for path, kind, content in page_files()}
    routes = [
        *(Route(f"/{path}", answer, methods=["GET"]) for path, answer in files.items()),
        Route("/", files["index.html"], methods=["GET"]),
        Route("/openapi.json", endpoints.openapi, methods=["GET"]),
        Route("/health", endpoints.health, methods=["GET"]),
        Route("/ready", endpoints.ready, methods=["GET"]),
        Route("/metrics", endpoints.metrics, methods=["GET"]),
        Route("/api/limits", endpoints.limits, methods=["GET"]),
        Route("/api/jobs", endpoints.create, methods=["POST"]),
        Route(one, endpoints.show, methods=["GET"]),
        Route(one, endpoints.remove, methods=["DELETE"]),
        *(Route(f"{one}/{verb}", endpoints.command(verb), methods=["POST"]) for verb in ("start", "stop", "swap")),
        *(Route(f"{one}/{name}", endpoints.picture(file), methods=["GET"]) for name, file in PICTURES.items()),
        Route(f"{one}/preview", endpoints.preview, methods=["GET"]),
        Route(f"{one}/planes", endpoints.picture(PLANES_PICTURE, of_result=True), methods=["GET"]),
        Route(f"{one}/result", endpoints.result, methods=["GET"]),
        Route(f"{one}/sweep", endpoints.sweep, methods=["GET"]),
    ]
    handlers: dict[Any, Any] = {
        HttpError: _refused,
        HTTPException: _failed,
        ClientDisconnect: _left,
        OSError: _unusable,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=endpoints.lifespan)
    app.router.redirect_slashes = False
    return Guard(app, hosts, jobs.limits, any_address, behind, jobs.counters)


def static(kind: str, content: bytes) -> Callable[[Request], Response]:
    """Return a route's function that answers with one file of the page."""

    def answer(request: Request) -> Response:
        return Response(content, headers={"content-type": kind})

    return answer


async def _refused(request: Request, refusal: HttpError) -> Response:
    return refuse(refusal)


async def _failed(request: Request, error: HTTPException) -> Response:
    words = {404: "There is nothing at this address.", 405: "This address does not take that kind of request."}
    return refuse(HttpError(error.status_code, words.get(error.status_code, f"{error.detail}".rstrip(".") + ".")))


async def _left(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=400)  # The client is gone and will not read it.


async def _unusable(request: Request, error: OSError) -> Response:
    return refuse(http_error_of(error, Path()))


class Endpoints:
    """The functions behind the routes."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Remove expired jobs every `SWEEP_S` seconds for as long as the server runs."""

        async def sweep() -> None:
            while True:
                await asyncio.sleep(SWEEP_S)
                await run_in_threadpool(self._jobs.expire)

        task = asyncio.create_task(sweep())
        try:
            yield
        finally:
            task.cancel()

    def openapi(self, request: Request) -> Response:
        """Describe the endpoint."""
        return JSONResponse(describe(self._jobs.limits))

    def limits(self, request: Request) -> Response:
        """Answer with the limits that matter before an upload."""
        limits = self._jobs.limits
        return JSONResponse({"body_bytes": limits.body_bytes, "megapixels": limits.megapixels, "kept_s": limits.kept_s})

    def health(self, request: Request) -> Response:
        """Answer that the server runs."""
        return JSONResponse({"status": "ok"})

    def ready(self, request: Request) -> Response:
        """Answer whether an upload would be taken now."""
        self._jobs.require_ready()
        return JSONResponse({"status": "ok"})

    def metrics(self, request: Request) -> Response:
        """Answer with counts in the text format of Prometheus."""
        gauges = self._jobs.gauges() | {"dualpix_info": {(("version", __version__),): 1.0}}
        return Response(self._jobs.counters.text(gauges), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def create(self, request: Request) -> Response:
        """Take in an upload and answer with the new job, status 202."""
        kind = request.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "multipart/form-data":
            raise HttpError(415, "Send the views as multipart/form-data, in the fields left and right.")
        await run_in_threadpool(self._jobs.expire)
        length = request.headers.get("content-length")
        with self._jobs.admit(int(length) if length else None) as folder:
            upload = await uploads.take_in(kind, request.stream(), folder, lambda size: self._jobs.wrote(folder, size))
            job = self._jobs.add(_upload_of(upload, folder), _yes(upload, "start", "yes"))
        # Relative, as all addresses are: a server in front of this one may serve it below a path.
        return JSONResponse(job.as_json(), 202, {"location": f"jobs/{job.id}"})

    def show(self, request: Request) -> Response:
        """Answer with the state of a job."""
        return JSONResponse(self._job(request).as_json())

    def remove(self, request: Request) -> Response:
        """Delete a job and its files."""
        self._jobs.remove(self._job(request))
        return Response(status_code=204)

    def command(self, verb: str) -> Callable[[Request], Response]:
        """Return a route's function that starts, stops or swaps a job."""
        act = {"start": self._jobs.start, "stop": self._jobs.stop, "swap": self._jobs.swap}[verb]

        def answer(request: Request) -> Response:
            job = self._job(request)
            act(job)
            return JSONResponse(job.as_json(), 202)

        return answer

    def picture(self, name: str, of_result: bool = False) -> Callable[[Request], Response]:
        """Return a route's function for a picture of a job, after its check or, if `of_result`, after deblurring."""

        def answer(request: Request) -> Response:
            job = self._job(request)
            is_true = job.state == DONE if of_result else job.checked is not None
            if is_true:
                with suppress(FileNotFoundError):
                    return stream(job.upload.folder / name)
            if job.failure:
                raise job.failure
            raise HttpError(409, f"This picture is not there yet: the pair is {job.state}.")

        return answer

    async def preview(self, request: Request) -> Response:
        """The result to look at; with `keep` or another focus, as it would be then."""
        job, query = await run_in_threadpool(self._job, request), request.query_params
        focus, keep = refocus_of(query, job), kept_of(query, job)
        if focus is not None:
            make: Make = partial(pipeline.render_refocused, focus=focus, suffix=".jpg", depth=8, longest_px=PREVIEW_PX)
        elif keep is not None:
            make = partial(pipeline.render, suffix=".jpg", depth=8, strength=ALL, keep=keep)
        else:
            return await run_in_threadpool(self.picture(pipeline.AFTER, of_result=True), request)
        return await run_in_threadpool(stream, await self._made(job, make), lambda: None)

    async def result(self, request: Request) -> Response:
        """Make the result as a file, and answer with it."""
        job, query = await run_in_threadpool(self._job, request), request.query_params
        suffix, depth, strength = file_of(query)
        version, focus, keep = job.version, refocus_of(query, job), kept_of(query, job)
        make: Make = partial(pipeline.render, suffix=suffix, depth=depth, strength=strength, keep=keep)
        if focus is not None:
            make = partial(pipeline.render_refocused, focus=focus, suffix=suffix, depth=depth)
        path = await self._made(job, make)

        def sent() -> None:
            if request.method == "GET":  # HEAD downloads nothing.
                self._jobs.fetched(job, version)

        return await run_in_threadpool(stream, path, sent)

    async def sweep(self, request: Request) -> Response:
        """Make a moving picture of the focus going through the result, and answer with it."""
        job = await run_in_threadpool(self._job, request)
        focus = sweep_of(request.query_params, job)
        path = await self._made(job, partial(pipeline.render_sweep, focus=focus))
        return await run_in_threadpool(stream, path, lambda: None)

    async def _made(self, job: Job, make: Make) -> Path:
        """The file of a result that `make` writes. Raises HttpError."""
        made = self._jobs.render(job, make)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(made), self._jobs.limits.render_s)
        except TimeoutError:
            made.add_done_callback(_throw_away)
            raise HttpError(504, "Making the file took too long; try again.", retry_s=30) from None
        except asyncio.CancelledError:
            made.add_done_callback(_throw_away)
            raise
        except Exception as error:
            raise http_error_of(error, job.upload.folder, job.upload.names) from error

    def _job(self, request: Request) -> Job:
        return self._jobs.find(request.path_params["job"])


def _upload_of(form: Form, folder: Path) -> pipeline.Upload:
    """The upload that a form describes. Raises HttpError 400."""
    layout = form.texts.get("layout") or None
    if layout not in (None, *SOURCES):
        raise HttpError(400, f"There is no layout {str(layout)[:50]!r}; choose from: {', '.join(SOURCES)}.")
    turn = form.texts.get("turn") or AUTO
    if turn not in TURNS:
        raise HttpError(400, f"There is no turn {turn[:50]!r}; choose from: {', '.join(TURNS)}.")
    if "left" not in form.paths:
        raise HttpError(400, "Send the left view, or a file that holds both, in the field left.")
    paths = form.paths
    swap = _yes(form, "swap", "no")
    return pipeline.Upload(folder, paths["left"], paths.get("right"), layout, swap, turn, names=form.names)


def _yes(form: Form, name: str, otherwise: str) -> bool:
    value = form.texts.get(name, otherwise).lower()
    if value not in ("yes", "no", "true", "false", "1", "0"):
        raise HttpError(400, f"The field {name} must be yes or no.")
    return value in ("yes", "true", "1")


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

"""The routes: each parses a request, calls the jobs, and answers."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dualpix import __version__
from dualpix.inference.blending import ALL
from dualpix.pairs import SOURCES, TURNS
from dualpix.pairs.turning import AUTO
from dualpix.web import pipeline, uploads
from dualpix.web.assets import page_files
from dualpix.web.guard import LOOPBACK, Guard, refuse
from dualpix.web.http_errors import HttpError
from dualpix.web.job import DONE, Job, http_error_of
from dualpix.web.jobs import Jobs
from dualpix.web.openapi import describe
from dualpix.web.parts import (
    FOCUS,
    OF_PREVIEW,
    OF_RESULT,
    OPTICS,
    fields_of,
    file_of,
    map_of,
    optics_of,
    part_of,
    refocus_of,
    sweep_of,
)
from dualpix.web.planes import PLANES_PICTURE
from dualpix.web.refocusing import PREVIEW_PX
from dualpix.web.sending import made, stream
from dualpix.web.uploads import Form
from dualpix.web.workers import Make

PICTURES = {"left": pipeline.LEFT, "right": pipeline.RIGHT, "disparity": pipeline.DISPARITY, "before": pipeline.BEFORE}
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
        Route(f"{one}/maps/{{kind}}", endpoints.map, methods=["GET"]),
        Route(f"{one}/distances", endpoints.distances, methods=["GET"]),
        Route(f"{one}/mask", endpoints.mask, methods=["POST"]),
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
        kind = _form_kind(request, "Send the views as multipart/form-data, in the fields left and right.")
        await run_in_threadpool(self._jobs.expire)
        with self._jobs.admit(_length(request)) as folder:
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
        """The result to look at; with a part or another focus, as it would be then."""
        job = await run_in_threadpool(self._job, request)
        query = fields_of(request.query_params, OF_PREVIEW)
        focus, part = refocus_of(query, job), part_of(query, job)
        if focus is not None:
            make: Make = partial(pipeline.render_refocused, focus=focus, suffix=".jpg", depth=8, longest_px=PREVIEW_PX)
        elif part is not None:
            make = partial(pipeline.render, suffix=".jpg", depth=8, strength=ALL, part=part)
        else:
            return await run_in_threadpool(self.picture(pipeline.AFTER, of_result=True), request)
        return await run_in_threadpool(stream, await made(self._jobs, job, make), lambda: None)

    async def result(self, request: Request) -> Response:
        """Make the result as a file, and answer with it."""
        job = await run_in_threadpool(self._job, request)
        query = fields_of(request.query_params, OF_RESULT)
        suffix, depth, strength = file_of(query)
        version, focus, part = job.version, refocus_of(query, job), part_of(query, job)
        make: Make = partial(pipeline.render, suffix=suffix, depth=depth, strength=strength, part=part)
        if focus is not None:
            make = partial(pipeline.render_refocused, focus=focus, suffix=suffix, depth=depth)
        path = await made(self._jobs, job, make)

        def sent() -> None:
            if request.method == "GET":  # HEAD downloads nothing.
                self._jobs.fetched(job, version)

        return await run_in_threadpool(stream, path, sent)

    async def sweep(self, request: Request) -> Response:
        """Make a moving picture of the focus going through the result, and answer with it."""
        job = await run_in_threadpool(self._job, request)
        focus = sweep_of(fields_of(request.query_params, FOCUS), job)
        path = await made(self._jobs, job, partial(pipeline.render_sweep, focus=focus))
        return await run_in_threadpool(stream, path, lambda: None)

    async def map(self, request: Request) -> Response:
        """Make a map beside the result, and answer with it."""
        job = await run_in_threadpool(self._job, request)
        wanted = map_of(request.path_params["kind"], request.query_params, job)
        jobs = self._jobs
        make = partial(pipeline.render_map, wanted=wanted, checkpoint=jobs.checkpoint, options=jobs.options)
        return await run_in_threadpool(stream, await made(jobs, job, make), lambda: None)

    async def distances(self, request: Request) -> Response:
        """Find distances in metres, and answer with what there is to tell and a small picture of them."""
        job, jobs = await run_in_threadpool(self._job, request), self._jobs
        given, answer = optics_of(fields_of(request.query_params, OPTICS)), dict[str, Any]()

        def make(upload: pipeline.Upload, checked: pipeline.Checked) -> Path:
            path, told = pipeline.render_distances(upload, checked, given, jobs.checkpoint, jobs.options)
            answer.update(told)
            return path

        path = await made(jobs, job, make)
        answer["picture"] = base64.b64encode(path.read_bytes()).decode("ascii")
        path.unlink()
        return JSONResponse(answer)

    async def mask(self, request: Request) -> Response:
        """Take in the user's own mask, in place of an earlier one, and answer with the job, status 202."""
        job, jobs = await run_in_threadpool(self._job, request), self._jobs
        kind = _form_kind(request, "Send the mask as multipart/form-data, in the field mask.")
        with jobs.admit_mask(job, _length(request)) as folder:
            form = await uploads.take_in(
                kind, request.stream(), folder, lambda size: jobs.wrote(folder, size), uploads.MASK
            )
            if "mask" not in form.paths:
                raise HttpError(400, "Send the mask, a picture, in the field mask.")
            path = form.paths["mask"]
            make = partial(pipeline.fits, mask=path, name=form.names[path.name])
            jobs.keep_mask(job, await made(jobs, job, make))
        return JSONResponse(job.as_json(), 202)

    def _job(self, request: Request) -> Job:
        return self._jobs.find(request.path_params["job"])


def _form_kind(request: Request, advice: str) -> str:
    """The content type of a form, with its boundary. Raises HttpError 415 that says `advice`."""
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise HttpError(415, advice)
    return kind


def _length(request: Request) -> int | None:
    length = request.headers.get("content-length")
    return int(length) if length else None


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

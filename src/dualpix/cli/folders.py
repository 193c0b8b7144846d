"""`dualpix deblur` for many pairs: its options, and its reports."""

import json
import re
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, NamedTuple

import typer

from dualpix.cli.options import Place
from dualpix.cli.telling import say
from dualpix.errors import PictureError
from dualpix.machine.files import legible
from dualpix.machine.storage import is_dir, same_name, told_as
from dualpix.machine.urls import Location, as_location

if TYPE_CHECKING:
    from dualpix.inference import batch
    from dualpix.inference.batch import Maps, Outcome, PairJob, Shard, Step
    from dualpix.inference.batch.running import Work
    from dualpix.inference.options import DeblurOptions

DryRun = Annotated[bool, typer.Option("--dry-run", help="Folders: only list the pairs and what they would become.")]
Include = Annotated[
    list[str] | None, typer.Option(metavar="GLOB", help="Folders: only pairs like this, such as 'trip/*'; repeatable.")
]
Exclude = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Folders: no pairs like this; repeatable.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Folders: keep what is finished, make the rest and what has changed.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Folders: write what became of each pair, as JSON Lines.")
]
Part = Annotated[str | None, typer.Option("--shard", metavar="I/N", help="Folders: do only part I (from 1) of N.")]
Format = Annotated[
    str | None, typer.Option("--format", metavar="EXT", help="Folders: tif, png, ...; without it, that of the views.")
]
OnRay = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Folders: on a Ray cluster, by HOST:PORT of its head, or auto; without ADDRESS on this machine's cores.",
    ),
]
WorkerCpus = Annotated[
    float | None, typer.Option(metavar="N", help="--ray: cores, and threads, of each worker. Without it, 1.")
]
WorkerGpus = Annotated[
    float | None,
    typer.Option(metavar="N", help="--ray: GPUs of each worker, such as 0.5. Without it, 1 if there are any."),
]
AllowOutside = Annotated[
    bool, typer.Option("--allow-outside", help="Manifests: inputs may lie outside of the manifest's folder.")
]


ReportParts = Annotated[
    Place | None,
    typer.Option(
        "--report",
        metavar="FOLDER",
        parser=as_location,
        help="Folders: a row for each pair in parts, JSON Lines; Parquet if it ends in .parquet.",
    ),
]

OPTIONS = {"dry_run": "--dry-run", "include": "--include", "exclude": "--exclude", "resume": "--resume",
           "report": "--json", "parts": "--report", "shard": "--shard", "allow_outside": "--allow-outside",
           "ray": "--ray", "worker_cpus": "--worker-cpus", "worker_gpus": "--worker-gpus"}  # fmt: skip


class Many(NamedTuple):
    """The options that apply only to many pairs."""

    dry_run: bool
    include: list[str] | None
    exclude: list[str] | None
    resume: bool
    report: Path | None
    shard: str | None
    allow_outside: bool
    parts: Location | None = None
    ray: str | None = None
    worker_cpus: float | None = None
    worker_gpus: float | None = None

    def check(self, source: Location, right: Location | None, suffix: str | None) -> bool:
        """Return whether `source` holds many pairs; raise a usage error if the options do not fit that."""
        from dualpix.inference.batch.manifest import SUFFIXES, is_pattern

        with told_as(PictureError):
            is_folder = is_dir(source)
            many = is_folder or source.suffix.lower() in SUFFIXES or is_pattern(source)
            two = right is not None and is_folder and is_dir(right)
        if many and right is not None and not two:
            what = "a folder, a pattern or a manifest holds both views; give only one, or the folders of both views"
            raise typer.BadParameter(what, param_hint="RIGHT")
        given = [
            OPTIONS[name] for name, value in self._asdict().items() if value or (value == 0 and value is not False)
        ]
        given += ["--format"] if suffix is not None else []
        if not many and given:
            what = f"only for a folder, a pattern or a manifest (.jsonl, .csv), and {source} is none of these"
            raise typer.BadParameter(what, param_hint=", ".join(given))
        if many and source.suffix.lower() in SUFFIXES and not is_folder and (self.include or self.exclude):
            raise typer.BadParameter("--include and --exclude are for folders", param_hint="LEFT")
        if many and self.allow_outside and (is_folder or source.suffix.lower() not in SUFFIXES):
            raise typer.BadParameter(
                "is for manifests; a folder or pattern names its own files", param_hint="--allow-outside"
            )
        if self.dry_run and (self.report is not None or self.parts is not None):
            report = "--json" if self.parts is None else "--report"
            raise typer.BadParameter(f"makes nothing to report on; leave out {report}", param_hint="--dry-run")
        self._check_ray()
        return many

    def _check_ray(self) -> None:
        if self.ray is None:
            for name in ("worker_cpus", "worker_gpus"):
                if getattr(self, name) is not None:
                    raise typer.BadParameter("is for --ray; give that too", param_hint=OPTIONS[name])
        elif self.shard is not None:
            raise typer.BadParameter("a cluster shares the work itself; leave out --shard", param_hint="--ray")


def deblur_many(
    source: Location,
    right: Location | None,
    output: Location | None,
    weights: str | None,
    options: "DeblurOptions",
    many: Many,
    overwrite: bool,
    suffix: str | None = None,
    maps: "Maps | None" = None,
) -> None:
    """Deblur a folder, or two with a view each, or what a pattern or a manifest lists; without `output`, only map it.

    Exit codes: 0 all is there, 1 something failed, 130 interrupted (on Ray 143 by SIGTERM too).
    """
    part = _shard(many.shard)
    from dualpix.inference import batch

    jobs = batch.list_jobs(
        source,
        output or "",
        options,
        right=right,
        format=suffix,
        include=many.include or (),
        exclude=many.exclude or (),
        shard=part,
        allow_outside=many.allow_outside,
        maps=maps,
        sharp=output is not None,
    )
    is_sharp = output is not None
    what = "{} pictures" if is_sharp else "maps of {} pairs"
    output = output or next(iter(maps.places.values() if maps else ()))
    opened = batch.open_weights(weights)
    cluster = None
    if many.ray is not None:
        from dualpix.inference.batch import on_ray

        cluster = on_ray.Cluster(many.ray, many.worker_cpus, many.worker_gpus)
        worker = batch.Deblur(weights, folder=output, sha256=opened.sha256, maps=maps, sharp=is_sharp, options=options)
    if many.dry_run:
        _list(output, what, batch.plan_jobs(jobs, opened, options, resume=many.resume, overwrite=overwrite))
        return
    with ExitStack() as files:
        again = many.resume or overwrite
        report = None if many.report is None else files.enter_context(_open_report(many.report, jobs, again))
        parts = None if many.parts is None else files.enter_context(batch.ReportParts(many.parts, part or (1, 1)))
        tally = _Tally(len(jobs), report, what, parts)
        work: Work | None = None
        if cluster is not None:
            work = partial(files.enter_context(cluster).work, worker)
        try:
            batch.run_jobs(
                jobs, opened, options, tally.add, shard=part, resume=many.resume, overwrite=overwrite, work=work
            )
        finally:
            tally.wipe()
            if tally.counts["made"] or not sys.exc_info()[0]:
                typer.echo(f"{legible(str(output))}: {tally}")
    if tally.counts["failed"]:
        raise typer.Exit(1)


def _shard(text: str | None) -> "Shard | None":
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise typer.BadParameter("give I/N with I from 1 to N, such as 2/8", param_hint="--shard")
    from dualpix.inference.batch import Shard

    return Shard(int(match[1]), int(match[2]))


def _list(output: Location, what: str, steps: "list[Step]") -> None:
    for step in steps:
        if step.action == "fail":
            say(f"dualpix: {step.why}")
            continue
        notes = {
            "make": "",
            "keep": "  (finished)",
            "redo": f"  (again: {step.why})",
            "map": f"  (maps only: {step.why})",
        }
        inputs = " + ".join(str(path) for path in step.job.inputs)
        outputs = ", ".join(str(path) for path in step.job.outputs)
        typer.echo(legible(f"{inputs} -> {outputs}{notes[step.action]}"))
    actions = [step.action for step in steps]
    keep, fail = actions.count("keep"), actions.count("fail")
    make = len(actions) - keep - fail
    typer.echo(f"{legible(str(output))}: {what.format(make)} to make, {keep} finished, {fail} that cannot be made")
    if fail:
        raise typer.Exit(1)


def _open_report(path: Path, jobs: "list[PairJob]", again: bool) -> IO[str]:
    if path.exists() and not again:
        raise PictureError(f"{path} exists already; choose another name, or give --overwrite.")
    taken = {same_name(file) for job in jobs for file in (*job.inputs, *job.outputs)}
    if same_name(path) in taken:
        raise PictureError(f"{path} is one of the pictures; choose another name for the report.")
    return path.open("w", encoding="utf-8")


class _Tally:
    """Counts outcomes and reports them: each to the report file, failures to stderr, the time left to a terminal."""

    def __init__(self, total: int, report: IO[str] | None, what: str, parts: "batch.ReportParts | None" = None) -> None:
        self.total, self.report, self.what, self.parts = total, report, what, parts
        self.counts = {"made": 0, "kept": 0, "failed": 0}
        self.noted, self.known = 0, 0
        self.began = self.first = time.monotonic()

    def add(self, outcome: "Outcome") -> None:
        self.counts[outcome.state] += 1
        self.noted += bool(outcome.warnings)
        if outcome.state == "failed":
            self.wipe()
            say(f"dualpix: {outcome.job.place}: {outcome.error}")
        if self.report is not None:
            self.report.write(json.dumps(outcome.as_json()) + "\n")
            self.report.flush()
        if self.parts is not None:
            self.parts.add(outcome)
        if not outcome.worked:
            self.known += 1
            self.first = time.monotonic()
        self._show()

    def _show(self) -> None:
        done = sum(self.counts.values())
        if not sys.stderr.isatty() or done == self.known:
            return
        left_s = (time.monotonic() - self.first) / (done - self.known) * (self.total - done)
        failed = f", {self.counts['failed']} failed" if self.counts["failed"] else ""
        line = f"{done} of {self.total} pictures{failed}, about {_duration(left_s)} left"
        say(f"\r{line:70}", nl=False)

    def wipe(self) -> None:
        """Clear the line that counts."""
        if sys.stderr.isatty():
            say(f"\r{'':70}\r", nl=False)

    def __str__(self) -> str:
        parts = [f"{self.what.format(self.counts['made'])} made"]
        parts += [f"{self.counts['kept']} were finished before"] if self.counts["kept"] else []
        parts += [f"{self.counts['failed']} failed"] if self.counts["failed"] else []
        left = self.total - sum(self.counts.values())
        parts += [f"{left} left to do (--resume)"] if left else []
        noted = f" ({self.noted} with notes, see --json)" if self.noted else ""
        return f"{', '.join(parts)} in {_duration(time.monotonic() - self.began)}{noted}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

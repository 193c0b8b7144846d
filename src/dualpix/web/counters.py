"""What the server counts, in the text format of Prometheus, and what it writes into a log.

Neither names a visitor, a file or a job's id: whoever knows a job's id can see the job.
"""

import logging
import re
import sys
import threading
from collections import defaultdict

LOG = logging.getLogger("dualpix.web")
PARTS = "start|stop|swap|left|right|disparity|before|preview|result|planes|sweep|mask|distances"
MAPS = "disparity|disparity-picture|confidence|depth-mask|metres|mask"
JOB_PATH = re.compile(rf"/api/jobs/[^/]+(/(?:{PARTS}|maps/(?:{MAPS})))?")
PAGE_PATH = re.compile(r"/(?:\w+\.(?:html|js|css|svg)|sample/\w+\.png)?")
PATHS = ("/api/jobs", "/api/limits", "/openapi.json", "/health", "/ready", "/metrics")
METRICS = {
    "dualpix_info": ("gauge", "1, with the version."),
    "dualpix_requests_total": ("counter", "Requests answered, by route and status; status 0: the client left."),
    "dualpix_request_seconds_total": ("counter", "Seconds spent answering them."),
    "dualpix_jobs": ("gauge", "Pairs there now, by state."),
    "dualpix_results_not_fetched": ("gauge", "Results that nobody has downloaded yet."),
    "dualpix_uploads": ("gauge", "Uploads under way."),
    "dualpix_work_total": ("counter", "Pieces of work ended, by kind (check, deblur, render) and outcome."),
    "dualpix_work_seconds_total": ("counter", "Seconds spent on them."),
    "dualpix_disk_free_bytes": ("gauge", "Free where uploads are kept."),
}
Labels = tuple[tuple[str, str], ...]


class Counters:
    """Counts since the server started. Methods can be called from any thread."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1.0, **labels: object) -> None:
        """Add to one of `METRICS`."""
        with self._lock:
            self._counts[name][_sorted(labels)] += amount

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count and log a request that was answered."""
        route = route_of(path)
        method = method if method in ("GET", "HEAD", "POST", "DELETE") else "other"
        self.add("dualpix_requests_total", method=method, route=route, status=status)
        self.add("dualpix_request_seconds_total", seconds, route=route)
        LOG.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)

    def work(self, kind: str, number: int, outcome: str, seconds: float) -> None:
        """Count and log a piece of work that has ended, on the pair of that number."""
        self.add("dualpix_work_total", kind=kind, outcome=outcome)
        self.add("dualpix_work_seconds_total", seconds, kind=kind)
        LOG.info("pair %d: %s: %s, %.1f s", number, kind, outcome, seconds)

    def mishap(self, error: BaseException) -> None:
        """Log an unexpected error, so that it can be reported."""
        LOG.error("An unexpected error", exc_info=error)

    def text(self, gauges: dict[str, dict[Labels, float]]) -> str:
        """Return all counts, and the current values `gauges`, in the text format of Prometheus."""
        with self._lock:
            values = {name: dict(counts) for name, counts in self._counts.items()} | gauges
        lines = []
        for name, (kind, words) in METRICS.items():
            lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_braced(labels)} {value:.15g}" for labels, value in sorted(values.get(name, {}).items())]
        return "\n".join(lines) + "\n"


def route_of(path: str) -> str:
    """Return the kind of address that `path` is; nothing else of what visitors type is kept."""
    if found := JOB_PATH.fullmatch(path):
        return f"/api/jobs/ID{found[1] or ''}"
    if PAGE_PATH.fullmatch(path):
        return "page"
    return path if path in PATHS else "other"


def write_log() -> None:
    """Write the log to standard error, one line for each request and each piece of work."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False


def _sorted(labels: dict[str, object]) -> Labels:
    return tuple(sorted((name, str(value)) for name, value in labels.items()))


def _braced(labels: Labels) -> str:
    inside = ",".join(f'{name}="{value}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""

"""What a server tells whoever watches over it: health, readiness, and counts as Prometheus reads them."""

import re
from collections.abc import Callable

from asking import Client, pair_of

Start = Callable[..., Client]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
NAME, LABEL = r"[a-zA-Z_:][a-zA-Z0-9_:]*", r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'


def metrics(client: Client) -> tuple[dict[str, str], Samples]:
    """Types by name and values by name and labels, read as the text format 0.0.4 is described."""
    reply = client.get("/metrics")
    assert reply.status == 200 and reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    text, types, samples = reply.content.decode(), {}, {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("#"):
            found = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
            assert found
            if found[1] == "TYPE":
                assert found[2] not in types and found[3] in ("counter", "gauge")
                types[found[2]] = found[3]
            continue
        found = re.fullmatch(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)", line)
        assert found and found[1] in types, line
        key = (found[1], frozenset(re.findall(LABEL, found[2] or "")))
        assert key not in samples
        samples[key] = float(found.groups()[-1])
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in types.items())
    return types, samples


def test_counts_are_those_of_what_was_done(start: Start) -> None:
    client = start()

    def value(name: str, **labels: str) -> float:
        return metrics(client)[1].get((name, frozenset(labels.items())), 0.0)

    assert value("dualpix_jobs", state="done") == value("dualpix_results_not_fetched") == value("dualpix_uploads") == 0
    job = client.done(pair_of(24, 24))["id"]
    assert client.done({"left": b"no picture", "right": b"nor this"})["state"] == "failed"
    assert value("dualpix_jobs", state="done") == value("dualpix_jobs", state="failed") == 1
    assert value("dualpix_results_not_fetched") == 1
    for _ in range(3):
        assert client.get(f"/api/jobs/{job}/result").status == 200
    assert value("dualpix_results_not_fetched") == 0
    assert value("dualpix_work_total", kind="check", outcome="ready") == 1
    assert value("dualpix_work_total", kind="check", outcome="422") == 1
    assert value("dualpix_work_total", kind="deblur", outcome="done") == 1
    assert value("dualpix_work_total", kind="render", outcome="done") == 3
    assert value("dualpix_requests_total", method="POST", route="/api/jobs", status="202") == 2
    assert value("dualpix_requests_total", method="GET", route="/api/jobs/ID/result", status="200") == 3
    assert value("dualpix_work_seconds_total", kind="deblur") > 0
    assert value("dualpix_disk_free_bytes") > 0
    strange = "/" + "".join(f"%{byte:02x}" for byte in b'a"b\\c\nd')
    assert client.get(strange).status == client.ask("BREW", strange).status == 404
    types, samples = metrics(client)
    assert types["dualpix_requests_total"] == "counter" and job not in str(samples)


def test_healthy_and_ready(start: Start) -> None:
    """Probes know a machine by its address alone; they learn nothing else."""
    client = start()
    for path in ("/health", "/ready"):
        assert client.get(path, host="10.1.2.3:8000").json == {"status": "ok"}
    assert client.get("/metrics", host="10.1.2.3:8000").status == 403
    assert client.jobs is not None
    client.jobs.wind_up()
    assert client.get("/health").status == 200
    for reply in (client.get("/ready"), client.upload(pair_of(24, 24))):
        assert reply.status == 503 and "stopping" in reply.error and int(reply.headers["retry-after"]) > 0


def test_not_ready_while_the_disk_is_nearly_full(start: Start) -> None:
    client = start(free_disk_bytes=2**60)
    reply = client.get("/ready")
    assert reply.status == 503 and "disk" in reply.error and client.get("/health").status == 200

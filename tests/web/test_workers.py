"""What users may rely on between an upload and its download: nothing is lost, and nothing goes on that was stopped."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from asking import Client, Reply, pair_of

from dualpix.web.counters import LOG

Start = Callable[..., Client]
SMALL = pair_of(24, 24)


@contextmanager
def occupied(client: Client) -> Iterator[None]:
    """Checks, and files to download, wait for their turn meanwhile."""
    assert client.jobs is not None
    gate = client.jobs.workers.gate
    gate.acquire()
    try:
        yield
    finally:
        gate.release()


def come_to_nothing(client: Client) -> None:
    """Wait until no folder of a job is left."""
    assert client.jobs is not None
    end_s = time.monotonic() + 60
    while list(client.jobs.root.iterdir()):
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_a_result_outlasts_twenty_uploads(start: Start) -> None:
    """Pairs that were only looked at make room; the result that nobody has fetched does not."""
    client = start(kept_jobs=4)
    first = client.done(SMALL)["id"]
    others = [client.done({**SMALL, "start": "no"})["id"] for _ in range(20)]
    assert [client.get(f"/api/jobs/{job}").status for job in others].count(404) >= 17
    assert client.get(f"/api/jobs/{first}/result").status == 200
    assert client.get(f"/api/jobs/{first}").json["fetched"]


def test_results_that_wait_keep_newcomers_out_until_one_is_fetched(start: Start) -> None:
    client = start(kept_jobs=3)
    results = [client.done(SMALL)["id"] for _ in range(3)]
    for _ in range(20):
        reply = client.upload(SMALL)
        assert reply.status == 429 and "fetch" in reply.error and int(reply.headers["retry-after"]) > 60
    assert all(client.get(f"/api/jobs/{job}/preview").status == 200 for job in results), "looking is not fetching"
    assert client.ask("HEAD", f"/api/jobs/{results[0]}/result").status == 200, "nor is asking what it would be"
    assert client.upload(SMALL).status == 429
    assert client.get(f"/api/jobs/{results[1]}/result").status == 200
    assert client.upload(SMALL).status == 202
    assert [client.get(f"/api/jobs/{job}").status for job in results] == [200, 404, 200]


def test_who_left_before_the_file_was_made_has_not_fetched_it(start: Start) -> None:
    client = start()
    job = client.done(SMALL)["id"]
    assert client.jobs is not None
    with occupied(client):
        connection = client.connect()
        connection.request("GET", f"/api/jobs/{job}/result")
        while not client.jobs.files_under_way:
            time.sleep(0.001)
        connection.close()
    folder = client.jobs.find(job).upload.folder
    end_s = time.monotonic() + 30
    while 'route="/api/jobs/ID/result"' not in client.get("/metrics").content.decode() or list(folder.glob("down*")):
        assert time.monotonic() < end_s
        time.sleep(0.02)
    assert not client.get(f"/api/jobs/{job}").json["fetched"]


def test_after_the_time_told_there_is_a_place(start: Start) -> None:
    client = start(kept_jobs=1, kept_s=2.0)
    client.done(SMALL)
    refused = client.upload(SMALL)
    assert refused.status == 429
    time.sleep(int(refused.headers["retry-after"]))
    assert client.upload(SMALL).status == 202


def test_the_time_told_is_that_of_earlier_pairs(start: Start) -> None:
    """Measured, and no longer the usual ten seconds, once a pair has been done."""
    client = start(active_jobs=1)
    spent_s = client.done(SMALL)["seconds"]
    with occupied(client):
        assert client.upload(SMALL).status == 202
        refused = client.upload(SMALL)
    assert refused.status == 429 and 1 <= int(refused.headers["retry-after"]) <= max(1, math.ceil(spent_s + 0.1))


@pytest.mark.parametrize("start_field", ["yes", "no"])
def test_a_check_that_was_stopped_is_not_followed_by_deblurring(start: Start, start_field: str) -> None:
    """Neither before its turn nor in its middle; and the pair can be started again."""
    client = start()
    with occupied(client):
        waits = client.upload({**pair_of(), "start": start_field}).json["id"]
        assert client.get(f"/api/jobs/{waits}").json["state"] == "checking"
        assert client.post(f"/api/jobs/{waits}/stop").json["state"] == "ready"
    reads = client.upload({**pair_of(600, 600), "start": start_field}).json["id"]
    client.post(f"/api/jobs/{reads}/stop")
    assert client.done(SMALL)["state"] == "done", "all before it in the queue have had their turn"
    for job in (waits, reads):
        told = client.get(f"/api/jobs/{job}").json
        assert (told["state"], told["bands_done"], told["error"]) == ("ready", 0, None)
        assert client.get(f"/api/jobs/{job}/result").status == 409
    assert client.post(f"/api/jobs/{waits}/start").status == 202
    assert client.wait(waits)["state"] == "done"


def test_what_is_to_be_deblurred_is_never_at_rest_before(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever waits for the end by asking for the state must not meet one that looks like it in between."""
    client, seen = start(), []

    class Look(logging.Handler):
        """Looks at the states whenever the log says that a piece of work has ended."""

        def emit(self, record: logging.LogRecord) -> None:
            assert client.jobs is not None
            seen.extend(job.state for job in client.jobs.all() if "check" in record.getMessage())

    looking = Look()
    LOG.addHandler(looking)
    caplog.set_level(logging.INFO, LOG.name)
    try:
        assert client.done(SMALL)["state"] == "done"
    finally:
        LOG.removeHandler(looking)
    assert len(seen) == 1 and seen[0] != "ready"


def test_after_a_swap_the_forgotten_result_is_not_served(start: Start) -> None:
    client = start()
    job = client.done(pair_of())["id"]
    before = client.get(f"/api/jobs/{job}/left").content
    assert client.get(f"/api/jobs/{job}/preview").status == client.get(f"/api/jobs/{job}/result").status == 200
    with occupied(client):
        assert client.post(f"/api/jobs/{job}/swap").status == 202
        for name in ("preview", "result", "left"):
            assert client.get(f"/api/jobs/{job}/{name}").status == 409
    assert client.wait(job)["state"] == "ready"
    assert client.get(f"/api/jobs/{job}/preview").status == client.get(f"/api/jobs/{job}/result").status == 409
    assert client.get(f"/api/jobs/{job}/right").content == before


@pytest.mark.parametrize("moment", ["before its turn", "while it is made"])
def test_what_is_deleted_while_its_file_is_made_leaves_nothing(start: Start, moment: str) -> None:
    client = start()
    job = client.done(pair_of(400, 400))["id"]
    assert client.jobs is not None
    held = client.jobs.find(job)
    with ThreadPoolExecutor(1) as aside:
        if moment == "before its turn":
            with occupied(client):
                asked = aside.submit(client.get, f"/api/jobs/{job}/result")
                while not client.jobs.files_under_way:
                    time.sleep(0.001)
                assert client.ask("DELETE", f"/api/jobs/{job}").status == 204
        else:
            asked = aside.submit(client.get, f"/api/jobs/{job}/result")
            while not held.holders and not asked.done():
                time.sleep(0.001)
            assert client.ask("DELETE", f"/api/jobs/{job}").status == 204
        reply: Reply = asked.result()
    assert reply.status in ((404,) if moment == "before its turn" else (404, 200))
    assert reply.status == 200 or reply.error.endswith(".")
    come_to_nothing(client)


def test_swapping_while_a_file_is_made(start: Start) -> None:
    """The file is of the result as it was, or refused; never a mistake, and never a mixture."""
    client = start()
    job = client.done(pair_of(96, 96))["id"]
    whole = client.get(f"/api/jobs/{job}/result?strength=0.5").content
    with ThreadPoolExecutor(4) as aside:
        for _ in range(3):
            asked = [aside.submit(client.get, f"/api/jobs/{job}/result?strength=0.5") for _ in range(4)]
            client.post(f"/api/jobs/{job}/swap")
            replies = [one.result() for one in asked]
            assert {reply.status for reply in replies} <= {200, 409}
            assert all(reply.content == whole for reply in replies if reply.status == 200)
            assert client.wait(job)["swap"]
            client.post(f"/api/jobs/{job}/swap")
            client.wait(job)
            client.post(f"/api/jobs/{job}/start")
            client.wait(job)


def test_two_at_once_change_one_pair_once(start: Start) -> None:
    """Of two that start, or swap, the same pair at one moment, one is told no."""
    client = start()
    job = client.done({**SMALL, "start": "no"})["id"]
    ready = threading.Barrier(2)

    def swap() -> int:
        ready.wait()
        return client.post(f"/api/jobs/{job}/swap").status

    with occupied(client), ThreadPoolExecutor(2) as aside:
        statuses = sorted(one.result() for one in [aside.submit(swap), aside.submit(swap)])
    assert statuses == [202, 409]
    assert client.wait(job)["swap"] is True

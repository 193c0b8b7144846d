"""Pairs and pictures elsewhere: the same names and bytes as on this disk, and a run that goes on where it was."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dualpix
from dualpix.errors import PairError, PictureError
from dualpix.inference import batch
from dualpix.inference.batch import Outcome, part_journal
from dualpix.inference.batch.journal import read_journals
from dualpix.inference.options import DeblurOptions
from dualpix.machine import storage
from dualpix.machine.storage import list_objects, read_object, write_object
from dualpix.machine.urls import Url
from object_store import Server

fsspec = pytest.importorskip("fsspec")

Pairs = Callable[..., None]
NAMES = ["a", "trip/b", "trip/c ü"]


@pytest.fixture
def bucket(home: Path, make_pairs: Pairs) -> Iterator[Url]:
    """A bucket whose folder `pairs` holds what the folder `pairs` does."""
    make_pairs(home / "pairs", *NAMES)
    system = fsspec.filesystem("memory")
    url = Url("memory://bucket")
    upload(home / "pairs", url / "pairs")
    yield url
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def upload(folder: Path, url: Url) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            write_object(url / path.relative_to(folder).as_posix(), path.read_bytes())


def run(source: object, output: object, **more: Any) -> list[Outcome]:
    known = {name: more.pop(name) for name in ("resume", "overwrite") if name in more}
    options = DeblurOptions()
    outcomes: list[Outcome] = []
    jobs = batch.list_jobs(source, output, options, **more)  # type: ignore[arg-type]
    batch.run_jobs(jobs, batch.open_weights("w.safetensors"), options, outcomes.append, **known)
    return sorted(outcomes, key=lambda outcome: outcome.job.place)


def objects(url: Url) -> dict[str, bytes]:
    """The pictures below a URL."""
    found = {one.relative_to(url).as_posix(): read_object(one) for one in list_objects(url)}
    return {name: content for name, content in found.items() if not name.endswith(".jsonl")}


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_bucket_becomes_what_a_folder_becomes(home: Path, bucket: Url) -> None:
    run("pairs", "out")
    outcomes = run(bucket / "pairs", bucket / "out")
    assert [outcome.state for outcome in outcomes] == ["made"] * 3
    assert objects(bucket / "out") == files(home / "out") and len(files(home / "out")) == 3
    run("pairs", bucket / "up")
    run(f"{bucket}/pairs", "down")
    assert objects(bucket / "up") == files(home / "down") == files(home / "out")
    run(f"{bucket}/pairs/trip/*_L.png", bucket / "some")
    assert sorted(objects(bucket / "some")) == ["b.png", "c ü.png"]


def test_resume_makes_what_is_missing_or_has_changed(bucket: Url) -> None:
    pairs, out = bucket / "pairs", bucket / "out"
    run(pairs, out)
    with pytest.raises(PictureError, match=r"memory://bucket/out holds 3 of the 3 pictures already"):
        run(pairs, out)
    assert [outcome.state for outcome in run(pairs, out, resume=True)] == ["kept"] * 3
    storage.remove_object(out / "a.png")
    write_object(pairs / "trip" / "b_L.png", read_object(pairs / "a_L.png"))
    write_object(pairs / "trip" / "b_R.png", read_object(pairs / "a_R.png"))
    write_object(out / "trip" / "c ü.png", b"somebody else's")
    outcomes = run(pairs, out, resume=True)
    assert [outcome.state for outcome in outcomes] == ["made", "made", "failed"]
    assert "was not made by this command" in outcomes[2].error
    assert read_object(out / "trip" / "c ü.png") == b"somebody else's"
    assert [outcome.state for outcome in run(pairs, out, resume=True, overwrite=True)] == ["kept", "kept", "made"]


def test_a_run_cut_off_before_its_lines_were_put_makes_those_again(bucket: Url) -> None:
    run(bucket / "pairs", bucket / "out")
    (part,) = list_objects(bucket / "out" / "dualpix-journal")
    lines = [line for line in read_object(part).splitlines(True) if json.loads(line)["state"] == "started"]
    write_object(part, b"".join(lines) + b'{"state": "ma')
    histories = read_journals(bucket / "out")
    assert len(histories) == 3 and all(history.started for history in histories.values())
    assert [outcome.state for outcome in run(bucket / "pairs", bucket / "out", resume=True)] == ["made"] * 3
    assert not any(history.started for history in read_journals(bucket / "out").values())


def test_a_full_part_of_a_journal_is_left_alone(bucket: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_journal, "PART_BYTES", 100)
    monkeypatch.setattr(part_journal, "AHEAD", 1)
    run(bucket / "pairs", bucket / "out")
    assert len(list_objects(bucket / "out" / "dualpix-journal")) >= 3
    assert [outcome.state for outcome in run(bucket / "pairs", bucket / "out", resume=True)] == ["kept"] * 3


def test_a_manifest_elsewhere_names_what_lies_beside_it(home: Path, bucket: Url) -> None:
    lines = [
        {"left": "pairs/a_L.png", "right": "pairs/a_R.png", "output": "one.png"},
        {"left": f"{bucket}/pairs/trip/b_L.png", "right": f"{bucket}/pairs/trip/b_R.png"},
    ]
    manifest = bucket / "list.jsonl"
    write_object(manifest, "\n".join(map(json.dumps, lines)).encode())
    run(manifest, "out")
    assert sorted(files(home / "out")) == ["b.png", "one.png"]
    write_object(manifest, json.dumps({"left": "memory://other/a_L.png"}).encode())
    with pytest.raises(PairError, match=r"memory://other/a_L.png is outside of the manifest's folder"):
        run(manifest, "more")
    write_object(manifest, b'{"left": "/etc/passwd"}\n{"left": "../other/a.png"}')
    with pytest.raises(PairError, match=r"line 1: /etc/passwd is outside.*In all 2 of 2 lines"):
        run(manifest, "more")
    write_object(manifest, json.dumps({"left": "pairs/a_L.png", "output": "x.png"}).encode() + b"\n{oops\n[]\n")
    with pytest.raises(PairError, match=r"line 2 is not JSON.* In all 2 of 3 lines are like that"):
        run(manifest, "more")


def test_what_is_wrong_elsewhere_is_one_sentence(bucket: Url) -> None:
    with pytest.raises(PairError, match=r"^memory://bucket/none .*(cannot be opened|holds no pairs)"):
        run(bucket / "none", "more")
    with pytest.raises(PairError, match=r"^memory://bucket/pairs is the folder of the inputs"):
        run(bucket / "pairs", bucket / "pairs")
    write_object(bucket / "odd" / "a_L.png", b"no picture")
    write_object(bucket / "odd" / "a_R.png", b"no picture")
    (outcome,) = run(bucket / "odd", "more")
    assert outcome.error.startswith("memory://bucket/odd/a_L.png is"), outcome.error
    write_object(bucket / "lonely" / "b_L.png", b"no picture")
    write_object(bucket / "lonely" / "b_L.tif", b"no picture")
    assert all("memory://bucket/lonely/b_L" in outcome.error for outcome in run(bucket / "lonely", "much"))


def test_python_reads_and_writes_by_url(bucket: Url) -> None:
    views = [f"{bucket}/pairs/a_{side}.png" for side in "LR"]
    here = dualpix.deblur("pairs/a_L.png", "pairs/a_R.png", "w.safetensors")
    assert (dualpix.deblur(*views, "w.safetensors") == here).all()
    dualpix.write_picture(f"{bucket}/made.png", here)
    assert dualpix.read_picture(f"{bucket}/made.png").path == bucket / "made.png"
    with pytest.raises(PictureError, match=r"^memory://bucket/made.png exists already"):
        dualpix.write_picture(f"{bucket}/made.png", here)
    with pytest.raises(PictureError, match=r"^memory://bucket/none.png cannot be read: it does not exist"):
        dualpix.open_views(f"{bucket}/none.png", views[1])


@pytest.mark.slow
def test_a_run_on_a_real_server_survives_kills_and_absences(
    server: Server, home: Path, make_pairs: Pairs, start: Callable[..., Any]
) -> None:
    make_pairs(home / "pairs", *(f"p{number:02}" for number in range(24)))
    run("pairs", "out")
    photos = Url("s3://photos")
    upload(home / "pairs", photos / "pairs")
    first = f"os.environ.update({server.environment!r})"
    words = ("deblur", "s3://photos/pairs", "-o", "s3://photos/out", "-w", "w.safetensors", "--resume")
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            try:
                seen.update(objects(photos / "out").values())
            except OSError:
                continue  # the server is away

    watcher = threading.Thread(target=watch)
    watcher.start()
    process = start(*words, first=first)
    while len(objects(photos / "out")) < 4:
        time.sleep(0.05)
    process.kill(signal.SIGKILL)
    process.end()
    process = start(*words, first=first)
    while len(objects(photos / "out")) < 12:
        time.sleep(0.05)
    server.end()
    time.sleep(5)
    server.start()
    assert process.end() == 0, process.err.read_text()
    over.set()
    watcher.join()
    assert objects(photos / "out") == files(home / "out")
    assert seen <= set(files(home / "out").values()), "an object was seen that is not whole"
    assert os.listdir(home / "buckets" / "photos" / "out" / "dualpix-journal")

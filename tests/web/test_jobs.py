"""Jobs at the jobs: their states, their ends, and what is left of them."""

import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from asking import Client, pair_of
from PIL import Image

from dualpix.errors import MachineError, PairError, option
from dualpix.inference.bands import make_plan
from dualpix.inference.deblur import Deblurred
from dualpix.inference.engines.pytorch import Runner
from dualpix.inference.pipeline import deblur_views
from dualpix.io.formats import ENDINGS
from dualpix.pairs.sources import BOTH_VIEWS
from dualpix.web import pipeline
from dualpix.web.http_errors import HttpError
from dualpix.web.job import http_error_of
from dualpix.web.jobs import Jobs
from dualpix.web.limits import Limits
from dualpix.web.pipeline import Upload, reworded, upload_name
from dualpix.web.uploads import MASK, PAIR
from dualpix.weights.checkpoint import Checkpoint

Start = Callable[..., Client]


def several_bands(small: Checkpoint, height: int, width: int) -> str:
    """So little memory that a picture of this size is cut into bands."""
    plan = make_plan(Runner(small.network, "auto", "auto"), [torch.zeros(3, height, width)] * 2)
    assert len(plan.bands) == 1
    return str(plan.peak_bytes - 1)


def test_stopping_between_bands(start: Start, small: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    told_of_stop = threading.Event()

    def held(*args: Any) -> Deblurred:
        """Deblur, and go on after the first band only when the stop has arrived."""
        *given, progress = args

        def tell(done: int, total: int) -> None:
            progress(done, total)
            assert told_of_stop.wait(60)

        return deblur_views(*given, tell)

    monkeypatch.setattr(pipeline, "deblur_views", held)
    client = start(memory=several_bands(small, 400, 64))
    job = client.upload(pair_of(400, 64)).json["id"]
    while not (told := client.wait(job, "running", "done"))["bands"]:
        time.sleep(0.01)
    assert told["state"] == "running" and told["bands"] > 1
    assert client.post(f"/api/jobs/{job}/stop").status == 202
    told_of_stop.set()
    stopped = client.wait(job)
    assert stopped["state"] == "ready" and stopped["bands_done"] < stopped["bands"]
    assert client.get(f"/api/jobs/{job}/result").status == 409
    assert client.get(f"/api/jobs/{job}/left").status == 200
    assert client.post(f"/api/jobs/{job}/start").status == 202
    assert client.wait(job)["state"] == "done"


def test_deleting_while_it_runs(start: Start) -> None:
    client = start()
    job = client.upload(pair_of(480, 64)).json["id"]
    client.wait(job, "running")
    assert client.post(f"/api/jobs/{job}/start").status == 409
    assert client.post(f"/api/jobs/{job}/swap").status == 409
    assert client.ask("DELETE", f"/api/jobs/{job}").status == 204
    assert client.get(f"/api/jobs/{job}").status == 404
    end_s = time.monotonic() + 60
    while list(client.jobs.root.iterdir()):
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_one_after_the_other(start: Start) -> None:
    """While one runs the next waits; it can be stopped before its turn, and looked at."""
    client = start()
    gate = threading.Event()
    assert client.jobs is not None
    client.jobs.workers.slow.submit(gate.wait, 120)
    first, second = (client.upload(pair_of()).json["id"] for _ in range(2))
    for job in (first, second):
        assert client.wait(job, "waiting", "done")["state"] == "waiting"
    assert client.get(f"/api/jobs/{second}/disparity").status == 200
    assert client.post(f"/api/jobs/{second}/stop").json["state"] == "ready"
    assert client.post(f"/api/jobs/{second}/start").status == 202
    gate.set()
    assert client.wait(first)["state"] == client.wait(second)["state"] == "done"


def test_work_that_takes_too_long(start: Start) -> None:
    client = start(work_s=0.001)
    told = client.done(pair_of())
    assert (told["state"], told["status"]) == ("failed", 504) and "longer" in told["error"]
    assert client.get(f"/api/jobs/{told['id']}/result").status == 504


def test_a_file_that_takes_too_long_to_make(start: Start) -> None:
    client = start(render_s=0.0)
    told = client.done(pair_of())
    assert client.get(f"/api/jobs/{told['id']}/result").status == 504


def test_too_little_memory(start: Start) -> None:
    told = start(memory="1MB").done(pair_of())
    assert (told["state"], told["status"]) == ("failed", 503) and "memory" in told["error"]


def test_too_many_pixels(start: Start) -> None:
    told = start(megapixels=0.001).done(pair_of())
    assert (told["state"], told["status"]) == ("failed", 422) and "megapixels" in told["error"]


def test_a_full_disk(start: Start) -> None:
    reply = start(free_disk_bytes=2**60).upload(pair_of())
    assert reply.status == 503 and "disk" in reply.error


def test_results_expire_by_time(start: Start) -> None:
    client = start(kept_s=0.5)
    told = client.done({**pair_of(), "start": "no"})
    time.sleep(0.6)
    reply = client.get(f"/api/jobs/{told['id']}")
    assert reply.status == 404 and "expired" in reply.error
    assert not list(client.jobs.root.iterdir())


def test_results_expire_by_number_the_longest_unused_first(start: Start) -> None:
    client = start(kept_jobs=2)
    jobs = [client.done({**pair_of(), "start": "no"})["id"] for _ in range(2)]
    assert client.get(f"/api/jobs/{jobs[0]}").status == 200  # now the other one is the longest unused
    jobs.append(client.done({**pair_of(), "start": "no"})["id"])
    assert [client.get(f"/api/jobs/{job}").status for job in jobs] == [200, 404, 200]
    assert len(list(client.jobs.root.iterdir())) == 2


def test_ids_cannot_be_guessed(start: Start) -> None:
    client = start()
    ids = {client.upload({**pair_of(), "start": "no"}).json["id"] for _ in range(4)}
    assert len(ids) == 4 and min(map(len, ids)) >= 24


def test_many_jobs_leave_no_files_open(start: Start) -> None:
    """In small."""
    client, counts = start(), []
    for number in range(25):
        job = client.done({**pair_of(24, 24), "start": "no"})["id"]
        assert client.get(f"/api/jobs/{job}/before").status == 200
        assert client.ask("DELETE", f"/api/jobs/{job}").status == 204
        if number % 12 == 0:
            counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert max(counts) - counts[0] <= 2


def test_closing_forgets_everything(small: Checkpoint, tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, small, limits=Limits())
    with jobs.admit() as folder:
        for side, content in pair_of(480, 64).items():
            (folder / f"{side}.png").write_bytes(content)
        job = jobs.add(Upload(folder, folder / "left.png", folder / "right.png"), start=True)
    while job.state != "running":
        time.sleep(0.01)
    assert jobs.close(patience_s=60)
    assert not list(tmp_path.iterdir())
    with pytest.raises(HttpError, match="no such job"):
        jobs.find(job.id)


def test_an_upload_that_fails_leaves_nothing(small: Checkpoint, tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, small, limits=Limits(active_jobs=1))
    for _ in range(3):  # the place is given back each time
        with pytest.raises(ValueError, match="broken"), jobs.admit() as folder:
            (folder / "left.png").write_bytes(b"x")
            raise ValueError("broken")
    assert not list(tmp_path.iterdir())
    jobs.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [(MachineError("a."), 503), (PairError("a."), 422), (MemoryError(), 503), (OSError(28, "full"), 503),
     (FileNotFoundError(), 404), (ZeroDivisionError(), 500), (HttpError(418, "a."), 418)],
)  # fmt: skip
def test_every_error_has_its_status(error: Exception, status: int, tmp_path: Path) -> None:
    refusal = http_error_of(error, tmp_path)
    assert refusal.status == status and refusal.sentence.endswith(".")


def test_sentences_name_no_folder_and_no_option(tmp_path: Path) -> None:
    swapped = f"{tmp_path}/left.png and {tmp_path}/right.png are swapped ({option('swap')})."
    assert reworded(PairError(swapped), tmp_path) == "left.png and right.png are swapped."
    for advice, left in {
        f"; give one, or {option('layout', 'raw')}.": "; give one.",
        f"; give {option('force')} to go on.": ".",
        f", as {option('memory', None)} asks; give less, or leave it out.": "; use smaller views.",
        f". To exchange them, give {option('swap')}; to go on, {option('force')}.": ".",
    }.items():
        assert reworded(PairError(f"They are odd{advice}"), tmp_path) == f"They are odd{left}"


def test_names_of_uploads() -> None:
    names = [upload_name("left", suffix) for suffix in (".png", ".pgm", ".CR3", ".exe", "", "/..")]
    assert names == ["left.png", "view_left.pgm", "left", "left", "left", "left"]


def test_no_file_of_a_job_has_the_name_of_an_upload(start: Start, pair: dict[str, bytes]) -> None:
    client = start()
    assert client.jobs is not None
    folder = client.jobs.find(client.done(pair)["id"]).upload.folder
    ours = {path.name for path in folder.iterdir()} - {"left.png", "right.png"}
    assert len(ours) >= 6
    given = {upload_name(field, kind) for field in (*PAIR.files, *MASK.files) for kind in ("", *ENDINGS, *BOTH_VIEWS)}
    assert not ours & given


def test_an_upright_picture_is_shown_upright(start: Start) -> None:
    """The orientation tag goes into previews, and the pixels of those that can carry none are turned."""
    fields = {}
    for side, content in pair_of().items():
        buffer, exif = BytesIO(), Image.Exif()
        exif[274] = 6
        Image.open(BytesIO(content)).save(buffer, "PNG", exif=exif)
        fields[side] = buffer.getvalue()
    client = start()
    job = client.done(fields)["id"]
    for name in ("before", "preview", "disparity", "left"):
        shown = Image.open(BytesIO(client.get(f"/api/jobs/{job}/{name}").content))
        is_turned = shown.getexif().get(274) == 6
        assert (shown.size, is_turned) in [((48, 56), False), ((56, 48), True)]

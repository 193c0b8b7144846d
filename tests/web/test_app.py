"""What the endpoint does for its users: upload, wait, look, fetch. The reference is the command line's own result."""

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from asking import Client, multipart, pair_of, picture, png
from PIL import Image

import dualpix as package

DEMO = Path(package.__file__).parent / "demo_pair"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def done(client: Client, pair: dict[str, bytes]) -> str:
    """A job that is done."""
    told = client.done(pair)
    assert told["state"] == "done" and told["error"] is None
    assert told["report"].startswith("Changed ") and "--" not in told["report"] + "".join(told["notes"])
    return str(told["id"])


def test_the_result_is_the_file_that_the_command_line_writes(
    client: Client, done: str, pair: dict[str, bytes], weights: Path, tmp_path: Path, dualpix: Command
) -> None:
    for side in ("left", "right"):
        (tmp_path / f"{side}.png").write_bytes(pair[side])
    for name, query in (("png", ""), ("tif", "?format=tif"), ("jpg", "?format=jpg&depth=8")):
        output = tmp_path / f"out.{name}"
        words = ["deblur", str(tmp_path / "left.png"), str(tmp_path / "right.png"), "-o", str(output)]
        code, _, errors = dualpix(
            *words, "--weights", str(weights), "--depth", "8" if name == "jpg" else "16", "--force"
        )
        assert code == 0, errors
        reply = client.get(f"/api/jobs/{done}/result{query}")
        assert reply.status == 200 and reply.headers["content-disposition"] == "attachment"
        assert reply.content == output.read_bytes()
    assert imagecodecs.png_decode(client.get(f"/api/jobs/{done}/result").content).dtype == np.uint16


def test_jpeg_files_are_read_as_they_were_sent(client: Client, weights: Path, tmp_path: Path, dualpix: Command) -> None:
    """Their names must not be those of the pictures to look at, which are smaller from `THUMB_PX` on."""
    whole, fields = picture(48, 802), {}
    for side, view in (("left", whole[:, 2:]), ("right", whole[:, :-2])):
        Image.fromarray(view).save(tmp_path / f"{side}.jpg", quality=95)
        fields[side] = (tmp_path / f"{side}.jpg").read_bytes()
    names = {side: f"{side}.jpg" for side in fields}
    job = client.done(fields, names)["id"]
    for words in ([], ["--swap"]):
        views, made = [str(tmp_path / name) for name in names.values()], tmp_path / f"out{len(words)}.png"
        code, _, errors = dualpix(*["deblur", *views, "-o", str(made), "-w", str(weights), "--force", *words])
        assert code == 0, errors
        result = client.get(f"/api/jobs/{job}/result?format=png&depth=8")
        assert np.array_equal(np.asarray(Image.open(BytesIO(result.content))), np.asarray(Image.open(made)))
        assert client.post(f"/api/jobs/{job}/swap").status == 202
        assert client.wait(job)["state"] == "ready"
        assert client.post(f"/api/jobs/{job}/start").status == 202
        assert client.wait(job)["state"] == "done"


def test_strength_mixes_the_result_with_the_mean_of_the_views(
    client: Client, done: str, pair: dict[str, bytes]
) -> None:
    def fetch(strength: str) -> np.ndarray:
        reply = client.get(f"/api/jobs/{done}/result?format=tif&strength={strength}")
        return tifffile.imread(BytesIO(reply.content)).astype(float)

    left, right = (np.asarray(Image.open(BytesIO(pair[side])), float) * 257 for side in ("left", "right"))
    mean, whole = (left + right) / 2, fetch("1")
    assert np.abs(whole - mean).max() > 300  # or the rest would say nothing
    assert np.abs(fetch("0") - mean).max() <= 0.51
    assert np.abs(fetch("0.25") - (0.75 * mean + 0.25 * whole)).max() <= 1.01


def test_pictures_to_look_at(client: Client, done: str) -> None:
    for name, kind in {
        "left": "jpeg",
        "right": "jpeg",
        "before": "jpeg",
        "preview": "jpeg",
        "disparity": "png",
    }.items():
        reply = client.get(f"/api/jobs/{done}/{name}")
        assert (reply.status, reply.headers["content-type"]) == (200, f"image/{kind}")
        assert Image.open(BytesIO(reply.content)).size == (56, 48)


def test_a_pair_can_be_checked_swapped_and_then_started(client: Client) -> None:
    told = client.done({**pair_of(96, 256), "start": "no"})
    assert told["state"] == "ready" and told["check"]["width"] == 256 and told["check"]["verdict"]
    one = f"/api/jobs/{told['id']}"
    assert client.get(f"{one}/result").status == 409
    assert client.get(f"{one}/preview").status == 409
    before = client.get(f"{one}/left").content
    assert client.post(f"{one}/swap").status == 202
    swapped = client.wait(told["id"])
    assert swapped["swap"] and swapped["version"] > told["version"]
    assert client.get(f"{one}/right").content == before != client.get(f"{one}/left").content
    middle = [told["check"]["disparity"]["middle_px"], swapped["check"]["disparity"]["middle_px"]]
    assert middle[0] == pytest.approx(-middle[1], abs=0.2) and abs(middle[0]) > 1
    assert client.post(f"{one}/start").status == 202
    assert client.wait(told["id"])["state"] == "done"


def test_an_upright_pair_is_turned_for_the_work_and_shown_upright(client: Client) -> None:
    views = {side: np.asarray(Image.open(DEMO / f"{side}.png"))[:256, :320] for side in ("left", "right")}
    upright: dict[str, bytes | str] = {side: png(np.rot90(view).copy()) for side, view in views.items()}
    told = client.done({**upright, "start": "no"})
    lying = client.done({**{side: png(view) for side, view in views.items()}, "start": "no"})
    assert (told["check"]["quarter_turns"], lying["check"]["quarter_turns"]) == (3, 0)
    assert {**told["check"], "quarter_turns": 0, "notes": []} == {**lying["check"], "notes": []}
    assert "stands upright" in told["notes"][-1] and lying["notes"] == []
    assert Image.open(BytesIO(client.get(f"/api/jobs/{told['id']}/left").content)).size == (256, 320)
    left_alone = client.done({**upright, "start": "no", "turn": "none"})
    assert list(left_alone["check"]["odd"]) == ["vertical"]


def test_one_file_that_holds_both(client: Client) -> None:
    whole = picture(48, 58)
    both = np.concatenate([whole[:, 2:], whole[:, :-2]], axis=1)
    told = client.done({"left": png(both), "layout": "side-by-side"})
    assert told["state"] == "done" and told["check"]["width"] == 56
    buffer = BytesIO()
    np.savez(buffer, left=whole[:, 2:], right=whole[:, :-2])
    assert client.done({"left": buffer.getvalue()}, {"left": "views.npz"})["state"] == "done"
    lonely = client.done({"left": png(whole)})
    assert lonely["state"] == "failed" and "other view" in lonely["error"]


def test_sixteen_bits_stay_sixteen_bits(client: Client) -> None:
    fields: dict[str, bytes | str] = {}
    for side, moved in (("left", 0), ("right", 2)):
        buffer = BytesIO()
        tifffile.imwrite(buffer, picture(48, 60)[:, moved : moved + 56].astype(np.uint16) * 257 + 3, photometric="rgb")
        fields[side] = buffer.getvalue()
    told = client.done(fields, {"left": "a.TIF", "right": "b.tif"})
    assert told["state"] == "done" and told["check"]["depth"] == 16
    zero = client.get(f"/api/jobs/{told['id']}/result?format=tif&strength=0").content
    left, right = (tifffile.imread(BytesIO(fields[side])).astype(float) for side in ("left", "right"))
    assert np.abs(tifffile.imread(BytesIO(zero)) - (left + right) / 2).max() <= 0.51


def test_deleting_leaves_nothing(client: Client, pair: dict[str, bytes]) -> None:
    told = client.done({**pair, "start": "no"})
    folder = client.jobs.find(told["id"]).upload.folder
    assert folder.is_dir()
    assert client.ask("DELETE", f"/api/jobs/{told['id']}").status == 204
    assert not folder.exists()
    for path in ("", "/left", "/result"):
        assert client.get(f"/api/jobs/{told['id']}{path}").status == 404
    assert client.ask("DELETE", f"/api/jobs/{told['id']}").status == 404


def test_downloads_leave_nothing(client: Client, done: str) -> None:
    folder = client.jobs.find(done).upload.folder
    before = sorted(folder.iterdir())
    assert client.get(f"/api/jobs/{done}/result").status == 200
    assert sorted(folder.iterdir()) == before


BROKEN = {
    "text": (b"not a picture at all", 422),
    "cut": (png(picture())[:200], 422),
    "bomb": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0\0\0\0\0", 422),
    "page": (b"<!doctype html><script>alert(1)</script>", 422),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_told_in_one_sentence(client: Client, pair: dict[str, bytes], name: str) -> None:
    """Refused, and the sentence names the file but no folder of the server."""
    content, status = BROKEN[name]
    told = client.done({"left": content, "right": pair["right"]})
    assert (told["state"], told["status"]) == ("failed", status)
    assert "left" in told["error"] and "/" not in told["error"]
    reply = client.get(f"/api/jobs/{told['id']}/result")
    assert (reply.status, reply.error) == (status, told["error"])
    assert client.post(f"/api/jobs/{told['id']}/start").status == status
    assert client.post(f"/api/jobs/{told['id']}/swap").status == status


def test_views_that_are_no_pair(client: Client, pair: dict[str, bytes]) -> None:
    told = client.done({"left": pair["left"], "right": pair["left"]})
    assert told["state"] == "failed" and "same pixels" in told["error"]
    told = client.done({"left": pair["left"], "right": png(picture(40, 40))})
    assert told["state"] == "failed" and "56 x 48" in told["error"] and "/" not in told["error"]


WRONG = [
    ({"right": b"x"}, 400, "in the field left"),
    ({"left": b""}, 400, "empty"),
    ({"left": "text"}, 400, "no file"),
    ({"left": b"x", "layout": "diagonal"}, 400, "side-by-side"),
    ({"left": b"x", "turn": "sideways"}, 400, "auto, none, left, half, right"),
    ({"left": b"x", "start": "perhaps"}, 400, "yes or no"),
    ({"left": b"x", "colour": "red"}, 400, "no field"),
    ({"left": b"x", "swap": "1" * 5000}, 400, ""),
]


@pytest.mark.parametrize(("fields", "status", "words"), WRONG)
def test_wrong_fields(client: Client, fields: dict[str, bytes | str], status: int, words: str) -> None:
    reply = client.upload(fields)
    assert reply.status == status and words in reply.error


def test_wrong_kinds_of_body(client: Client) -> None:
    """Wrong type."""
    assert client.ask("POST", "/api/jobs", b"{}", content_type="application/json").status == 415
    assert client.ask("POST", "/api/jobs", b"").status == 415
    assert client.ask("POST", "/api/jobs", b"rubbish", content_type="multipart/form-data").status == 400
    kind = "multipart/form-data; boundary=x"
    assert client.ask("POST", "/api/jobs", b"\0\xff rubbish", content_type=kind).status == 400
    three = multipart({"left": b"a", "right": b"b"}).replace(b"--\r\n", b"\r\n") + multipart({"third": b"c"})
    assert (
        client.ask("POST", "/api/jobs", three, content_type="multipart/form-data; boundary=----dualpix").status == 400
    )
    assert client.get("/api/limits").status == 200


@pytest.mark.parametrize(
    "query",
    [
        *("format=exe", "format=../../x", "depth=12", "format=jpg&depth=16", "foramt=tif"),
        *("depth=8&depth=16", "format=png&format=png"),
        *("strength=2", "strength=nan", "strength=-1", "strength=x", "aperture=2&blades=3.5"),
    ],
)
def test_wrong_wishes(client: Client, done: str, query: str) -> None:
    reply = client.get(f"/api/jobs/{done}/result?{query}")
    assert reply.status == 400 and reply.error.endswith(".")


NAMES = ["../../evil.png", "/etc/passwd", "x" * 251 + ".png", "%2e%2e%2fevil.png", "C:\\evil.png", "a\x01.png",
         "é ü 漢.png", "..", ".png", "evil.png.exe", "evil.sh", "result.npy"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_uploads_are_never_paths(client: Client, pair: dict[str, bytes], name: str) -> None:
    """Whatever a file is called, it is stored under a name of our own in the job's own folder."""
    reply = client.upload({**pair, "start": "no"}, {"left": name})
    assert reply.status == 202
    upload = client.jobs.find(reply.json["id"]).upload
    assert upload.left.parent == upload.folder and upload.left.name in ("left.png", "left")
    assert client.wait(reply.json["id"])["state"] == "ready"
    assert client.ask("DELETE", f"/api/jobs/{reply.json['id']}").status == 204


def test_addresses_are_never_paths(client: Client, done: str) -> None:
    """Only ids that the jobs knows lead to files."""
    secret = client.jobs.find(done).upload.folder
    for path in ("/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/app.py", "/page/index.html", f"/{secret}",
                 "/api/jobs/..%2f..%2fetc", "/api/jobs/%00", f"/api/jobs/{done}/result.npy",
                 f"/api/jobs/{done}/../left", f"/api/jobs/{done}/%2e%2e/x", f"/api/jobs/{secret.name}",
                 "/api/jobs/", "/docs"):  # fmt: skip
        reply = client.get(path)
        assert reply.status == 404 and reply.error.endswith(".")
    assert client.get("/api/jobs").status == 405
    assert client.ask("PUT", "/").status == 405


def test_a_client_that_leaves_in_the_middle(client: Client, pair: dict[str, bytes]) -> None:
    """The upload is thrown away, and the server goes on."""
    folders = len(list(client.jobs.root.iterdir()))
    for _ in range(3):
        connection = client.connect()
        connection.putrequest("POST", "/api/jobs")
        connection.putheader("content-type", "multipart/form-data; boundary=----dualpix")
        connection.putheader("content-length", "100000")
        connection.endheaders(multipart(pair)[:1500])
        connection.close()
    assert client.get("/").status == 200
    end_s = time.monotonic() + 20
    while len(list(client.jobs.root.iterdir())) != folders:
        assert time.monotonic() < end_s
        time.sleep(0.05)

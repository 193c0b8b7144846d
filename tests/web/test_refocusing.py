"""A result focused anew on the page: files are the command line's, and clicks find their place in turned files."""

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from asking import Client, picture, running
from PIL import Image, ImageOps

from dualpix import networks
from dualpix.io.writing import upright
from dualpix.web.assets import content_of
from dualpix.web.jobs import Jobs
from dualpix.weights import checkpoint

Command = Callable[..., tuple[int, str, str]]
NODE = shutil.which("node")


def layers(folder: Path, orientation: int) -> dict[str, bytes]:
    """The fields of an upload, also as files: the upper half lies behind the focus; the EXIF turns both."""
    fields = {}
    whole = picture(64, 100)
    for side, shift in (("left", 2), ("right", 0)):
        view = whole[:, 2:98].copy()
        view[:32] = whole[:32, shift : shift + 96]
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(view).save(folder / f"{side}.png", exif=exif)
        fields[side] = (folder / f"{side}.png").read_bytes()
    return fields


@pytest.mark.parametrize(
    ("turn", "query", "words"),
    [
        ("none", "aperture=2&focus_at=40,10", "--aperture 2 --focus-at 40,10"),
        ("left", "focus=0.25&highlights=4&blades=6", "--focus 0.25 --highlights 4 --blades 6"),
        ("right", "aperture=3&focus_at=80,50", "--aperture 3 --focus-at 80,50"),
    ],
)
def test_files_are_those_that_the_command_line_writes(
    client: Client, weights: Path, tmp_path: Path, dualpix: Command, turn: str, query: str, words: str
) -> None:
    told = client.done({**layers(tmp_path, 6), "turn": turn})
    job = f"/api/jobs/{told['id']}"
    assert told["refocus"]["orientation"] == 6 and told["refocus"]["low_px"] <= 0 <= told["refocus"]["high_px"]
    left, right, out, moving = (str(tmp_path / name) for name in ("left.png", "right.png", "out.png", "s.webp"))
    given = ["-o", out, "--weights", str(weights), "--depth", "16", "--force", "--turn", turn]
    sweep = ["--sweep", moving] if turn == "left" else []
    code, _, errors = dualpix("refocus", left, right, *words.split(), *given, *sweep)
    assert code == 0, errors
    reply = client.get(f"{job}/result?{query}")
    assert reply.status == 200 and reply.content == Path(out).read_bytes()
    if sweep:
        swept = client.get(f"{job}/sweep?{query}")
        assert swept.headers["content-type"] == "image/webp" and swept.content == Path(moving).read_bytes()
    assert client.get(f"{job}/result?aperture=0").content == client.get(f"{job}/result").content
    seen = [Image.open(BytesIO(client.get(f"{job}/preview{query}").content)) for query in ("?aperture=4&focus=0", "")]
    shown, plain = (np.asarray(ImageOps.exif_transpose(one), dtype=float) for one in seen)
    assert shown.shape == plain.shape and np.abs(shown - plain).mean() > 0.5


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("aperture=9", "aperture must be a number from 0 to 8, not 9.0"),
        ("aperture=nan", "aperture must be a number from 0 to 8"),
        ("aperture=wide", "The aperture must be a number, not 'wide'."),
        ("blades=-6", "cannot have -6 blades"),
        ("focus=40", "Nothing in this picture has a disparity of 40 px"),
        ("focus=1&focus_at=1,1", "focus and focus_at each ask for one"),
        ("focus_at=96,3", "96,3 lies outside of the picture of 96 x 64 pixels"),
        ("aperture=2&keep=behind", "leave out keep, mask, strength"),
        ("aperture=2&strength=0.5", "leave out keep, mask, strength"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(refocusable: tuple[Client, str], query: str, says: str) -> None:
    client, job = refocusable
    shown, reply = client.get(f"{job}/preview?{query}"), client.get(f"{job}/result?{query}")
    assert shown.status == reply.status == 400 and shown.error == reply.error
    assert says in reply.error and reply.error.endswith(".") and "\ue000" not in reply.error


@pytest.fixture(scope="module")
def refocusable(client: Client, tmp_path_factory: pytest.TempPathFactory) -> tuple[Client, str]:
    return client, f"/api/jobs/{client.done(layers(tmp_path_factory.mktemp('views'), 1))['id']}"


def test_what_the_machine_or_the_result_cannot_is_told(refocusable: tuple[Client, str], tmp_path: Path) -> None:
    client, job = refocusable
    assert "above 0" in client.get(f"{job}/sweep?aperture=0").error
    assert client.jobs is not None
    kept = client.jobs.find(job.rpartition("/")[2])
    known = kept.refocusable
    assert known is not None
    kept.refocusable = dataclasses.replace(known, memory="400MB")
    refused = client.get(f"{job}/result?aperture=2")
    assert refused.status == 503 and "may use 0.40 GB" in refused.error
    assert client.get(f"{job}/preview?aperture=2").status == 200, "which is small"
    kept.refocusable = known
    fields = layers(tmp_path, 1)
    waiting = client.done({**fields, "start": "no"})
    early = client.get(f"/api/jobs/{waiting['id']}/sweep")
    assert (early.status, early.error) == (409, "This picture is not there yet: the pair is ready.")
    (tmp_path / "blind").mkdir()
    network = networks.create("dpdnet", widths=(8, 16, 32, 64, 128))
    path = checkpoint.save(tmp_path / "d.safetensors", network, "dpdnet", {"widths": (8, 16, 32, 64, 128)})
    with running(Jobs(tmp_path / "blind", checkpoint.load(path))) as blind:
        told = blind.done(fields)
        reply = blind.get(f"/api/jobs/{told['id']}/preview?aperture=2")
        assert told["refocus"] is None and reply.status == 409 and "no disparity" in reply.error


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_a_click_finds_its_place_in_files_that_are_turned(tmp_path: Path) -> None:
    """Against the turning of Python, for all eight orientations of EXIF."""
    grid = torch.arange(12 * 20).view(1, 12, 20)
    (tmp_path / "planes.mjs").write_bytes(content_of("planes.js"))
    (tmp_path / "refocus.mjs").write_text(content_of("refocus.js").decode().replace('.js"', '.mjs"'))
    (tmp_path / "asking.mjs").write_text("""
import { Refocusing, apertureName, inFile } from "./refocus.mjs";
const places = [[0, 0], [0.13, 0.77], [0.51, 0.49], [0.99, 0.02]];
const found = [1, 2, 3, 4, 5, 6, 7, 8].map((turn) => places.map(([x, y]) => inFile(x, y, [20, 12], turn)));
class Control extends EventTarget {
  setAttribute() {}
  closest() { return null; }
  get valueAsNumber() { return Number(this.value); }
}
const controls = {}, part = (id) => controls[id] ??= new Control(), queries = [];
let changes = 0;
const asked = new Refocusing(part, () => { changes += 1; });
const note = () => queries.push(asked.wish && String(new URLSearchParams(asked.wish)));
asked.offer({ low_px: -1.02, high_px: 2.01, orientation: 6 }, [20, 12], null);
note();
Object.assign(part("anew"), { checked: true });
part("aperture").value = 2.5;
note();
asked.aim(0.13, 0.77);
note();
part("focus").value = 0.5;
for (const kind of ["input", "change"]) part("focus").dispatchEvent(new Event(kind));
note();
const [{ min, max }, isOffered] = [part("focus"), !part("anew").hidden];
asked.offer(null, [20, 12], null);
note();
const names = [0, 1, 2.5].map(apertureName);
const offers = [isOffered, !part("anew").hidden];
console.log(JSON.stringify({ places, found, queries, names, changes, min, max, offers }));
""")
    line = [str(NODE), "asking.mjs"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)
    for turn, found in enumerate(told["found"], 1):
        seen = upright(grid, turn)[0]
        for (x, y), (column, row) in zip(told["places"], found, strict=True):
            shown = seen[int(y * seen.shape[0]), int(x * seen.shape[1])]
            assert grid[0, row, column] == shown, (turn, x, y)
    column, row = told["found"][5][1]
    focused = ["aperture=2.5&focus=0.00", f"aperture=2.5&focus_at={column}%2C{row}", "aperture=2.5&focus=0.50"]
    assert told["queries"] == [None, *focused, None] and told["changes"] == 2
    assert (told["min"], told["max"]) == pytest.approx((-1.05, 2.05)) and told["offers"] == [True, False]
    assert told["names"] == ["all sharp", "as taken", "2.5 \u00d7"]

"""Maps beside a result, distances, and masks of the user's own: files are the command line's, mistakes are told."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from asking import KIND, Client, Reply, multipart, pair_of, png
from PIL import Image

from dualpix.calibration.rho import read_rho
from dualpix.web.assets import page_files
from dualpix.web.maps import FARTHEST_MM, coded_mm

Command = Callable[..., tuple[int, str, str]]
NODE = shutil.which("node")
LENS = {"focus-distance": "2.1", "f-number": "1.8", "focal-length": "50", "sensor-width": "36", "rho": "0.4"}
QUERY = "&".join(f"{name.replace('-', '_')}={value}" for name, value in LENS.items())
KEEP = "-0.5..0.5"


def ramp(height: int = 48, width: int = 56) -> np.ndarray:
    """A mask that goes from black on the left to white on the right."""
    return np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8), (height, width))


def send(client: Client, job: str, content: bytes, name: str = "m.png") -> Reply:
    return client.ask("POST", f"{job}/mask", multipart({"mask": content}, {"mask": name}), content_type=KIND)


@pytest.fixture(scope="module")
def done(client: Client, pair: dict[str, bytes]) -> str:
    """The address of a job that is done."""
    return f"/api/jobs/{client.done(pair)['id']}"


def test_files_are_those_that_the_command_line_writes(
    client: Client, done: str, pair: dict[str, bytes], weights: Path, tmp_path: Path, dualpix: Command
) -> None:
    for side in ("left", "right"):
        (tmp_path / f"{side}.png").write_bytes(pair[side])
    (tmp_path / "m.png").write_bytes(png(ramp()))
    words = ["deblur", str(tmp_path / "left.png"), str(tmp_path / "right.png"), "--depth", "16", "--force"]
    words += ["--weights", str(weights), "-o"]
    maps = {"disparity": "d.tif", "disparity-picture": "c.png", "confidence": "k.png", "depth-mask": "n.tif"}
    files = [word for kind, name in maps.items() for word in (f"--{kind}", str(tmp_path / name))]
    lens = [word for name, value in LENS.items() for word in (f"--{name}", value)]
    for asked in (  # metres have a finer disparity of their own, and the maps with them too
        ["out.png", *files],
        ["part.png", "--keep-blur", KEEP, "--mask-out", str(tmp_path / "used.png")],
        ["far.png", "--metres", str(tmp_path / "far.tif"), *lens],
        ["masked.png", "--mask", str(tmp_path / "m.png")],
    ):
        code, _, errors = dualpix(*words, str(tmp_path / asked[0]), *asked[1:])
        assert code == 0, errors
    for kind, name in {**maps, "metres": "far.tif"}.items():
        query = f"?format={name[-3:]}" + (f"&{QUERY}" if kind == "metres" else "")
        for _ in range(2):  # found, and kept
            reply = client.get(f"{done}/maps/{kind}{query}")
            assert reply.status == 200 and reply.content == (tmp_path / name).read_bytes(), kind
    used = client.get(f"{done}/maps/mask?keep={KEEP}")
    assert used.headers["content-disposition"] == "attachment"
    assert used.content == (tmp_path / "used.png").read_bytes()
    assert send(client, done, png(ramp())).json["mask"] == 1
    assert client.get(f"{done}/result?mask=1").content == (tmp_path / "masked.png").read_bytes()
    own = imagecodecs.png_decode(client.get(f"{done}/maps/mask?mask=1").content)
    assert np.abs(own / 257 - ramp()).max() <= 0.01
    shown = client.get(f"{done}/preview?mask=1")
    assert shown.status == 200 and shown.content != client.get(f"{done}/preview").content


def test_distances_are_told_and_shown(client: Client, done: str) -> None:
    reply = client.get(f"{done}/distances?{QUERY}").json
    assert reply["told"].startswith("median ") and "focused at 2.1 m" in reply["told"] and reply["notes"] == []
    shown = np.asarray(Image.open(BytesIO(base64.b64decode(reply["picture"])))).astype(int)
    millimetres = shown @ [65536, 256, 1]
    written = tifffile.imread(BytesIO(client.get(f"{done}/maps/metres?format=tif&{QUERY}").content))
    assert np.abs(millimetres - np.minimum(1000 * written.astype(float), FARTHEST_MM)).max() <= 0.51
    rested = client.get(f"{done}/distances?{QUERY.replace('&rho=0.4', '')}").json
    assert "Canon EOS R6" in rested["notes"][0] and "--" not in rested["notes"][0]


def test_distances_to_look_at_keep_infinity() -> None:
    depth_m = torch.full((1, 1500, 900), 70.123)
    depth_m[:, :, 450:] = torch.inf
    levels = np.round(255 * coded_mm(depth_m).numpy().astype(float)).astype(int)
    assert levels.shape == (3, 500, 300)
    millimetres = np.tensordot([65536, 256, 1], levels, 1)
    assert (millimetres[:, :150] == 70123).all() and (millimetres[:, 150:] == FARTHEST_MM).all()


def from_page(folder: Path, script: str, given: object) -> Any:
    """What a script that imports the page's own files, and finds `given`, prints as JSON."""
    for path, _, content in page_files():
        if path.endswith(".js"):
            (folder / path.replace(".js", ".mjs")).write_text(content.decode().replace('.js"', '.mjs"'))
    imports, _, rest = script.strip().partition("\n")
    (folder / "asking.mjs").write_text(f"{imports}\nconst given = JSON.parse(process.argv[2]);\n{rest}\n")
    line = [str(NODE), "asking.mjs", json.dumps(given)]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_the_page_reads_calibrations_as_the_command_does(tmp_path: Path) -> None:
    head = "pair,quantity,value,low,high,count\n"
    files = [
        "one,rho,0.9,,,\nall,rho at the middle,0.31,0.3,0.32,9\nall,rho's share lost at the sides,1.2,,,\n",
        "all,rho at the middle,0.31,,,\r\n",
        "all,rho,0.36,0.3,0.4,5\nall,rho from views alone,0.5,,,\n",
        "all,rho from views alone,0.5,,,\n",
    ]
    script = 'import { rhoIn } from "./distances.mjs";\nconsole.log(JSON.stringify(given.map(rhoIn)));'
    found = from_page(tmp_path, script, [head + rows for rows in files] + [head, "no table"])
    assert found[-2:] == [None, None]
    for rows, fields in zip(files, found[:-2], strict=True):
        (tmp_path / "camera.csv").write_text(head + rows, newline="")
        rho, fall = read_rho(tmp_path / "camera.csv")
        assert (float(fields["rho"]), fields["rhofall"] or None) == (rho, None if fall is None else f"{fall:g}")


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_the_page_reads_distances_as_they_were_coded(tmp_path: Path) -> None:
    depth_m = torch.tensor([[[0.4321, 3.14159, 250.4, 16000.0, torch.inf, 0.0015]]], dtype=torch.float64)
    levels = np.concatenate([np.round(255 * coded_mm(depth_m).numpy()), np.full((1, 1, 6), 255)])
    found = from_page(
        tmp_path,
        """
import { decodeMetres, distanceName } from "./distances.mjs";
const metres = decodeMetres(given);
console.log(JSON.stringify([...metres].map((one) => [one, distanceName(one)])));
""",
        levels.transpose(1, 2, 0).astype(int).flatten().tolist(),
    )
    numbers, names = zip(*found, strict=True)
    assert numbers == (0.432, 3.142, 250.4, 16000.0, None, 0.002)  # JSON has no infinity
    assert names == ("43 cm", "3.14 m", "250 m", "16000 m", "beyond what can be told", "0 cm")


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("maps/colours", 404, "There is no map 'colours'"),
        ("maps/depth-mask?format=jpg", 400, "choose from: png, tif"),
        ("maps/mask", 400, "give keep or mask"),
        ("maps/mask?mask=7", 409, "no such mask"),
        ("maps/mask?mask=0", 409, "no such mask"),
        ("result?mask=1&keep=behind", 400, "give one of them"),
        ("preview?mask=1&aperture=2", 400, "leave out keep, mask, strength"),
        ("maps/metres", 422, "give the distance in focus in metres"),
        ("distances?focus_distance=2", 422, "the f-number such as 1.8"),
        ("distances?focus_distance=-2", 400, "focus distance cannot be -2"),
        ("distances?f_number=wide", 400, "The f number must be a number, not 'wide'."),
        ("distances?sensor_width=36&pixel_pitch=4", 400, "given twice"),
        ("distances?f_number=2&f_number=4", 400, "The field f_number was sent twice"),
        ("distances?fnumber=2", 400, "There is no 'fnumber' to ask for; there are: f_number, "),
        ("maps/disparity?keep=behind", 400, "There is no 'keep' to ask for; there are: format."),
        ("maps/mask?mask=1&mask=0", 400, "The field mask was sent twice"),
        ("sweep?aperture=2&depth=8", 400, "There is no 'depth' to ask for"),
        ("preview?keep=behind&keep=front", 400, "The field keep was sent twice"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    client: Client, done: str, path: str, status: int, says: str
) -> None:
    reply = client.get(f"{done}/{path}")
    assert (reply.status, says in reply.error) == (status, True), reply.error
    assert reply.error.endswith(".") and "\ue000" not in reply.error and "--" not in reply.error


def test_masks_that_do_not_fit_leave_the_one_before(client: Client, pair: dict[str, bytes]) -> None:
    told = client.done(pair)
    job = f"/api/jobs/{told['id']}"
    assert client.jobs is not None
    folder = client.jobs.find(told["id"]).upload.folder
    assert send(client, job, png(ramp())).status == 202
    small = send(client, job, png(ramp(20, 30)), "tiny mask.png")
    assert small.status == 422 and "30 x 20" in small.error and "tiny mask.png" in small.error
    assert "/" not in small.error and "give as mask a picture of the same size" in small.error
    broken = send(client, job, b"no picture", "../../b.png")
    assert broken.status == 422 and "b.png" in broken.error and "/" not in broken.error
    wrong = client.ask("POST", f"{job}/mask", multipart({"left": png(ramp())}), content_type=KIND)
    assert wrong.status == 400 and "the fields are mask" in wrong.error
    assert client.ask("POST", f"{job}/mask", b"{}", content_type="application/json").status == 415
    assert client.get(f"{job}/result?mask=1").status == 200
    assert len(list(folder.glob("mask-*"))) == 1
    assert send(client, job, png(ramp()[:, ::-1])).json["mask"] == 2
    assert len(list(folder.glob("mask-*"))) == 1 and client.get(f"{job}/result?mask=1").status == 409
    waiting = client.done({**pair_of(), "start": "no"})
    assert send(client, f"/api/jobs/{waiting['id']}", png(ramp())).status == 409

"""A part of the result chosen on the page: the server's file is the command line's, and the page reckons as Python."""

import json
import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from asking import Client
from PIL import Image

from dualpix.inference.kept import parse_kept
from dualpix.web.assets import content_of
from dualpix.web.planes import coded

Command = Callable[..., tuple[int, str, str]]
NODE = shutil.which("node")


def test_a_part_is_the_file_that_the_command_line_writes(
    client: Client, pair: dict[str, bytes], weights: Path, tmp_path: Path, dualpix: Command
) -> None:
    for side in ("left", "right"):
        (tmp_path / f"{side}.png").write_bytes(pair[side])
    job = f"/api/jobs/{client.done(pair)['id']}"
    words = ["deblur", str(tmp_path / "left.png"), str(tmp_path / "right.png"), "--depth", "16", "--force"]
    given = ["-o", str(tmp_path / "part.png"), "--weights", str(weights), "--keep-blur", "0..", "--strength", "0.5"]
    code, _, errors = dualpix(*words, *given)
    assert code == 0, errors
    reply = client.get(f"{job}/result?keep=0..&strength=0.5")
    assert reply.status == 200 and reply.content == (tmp_path / "part.png").read_bytes()
    shown = client.get(f"{job}/preview?keep=-99..99")
    plain = client.get(f"{job}/preview").content
    before = client.get(f"{job}/before").content
    after, mean = (np.asarray(Image.open(BytesIO(content))).astype(int) for content in (shown.content, before))
    assert shown.status == 200 and shown.content != plain and np.abs(after - mean).max() <= 2
    assert imagecodecs.png_decode(client.get(f"{job}/planes").content).shape[2] == 3
    for query in ("result?keep=sideways", "preview?keep=3..1", "result?keep="):
        assert client.get(f"{job}/{query}").status == 400, query


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_the_page_reads_planes_and_reckons_as_python_does(tmp_path: Path) -> None:
    planes = torch.stack([torch.linspace(-5, 5, 60 * 80).view(60, 80), torch.ones(60, 80)])
    planes[1, 30:] = 0.2
    levels = np.concatenate([np.round(255 * coded(planes).numpy()), np.full((1, 60, 80), 255)]).astype(np.uint8)
    (tmp_path / "bytes").write_bytes(levels.transpose(1, 2, 0).tobytes())
    (tmp_path / "planes.mjs").write_bytes(content_of("planes.js"))
    (tmp_path / "asking.mjs").write_text("""
import { readFileSync } from "node:fs";
import { decode, inside, keepOf, rangeAt, span, veil } from "./planes.mjs";
const planes = decode(readFileSync("bytes"), 80, 60);
const range = rangeAt(planes, 0.5, 0.25);
console.log(JSON.stringify({
  disparity: [...planes.disparity], confidence: [planes.confidence[0], planes.confidence[4799]], range,
  shares: [...planes.disparity].map((px) => inside(px, [-1, 2])), span: span(planes),
  keeps: [keepOf([-1, 2], true), keepOf([-1, 2], false)],
  veils: [true, false].map((inverse) => [...veil(planes, [-1, 2], inverse)].filter((_, i) => i % 4 === 3)),
}));
""")
    line = [str(NODE), "asking.mjs"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)
    found = torch.tensor(told["disparity"])
    assert float((found - planes[0].flatten()).abs().max()) <= 0.5 / 512 + 1e-5
    assert told["confidence"] == pytest.approx([1, 0.2], abs=0.002)
    middle = float(planes[0, 15, 40])
    assert told["range"][0] < middle < told["range"][1] and sum(told["range"]) / 2 == pytest.approx(middle, abs=0.3)
    assert told["span"][0] < float(planes[0, 0, 60]) and 0 < told["span"][1] < 1.5  # of what is sure
    for keep, veil in zip(told["keeps"], told["veils"], strict=True):
        share = parse_kept(keep).share(found)
        assert np.abs(np.array(veil) - 170 * share.numpy()).max() <= 1
    assert np.abs(np.array(told["shares"]) - parse_kept("-1..2").share(found).numpy()).max() < 1e-6

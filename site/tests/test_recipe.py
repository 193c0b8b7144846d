"""The lines of docs/browser.md for a page of one's own, run as they stand in Node with onnxruntime-web."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from static_host import BUILT

from dualpix.inference.export import export

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")
RUNTIME = ROOT / "site" / "node_modules" / "onnxruntime-web" / "dist" / "ort.node.min.mjs"
AROUND = """
import {{ readFileSync }} from "node:fs";
import * as ort from {runtime};
ort.env.wasm.numThreads = 1;
const {{ check }} = JSON.parse(readFileSync({manifest}, "utf8")), {{ width, height }} = check;
const [left, right] = [check.left, check.right].map((list) => Float32Array.from(list));
{lines}
console.log(Math.max(...sharp.data.map((value, i) => Math.abs(value - check.sharp[i]))));
process.exit(0);
"""


@pytest.mark.skipif(NODE is None or not RUNTIME.is_file() or not BUILT.is_dir(), reason="needs Node and make site")
def test_the_lines_of_the_page_give_the_picture_of_pytorch(tmp_path: Path) -> None:
    lines = re.search(r"```js\n(.*?)```", (ROOT / "docs" / "browser.md").read_text(), re.DOTALL)
    assert lines is not None
    network = export(to="web", output=tmp_path / "network.onnx").path
    script = tmp_path / "page.mjs"
    facts = {"runtime": json.dumps(RUNTIME.as_uri()), "manifest": json.dumps(str(network.with_suffix(".json")))}
    script.write_text(AROUND.format(lines=lines[1].replace("page.onnx", str(network)), **facts))
    done = subprocess.run([str(NODE), str(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 1e-3

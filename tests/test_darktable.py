"""The script for darktable, run by darktable itself, without a window."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dualpix
from conftest import Views, Writer
from dualpix.io import read_picture

SCRIPT = Path(__file__).parents[1] / "examples" / "darktable" / "dualpix.lua"
PROGRAM = shutil.which("darktable-cli")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs darktable")

LUA = """
local dt = require "darktable"
local script = dofile("{script}")
script.command = "{command}"
local has_begun = false
-- While a picture is exported: without a window darktable ends when that is done, whatever scripts are still at.
dt.register_event("test", "intermediate-export-image", function()
  if has_begun then return end
  has_begun = true
  local images = {{}}
  for path in string.gmatch("{pictures}", "[^|]+") do images[#images + 1] = dt.database.import(path) end
  local is_fine, made = pcall(script.deblur, images)
  print("MADE " .. (is_fine and made.path .. "/" .. made.filename or tostring(made)))
  if is_fine then print("GROUP " .. #made:get_group_members()) end
end)
"""


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """`dualpix` with small weights, under a name that a shell has to be told as one word."""
    path = tmp_path / "dual pix's"
    weights = f"-w {tmp_path / 'w.safetensors'}"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dualpix "$@" {weights} --engine torch --precision fp32\n')
    path.chmod(0o755)
    return path


def run(command: Path, *pictures: Path) -> str:
    """What the script came to, in a darktable that knows nothing of the user's."""
    home = command.parent / "darktable"
    lua = LUA.format(script=SCRIPT, command=command, pictures="|".join(map(str, pictures)))
    (command.parent / "run.lua").write_text(lua)
    own = ["--configdir", home / "config", "--cachedir", home / "cache", "--library", ":memory:"]
    done = subprocess.run(
        [PROGRAM, pictures[0], command.parent / "unused.png", "--core", *own]
        + ["--luacmd", f'dofile("{command.parent / "run.lua"}")'],
        env=os.environ | {"HOME": str(home), "OMP_NUM_THREADS": "1"},
        cwd=command.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "MADE " in done.stdout, done.stdout + done.stderr
    lines = done.stdout[done.stdout.index("MADE ") + 5 :].splitlines()
    return "\n".join(line for line in lines if not line.startswith("[export_job]"))


def test_two_views_come_back_as_one_picture(folder: Path, command: Path) -> None:
    left, right = folder / "deep_L.tif", folder / "deep_R.tif"
    said = run(command, right, left)
    assert said.splitlines() == [str(folder / "deep-sharp.tif"), "GROUP 2"]
    expected = dualpix.deblur(left, right, weights=folder / "w.safetensors", engine="torch", precision="fp32")
    found = read_picture(folder / "deep-sharp.tif")
    assert found.depth == 16 and float((found.pixels - expected).abs().max()) < 3e-4
    before = (folder / "deep-sharp.tif").read_bytes()
    assert run(command, left, right).splitlines()[0] == str(folder / "deep-sharp-1.tif")
    assert (folder / "deep-sharp.tif").read_bytes() == before


@pytest.mark.slow
def test_what_is_wrong_is_told_in_the_words_of_the_command(
    folder: Path, command: Path, views: Views, write_png: Writer
) -> None:
    left, _ = views()
    same = [write_png(folder / f"same_{side}.png", (left // 257).astype(np.uint8)) for side in "LR"]
    assert run(command, *reversed(same)).startswith(
        "dualpix: same_L.png and same_R.png: both views hold the same pixels"
    )
    assert "same_L.png is one picture; give the other view as well" in run(command, same[0])
    assert "3 are selected" in run(command, *same, folder / "p_L.png")
    command.unlink()
    assert run(command, *same).endswith("not found")
    assert not list(folder.glob("*sharp*"))

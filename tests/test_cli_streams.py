"""The command with closed streams, and with file names that are no text: real processes, since only these have both."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpix.inference.batch.journal import read_journals
from dualpix.machine.files import legible, name_in_any_locale

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
Command = Callable[..., tuple[int, str, str]]
LATIN = os.fsdecode(b"caf\xe9")


OPTIONS = ("--precision", "fp32")
CODE = """
import sys
from dualpix.cli import app, streams
streams.prepare()
for words in sys.argv[1].split(";"):
    try:
        app(words.split(), prog_name="dualpix")
    except SystemExit as error:
        print(error.code)
"""


def run(*commands: str, ending: str = "", **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """A shell runs the commands in one process, so that `ending` may close its streams. Prints each exit code."""
    words = ["sh", "-c", f'"$0" -c "$1" "$2" {ending}', sys.executable, CODE, ";".join(commands)]
    return subprocess.run(words, env=os.environ | environment, capture_output=True, timeout=200)


def some_pairs(folder: Path, *names: str) -> Path:
    folder.mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    for name in names:
        for number, side in enumerate(("L", "R", "sharp")):
            Image.fromarray(np.roll(levels, number, axis=1)).save(folder / f"{name}_{side}.png")
    return folder


def test_closed_streams_cost_nothing(folder: Path) -> None:
    words = [sys.executable, "-m", "dualpix", "deblur", "p_L.png", "p_R.png", "-o", "o.png", "-w", "w.safetensors"]
    done = subprocess.run(["sh", "-c", '"$0" "$@" <&- >&- 2>&-', *words, *OPTIONS], timeout=200)
    assert done.returncode == 0
    with Image.open(folder / "o.png") as made:
        assert made.size == (256, 224)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk at hand that is always full")
def test_help_that_cannot_be_printed_is_one_sentence() -> None:
    words = ["sh", "-c", '"$0" -m dualpix --help >/dev/full', sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "standard output cannot be used: No space left on device" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk at hand that is always full")
def test_a_standard_error_on_a_full_disk_costs_nothing(folder: Path) -> None:
    done = run("deblur p_L.png p_R.png -o o.png -w w.safetensors --precision fp32", ending="2>/dev/full")
    assert done.returncode == 0 and done.stdout.split()[-1] == b"0"
    assert (folder / "o.png").is_file()
    assert run("deblur no no -o a.png", ending="2>/dev/full").stdout.split() == [b"1"]


def test_folders_evaluations_and_mistakes_need_no_stderr_either(folder: Path) -> None:
    some_pairs(folder / "in", "a", "b")
    done = run(
        "deblur in -o out -w w.safetensors --precision fp32",
        "evaluate in -o e -m w.safetensors --precision fp32",
        "deblur no no -o a.png",
        ending="2>&-",
    )
    assert [line for line in done.stdout.split() if line.isdigit() and len(line) == 1][-1] == b"1"
    assert sorted(path.name for path in (folder / "out").glob("*.png")) == ["a.png", "b.png"]
    assert (folder / "e" / "summary.md").is_file()


def test_tables_and_journals_name_pictures_whatever_their_bytes_and_locale(folder: Path, dualpix: Command) -> None:
    some_pairs(folder / "in", LATIN, "né")
    deblur = ["deblur", "in", "-o", "out", "-w", "w.safetensors", *OPTIONS]
    done = run(" ".join(deblur), "evaluate in -o e -m w.safetensors --precision fp32", **C_LOCALE)
    assert b"2 pictures made" in done.stdout and done.stderr == b""
    with (folder / "e" / "pictures.csv").open(encoding="utf-8", newline="") as file:
        assert {row["picture"] for row in csv.DictReader(file)} == {"caf\\xe9", "né"}
    assert sorted(os.listdir(folder / "e" / "w")) == sorted([f"{LATIN}.png", "né.png"])
    assert read_journals(folder / "out").keys() == {f"{LATIN}.png", "né.png"}
    assert "2 were finished before" in dualpix(*deblur, "--resume")[1]  # under another locale


def test_a_terminal_is_sent_the_bytes_of_a_name() -> None:
    code = "from dualpix.cli import streams; streams.prepare(); print('caf\\udce9 \\u00e9 \\ud800')"
    for encoding, sent in (("utf-8", b"caf\xe9 \xc3\xa9 \\ud800"), ("ascii", b"caf\xe9 \xc3\xa9 \\ud800")):
        environment = os.environ | {"PYTHONIOENCODING": f"{encoding}:strict"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, timeout=100)
        assert done.stdout.rstrip() == sent


def test_text_that_utf_8_cannot_write_is_made_legible() -> None:
    assert legible("né " + LATIN) == "né caf\\xe9"
    assert legible("né".encode().decode("ascii", "surrogateescape")) == "né"
    assert legible("\ud800") == "\\ud800"
    assert name_in_any_locale(LATIN) == LATIN and name_in_any_locale("né") == "né"

"""Bad input through the command line: one sentence, a code, and nothing left behind."""

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

Command = Callable[..., tuple[int, str, str]]
Views = Callable[..., tuple[np.ndarray, np.ndarray]]
COMMAND = Path(sys.executable).with_name("dualpix")


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and ends there."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.fixture(autouse=True)
def _bad_files(folder: Path, views: Views) -> None:
    left, right = views()
    bytes_ = (right // 257).astype(np.uint8)
    whole = (folder / "p_R.png").read_bytes()
    Image.fromarray(bytes_[:, :-2]).save(folder / "narrow.png")
    Image.fromarray(bytes_[:, :, 1]).save(folder / "grey.png")
    Image.fromarray(bytes_[:12, :12]).save(folder / "tiny.png")
    (folder / "copy_L.png").write_bytes((folder / "p_L.png").read_bytes())
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not a picture")
    (folder / "huge.png").write_bytes(png_header(60_000, 60_000))
    for name, turned in (("up_L", left), ("up_R", right)):
        tifffile.imwrite(folder / f"{name}.tif", np.rot90(turned).copy())
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        spoiled = right.astype(np.float32) / 65535
        spoiled[5, 7, 1] = value
        tifffile.imwrite(folder / f"{name}.tif", spoiled, photometric="rgb")
    tifffile.imwrite(folder / "float.tif", left.astype(np.float32) / 65535, photometric="rgb")
    torch.save({"x": torch.zeros(1)}, folder / "w.pth")
    weights = (folder / "w.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(weights[:-5])
    (folder / "folder.png").mkdir()
    (folder / "sealed").mkdir(mode=0o500)


GOOD = ["p_L.png", "p_R.png", "-o", "out.png"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["p_L.png", "narrow.png", "-o", "out.png"], "size"),
        (["p_L.png", "deep_R.tif", "-o", "out.png"], "bit depth"),
        (["p_L.png", "grey.png", "-o", "out.png"], "channels"),
        (["p_L.png", "p_L.png", "-o", "out.png"], "both views"),
        (["p_L.png", "copy_L.png", "-o", "out.png"], "same pixels"),
        (["p_R.png", "p_L.png", "-o", "out.png", "-w", "w.safetensors"], "swapped"),
        (["up_L.tif", "up_R.tif", "-o", "out.png", "-w", "w.safetensors", "--turn", "none"], "along columns"),
        (["p_L.png", "none.png", "-o", "out.png"], "none.png does not exist"),
        (["p_L.png", "cut.png", "-o", "out.png"], "cut.png"),
        (["p_L.png", "empty.png", "-o", "out.png"], "empty.png"),
        (["p_L.png", "text.png", "-o", "out.png"], "text.png"),
        (["p_L.png", "folder.png", "-o", "out.png"], "folder.png is a folder"),
        (["float.tif", "nan.tif", "-o", "out.png"], "nan.tif"),
        (["float.tif", "inf.tif", "-o", "out.png"], "inf.tif"),
        (["tiny.png", "tiny.png", "-o", "out.png"], "both views"),
        (["tiny.png", "p_R.png", "-o", "out.png"], "at least 16"),
        (["p_L.png", "huge.png", "-o", "out.png"], "60000 x 60000"),
        (["p_L.png", "p_R.png", "-o", "copy_L.png"], "--overwrite"),
        (["p_L.png", "p_R.png", "-o", "p_R.png", "--overwrite"], "one of the inputs"),
        (["p_L.png", "p_R.png", "-o", "./p_L.png", "--overwrite"], "one of the inputs"),
        (["p_L.png", "p_R.png", "-o", "out.xyz"], ".tif"),
        (["p_L.png", "p_R.png", "-o", "folder.png"], "is a folder"),
        (["p_L.png", "p_R.png", "-o", "-"], "standard output"),
        (["p_L.png", "p_R.png", "-o", "out.jpg", "--depth", "16"], "holds 8 bits, not 16"),
        (
            [".", "-o", "many", "--format", "jpg", "--depth", "16"],
            "NAME.jpg was not written: .jpg holds 8 bits, not 16",
        ),
        (["p_L.png", "p_R.png", "-o", "out.png", "--turn", "sideways"], "no turn called 'sideways'"),
        (["p_L.png", "p_R.png", "-o", "nowhere/out.png"], "nowhere"),
        (["p_L.png", "p_R.png", "-o", "w.pth/out.png"], "w.pth"),
        (["p_L.png", "p_R.png", "-o", "/proc/out.png"], "/proc/out.png cannot be written"),
        ([*GOOD, "-w", "mcc-net"], "mcc-net"),
        ([*GOOD, "-w", "w.pth"], "pickle"),
        ([*GOOD, "-w", "cut.safetensors"], "truncated"),
        ([*GOOD, "-w", "folder.png"], "folder"),
        ([*GOOD, "-w", "w.safetensors", "--memory", "lots"], "800MB"),
        ([*GOOD, "-w", "w.safetensors", "--memory", "1MB"], "at least"),
        ([*GOOD, "-w", "w.safetensors", "--device", "gpu"], "'cpu'"),
        ([*GOOD, "-w", "w.safetensors", "--precision", "fp8"], "bf16"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    dualpix: Command, folder: Path, words: list[str], says: str
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, out, err = dualpix("deblur", *words)
    assert (code, out) == (1, "")
    assert err.startswith("dualpix: ") and err.endswith((".\n", "?\n")) and err.count("\n") == 1
    assert says in err
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_unwritable_and_unreadable_places_are_one_sentence(dualpix: Command, folder: Path) -> None:
    (folder / "locked.png").write_bytes((folder / "p_R.png").read_bytes())
    (folder / "locked.png").chmod(0)
    for words in (["p_L.png", "locked.png", "-o", "out.png"], ["p_L.png", "p_R.png", "-o", "sealed/out.png"]):
        code, _, err = dualpix("deblur", *words)
        assert code == 1 and err.count("\n") == 1 and "Permission" in err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["deblurr"],
        ["deblur", "p_L.png", "p_R.png"],
        ["deblur", *GOOD, "--depth", "12"],
        ["deblur", *GOOD, "--deep"],
        ["evaluate", "pairs", "--scenes", "-1"],
        ["train", "tiny", "rate"],
        ["train", "tiny", "--processes", "0"],
        ["simulate", "photos"],
        ["simulate", "a.png", "b.png", "--depth-map", "a.npy", "-o", "pairs"],
    ],
    ids=" ".join,
)
def test_wrong_usage_has_a_code_of_its_own(dualpix: Command, folder: Path, words: list[str]) -> None:
    code, out, err = dualpix(*words)
    assert code == 2 and "Usage: dualpix" in out + err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["evaluate", "nowhere"], "nowhere does not exist"),
        (["evaluate", "folder.png"], "not in a known layout"),
        (["evaluate", "p_L.png"], "is a file"),
        (["evaluate", "p_L.png", "--methods", "MDP,KPACK"], "choose from: JNB, EBDB"),
        (["train", "tinny"], "'tiny'"),
        (["train", "tiny"], "photographs"),
        (["train", "tiny", "learning_rte=1", "--photos", "folder.png"], "'learning_rate'"),
        (["train", "tiny", "learning_rate=fast", "--photos", "folder.png"], "learning_rate=fast"),
        (["train", "tiny", "--photos", "folder.png"], "folder.png"),
        (["train", "tiny", "--photos", "nowhere"], "nowhere does not exist"),
        (["train", "tiny", "--data", "folder.png"], "not in a known layout"),
        (["simulate", "nowhere", "-o", "pairs"], "nowhere does not exist"),
        (["simulate", "folder.png", "-o", "pairs"], "no photograph"),
        (["simulate", ".", "-o", "pairs"], "cut.png"),
        (["simulate", "p_L.png", "--depth-map", "nan.tif", "-o", "pairs"], "not a depth map"),
        (["simulate", "p_L.png", "--depth-map", "p_L.png", "-o", "pairs"], "16 bits"),
        (["demo", "-o", "p_L.png"], "p_L.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_other_commands_say_it_in_one_sentence_too(dualpix: Command, words: list[str], says: str) -> None:
    code, _, err = dualpix(*words)
    assert code == 1
    assert err.startswith("dualpix: ") and err.endswith("\n") and err.count("\n") == 1
    assert says in err


def test_several_processes_speak_with_one_voice(folder: Path) -> None:
    words = ["train", "tiny", "batch=1", "--processes", "2", "--photos", "folder.png", "-o", "run"]
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "dualpix: batch=1 cannot be shared by 2 processes; choose a larger batch, or fewer processes.\n"
    )


def test_a_real_process_fails_without_a_traceback(folder: Path) -> None:
    words = ["deblur", "p_L.png", "text.png", "-o", "out.png"]
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "Traceback" not in done.stderr and "text.png" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a folder in use cannot be deleted")
def test_a_current_folder_that_was_deleted_is_one_sentence(
    dualpix: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries loaded later would end the process, in words of their own."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, out, err = dualpix("inspect", str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    assert (code, out) == (1, "") and "The current folder is not there any more" in err


def test_options_for_folders_are_named_where_there_is_none(dualpix: Command, folder: Path) -> None:
    code, _, err = dualpix("deblur", "p_L.png", "p_R.png", "-o", "o.png", "--resume", "--json", "x", "--format", "png")
    assert code == 2 and "--resume, --json, --format: only for a folder, a pattern or a manifest" in err
    assert "--dry-run" not in err and "--shard" not in err


@pytest.mark.parametrize("name", ["x" * 5000, os.fsdecode(b"\xe9" * 5000)], ids=["letters", "bytes"])
@pytest.mark.parametrize(
    "words", [["evaluate"], ["export", "--to", "onnx", "-o"], ["inspect"]], ids=lambda words: words[0]
)
def test_a_very_long_name_is_one_short_sentence(dualpix: Command, words: list[str], name: str) -> None:
    code, _, told = dualpix(*words, name)
    assert code == 1 and told.count("\n") == 1 and len(told) < 650 and "File name too long" in told

"""A run repeated: real trainings, whose weights are compared by another library too."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from dualpix.errors import DataError, DualpixError, RecipeError
from dualpix.training import train
from dualpix.training.again import again, find_repeatable
from dualpix.training.log import Log
from dualpix.training.past_run import read_run
from dualpix.training.recipes import Recipe

Make = Callable[..., Recipe]


@pytest.fixture
def run(tmp_path: Path, quick: Make, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ended after two of its three steps, in a working folder that the photographs are named from."""
    monkeypatch.chdir(tmp_path)
    train(quick(), "run", photos=["photos"], is_last=lambda step: step == 2)
    return tmp_path / "run"


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def write_log(run: Path, log: list[dict]) -> None:
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))


def test_a_run_is_repeated_to_the_bit_from_anywhere(
    run: Path, photos: Path, dualpix: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = lines(run)[0]
    assert (start["folder"], start["given"], read_run(run).steps) == (str(run.parent), {"photos": ["photos"]}, 2)
    assert {"system", "processor", "cores", "python", "numpy"} <= start["machine"].keys()
    elsewhere = run.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    code, out, err = dualpix("train", "--again", str(run), "-o", "new")
    assert (code, err) == (0, "") and out.splitlines()[-1].endswith(f"of step 2, are those of {run} to the bit.")
    assert f"Note: Nothing that the log of {run} records differs now.\n" in out
    old, new = (load_file(folder / "last.safetensors") for folder in (run, elsewhere / "new"))
    assert old.keys() == new.keys() and all(np.array_equal(old[name], new[name]) for name in old)
    assert [line["loss"] for line in lines(elsewhere / "new") if "loss" in line] == [
        line["loss"] for line in lines(run) if "loss" in line
    ]

    # Of an older version, which has kept the command alone; and on other photographs under the same names.
    log = lines(run)
    kept = {name: value for name, value in log[0].items() if name not in ("folder", "given", "machine", "commit")}
    write_log(run, [kept | {"command": "dualpix train tiny --photos=photos -o run", "torch": "0.9"}, *log[1:]])
    monkeypatch.chdir(run.parent)
    for path in photos.iterdir():
        Image.open(path).transpose(Image.Transpose.ROTATE_180).save(path)
    told: list[dict] = []
    done = again(run, "other", report=told.append)
    other = load_file("other/last.safetensors")
    largest = max(np.abs(old[name].astype(np.float64) - other[name]).max() for name in old)
    assert done.largest_difference == pytest.approx(largest, rel=1e-12) and largest > 0
    assert str(done).endswith(f"differ from those of {run} by at most {largest:.3g}.")
    note = told[0]["note"]
    assert note.startswith(f"Differs from {run}: torch ") and ", was 0.9;" in note and "fingerprint of photos" in note
    assert "threads" not in note and "It does not record: " in note and "processor" in note
    assert lines(run.parent / "other")[1]["note"] == note


def test_what_cannot_be_repeated_is_one_sentence(run: Path, photos: Path, tmp_path: Path, dualpix: Callable) -> None:
    def told(error: type[DualpixError], message: str, folder: str = "new") -> None:
        with pytest.raises(error, match=message) as caught:
            find_repeatable(run, folder)
        assert str(caught.value).count(".\n") == 0 and not (tmp_path / "new").exists()

    told(RecipeError, "its own folder; give output= another", "run")
    held = Log(run / "log.jsonl")
    told(RecipeError, "is going on")
    held.close()
    log = lines(run)
    write_log(run, [log[0] | {"processes": 2}, *log[1:]])
    found = find_repeatable(run, "new")
    assert found.processes == 2 and f"Differs from {run}: processes 1, was 2." in found.differences(log[0])
    write_log(run, log)
    photos.rename(tmp_path / "moved")
    told(DataError, "photos, which .* learnt from, is gone; say where it is by photos=")
    assert find_repeatable(run, "new", photos=[tmp_path / "moved"]).given == {"photos": [tmp_path / "moved"]}
    write_log(run, [log[0] | {"given": {}, "command": "'"}, *log[1:]])
    told(DataError, "does not say where its photos lie")
    write_log(run, [{"began_at_step": 0}, *log[1:]])
    told(DataError, "does not say what it has learnt from; give that by photos= or data=")
    write_log(run, [log[0] | {"began_at_step": 1}, *log[1:]])
    told(RecipeError, "began at step 1 with the state of another run")
    write_log(run, log[:1])
    (run / "last.safetensors").unlink()
    told(RecipeError, "has taken no step")
    (run / "recipe.json").unlink()
    told(RecipeError, "is no run: it has no recipe.json")
    code, out, err = dualpix("train", "--again", str(tmp_path / "none"), "-o", str(tmp_path / "new"))
    assert (code, out, err.count("\n")) == (1, "", 1) and "there is no such folder" in err
    assert dualpix("train", "tiny", "--again", str(run))[0] == 2 and dualpix("train")[0] == 2

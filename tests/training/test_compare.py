"""Runs beside each other: real ones, written by real trainings, and what is read off them by hand."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpix.errors import RecipeError
from dualpix.training import train
from dualpix.training.compare import compare
from dualpix.training.recipes import Recipe

Make = Callable[..., Recipe]


@pytest.fixture(autouse=True)
def drawing() -> None:
    """Curves are what this is about."""


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def runs(tmp_path: Path, quick: Make, photos: Path) -> list[Path]:
    for name, changes in (("one", {}), ("two", {"learning_rate": 1e-3, "steps": 2})):
        train(quick(validate_every=2, **changes), tmp_path / name / "run", photos=[photos])
    return [tmp_path / "one" / "run", tmp_path / "two" / "run"]


def test_two_runs_in_one_table_and_one_picture(runs: list[Path], tmp_path: Path, dualpix: Callable) -> None:
    found = compare(runs)
    assert found.differing == {"learning_rate": [4e-4, 1e-3], "steps": [3, 2]}
    for run, row, label, steps in zip(runs, found.rows, ("one/run", "two/run"), ("3", "2"), strict=True):
        losses = [line["loss"] for line in lines(run) if "loss" in line]
        psnr, mae = (
            [line["validation"][name] for line in lines(run) if "validation" in line] for name in ("psnr", "mae")
        )
        assert (row["run"], row["steps"], row["loss"]) == (label, steps, f"{np.mean(losses[-5:]):.5f}")
        assert (row["psnr, best"], row["psnr, last"]) == (f"{max(psnr):.4f}", f"{psnr[-1]:.4f}")
        assert row["mae, best"] == f"{min(mae):.4f}" and (row["learnt from"], row["validated on"]) == ("A", "A")
        assert row["version"].startswith(lines(run)[0]["version"])
    code, out, err = dualpix("compare", *map(str, runs), "-o", str(tmp_path / "table"))
    assert (code, err) == (0, "") and (tmp_path / "table" / "runs.md").read_text() == out
    assert "| learning_rate | 0.0004 | 0.001 |" in out and "letter" not in out
    picture = np.asarray(Image.open(tmp_path / "table" / "curves.png").convert("RGB")).astype(int)
    red, green, blue = np.moveaxis(picture, -1, 0)
    assert ((blue > red + 80) & (blue > green + 40)).sum() > 100, "the first run is blue"
    assert ((red > blue + 150) & (green > blue + 60)).sum() > 100, "the second is orange"


def write(folder: Path, log: list[dict], recipe: str = "{}") -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(recipe)
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    return folder


def test_runs_of_every_age_are_compared(tmp_path: Path) -> None:
    """Of a version that kept no data; resumed by another version on other data; and one that has only begun."""
    data = [{"photos": name, "validation": "v"} for name in "xy"]
    resumed = [{"began_at_step": 0, "version": "0.1.0", "commit": "0123456789ab-dirty", "data": data[0]}]
    resumed += [{"step": step, "loss": step / 100, "hours": step / 10} for step in (20, 40, 60)]
    resumed += [{"began_at_step": 40, "version": "1.0.0", "data": data[1]}]
    folders = [
        write(tmp_path / "$old_", [{"step": 20, "validation": {"blur_mae_px": 1.5}}], '{"rate": 0.001}'),
        write(tmp_path / "_new", resumed),
        write(tmp_path / "begun", [{"began_at_step": 0, "version": "1.0.0", "commit": "abc", "data": data[1]}]),
    ]
    found = compare(folders)
    old, new, begun = found.rows
    assert (old["learnt from"], old["version"], old["loss"], old["blur_mae_px, best"]) == ("?", "?", "-", "1.5000")
    assert (new["learnt from"], new["validated on"], new["version"]) == ("A, B", "A", "1.0.0 and 1 earlier")
    assert (new["steps"], new["loss"], new["hours"], new["blur_mae_px, best"]) == ("40", "0.30000", "4.00", "-")
    assert (begun["learnt from"], begun["version"], begun["steps"], begun["hours"]) == ("B", "1.0.0 (abc)", "0", "-")
    assert found.differing == {"learning_rate": [1e-3, 4e-4, 4e-4]}
    assert "only between runs with the same letter" in found.table
    assert Image.open(io.BytesIO(found.draw())).size == (1400, 500)
    assert compare([folders[2]]).draw() is None and len(compare([folders[1]] * 2).rows) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("recipe.json", None, "no run: it has no recipe.json"),
        ("log.jsonl", None, "no run: it has no log.jsonl"),
        ("recipe.json", '{"colour": 3}', "recipe.json is damaged"),
        ("recipe.json", "[" * 100_000, "recipe.json is damaged"),
        ("recipe.json", "\x00\xff", "recipe.json is damaged"),
        ("log.jsonl", "\x00\n[1]\n", "log.jsonl is damaged"),
    ],
)
def test_what_is_no_run_is_one_sentence(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    run = write(tmp_path / "run", [{"began_at_step": 0}])
    (run / name).unlink()
    if text is not None:
        (run / name).write_text(text)
    with pytest.raises(RecipeError, match=message):
        compare([run])


def test_a_folder_that_is_not_there(tmp_path: Path, dualpix: Callable) -> None:
    code, out, err = dualpix("compare", str(tmp_path / "none"))
    assert (code, out, err.count("\n")) == (1, "", 1) and "there is no such folder" in err
    with pytest.raises(RecipeError, match="name at least one"):
        compare([])


def test_why_there_are_no_curves_is_told(tmp_path: Path, dualpix: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, lines, why in (
        ("new", [], "No curves were drawn: no run has a loss yet."),
        ("old", [{"step": 20, "loss": 0.5}], "which needs matplotlib: pip install -e '.[plot]'"),
    ):
        run = write(tmp_path / name, [{"began_at_step": 0}, *lines])
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        code, _, err = dualpix("compare", str(run), "-o", str(tmp_path / f"{name}-compared"))
        assert code == 0 and why in err and err.count("\n") == 1
        assert [path.name for path in (tmp_path / f"{name}-compared").iterdir()] == ["runs.md"]

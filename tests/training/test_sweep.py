"""A sweep of real runs. One of hardly any minutes takes a single step, however fast the machine is."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dualpix.errors import RecipeError
from dualpix.training.past_run import read_run
from dualpix.training.sweep import sweep, values_in

SMALL = {"scene": [48], "pool": [3], "fresh": [0]}
HARDLY_ANY = 1e-9


def test_a_sweep_ends_every_run_in_time_and_goes_on_with_more(tmp_path: Path, photos: Path, dualpix: Callable) -> None:
    folder = tmp_path / "sweep"
    words = [
        "sweep",
        "tiny",
        "learning_rate=3e-4,1e-3",
        "crop=32",
        "steps=2",
        "--photos",
        str(photos),
        "-o",
        str(folder),
    ]
    words += [f"{name}={value}" for name, (value,) in SMALL.items()]
    code, out, err = dualpix(*words, "--minutes", str(HARDLY_ANY))
    runs = [folder / "learning_rate=3e-4", folder / "learning_rate=1e-3"]
    assert code == 0 and err.startswith("Note: No curves were drawn, which needs matplotlib") and err.count("\n") == 1
    assert out.index("Run 1 of 2: learning_rate=3e-4") < out.index("Run 2 of 2")
    assert [read_run(run).steps for run in runs] == [1, 1]
    assert all(read_run(run).lines[-1].keys() >= {"validation"} for run in runs)
    assert out.endswith((folder / "runs.md").read_text())
    assert json.loads((folder / "sweep.json").read_text()).keys() == {run.name for run in runs}

    def logs() -> list[bytes]:
        return [(run / "log.jsonl").read_bytes() for run in runs]

    for minutes, steps in ((HARDLY_ANY, 1), (60, 2)):
        before = logs(), [read_run(run).steps for run in runs]
        assert dualpix(*words, "--minutes", str(minutes))[0] == 0
        assert [read_run(run).steps for run in runs] == [steps, steps]
        assert before[1] != [steps, steps] or logs() == before[0], "what has had its minutes is kept"


def test_what_cannot_be_learnt_is_named_and_the_others_go_on(tmp_path: Path, photos: Path) -> None:
    told: list[dict] = []
    fields = SMALL | {"crop": [30, 32], "far_px": [[2, 12]]}
    done = sweep("tiny", fields, tmp_path, minutes=HARDLY_ANY, photos=[photos], report=told.append)
    assert list(done.failures) == ["crop=30"] and "needs a multiple of" in done.failures["crop=30"]
    assert [row["run"] for row in done.comparison.rows] == ["crop=32"]
    assert [line["run"] for line in told if "run" in line] == ["crop=30", "crop=32"]
    with pytest.raises(RecipeError, match="No run could be learnt: crop=30 does not fit"):
        sweep("tiny", SMALL | {"crop": [30]}, tmp_path / "none", minutes=HARDLY_ANY, photos=[photos])


def test_a_run_whose_folder_cannot_be_written_is_told_by_its_cause(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "scene=48,pool=3,fresh=0,crop=32" / "recipe.json").mkdir(parents=True)
    with pytest.raises(RecipeError, match=r"No run could be learnt: .*recipe\.json cannot be written: Is a directory"):
        sweep("tiny", SMALL | {"crop": [32]}, tmp_path, minutes=HARDLY_ANY, photos=[photos])


def test_a_combination_that_gives_no_numbers_is_named_and_the_others_go_on(tmp_path: Path, photos: Path) -> None:
    fields = SMALL | {"crop": [32], "learning_rate": [9e9, 1e-4], "steps": [6]}
    done = sweep("tiny", fields, tmp_path, minutes=60, photos=[photos])
    assert list(done.failures) == ["learning_rate=9000000000.0"]
    assert "NaN or infinity" in done.failures["learning_rate=9000000000.0"]
    assert "learning_rate=0.0001" in [row["run"] for row in done.comparison.rows]


def test_an_interrupted_sweep_goes_on(tmp_path: Path, photos: Path) -> None:
    def interrupt(line: dict) -> None:
        if "validation" in line:
            os.kill(os.getpid(), signal.SIGINT)

    fields = SMALL | {"crop": [32], "seed": [0, 1], "steps": [1000]}
    with pytest.raises(KeyboardInterrupt):
        sweep("tiny", fields, tmp_path, minutes=60, photos=[photos], report=interrupt)
    steps = read_run(tmp_path / "seed=0").steps
    assert 0 < steps < 1000 and not (tmp_path / "seed=1").exists()
    assert list(json.loads((tmp_path / "sweep.json").read_text())) == ["seed=0"]
    done = sweep("tiny", fields, tmp_path, minutes=HARDLY_ANY, photos=[photos])
    assert [row["steps"] for row in done.comparison.rows] == [str(steps), "1"]


@pytest.mark.parametrize(
    ("fields", "minutes", "message"),
    [
        ({"colour": ["red"]}, 1, "no recipe field called 'colour'"),
        ({"seed": []}, 1, "no value for seed"),
        ({"steps": ["5", "many"]}, 1, "steps=many is not accepted"),
        ({"seed": [1]}, 0, "0 minutes learns nothing"),
    ],
)
def test_bad_input_is_told_before_anything_is_learnt(
    tmp_path: Path, fields: dict, minutes: float, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        sweep("tiny", fields, tmp_path / "sweep", minutes=minutes, photos=[tmp_path])
    assert not (tmp_path / "sweep").exists()


def test_values_are_separated_by_commas_outside_of_brackets() -> None:
    assert values_in('{"a": [1, 2], "b": 3},{}') == ['{"a": [1, 2], "b": 3}', "{}"]
    assert values_in('["a,[",2], x') == ['["a,[",2]', "x"] and values_in("") == [""]

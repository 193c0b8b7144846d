"""Data sets and methods of the user's own that cannot be right: one sentence each, and the others go on."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dualpix.datasets import Sample
from dualpix.errors import DataError, PictureError
from dualpix.evaluation import blurred, evaluate, predict
from dualpix.evaluation.predicting import checked, each


def one(name: Any = "a", **more: Any) -> Sample:
    left, right = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    return {"left": left, "right": right, "sharp": left.flip(-1), "name": name, **more}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("text", "A thing of type str is no sample"),
        (one("../a"), "cannot be called '../a', for its name names files"),
        (one(""), "cannot be called ''"),
        (one(5), "cannot be called 5"),
        ({"left": torch.rand(3, 32, 40)}, "cannot be called None"),
        (one(left=np.zeros((3, 32, 40), np.float32)), r"left of 'a' is no picture \(ndarray\)"),
        (one(right=torch.rand(32, 40)), r"right of 'a' is no picture \(of shape \(32, 40\)\)"),
        (one(sharp=torch.rand(3, 32, 20)), r"sharp of 'a' is 20 x 32, but left 40 x 32 \(width x height\)"),
        (one(sharp=torch.full((3, 32, 40), 1.5)), r"sharp of 'a' leaves \[0, 1\]"),
        (one("good"), "Another sample is called 'good' too"),
    ],
)
def test_what_is_no_sample_is_told_and_the_others_go_on(bad: Any, says: str, tmp_path: Path) -> None:
    failures: dict[str, str] = {}
    assert [number for number, _ in each([one("good"), bad], failures)] == [0]  # type: ignore[arg-type]
    assert list(failures) == ["sample 2"]
    with pytest.raises(DataError, match=says):
        raise DataError(failures["sample 2"])
    done = evaluate([one("good"), bad], {"own": blurred}, tmp_path / "out")  # type: ignore[arg-type]
    assert list(done.rows[1].scores.pictures) == ["good"] and ("own", "sample 2") in done.failures


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    predict([one("../outside")], blurred, tmp_path / "made")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["made"] and not os.listdir(tmp_path / "made")


def test_what_is_no_picture_is_no_result() -> None:
    with pytest.raises(PictureError, match="gave ndarray and no picture"):
        checked(np.zeros((3, 32, 40)), one())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "methods", "says"),
    [
        (None, None, "A thing of type NoneType is no data set"),
        ([one()], [blurred], "A thing of type list does not name methods"),
        ([one()], {"a": 3}, "The method 'a' is of type int"),
        ([one()], {3: blurred}, "A method cannot be called 3"),
    ],
)
def test_what_cannot_be_evaluated_is_told_at_once(data: Any, methods: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        evaluate(data, methods, tmp_path / "out")

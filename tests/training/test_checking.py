"""Pairs that cannot be used are found before the first step, in folders and in data sets of the user's own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.datasets import Dpdd
from dualpix.errors import DataError, DualpixError, PictureError
from dualpix.training import train
from dualpix.training.recipes import Recipe
from dualpix.weights import checkpoint

Make = Callable[..., Recipe]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Twenty pairs of 48 px in DPDD's folders."""
    for number in range(20):
        for folder in ("inputL", "inputR", "target"):
            (tmp_path / "pairs" / folder).mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng([number, len(folder), ord(folder[-1])]).integers(0, 255, (48, 48, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pairs" / folder / f"{number:03d}.png")
    return tmp_path / "pairs"


def shrink(pairs: Path, name: str) -> None:
    for folder in ("inputL", "inputR", "target"):
        path = pairs / folder / name
        Image.open(path).crop((0, 0, 40, 24)).save(path)


def cut(pairs: Path, name: str) -> None:
    path = pairs / "inputR" / name
    path.write_bytes(path.read_bytes()[:-400])


@pytest.mark.parametrize(
    ("damage", "says"),
    [(shrink, r"001: it is 40 x 24 \(width x height\), smaller than the crop of 32"), (cut, r"inputR/001\.png")],
)
def test_pairs_that_will_not_do_are_found_before_the_first_step(
    pairs: Path, tmp_path: Path, quick: Make, damage: Callable, says: str
) -> None:
    damage(pairs, "001.png")
    with pytest.raises(DataError, match=f"1 of 20 pairs cannot be used .*{says}.*; take them out of the data"):
        train(quick(), tmp_path / "run", data=pairs)
    assert not (tmp_path / "run").exists()


def test_a_damaged_pair_to_be_tried_on_is_found_too(pairs: Path, tmp_path: Path, quick: Make) -> None:
    (pairs / "target" / "019.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 of 20 pairs cannot be used .*019\.png"):
        train(quick(), tmp_path / "run", data=pairs)


def spoiled(pairs: Path, line: dict[str, Any]) -> None:
    if line.get("step") == 2:
        for path in (pairs / "inputL").iterdir():
            path.write_bytes(b"gone")


def test_a_pair_that_goes_bad_on_the_way_loses_no_step(pairs: Path, tmp_path: Path, quick: Make) -> None:
    recipe, spoil = quick(steps=50, validate_every=2), partial(spoiled, pairs)
    with pytest.raises(PictureError, match="is not a PNG"):
        train(recipe, tmp_path / "run", data=pairs, report=spoil, decoded_gb=0)
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["learner"]["step"] >= 2


def test_pairs_once_decoded_are_not_asked_for_again(pairs: Path, tmp_path: Path, quick: Make) -> None:
    """The same weights, to the bit, as where every crop is decoded anew; and files that go bad are not missed."""
    recipe, spoil = quick(steps=4, validate_every=2), partial(spoiled, pairs)
    plain = train(recipe, tmp_path / "plain" / "run", data=pairs, decoded_gb=0)
    assert not (tmp_path / "plain" / "scenes").exists()
    kept = train(recipe, tmp_path / "kept" / "run", data=pairs, report=spoil)
    one, two = (checkpoint.load(path.with_name("last.safetensors")).network.state_dict() for path in (plain, kept))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert len(list((tmp_path / "kept" / "scenes" / "pairs").glob("*.npy"))) == 60


class Own:
    """A data set of the user's own, which has no files."""

    found = "twelve pairs of noise"

    def __init__(self, height: int = 40) -> None:
        self.height, self.read = height, 0

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.read += 1
        noise = torch.Generator().manual_seed(index)
        names = ("left", "right", "sharp")
        return {"name": f"noise {index}"} | {n: torch.rand(3, self.height, 40, generator=noise) for n in names}


def test_a_data_set_of_the_users_own_is_learnt_from(tmp_path: Path, quick: Make) -> None:
    own = Own()
    assert train(quick(steps=2), tmp_path / "run", data=own, validation=[Own()]).exists()
    assert train(quick(steps=2), tmp_path / "other", data=own).exists()
    with pytest.raises(DataError, match=r"11 of 12 pairs cannot be used .*noise 0: it is 40 x 20"):
        train(quick(), tmp_path / "small", data=Own(height=20))


def test_a_folder_and_its_data_set_are_the_same(pairs: Path, tmp_path: Path, quick: Make) -> None:
    train(quick(steps=1), tmp_path / "one", data=pairs)
    told: list[dict[str, Any]] = []
    train(quick(steps=2), tmp_path / "one", data=Dpdd(pairs, "train"), report=told.append)
    assert told[0] == {"resumed_at_step": 1} and not any("note" in line for line in told)


def one_view_twice(pairs: Path, name: str) -> None:
    (pairs / "inputR" / name).write_bytes((pairs / "inputL" / name).read_bytes())


@pytest.mark.parametrize("name", ["001", "019"])
def test_one_view_twice_is_found_whether_learnt_from_or_tried_on(
    pairs: Path, tmp_path: Path, quick: Make, name: str
) -> None:
    one_view_twice(pairs, f"{name}.png")
    with pytest.raises(DataError, match=rf"1 of 20 pairs cannot be used \({name}: .*both views hold the same pixels"):
        train(quick(), tmp_path / "run", data=pairs)


def test_what_looks_odd_about_files_is_told_before_the_first_step(pairs: Path, tmp_path: Path, quick: Make) -> None:
    """Of every run, though pictures are decoded in the first alone."""
    for name in ("001", "002"):
        Image.open(pairs / "inputL" / f"{name}.png").convert("RGBA").save(pairs / "inputL" / f"{name}.png")
    for folder in ("run", "another"):
        lines: list[dict[str, Any]] = []
        train(quick(steps=1), tmp_path / folder, data=pairs, report=lines.append)
        told = [line["note"] for line in lines if "alpha" in line.get("note", "")]
        assert len(told) == 1 and told[0][:14] in ("inputL/001.png", "inputL/002.png")
        assert told[0][14:] == " has an alpha channel (transparency): it is ignored. (The same of 1 more.)"


def test_what_is_no_recipe_data_or_folder_is_told(pairs: Path, tmp_path: Path, quick: Make) -> None:
    (tmp_path / "file").write_bytes(b"")
    wrong: Any = 5
    for recipe, folder, data, says in (
        (wrong, "run", pairs, "A thing of type int is no recipe; give a Recipe, or a name: paper"),
        (quick(), "run", wrong, "A thing of type int is no data set; give its folder"),
        (quick(), "file", pairs, "file is no folder, nor can it be made one; name another run folder"),
    ):
        with pytest.raises(DualpixError, match=says):
            train(recipe, tmp_path / folder, data=data)
    assert not (tmp_path / "run").exists()

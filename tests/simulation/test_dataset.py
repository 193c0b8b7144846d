"""The simulator inside other people's training loops."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import dualpix
from dualpix.errors import DataError, RecipeError
from dualpix.simulation.dataset import SimulatedPairs, SimulatedStream

HOME = Path(__file__).parents[2]
PHOTO = torch.randint(0, 256, (3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        dualpix.write_picture(tmp_path / "photos" / f"{number}.png", torch.rand(3, 80, 100))
    return tmp_path / "photos"


def test_pairs_are_those_that_simulate_writes(photos: Path, tmp_path: Path) -> None:
    dualpix.simulate([photos], tmp_path / "pairs", count=2, size=32, seed=5)
    written = dualpix.open_dataset(tmp_path / "pairs")[1]
    made = dualpix.SimulatedPairs([photos], size=32, count=2, seed=5)[1]
    assert made["name"] == "5-000001"
    for view in ("left", "right", "sharp"):
        assert torch.allclose(made[view], written[view], atol=1e-6)


def test_a_loader_with_workers_gives_the_same_pairs() -> None:
    pairs = SimulatedPairs([PHOTO], size=32, count=5, views=("left", "blur_px"), camera="canon-5d-mark-iv")
    batches = list(DataLoader(pairs, batch_size=2, num_workers=2, multiprocessing_context="fork"))
    assert [len(batch["name"]) for batch in batches] == [2, 2, 1] and set(batches[0]) == {"left", "blur_px", "name"}
    assert torch.equal(
        torch.cat([batch["left"] for batch in batches]), torch.stack([pairs[n]["left"] for n in range(5)])
    )
    with pytest.raises(IndexError):
        pairs[5]


@pytest.mark.parametrize(("world", "workers"), [(1, 0), (3, 0), (2, 2)])
def test_a_stream_is_divided_without_repeats(world: int, workers: int) -> None:
    names = []
    for rank in range(world):
        stream = SimulatedStream([PHOTO], 16, 11, start=3, rank=rank, world_size=world, views=("left",))
        context = "fork" if workers else None
        loader = DataLoader(stream, batch_size=None, num_workers=workers, multiprocessing_context=context)
        names += [item["name"] for item in loader]
    assert sorted(names) == [f"0-{index:06d}" for index in range(3, 14)]
    endless = iter(SimulatedStream([PHOTO], 16, views=("left",)))
    assert [next(endless)["name"] for _ in range(3)] == ["0-000000", "0-000001", "0-000002"]


def test_what_looks_odd_about_photographs_is_kept(photos: Path, tmp_path: Path) -> None:
    Image.new("L", (80, 80), 99).save(photos / "grey.png")
    for store in (None, tmp_path / "store", tmp_path / "store"):
        (told,) = SimulatedPairs([photos], size=32, count=1, store=store).notes
        assert told.startswith(f"{photos / 'grey.png'} is grey")
        assert SimulatedStream([photos], 32, 1, store=store).notes == (told,)
    assert SimulatedPairs([PHOTO], size=32, count=1).notes == ()


def test_photographs_with_depth_make_landscapes(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "depths" / "photos").mkdir(parents=True)
    for number in range(3):
        dualpix.write_picture(tmp_path / "depths" / "photos" / f"{number}.png", torch.rand(1, 20, 25).expand(3, -1, -1))
    with_depth = SimulatedPairs([photos], 32, 4, depths=tmp_path / "depths", store=tmp_path / "store")
    without = SimulatedPairs([photos], 32, 4)
    assert any(not torch.equal(with_depth[n]["sharp"], without[n]["sharp"]) for n in range(4))


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"size": 8}, DataError, "give 1 pair or more of 16 px or more"),
        ({"views": ("middle",)}, DataError, "There is no view 'middle'; choose from: left"),
        ({"camera": "cannon"}, RecipeError, "There is no camera called 'cannon'"),
        ({"depths": "maps"}, DataError, "store=FOLDER"),
        ({"depth": 12}, DataError, "give 8 or 16 bits"),
        ({"photos": [PHOTO.float()]}, DataError, "a tensor of bytes"),
        ({"photos": [PHOTO[:, :20]]}, DataError, "96 x 20 px is too small"),
        ({"photos": []}, DataError, "give at least one"),
        ({"codecs": ("gif",)}, DataError, "gif"),
        ({"codecs": "jpeg"}, DataError, r"codecs='jpeg' is one text; give a list, codecs=\['jpeg'\]"),
        ({"views": "left"}, DataError, "views='left' is one text"),
        ({"views": ()}, DataError, "No view is to be made"),
        ({"camera": 3}, RecipeError, "There is no camera called '3'"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(given: dict, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        SimulatedPairs(**{"photos": [PHOTO], **given})
    with pytest.raises(DataError, match="a rank goes from 0"):
        SimulatedStream([PHOTO], rank=2, world_size=2)


@pytest.mark.parametrize("script", ["train_plain.py", "train_lightning.py"])
def test_the_training_loops_of_the_documentation_learn(script: str, photos: Path, tmp_path: Path) -> None:
    if "lightning" in script:
        pytest.importorskip("lightning", reason="lightning is not installed")
    command = [sys.executable, str(HOME / "examples" / script), str(photos), "--steps", "4", "--size", "32", "--tiny"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert dualpix.load(tmp_path / "trained").name == "mccnet-fast"

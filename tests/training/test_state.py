"""`last.pt`: what is in it, and that nothing of it is used that cannot be of this network."""

import copy
import hashlib
import io
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dualpix.errors import CheckpointError
from dualpix.training.feed import Feed, Fixed
from dualpix.training.learner import Learner
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe
from dualpix.training.run_folder import RunFolder
from dualpix.training.state import SEAL, SEAL_BYTES, pack, unpack
from same_state import same

Make = Callable[..., Recipe]
Damage = Callable[[Any], Any]
VIEWS = ("left", "right", "sharp")


def taught(recipe: Recipe, steps: int = 2) -> Learner:
    learner = Learner(recipe)
    noise = torch.Generator().manual_seed(0)
    pictures = {name: torch.rand(3, 40, 40, generator=noise) for name in VIEWS}
    feed = Feed(Fixed([{**pictures, "name": "noise"}]), recipe, VIEWS)
    for _ in range(steps):
        learner.learn(feed.batch(learner.step), Processes())
    feed.close()
    return learner


@pytest.fixture(params=["adamw", "muon"])
def recipe(quick: Make, request: pytest.FixtureRequest) -> Recipe:
    return quick(optimiser=request.param, steps=5)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recipe], Path]:
    """`kept(recipe)`: a run of two steps that has been kept, made once."""
    root = tmp_path_factory.mktemp("kept")

    def keep(recipe: Recipe) -> Path:
        place = root / recipe.optimiser
        if not place.exists():
            folder = RunFolder(place, recipe, Processes(), None)
            folder.begin(learner := Learner(recipe))
            learner.restore(taught(recipe).state())
            folder.save(learner)
            folder.close()
        return place

    return keep


@pytest.fixture
def run(tmp_path: Path, recipe: Recipe, kept: Callable[[Recipe], Path]) -> Path:
    """A copy of such a run."""
    return Path(shutil.copytree(kept(recipe), tmp_path / "run"))


def resume(run: Path, recipe: Recipe) -> Learner:
    folder = RunFolder(run, recipe, Processes(), None)
    try:
        folder.begin(learner := Learner(recipe))
        return learner
    finally:
        folder.close()


def test_what_is_packed_is_unpacked_and_pytorch_reads_it_too(tmp_path: Path, recipe: Recipe) -> None:
    state = taught(recipe).state()
    (tmp_path / "last.pt").write_bytes(pack({"learner": state}))
    assert same(unpack(tmp_path / "last.pt"), {"learner": state})
    assert same(torch.load(tmp_path / "last.pt", weights_only=True, mmap=True), {"learner": state})


def test_every_flipped_byte_is_found(tmp_path: Path, quick: Make) -> None:
    path = tmp_path / "last.pt"
    whole = bytes(pack({"learner": Learner(quick()).state()}))
    draw = random.Random(0)
    places = [0, 1, len(whole) - 1, len(whole) - 41, len(whole) - 62, *draw.sample(range(len(whole)), 60)]
    for at in places:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            unpack(path)


def test_a_state_from_before_there_was_a_seal_is_taken_and_its_checksums_are_looked_at(
    run: Path, recipe: Recipe
) -> None:
    path = run / "last.pt"
    state = torch.load(path, weights_only=True)
    state["learner"].pop("failures"), state.pop("precision"), state.pop("origin")
    torch.save(state, path)
    learner = resume(run, recipe)
    assert learner.step == 2 and same(learner.state()["optimiser"], state["learner"]["optimiser"])
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        weights = max(archive.infolist(), key=lambda entry: entry.file_size)
    at = weights.header_offset + weights.file_size
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be resumed from: it is damaged.*checksum.*delete it"):
        resume(run, recipe)


@pytest.mark.parametrize("trick", ["inflates", "lies there twice"])
def test_a_seal_does_not_vouch_for_what_the_parts_become(tmp_path: Path, trick: str) -> None:
    """Fault 53's kind: who writes a file can seal it, too; 400 MB would come out of 400 KB."""
    whole, packed = io.BytesIO(bytes(pack({"learner": torch.zeros(2**20)}))), io.BytesIO()
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(packed, "w") as other:
        for entry in archive.infolist():
            kind = zipfile.ZIP_DEFLATED if trick == "inflates" else zipfile.ZIP_STORED
            other.writestr(entry.filename, archive.read(entry), kind)
        if trick == "lies there twice":
            largest = max(other.filelist, key=lambda entry: entry.file_size)
            other.filelist.append(again := copy.copy(largest))
            again.filename = "archive/data/9"
    content = packed.getvalue()[:-2] + SEAL_BYTES.to_bytes(2, "little")
    seal = SEAL + hashlib.blake2b(content, digest_size=16).hexdigest().encode()
    (tmp_path / "last.pt").write_bytes(content + seal)
    with pytest.raises(ValueError, match="damaged"):
        unpack(tmp_path / "last.pt")


def test_what_lay_on_another_device_is_brought_to_the_processor(tmp_path: Path) -> None:
    """A run learnt on CUDA goes on where there is none: its archive says of each tensor where it lay."""
    here, there = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    whole = io.BytesIO(bytes(pack({"learner": torch.arange(5.0)})))
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(tmp_path / "last.pt", "w") as other:
        for entry in archive.infolist():
            other.writestr(entry.filename, archive.read(entry).replace(here, there))
    assert there in (tmp_path / "last.pt").read_bytes()
    assert same(unpack(tmp_path / "last.pt"), {"learner": torch.arange(5.0)})


def first_moments(state: dict[str, Any]) -> dict[str, Any]:
    optimiser = state["learner"]["optimiser"]
    return next(iter(optimiser.get("adam", optimiser)["state"].values()))


def put(*path: Any, value: Any) -> Damage:
    def damage(state: dict[str, Any]) -> None:
        *way, last = path
        for key in way:
            state = state[key]
        state[last] = value(state[last]) if callable(value) else value

    return damage


def moment(name: str, value: Any) -> Damage:
    def damage(state: dict[str, Any]) -> None:
        found = first_moments(state)
        found[name] = value(found[name]) if callable(value) else value

    return damage


def nan(tensor: torch.Tensor) -> torch.Tensor:
    return torch.full_like(tensor, float("nan"))


def gone(name: str) -> Damage:
    return lambda state: first_moments(state).pop(name)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "nothing": (moment("exp_avg_sq", torch.zeros(0)), "has the shape 0 and not"),
    "one number": (moment("exp_avg_sq", torch.zeros(1)), "has the shape 1 and not"),
    "other sides": (moment("exp_avg", torch.zeros(3, 3)), "has the shape 3 x 3 and not"),
    "repeated": (moment("exp_avg", lambda x: torch.zeros(1).expand(2, *x.shape)), "has the shape 2 x"),
    "integers": (moment("exp_avg", lambda x: torch.zeros(x.shape, dtype=torch.int32)), "torch.int32"),
    "sparse": (moment("exp_avg", lambda x: torch.zeros_like(x).to_sparse()), "no tensor"),
    "a moment gone": (gone("exp_avg"), "no exp_avg"),
    "negative squares": (moment("exp_avg_sq", lambda x: x - 1), "numbers that cannot be"),
    "an endless moment": (moment("exp_avg", nan), "numbers that cannot be"),
    "a step ahead": (moment("step", torch.tensor(3.0)), "step of the optimiser is 3"),
    "text": (put("learner", "optimiser", value="adam"), "no "),
    "NaN": (put("learner", "masters", 0, value=nan), "weights hold numbers that cannot be, such as NaN"),
    "a NaN mean": (put("learner", "means", -1, value=nan), "running means hold numbers"),
    "one too few": (put("learner", "masters", value=lambda x: x[1:]), "weights, and the network has"),
    "other weights": (put("learner", "masters", 0, value=torch.zeros(2)), "has the shape 2 and not"),
    "weights of one number": (put("learner", "masters", 0, value=torch.zeros(1)), "has the shape 1 and not"),
    "a far step": (put("learner", "step", value=10**9), "step is 1000000000"),
    "a step before the first": (put("learner", "step", value=-1), "step is -1"),
    "no step": (lambda state: state["learner"].pop("step"), "no step"),
    "no learner": (lambda state: state.pop("learner"), "no learner"),
    "time": (put("spent", value=float("nan")), "time is nan"),
    "losses": (put("losses", value=["a"]), "losses"),
    "score": (put("best_score", value=float("nan")), "best_score is nan"),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("sealed", [True, False])
def test_what_cannot_be_of_the_run_is_refused_with_its_cause(
    run: Path, recipe: Recipe, name: str, sealed: bool
) -> None:
    damage, cause = DAMAGES[name]
    state = torch.load(run / "last.pt", weights_only=True)
    damage(state)
    if sealed:
        (run / "last.pt").write_bytes(pack(state))
    else:
        torch.save(state, run / "last.pt")
    with pytest.raises(CheckpointError) as caught:
        resume(run, recipe)
    said = str(caught.value)
    assert said.startswith(f"{run}/last.pt cannot be resumed from: ") and cause in said
    assert said.endswith("; delete it to start again, or name another run folder.") and "\n" not in said


def test_settings_of_the_optimiser_are_those_of_the_recipe(quick: Make) -> None:
    """One in a file, as PyTorch's optimisers keep them, could ask for a moment that is not there (amsgrad)."""
    recipe = quick()
    clean = taught(recipe)
    state = copy.deepcopy(clean.state())
    state["optimiser"]["param_groups"] = [{"amsgrad": True, "betas": (float("nan"), 0.5), "foreach": True}]
    learner = Learner(recipe)
    learner.restore(state)
    batch = {name: torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) for name in VIEWS}
    for one in (clean, learner):
        one.learn(batch, Processes())
    assert same(learner.state(), clean.state())


def test_tensors_that_lie_otherwise_in_memory_are_copied_into_place(quick: Make) -> None:
    """A fused optimiser walks through the memory of a weight and of its moments side by side."""
    recipe = quick()
    state = taught(recipe).state()
    for moments in state["optimiser"]["state"].values():
        moments["exp_avg"] = (
            moments["exp_avg"].mT.contiguous().mT if moments["exp_avg"].ndim > 1 else moments["exp_avg"]
        )
        moments["exp_avg_sq"] = torch.zeros(1).expand(moments["exp_avg_sq"].shape)
    learner = Learner(recipe)
    learner.restore(state)
    moved = learner.optimiser.state_dict()["state"]
    for number, master in enumerate(learner.masters):
        assert moved[number]["exp_avg"].stride() == moved[number]["exp_avg_sq"].stride() == master.stride()


def test_a_refused_state_changes_nothing(quick: Make) -> None:
    state = taught(quick()).state()
    state["optimiser"]["state"][len(state["optimiser"]["state"]) - 1]["exp_avg"] = torch.zeros(1)
    learner = Learner(quick())
    with pytest.raises(ValueError, match="shape"):
        learner.restore(state)
    assert same(learner.state(), Learner(quick()).state())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"this is no state\n" * 100])
def test_other_files_are_one_sentence(run: Path, recipe: Recipe, content: bytes) -> None:
    (run / "last.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot be resumed from: it is (cut short|damaged)"):
        resume(run, recipe)


def test_a_file_that_cannot_be_read_is_not_called_damaged(run: Path, recipe: Recipe) -> None:
    (run / "last.pt").unlink()
    (run / "last.pt").mkdir()
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read: Is a directory"):
        resume(run, recipe)


def test_a_resumed_run_keeps_its_precision(tmp_path: Path, quick: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a measurement says this time: the machine may be busy."""
    recipe = quick(precision="auto", network="mccnet-fast")
    monkeypatch.setattr("dualpix.inference.rates.bf16_gain", lambda learning=False: 9.0)
    folder = RunFolder(tmp_path / "run", recipe, Processes(), None)
    folder.begin(learner := Learner(recipe))
    folder.save(learner)
    folder.close()
    assert learner.precision == "bf16"
    monkeypatch.setattr("dualpix.inference.rates.bf16_gain", lambda learning=False: 0.1)
    again = RunFolder(tmp_path / "run", recipe, Processes(), None)
    again.close()
    assert Learner(recipe).precision == "fp32" and Learner(recipe, precision=again.precision).precision == "bf16"

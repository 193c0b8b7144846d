"""Checkpoints: what is written comes back, and nothing that is damaged, foreign or dangerous is taken."""

import json
import os
import pickle
import random
import stat
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from dualpix import networks
from dualpix.errors import CheckpointError
from dualpix.networks.spec import NetworkSpec
from dualpix.weights import checkpoint
from edited_weights import rewrite

ARGUMENTS = {"width": 4}


class Tiny(nn.Module):
    spec = NetworkSpec(("left", "right"))

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, width, 3, padding=1)
        self.last = nn.Conv2d(width, 3, 1)
        self.register_buffer("steps", torch.tensor(7))
        self.register_buffer("ramp", torch.linspace(0, 1, width).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        inside: Tensor = self.first(torch.cat([left, right], 1)) * self.ramp
        return self.last(torch.nn.functional.dropout(inside, 0.5, self.training))


@pytest.fixture(autouse=True)
def _tiny_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(networks.NETWORKS, "tiny", Tiny)


@pytest.fixture
def tiny() -> Tiny:
    torch.manual_seed(3)
    return Tiny(**ARGUMENTS)


@pytest.fixture
def saved(tmp_path: Path, tiny: Tiny) -> Path:
    return checkpoint.save(
        tmp_path / "tiny.safetensors",
        tiny,
        "tiny",
        ARGUMENTS,
        {"rate": 1e-4, "losses": ["charbonnier"]},
        {"psnr": 26.5},
        extra={"licence": "CC0", "note": "ä"},
    )


def edit_card(path: Path, **fields: Any) -> Path:
    def change(header: dict[str, Any]) -> None:
        card = json.loads(header["__metadata__"]["dualpix"]) | fields
        header["__metadata__"]["dualpix"] = json.dumps(card)

    return rewrite(path, change)


def refused(path: str | Path, *words: str) -> str:
    """The message of the refusal: it holds all `words` and is one sentence on one line."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    message = str(caught.value)
    for word in words:
        assert word in message
    assert "\n" not in message
    return message


def test_what_is_saved_comes_back(saved: Path, tiny: Tiny) -> None:
    found = checkpoint.load(saved)
    assert (found.name, found.arguments, found.path) == ("tiny", ARGUMENTS, saved)
    assert found.recipe == {"rate": 1e-4, "losses": ["charbonnier"]}
    assert found.scores == {"psnr": 26.5}
    assert found.extra == {"licence": "CC0", "note": "ä"}
    assert not found.network.training
    views = torch.rand(2, 1, 3, 8, 9)
    assert torch.equal(found.network(*views), tiny.eval()(*views))
    assert found.network.get_buffer("steps").item() == 7
    assert checkpoint.read_card(saved)["scores"] == {"psnr": 26.5}


def test_other_programs_can_read_the_file(saved: Path, tiny: Tiny) -> None:
    tensors = safetensors.torch.load_file(saved)
    assert tensors.keys() == tiny.state_dict().keys()
    assert torch.equal(tensors["first.weight"], tiny.first.weight)


def test_the_same_weights_give_the_same_file(saved: Path, tiny: Tiny) -> None:
    card = checkpoint.read_card(saved)
    again = checkpoint.save(
        saved.with_name("again"), tiny, "tiny", ARGUMENTS, card["recipe"], card["scores"], extra=card["extra"]
    )
    assert again.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize(("dtype", "relative"), [("bf16", 2**-8), ("fp16", 2**-11)])
def test_half_size_files_come_back_in_fp32(tmp_path: Path, tiny: Tiny, dtype: str, relative: float) -> None:
    found = checkpoint.load(checkpoint.save(tmp_path / "half", tiny, "tiny", ARGUMENTS, dtype=dtype)).network
    for name, value in found.state_dict().items():
        original = tiny.state_dict()[name]
        assert value.dtype == original.dtype
        if value.is_floating_point():
            assert ((value - original).abs() <= relative * original.abs() + 1e-7).all()
    assert not torch.equal(found.state_dict()["first.weight"], tiny.first.weight)


def test_loading_leaves_random_numbers_alone(saved: Path) -> None:
    before = torch.get_rng_state()
    checkpoint.load(saved)
    assert torch.equal(torch.get_rng_state(), before)


def test_tied_and_strided_parameters_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
            self.two.weight = self.one.weight
            self.three = nn.Parameter(torch.rand(4, 3).t())

    monkeypatch.setitem(networks.NETWORKS, "tied", Tied)
    network = Tied()
    found = checkpoint.load(checkpoint.save(tmp_path / "tied", network, "tied")).network
    assert torch.equal(found.two.weight, network.one.weight)
    assert torch.equal(found.three, network.three)


def test_others_can_read_the_file(saved: Path) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o644
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_failed_save_leaves_the_old_file(saved: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    old = saved.read_bytes()
    with torch.no_grad():
        tiny.last.bias[1] = float("nan")
    with pytest.raises(CheckpointError, match=r"last\.bias"):
        checkpoint.save(saved, tiny, "tiny", ARGUMENTS)

    def interrupt(*paths: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(saved, Tiny(), "tiny", ARGUMENTS)
    assert saved.read_bytes() == old
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_fp16_overflow_is_refused(tmp_path: Path, tiny: Tiny) -> None:
    with torch.no_grad():
        tiny.first.weight[0, 0, 0, 0] = 1e6
    with pytest.raises(CheckpointError, match=r"first\.weight"):
        checkpoint.save(tmp_path / "x", tiny, "tiny", ARGUMENTS, dtype="fp16")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_one_sentence(tmp_path: Path, tiny: Tiny) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.save(tmp_path / "file" / "x.safetensors", tiny, "tiny", ARGUMENTS)
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.save(tmp_path / "folder", tiny, "tiny", ARGUMENTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_missing_files_are_named(tmp_path: Path) -> None:
    message = refused(tmp_path / "none.safetensors", "none.safetensors")
    assert all(name in message for name in checkpoint.WEIGHTS)
    refused(tmp_path, "folder")


def test_shipped_weights_that_are_absent_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checkpoint.WEIGHTS, "gone", "gone.safetensors")
    refused("gone", "'gone'", "dualpix train")


class Harmful:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "ran")


def test_a_header_of_any_length_is_read(tmp_path: Path, tiny: Tiny) -> None:
    """A length whose lowest byte is 0x80 looks like the beginning of a pickle."""
    lowest = set()
    for extra in range(0, 256, 8):
        path = checkpoint.save(tmp_path / "w.safetensors", tiny, "tiny", ARGUMENTS, extra={"note": "x" * extra})
        lowest.add(path.read_bytes()[0])
        assert checkpoint.load(path).extra == {"note": "x" * extra}
    assert 0x80 in lowest


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle", "tar"])
def test_pickles_are_never_opened(tmp_path: Path, how: str) -> None:
    """Foreign files never run code."""
    mark, path = tmp_path / "ran", tmp_path / "weights.safetensors"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Harmful(mark)))
    elif how == "tar":
        import tarfile

        inside = tmp_path / "pickle"
        inside.write_bytes(pickle.dumps(Harmful(mark)))
        with tarfile.open(path, "w") as tar:
            tar.add(inside)
    else:
        torch.save({"x": Harmful(mark)}, path, _use_new_zipfile_serialization=how == "zip")
    refused(path, "pickle", ".safetensors")
    assert not mark.exists()


def test_a_truncated_file_is_refused_wherever_it_ends(saved: Path) -> None:
    content = saved.read_bytes()
    part = saved.with_name("part")
    for size in [*range(0, 40, 3), *range(40, len(content), 37), len(content) - 1]:
        part.write_bytes(content[:size])
        message = refused(part)
        assert any(word in message for word in ("truncated", "not a safetensors"))


def test_seeded_damage_raises_only_our_error(saved: Path) -> None:
    content = saved.read_bytes()
    part, rng, unharmed = saved.with_name("part"), random.Random(5), 0
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 8])):
            changed[rng.randrange(min(len(changed), 900))] = rng.randrange(256)
        part.write_bytes(changed)
        try:
            checkpoint.load(part)
            unharmed += 1
        except CheckpointError:
            pass
    assert unharmed < 200  # Most of these bytes matter; a changed number in the recipe or a weight does not.


def test_headers_that_are_no_headers(tmp_path: Path, saved: Path) -> None:
    path = tmp_path / "x"

    def write(text: bytes, size: int | None = None) -> Path:
        path.write_bytes((len(text) if size is None else size).to_bytes(8, "little") + text)
        return path

    refused(write(b"{" * 100_000), "damaged")
    refused(write(b"[1, 2]"), "not a safetensors")
    refused(write(b"{}", 2**60), "header")
    refused(write(b"{}"), "not one made by `dualpix`")
    refused(write(b'{"a": 3}'), "'a'")
    refused(write(b'{"a": {"shape": [Infinity], "data_offsets": [0, 4]}}'), "'a'")
    many = {f"tensor.{index}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for index in range(100_000)}
    refused(write(json.dumps(many).encode()), "header")
    refused(rewrite(saved, lambda header: header.pop("__metadata__")), "not one made by `dualpix`")
    refused(rewrite(saved, lambda header: header["__metadata__"].update(dualpix="{")), "description")


def test_descriptions_that_do_not_describe(saved: Path) -> None:
    refused(edit_card(saved, format=2), "newer")
    refused(edit_card(saved, format=None), "format")
    refused(edit_card(saved, format=True), "format")
    refused(edit_card(saved, arguments=[]), "arguments")
    refused(edit_card(saved, recipe=None, scores="high"), "recipe", "scores")
    refused(edit_card(saved, network="tinny"), "tinny", "tiny")
    refused(edit_card(saved, arguments={"wide": 3}), "wide")
    refused(edit_card(saved, arguments={"width": -3}), "arguments")


def test_other_networks_weights_are_refused_by_name(saved: Path) -> None:
    refused(edit_card(saved, arguments={"width": 5}), "first.weight", "4 x 6 x 3 x 3", "5 x 6 x 3 x 3")

    def drop(header: dict[str, Any]) -> None:
        del header["last.bias"]

    def rename(header: dict[str, Any]) -> None:
        header["last.extra"] = header["last.bias"]

    refused(rewrite(saved, drop), "last.bias", "missing")
    refused(rewrite(saved, rename), "last.extra")


def test_a_huge_network_is_refused_before_it_is_built(saved: Path) -> None:
    refused(edit_card(saved, arguments={"width": 10**9}), "first.weight")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, saved: Path, value: float) -> None:
    """Weights with NaN or infinity are refused, and the tensor is named."""
    tensors = safetensors.torch.load_file(saved)
    tensors["last.weight"][0, 1] = value
    broken = tmp_path / "broken.safetensors"
    safetensors.torch.save_file(tensors, broken, {"dualpix": json.dumps(checkpoint.read_card(saved))})
    refused(broken, "last.weight", "NaN")


def test_weights_too_large_for_float32_are_refused(tmp_path: Path, saved: Path) -> None:
    """Finite in the file, infinite once loaded."""
    tensors = safetensors.torch.load_file(saved)
    tensors["last.bias"] = tensors["last.bias"].double() + 1e300
    broken = tmp_path / "broken.safetensors"
    safetensors.torch.save_file(tensors, broken, {"dualpix": json.dumps(checkpoint.read_card(saved))})
    refused(broken, "last.bias", "infinity")


def test_what_names_no_weights_is_told() -> None:
    for wrong in (None, 5, b"w.safetensors"):
        with pytest.raises(CheckpointError, match=f"A thing of type {type(wrong).__name__} names no weights"):
            checkpoint.load(wrong)  # type: ignore[arg-type]

"""IFAN's published files: made here with the names and shapes of their layout, run by a second reading of it."""

import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.errors import CheckpointError, RecipeError
from dualpix.networks import create
from dualpix.weights.foreign import translate

CHANNELS, STEPS = 4, 3
DEEP = 4 * CHANNELS
WIDTHS = (CHANNELS, 2 * CHANNELS, DEEP, DEEP)
SMALL: dict[str, Any] = {"channels": CHANNELS, "filters": STEPS}
Published = dict[str, Tensor]


def published(dual: bool = False, reblur: bool = False, parallel: bool = True) -> Published:
    """Random weights under the names that the authors' training saves."""
    shapes: dict[str, tuple[int, int, int]] = {}  # name: (channels out, channels in, side of the kernel)

    def group(name: str, channels: int, units: int) -> None:
        shapes.update({f"{name}.stem.{i}.{j}": (channels, channels, 3) for i in range(units) for j in (0, 2)})

    for kind, first in (("conv", 3), ("kconv", 6 if dual else 3)):
        before = first
        for scale, width in enumerate(WIDTHS, 1):
            for number in (1, 2, 3):
                shapes[f"{kind}{scale}_{number}.0"] = (width, before, 3)
                before = width
    for name, entry in (("conv4_4", 2 * DEEP), ("DME", DEEP), ("F", DEEP)):
        shapes[f"{name}.0.0"] = (DEEP, entry, 3)
        group(f"{name}.1", DEEP, 2)
        group(f"{name}.2", DEEP, 2)
    shapes |= {"conv4_4.3.0": (DEEP, DEEP, 3), "DME.3": (1, DEEP, 3), "F.3": (STEPS * DEEP * 7, DEEP, 1)}
    shapes |= {"conv_DME.0": (DEEP, 1, 3), "conv_res.0.0": (DEEP, DEEP, 3), "conv_res.2.0": (DEEP, DEEP, 3)}
    group("conv_res.1", DEEP, 3)
    for scale, (width, below) in enumerate(pairwise(WIDTHS), 1):
        shapes[f"upconv{scale}_u.0"] = (width, below, 4)
        group(f"upconv{scale}_1", width, 1)
        group(f"upconv{scale}_2", width, 1)
    shapes["out_res.0"] = (3, CHANNELS, 3)
    shapes = {f"Network.{name}": shape for name, shape in shapes.items()}
    if reblur:
        shapes["reblurNet.RBF.0.0"] = (DEEP, STEPS * DEEP * 7, 3)
        group("reblurNet.RBF.1", DEEP, 2)
        group("reblurNet.RBF.2", DEEP, 2)
        shapes["reblurNet.RBF.3"] = (STEPS * 3 * 7, DEEP, 3)
    torch.manual_seed(0)
    state = {}
    for name, (out, entry, side) in shapes.items():
        key = f"module.{name}" if parallel else name
        # Up-convolutions name their input channels first.
        ways = (entry, out) if "_u." in name else (out, entry)
        state[f"{key}.weight"] = torch.randn(*ways, side, side) * (2 / (entry * side * side)) ** 0.5
        state[f"{key}.bias"] = 0.1 * torch.randn(out)
    return state


def run(state: Published, center: Tensor, left: Tensor, right: Tensor, dual: bool, reuse_taps: bool) -> Tensor:
    """The published network, written a second time from its description, on the published names."""
    inner = {name.removeprefix("module.").removeprefix("Network."): tensor for name, tensor in state.items()}

    def convolve(name: str, x: Tensor, stride: int = 1, active: bool = True) -> Tensor:
        weight = inner[f"{name}.weight"]
        y = F.conv2d(x, weight, inner[f"{name}.bias"], stride, padding=weight.shape[-1] // 2)
        return F.leaky_relu(y, 0.1) if active else y

    def residual(name: str, x: Tensor, units: int = 2) -> Tensor:
        start = x
        for i in range(units):
            y = convolve(f"{name}.stem.{i}.2", convolve(f"{name}.stem.{i}.0", x), active=False)
            x = F.leaky_relu(x + y, 0.1)
        return x + start if units > 1 else x

    def encode(kind: str, x: Tensor) -> list[Tensor]:
        levels = []
        for scale in (1, 2, 3, 4):
            for number in (1, 2, 3):
                x = convolve(f"{kind}{scale}_{number}.0", x, 2 if number == 1 and scale > 1 else 1)
            levels.append(x)
        return levels

    def trunk(name: str, x: Tensor) -> Tensor:
        return residual(f"{name}.2", residual(f"{name}.1", convolve(f"{name}.0.0", x)))

    full, half, quarter, x = encode("conv", center)
    seen = encode("kconv", torch.cat([right, left], 1) if dual else center)[-1]
    disparity = convolve("DME.3", trunk("DME", seen), active=False)
    seen = torch.cat([seen, convolve("conv_DME.0", disparity)], 1)
    seen = convolve("conv4_4.3.0", trunk("conv4_4", seen))
    filters = convolve("F.3", trunk("F", seen), active=False)
    batch, channels, height, width = x.shape
    for step in range(STEPS):
        taps = filters[:, 6 * channels * step :][:, : 6 * channels].reshape(batch, 2, channels, 3, height, width)
        shift = filters[:, 6 * channels * STEPS + channels * step :][:, :channels]
        down = F.pad(x, (0, 0, 1, 1), mode="replicate").unfold(2, 3, 1)  # B C H W 3
        x = torch.einsum("bchwt,bcthw->bchw", down, taps[:, 0])
        across = F.pad(x, (1, 1, 0, 0), mode="replicate").unfold(3, 3, 1)
        x = F.leaky_relu(torch.einsum("bchwt,bcthw->bchw", across, taps[:, 0 if reuse_taps else 1]) + shift, 0.1)
    x = convolve("conv_res.2.0", residual("conv_res.1", convolve("conv_res.0.0", x), 3))
    for scale, skip in ((3, quarter), (2, half), (1, full)):
        up = f"upconv{scale}"
        x = F.conv_transpose2d(x, inner[f"{up}_u.0.weight"], inner[f"{up}_u.0.bias"], stride=2, padding=1)
        x = F.leaky_relu(x, 0.1) + skip
        x = residual(f"{up}_2", residual(f"{up}_1", x, 1), 1)
    return convolve("out_res.0", x) + center


def saved(state: Any, tmp_path: Path, **options: Any) -> Path:
    path = tmp_path / "IFAN.pytorch"
    torch.save(state, path, **options)
    return path


@torch.no_grad()
@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("reuse_taps", [False, True])
@pytest.mark.parametrize("parallel", [False, True])
def test_translated_weights_give_the_published_networks_picture(
    tmp_path: Path, dual: bool, reuse_taps: bool, parallel: bool
) -> None:
    state = published(dual, parallel=parallel)
    arguments = {"dual": dual, "reuse_taps": reuse_taps, **SMALL}
    network = create("ifan", **arguments)
    network.load_state_dict(translate(saved(state, tmp_path), "ifan", **arguments), strict=True)
    center, left, right = torch.rand(3, 2, 3, 16, 24)
    got = network(center, left, right) if dual else network(center)
    torch.testing.assert_close(got, run(state, center, left, right, dual, reuse_taps), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("reblur", [False, True])
def test_the_trainings_own_network_is_left_out_unless_asked_for(tmp_path: Path, reblur: bool) -> None:
    state = published(reblur=True)
    found = translate(saved(state, tmp_path), "ifan", reblur=reblur, **SMALL)
    assert ("reblur.predict.3.bias" in found) == reblur
    create("ifan", reblur=reblur, **SMALL).load_state_dict(found, strict=True)
    if reblur:
        assert torch.equal(found["reblur.predict.2.units.1.1.weight"], state["module.reblurNet.RBF.2.stem.1.2.weight"])


def test_names_and_shapes_are_those_of_the_full_size() -> None:
    """Spot checks of the published layout at its own size, by hand."""
    state = create("ifan", dual=True).state_dict()
    assert state["filter.weight"].shape == (15_232, 128, 1, 1)
    assert state["read.0.0.0.weight"].shape == (32, 6, 3, 3)
    assert state["up_full.raise_size.0.weight"].shape == (64, 32, 4, 4)


def test_files_of_before_the_zip_format(tmp_path: Path) -> None:
    state = published()
    path = saved(state, tmp_path, _use_new_zipfile_serialization=False)
    assert torch.equal(translate(path, "ifan", **SMALL)["head.0.bias"], state["module.Network.out_res.0.bias"])


def test_half_precision_is_widened(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in published().items()}
    assert {t.dtype for t in translate(saved(state, tmp_path), "ifan", **SMALL).values()} == {torch.float32}


def test_weights_of_taps_used_twice_are_recognised(tmp_path: Path) -> None:
    state = published()
    taps = state["module.Network.F.3.bias"][: STEPS * DEEP * 6].view(STEPS, 2, DEEP * 3)
    taps[:, 1] = 0
    path = saved(state, tmp_path)
    with pytest.raises(CheckpointError, match=r"give reuse_taps=True"):
        translate(path, "ifan", **SMALL)
    assert translate(path, "ifan", reuse_taps=True, **SMALL)


def without(name: str) -> Callable[[Published], Any]:
    return lambda state: {key: tensor for key, tensor in state.items() if key != name}


BIAS = "module.Network.out_res.0.bias"
BROKEN: dict[str, tuple[Callable[[Published], Any], str]] = {
    "missing": (without(BIAS), r"1 of 158 tensors are missing, 'out_res.0.bias'"),
    "left over": (lambda s: s | {"module.Network.extra.weight": torch.zeros(1)}, "holds 'extra.weight'"),
    "reblurring elsewhere": (lambda s: s | {"reblurNet.RBF.0.0.bias": torch.zeros(1)}, "tensors are missing"),
    "shape": (lambda s: s | {BIAS: torch.zeros(4)}, "'out_res.0.bias' is 4, and 3 with these arguments"),
    "integers": (lambda s: s | {BIAS: torch.zeros(3, dtype=torch.int64)}, "torch.int64"),
    "complex": (lambda s: s | {BIAS: torch.zeros(3, dtype=torch.complex64)}, "torch.complex64"),
    "sparse": (lambda s: s | {BIAS: torch.ones(3).to_sparse()}, "not plain floating numbers"),
    "not a number": (lambda s: s | {BIAS: torch.tensor([0, float("nan"), 0])}, "NaN or infinity"),
    "no tensors": (lambda s: s | {BIAS: 3.0}, "no plain list of named tensors"),
    "a list": (lambda s: list(s.values()), "no plain list of named tensors"),
    "no name": (lambda s: {"weights of mine": s}, "no plain list of named tensors, nor one as params_ema"),
    "endless": (lambda s: {"model": {"model": {"model": {"model": {"model": s}}}}}, "no plain list of named tensors"),
    "meta": (lambda s: s | {BIAS: torch.zeros(3, device="meta")}, "holds no numbers at all"),
    "twice": (lambda s: s | {BIAS.replace("module.", "module._orig_mod."): s[BIAS]}, "under several names"),
    "empty": (lambda s: {}, "158 of 158 tensors are missing"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_what_does_not_fit_is_refused(tmp_path: Path, change: Callable[[Published], Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        translate(saved(change(published()), tmp_path), "ifan", **SMALL)


def compiled(state: Published, before: str) -> Published:
    return {f"{before}{name.removeprefix('module.')}": tensor for name, tensor in state.items()}


WRAPPED: dict[str, Callable[[Published], Any]] = {
    "compiled": lambda s: compiled(s, "_orig_mod."),
    "compiled in parallel": lambda s: compiled(s, "_orig_mod.module."),
    "parallel and compiled": lambda s: compiled(s, "module._orig_mod."),
    "a part compiled": lambda s: {name.replace("Network.", "Network._orig_mod."): s[name] for name in s},
    "twice parallel": lambda s: {f"module.{name}": s[name] for name in s},
    "Lightning": lambda s: {"epoch": 3, "state_dict": s, "optimizer_states": [{"lr": 0.1}]},
    "BasicSR": lambda s: {"params": {name: 0 * s[name] for name in s}, "params_ema": s},
    "deep": lambda s: {"model": {"state_dict": {"params": compiled(s, "_orig_mod.")}}},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_wrappers_of_trainers_are_taken_off(tmp_path: Path, wrap: Callable[[Published], Any]) -> None:
    """Fault 42: all tensors were told to be missing."""
    state = published()
    plain = translate(saved(state, tmp_path), "ifan", **SMALL)
    found = translate(saved(wrap(state), tmp_path), "ifan", **SMALL)
    assert found.keys() == plain.keys() and all(torch.equal(found[name], plain[name]) for name in plain)


def test_an_archive_that_inflates_is_not_opened(tmp_path: Path) -> None:
    path = saved(published(), tmp_path)
    packed = tmp_path / "packed.pytorch"
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in stored.infolist():
            archive.writestr(entry.filename, stored.read(entry))
    with pytest.raises(CheckpointError, match=r"packed\.pytorch is damaged \(it would become larger"):
        translate(packed, "ifan", **SMALL)


def test_single_weights_do_not_pass_for_dual(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"4 x 3 x 3 x 3, and 4 x 6 x 3 x 3 .*dual"):
        translate(saved(published(), tmp_path), "ifan", dual=True, **SMALL)


class Intruder:
    ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        return intrude, ()


def intrude() -> None:
    Intruder.ran = True


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    path = saved(published() | {"surprise": Intruder()}, tmp_path)
    with pytest.raises(CheckpointError, match="could run a program"):
        translate(path, "ifan", **SMALL)
    assert not Intruder.ran


@pytest.mark.parametrize("kept", [0, 3, 200, 0.5, 0.99])
@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files(tmp_path: Path, kept: float, zipped: bool) -> None:
    path = saved(published(), tmp_path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    with pytest.raises(CheckpointError, match=str(path)):
        translate(path, "ifan", **SMALL)


def test_other_things(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("nothing of the kind")
    for path in (tmp_path, tmp_path / "none.pytorch", text):
        with pytest.raises(CheckpointError, match=str(path)):
            translate(path, "ifan")
    with pytest.raises(RecipeError, match="cannot be made with"):
        translate(text, "ifan", sides=2)

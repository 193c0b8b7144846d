"""Deblurring: bands equal the whole, padding changes nothing, and every form of a picture gives the same result."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from dualpix import networks
from dualpix.errors import DualpixError, MachineError, PairError
from dualpix.inference import planning
from dualpix.inference.deblur import Deblurred, deblur, deblur_pair
from dualpix.inference.engines.pytorch import Runner
from dualpix.networks.spec import NetworkSpec
from dualpix.pairs.sample import Sample
from small_networks import small


class Matching(nn.Module):
    """In small what the real networks do: convolutions, a coarser scale, and matching along whole rows."""

    spec = NetworkSpec(
        ("left", "right"),
        size_multiple=4,
        receptive_radius_px=24,
        tells_correction=True,
        residual=True,
        takes_width=True,
    )

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 5, padding=2)
        self.last = nn.Conv2d(16, 3, 3, padding=1)

    def correction(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        fine = torch.tanh(3 * self.fine(left)), torch.tanh(3 * self.fine(right))
        query, key = (self.coarse(functional.avg_pool2d(view, 4)) for view in fine)
        score = torch.einsum("bchq,bchk->bhqk", 5 * query, key)
        if width is not None:
            score[..., -(-width // 4) :] = -torch.inf
        found = torch.einsum("bhqk,bchk->bchq", score.softmax(-1), key)
        return self.last(torch.cat([fine[0], functional.interpolate(found, scale_factor=4, mode="bilinear")], 1))

    def forward(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        return (left + right) / 2 + self.correction(left, right, width)


@pytest.fixture
def network() -> Matching:
    torch.manual_seed(1)
    return Matching().eval()


def pair(height: int, width: int, seed: int = 0) -> Sample:
    """Two views that differ as those of a photograph do: smooth texture, a little shifted."""
    generator = torch.Generator().manual_seed(seed)
    texture = functional.avg_pool2d(torch.rand(1, 3, height + 4, width + 8, generator=generator), 5, stride=1)[0]
    left, right = texture[..., :width], texture[..., 2 : width + 2]
    return {"left": left.contiguous(), "right": right.contiguous(), "name": "made"}


def run(sample: Sample, network: nn.Module, precision: str = "fp32", **options: object) -> Deblurred:
    """What the network makes, whatever that is: these have learnt nothing."""
    return deblur_pair(sample, network, precision=precision, guard=False, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("height", "width"), [(64, 48), (97, 50), (130, 33), (61, 20), (16, 16)])
@pytest.mark.parametrize("rows", [1, 8, 30])
def test_bands_equal_the_whole_picture(network: Matching, height: int, width: int, rows: int) -> None:
    sample = pair(height, width)
    whole = run(sample, network, band_rows=height)
    bands = run(sample, network, band_rows=rows)
    assert len(whole.plan.bands) == 1
    assert len(bands.plan.bands) == -(-height // (-(-rows // 4) * 4))
    assert (whole.picture - bands.picture).abs().max() < 1e-5


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_bands_of_every_network_equal_its_whole_picture(name: str) -> None:
    torch.manual_seed(2)
    network = small(name)
    with torch.no_grad():
        for parameter in network.parameters():  # A head that starts at zero would hide everything.
            if not parameter.any():
                parameter.normal_(std=0.02)
    sample = pair(325, 42)
    if network.spec.receptive_radius_px is None:
        with pytest.raises(MachineError, match="sees the whole picture"):
            run(sample, network, band_rows=48)
        return
    whole, bands = (run(sample, network, band_rows=rows).picture for rows in (325, 48))
    assert (whole - bands).abs().max() < 1e-5
    assert (whole - (sample["left"] + sample["right"]) / 2).abs().max() > 1e-3


def test_a_shorter_overlap_would_be_seen(network: Matching) -> None:
    sample = pair(97, 50)
    whole = run(sample, network).picture
    network.spec = replace(network.spec, receptive_radius_px=8)
    assert (whole - run(sample, network, band_rows=8).picture).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("height", "width"), [(33, 41), (36, 43), (35, 40), (40, 36), (34, 42), (37, 45), (38, 46), (39, 47), (16, 17)]
)
def test_padding_is_replicated_masked_and_cropped(network: Matching, height: int, width: int) -> None:
    sample = pair(height, width)
    sides = ((0, 0), (0, -height % 4), (0, -width % 4))
    left, right = (
        torch.from_numpy(np.pad(sample[view].numpy(), sides, mode="edge")[None]) for view in ("left", "right")
    )
    with torch.no_grad():
        expected = network(left, right, width=width)[0, :, :height, :width].clamp(0, 1)
    assert (run(sample, network).picture - expected).abs().max() < 1e-5


def test_networks_that_take_no_width_are_not_given_one() -> None:
    class Mean(nn.Module):
        spec = NetworkSpec(("left", "right"), size_multiple=32)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            assert left.shape[-2] % 32 == right.shape[-1] % 32 == 0
            return (left + right) / 2

    sample = pair(45, 71)
    assert torch.equal(run(sample, Mean()).picture, (sample["left"] + sample["right"]) / 2)


def test_networks_get_the_views_they_name_in_their_order() -> None:
    class Center(nn.Module):
        spec = NetworkSpec(("center", "right", "left"))

        def forward(self, center: Tensor, right: Tensor, left: Tensor) -> Tensor:
            return torch.stack([center[:, 0], right[:, 1], left[:, 2]], 1)

    sample = pair(20, 24)
    mean = (sample["left"] + sample["right"]) / 2
    made, given = run(sample, Center()).picture, run(sample | {"center": mean / 2}, Center()).picture
    assert torch.equal(made, torch.stack([mean[0], sample["right"][1], sample["left"][2]]))
    assert torch.equal(given[0], mean[0] / 2)


def test_the_result_is_clipped_and_free_of_gradients() -> None:
    class Loud(nn.Module):
        spec = NetworkSpec(("left", "right"))

        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(9.0))

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.gain * (left - 0.5)

    picture = run(pair(20, 24), Loud()).picture
    assert picture.min() == 0 and picture.max() == 1
    assert picture.dtype == torch.float32 and not picture.requires_grad


def test_the_callers_network_and_pictures_stay_as_they_are(network: Matching) -> None:
    network.train()
    sample = pair(20, 24)
    before = {key: value.clone() for key, value in (network.state_dict() | {"l": sample["left"]}).items()}
    run(sample, network, precision="bf16")
    after = network.state_dict() | {"l": sample["left"]}
    assert network.training and next(network.parameters()).requires_grad
    assert all(torch.equal(before[key], after[key]) and before[key].dtype == after[key].dtype for key in before)
    assert network.fine.weight.is_contiguous()


def test_every_form_of_a_picture_gives_the_same_result(network: Matching) -> None:
    deep = {key: (value * 65535).round() for key, value in pair(24, 32).items() if key != "name"}
    views = [deep["left"], deep["right"]]
    expected = run({"left": views[0] / 65535, "right": views[1] / 65535, "name": ""}, network).picture
    integers = [view.numpy().astype(np.uint16) for view in views]
    forms = {
        "CHW uint16": integers,
        "HWC uint16": [view.transpose(1, 2, 0) for view in integers],
        "HWC float64": [view.transpose(1, 2, 0) / 65535 for view in integers],
        "tensors uint16": [torch.from_numpy(view) for view in integers],
        "tensors HWC": [(view / 65535).permute(1, 2, 0) for view in views],
    }
    for name, (left, right) in forms.items():
        assert (deblur(left, right, network, precision="fp32", guard=False) - expected).abs().max() < 1e-6, name
    bytes_ = [(view // 257).to(torch.uint8) for view in views]
    fractions = [view.float() / 255 for view in bytes_]
    assert torch.equal(*(deblur(*views, network, precision="fp32", guard=False) for views in (bytes_, fractions)))


def test_bf16_keeps_the_depth_of_the_picture(network: Matching) -> None:
    sample = pair(40, 48)
    nn.init.zeros_(network.last.weight)
    nn.init.zeros_(network.last.bias)
    mean = (sample["left"] + sample["right"]) / 2
    assert (run(sample, network, precision="bf16").picture - mean).abs().max() < 1e-7
    network.spec = replace(
        network.spec, residual=False
    )  # Now the network itself makes the picture, in the 8 bits of bf16.
    assert (run(sample, network, precision="bf16").picture - mean).abs().max() > 1e-4


@pytest.mark.parametrize(("precision", "levels"), [("bf16", 2), ("fp16", 0.5)])
def test_16_bits_are_close_to_fp32_in_bands_too(network: Matching, precision: str, levels: float) -> None:
    sample = pair(97, 50)
    exact = run(sample, network).picture
    for rows in (97, 16):
        fast = run(sample, network, precision=precision, band_rows=rows)
        assert fast.plan.precision == precision
        assert 0 < (fast.picture - exact).abs().max() < levels / 255


def test_nan_in_16_bits_is_computed_again_in_fp32() -> None:
    """What is not finite in fp32 either is one error."""

    class Fragile(nn.Module):
        spec = NetworkSpec(("left", "right"))

        def __init__(self, gain: float) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(gain))

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return left * self.gain / (1 - self.gain) * 0.001

    sample = pair(20, 24)
    # In bf16, 0.999 is 1; in fp16, 1e5 is infinite.
    for precision, gain, factor in (("bf16", 0.999, 0.999), ("fp16", 1e5, -0.001)):
        done = run(sample, Fragile(gain), precision=precision)
        assert done.plan.precision == "fp32"
        assert any(f"{precision} gave NaN" in warning and "fp32" in warning for warning in done.warnings)
        assert (done.picture - (factor * sample["left"]).clamp(0, 1)).abs().max() < 1e-4
    with pytest.raises(PairError, match="other weights"):
        run(sample, Fragile(1.0), precision="bf16")


def test_a_memory_budget_is_met_with_the_fewest_bands(network: Matching) -> None:
    sample = pair(400, 64)
    whole = run(sample, network)
    fixed = planning.PROCESS_BYTES
    tight = run(sample, network, memory=fixed + (whole.plan.peak_bytes - fixed) // 2)
    assert len(whole.plan.bands) == 1 < len(tight.plan.bands)
    assert tight.plan.peak_bytes <= fixed + (whole.plan.peak_bytes - fixed) // 2
    assert (whole.picture - tight.picture).abs().max() < 1e-5
    with pytest.raises(MachineError, match="allow more"):
        run(sample, network, memory="420MB")


def test_a_network_without_a_reach_is_run_whole(network: Matching) -> None:
    network.spec = replace(network.spec, receptive_radius_px=None)
    sample = pair(64, 32)
    assert len(run(sample, network).plan.bands) == 1
    with pytest.raises(MachineError, match="cannot be run in bands"):
        run(sample, network, band_rows=8)
    with pytest.raises(MachineError, match="cannot be cut"):
        run(sample, network, memory="1MB")


def test_progress_counts_the_bands(network: Matching) -> None:
    seen: list[tuple[int, int]] = []
    run(pair(64, 32), network, band_rows=16, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_plan_says_what_is_done(network: Matching) -> None:
    plan = run(pair(64, 32), network, band_rows=16).plan
    assert str(plan).startswith("4 bands of 16 rows, fp32 on cpu, about 0.")
    assert str(run(pair(64, 32), network).plan).startswith("whole, fp32")


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


GOOD = noise(3, 24, 32)
SPOILED = {value: torch.where(GOOD[0, 3, 4] == GOOD, torch.tensor(value), GOOD) for value in (np.nan, np.inf)}


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (GOOD, GOOD[:, :20], r"\(3, 24, 32\) and \(3, 20, 32\)"),
        (GOOD, GOOD.double(), "different types"),
        (GOOD, GOOD[:1], "differ in channels"),
        (GOOD[0], GOOD[0], "same pixels"),
        (GOOD[:2], GOOD[:2], "left view has shape 2 x 24 x 32"),
        (None, GOOD, "left view is of type NoneType"),
        (GOOD.numpy().tolist(), GOOD, "left view is of type list"),
        (GOOD[None], GOOD[None], "left view has shape 1 x 3 x 24 x 32"),
        (GOOD, SPOILED[np.nan], r"in \[0, 1\]"),
        (SPOILED[np.inf], GOOD, r"in \[0, 1\]"),
        (GOOD * 255, GOOD * 255, r"in \[0, 1\]"),
        (GOOD - 0.5, GOOD, r"in \[0, 1\]"),
        (GOOD.int(), GOOD.int(), "uint8, uint16"),
        (noise(3, 15, 40), noise(3, 15, 40) / 2, "at least 16"),
        (noise(3, 40, 15), noise(3, 40, 15) / 2, "at least 16"),
        (torch.zeros(3, 0, 0), torch.zeros(3, 0, 0), "holds no pixels"),
        (GOOD, GOOD, "same pixels"),
    ],
)
def test_pictures_that_are_no_pair_are_refused(network: Matching, left: Tensor, right: Tensor, words: str) -> None:
    with pytest.raises(DualpixError, match=words):
        deblur(left, right, network)


def test_pillow_images_and_grey_arrays_of_either_byte_order_are_deblurred(network: Matching) -> None:
    left = np.rint(noise(1, 24, 32)[0].numpy() * 65535).astype(np.uint16)
    right = np.roll(left, 2, axis=1)
    views = (torch.from_numpy(view / 65535).float().expand(3, -1, -1) for view in (left, right))
    expected = deblur(*views, network, guard=False)
    for kind in (">u2", "<u2"):
        torch.testing.assert_close(deblur(left.astype(kind), right.astype(kind), network, guard=False), expected)
    torch.testing.assert_close(deblur(Image.fromarray(left), Image.fromarray(right), network, guard=False), expected)


@pytest.mark.parametrize("weights", [3, [], b"mccnet"])
def test_what_are_no_weights_is_told(weights: object) -> None:
    with pytest.raises(DualpixError, match="Weights cannot be a"):
        deblur(GOOD, GOOD.roll(1, 2), weights)  # type: ignore[arg-type]


def test_bad_requests_are_refused(network: Matching) -> None:
    sample = pair(24, 32)
    for wrong in ({"device": "gpu"}, {"precision": "fp64"}, {"memory": "lots"}, {"band_rows": 0}):
        with pytest.raises(MachineError, match=next(iter(wrong))):
            run(sample, network, **wrong)


def test_the_public_face_is_this_function() -> None:
    import dualpix

    assert dualpix.deblur is deblur


@pytest.mark.parametrize("views", [("center",), ("center", "left", "right")])
def test_in_bf16_a_correction_is_added_to_the_mean_of_whatever_views(views: tuple[str, ...]) -> None:
    """Their mean in float32: a picture that passes through keeps all its bits."""

    class Nothing(Matching):
        def correction(self, *given: Tensor) -> Tensor:  # type: ignore[override]
            return 0 * given[0]

    network = Nothing().eval()
    network.spec = replace(network.spec, views=views)
    sample = pair(24, 32) | {"center": pair(24, 32, seed=1)["left"]}
    given = [sample[view] for view in views]
    output = Runner(network, "bf16", "cpu")(given)  # type: ignore[arg-type]
    torch.testing.assert_close(output, torch.stack(given).mean(0), rtol=0, atol=1e-6)

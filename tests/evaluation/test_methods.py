from dataclasses import replace

import pytest
import torch
from skimage import data as pictures
from torch import Tensor, nn

from dualpix.classical import MAPS
from dualpix.classical.deconvolution import deblur_by_map
from dualpix.datasets import Sample
from dualpix.errors import CheckpointError, DataError
from dualpix.evaluation import methods, predict, score
from dualpix.evaluation.methods import METHODS, by_defocus_estimator
from dualpix.evaluation.metrics import psnr
from dualpix.networks.spec import NetworkSpec
from dualpix.simulation.render import Layer
from dualpix.simulation.samples import expose
from dualpix.simulation.sensor import Sensor, Tone
from dualpix.weights import checkpoint


@pytest.fixture(scope="module")
def sample() -> Sample:
    """A photograph, all of it 4 px out of focus."""
    pixels = torch.from_numpy(pictures.astronaut()[:170, 120:290].copy()).permute(2, 0, 1) / 255
    layer = Layer(Tone().decode(pixels), torch.ones(170, 170), torch.full((170, 170), 4.0))
    return {**expose([layer], methods.TYPICAL_LENS, 21, Sensor(read=1e-3), seed=0), "name": "one"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_a_picture_of_the_views_it_names(sample: Sample, name: str) -> None:
    method = METHODS[name]
    assert method.about and "\n" not in method.about
    given = {"name": "one", **{view: sample[view] for view in method.views}}
    if method.unavailable_reason:
        with pytest.raises(CheckpointError, match="no weights"):
            method(given)
        return
    out = method(given)
    assert out.shape == sample["sharp"].shape and out.dtype == torch.float32
    assert float(out.min()) >= 0 and float(out.max()) <= 1 and bool(torch.isfinite(out).all())


@pytest.mark.parametrize("name", METHODS)
def test_a_view_that_the_data_lack_is_one_sentence(sample: Sample, name: str) -> None:
    method = replace(METHODS[name], weights=None)
    for view in method.views:
        given = {key: value for key, value in sample.items() if key != view}
        with pytest.raises(DataError, match=f"needs {view} of 'one'") as caught:
            method(given)
        assert view not in str(caught.value).partition("has only")[2].split(";")[0].split(", ")


def test_the_more_a_method_knows_the_better_it_is(sample: Sample) -> None:
    before = psnr(sample["center"], sample["sharp"])
    after = {name: psnr(METHODS[name](sample), sample["sharp"]) for name in ("oracle-map", "joint", "oracle-joint")}
    assert after["oracle-map"] > before
    assert after["joint"] > before + 0.5
    assert after["oracle-joint"] >= max(after.values())


@pytest.mark.parametrize("name", MAPS)
def test_the_published_methods_are_their_map_and_the_deconvolution(sample: Sample, name: str) -> None:
    part = {"center": sample["center"][:, :64, :72], "name": "part"}
    expected = deblur_by_map(part["center"], MAPS[name](part["center"], "fast"))
    torch.testing.assert_close(METHODS[name](part), expected)


class DefocusEstimator(nn.Module):
    """Says that everything is blurred by a disc of 3 px, and insists on sides that divide by 16."""

    spec = NetworkSpec(("center",), size_multiple=16)

    def forward(self, center: Tensor) -> Tensor:
        assert center.shape[-1] % 16 == center.shape[-2] % 16 == 0
        return torch.full_like(center[:, :1], 3.0)


def test_a_network_that_maps_blur_makes_a_method(sample: Sample) -> None:
    center = sample["center"][:, :70, :90]
    out = by_defocus_estimator({"center": center}, DefocusEstimator())
    torch.testing.assert_close(out, deblur_by_map(center, torch.full((70, 90), 1.5)))


def test_dmenet_has_no_weights_until_some_are_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "WEIGHTS", {})
    assert METHODS["dmenet"].unavailable_reason == "no weights"
    assert METHODS["jnb"].unavailable_reason == ""
    monkeypatch.setattr(checkpoint, "WEIGHTS", {"dmenet": "dmenet.safetensors"})
    assert METHODS["dmenet"].unavailable_reason == ""


def test_evaluation_takes_them_and_lists_what_fails(sample: Sample, tmp_path) -> None:
    flat = {
        key: torch.full_like(value, 0.5) if key != "blur_px" else value
        for key, value in sample.items()
        if key != "name"
    }

    class Two:
        found = "two samples"

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Sample:
            return [sample, {**flat, "name": "flat"}][index]

    made = predict(Two(), METHODS["joint"], tmp_path)
    assert list(made.seconds) == ["one"]
    assert list(made.failures) == ["flat"] and "no structure" in made.failures["flat"]
    assert score(tmp_path, Two()).pictures["one"]["psnr"] > 20

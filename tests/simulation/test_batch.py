"""Samples in batches: those of the simulator to rounding, in any order, and never a question to the device."""

import pickle

import pytest
import torch
from torch import Tensor

from dualpix.simulation.batch import BatchSimulator
from dualpix.simulation.landscapes import Landscape
from dualpix.simulation.light import Light
from dualpix.simulation.samples import SHOTS_PER_LENS, SHOWN, Simulated
from dualpix.simulation.scenes import Layout, Objects

WHITE = 1e-4
META = torch.device("meta")  # has no values: to ask for one is an error


def photographs() -> list[Tensor]:
    """Coarse noise in colour, one of them with a ground plane and a pole in front of it."""
    coarse = torch.rand(3, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, scale_factor=6, mode="bicubic").clamp(0, 1)
    depth = torch.linspace(20, 200, 240)[:, None].repeat(1, 300)
    depth[:, 140:160] = 230
    first, *others = (fine * 255).byte()
    return [torch.cat([first, depth.byte()[None]]), *others]


DEVELOPED = Light(sharpened=0.5, local_tone=0.5, noisy=1.0)
SETTINGS = {
    "plain": Simulated(photographs(), 48, 200, seed=3),
    "stopped down": Simulated(photographs()[1:], 48, 200, seed=4, sharp_aperture=4 / 22),
    "developed": Simulated(photographs()[1:], 48, 200, seed=5, light=DEVELOPED),
    "landscapes": Simulated(photographs()[:1], 48, 200, seed=6, layout=Layout(landscapes=1.0)),
}
each_setting = pytest.mark.parametrize("simulated", SETTINGS.values(), ids=SETTINGS)


@pytest.mark.parametrize("whole", [True, False], ids=["canvases", "windows"])
@each_setting
def test_a_batch_holds_the_samples_of_its_indices(simulated: Simulated, whole: bool) -> None:
    """Of several lenses, with one to five layers, in an order of their own."""
    indices = [5, 0, 2 * SHOTS_PER_LENS, 3, 40, 1]
    batches = BatchSimulator(simulated, together=4, whole_canvases=whole)
    together = batches.render(batches.draw(indices), SHOWN)
    for place, index in enumerate(indices):
        alone = simulated.sample(index, SHOWN)
        for name in SHOWN:
            assert together[name].shape[1:] == torch.as_tensor(alone[name]).shape
            assert float((together[name][place] - alone[name]).abs().max()) < WHITE, (name, index)


def test_the_device_is_never_asked_for_a_value() -> None:
    """With everything that there is: landscapes, objects, noise, a developer, small apertures and all codecs."""
    everything = Simulated(
        photographs(), 32, 99, light=DEVELOPED, compressed=1.0, codecs=("jpeg", "vp8", "h264"), sharp_aperture=0.2
    )
    batches = BatchSimulator(everything, META)
    shots = batches.draw([0, 1, 3])
    assert {type(shot.scene) for shot in shots} == {Landscape, Objects}
    pictures = batches.render(shots, SHOWN)
    assert set(pictures) == set(SHOWN)
    assert all(picture.device.type == "meta" and len(picture) == 3 for picture in pictures.values())


def test_coding_is_real_on_the_cpu_and_modelled_where_asked_for() -> None:
    simulated = Simulated(photographs(), 48, 200, compressed=1.0)
    real, modelled = (BatchSimulator(simulated, model_coding=model) for model in (False, True))
    shots = real.draw([0, 1])
    ours, theirs = (batches.render(shots)["left"] for batches in (real, modelled))
    assert float((ours[0] - torch.as_tensor(simulated.sample(0, SHOWN)["left"])).abs().max()) < 0.05
    assert 0 < float((ours - theirs).abs().mean()) < 0.03


def test_what_is_decided_can_be_sent_to_another_process() -> None:
    batches = BatchSimulator(SETTINGS["plain"])
    shots = batches.draw([1, 2])
    here, there = (batches.render(each)["left"] for each in (shots, pickle.loads(pickle.dumps(shots))))
    assert torch.equal(here, there)

"""The disparity of the cross-correlation: right on shifted pictures, lawful under flips, the same in bands."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor, nn

from dualpix import networks
from dualpix.errors import CheckpointError, MachineError, PictureError
from dualpix.inference.disparity import (
    Disparity,
    disparity,
    scale_px,
    signed_picture,
    write_confidence,
    write_disparity,
)
from dualpix.inference.finder import Finder, estimate_disparity, symmetrise_attention
from dualpix.inference.refining import refine
from dualpix.io import Metadata
from dualpix.networks.mccnet.model import MCCNet
from dualpix.pairs.flips import FLIPS


def shifted_pair(shift_px: float, height: int = 48, width: int = 160, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Texture, and the same seen `shift_px` further right by the right view: exactly, by its Fourier transform."""
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    frequencies = torch.fft.rfftfreq(width, dtype=torch.float64)
    spectrum = torch.fft.rfft(noise) * torch.exp(-((frequencies / 0.15) ** 2))
    views = [
        torch.fft.irfft(spectrum * torch.exp(-2j * torch.pi * frequencies * by), n=width)
        for by in (-shift_px / 2, shift_px / 2)
    ]
    return views[0].float().clamp(0, 1), views[1].float().clamp(0, 1)


def even_network(name: str) -> nn.Module:
    """A network of random weights whose convolutions all look alike in a mirror."""
    torch.manual_seed(3)
    arguments = {"score_scale": 4.0} if name == "mccnet" else {}
    network = networks.create(name, **arguments)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size != (2, 2):
                kernel = module.weight + module.weight.flip(-1)
                module.weight.copy_((kernel + kernel.flip(-2)) / 4)
    if name == "mccnet-fast":  # whose stem sees 2 x 2 pixels as channels
        with torch.no_grad():
            cells = network.stem.weight.unflatten(1, (3, 4))
            network.stem.weight.copy_(cells.mean(2, keepdim=True).expand_as(cells).flatten(1, 2))
    return network.eval()


@pytest.mark.parametrize("shift_px", [-9.0, -5.0, -1.3, 0.7, 2.0, 3.7, 12.0])
def test_a_shifted_picture_has_its_shift_as_disparity(shift_px: float) -> None:
    """With the shipped weights; away from the sides, where half of what is looked for lies outside.

    Features lie 2 px apart: on whole pixels a look hits a feature or the middle between two, and any weights that find
    the peak are exact there. What lies between is left to the parabola through the peak, which draws it to whole pixels
    by up to 0.2 px, more or less as the weights make the peak pointed or round.
    """
    found = disparity(*shifted_pair(shift_px))
    is_whole = shift_px == round(shift_px)
    inner = found.disparity_px[0, 8:-8, 24:-24]
    assert found.disparity_px.shape == found.confidence.shape == (1, 48, 160)
    assert abs(float(inner.median()) - shift_px) < (0.02 if is_whole else 0.22)
    assert float((inner - shift_px).abs().max()) < (0.1 if is_whole else 0.26)


def test_confidence_is_low_where_nothing_can_be_matched() -> None:
    left, right = shifted_pair(2.0, width=224)
    left[..., 112:], right[..., 112:] = 0.5, 0.5
    sure = disparity(left, right).confidence[0]
    assert float(sure.min()) >= 0
    assert float(sure.max()) <= 1
    assert float(sure[:, 144:].max()) < 0.001  # without any texture it is exactly none, whatever the weights
    assert float(sure[:, 24:80].mean()) > 0.8  # 0.90 with these weights; 1 needs looks that leave no other offset


@pytest.mark.parametrize("name", ["mccnet", "mccnet-fast"])
@pytest.mark.parametrize("axes", list(FLIPS))
def test_it_turns_with_the_pair(name: str, axes: tuple[int, ...]) -> None:
    left, right = shifted_pair(2.6, height=32, width=96)
    network = even_network(name)
    turned = FLIPS[axes]({"left": left, "right": right, "name": "made"})
    plain, found = disparity(left, right, network), disparity(turned["left"], turned["right"], network)
    torch.testing.assert_close(found.disparity_px.flip(axes), plain.disparity_px, atol=2e-3, rtol=0)
    torch.testing.assert_close(found.confidence.flip(axes), plain.confidence, atol=2e-3, rtol=0)
    assert float(plain.disparity_px.std()) > 0.05


def test_exchanged_views_change_the_sign() -> None:
    left, right = shifted_pair(2.6, height=32, width=96)
    torch.testing.assert_close(
        disparity(left, right).disparity_px, -disparity(right, left).disparity_px, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(("name", "height", "width"), [("mccnet", 178, 42), ("mccnet-fast", 178, 38)])
def test_bands_equal_the_whole(name: str, height: int, width: int) -> None:
    torch.manual_seed(1)
    network = networks.create(name).eval()
    generator = torch.Generator().manual_seed(2)
    left, right = torch.rand(2, 3, height, width, generator=generator)
    whole, bands = (disparity(left, right, network, band_rows=rows) for rows in (height, 48))
    torch.testing.assert_close(bands.disparity_px, whole.disparity_px, atol=1e-4, rtol=0)
    torch.testing.assert_close(bands.confidence, whole.confidence, atol=1e-5, rtol=0)
    assert float(whole.disparity_px.std()) > 0.01


class Limited(MCCNet):
    """Runs out of memory above `most_rows` rows."""

    most_rows = 1000

    def log_attention(self, left: Tensor, *others: Any) -> Tensor:
        if left.shape[-2] > self.most_rows:
            raise MemoryError
        return super().log_attention(left, *others)


def test_when_memory_runs_out_smaller_bands_are_tried() -> None:
    torch.manual_seed(1)
    network = Limited().eval()
    left, right = torch.rand(2, 3, 402, 42, generator=torch.Generator().manual_seed(2))
    whole = disparity(left, right, network)
    network.most_rows = 300
    fitted = disparity(left, right, network)
    torch.testing.assert_close(fitted.disparity_px, whole.disparity_px, atol=1e-4, rtol=0)
    (told,) = fitted.warnings
    assert whole.warnings == () and "ran out with all 402 rows at once, so the picture was computed in bands" in told
    with pytest.raises(MachineError, match="ran out with all 402 rows at once, as memory="):
        disparity(left, right, network, memory="9GB")


@pytest.mark.parametrize("name", ["mccnet", "mccnet-fast"])
def test_a_row_reaches_as_far_as_is_said_and_hardly_less(name: str) -> None:
    finder = Finder(even_network(name))
    left, right = (view[None] for view in shifted_pair(2.0, height=160, width=48))
    changed = left.clone()
    changed[..., 80:82, :] = 1 - changed[..., 80:82, :]
    with torch.no_grad():
        moved = (finder(left, right) - finder(changed, right)).abs().amax((0, 1, 3)).nonzero().flatten()
    above, below = 80 - int(moved.min()), int(moved.max()) - 81
    assert max(above, below) <= finder.spec.receptive_radius_px <= max(above, below) + 8


def test_looks_are_booked_at_the_middle_of_the_two_pixels() -> None:
    """The left view's pixel 4 looks at the right one's 6, which looks back; 10 at 9 have no middle column."""
    forth, back = (torch.full((1, 7, 1, 16), -9.0) for _ in range(2))
    forth[0, 3 + 2, 0, 4] = back[0, 3 - 2, 0, 6] = 0
    forth[0, 3 - 1, 0, 10] = back[0, 3 + 1, 0, 9] = 0
    for booked, edge in zip(symmetrise_attention(forth, back), ([14, 15], [0, 1]), strict=True):
        found = (booked > -9 + 1e-6) & booked.isfinite()
        assert found.nonzero()[:, [1, 3]].tolist() == [[2, 9], [2, 10], [5, 5]]
        assert float(booked[0, 5, 0, 5]) == 0 and float(booked[0, 2, 0, 9]) == -4.5
        assert booked[0, 0, 0].isinf().nonzero().flatten().tolist() == edge


def test_doubt_is_counted_in_pixels() -> None:
    """Two views that are sure of places 4 px apart: half for that, and 1 / 1.25 for the 2 px by which both spread."""

    def sure_of(column: int) -> Tensor:
        looks = torch.full((1, 9, 16, 24), -9.0)
        looks[:, 4 + column] = 0
        return looks

    for columns, expected in (((1, 1), 1.0), ((-1, 1), 0.4)):
        _, confidence = estimate_disparity(*map(sure_of, columns), step_px=2)
        torch.testing.assert_close(confidence, torch.full((1, 1, 16, 24), expected), atol=0.01, rtol=0)


@pytest.mark.parametrize("network", [networks.create("dpdnet"), networks.create("mccnet", correlation=False)])
def test_a_network_without_correlation_is_refused(network: nn.Module) -> None:
    with pytest.raises(CheckpointError, match=r"no cross-correlation.*mccnet, mccnet-fast"):
        disparity(*shifted_pair(1.0), network)


def made(height: int = 20, width: int = 31) -> Disparity:
    generator = torch.Generator().manual_seed(5)
    confidence = torch.rand(1, height, width, generator=generator)
    return Disparity(24 * torch.rand(1, height, width, generator=generator) - 12, confidence)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_other_readers_find_the_documented_levels(tmp_path: Path, suffix: str) -> None:
    found = made()
    found.disparity_px[0, 0, :3] = torch.tensor([0.0, -70.0, 70.0])
    note = Metadata(software="dualpix")
    write_disparity(tmp_path / f"d{suffix}", found.disparity_px, note)
    write_confidence(tmp_path / f"c{suffix}", found.confidence, note)
    levels, sure = (read_levels(tmp_path / f"{name}{suffix}") for name in "dc")
    assert levels.shape == (20, 31) and levels[0, :3].tolist() == [32768, 0, 65535]
    read_px = (levels[1:].astype(float) - 32768) / 512
    assert np.abs(read_px - found.disparity_px[0, 1:].numpy()).max() <= 0.5 / 512 + 1e-6
    assert np.abs(sure / 65535 - found.confidence[0].numpy()).max() <= 0.51 / 65535
    with Image.open(tmp_path / f"d{suffix}") as picture:
        assert picture.getexif()[305] == "dualpix"


def read_levels(path: Path) -> np.ndarray:
    if path.suffix == ".tif":
        levels = tifffile.imread(path)
        assert levels.dtype == np.uint16
        return levels
    with Image.open(path) as picture:
        assert picture.mode == "I;16"
        return np.asarray(picture)


def test_maps_of_8_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"d\.jpg cannot hold a map of 16 bits; .*\.png, \.tif"):
        write_disparity(tmp_path / "d.jpg", made().disparity_px)
    assert not list(tmp_path.iterdir())


def test_the_scale_is_that_of_the_confident_pixels() -> None:
    values = torch.linspace(-4, 4, 801)[None, None]
    sure = (values.abs() <= 2).float()
    assert scale_px(Disparity(values, sure)) == pytest.approx(1.96, abs=0.02)
    assert scale_px(Disparity(values / 100, sure)) == 0.5
    assert signed_picture(Disparity(values, sure)).shape == (3, 1, 801)


def test_the_command_writes_the_maps(dualpix, folder: Path) -> None:  # type: ignore[no-untyped-def]
    maps = ("--disparity", "d.tif", "--disparity-picture", "d.png", "--confidence", "c.png")
    maps += ("--depth-mask", "m.tif")
    code, out, err = dualpix("deblur", "p_L.png", "p_R.png", "-o", "out.png", "-w", "w.safetensors", *maps)
    assert (
        code == 0
        and err.startswith("Changed ")
        and err.count("\n") == 1
        and "d.tif: disparity in pixels = (level - 32768) / 512" in out
    )
    levels, sure = read_levels(folder / "d.tif"), read_levels(folder / "c.png")
    assert levels.shape == sure.shape == (224, 256)
    with tifffile.TiffFile(folder / "d.tif") as file:
        assert file.pages[0].tags["Software"].value.endswith("; disparity in pixels = (level - 32768) / 512")
    with Image.open(folder / "p_L.png") as a, Image.open(folder / "p_R.png") as b:
        left, right = (torch.from_numpy(np.array(view)).permute(2, 0, 1) / 255 for view in (a, b))
    expected = disparity(left, right, "w.safetensors")
    assert np.abs((levels.astype(float) - 32768) / 512 - expected.disparity_px[0].numpy()).max() < 2e-3
    with Image.open(folder / "d.png") as picture:
        assert picture.mode == "RGB" and picture.size == (256, 224)
    with tifffile.TiffFile(folder / "m.tif") as file:
        mask, software = file.asarray() / 65535, file.pages[0].tags["Software"].value
    told = re.search(r"disparity in pixels = (-?[\d.]+) - ([\d.]+) x level, white 1, black 0", out)
    assert told and software.endswith(told[0])
    farthest, span = map(float, told.groups())
    inside = (mask > 0) & (mask < 1)
    assert inside.mean() > 0.5 and f"; in focus {farthest / span:.2f}\n" in out
    with_edges = refine(expected.disparity_px, expected.confidence, (left + right) / 2)[0]
    np.testing.assert_allclose((farthest - span * mask - with_edges[0].numpy())[inside], 0, atol=0.02)


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("--disparity", "d.jpg"), 1, "cannot hold a map of 16 bits"),
        (("--disparity", "p_L.png"), 1, "is one of the inputs"),
        (("--disparity", "out.png"), 1, "a name of its own"),
        (("--depth-mask", "m.jpg"), 1, "cannot hold a map of 16 bits"),
    ],
)
def test_the_command_refuses_before_any_work(  # type: ignore[no-untyped-def]
    dualpix, folder: Path, words: tuple[str, ...], exit_code: int, said: str
) -> None:
    code, _, err = dualpix("deblur", "p_L.png", "p_R.png", "-o", "out.png", "-w", "w.safetensors", *words)
    assert code == exit_code and said in err and not (folder / "out.png").exists()


def test_white_is_no_disparity_and_grey_is_no_confidence() -> None:
    values = torch.tensor([[0.0, 2.0, -2.0, 2.0]])
    painted = signed_picture(Disparity(values[None], torch.tensor([[[1.0, 1.0, 1.0, 0.0]]])))[:, 0]
    white, red, blue, grey = painted.unbind(1)
    assert white.min() > 0.9 and float(white.max() - white.min()) < 0.01
    assert red[0] > red[2] + 0.3 and blue[2] > blue[0] + 0.3
    assert grey.max() < 0.3 and float(grey.max() - grey.min()) < 0.01


def test_a_width_that_does_not_divide_is_padded_unseen() -> None:
    """What is right of the picture, whatever it is, changes nothing: told its width, the network sees none of it."""
    left, right = shifted_pair(1.5, height=32, width=96)
    network = networks.create("mccnet", max_disparity=8).eval()
    finder, other = Finder(network), torch.rand(1, 3, 32, 16)
    with torch.no_grad():
        looks = [
            network.log_attention(torch.cat([left[None], x], 3), torch.cat([right[None], x], 3), 16, 96)
            for x in (torch.zeros_like(other), other)
        ]
    assert bool(looks[0][..., 48:].isinf().all())
    torch.testing.assert_close(looks[0][..., :32], looks[1][..., :32])
    found = disparity(left[..., :90], right[..., :90], finder.network)
    assert found.disparity_px.shape == (1, 32, 90) and bool(found.disparity_px.isfinite().all())

"""JNB: the pursuit against a plain one, the count against blur, the map on known blur, and what ships for it."""

from importlib import resources
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.interpolate import interp1d
from scipy.ndimage import gaussian_filter
from skimage import data
from torch import Tensor

from dualpix.classical import jnb
from dualpix.classical.propagation import domain_transform
from dualpix.errors import PictureError, RecipeError
from dualpix.io import read_picture

SIDE = 112


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A sharp photograph, 3 H W, full of texture."""
    with resources.as_file(resources.files("dualpix") / "demo_pair" / "sharp.png") as path:
        return read_picture(path).pixels[:, 160 : 160 + SIDE, 320 : 320 + SIDE].contiguous()


def blurred(picture: Tensor, sigma_px: float) -> Tensor:
    """As a camera would save it, in 8 bits."""
    soft = gaussian_filter(picture.numpy(), (0, sigma_px, sigma_px))
    return torch.from_numpy(np.round(soft * 255).astype(np.float32) / 255)


def plain_pursuit(signal: np.ndarray, atoms: np.ndarray, residual: float) -> int:
    """Orthogonal matching pursuit as it is written: choose, solve for all that are chosen, subtract."""
    chosen: list[int] = []
    left = signal
    while np.linalg.norm(left) > residual:
        chosen.append(int(np.abs(atoms.T @ left).argmax()))
        left = signal - atoms[:, chosen] @ np.linalg.lstsq(atoms[:, chosen], signal)[0]
    return len(chosen)


def test_sums_of_three_atoms_are_found_to_be_three() -> None:
    spikes = np.eye(64)
    waves = np.cos(np.pi * (np.arange(64)[:, None] + 0.5) * np.arange(64) / 64)
    atoms = np.hstack([spikes, waves / np.linalg.norm(waves, axis=0)])  # so unlike that three are always found
    random = np.random.default_rng(0)
    signals = np.stack([atoms[:, random.choice(128, 3, replace=False)] @ [3, -2, 4] for _ in range(700)])
    found = jnb.pursue(torch.from_numpy(signals).float(), torch.from_numpy(atoms).float(), 0.02)
    assert set(found.tolist()) == {3}


def test_the_count_is_that_of_a_plain_pursuit(photo: Tensor) -> None:
    atoms = jnb.load_dictionary().atoms
    ours, plain = [], []
    for sigma_px in (0, 1):
        brightness = blurred(photo, sigma_px)[1].numpy()
        windows = np.lib.stride_tricks.sliding_window_view(brightness, (8, 8))[::13, ::13].reshape(-1, 64)
        signals = windows - windows.mean(axis=1, keepdims=True)
        ours += jnb.pursue(torch.from_numpy(signals), torch.from_numpy(atoms), jnb.RESIDUAL).tolist()
        plain += [plain_pursuit(signal, atoms.astype(float), jnb.RESIDUAL) for signal in signals.astype(float)]
    assert ours == plain
    assert min(plain) < 8 and max(plain) > 25


def test_the_pursuit_ends_at_the_most_it_may_take() -> None:
    signals = torch.randn(5, 64, generator=torch.Generator().manual_seed(2))
    assert jnb.pursue(signals, torch.eye(64), 1e-6, most=7).tolist() == [7] * 5


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_each_patch_is_counted_at_its_place(stride: int) -> None:
    brightness = np.full((21, 26), 0.5, dtype=np.float32)
    brightness[12, 9] = 1
    counts = jnb.count_atoms(brightness, jnb.load_dictionary().atoms, stride)
    rows, columns = np.arange(0, 21 - 7, stride), np.arange(0, 26 - 7, stride)
    sees = ((rows <= 12) & (rows + 8 > 12))[:, None] & ((columns <= 9) & (columns + 8 > 9))
    np.testing.assert_array_equal(counts > 0, sees)


def test_flat_patches_take_no_atoms_and_blurred_ones_fewer(photo: Tensor) -> None:
    atoms = jnb.load_dictionary().atoms
    assert not jnb.count_atoms(np.full((16, 16), 0.7, dtype=np.float32), atoms).any()
    means = [jnb.count_atoms(blurred(photo, sigma)[1].numpy(), atoms, 2).mean() for sigma in (0, 0.5, 1, 1.5, 2, 3)]
    assert (np.diff(means) < 0).all()
    assert means[0] > 2 * means[2]


@pytest.mark.parametrize("holes", [False, True])
def test_the_map_grows_with_the_blur(photo: Tensor, holes: bool) -> None:
    sigmas_px = (0, 0.5, 1, 1.5, 2)
    found = [float(jnb.blur_map(blurred(photo, sigma), holes=holes).median()) for sigma in sigmas_px]
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("mode", ["fast", "faithful"])
@pytest.mark.parametrize(("sigma_px", "within_px"), [(0.5, 0.03), (0.7, 0.04), (1, 0.28)])
def test_small_blur_is_measured_on_texture(photo: Tensor, sigma_px: float, within_px: float, mode: str) -> None:
    """The curve is that of photographs together, and one photograph has more or less detail than they: this one's curve
    parts from theirs at a pixel, where it is told for 0.74. Softer photographs are further off. That is the method's
    own error, and nothing here could make the last bound smaller."""
    sigma_map = jnb.blur_map(blurred(photo, sigma_px), mode)
    assert sigma_map.shape == (SIDE, SIDE) and sigma_map.dtype == torch.float32
    assert float(sigma_map.median()) == pytest.approx(sigma_px, abs=within_px)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_more_blur_is_found_as_more_at_every_pixel(name: str) -> None:
    """Of photographs that had no part in the dictionary; what they are told for differs, the order does not."""
    pixels = getattr(data, name)()[144:256, 180:292].astype(np.float32) / 255
    picture = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
    maps = [jnb.blur_map(blurred(picture, sigma_px)) for sigma_px in (0, 0.5, 1, 1.5)]
    for less, more in pairwise(maps):
        assert float((more >= less).float().mean()) > 0.95
    assert float((maps[-1] > maps[0] + 0.3).float().mean()) > 0.9


def by_hand(brightness: np.ndarray) -> np.ndarray:
    """The map of every patch, as the paper writes it: count, smooth along the picture, read the curve backwards."""
    dictionary = jnb.load_dictionary()
    windows = np.lib.stride_tricks.sliding_window_view(brightness.astype(float), (8, 8))
    signals = (windows - windows.mean(axis=(2, 3), keepdims=True)).reshape(-1, 64)
    counts = [plain_pursuit(signal, dictionary.atoms.astype(float), 16 * 1.15 / 255) for signal in signals]
    inner = (slice(3, 3 + windows.shape[0]), slice(3, 3 + windows.shape[1]))  # a patch is about its fourth pixel
    guide = gaussian_filter(brightness, 1, radius=2)[inner]
    plane = np.array(counts, dtype=np.float32).reshape(1, *windows.shape[:2])
    smoothed = domain_transform(plane, guide[None], 10, 0.2)[0]
    by_curve = interp1d(dictionary.counts_whole, dictionary.sigmas_px, bounds_error=False, fill_value=(4, 0))
    return np.pad(by_curve(smoothed), ((3, 4), (3, 4)), mode="edge")


def test_the_map_is_what_the_steps_give_one_by_one(photo: Tensor) -> None:
    """The domain transform is tested by itself, all else is written again."""
    picture = blurred(photo, 0.6)[:, 30:54, 40:68].contiguous()
    luminance = (torch.tensor([0.299, 0.587, 0.114])[:, None, None] * picture).sum(0)
    expected = by_hand(luminance.numpy())
    found = jnb.blur_map(picture, "faithful").numpy()
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert expected.std() > 0.05


def test_each_half_is_found_sharper_where_it_is_the_sharp_one(photo: Tensor) -> None:
    """The same half is compared with itself, since two halves differ in detail as well."""
    soft, middle = blurred(photo, 1.5), SIDE // 2
    first, second = (
        jnb.blur_map(torch.cat([left[:, :, :middle], right[:, :, middle:]], dim=2))
        for left, right in ((photo, soft), (soft, photo))
    )
    for half, (sharp_map, soft_map) in (
        (slice(0, middle - 8), (first, second)),
        (slice(middle + 8, None), (second, first)),
    ):
        assert float(sharp_map[:, half].median()) + 0.35 < float(soft_map[:, half].median())
    assert float(first[:, : middle - 8].median()) + 0.3 < float(first[:, middle + 8 :].median())


def test_fast_is_near_faithful(photo: Tensor) -> None:
    fast, faithful = (jnb.blur_map(blurred(photo, 0.7), mode) for mode in ("fast", "faithful"))
    assert float((fast - faithful).abs().mean()) < 0.04
    assert not torch.equal(fast, faithful)


def test_holes_are_filled_from_beside_them(photo: Tensor) -> None:
    picture = photo.clone()
    picture[:, 36:76, 36:76] = picture.mean()
    inside = (slice(50, 62), slice(50, 62))
    filled, empty = (float(jnb.blur_map(picture, holes=holes)[inside].mean()) for holes in (True, False))
    assert filled < 0.3 and empty > 0.7  # around it 0.29 is found


def test_the_map_may_end_at_its_extremes() -> None:
    noise = torch.rand(3, 17, 30, generator=torch.Generator().manual_seed(3))
    assert jnb.blur_map(noise).eq(0).all()
    step = torch.zeros(3, 40, 40)
    step[:, :, 20:] = 0.2
    sigma_map = jnb.blur_map(step)
    assert sigma_map.isfinite().all() and sigma_map.min() >= 0 and sigma_map.max() <= 4


def test_what_ships_is_a_dictionary_and_curves_that_can_be_inverted() -> None:
    dictionary = jnb.load_dictionary()
    assert 100 <= dictionary.atoms.shape[1] <= 128 and dictionary.atoms.shape[0] == 64
    np.testing.assert_allclose(np.linalg.norm(dictionary.atoms, axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(dictionary.atoms.mean(axis=0), 0, atol=1e-6)
    alike = np.abs(dictionary.atoms.T @ dictionary.atoms) - np.eye(dictionary.atoms.shape[1])
    assert alike.max() < 0.99
    assert dictionary.sigmas_px[0] == 0 and dictionary.sigmas_px[-1] == 4
    for holes, curve in ((False, dictionary.counts_whole), (True, dictionary.counts_holes)):
        assert (np.diff(curve) < 0).all()
        np.testing.assert_allclose(dictionary.sigma_px(curve, holes), dictionary.sigmas_px, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.37, 1.0])
def test_a_picture_without_texture_is_refused(value: float) -> None:
    with pytest.raises(PictureError, match="no texture"):
        jnb.blur_map(torch.full((3, 24, 30), value))


def test_bad_pictures_and_modes_are_refused(photo: Tensor) -> None:
    bad = photo.clone()
    bad[2, 3, 4] = torch.inf
    with pytest.raises(PictureError, match="not numbers"):
        jnb.blur_map(bad)
    with pytest.raises(PictureError, match=f"{SIDE} x 15 pixels, but .* needs 16"):
        jnb.blur_map(photo[:, :15])
    with pytest.raises(RecipeError, match=r"quick.*fast, faithful"):
        jnb.blur_map(photo, "quick")
    with pytest.raises(ValueError, match="3 H W"):
        jnb.blur_map(photo[0])
    with pytest.raises(PictureError, match="leave `holes` off"):
        jnb.blur_map(blurred(photo, 6), holes=True)

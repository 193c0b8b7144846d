"""Simulating into folders: what is written can be read as a data set, gone on with, and is never lost by mistake."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.datasets import open_dataset
from dualpix.errors import DataError, DualpixError, PictureError, RecipeError
from dualpix.io import read_picture
from dualpix.pairs import check_pair
from dualpix.simulation.camera import CAMERAS, Camera
from dualpix.simulation.kernels import Lens
from dualpix.simulation.samples import Simulated
from dualpix.simulation.scenes import Layout
from dualpix.simulation.sensor import Sensor
from dualpix.simulation.simulate import TYPICAL_LENS, read_depth, simulate, simulate_from_depth, simulate_photo

PICTURES = ("left", "right", "center", "sharp")


@pytest.fixture
def photos(tmp_path: Path, write_png) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (2, 20, 22, 3), dtype=np.uint8)
    for number, small in enumerate(noise):
        write_png(tmp_path / "photos" / f"{number}.png", np.asarray(Image.fromarray(small).resize((88, 80), 3)))
    return tmp_path / "photos"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_pairs_are_a_data_set(photos: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    done = simulate([photos], tmp_path / "pairs", 3, 40, seed=2, progress=lambda at, total: seen.append((at, total)))
    data = open_dataset(done.folder)
    assert done.made == 3 and len(data) == 3 and seen == [(1, 3), (2, 3), (3, 3)]
    assert [data[i]["name"] for i in range(3)] == done.names
    direct = Simulated([(read_picture(path).pixels * 255).byte() for path in sorted(photos.iterdir())], 40, 3, seed=2)
    for index in range(3):
        for key in PICTURES:
            assert torch.allclose(data[index][key], direct[index][key], atol=1e-7), "16 bits of a PNG lose nothing"
        blur = np.load(done.folder / "blur" / f"{done.names[index]}.npy")
        assert blur.dtype == np.float32 and np.array_equal(blur, direct[index]["blur_px"][0].numpy())
    assert np.asarray(Image.open(done.folder / "left" / f"{done.names[0]}.png")).shape[:2] == (40, 40)


def test_the_card_tells_seed_settings_and_lenses(photos: Path, tmp_path: Path) -> None:
    done = simulate([photos], tmp_path / "pairs", 2, 40, seed=5, sharp_aperture=4 / 22)
    card = json.loads((done.folder / "simulation.json").read_text())
    assert card["settings"]["seed"] == 5 and card["settings"]["sharp_aperture"] == pytest.approx(4 / 22)
    assert list(card["pairs"]) == done.names
    assert all(0.05 < lens["rho"] < 0.85 for lens in card["pairs"].values())


def test_one_seed_gives_one_set_of_files(photos: Path, tmp_path: Path) -> None:
    a, b, c = (simulate([photos], tmp_path / name, 2, 40, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert files(a.folder) == files(b.folder)
    assert not set(files(a.folder).values()) & set(files(c.folder).values())


def test_only_what_is_missing_is_made(photos: Path, tmp_path: Path) -> None:
    done = simulate([photos], tmp_path / "pairs", 3, 40)
    whole = files(done.folder)
    (done.folder / "right" / f"{done.names[1]}.png").unlink()
    untouched = done.folder / "left" / f"{done.names[0]}.png"
    untouched.write_bytes(b"kept as it is")
    again = simulate([photos], tmp_path / "pairs", 3, 40)
    assert again.made == 1 and again.names == done.names
    assert untouched.read_bytes() == b"kept as it is"
    assert {name: data for name, data in files(done.folder).items() if name != f"left/{done.names[0]}.png"} == {
        name: data for name, data in whole.items() if name != f"left/{done.names[0]}.png"
    }
    more = simulate([photos], tmp_path / "pairs", 5, 40)
    assert more.made == 2 and len(open_dataset(done.folder).found) > 0
    assert list(json.loads((done.folder / "simulation.json").read_text())["pairs"]) == more.names


def test_pairs_of_other_settings_are_refused_or_replaced(photos: Path, tmp_path: Path) -> None:
    first = simulate([photos], tmp_path / "pairs", 2, 40, seed=1)
    before = files(first.folder)
    for changes in ({"seed": 2}, {"size": 48}, {"layout": Layout(single=1.0)}, {"compressed": 1.0}):
        settings = {"count": 2, "size": 40, "seed": 1} | changes
        with pytest.raises(DataError, match=rf"other settings \({next(iter(changes))}\).*give overwrite=True"):
            simulate([photos], tmp_path / "pairs", **settings)
    card = first.folder / "simulation.json"
    older = json.loads(card.read_text())
    del older["settings"]["light"], older["settings"]["drawing"]  # as versions wrote it that drew other lenses
    card.write_text(json.dumps(older))
    with pytest.raises(DataError, match=r"other settings \(light, drawing\)"):
        simulate([photos], tmp_path / "pairs", 2, 40, seed=1)
    card.write_bytes(before["simulation.json"])
    Image.new("RGB", (80, 80)).save(photos / "2.png")
    with pytest.raises(DataError, match=r"other settings \(photos\)"):
        simulate([photos], tmp_path / "pairs", 2, 40, seed=1)
    assert files(first.folder) == before
    second = simulate([photos], tmp_path / "pairs", 1, 40, seed=2, overwrite=True)
    assert second.made == 1 and len(open_dataset(second.folder)) == 1


def test_folders_of_others_are_left_alone(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="holds files that were not simulated; choose a new or empty folder"):
            simulate([photos], folder, 1, 40, overwrite=overwrite)
    assert files(folder) == {"notes.txt": b"mine"}


@pytest.mark.parametrize("card", ["{", "[]", '{"settings": 1, "pairs": {}}', "[" * 100_000, '{"a": 1e999}'])
def test_a_damaged_card_is_told(photos: Path, tmp_path: Path, card: str) -> None:
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "simulation.json").write_text(card)
    with pytest.raises(DataError, match=r"simulation\.json is damaged"):
        simulate([photos], tmp_path / "pairs", 1, 40)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"size": 15}, {"seed": -1}])
def test_numbers_that_will_not_do_are_told(photos: Path, tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(DataError, match="cannot be made; give 1 pair or more of 16 px or more, and a seed from 0"):
        simulate([photos], tmp_path / "pairs", **({"count": 1, "size": 40} | wrong))
    assert not (tmp_path / "pairs").exists()


def test_places_and_photographs_that_are_not_there_are_told(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        simulate([tmp_path / "nowhere"], tmp_path / "pairs", 1, 40)
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match=r"file.* cannot be used: .*; choose another place"):
            simulate([photos], folder, 1, 40)


# One photograph with its depth.


@pytest.fixture
def picture() -> torch.Tensor:
    coarse = torch.rand(1, 3, 30, 40, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bicubic")[0].clamp(0.02, 0.98)


@pytest.fixture
def depth_m() -> torch.Tensor:
    """A far wall and, on the left, something at the focus."""
    depth = torch.full((120, 160), 3.0)
    depth[:, :50] = 1.0
    return depth


CAMERA = CAMERAS["5d-mark-iv-50mm-f4"]


def test_depth_decides_what_is_blurred(picture: torch.Tensor, depth_m: torch.Tensor) -> None:
    sample = simulate_from_depth(picture, depth_m, CAMERA, Lens(rho=0.6))
    assert torch.allclose(sample["sharp"], picture, atol=2e-4)
    for view in ("left", "right", "center"):
        assert torch.allclose(sample[view][..., :50], picture[..., :50], atol=2e-4)
        assert float(sample[view][..., 70:].diff(dim=-1).abs().mean()) < 0.5 * float(picture.diff(dim=-1).abs().mean())
    assert sample["blur_px"].shape == (1, 120, 160)
    assert float(sample["blur_px"][0, 60, 120]) == pytest.approx(CAMERA.blur_px(3.0), rel=1e-5)
    assert check_pair(sample["left"], sample["right"]) == []


@pytest.mark.parametrize(("focus_m", "sign"), [(1.0, 1), (6.0, -1)])
def test_disparity_has_the_sign_of_blur(picture: torch.Tensor, focus_m: float, sign: int) -> None:
    camera = replace(CAMERA, focus_m=focus_m, focal_mm=85)
    sample = simulate_from_depth(picture, torch.full((120, 160), 3.0), camera, Lens(rho=0.6))
    d = 0.6 * camera.blur_px(3.0)
    assert abs(d) > 2 and np.sign(d) == sign
    shifts = range(-18, 19)
    wrong = [float((torch.roll(sample["left"], s, -1) - sample["right"])[..., 25:-25].square().mean()) for s in shifts]
    assert shifts[int(np.argmin(wrong))] == pytest.approx(d, abs=1.5)


def test_noise_is_that_of_the_seed(picture: torch.Tensor, depth_m: torch.Tensor) -> None:
    noisy = Sensor(shot=1e-3, read=1e-3)
    first, again, other = (simulate_from_depth(picture, depth_m, CAMERA, sensor=noisy, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first["left"], again["left"]) and not torch.equal(first["left"], other["left"])


def test_blur_larger_than_the_picture_is_no_trouble() -> None:
    small = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0))
    sample = simulate_from_depth(small, torch.full((20, 24), torch.inf), replace(CAMERA, f_number=1.2))
    assert float(sample["center"].std()) < 0.5 * float(small.std())
    assert bool(torch.isfinite(sample["left"]).all())


def test_files_in_and_a_data_set_out(picture: torch.Tensor, depth_m: torch.Tensor, tmp_path: Path) -> None:
    photo, depth, folder = tmp_path / "garden.png", tmp_path / "garden.npy", tmp_path / "pairs"
    Image.fromarray((picture * 255).byte().permute(1, 2, 0).numpy()).save(photo)
    np.save(depth, depth_m.double().numpy())
    done = simulate_photo(photo, depth, folder, focus_m=2.0)
    assert done.names == ["garden"] and done.made == 1
    data = open_dataset(folder)
    (sample,) = (data[i] for i in range(len(data)))
    assert torch.allclose(sample["sharp"], read_picture(photo).pixels, atol=2e-4)
    card = json.loads((folder / "camera" / "garden.json").read_text())
    camera = Camera(**card["camera"])
    assert camera == replace(CAMERA, focus_m=2.0) and card["lens"]["rho"] == TYPICAL_LENS.rho
    assert np.load(folder / "blur" / "garden.npy")[60, 120] == pytest.approx(camera.blur_px(3.0), rel=1e-5)
    before = files(folder)
    with pytest.raises(DataError, match="exists already; choose another folder, or give overwrite=True"):
        simulate_photo(photo, depth, folder)
    assert files(folder) == before
    simulate_photo(photo, depth, folder, camera="pixel-4", overwrite=True)
    assert files(folder)["left/garden.png"] != before["left/garden.png"]


def test_the_photograph_itself_is_never_overwritten(
    picture: torch.Tensor, depth_m: torch.Tensor, tmp_path: Path
) -> None:
    photo = tmp_path / "sharp" / "a.png"
    photo.parent.mkdir()
    Image.fromarray((picture * 255).byte().permute(1, 2, 0).numpy()).save(photo)
    np.save(tmp_path / "a.npy", depth_m.numpy())
    with pytest.raises(PictureError, match="is one of the inputs"):
        simulate_photo(photo, tmp_path / "a.npy", tmp_path, overwrite=True)
    assert list(tmp_path.rglob("*.png")) == [photo]


def test_depth_is_read_in_metres_or_millimetres(tmp_path: Path) -> None:
    metres = np.random.default_rng(0).uniform(0.3, 20, (20, 30))
    np.save(tmp_path / "d.npy", metres)
    Image.fromarray((metres * 1000).round().astype(np.uint16)).save(tmp_path / "d.png")
    assert torch.allclose(read_depth(tmp_path / "d.npy"), torch.from_numpy(metres).float())
    assert torch.allclose(read_depth(tmp_path / "d.png"), torch.from_numpy(metres).float(), atol=6e-4)


def _bad_depths(folder: Path) -> dict[str, str]:
    np.save(folder / "flat.npy", np.zeros(5))
    np.save(folder / "words.npy", np.array([["a", "b"]]))
    np.savez(folder / "many.npz", a=np.zeros((4, 4)))
    (folder / "many.npz").rename(folder / "many.npy")
    (folder / "text.npy").write_text("no array")
    (folder / "zip.npy").write_bytes(b"PK\x03\x04" + bytes(200))
    np.save(folder / "good.npy", np.zeros((4, 25)))
    for name, shape in (("huge.npy", b"(99999, 99999)"), ("negative.npy", b"(-1, 25)")):
        content = (folder / "good.npy").read_bytes()
        (folder / name).write_bytes(content.replace(b"(4, 25)", shape).replace(b" " * (len(shape) - 7) + b"\n", b"\n"))
    np.save(folder / "objects.npy", np.array([[{}, {}]], dtype=object), allow_pickle=True)
    Image.new("L", (20, 20)).save(folder / "eight.png")
    Image.new("RGB", (20, 20)).save(folder / "colour.png")
    return {
        "flat.npy": "must hold height x width numbers",
        "words.npy": "must hold height x width numbers",
        "many.npy": "damaged or not a NumPy array",
        "zip.npy": "damaged or not a NumPy array",
        "huge.npy": "damaged or not a NumPy array",
        "negative.npy": "damaged or not a NumPy array",
        "text.npy": "damaged or not a NumPy array",
        "objects.npy": "damaged or not a NumPy array",
        "eight.png": "must be grey with 16 bits",
        "colour.png": "must be grey with 16 bits",
        "depth.exr": "give a .npy file in metres, or a 16-bit grey PNG",
        "gone.npy": "No such file",
        "gone.png": "does not exist",
    }


def test_depth_maps_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    for name, message in _bad_depths(tmp_path).items():
        with pytest.raises(DualpixError, match=message):
            read_depth(tmp_path / name)


def test_what_does_not_fit_is_told(picture: torch.Tensor, depth_m: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="The depth map is 159 x 120 and the picture 160 x 120; both must have the same size"
    ):
        simulate_from_depth(picture, depth_m[:, 1:], CAMERA)
    with pytest.raises(DataError, match="16 px or more"):
        simulate_from_depth(picture[:, :1], depth_m[:1], CAMERA)
    with pytest.raises(DataError, match="64 px is the most"):
        simulate_from_depth(picture, depth_m / 30, CAMERA)
    photo = tmp_path / "a.png"
    Image.fromarray((picture * 255).byte().permute(1, 2, 0).numpy()).save(photo)
    np.save(tmp_path / "a.npy", depth_m.numpy())
    with pytest.raises(DataError, match=r"A lens of 50 mm cannot focus at 0\.05 m"):
        simulate_photo(photo, tmp_path / "a.npy", tmp_path / "pairs", focus_m=0.05)
    with pytest.raises(RecipeError, match=r"no camera called 'pixel4'.*Did you mean 'pixel-4'"):
        simulate_photo(photo, tmp_path / "a.npy", tmp_path / "pairs", camera="pixel4")
    assert not (tmp_path / "pairs").exists()

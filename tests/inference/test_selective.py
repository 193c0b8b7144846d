"""Only part of the picture made sharp, from every door: by words and by masks, and what cannot be."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import dualpix as package
from dualpix.errors import CheckpointError, PictureError
from dualpix.inference.deblur import deblur, deblur_pair
from dualpix.inference.options import DeblurOptions
from dualpix.inference.selective import Planes, mask_of, select
from dualpix.io import Metadata, read_picture
from dualpix.weights import checkpoint
from small_networks import TINY, small, tiny

Command = Callable[..., tuple[int, str, str]]
WEIGHTS = ("-w", "w.safetensors")
DEMO = Path(package.__file__).parent / "demo_pair"


def halves(height: int = 224, width: int = 256) -> Tensor:
    """White on the right."""
    mask = torch.zeros(1, height, width)
    mask[..., width // 2 :] = 1
    return mask


@pytest.fixture
def folder(folder: Path) -> Path:
    """With weights that are quicker still."""
    checkpoint.save(folder / "w.safetensors", tiny(), "mccnet-fast", TINY)
    return folder


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def test_a_mask_says_what_is_made_sharp(folder: Path, dualpix: Command) -> None:
    Image.fromarray((halves()[0].numpy() * 255).astype(np.uint8)).save("mask.png")
    assert dualpix("deblur", "p_L.png", "p_R.png", "-o", "whole.png", *WEIGHTS, "--no-guard")[0] == 0
    words = ("--mask", "mask.png", "--mask-out", "used.png")
    code, out, err = dualpix("deblur", "p_L.png", "p_R.png", "-o", "part.png", *WEIGHTS, "--no-guard", *words)
    assert code == 0 and "used.png: 50% made sharp" in out, err
    whole, part, used = (pixels(name) for name in ("whole.png", "part.png", "used.png"))
    mean = (pixels("p_L.png") + pixels("p_R.png")) / 2
    assert np.array_equal(part[:, 170:], whole[:, 170:]) and np.abs(part[:, :86] - mean[:, :86]).max() <= 0.5
    assert np.array_equal(used // 257, pixels("mask.png"))
    left, right = (read_picture(f"p_{side}.png").pixels for side in "LR")
    from_python = deblur(left, right, "w.safetensors", mask=halves(), guard=False)
    assert np.abs(255 * from_python.permute(1, 2, 0).numpy() - part).max() <= 0.51
    half = deblur(left, right, "w.safetensors", mask=halves(), strength=0.5, guard=False)
    torch.testing.assert_close(half, (from_python + (left + right) / 2) / 2)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("turns", [0, 1])
def test_a_mask_lies_as_the_photograph_is_seen(orientation: int, turns: int, tmp_path: Path) -> None:
    """Pillow turns the stored picture upright; that, as a mask, is stored picture again."""
    stored = Image.fromarray(np.random.default_rng(0).integers(0, 256, (18, 24), dtype=np.uint8))
    tags = Image.Exif()
    tags[274] = orientation
    stored.save(tmp_path / "tagged.png", exif=tags)
    way = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}
    seen = stored if way[orientation] is None else stored.transpose(way[orientation])
    seen.save(tmp_path / "seen.png")
    laid = torch.rot90(torch.zeros(3, 18, 24), turns, (1, 2))
    sample = {"left": laid, "quarter_turns": turns, "metadata": Metadata(orientation=orientation)}
    expected = np.rot90(np.asarray(stored), turns)
    for name in ("seen.png", "tagged.png"):
        assert np.array_equal(np.round(255 * mask_of(tmp_path / name, sample)[0].numpy()), expected), name


def test_words_keep_blur_and_the_note_tells(folder: Path, dualpix: Command) -> None:
    """Disparity is that of the network; all that it finds lies within its reach."""
    for words, share in (("outside -99..99", 1.0), ("-99..99", 0.0)):
        run = ("--keep-blur", words, "--mask-out", "used.png", "--overwrite")
        code, _, err = dualpix("deblur", "p_L.png", "p_R.png", "-o", "part.png", *WEIGHTS, *run)
        assert code == 0, err
        assert set(np.unique(pixels("used.png"))) == {round(65535 * share)}
    with Image.open("part.png") as picture:
        assert picture.getexif()[305].endswith("weights w, blur kept -99..99")
    mean = (pixels("p_L.png") + pixels("p_R.png")) / 2
    assert np.abs(pixels("part.png") - mean).max() <= 0.5


def test_a_part_of_the_demo_pair_is_as_taken_and_the_rest_as_ever() -> None:
    """By the shipped weights; the same part said in two ways."""
    left, right = (read_picture(DEMO / f"{name}.png").pixels[:, 180:290, 220:364] for name in ("left", "right"))
    sample = {"left": left, "right": right, "name": "demo", "quarter_turns": 0}
    whole, *parts = (deblur_pair(sample, keep_blur=words) for words in (None, "behind 1.2", "outside ..1.2"))
    masks = [part.mask for part in parts]
    assert whole.mask is None and masks[0] is not None and 0.02 < float(masks[0].mean()) < 0.98
    assert torch.equal(masks[0], masks[1]) and torch.equal(parts[0].picture, parts[1].picture)
    changes = [(parts[0].picture - other).abs().amax(0) for other in ((left + right) / 2, whole.picture)]
    kept, made = masks[0][0] == 0, masks[0][0] == 1
    assert float(changes[0][kept].median()) < 0.1 * float(changes[1][kept].median())
    assert float(changes[1][made].median()) == 0 and float(changes[0][made].median()) > 0


def test_what_contradicts_is_refused_before_any_work(folder: Path, dualpix: Command) -> None:
    with pytest.raises(PictureError, match="mask= and keep_blur= both say"):
        DeblurOptions(keep_blur="behind", mask="mask.png")
    Image.new("L", (20, 20)).save("small.png")
    pair = ("deblur", "p_L.png", "p_R.png", "-o", "o.png", *WEIGHTS)
    for words, told in (
        (("--mask", "small.png"), "small.png is 20 x 20 pixels and the views are 256 x 224"),
        (("--mask", "small.png", "--keep-blur", "behind"), "--mask and --keep-blur both say"),
        (("--keep-blur", "sideways"), "There is no blur 'sideways' to keep"),
        (("--mask", "none.png"), "none.png"),
        (("--mask-out", "m.png"), "give --keep-blur or --mask too"),
    ):
        code, _, err = dualpix(*pair, *words)
        assert code in (1, 2) and told in " ".join(err.replace("│", " ").split()), words
    assert not Path("o.png").exists()
    view = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    blind = small("dpdnet")
    with pytest.raises(CheckpointError, match="no cross-correlation"):
        deblur(view, view.roll(1, 2), blind, keep_blur="behind")
    mixed = deblur(view, view.roll(1, 2), blind, mask=halves(32, 32))  # needs no disparity
    torch.testing.assert_close(mixed[..., :16], ((view + view.roll(1, 2)) / 2)[..., :16])


def test_folders_take_a_folder_of_masks(folder: Path, dualpix: Command) -> None:
    for name in ("p", "deep"):
        Path("pairs/in").mkdir(parents=True, exist_ok=True)
        for path in folder.glob(f"{name}_?.*"):
            path.rename(Path("pairs/in", path.name))
    Path("masks/in").mkdir(parents=True)
    mask = Image.fromarray((halves()[0].numpy() * 255).astype(np.uint8))
    mask.save("masks/in/p.tif")
    run = ("deblur", "pairs", "-o", "many", *WEIGHTS)
    code, _, err = dualpix(*run, "--mask", "masks/in/p.tif")
    assert code == 1 and "A folder of pairs cannot share one mask" in err
    code, out, err = dualpix(*run, "--mask", "masks")
    assert code == 1 and "masks/in holds no mask called deep" in err and "1 pictures made, 1 failed" in out
    left, right = Path("pairs/in/p_L.png"), Path("pairs/in/p_R.png")
    assert dualpix("deblur", str(left), str(right), "-o", "single.png", *WEIGHTS, "--mask", "masks/in/p.tif")[0] == 0
    assert Path("many/in/p.png").read_bytes() == Path("single.png").read_bytes()
    mask.save("masks/in/deep.png")
    mask.rotate(180).save("masks/in/p.tif")
    code, out, err = dualpix(*run, "--mask", "masks", "--resume")
    assert code == 0 and "2 pictures made" in out, err
    assert Path("many/in/p.png").read_bytes() != Path("single.png").read_bytes()
    assert replace(DeblurOptions(mask="masks")).shaping()["mask"] == "masks"


def test_an_upright_pair_gives_the_part_that_the_lying_one_gives() -> None:
    left = torch.rand(3, 48, 80, generator=torch.Generator().manual_seed(0))
    right, network, mask = left.roll(2, 2), tiny(), torch.linspace(0, 1, 80).expand(1, 48, 80)
    for part in ({"keep_blur": "0..2"}, {"mask": mask}):
        upright = {name: torch.rot90(one, -1, (1, 2)) for name, one in part.items() if isinstance(one, Tensor)}
        lying = deblur_pair({"left": left, "right": right, "name": "x"}, network, turn="none", **part)
        views = {"left": torch.rot90(left, -1, (1, 2)), "right": torch.rot90(right, -1, (1, 2)), "name": "x"}
        stood = deblur_pair(views, network, turn="left", **(part | upright))
        assert lying.mask is not None and stood.mask is not None
        assert torch.equal(torch.rot90(stood.picture, 1, (1, 2)), lying.picture)
        assert torch.equal(torch.rot90(stood.mask, 1, (1, 2)), lying.mask)


def test_a_plain_wall_goes_with_what_is_sure_on_it() -> None:
    """Its own disparity is noise, and would keep it sharp in patches; a wall of another colour has its own."""
    generator = torch.Generator().manual_seed(5)
    sharp = torch.full((3, 320, 480), 0.6)
    sharp[:, :, 320:] = 0.2
    disparity_px, confidence = torch.full((1, 160, 240), 3.0), torch.ones(1, 160, 240)
    disparity_px[..., 20:140, 20:140] = 2 * torch.rand(1, 120, 120, generator=generator) - 1.5
    confidence[..., 20:140, 20:140] = 0.05
    disparity_px[..., 160:] = 0
    matte = select(sharp, Planes(disparity_px, confidence), "behind 1.5")
    assert float(matte[..., :300].max()) < 0.1 and float(matte[..., 340:].min()) > 0.9

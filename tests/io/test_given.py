"""What may stand for a picture in Python, and what may not: one sentence says what was given and what is accepted."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.errors import DualpixError, PictureError
from dualpix.io import as_picture, read_picture, write_picture
from dualpix.pairs import open_views, read_pair

DICE = np.random.default_rng(0)
BYTES = DICE.integers(0, 256, (20, 24, 3), dtype=np.uint8)
WORDS = DICE.integers(0, 65536, (20, 24, 3), dtype=np.uint16)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("given", "levels", "top"),
    [
        (BYTES, BYTES, 255),
        (BYTES.transpose(2, 0, 1), BYTES, 255),
        (WORDS, WORDS, 65535),
        (WORDS.astype(">u2"), WORDS, 65535),
        ((WORDS / 65535).astype(">f4"), WORDS, 65535),
        ((WORDS / 65535).astype(np.longdouble), WORDS, 65535),
        (WORDS[::-1, ::-1], WORDS[::-1, ::-1], 65535),
        (read_only(BYTES), BYTES, 255),
        (torch.from_numpy(BYTES.copy()), BYTES, 255),
        (torch.from_numpy(WORDS / 65535).requires_grad_(), WORDS, 65535),
        (Image.fromarray(BYTES), BYTES, 255),
        (Image.fromarray(np.dstack([BYTES, BYTES[:, :, :1]])), BYTES, 255),
    ],
    ids=["8", "planes", "16", "big", "big floats", "long", "turned", "locked", "tensor", "graph", "Pillow", "alpha"],
)
def test_colours(given: object, levels: np.ndarray, top: int) -> None:
    found = as_picture(given)  # type: ignore[arg-type]
    assert not found.grey
    np.testing.assert_allclose(found.pixels.detach().numpy().transpose(1, 2, 0), levels / top, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "levels", "top"),
    [
        (BYTES[:, :, 0], BYTES, 255),
        (BYTES[:, :, :1], BYTES, 255),
        (WORDS[None, :, :, 0], WORDS, 65535),
        (torch.from_numpy(BYTES[:, :, 0].copy()), BYTES, 255),
        (Image.fromarray(BYTES[:, :, 0]), BYTES, 255),
        (Image.fromarray(WORDS[:, :, 0]), WORDS, 65535),
        (Image.fromarray(WORDS[:, :, 0].astype(np.int32)), WORDS, 65535),
    ],
    ids=["H W", "H W 1", "1 H W", "tensor", "Pillow L", "Pillow I;16", "Pillow I"],
)
def test_grey(tmp_path: Path, given: object, levels: np.ndarray, top: int) -> None:
    found = as_picture(given)  # type: ignore[arg-type]
    expected = np.broadcast_to(levels[:, :, 0] / top, (3, 20, 24))
    np.testing.assert_allclose(found.pixels.numpy(), expected, atol=1e-6)
    write_picture(tmp_path / "a.png", given, 16 if top > 255 else 8)  # type: ignore[arg-type]
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.mode in ("L", "I;16", "I")
        np.testing.assert_array_equal(np.asarray(opened), levels[:, :, 0])


def test_a_palette_is_looked_up_and_a_path_is_read(tmp_path: Path) -> None:
    palette = Image.fromarray(BYTES).quantize(16)
    found = as_picture(palette).pixels.numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(found, np.asarray(palette.convert("RGB")) / 255, atol=1e-6)
    Image.fromarray(BYTES).save(tmp_path / "a.png")
    assert torch.equal(as_picture(tmp_path / "a.png").pixels, read_picture(tmp_path / "a.png").pixels)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "NoneType"),
        ([[0.5] * 24] * 20, "list"),
        (b"bytes", "bytes"),
        (io.BytesIO(), "BytesIO"),
        (3, "int"),
        (BYTES[:, :, 0].astype(np.int64), "int64"),
        (BYTES > 100, "bool"),
        (BYTES[:, :, :2], "20 x 24 x 2"),
        (np.zeros((1, 3, 20, 24)), "1 x 3 x 20 x 24"),
        (np.array(["a", None]), "not an array of numbers"),
        (np.ma.masked_less(BYTES, 50), "masked pixels"),
        (Image.fromarray(BYTES).convert("CMYK"), "CMYK"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_picture_is_told_in_one_sentence(tmp_path: Path, given: object, words: str) -> None:
    for call in (lambda: as_picture(given, "left view"), lambda: write_picture(tmp_path / "a.png", given)):  # type: ignore[arg-type]
        with pytest.raises(PictureError) as caught:
            call()
        assert words in str(caught.value) and "\n" not in str(caught.value) and str(caught.value).endswith(".")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("thing", [None, b"a.png", ["a.png"], io.BytesIO()])
def test_what_is_no_path_is_told_too(thing: object) -> None:
    for call in (read_picture, open_views, lambda path: read_pair(path, path), lambda path: write_picture(path, BYTES)):
        with pytest.raises(DualpixError, match=r"is not the path of a picture file; give text"):
            call(thing)  # type: ignore[arg-type, operator]

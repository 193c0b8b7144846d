"""Two views in one .npz file."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dualpix.errors import DualpixError, PairError, PictureError
from dualpix.images import open_views

DICE = np.random.default_rng(0)
COLOUR = DICE.integers(0, 65536, (2, 24, 32, 3), dtype=np.uint16)


@pytest.mark.parametrize(
    ("left", "right", "depth", "grey"),
    [
        (*COLOUR, 16, False),
        (*COLOUR.transpose(0, 3, 1, 2), 16, False),
        (*COLOUR[..., 0], 16, True),
        (*(COLOUR // 257).astype(np.uint8), 8, False),
        (*(COLOUR / 65535), 16, False),
        (*(np.asfortranarray(view) for view in COLOUR.astype(">u2")), 16, False),
    ],
    ids=["last", "first", "grey", "8-bit", "float", "columns first, big-endian"],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_every_accepted_kind(tmp_path: Path, save, left, right, depth: int, grey: bool) -> None:
    save(tmp_path / "pair.npz", left=left, right=right, more=np.zeros(3))
    views = open_views(tmp_path / "pair.npz")
    assert (views["name"], views["depth"], views["grey"]) == ("pair", depth, grey)
    for name, wanted in zip(("left", "right"), COLOUR, strict=True):
        channels = wanted[:, :, :1].repeat(3, axis=2) if grey else wanted
        np.testing.assert_allclose(views[name], channels.transpose(2, 0, 1) / 65535, atol=1e-6 if depth == 16 else 4e-3)


def member(header: str, data: bytes = b"") -> bytes:
    """An array file with a header of one's own."""
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text.encode() + data


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def saved(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


BOMB = member("{'descr': '|u1', 'fortran_order': False, 'shape': (60000, 60000, 3), }")
OBJECTS = member("{'descr': '|O', 'fortran_order': False, 'shape': (24, 32), }", b"cos\nsystem\n(S'false'\ntR.")
GOOD = COLOUR[0]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (
            saved(left=GOOD),
            PictureError,
            r"holds no array called right \(it has: left\); save it with left= and right=",
        ),
        (saved(left=GOOD, right=COLOUR[1][:, :-1]), PairError, "left and right in .* differ"),
        (saved(left=GOOD, right=GOOD), PairError, "both views hold the same pixels"),
        (saved(left=GOOD[0], right=GOOD[0]), PairError, "H and W at least 16"),
        (saved(left=GOOD.astype(int), right=GOOD), PictureError, "left in .* is int64"),
        (saved(left=GOOD * 1.0, right=GOOD * 0.5), PairError, r"must hold values in \[0, 1\]"),
        (archive(left=BOMB, right=BOMB), PictureError, "more than the limit of 200 megapixels"),
        (archive(left=OBJECTS, right=OBJECTS), PictureError, "left in .* is object"),
        (archive(left=b"", right=b""), PictureError, "is damaged or cut short"),
        (saved(left=GOOD, right=GOOD)[:700], PictureError, "is damaged or cut short"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: bytes, error: type[DualpixError], message: str) -> None:
    """R1 and R2 for .npz: nothing of a declared size is allocated, nothing is executed."""
    (tmp_path / "pair.npz").write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        open_views(tmp_path / "pair.npz")
    assert "pair.npz" in str(caught.value)


def test_damage_anywhere_gives_our_own_errors(tmp_path: Path) -> None:
    """R3, a small part of it."""
    whole = bytearray(saved(left=COLOUR[0], right=COLOUR[1]))
    dice = np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        content = whole.copy()
        for at in dice.integers(0, len(whole) if dice.random() < 0.5 else 200, 3):
            content[at] = dice.integers(256)
        (tmp_path / "pair.npz").write_bytes(content)
        try:
            open_views(tmp_path / "pair.npz")
        except DualpixError:
            refused += 1
    assert refused > 20

"""Two views in one .npz file."""

import io
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dualpix.errors import DualpixError, PairError, PictureError
from dualpix.pairs import open_views

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


def packed(method: int, *names: str, content: bytes) -> bytes:
    """An archive whose entries are packed in one way, and may have the same name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file, warnings.catch_warnings(action="ignore"):
        for name in names:
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def grey(shape: str, data: bytes = b"", *, more: str = "") -> bytes:
    return member(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, {more}}}", data)


def saved(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


BOMB = member("{'descr': '|u1', 'fortran_order': False, 'shape': (60000, 60000, 3), }")
OBJECTS = member("{'descr': '|O', 'fortran_order': False, 'shape': (24, 32), }", b"cos\nsystem\n(S'false'\ntR.")
LONG_2_0 = b"\x93NUMPY\x02\0" + (2**32 - 1).to_bytes(4, "little") + b" " * 2**20
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
        (packed(zipfile.ZIP_BZIP2, "left", "right", content=BOMB), PictureError, "in a way that NumPy never uses"),
        (packed(zipfile.ZIP_LZMA, "left", "right", content=BOMB), PictureError, "in a way that NumPy never uses"),
        (packed(zipfile.ZIP_STORED, "left", "left", content=BOMB), PictureError, "more than one array called left"),
        (archive(left=grey("(-1, 100)", bytes(5000)), right=b""), PictureError, "every side must have 1 or more"),
        (archive(left=grey("(-50, -100)", bytes(5000)), right=b""), PictureError, "every side must have 1 or more"),
        (archive(left=grey("(0, 100)"), right=b""), PictureError, "every side must have 1 or more"),
        (archive(left=grey("(True, 100)", bytes(100)), right=b""), PictureError, "every side must have 1 or more"),
        (archive(left=grey(f"({10**400}, 2)"), right=b""), PictureError, "more than the limit of 200 megapixels"),
        (archive(left=grey("(20, 20)", bytes(10**6)), right=b""), PictureError, "left is not as long as it declares"),
        (archive(left=grey("(20, 20)", bytes(399)), right=b""), PictureError, "left is not as long as it declares"),
        (archive(left=grey("(20, 20)", more=" " * 20000), right=b""), PictureError, "its array is too long"),
        (archive(left=LONG_2_0, right=b""), PictureError, "its array is too long"),
        (archive(left=grey("(20, 20)", more="-" * 9000), right=b""), PictureError, "its array is damaged"),
        (saved(left=GOOD, right=GOOD)[:700], PictureError, "is damaged or cut short"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: bytes, error: type[DualpixError], message: str) -> None:
    """Nothing of a declared size is allocated, nothing is executed."""
    (tmp_path / "pair.npz").write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        open_views(tmp_path / "pair.npz")
    assert "pair.npz" in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 600


def test_what_inflates_is_measured_before_it_does(tmp_path: Path) -> None:
    """Faults 53 and 68: megabytes of zeros in some kilobytes, whatever the header says of them."""
    zeros = bytes(2**24)
    contents = [
        packed(method, "left", "right", content=grey(shape, zeros))
        for method, shape in ((zipfile.ZIP_DEFLATED, "(-1, 100)"), (zipfile.ZIP_BZIP2, "(10000, 10000)"))
    ]
    del zeros
    for content in contents:
        (tmp_path / "pair.npz").write_bytes(content)
        tracemalloc.start()
        with pytest.raises(PictureError):
            open_views(tmp_path / "pair.npz")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 2**21


def test_damage_anywhere_gives_our_own_errors(tmp_path: Path) -> None:
    """A small part of it."""
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

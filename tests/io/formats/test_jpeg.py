"""JPEG files that lack data though they end as they should, and others that every reader takes."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpix.errors import PictureError
from dualpix.io import read_picture

KINDS = {
    "baseline": {},
    "colour at full size": {"subsampling": 0},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "progressive restarts": {"progressive": True, "restart_marker_rows": 1},
}


def whole(make, **options: object) -> bytes:
    return make["by_pillow"](make["smooth"](height=72, width=100), "JPEG", quality=90, **options)


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_without_half_of_its_data_is_refused_though_its_end_is_there(tmp_path: Path, make, kind: str) -> None:
    """The decoder fills what is missing with grey."""
    content = whole(make, **KINDS[kind])
    begin = content.index(b"\xff\xda") + 20
    for share in (0.05, 0.5, 0.9, 0.98):
        cut = content[: begin + int(share * (len(content) - begin))].rstrip(b"\xff") + b"\xff\xd9"
        if "progressive" in kind and share > 0.5:
            continue  # later scans only refine: what they lack may be nothing
        assert "cut short" in refusal(tmp_path / "a.jpg", cut), share


def test_a_jpeg_without_a_piece_of_its_middle_is_refused(tmp_path: Path, make) -> None:
    content = whole(make, restart_marker_blocks=3)
    marks = [at for at in range(len(content) - 1) if content[at] == 0xFF and 0xD0 <= content[at + 1] <= 0xD7]
    from_one_to_another = content[: marks[2]] + content[marks[5] :]
    inside_one = content[: marks[2] + 12] + content[marks[3] :]
    eight_of_them = content[: marks[1]] + content[marks[9] :]
    for cut in (from_one_to_another, inside_one, eight_of_them):
        assert "cut short" in refusal(tmp_path / "a.jpg", cut)


@pytest.mark.parametrize("kind", [*KINDS, "grey"])
@pytest.mark.parametrize("size", [(16, 16), (33, 47), (65, 17)])
def test_a_whole_jpeg_of_any_kind_is_read(tmp_path: Path, make, kind: str, size: tuple[int, int]) -> None:
    levels = make["smooth"](height=size[0], width=size[1])
    content = make["by_pillow"](levels[:, :, 0] if kind == "grey" else levels, "JPEG", **KINDS.get(kind, {}))
    (tmp_path / "a.jpg").write_bytes(content)
    pixels = read_picture(tmp_path / "a.jpg").pixels.permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) / 255
    assert np.abs(pixels - theirs).max() < 1.01 / 255


def declaring(content: bytes, height: int) -> bytes:
    """The same scans under a header of that height."""
    at = next(at for at in range(len(content)) if content[at] == 0xFF and content[at + 1] in (0xC0, 0xC2)) + 5
    return content[:at] + height.to_bytes(2, "big") + content[at + 2 :]


@pytest.mark.parametrize("kind", [*KINDS, "grey"])
def test_rows_of_pixels_that_a_jpeg_holds_but_does_not_declare_are_told(tmp_path: Path, make, kind: str) -> None:
    """Told or not, the rows that are declared are those of the whole picture."""
    levels = make["smooth"](height=96, width=100)
    levels = levels[:, :, 0] if kind == "grey" else levels
    content = make["by_pillow"](levels, "JPEG", **KINDS.get(kind, {}))
    path = tmp_path / "a.jpg"
    path.write_bytes(content[:-2] + bytes(4) + content[-2:] + bytes(100))  # padding, and what lies behind the end
    whole = read_picture(path)
    assert not [note for note in whole.notes if "more pixels" in note]
    for height in (16, 33, 64, 79):
        path.write_bytes(declaring(content, height))
        cut = read_picture(path)
        assert [note for note in cut.notes if f"more pixels than the 100 x {height} that it declares" in note], height
        assert (cut.pixels[:, : height - 1] == whole.pixels[:, : height - 1]).all()


def test_bytes_between_segments_are_stepped_over_and_told(tmp_path: Path, make) -> None:
    """As by Pillow; the metadata behind them is found too."""
    content = whole(make)
    icc = bytes(36) + b"acsp" + bytes(100)
    profile = b"\xff\xe2\0\x9cICC_PROFILE\0\x01\x01" + icc
    (tmp_path / "a.jpg").write_bytes(content[:20] + bytes(3) + profile + b"\0" + content[20:])
    (tmp_path / "b.jpg").write_bytes(content)
    odd, even = read_picture(tmp_path / "a.jpg"), read_picture(tmp_path / "b.jpg")
    assert (odd.pixels == even.pixels).all()
    assert odd.metadata.icc == icc
    assert [note for note in odd.notes if "stray bytes" in note]
    assert not even.notes

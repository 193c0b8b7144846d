"""One file or two: what is taken for what, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.cli.extract import extract
from dualpix.errors import DualpixError, PairError, PictureError
from dualpix.pairs import SOURCES, Views, open_views, read_pair, restore_orientation, usual_suffix
from dualpix.pairs.sources import BOTH_VIEWS

LEVELS = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, view in zip("LR", LEVELS, strict=True):
        Image.fromarray(view).save(tmp_path / f"p_{name}.png")
    np.savez(tmp_path / "p.npz", left=LEVELS[0], right=LEVELS[1])
    return tmp_path


def test_two_files_are_a_pair_as_ever(folder: Path) -> None:
    paths = folder / "p_L.png", folder / "p_R.png"
    views, pair = open_views(*paths), read_pair(*paths)
    assert views["quarter_turns"] == 0 and views["name"] == "p" == pair["name"]
    assert views["left"].equal(pair["left"]) and views["right"].equal(pair["right"])
    swapped = open_views(*map(str, paths), swap=True)
    assert swapped["left"].equal(pair["right"]) and swapped["right"].equal(pair["left"])


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_turning_back_undoes_the_turn(turns: int) -> None:
    picture = torch.rand(3, 4, 6)
    views: Views = {"quarter_turns": turns}  # type: ignore[typeddict-item]
    assert restore_orientation(torch.rot90(picture, turns, (1, 2)), views).equal(picture)


def test_usual_extensions(folder: Path, raw) -> None:
    (folder / "photo.dng").write_bytes(raw(list(LEVELS[..., 0].astype(np.uint16))))
    assert usual_suffix(folder / "p_L.png") == ".png"
    assert usual_suffix(folder / "p.npz") == usual_suffix(folder / "photo.dng") == ".tif"
    assert usual_suffix(folder / "p_L.png", "top-bottom") == ".png"


@pytest.mark.parametrize(
    ("words", "options", "error", "message"),
    [
        (
            ["p_L.png"],
            {},
            PairError,
            r"p_L\.png is one picture; give the other view as well, or .* layout='side-by-side'",
        ),
        (["p_L.png", "p_R.png"], {"layout": "raw"}, PairError, "the layout 'raw' does not apply"),
        (["p_L.png"], {"layout": "sbs"}, DualpixError, "no layout called 'sbs'; choose from: raw, pixel"),
        (["gone.cr3"], {}, PictureError, r"gone\.cr3 does not exist"),
        (["gone.npz"], {}, PictureError, r"gone\.npz does not exist"),
        (["."], {}, PictureError, "is a folder"),
        (["text.txt"], {}, PictureError, r"text\.txt is not a PNG"),
        (["p_L.png"], {"layout": "raw"}, PictureError, r"p_L\.png is damaged, cut short or of an unknown kind"),
        (["p_L.png"], {"layout": "npz"}, PictureError, r"p_L\.png is damaged or cut short"),
        (["a\0b"], {}, PictureError, "cannot be opened"),
    ],
)
def test_what_holds_no_two_views_is_refused(
    folder: Path, words: list[str], options: dict, error: type[DualpixError], message: str
) -> None:
    (folder / "text.txt").write_text("not a picture")
    with pytest.raises(error, match=message) as caught:
        open_views(*(folder / word for word in words), **options)
    assert "\n" not in str(caught.value) and str(caught.value)[-1] in ".?"


def test_every_source_says_what_it_raises() -> None:
    assert all(source.read.__doc__ for source in SOURCES.values())


def test_the_docs_and_the_help_name_every_file_that_holds_both_views() -> None:
    docs = Path(__file__).parents[2] / "docs"
    told = [(docs / name).read_text() for name in ("cameras.md", "folders.md")] + [extract.__doc__ or ""]
    assert len(BOTH_VIEWS) == sum(len(source.endings) for source in SOURCES.values())
    assert [ending for ending in BOTH_VIEWS for text in told if ending[1:] not in text.lower()] == []

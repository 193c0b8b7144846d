"""Both views as two pictures of one file: pages of a TIFF, a multi-picture JPEG (.mpo), two PPMs in one file."""

from pathlib import Path

from dualpix.errors import PairError, option
from dualpix.io.reading import count_pictures, read_pictures
from dualpix.io.several import count_in_words
from dualpix.pairs.sources.record import Source, Views, views_of
from dualpix.pairs.views import pair_of


def is_two(path: Path, start: bytes) -> bool:
    """Whether a file holds exactly two pictures of one size."""
    return bool(start) and count_pictures(path) == 2


def read_two(path: Path, limit_megapixels: float) -> Views:
    """Read the first picture as the left view, the second as the right one. Raises PictureError or PairError."""
    count = count_pictures(path)
    if count not in (0, 2):  # counted first, since all of them may not fit into memory
        many = "one picture" if count == 1 else f"{count_in_words(count)} pictures of one size"
        raise PairError(
            f"{path} holds {many}, not two views; give two files, or say how both lie in it ({option('layout', None)})."
        )
    left, right = read_pictures(path, limit_megapixels)
    pair = pair_of(left, right, f"The two pictures of {path}", path.stem)
    note = (
        f"{path.name} holds two pictures of one size: the first was taken for the left view, the second for the right."
    )
    pair["notes"] = [note, *dict.fromkeys(pair["notes"])]
    return views_of(pair)


TWO_PICTURES = Source(name="two-pictures", read=read_two, recognises=is_two)

"""Both views in one ordinary picture, side by side or one above the other."""

from pathlib import Path

from dualpix.errors import PairError
from dualpix.io.reading import read_picture
from dualpix.pairs.sources.record import Source, Views
from dualpix.pairs.views import require_pair


def read_side_by_side(path: Path, limit_megapixels: float) -> Views:
    """Read the left half as the left view, the right half as the right one. Raises PictureError or PairError."""
    return _cut(path, limit_megapixels, axis=2, side="width")


def read_top_bottom(path: Path, limit_megapixels: float) -> Views:
    """Read the upper half as the left view, the lower half as the right one. Raises PictureError or PairError."""
    return _cut(path, limit_megapixels, axis=1, side="height")


def _cut(path: Path, limit_megapixels: float, axis: int, side: str) -> Views:
    picture = read_picture(path, limit_megapixels)
    length = picture.pixels.shape[axis]
    if length % 2:
        raise PairError(f"{path} has an odd {side} of {length} pixels, so it is not two equal views; cut it to size.")
    left, right = (half.contiguous() for half in picture.pixels.chunk(2, axis))
    require_pair(left, right, f"The two halves of {path}")
    return Views(
        name=path.stem,
        left=left,
        right=right,
        depth=picture.depth,
        notes=list(picture.notes),
        grey=picture.grey,
        metadata=picture.metadata,
        quarter_turns=0,
    )


SIDE_BY_SIDE = Source(name="side-by-side", read=read_side_by_side)
TOP_BOTTOM = Source(name="top-bottom", read=read_top_bottom)

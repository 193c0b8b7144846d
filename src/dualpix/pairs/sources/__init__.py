"""Two views of a photograph, out of one file or two.

To add a kind of file: one module with a `Source`, and one line in SOURCES (an import goes with it).
"""

from collections.abc import Callable
from pathlib import Path
from typing import cast

from dualpix.errors import PairError, PictureError, option
from dualpix.io.endings import OTHERWISE, written_ending
from dualpix.io.opening import as_path, start_of
from dualpix.io.reading import LIMIT_MEGAPIXELS, suffix_of
from dualpix.machine.modes import settled
from dualpix.pairs.sources.camera_raw import RAW
from dualpix.pairs.sources.multi_picture import TWO_PICTURES
from dualpix.pairs.sources.npz import NPZ
from dualpix.pairs.sources.pixel_phone import PIXEL, is_pixel, read_pixel_pair
from dualpix.pairs.sources.record import Source, Views, views_of
from dualpix.pairs.sources.side_by_side import SIDE_BY_SIDE, TOP_BOTTOM
from dualpix.pairs.turning import AUTO, lay_along_rows
from dualpix.pairs.views import read_pair
from dualpix.tables import pick

__all__ = ["BOTH_VIEWS", "SOURCES", "Source", "Views", "open_views", "usual_suffix"]


SOURCES: dict[str, Source] = {
    kind.name: kind
    for kind in (
        RAW,
        PIXEL,
        NPZ,
        TWO_PICTURES,
        SIDE_BY_SIDE,
        TOP_BOTTOM,
    )
}
"""By the name that `layout` has; the first one that recognises a file reads it."""

BOTH_VIEWS = frozenset(ending for kind in SOURCES.values() for ending in kind.endings)
"""The endings of files that hold both views, as far as a name can tell."""


@settled()
def open_views(
    left: str | Path,
    right: str | Path | None = None,
    *,
    layout: str | None = None,
    swap: bool = False,
    turn: str = AUTO,
    limit_megapixels: float = LIMIT_MEGAPIXELS,
    recover_highlights: bool = False,
) -> Views:
    """Read the two views of a photograph out of two files, or out of the one that holds both.

    `layout`: the kind of that one file, a name in SOURCES; None recognises all but side-by-side and top-bottom.
    `swap`: exchange the views. `turn`: how to turn them so that disparity runs along rows, a name in `turning.TURNS`;
    "auto" finds out. `recover_highlights`: of a camera raw file, white is where one half of the light clips, one stop
    above where both halves together do, and the views are darker by as much. Raises PictureError or PairError, as
    `read_pair` does and where a file holds no two views, and RecipeError for an unknown layout or turn.
    """
    left, right = as_path(left), None if right is None else as_path(right)
    if right is not None and layout is not None:
        raise PairError(
            f"{left} and {right} are two files, so there is no layout {layout!r}; give one, or leave it out."
        )
    if recover_highlights:
        views = _recovering(left, right, layout)(left, limit_megapixels)
    elif right is None:
        views = _source_of(left, layout).read(left, limit_megapixels)
    elif all(is_pixel(path, start_of(path)) for path in (left, right)):
        views = read_pixel_pair(left, right, limit_megapixels)
    else:
        views = views_of(read_pair(left, right, limit_megapixels))
    return cast(Views, lay_along_rows(views, turn, swap))


def usual_suffix(left: str | Path, layout: str | None = None) -> str:
    """The usual extension for pictures made of a file's views: that of its own format if that is written, else .tif."""
    kind = layout or _recognise(Path(left))
    is_picture = kind not in SOURCES or SOURCES[kind].is_picture
    return written_ending(suffix_of(left)) if is_picture else OTHERWISE


def _source_of(path: Path, layout: str | None) -> Source:
    kind = layout or _recognise(path)
    if kind is None:
        suffix_of(path)  # what is no picture at all is told first
        raise PairError(
            f"{path} is one picture; give the other view as well, or say how both lie in it: "
            f"{option('layout', 'side-by-side')} or {option('layout', 'top-bottom')}."
        )
    return pick(SOURCES, kind, "layout")


def _recovering(left: Path, right: Path | None, layout: str | None) -> Callable[[Path, float], Views]:
    recover = _source_of(left, layout).recover if right is None else None
    if recover is None:
        raise PictureError(
            f"{left} is no camera raw file of both views, which alone has highlights to recover; give that, or leave "
            f"out {option('recover-highlights')}."
        )
    return recover


def _recognise(path: Path) -> str | None:
    start = start_of(path)
    return next(
        (kind for kind, source in SOURCES.items() if source.recognises and source.recognises(path, start)), None
    )

"""Read the two views of a photograph from one file or two.

To add a kind of file that holds both views: one module with a `Source`, and one line in SOURCES (and an import).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from dualpix.errors import PairError, PictureError, option
from dualpix.io.endings import OTHERWISE, written_ending
from dualpix.io.opening import start_of
from dualpix.io.reading import LIMIT_MEGAPIXELS, suffix_of
from dualpix.io.staging import local_copies
from dualpix.machine.modes import settled
from dualpix.machine.urls import Location
from dualpix.pairs.sources.camera_raw import RAW
from dualpix.pairs.sources.multi_picture import TWO_PICTURES
from dualpix.pairs.sources.npz import NPZ
from dualpix.pairs.sources.pixel_phone import PIXEL, is_pixel, read_pixel_pair
from dualpix.pairs.sources.record import Source, Views, views_of
from dualpix.pairs.sources.side_by_side import SIDE_BY_SIDE, TOP_BOTTOM
from dualpix.pairs.turning import AUTO, lay_along_rows
from dualpix.pairs.views import read_pair
from dualpix.plugins import Guarded, Origin, answer_of, load, other_than
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
"""By the name used as `layout`; the first one that recognises a file reads it."""

BOTH_VIEWS = {ending for kind in SOURCES.values() for ending in kind.endings}
"""The endings that mark a file as one with both views."""


@settled()
def open_views(
    left: str | Location,
    right: str | Location | None = None,
    *,
    layout: str | None = None,
    swap: bool = False,
    turn: str = AUTO,
    limit_megapixels: float = LIMIT_MEGAPIXELS,
    recover_highlights: bool = False,
) -> Views:
    """Read the two views of a photograph from two files, or from the one file that holds both.

    Args:
        left: The left view, or the file with both views: of this disk, or by URL.
        right: The right view; None if `left` holds both.
        layout: What kind of file `left` is, a name in SOURCES. None recognises all of them but "side-by-side" and
            "top-bottom", which look like ordinary pictures.
        swap: Exchange the views.
        turn: How to turn the views so that disparity runs along rows, a name in `turning.TURNS`; "auto" finds out.
        limit_megapixels: The largest picture that is decoded, in millions of pixels.
        recover_highlights: Of a camera raw file: the white level is that of one half alone, one stop above that of the
            sum, so the views keep more highlights and are one stop darker.

    Returns:
        The views with disparity along rows, float32, 3 x H x W in [0, 1].

    Raises:
        PictureError: A file cannot be read, or has no highlights to recover.
        PairError: The file does not hold two views, or the two files are no pair (see `read_pair`).
        RecipeError: There is no such layout or turn.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from dualpix import open_views
        >>> both = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3), dtype=np.uint8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "garden.npz")
        ...     np.savez(path, left=both[0], right=both[1])
        ...     views = open_views(path)
        >>> views["name"], views["left"].shape, views["depth"]
        ('garden', torch.Size([3, 24, 32]), 8)
    """
    with local_copies(*([left] if right is None else [left, right])) as files:
        views = _read(files[0], files[1] if right is not None else None, layout, limit_megapixels, recover_highlights)
    return cast(Views, lay_along_rows(views, turn, swap))


def _read(
    left: Path, right: Path | None, layout: str | None, limit_megapixels: float, recover_highlights: bool
) -> Views:
    if right is not None and layout is not None:
        raise PairError(
            f"{left} and {right} are two files, to which the layout {layout!r} does not apply; give one file, or leave "
            "the layout out."
        )
    if recover_highlights:
        return _recovering(left, right, layout)(left, limit_megapixels)
    if right is None:
        return _source_of(left, layout).read(left, limit_megapixels)
    if all(is_pixel(path, start_of(path)) for path in (left, right)):
        return read_pixel_pair(left, right, limit_megapixels)
    return views_of(read_pair(left, right, limit_megapixels))


def usual_suffix(left: str | Location, layout: str | None = None) -> str:
    """The usual extension for pictures made from a file with these views: its own if it can be written, else .tif."""
    with local_copies(left) as (path,):
        kind = layout or _recognise(path)
        is_picture = kind not in SOURCES or SOURCES[kind].is_picture
        return written_ending(suffix_of(path)) if is_picture else OTHERWISE


def _source_of(path: Path, layout: str | None) -> Source:
    kind = layout or _recognise(path)
    if kind is None:
        suffix_of(path)  # reports a file that is not a picture at all
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


def add_plugins() -> None:
    """Add the kinds of files of other packages, whose modules may import whatever they like of `dualpix.pairs`."""
    for kind in load("sources", SOURCES, other_than(Source, SOURCES), _guarded, PictureError).values():
        SOURCES[kind.name] = replace(kind, recognises=_careful(kind))
        BOTH_VIEWS.update(kind.endings)


def _careful(kind: Source) -> Callable[[Path, bytes], bool] | None:
    """How a kind of file of another package is recognised, which must not keep others from being read."""
    recognises = kind.recognises
    if recognises is None:
        return None
    return lambda path, start: bool(answer_of("sources", kind.name, lambda: recognises(path, start)))


def _guarded(kind: Source, origin: Origin) -> Source:
    recover = kind.recover and Guarded(kind.recover, origin, _views)
    return replace(kind, read=Guarded(kind.read, origin, _views), recover=recover)


def _views(made: Any, path: Path, limit_megapixels: float) -> Views:
    """What a kind of file of another package gave, which must be two views of one size."""
    given = [made.get(name) for name in ("left", "right")] if isinstance(made, dict) else []
    views = [view for view in given if isinstance(view, Tensor) and view.ndim == 3]
    if len(views) != 2:
        raise TypeError(f"it gives {type(made).__name__} and not the views left and right, 3 x H x W")
    if missing := [name for name in ("name", "depth", "notes", "metadata", "quarter_turns") if name not in made]:
        raise ValueError(f"its views come without {', '.join(missing)}")
    if views[0].shape != views[1].shape or len(views[0]) != 3 or not views[0].is_floating_point():
        sizes = " and ".join(f"{str(view.dtype).removeprefix('torch.')} {tuple(view.shape)}" for view in views)
        raise ValueError(f"it gives views of {sizes} and not two of floats, 3 x H x W")
    return cast(Views, made)

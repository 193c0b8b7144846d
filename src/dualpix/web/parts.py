"""What a request asks for of a result: as which file, which part of it, and with which focus."""

from collections.abc import Mapping
from contextlib import suppress

from dualpix.errors import PictureError, RecipeError
from dualpix.inference.all_in_focus import check_focus, check_point
from dualpix.inference.blending import check_strength
from dualpix.inference.focus import Refocus, parse_point
from dualpix.inference.kept import parse_kept
from dualpix.web.http_errors import HttpError
from dualpix.web.job import DONE, Job
from dualpix.web.planes import PLANES
from dualpix.web.refocusing import Focus, Refocusable

DOWNLOADS = {"png": ".png", "tif": ".tif", "jpg": ".jpg"}
LONGEST = 50  # letters
FOCUS = ("aperture", "focus", "focus_at", "highlights", "blades")


def file_of(query: Mapping[str, str]) -> tuple[str, int, float]:
    """The extension, depth and strength that a request asks for. Raises HttpError 400."""
    kind, depth, strength = query.get("format", "png"), query.get("depth", "16"), query.get("strength", "1")
    if kind not in DOWNLOADS:
        raise HttpError(400, f"There is no format {kind[:20]!r}; choose from: {', '.join(DOWNLOADS)}.")
    if depth not in ("8", "16"):
        raise HttpError(400, "The depth must be 8 or 16.")
    with suppress(ValueError, PictureError):
        check_strength(float(strength))
        return DOWNLOADS[kind], int(depth), float(strength)
    raise HttpError(400, "The strength must be a number from 0, as taken, to 1, all of the result.")


def kept_of(query: Mapping[str, str], job: Job) -> str | None:
    """Return what is to keep its blur, if anything.

    Raises:
        HttpError: 400 if it cannot be understood, 409 if the weights gave no disparity.
    """
    keep = query.get("keep")
    if keep is None:
        return None
    try:
        parse_kept(keep[:LONGEST])
    except RecipeError as error:
        raise HttpError(400, str(error)) from None
    if job.state == DONE and not (job.upload.folder / PLANES).exists():
        raise HttpError(409, "These weights give no disparity, so no part of the picture can be chosen by it.")
    return keep[:LONGEST]


def refocus_of(query: Mapping[str, str], job: Job) -> Focus | None:
    """Return by what the result is focused anew, and how, if that is asked for.

    Raises:
        HttpError: 400 if it cannot be understood, nothing lies there, or only a part or a share of the result is asked
            for as well; 409 if there is no result, or none that can be focused anew.
    """
    given = {name: query[name][:LONGEST] for name in FOCUS if name in query}
    if not given:
        return None
    if "keep" in query or query.get("strength", "1") not in ("1", "1.0"):
        raise HttpError(400, "A picture is refocused as a whole and at full strength; leave out keep and strength.")
    try:
        asked = _refocus(given)
        known = _refocusable(job)
        check_point(asked, *known.size)
        check_focus(asked, known.span_px)
    except PictureError as error:
        raise HttpError(400, error.spelled(lambda name, *_: name.replace("-", "_"))) from None
    return known, asked


def sweep_of(query: Mapping[str, str], job: Job) -> Focus:
    """Return by what the focus is moved through the result, and how. Raises HttpError as `refocus_of` does."""
    focus = refocus_of({"aperture": "1", **query}, job)
    assert focus is not None
    if focus[1].aperture == 0:
        raise HttpError(400, "Moving the focus needs an aperture above 0, or all pictures are alike.")
    return focus


def _refocusable(job: Job) -> Refocusable:
    if job.state != DONE:
        raise job.failure or HttpError(409, f"This picture is not there yet: the pair is {job.state}.")
    if job.refocusable is None:
        raise HttpError(
            409, "This result cannot be refocused: its weights give no disparity, or memory was too little."
        )
    return job.refocusable


def _refocus(given: Mapping[str, str]) -> Refocus:
    point, blades = given.get("focus_at"), given.get("blades", "0")
    return Refocus(
        focus_px=_number("focus", given.get("focus", "0")),
        focus_at=None if point is None else parse_point(point),
        aperture=_number("aperture", given.get("aperture", "1")),
        highlights=_number("highlights", given.get("highlights", "2")),
        blades=int(_number("blades", blades)) if blades.isdecimal() else -1,
    )


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise HttpError(400, f"The {name} must be a number, not {text!r}.") from None

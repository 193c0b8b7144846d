"""What a request asks for of a result: as which file, which part or map of it, and with which focus."""

from collections.abc import Collection, Mapping
from contextlib import suppress

from starlette.datastructures import QueryParams

from dualpix.errors import DataError, PictureError, RecipeError
from dualpix.inference.all_in_focus import check_focus, check_point
from dualpix.inference.blending import check_strength
from dualpix.inference.focus import Refocus, parse_point
from dualpix.inference.kept import parse_kept
from dualpix.inference.optics import check_given
from dualpix.web.http_errors import HttpError
from dualpix.web.job import DONE, Job
from dualpix.web.maps import KINDS, OpticsGiven, WantedMap
from dualpix.web.planes import PLANES, SharpPart
from dualpix.web.refocusing import Focus, Refocusable

DOWNLOADS = {"png": ".png", "tif": ".tif", "jpg": ".jpg"}
MAP_FILES = {"png": ".png", "tif": ".tif"}
OPTICS = {
    "focus_distance": "focus_m",
    "f_number": "f_number",
    "focal_length": "focal_mm",
    "pixel_pitch": "pitch_um",
    "sensor_width": "sensor_mm",
    "rho": "rho",
    "rho_fall": "rho_fall",
}
"""What a request calls the optics, as the command line's options do, and `Optics.of`."""
LONGEST = 50  # letters
FOCUS = ("aperture", "focus", "focus_at", "rho", "highlights", "blades")
OF_RESULT = {"format", "depth", "strength", "keep", "mask", *FOCUS}
OF_PREVIEW = {"version", *OF_RESULT}
"""With what the page adds, so that a browser shows no earlier one."""
OF_MAPS = {"metres": {"format", *OPTICS}, "mask": {"format", "keep", "mask"}}


def fields_of(query: QueryParams, known: Collection[str]) -> dict[str, str]:
    """Return what a request asks for, by name. Raises HttpError 400 where a name is none of `known`, or comes twice."""
    names = [name for name, _ in query.multi_items()]
    if unknown := sorted({*names} - {*known}):
        raise HttpError(400, f"There is no {unknown[0][:20]!r} to ask for; there are: {', '.join(sorted(known))}.")
    if repeated := next((name for name in query if names.count(name) > 1), None):
        raise HttpError(400, f"The field {repeated} was sent twice; give one.")
    return dict(query)


def file_of(query: Mapping[str, str]) -> tuple[str, int, float]:
    """The extension, depth and strength that a request asks for. Raises HttpError 400."""
    kind, depth, strength = query.get("format", "png"), query.get("depth", "16"), query.get("strength", "1")
    if kind not in DOWNLOADS:
        raise HttpError(400, f"There is no format {kind[:20]!r}; choose from: {', '.join(DOWNLOADS)}.")
    if depth not in ("8", "16"):
        raise HttpError(400, "The depth must be 8 or 16.")
    if kind == "jpg" and query.get("depth") == "16":
        raise HttpError(400, "A JPEG holds 8 bits, not 16; leave the depth out, or choose png or tif.")
    with suppress(ValueError, PictureError):
        check_strength(float(strength))
        return DOWNLOADS[kind], int(depth), float(strength)
    raise HttpError(400, "The strength must be a number from 0, as taken, to 1, all of the result.")


def part_of(query: Mapping[str, str], job: Job) -> SharpPart | None:
    """Return what part alone is to be sharp, if that is asked for.

    Raises:
        HttpError: 400 if it cannot be understood, 409 if the weights gave no disparity, or the mask is another one now.
    """
    keep, mask = query.get("keep"), query.get("mask")
    if keep is not None and mask is not None:
        raise HttpError(400, "Both keep and mask say what is made sharp; give one of them.")
    if mask is not None:
        if job.mask is None or mask != str(job.masks):
            raise HttpError(409, "There is no such mask; send one first, and give its number.")
        return SharpPart(mask=job.mask)
    if keep is None:
        return None
    try:
        parse_kept(keep[:LONGEST])
    except RecipeError as error:
        raise HttpError(400, str(error)) from None
    if job.state == DONE and not (job.upload.folder / PLANES).exists():
        raise HttpError(409, "These weights give no disparity, so no part of the picture can be chosen by it.")
    return SharpPart(keep[:LONGEST])


def optics_of(query: Mapping[str, str]) -> OpticsGiven:
    """Return what a request says of lens, focus and sensor, as keywords of `Optics.of`. Raises HttpError 400."""
    asked = {name: query[name][:LONGEST] for name in OPTICS if name in query}
    given = {OPTICS[name]: _number(name.replace("_", " "), text) for name, text in asked.items()}
    try:
        check_given(given)
    except DataError as error:
        raise HttpError(400, error.spelled(_field_name)) from None
    return given


def map_of(kind: str, given: QueryParams, job: Job) -> WantedMap:
    """Return which map a request asks for.

    Raises:
        HttpError: 404 for a kind that there is not, 400 for a format that cannot hold it, impossible optics or what no
            such map can be asked for, 409 if the weights give no disparity or there is no mask.
    """
    if kind not in KINDS:
        raise HttpError(404, f"There is no map {kind[:20]!r}; choose from: {', '.join(KINDS)}.")
    query = fields_of(given, OF_MAPS.get(kind, {"format"}))
    suffix = MAP_FILES.get(query.get("format", "png"))
    if suffix is None:
        raise HttpError(
            400, f"There is no format {query['format'][:20]!r} for maps; choose from: {', '.join(MAP_FILES)}."
        )
    part = part_of(query, job) if kind == "mask" else None
    if kind == "mask" and part is None:
        raise HttpError(400, "There is a mask only where a part is made sharp; give keep or mask.")
    return WantedMap(KINDS[kind], suffix, optics_of(query) if kind == "metres" else {}, part)


def _field_name(name: str, value: str | None) -> str:
    return name.replace("-", "_")


def refocus_of(query: Mapping[str, str], job: Job) -> Focus | None:
    """Return by what the result is focused anew, and how, if that is asked for.

    Raises:
        HttpError: 400 if it cannot be understood, nothing lies there, or only a part or a share of the result is asked
            for as well; 409 if there is no result, or none that can be focused anew.
    """
    given = {name: query[name][:LONGEST] for name in FOCUS if name in query}
    if not given:
        return None
    if "keep" in query or "mask" in query or query.get("strength", "1") not in ("1", "1.0"):
        raise HttpError(400, "A picture is refocused as a whole and at full strength; leave out keep, mask, strength.")
    try:
        asked = _refocus(given)
        known = _refocusable(job)
        check_point(asked, *known.size)
        check_focus(asked, known.span_px)
    except PictureError as error:
        raise HttpError(400, error.spelled(_field_name)) from None
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
    if not blades.isascii() or not blades.isdecimal():
        raise HttpError(400, f"An aperture cannot have {blades} blades; give 5 to 12, or 0 for a round one.")
    return Refocus(
        focus_px=_number("focus", given.get("focus", "0")),
        focus_at=None if point is None else parse_point(point),
        aperture=_number("aperture", given.get("aperture", "1")),
        rho=_number("rho", given["rho"]) if "rho" in given else None,
        highlights=_number("highlights", given.get("highlights", "2")),
        blades=int(blades),
    )


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise HttpError(400, f"The {name} must be a number, not {text!r}.") from None

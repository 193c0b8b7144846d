"""The HTTP endpoint, described in the OpenAPI format for programs that want to use it."""

from typing import Any

from dualpix import __version__
from dualpix.inference.focus import MOST_APERTURE, MOST_HIGHLIGHTS, RHOS
from dualpix.pairs import SOURCES, TURNS
from dualpix.web.limits import Limits
from dualpix.web.maps import KINDS
from dualpix.web.parts import MAP_FILES

Json = dict[str, Any]

FILE: Json = {"type": "string", "format": "binary"}
JOB: Json = {
    "type": "object",
    "required": ["id", "state", "version", "swap", "bands_done", "bands", "seconds", "notes", "status"],
    "properties": {
        "id": {"type": "string", "description": "Anyone who knows it can see and delete the job."},
        "state": {"type": "string", "enum": ["checking", "ready", "waiting", "running", "done", "failed"]},
        "stopping": {"type": "boolean", "description": "Whether it will stop at the end of this band."},
        "version": {"type": "integer", "description": "Counts the changes of its pictures."},
        "swap": {"type": "boolean", "description": "Whether the views were exchanged."},
        "bands_done": {"type": "integer"},
        "bands": {"type": "integer", "description": "0 until it is known."},
        "seconds": {"type": "number", "description": "Spent on what was done last."},
        "check": {"type": ["object", "null"], "description": "As `dualpix inspect --json` prints."},
        "notes": {"type": "array", "items": {"type": "string"}},
        "plan": {"type": ["string", "null"], "description": "How it was run."},
        "report": {"type": ["string", "null"], "description": "How much was changed, and whether such blur is known."},
        "refocus": {
            "type": ["object", "null"],
            "description": "If the result can be refocused: the planes there are, and how its file lies, as in EXIF.",
            "properties": {
                "low_px": {"type": "number", "description": "Disparity of the nearest."},
                "high_px": {"type": "number", "description": "Disparity of the farthest."},
                "orientation": {"type": "integer", "minimum": 1, "maximum": 8},
            },
        },
        "planes": {"type": "boolean", "description": "Whether there is a disparity of the result."},
        "mask": {"type": "integer", "description": "The number of the mask that was sent last; 0 if none was."},
        "fetched": {"type": "boolean", "description": "Whether the result has been downloaded."},
        "status": {"type": "integer", "description": "200, or the HTTP status that says what went wrong."},
        "error": {"type": ["string", "null"]},
    },
}
DISTANCES: Json = {
    "type": "object",
    "required": ["told", "notes", "picture"],
    "properties": {
        "told": {"type": "string", "description": "The median distance and the optics that were used."},
        "notes": {"type": "array", "items": {"type": "string"}},
        "picture": {
            "type": "string",
            "contentEncoding": "base64",
            "contentMediaType": "image/png",
            "description": "Reduced: red x 65536 + green x 256 + blue is millimetres, 16777215 infinity.",
        },
    },
}
ERROR: Json = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
REASONS = {
    "400": "A field or parameter is wrong, or the body is incomplete.",
    "403": "The request used a name that is not this server's, or came from a page of another site.",
    "404": "There is no such job: it never was, was deleted, or has expired.",
    "408": "The upload came too slowly.",
    "409": "Not in this state.",
    "413": "The upload is too large.",
    "415": "Not multipart/form-data.",
    "422": "The files cannot be read, or are not the two views of one photograph.",
    "429": "Too many jobs at once, or too many results that nobody fetched; Retry-After says when to try again.",
    "503": "There is too little memory or disk space now, too many are connected, or the server stops; try again.",
    "504": "It took too long.",
}


def describe(limits: Limits) -> Json:
    """Return the whole description, with the limits of this server."""
    one = "/api/jobs/{id}"
    size = f"At most {limits.body_bytes} bytes in all and {limits.megapixels:g} megapixels a view."
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dualpix",
            "version": __version__,
            "summary": "Two views of a dual-pixel photograph in, one picture out that is sharp everywhere.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "."}],
        "paths": {
            "/health": {"get": _operation("health", "Whether the server runs.", {"200": _json({"type": "object"})})},
            "/ready": {
                "get": _operation("ready", "Whether it takes uploads.", {"200": _json({"type": "object"})}, ["503"])
            },
            "/metrics": {
                "get": _operation("metrics", "Counts, as Prometheus reads them.",
                                  {"200": _content("text/plain", {"type": "string"})})
            },
            "/api/limits": {
                "get": _operation("limits", "What this server allows.", {"200": _json({"type": "object"})})
            },
            "/api/jobs": {
                "post": _operation("create", f"Upload a pair; it is checked, and deblurred. {size}", _job("202"),
                                   ["400", "408", "413", "415", "429", "503"]) | {"requestBody": _upload()}
            },
            one: {
                "parameters": [_ID],
                "get": _operation("show", "State and progress.", _job("200"), ["404"]),
                "delete": _operation("remove", "Stop it and delete all its files.", {"204": {"description": "Gone."}},
                                     ["404"]),
            },
            **{
                f"{one}/{verb}": {
                    "parameters": [_ID],
                    "post": _operation(verb, words, _job("202"), ["404", "409", "422", "429", "503"]),
                }
                for verb, words in COMMANDS.items()
            },
            **{
                f"{one}/{name}": {
                    "parameters": [_ID],
                    "get": _operation(name, words, {"200": _content(kind, FILE)}, ["404", "409", "422", "503", "504"])
                    | ({"parameters": [KEEP, MASK, *_focus()]} if name == "preview" else {}),
                }
                for name, (words, kind) in PICTURES.items()
            },
            f"{one}/result": {"parameters": [_ID], "get": _result()},
            f"{one}/sweep": {
                "parameters": [_ID],
                "get": _operation("sweep", "The focus moving from the farthest to the nearest and back, reduced.",
                                  {"200": _content("image/webp", FILE)},
                                  ["400", "404", "409", "422", "429", "503", "504"])
                | {"parameters": [given for given in _focus() if not given["name"].startswith("focus")]},
            },
            f"{one}/mask": {
                "parameters": [_ID],
                "post": _operation("mask", "Send a mask, a picture as large as the views: white is made sharp.",
                                   _job("202"), ["400", "404", "408", "409", "413", "415", "422", "503"])
                | {"requestBody": _form({"mask": FILE | {"description": "A picture."}}, "mask")},
            },
            f"{one}/maps/{{kind}}": {"parameters": [_ID, _kind()], "get": _map()},
            f"{one}/distances": {
                "parameters": [_ID, *_optics()],
                "get": _operation("distances", "Distances in metres, to look at.",
                                  {"200": _json({"$ref": "#/components/schemas/Distances"})},
                                  ["400", "404", "409", "422", "429", "503", "504"]),
            },
        },
        "components": {"schemas": {"Job": JOB, "Distances": DISTANCES, "Error": ERROR}},
    }  # fmt: skip


COMMANDS = {
    "start": "Deblur a pair that was uploaded with start=no, or again, also after 503 and 504.",
    "stop": "Stop checking or deblurring, between two bands at the latest; the views are kept.",
    "swap": "Exchange the views and check them again; a result is forgotten.",
}
PICTURES = {
    "left": ("The left view, reduced.", "image/jpeg"),
    "right": ("The right view, reduced.", "image/jpeg"),
    "disparity": ("Red is behind the focus, blue in front of it.", "image/png"),
    "before": ("The mean of the views at full size, to look at.", "image/jpeg"),
    "preview": ("The result at full size, to look at; refocused, at most 2048 pixels a side.", "image/jpeg"),
    "planes": (
        "The result's disparity, reduced: red x 256 + green is 32768 + 512 times pixels, blue 255 times confidence.",
        "image/png",
    ),
}
KEEP: Json = {
    "name": "keep",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "examples": ["behind", "in-front 1", "beyond 2", "1..3"]},
    "description": "What keeps its blur: a side of the focus, or a range of disparity in pixels.",
}
MASK: Json = {
    "name": "mask",
    "in": "query",
    "required": False,
    "schema": {"type": "integer", "minimum": 1},
    "description": "Instead: only what is white in the mask of this number, which was sent before, is sharp.",
}
_ID: Json = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def _upload() -> Json:
    yes = {"type": "string", "enum": ["yes", "no"]}
    fields = {
        "left": FILE | {"description": "The left view, or the file that holds both."},
        "right": FILE | {"description": "The right view."},
        "layout": {"type": "string", "enum": list(SOURCES), "description": "How one file holds both views."},
        "swap": yes | {"default": "no", "description": "Exchange the views."},
        "turn": {"type": "string", "enum": list(TURNS), "default": "auto", "description": "How to turn upright views."},
        "start": yes | {"default": "yes", "description": "no: only check them, until POST .../start."},
    }
    return _form(fields, "left")


def _form(fields: Json, required: str) -> Json:
    schema = {"type": "object", "required": [required], "properties": fields}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _result() -> Json:
    parameters = [
        _query("format", {"enum": ["png", "tif", "jpg"], "default": "png"}, "jpg always holds 8 bits."),
        _query("depth", {"enum": [8, 16], "default": 16}, "Bits."),
        _query("strength", {"type": "number", "minimum": 0, "maximum": 1, "default": 1}, "0 is the picture as taken."),
        KEEP,
        MASK,
        *_focus(),
    ]
    kinds = {kind: {"schema": FILE} for kind in ("image/png", "image/tiff", "image/jpeg")}
    words = "The result as a file, with the colour profile, EXIF and XMP of the left view."
    answers = {"200": {"description": "The file.", "content": kinds}}
    reasons = ["400", "404", "409", "422", "429", "503", "504"]
    return _operation("result", words, answers, reasons) | {"parameters": parameters}


def _focus() -> list[Json]:
    """Any of these asks for another focus and aperture, with which keep and strength do not go."""
    point: Json = {"type": "string", "pattern": r"^\d+,\d+$", "examples": ["800,450"]}
    return [
        _query("aperture", {"type": "number", "minimum": 0, "maximum": MOST_APERTURE, "default": 1},
               "Diameter against the camera's: 0 leaves everything sharp, 1 blurs as the camera did."),
        _query("focus", {"type": "number", "default": 0}, "Disparity in pixels of what is to be in focus."),
        _query("focus_at", point, "Instead, column and row in the file of what is to be in focus."),
        _query("rho", {"type": "number", "minimum": RHOS[0], "maximum": RHOS[1]},
               "Disparity for a pixel of blur radius; found out without it."),
        _query("highlights", {"type": "number", "minimum": 1, "maximum": MOST_HIGHLIGHTS, "default": 2},
               "How many times as bright small clipped lights were."),
        _query("blades", {"type": "integer", "minimum": 0, "maximum": 12, "default": 0},
               "Of the aperture, from 5 on; 0 for a round one."),
    ]  # fmt: skip


def _optics() -> list[Json]:
    """What the user says of lens, focus and sensor; the rest is read from EXIF."""
    words = {
        "focus_distance": "Metres to the plane in focus, or inf.",
        "f_number": "Of the lens.",
        "focal_length": "The lens's own, in millimetres.",
        "pixel_pitch": "Of the picture's pixels, in micrometres.",
        "sensor_width": "Instead: the sensor's longer side in millimetres.",
        "rho": "Disparity for a pixel of blur radius.",
        "rho_fall": "Share of rho that is lost at the sides.",
    }
    return [_query(name, {"type": "number", "minimum": 0}, told) for name, told in words.items()]


def _kind() -> Json:
    return _ID | {"name": "kind", "schema": {"enum": list(KINDS)}}


def _map() -> Json:
    parameters = [
        _query("format", {"enum": list(MAP_FILES), "default": "png"}, "metres: tif holds floats."),
        KEEP,
        MASK,
    ]
    kinds = {kind: {"schema": FILE} for kind in ("image/png", "image/tiff")}
    words = "A map beside the result, as `dualpix deblur` writes it; keep or mask for the mask used, optics for metres."
    reasons = ["400", "404", "409", "422", "429", "503", "504"]
    answer = _operation("map", words, {"200": {"description": "The file.", "content": kinds}}, reasons)
    return answer | {"parameters": [*parameters, *_optics()]}


def _query(name: str, schema: Json, words: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": words}


def _operation(name: str, words: str, answers: Json, reasons: list[str] | None = None) -> Json:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    failures = {status: {"description": REASONS[status], "content": error} for status in ["403", *(reasons or [])]}
    return {"operationId": name, "summary": words, "responses": {**answers, **failures}}


def _job(status: str) -> Json:
    return {status: _content("application/json", {"$ref": "#/components/schemas/Job"})}


def _json(schema: Json) -> Json:
    return _content("application/json", schema)


def _content(kind: str, schema: Json) -> Json:
    return {"description": "As asked.", "content": {kind: {"schema": schema}}}
